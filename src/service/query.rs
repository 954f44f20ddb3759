//! Reads: a reservation, and what a subject has left.

use std::collections::BTreeSet;

use super::{Reservation, Service, ServiceError, Sources, view};
use crate::domain::balance::Balance;
use crate::domain::cap::CapStanding;
use crate::domain::ids::{MeterId, PlanId, ReservationId, SubjectId, UserId};
use crate::domain::ledger::Account;
use crate::domain::period::Period;
use crate::store::{StoreError, Urgency};

/// Every meter that a subject's plan or grants speak of, or that something pays for.
#[derive(Debug, Clone)]
pub struct SubjectBalance {
    pub balances: Vec<Balance>,
    pub plan: Option<PlanId>,
    pub period: Option<Period>,
}

/// A cap of a subject, with what counts under it now; `None` where only a request tells which account that is.
#[derive(Debug, Clone)]
pub struct SubjectCap {
    pub standing: CapStanding,
    pub account: Option<Account>,
}

impl Service {
    pub async fn reservation(&self, subject: SubjectId, id: &ReservationId) -> Result<Reservation, ServiceError> {
        let row = match self.known(&subject, id, Urgency::Read).await {
            // What the store cannot tell, the journal may: a hold that is not booked yet, or a reservation as last known.
            Err(error @ (ServiceError::ReservationNotFound(_) | ServiceError::Store(StoreError::Unavailable { .. }))) => {
                self.queued_row(&subject, id).ok_or(error)?
            }
            known => known?,
        };
        Ok(Reservation { subject, row })
    }

    /// What `user` may still use; without a user, what the subject shares. A stranger without a plan has nothing.
    pub async fn subject_balance(&self, subject: &SubjectId, user: Option<&UserId>) -> Result<SubjectBalance, ServiceError> {
        let catalog = self.catalogs.current();
        let document = self.store.document(subject).await?;
        let view = view(&catalog, document.as_deref(), self.clock.now())?;
        let allowances = view.plan.iter().flat_map(|active| &active.terms.allowances).map(|allowance| &allowance.meter);
        let grants = document.iter().flat_map(|document| &document.grants).map(|grant| &grant.meter);
        let spoken_of: BTreeSet<&MeterId> = allowances.chain(grants).collect();
        let mut balances = Vec::new();
        for meter in view.meters() {
            let sources = Sources::of(&view, meter, user)?;
            // What another plan gives or add-ons gave is of no period of now.
            if sources.paying.is_empty() && !spoken_of.contains(meter) {
                continue;
            }
            let snapshot = self.read_accounts(subject, &sources).await?;
            balances.extend(self.balance(&catalog, Some(meter), &sources, &snapshot));
        }
        let (plan, period) = view.plan.map(|active| (active.plan.id.clone(), active.period)).unzip();
        Ok(SubjectBalance { balances, plan, period })
    }

    /// The caps that may apply to what `user` asks for: those of every plan first, then those of the subject's. Without a user it is not
    /// known how a cap by user stands.
    pub async fn subject_caps(&self, subject: &SubjectId, user: Option<&UserId>) -> Result<Vec<SubjectCap>, ServiceError> {
        let catalog = self.catalogs.current();
        let document = self.store.document(subject).await?;
        let view = view(&catalog, document.as_deref(), self.clock.now())?;
        let of_plan = view.plan.iter().flat_map(|active| &active.terms.caps);
        let standings = CapStanding::of(catalog.caps.iter().chain(of_plan), &view, user)?;
        let keys = standings.iter().filter_map(|standing| standing.account.clone()).collect();
        let mut accounts = self.store.accounts(subject, keys).await?.into_iter();
        let with_account = |standing: CapStanding| {
            let account = standing.account.as_ref().and_then(|_| accounts.next());
            SubjectCap { standing, account }
        };
        Ok(standings.into_iter().map(with_account).collect())
    }
}
