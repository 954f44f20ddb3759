//! `Reserve`: may this subject make this generation, and what will it cost?

use std::sync::Arc;

use jiff::SignedDuration;

use super::judging::Judging;
use super::{ROUNDS_MAX, Reservation, Service, ServiceError, Sources, view};
use crate::domain::alternative::Alternatives;
use crate::domain::balance::{Balance, Snapshot};
use crate::domain::charge::{Ask, Charge, Opening};
use crate::domain::denial::Denial;
use crate::domain::ids::{ActionId, GenerationId, ReservationId, SubjectId, Target, UserId};
use crate::domain::ledger::{AccountKey, Answer, Denied, Done, Fingerprint, Row};
use crate::domain::remedy::Judged;
use crate::domain::reservation::Labels;
use crate::domain::view::{Seat, View};
use crate::domain::work::Work;
use crate::store::Urgency;

#[derive(Debug, Clone)]
pub struct ReserveCommand {
    pub subject: SubjectId,
    pub user: Option<UserId>,
    pub id: ReservationId,
    pub generation: GenerationId,
    pub action: ActionId,
    pub target: Option<Target>,
    pub planned_target: Option<Target>,
    pub fallbacks: Vec<Target>,
    pub work: Work,
    pub ttl: Option<SignedDuration>,
    pub accept_fewer: bool,
    pub validate_only: bool,
    pub labels: Labels,
    pub fingerprint: Fingerprint,
}

/// The answer to a reserve: a hold, or a denial. Both say what is left.
#[derive(Debug, Clone)]
pub struct Reserved {
    pub outcome: Result<Reservation, Denial>,
    pub balances: Vec<Balance>,
    pub replayed: bool,
}

impl ReserveCommand {
    pub(super) fn ask<'a>(&'a self, work: &'a Work) -> Ask<'a> {
        Ask {
            user: self.user.as_ref(),
            action: &self.action,
            target: self.target.as_ref(),
            planned_target: self.planned_target.as_ref(),
            fallbacks: &self.fallbacks,
            work,
            labels: &self.labels,
        }
    }
}

impl Service {
    /// Sets aside what the request counts and costs, or says why not. A denied id is not remembered (L1). While the store is away, the
    /// plan's outage policy decides (W1).
    pub async fn reserve(&self, command: ReserveCommand) -> Result<Reserved, ServiceError> {
        let Some(fallback) = &self.fallback else { return self.reserve_now(&command).await };
        if let Some(opened) = fallback.opened(&command)? {
            return Ok(opened);
        }
        match fallback.patience().within(self.reserve_now(&command)).await {
            Err(ServiceError::Store(error)) => self.reserve_in_outage(fallback, &command, error).await,
            answered => answered,
        }
    }

    /// Sets aside in the store.
    async fn reserve_now(&self, command: &ReserveCommand) -> Result<Reserved, ServiceError> {
        let mut work = command.work.clone();
        let mut judging = Judging::new(self, &command.subject);
        for _ in 0..ROUNDS_MAX {
            let catalog = self.catalogs.current();
            let document = self.cached_document(&command.subject).await?;
            let view = view(&catalog, document.as_deref(), judging.now)?;
            let ask = command.ask(&work);
            let charge = Charge::judge(&catalog, &view, &ask).map_err(ServiceError::from);
            let (ttl, charge) = match ServiceError::both(self.ttl(command.ttl), charge) {
                Ok(both) => both,
                Err(error) => return self.replayed_or(command, &view, error).await,
            };
            let judged = Judged { catalog: &catalog, view: &view, ask: &ask, charge: &charge };
            if !charge.violations.is_empty() {
                if self.is_outdated(&command.subject, &view).await? {
                    continue;
                }
                return self.refuse(command, &judged).await;
            }
            if charge.seat == Seat::Taken && judging.take_turn().await {
                // Others may have been seated meanwhile.
                continue;
            }
            let opening = Opening {
                subject: command.subject.clone(),
                user: command.user.clone(),
                id: command.id.clone(),
                fingerprint: command.fingerprint,
                detail: charge.detail(&catalog, &ask, command.generation.clone()),
                trace: None,
                dry_run: command.validate_only,
            };
            let transaction = charge.hold(opening, &view, ttl);
            let keys = transaction.keys();
            match self.store.execute(transaction, Urgency::Reserve).await? {
                Answer::Done(done) => return self.granted(command, &judged, keys, done),
                Answer::Denied(denied) => match self.fewer(command, &judged, &denied)? {
                    Some(fewer) => work = fewer,
                    None => return self.denied(command, &judged, &denied).await,
                },
                Answer::Replayed(row) => return self.replayed(&command.subject, row, &view).await,
                Answer::IdReused(_) => return Err(ServiceError::IdReused("reservation_id")),
                answer => judging.anew(answer).await?,
            }
        }
        Err(ServiceError::Contended)
    }

