//! `Retry`: the attempt that runs is closed, and the next one opened under the same hold (L8).

use std::sync::Arc;

use super::judging::Judging;
use super::{ROUNDS_MAX, Reservation, Reserved, Service, ServiceError, Sources, view, view_then};
use crate::domain::balance::Snapshot;
use crate::domain::event::CostEvent;
use crate::domain::ids::{ReservationId, SubjectId, TraceId};
use crate::domain::ledger::{Answer, Fingerprint, Row, State};
use crate::domain::reservation::Outcome;
use crate::domain::retry::{NextAttempt, Retry};
use crate::domain::settlement::Billing;
use crate::domain::view::View;
use crate::store::Urgency;

#[derive(Debug, Clone)]
pub struct RetryCommand {
    pub subject: SubjectId,
    pub id: ReservationId,
    /// The number of the attempt that is closed.
    pub attempt: u32,
    pub outcome: Outcome,
    pub billing: Billing,
    pub next: NextAttempt,
    pub fingerprint: Fingerprint,
    /// The trace of the call.
    pub trace: Option<TraceId>,
}

/// The answer to a retry, with the event of the attempt that it closed. A repeat closes none.
#[derive(Debug, Clone)]
pub struct Retried {
    pub answer: Reserved,
    pub event: Option<CostEvent>,
}

/// What a retry finds.
enum Found {
    /// The attempt was closed by this very request.
    Replayed(Arc<Row>),
    Open(Arc<Row>),
}

impl Service {
    /// Closes an attempt and opens the next. A denial leaves the hold and its attempt as they are; a repeat is known by the attempt (L10).
    pub async fn retry(&self, command: RetryCommand) -> Result<Retried, ServiceError> {
        self.not_queued(&command.subject, &command.id)?;
        let mut judging = Judging::new(self, &command.subject);
        // As it was last seen here: another sidecar may have gone on since, so nothing is refused by it.
        let mut recent = self.recent.get(&(command.subject.clone(), command.id.clone()));
        let mut seen = None;
        for _ in 0..ROUNDS_MAX {
            let is_recent = recent.is_some();
            let row = match recent.take().or_else(|| seen.take()) {
                Some(row) => row,
                None => self.known(&command.subject, &command.id, Urgency::Settle).await?,
            };
            let current = self.catalogs.current();
            let document = self.cached_document(&command.subject).await?;
            let now = view(&current, document.as_deref(), judging.now)?;
            let row = match find(row, &command) {
                Ok(Found::Open(row)) => row,
                Ok(Found::Replayed(row)) => {
                    self.remember(&Reservation { subject: command.subject.clone(), row: row.clone() });
                    return Ok(Retried::without_event(self.replayed(&command.subject, row, &now).await?));
                }
                Err(_) if is_recent => continue,
                Err(problem) => return Err(problem),
            };
            let pinned = self.catalogs.pinned(&row.detail.catalog, &*self.store).await?;
            let then = view_then(&pinned, document.as_deref(), row.detail.judged_at)?;
            let retry = Retry {
                subject: &command.subject,
                row: &row,
                outcome: command.outcome,
                billing: &command.billing,
                next: &command.next,
                fingerprint: command.fingerprint,
                trace: command.trace,
            };
            let retrial = retry.work_out(&pinned, &now, &then)?;
            if !retrial.violations.is_empty() {
                if is_recent || self.is_outdated(&command.subject, &now).await? {
                    continue;
                }
                return self.unchanged(&row, &now, retrial.refusal(), &command.subject).await;
            }
            let keys = retrial.transaction.keys();
            match self.store.execute(retrial.transaction.clone(), Urgency::Reserve).await? {
                Answer::Done(done) => {
                    if let Some(document) = &done.document {
                        self.keep(&command.subject, Some(document.clone()));
                    }
                    let row = done.row.clone().ok_or_else(|| ServiceError::unexpected(&done))?;
                    let event = CostEvent::of_retry(&command.subject, &row, done.now);
                    let snapshot = Snapshot::new(keys.into_iter().zip(done.accounts));
                    let sources = Sources { paying: retrial.sources, overage: retrial.overage };
                    let balances = self.balance(&current, row.detail.meter.as_ref(), &sources, &snapshot);
                    let reservation = Reservation { subject: command.subject.clone(), row };
                    self.remember(&reservation);
                    return Ok(Retried { answer: Reserved { outcome: Ok(reservation), balances, replayed: false }, event });
                }
                Answer::Denied(denied) => {
                    let denial = retrial.denial(&denied);
                    return self.unchanged(&row, &now, denial, &command.subject).await;
                }
                Answer::StaleReservation(Some(row)) => seen = Some(row),
                Answer::StaleReservation(None) => return Err(ServiceError::ReservationNotFound(command.id.clone())),
                answer => judging.anew(answer).await?,
            }
        }
        Err(ServiceError::Contended)
    }

    /// A denial: everything is as it was.
    async fn unchanged(
        &self,
        row: &Row,
        view: &View<'_>,
        denial: crate::domain::denial::Denial,
        subject: &SubjectId,
    ) -> Result<Retried, ServiceError> {
        let balances = self.balances_of_row(subject, row, view).await?;
        Ok(Retried::without_event(Reserved { outcome: Err(denial), balances, replayed: false }))
    }
}

impl Retried {
    fn without_event(answer: Reserved) -> Self {
        Self { answer, event: None }
    }
}

/// What a reservation is to a retry: open for it, retried by it, or past it.
fn find(row: Arc<Row>, command: &RetryCommand) -> Result<Found, ServiceError> {
    let attempts = &row.detail.attempts;
    let index = usize::try_from(command.attempt).ok().and_then(|number| number.checked_sub(1));
    let known = index.and_then(|index| attempts.get(index));
    let open = attempts.len();
    match known {
        None => Err(ServiceError::invalid("attempt", format!("is not one of the attempts; the last is {open}"))),
        Some(attempt) if attempt.closed_by == Some(command.fingerprint) => Ok(Found::Replayed(row)),
        Some(attempt) if attempt.closed_by.is_some() => Err(ServiceError::IdReused("attempt")),
        Some(_) if row.state == State::Held => Ok(Found::Open(row)),
        Some(_) => Err(ServiceError::ReservationSettled(row.state)),
    }
}
