//! Cost events: what one attempt used, cost and shifted (C4). Derived from the ledger's own events, so neither can be without the other.

use std::sync::Arc;

use jiff::Timestamp;

use super::amount::Micros;
use super::ids::SubjectId;
use super::ledger::{Event, EventKind, Row, State};
use super::price_book::CostBasis;
use super::reservation::{Attempt, Detail, Outcome};
use super::subject::Document;
use super::work::Work;

/// One closed attempt. Who, where and why are in `detail` and `attempt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostEvent {
    /// The ledger's own number of the change; it names the event and orders the stream.
    pub sequence: u64,
    pub time: Timestamp,
    pub subject: SubjectId,
    pub row: Arc<Row>,
    pub attempt: Attempt,
    pub late: bool,
    pub overage: Micros,
}

/// A change of a subject's document, for the audit: what it was, who asked for it by which id, and why, is in the document's `change`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectChange {
    pub sequence: u64,
    pub time: Timestamp,
    pub subject: SubjectId,
    /// As it is after the change. Its version may not be known.
    pub document: Arc<Document>,
}

impl SubjectChange {
    /// The change of a subject that an event of the ledger is, beside what it may be of a reservation.
    pub fn of(event: &Event) -> Option<Self> {
        let document = event.document.clone()?;
        Some(Self { sequence: event.sequence, time: event.time, subject: event.subject.clone(), document })
    }
}

impl CostEvent {
    /// The cost event of a change, if it closed an attempt.
    pub fn of(event: &Event) -> Option<Self> {
        let row = event.row.as_ref()?;
        match event.kind {
            EventKind::Committed | EventKind::Released | EventKind::Expired | EventKind::Recorded => Self::of_row(&event.subject, row),
            EventKind::Retried => Self::of_retry(&event.subject, row, event.time),
            EventKind::Reserved | EventKind::Extended | EventKind::Refunded | EventKind::SubjectChanged => None,
        }
    }

    /// The cost event of the attempt that a retry closed: the last but one. `None` before any retry.
    pub fn of_retry(subject: &SubjectId, row: &Arc<Row>, time: Timestamp) -> Option<Self> {
        let attempt = row.detail.retried_attempt()?.clone();
        Some(Self { sequence: row.sequence, time, subject: subject.clone(), attempt, late: false, overage: Micros::ZERO, row: row.clone() })
    }

    /// The cost event of a reservation that has ended; a held one has none yet.
    pub fn of_row(subject: &SubjectId, row: &Arc<Row>) -> Option<Self> {
        let time = row.settle_time?;
        Some(Self {
            sequence: row.sequence,
            time,
            subject: subject.clone(),
            attempt: closed_attempt(row),
            late: row.late,
            overage: row.units_overage(),
            row: row.clone(),
        })
    }

    pub fn detail(&self) -> &Detail {
        &self.row.detail
    }

    /// What was delivered, or asked for where nothing was.
    pub fn work(&self) -> &Work {
        let Attempt { delivered, asked, .. } = &self.attempt;
        delivered.as_ref().or(asked.as_ref()).unwrap_or(&self.row.detail.work)
    }
}

/// The attempts of a reservation as they stand: an expiry, which is the ledger's doing, has closed the one that ran.
pub fn attempts(row: &Row) -> Vec<Attempt> {
    let mut attempts = row.detail.attempts.clone();
    if let Some(last) = attempts.last_mut() {
        *last = closed_attempt(row);
    }
    attempts
}

/// The attempt that ended the reservation. An expiry is the ledger's doing: it closes the attempt that ran, at no cost known.
pub fn closed_attempt(row: &Row) -> Attempt {
    let last = row.detail.last_attempt();
    match row.state {
        State::Expired => expired_attempt(last, row.settle_time),
        State::Held | State::Committed | State::Released => last.clone(),
    }
}

/// An attempt whose hold was given back by time alone: nothing is known of what it made or cost.
pub fn expired_attempt(attempt: &Attempt, end_time: Option<Timestamp>) -> Attempt {
    Attempt {
        outcome: Some(Outcome::Expired),
        units: Micros::ZERO,
        cost: Micros::ZERO,
        planned_cost: attempt.planned_cost.map(|_| Micros::ZERO),
        basis: CostBasis::None,
        end_time,
        ..attempt.clone()
    }
}

impl Attempt {
    /// What it cost above the planned target, in micro-units of the currency; below zero when it was cheaper, `None` when
    /// that target has no price.
    pub fn cost_shift_micros(&self) -> Option<i64> {
        self.planned_cost.map(|planned| self.cost.get() - planned.get())
    }

    /// Whether it ran elsewhere than planned.
    pub fn is_failover(&self, detail: &Detail) -> bool {
        self.target.is_some() && detail.planned_target.is_some() && self.target != detail.planned_target
    }
}
