//! `RecordUsage`: usage that already happened, without a hold (L13).

use std::sync::Arc;

use super::judging::Judging;
use super::{ROUNDS_MAX, Reservation, Service, ServiceError, Settled, Sources, view};
use crate::domain::balance::Snapshot;
use crate::domain::catalog::Catalog;
use crate::domain::charge::{Ask, Charge, Opening};
use crate::domain::ids::{ActionId, GenerationId, ReservationId, SubjectId, Target, TraceId, UserId};
use crate::domain::ledger::{Answer, Fingerprint, Row};
use crate::domain::reservation::{Labels, Outcome};
use crate::domain::settlement::{self, Billing};
use crate::domain::view::{Seat, View};
use crate::domain::work::Work;
use crate::store::Urgency;

#[derive(Debug, Clone)]
pub struct RecordCommand {
    pub subject: SubjectId,
    pub user: Option<UserId>,
    /// Shares the id space of reservations.
    pub id: ReservationId,
    pub generation: GenerationId,
    pub action: ActionId,
    pub target: Option<Target>,
    pub work: Work,
    pub billing: Billing,
    pub outcome: Outcome,
    pub labels: Labels,
    pub fingerprint: Fingerprint,
    /// The trace of the call.
    pub trace: Option<TraceId>,
}

impl RecordCommand {
    pub(super) fn ask(&self) -> Ask<'_> {
        Ask {
            user: self.user.as_ref(),
            action: &self.action,
            target: self.target.as_ref(),
            planned_target: None,
            fallbacks: &[],
            work: &self.work,
            labels: &self.labels,
        }
    }

    /// What its row opens with.
    pub(super) fn opening(&self, charge: &Charge<'_>, catalog: &Catalog) -> Opening {
        Opening {
            subject: self.subject.clone(),
            user: self.user.clone(),
            id: self.id.clone(),
            fingerprint: self.fingerprint,
            detail: charge.detail(catalog, &self.ask(), self.generation.clone()),
            trace: self.trace,
            dry_run: false,
        }
    }
}

impl Service {
    /// Books usage, always: what no source can pay is overage. While the store is away it is queued, like a settlement (W2).
    pub async fn record_usage(&self, command: RecordCommand) -> Result<Settled, ServiceError> {
        let Some(fallback) = &self.fallback else { return self.record_now(&command).await };
        if fallback.journal.has(&command.subject) {
            return self.queue_usage(fallback, command).await;
        }
        let patience = fallback.patience();
        let mut answered = patience.within(self.record_now(&command)).await;
        if patience.is_left_after(&answered).await {
            answered = patience.within(self.record_now(&command)).await;
        }
        match answered {
            Err(ServiceError::Store(error)) if fallback.takes(&error) => self.queue_usage(fallback, command).await,
            answered => answered,
        }
    }

    /// Books usage in the store.
    pub(super) async fn record_now(&self, command: &RecordCommand) -> Result<Settled, ServiceError> {
        let mut judging = Judging::new(self, &command.subject);
        for _ in 0..ROUNDS_MAX {
            let catalog = self.catalogs.current();
            let document = self.cached_document(&command.subject).await?;
            let view = view(&catalog, document.as_deref(), judging.now)?;
            let mut charge = match Charge::judge(&catalog, &view, &command.ask()) {
                Ok(charge) => charge,
                // Another catalog may be in force since it was recorded.
                Err(error) => match self.store.reservation(&command.subject, &command.id, Urgency::Settle).await? {
                    None => return Err(error.into()),
                    Some(row) if row.opened_by == command.fingerprint => return self.recorded_before(&command.subject, row, &view).await,
                    Some(_) => return Err(ServiceError::IdReused("usage_id")),
                },
            };
            if charge.seat == Seat::Taken && judging.take_turn().await {
                // Others may have been seated meanwhile.
                continue;
            }
            let opening = command.opening(&charge, &catalog);
            let transaction = settlement::record(&catalog, &view, &mut charge, command.outcome, &command.billing, opening)?;
            let keys = transaction.keys();
            match self.store.execute(transaction, Urgency::Settle).await? {
                Answer::Done(done) => {
                    if let Some(document) = &done.document {
                        self.keep(&command.subject, Some(document.clone()));
                    }
                    let row = done.row.clone().ok_or_else(|| ServiceError::unexpected(&done))?;
                    let snapshot = Snapshot::new(keys.into_iter().zip(done.accounts));
                    let balances = self.balance(&catalog, charge.action.meter(), &Sources::of_charge(&charge), &snapshot);
                    let reservation = Reservation { subject: command.subject.clone(), row };
                    return Ok(Settled::now(reservation, balances, false));
                }
                Answer::Replayed(row) => return self.recorded_before(&command.subject, row, &view).await,
                Answer::IdReused(_) => return Err(ServiceError::IdReused("usage_id")),
                answer => judging.anew(answer).await?,
            }
        }
        Err(ServiceError::Contended)
    }

    async fn recorded_before(&self, subject: &SubjectId, row: Arc<Row>, view: &View<'_>) -> Result<Settled, ServiceError> {
        let balances = self.balances_of_row(subject, &row, view).await?;
        let reservation = Reservation { subject: subject.clone(), row };
        Ok(Settled::now(reservation, balances, true))
    }
}
