//! `Commit`, `Release` and `Extend`: what becomes of a hold.

use std::sync::Arc;

use jiff::SignedDuration;

use super::judging::Judging;
use super::{ROUNDS_MAX, Reservation, Service, ServiceError, Sources, events_of, view, view_then};
use crate::domain::amount::Micros;
use crate::domain::balance::{Balance, Snapshot};
use crate::domain::catalog::Catalog;
use crate::domain::event::CostEvent;
use crate::domain::ids::{ReservationId, SubjectId, TraceId};
use crate::domain::ledger::{
    AccountKey, Answer, Done, EventKind, Expected, Fingerprint, Movement, Next, Row, Source, State, Step, Transaction,
};
use crate::domain::settlement::{Billing, Ending, Settlement, own_left};
use crate::store::Urgency;

#[derive(Debug, Clone)]
pub struct SettleCommand {
    pub subject: SubjectId,
    pub id: ReservationId,
    pub ending: Ending,
    pub billing: Billing,
    pub fingerprint: Fingerprint,
    /// The trace of the call.
    pub trace: Option<TraceId>,
}

#[derive(Debug, Clone)]
pub struct ExtendCommand {
    pub subject: SubjectId,
    pub id: ReservationId,
    pub ttl: Option<SignedDuration>,
    /// The caller does not know how the open attempt ended, and will find out (L7).
    pub outcome_unknown: bool,
    pub fingerprint: Fingerprint,
}

/// The answer to a settlement.
#[derive(Debug, Clone)]
pub struct Settled {
    /// `None` only where it is queued: the sidecar has never seen the reservation.
    pub reservation: Option<Reservation>,
    pub balances: Vec<Balance>,
    pub events: Vec<CostEvent>,
    pub replayed: bool,
    /// It is in the journal, and is carried out when the store is back.
    pub queued: bool,
}

/// What a settlement finds.
pub(super) enum Found {
    /// It was settled by this very request.
    Replayed(Arc<Row>),
    Open(Arc<Row>),
}

impl Service {
    /// Ends a reservation. What was really used is charged, never dropped (L3); a repeat gives the stored answer (L10). While the store is
    /// away it is queued (W2), and so is what comes for a subject that has something queued.
    pub async fn settle(&self, command: SettleCommand) -> Result<Settled, ServiceError> {
        let mut seen = None;
        let Some(fallback) = &self.fallback else { return self.settle_now(&command, &mut seen).await };
        if fallback.journal.has(&command.subject) {
            return self.queue_settlement(fallback, command, None).await;
        }
        let patience = fallback.patience();
        let mut answered = patience.within(self.settle_now(&command, &mut seen)).await;
        if patience.is_left_after(&answered).await {
            answered = patience.within(self.settle_now(&command, &mut seen)).await;
        }
        match answered {
            Err(ServiceError::Store(error)) if fallback.takes(&error) => self.queue_settlement(fallback, command, seen).await,
            answered => answered,
        }
    }

    /// Ends a reservation in the store. `seen` is the reservation as it was last seen, before and after.
    pub(super) async fn settle_now(&self, command: &SettleCommand, seen: &mut Option<Arc<Row>>) -> Result<Settled, ServiceError> {
        let mut judging = Judging::new(self, &command.subject);
        if seen.is_none() {
            // Where it was seen here as held, that is taken for true: if it is not, the store says how it really is.
            *seen = self.recent.remove(&(command.subject.clone(), command.id.clone()));
        }
        for _ in 0..ROUNDS_MAX {
            let row = match seen {
                Some(row) => row.clone(),
                None => seen.insert(self.known(&command.subject, &command.id, Urgency::Settle).await?).clone(),
            };
            let row = match find(row, command)? {
                Found::Replayed(row) => return self.settled_before(command, row).await,
                Found::Open(row) => row,
            };
            let current = self.catalogs.current();
            let pinned = self.catalogs.pinned(&row.detail.catalog, &*self.store).await?;
            let document = self.cached_document(&command.subject).await?;
            let now = view(&current, document.as_deref(), judging.now)?;
            let then = view_then(&pinned, document.as_deref(), row.detail.judged_at)?;
            let mut settlement = Settlement {
                subject: &command.subject,
                row: &row,
                ending: &command.ending,
                billing: &command.billing,
                fingerprint: command.fingerprint,
                trace: command.trace,
                left: Micros::ZERO,
            };
            let own = settlement.own_to_read(&now, &then)?;
            if !own.is_empty() {
                let keys: Vec<AccountKey> = own.iter().flat_map(Source::accounts).cloned().collect();
                let accounts = self.store.accounts(&command.subject, keys.clone()).await?;
                settlement.left = own_left(&own, &Snapshot::new(keys.into_iter().zip(accounts)));
            }
            let worked_out = settlement.work_out(&pinned, &now, &then)?;
            let keys = worked_out.transaction.keys();
            let sources = Sources { paying: worked_out.sources, overage: worked_out.overage };
            match self.store.execute(worked_out.transaction, Urgency::Settle).await? {
                Answer::Done(done) => return self.settled(command, &current, &sources, keys, done),
                // Somebody else changed it, or the subject, meanwhile: judge anew.
                Answer::StaleReservation(Some(row)) => *seen = Some(row),
                Answer::StaleReservation(None) => return Err(ServiceError::ReservationNotFound(command.id.clone())),
                answer => judging.anew(answer).await?,
            }
        }
        Err(ServiceError::Contended)
    }

