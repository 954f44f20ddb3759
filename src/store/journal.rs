//! The journal of a sidecar: what it keeps while the store is away (W2).
//!
//! The queue on disk is [`crate::journal`]'s; this says what an entry of it is, how it is written down, and what is queued about one
//! reservation. Entries of one subject are one line: what comes for it queues behind.

mod entry;

use std::fmt::Display;
use std::sync::Arc;

pub use self::entry::{Command, Entry, QueuedHold, QueuedSettlement, QueuedUsage};
use super::record::{self, RecordError};
use crate::domain::ids::{ReservationId, SubjectId};
pub use crate::journal::{JournalError, Number, OpenError};

pub type Journal = crate::journal::Journal<Entry>;
pub type Appended = crate::journal::Appended<Entry>;
pub type DeadEntry = crate::journal::DeadEntry<Entry>;

/// What is queued about one reservation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queued {
    pub opening: Option<Arc<Entry>>,
    pub settlement: Option<Arc<Entry>>,
}

impl Queued {
    pub fn is_empty(&self) -> bool {
        self.opening.is_none() && self.settlement.is_none()
    }

    /// The reservation as last known.
    pub fn row(&self) -> Option<&Arc<crate::domain::ledger::Row>> {
        let known = |entry: &Option<Arc<Entry>>| entry.as_ref().and_then(|entry| entry.row().cloned()).is_some();
        let entry = if known(&self.settlement) { &self.settlement } else { &self.opening };
        entry.as_ref().and_then(|entry| entry.row())
    }
}

impl Journal {
    /// What is queued about a reservation.
    pub fn about(&self, subject: &SubjectId, id: &ReservationId) -> Queued {
        let place = |is_settlement| (subject.clone(), id.clone(), is_settlement);
        let [opening, settlement] = self.at([&place(false), &place(true)]);
        Queued { opening, settlement }
    }

    /// Subjects with something queued, the one that waits longest first.
    pub fn subjects(&self) -> Vec<SubjectId> {
        self.lines()
    }
}

impl crate::journal::Entry for Entry {
    const FILE: &'static str = "journal.redb";
    type Line = SubjectId;
    /// An id is opened once and ended once: the last says which of the two it is.
    type Place = (SubjectId, ReservationId, bool);
    type Malformed = RecordError;

    fn line(&self) -> &SubjectId {
        &self.subject
    }

    fn place(&self) -> Self::Place {
        (self.subject.clone(), self.id().clone(), self.is_settlement())
    }

    fn title(&self) -> impl Display {
        format!("{} of `{}`", self.name(), self.id())
    }

    fn repeats(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }

    fn encode(&self) -> Vec<u8> {
        record::encode_entry(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        record::decode_entry(bytes)
    }

    fn encode_dead(dead: &DeadEntry) -> Vec<u8> {
        record::encode_dead_entry(dead)
    }

    fn decode_dead(bytes: &[u8]) -> Result<DeadEntry, RecordError> {
        record::decode_dead_entry(bytes)
    }
}
