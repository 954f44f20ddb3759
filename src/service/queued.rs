//! Settlements and usage that wait in the journal: how they get there, and what is said of them until the store has taken them (W2).
//!
//! What is queued for a subject is carried out in order, so whatever comes for it meanwhile queues behind; nothing overtakes. Whatever can
//! be found wrong with a command is found before it is written down: afterwards nobody is left to be told.

use std::sync::Arc;

use super::outage::Fallback;
use super::settle::{Found, find};
use super::{RecordCommand, Reservation, Service, ServiceError, SettleCommand, Settled, view, view_then};
use crate::domain::amount::Micros;
use crate::domain::charge::Charge;
use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::ledger::{Row, State};
use crate::domain::reservation::Outcome;
use crate::domain::settlement::{self, Ending, Settlement};
use crate::store::StoreError;
use crate::store::journal::{Appended, Command, Entry, Queued, QueuedSettlement, QueuedUsage};

impl Service {
    /// Writes a settlement down. The same one again is queued already; another one comes too late.
    pub(super) async fn queue_settlement(
        &self,
        fallback: &Fallback,
        command: SettleCommand,
        seen: Option<Arc<Row>>,
    ) -> Result<Settled, ServiceError> {
        let queued = fallback.journal.about(&command.subject, &command.id);
        if let Some(state) = queued.opening.as_deref().and_then(recorded_as) {
            return Err(ServiceError::ReservationSettled(state));
        }
        let recent = || self.recent.get(&(command.subject.clone(), command.id.clone()));
        let row = seen.or_else(|| queued.row().cloned()).or_else(recent);
        if let Some(row) = &row {
            match find(row.clone(), &command)? {
                Found::Replayed(row) => {
                    let reservation = Reservation { subject: command.subject, row };
                    return Ok(Settled::now(reservation, Vec::new(), true));
                }
                Found::Open(row) => self.check_settlement(&command, &row)?,
            }
        }
        let subject = command.subject.clone();
        let entry = Entry { subject: subject.clone(), accept_time: self.clock.now(), command: command.queued(row.clone()) };
        match fallback.append(entry).await? {
            Appended::New => Ok(Settled::queued(subject, row, false)),
            Appended::Repeated(known) => Ok(Settled::queued(subject, known.row().cloned(), true)),
            Appended::Conflict(known) => Err(ServiceError::ReservationSettled(settled_as(&known).unwrap_or(State::Held))),
        }
    }

    /// Writes usage down.
    pub(super) async fn queue_usage(&self, fallback: &Fallback, command: RecordCommand) -> Result<Settled, ServiceError> {
        self.check_usage(&command)?;
        let subject = command.subject.clone();
        let entry = Entry { subject: subject.clone(), accept_time: self.clock.now(), command: command.queued() };
        match fallback.append(entry).await? {
            Appended::New => Ok(Settled::queued(subject, None, false)),
            Appended::Repeated(_) => Ok(Settled::queued(subject, None, true)),
            Appended::Conflict(_) => Err(ServiceError::IdReused("usage_id")),
        }
    }

    /// What the journal knows of a reservation.
    pub(super) fn queued_row(&self, subject: &SubjectId, id: &ReservationId) -> Option<Arc<Row>> {
        self.fallback.as_ref()?.journal.about(subject, id).row().cloned()
    }

    /// Refuses to change a reservation of which something is queued: it has ended already, or is not in the store yet.
    pub(super) fn not_queued(&self, subject: &SubjectId, id: &ReservationId) -> Result<(), ServiceError> {
        let queued = self.fallback.as_ref().map_or_else(Queued::default, |fallback| fallback.journal.about(subject, id));
        if let Some(state) = queued.settlement.as_deref().and_then(settled_as) {
            return Err(ServiceError::ReservationSettled(state));
        }
        if queued.opening.is_some() { Err(not_stored()) } else { Ok(()) }
    }

    /// Refuses to build on a reservation of which anything is queued: what becomes of it is not known before the store has taken that.
    pub(super) fn nothing_queued(&self, subject: &SubjectId, id: &ReservationId) -> Result<(), ServiceError> {
        let queued = self.fallback.as_ref().map_or_else(Queued::default, |fallback| fallback.journal.about(subject, id));
        if queued.opening.is_some() || queued.settlement.is_some() { Err(not_stored()) } else { Ok(()) }
    }

