//! What the journal queues: commands as their callers gave them, with what was known when they were accepted.
//!
//! A command and not a transaction: it is judged anew when it is replayed, so that nothing an administrator did meanwhile is undone.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::{ActionId, GenerationId, ReservationId, SubjectId, Target, TraceId, UserId};
use crate::domain::ledger::{Fingerprint, Row};
use crate::domain::reservation::{Labels, Outcome};
use crate::domain::settlement::{Billing, Ending};
use crate::domain::work::Work;

/// A command that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub subject: SubjectId,
    /// By the sidecar's clock.
    pub accept_time: Timestamp,
    pub command: Command,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Settlement(QueuedSettlement),
    Hold(QueuedHold),
    Usage(QueuedUsage),
}

/// The end of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedSettlement {
    pub id: ReservationId,
    pub ending: Ending,
    pub billing: Billing,
    pub fingerprint: Fingerprint,
    /// The trace of the call.
    pub trace: Option<TraceId>,
    /// The reservation as last known to the sidecar.
    pub row: Option<Arc<Row>>,
}

/// A hold that the outage policy let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedHold {
    /// Its units stand on the overage account until the ledger says who pays.
    pub row: Arc<Row>,
    /// From the moment it is booked.
    pub ttl: SignedDuration,
}

/// Usage without a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedUsage {
    pub user: Option<UserId>,
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

impl Entry {
    /// The reservation or usage it is about.
    pub fn id(&self) -> &ReservationId {
        match &self.command {
            Command::Settlement(settlement) => &settlement.id,
            Command::Hold(hold) => &hold.row.id,
            Command::Usage(usage) => &usage.id,
        }
    }

    /// Of the request.
    pub fn fingerprint(&self) -> Fingerprint {
        match &self.command {
            Command::Settlement(settlement) => settlement.fingerprint,
            Command::Hold(hold) => hold.row.opened_by,
            Command::Usage(usage) => usage.fingerprint,
        }
    }

    /// Whether it ends a reservation, as opposed to opening one. An id is opened once and ended once.
    pub fn is_settlement(&self) -> bool {
        matches!(self.command, Command::Settlement(_))
    }

    /// The reservation as last known, where the entry has it.
    pub fn row(&self) -> Option<&Arc<Row>> {
        match &self.command {
            Command::Settlement(settlement) => settlement.row.as_ref(),
            Command::Hold(hold) => Some(&hold.row),
            Command::Usage(_) => None,
        }
    }

    /// What it is called in logs and tables.
    pub fn name(&self) -> &'static str {
        match &self.command {
            Command::Settlement(QueuedSettlement { ending: Ending::Commit { .. }, .. }) => "commit",
            Command::Settlement(QueuedSettlement { ending: Ending::Release { .. }, .. }) => "release",
            Command::Hold(_) => "hold",
            Command::Usage(_) => "usage",
        }
    }
}