    fn granted(
        &self,
        command: &ReserveCommand,
        judged: &Judged<'_, '_>,
        keys: Vec<AccountKey>,
        done: Done,
    ) -> Result<Reserved, ServiceError> {
        // In a dry run nobody has taken the seat.
        if let Some(document) = done.document.as_ref().filter(|_| !command.validate_only) {
            self.keep(&command.subject, Some(document.clone()));
        }
        let row = done.row.clone().ok_or_else(|| ServiceError::unexpected(&done))?;
        let balances = self.balance_of(judged, &Snapshot::new(keys.into_iter().zip(done.accounts)));
        let reservation = Reservation { subject: command.subject.clone(), row };
        if !command.validate_only {
            self.remember(&reservation);
        }
        Ok(Reserved { outcome: Ok(reservation), balances, replayed: false })
    }

    async fn denied(&self, command: &ReserveCommand, judged: &Judged<'_, '_>, denied: &Denied) -> Result<Reserved, ServiceError> {
        let (snapshot, alternatives) = self.alternatives(&command.subject, judged, judged.snapshot(denied)).await?;
        let balances = self.balance_of(judged, &snapshot);
        Ok(Reserved { outcome: Err(judged.denial(denied, &snapshot, &alternatives)?), balances, replayed: false })
    }

    /// What else would let a request through, with the accounts that tell whether it would.
    pub(super) async fn alternatives(
        &self,
        subject: &SubjectId,
        judged: &Judged<'_, '_>,
        snapshot: Snapshot,
    ) -> Result<(Snapshot, Alternatives), ServiceError> {
        let alternatives = Alternatives::of(judged)?;
        let missing = snapshot.missing(alternatives.keys());
        if missing.is_empty() {
            return Ok((snapshot, alternatives));
        }
        let accounts = self.store.accounts(subject, missing.clone()).await?;
        Ok((snapshot.with(missing.into_iter().zip(accounts)), alternatives))
    }

    fn balance_of(&self, judged: &Judged<'_, '_>, snapshot: &Snapshot) -> Vec<Balance> {
        self.balance(judged.catalog, judged.charge.action.meter(), &Sources::of_charge(judged.charge), snapshot)
    }

    /// The smaller work to try instead, where the caller takes one (L11).
    pub(super) fn fewer(&self, command: &ReserveCommand, judged: &Judged<'_, '_>, denied: &Denied) -> Result<Option<Work>, ServiceError> {
        if !command.accept_fewer {
            return Ok(None);
        }
        let count = judged.largest_count(&judged.snapshot(denied))?;
        Ok((count > 0).then(|| judged.ask.work.first(count)))
    }

    /// Denies what the plan, the price book or the policy forbids. An id that holds something already is answered by what it holds.
    async fn refuse(&self, command: &ReserveCommand, judged: &Judged<'_, '_>) -> Result<Reserved, ServiceError> {
        if let Some(known) = self.known_reserve(command, judged.view).await? {
            return Ok(known);
        }
        let snapshot = self.accounts_of(&command.subject, &judged.charge.take(None)).await?;
        let (snapshot, alternatives) = self.alternatives(&command.subject, judged, snapshot).await?;
        let balances = self.balance_of(judged, &snapshot);
        Ok(Reserved { outcome: Err(judged.refusal(&snapshot, &alternatives)), balances, replayed: false })
    }

    /// What is wrong with a request, unless it was granted when nothing was: another catalog or configuration is in force since.
    async fn replayed_or(&self, command: &ReserveCommand, view: &View<'_>, error: ServiceError) -> Result<Reserved, ServiceError> {
        self.known_reserve(command, view).await?.ok_or(error)
    }

    async fn known_reserve(&self, command: &ReserveCommand, view: &View<'_>) -> Result<Option<Reserved>, ServiceError> {
        match self.store.reservation(&command.subject, &command.id, Urgency::Read).await? {
            None => Ok(None),
            Some(row) if row.opened_by == command.fingerprint => self.replayed(&command.subject, row, view).await.map(Some),
            Some(_) => Err(ServiceError::IdReused("reservation_id")),
        }
    }

    /// The stored answer to a repeat: the reservation as it is now, with the balance of now.
    pub(super) async fn replayed(&self, subject: &SubjectId, row: Arc<Row>, view: &View<'_>) -> Result<Reserved, ServiceError> {
        let balances = self.balances_of_row(subject, &row, view).await?;
        Ok(Reserved { outcome: Ok(Reservation { subject: subject.clone(), row }), balances, replayed: true })
    }

    pub(super) async fn balances_of_row(&self, subject: &SubjectId, row: &Row, view: &View<'_>) -> Result<Vec<Balance>, ServiceError> {
        let Some(meter) = &row.detail.meter else { return Ok(Vec::new()) };
        let sources = Sources::of(view, meter, row.detail.user.as_ref())?;
        let snapshot: Snapshot = self.read_accounts(subject, &sources).await?;
        Ok(self.balance(&self.catalogs.current(), Some(meter), &sources, &snapshot))
    }
}