    /// Lengthens a held reservation to `ttl` from now; never shortens it, so that a repeat is harmless. An outcome that the caller does not
    /// know is noted until somebody settles (L7).
    pub async fn extend(&self, command: ExtendCommand) -> Result<Reservation, ServiceError> {
        let ttl = self.ttl(command.ttl)?;
        self.not_queued(&command.subject, &command.id)?;
        for _ in 0..ROUNDS_MAX {
            let row = self.known(&command.subject, &command.id, Urgency::Settle).await?;
            if row.state != State::Held {
                return Err(ServiceError::ReservationSettled(row.state));
            }
            let mut detail = row.detail.clone();
            if command.outcome_unknown
                && let Some(open) = Arc::make_mut(&mut detail).attempts.last_mut()
            {
                open.outcome_unknown = true;
            }
            let transaction = Transaction {
                subject: command.subject.clone(),
                judged_by: None,
                valid: None,
                dry_run: false,
                document: None,
                correction: None,
                step: Some(Step {
                    id: command.id.clone(),
                    fingerprint: command.fingerprint,
                    expected: Expected::Version(row.version),
                    movement: Movement::Keep,
                    next: Next { state: State::Held, ttl: Some(ttl), detail, event: EventKind::Extended },
                }),
            };
            match self.store.execute(transaction, Urgency::Settle).await? {
                Answer::Done(Done { row: Some(row), .. }) => {
                    let reservation = Reservation { subject: command.subject, row };
                    self.remember(&reservation);
                    return Ok(reservation);
                }
                Answer::StaleReservation(_) => {}
                answer => return Err(ServiceError::unexpected(&answer)),
            }
        }
        Err(ServiceError::Contended)
    }

    pub(super) async fn known(&self, subject: &SubjectId, id: &ReservationId, urgency: Urgency) -> Result<Arc<Row>, ServiceError> {
        let row = self.store.reservation(subject, id, urgency).await?;
        row.ok_or_else(|| ServiceError::ReservationNotFound(id.clone()))
    }

    fn settled(
        &self,
        command: &SettleCommand,
        catalog: &Catalog,
        sources: &Sources,
        keys: Vec<AccountKey>,
        done: Done,
    ) -> Result<Settled, ServiceError> {
        if let Some(document) = &done.document {
            self.keep(&command.subject, Some(document.clone()));
        }
        let row = done.row.clone().ok_or_else(|| ServiceError::unexpected(&done))?;
        let snapshot = Snapshot::new(keys.into_iter().zip(done.accounts));
        let balances = self.balance(catalog, row.detail.meter.as_ref(), sources, &snapshot);
        let reservation = Reservation { subject: command.subject.clone(), row };
        Ok(Settled::now(reservation, balances, false))
    }

    async fn settled_before(&self, command: &SettleCommand, row: Arc<Row>) -> Result<Settled, ServiceError> {
        let (catalog, document) = (self.catalogs.current(), self.cached_document(&command.subject).await?);
        let view = view(&catalog, document.as_deref(), self.clock.now())?;
        let balances = self.balances_of_row(&command.subject, &row, &view).await?;
        let reservation = Reservation { subject: command.subject.clone(), row };
        Ok(Settled::now(reservation, balances, true))
    }
}

impl Settled {
    /// What the store said.
    pub(super) fn now(reservation: Reservation, balances: Vec<Balance>, replayed: bool) -> Self {
        Self { events: events_of(&reservation), reservation: Some(reservation), balances, replayed, queued: false }
    }
}

/// What a reservation is to a settlement: open for it, ended by it, or ended otherwise.
pub(super) fn find(row: Arc<Row>, command: &SettleCommand) -> Result<Found, ServiceError> {
    match (row.state, &command.ending) {
        (State::Held, _) | (State::Expired, Ending::Commit { .. }) => Ok(Found::Open(row)),
        (State::Committed | State::Released, _) if row.settled_by == Some(command.fingerprint) => Ok(Found::Replayed(row)),
        (state @ (State::Committed | State::Released | State::Expired), _) => Err(ServiceError::ReservationSettled(state)),
    }
}