    /// Finds what is wrong with a settlement, as far as that can be told without the store.
    fn check_settlement(&self, command: &SettleCommand, row: &Row) -> Result<(), ServiceError> {
        let Some(pinned) = self.catalogs.at_hand(&row.detail.catalog) else { return Ok(()) };
        let (current, document) = (self.catalogs.current(), self.documents.get(&command.subject).flatten());
        let now = view(&current, document.as_deref(), self.clock.now())?;
        let then = view_then(&pinned, document.as_deref(), row.detail.judged_at)?;
        let settlement = Settlement {
            subject: &command.subject,
            row,
            ending: &command.ending,
            billing: &command.billing,
            fingerprint: command.fingerprint,
            trace: command.trace,
            left: Micros::ZERO,
        };
        settlement.work_out(&pinned, &now, &then)?;
        Ok(())
    }

    /// Finds what is wrong with usage. A subject that was never seen here stands for one without a document: that changes no field.
    fn check_usage(&self, command: &RecordCommand) -> Result<(), ServiceError> {
        let (catalog, document) = (self.catalogs.current(), self.documents.get(&command.subject).flatten());
        let view = view(&catalog, document.as_deref(), self.clock.now())?;
        let mut charge = Charge::judge(&catalog, &view, &command.ask())?;
        let opening = command.opening(&charge, &catalog);
        settlement::record(&catalog, &view, &mut charge, command.outcome, &command.billing, opening)?;
        Ok(())
    }
}

impl SettleCommand {
    fn queued(self, row: Option<Arc<Row>>) -> Command {
        let Self { subject: _, id, ending, billing, fingerprint, trace } = self;
        Command::Settlement(QueuedSettlement { id, ending, billing, fingerprint, trace, row })
    }

    /// The command that was queued.
    pub(super) fn of(subject: &SubjectId, queued: &QueuedSettlement) -> Self {
        let QueuedSettlement { id, ending, billing, fingerprint, trace, row: _ } = queued.clone();
        Self { subject: subject.clone(), id, ending, billing, fingerprint, trace }
    }
}

impl RecordCommand {
    fn queued(self) -> Command {
        let Self { subject: _, user, id, generation, action, target, work, billing, outcome, labels, fingerprint, trace } = self;
        Command::Usage(QueuedUsage { user, id, generation, action, target, work, billing, outcome, labels, fingerprint, trace })
    }

    /// The command that was queued.
    pub(super) fn of(subject: &SubjectId, queued: &QueuedUsage) -> Self {
        let QueuedUsage { user, id, generation, action, target, work, billing, outcome, labels, fingerprint, trace } = queued.clone();
        Self { subject: subject.clone(), user, id, generation, action, target, work, billing, outcome, labels, fingerprint, trace }
    }
}

impl Settled {
    /// What is said of a command that was written down: nothing has changed yet.
    fn queued(subject: SubjectId, row: Option<Arc<Row>>, replayed: bool) -> Self {
        let reservation = row.map(|row| Reservation { subject, row });
        Self { reservation, balances: Vec::new(), events: Vec::new(), replayed, queued: true }
    }
}

fn not_stored() -> ServiceError {
    StoreError::Unavailable { reason: Arc::from("the reservation is not in the store yet, as it is known here") }.into()
}

/// How a reservation will have ended when what is queued has been carried out.
fn settled_as(entry: &Entry) -> Option<State> {
    match &entry.command {
        Command::Settlement(QueuedSettlement { ending: Ending::Commit { .. }, .. }) => Some(State::Committed),
        Command::Settlement(QueuedSettlement { ending: Ending::Release { .. }, .. }) => Some(State::Released),
        Command::Hold(_) | Command::Usage(_) => None,
    }
}

/// How usage that is queued will stand: it is settled from the start.
fn recorded_as(entry: &Entry) -> Option<State> {
    match &entry.command {
        Command::Usage(usage) if usage.outcome == Outcome::Accepted => Some(State::Committed),
        Command::Usage(_) => Some(State::Released),
        Command::Hold(_) | Command::Settlement(_) => None,
    }
}
