//! What the ledger keeps of a reservation, and the event each change leaves.

use std::sync::Arc;

use jiff::Timestamp;

use super::account::{AccountKey, AccountKind};
use crate::domain::amount::Micros;
use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::reservation::Detail;
use crate::domain::subject::Document;

/// A digest of a request's payload: the same id with another one is another request (L1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Held,
    Committed,
    Released,
    Expired,
}

/// One reservation. `detail` is the policy's; the ledger keeps it, and reads of it which generation this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: ReservationId,
    /// Rises by one with every change.
    pub version: u64,
    /// The number of the event of its last change.
    pub sequence: u64,
    pub state: State,
    /// Of the request that opened it, and of the one that ended it.
    pub opened_by: Fingerprint,
    pub settled_by: Option<Fingerprint>,
    pub create_time: Timestamp,
    /// When its generation began: with this reservation, or with an earlier one that was remembered when this one was made.
    pub began: Timestamp,
    /// When a held reservation expires.
    pub deadline: Timestamp,
    pub settle_time: Option<Timestamp>,
    /// The receipt: what each account gave.
    pub legs: Vec<Leg>,
    /// Committed after it had expired (L6).
    pub late: bool,
    pub detail: Arc<Detail>,
}

/// One account's share of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    pub account: AccountKey,
    /// What was set aside here. In force while the reservation is held; afterwards a memory.
    pub held: Micros,
    /// What was used here: by the settlement, and before it by attempts that were billed and closed. What was refunded is no longer used.
    pub used: Micros,
}

impl Row {
    /// Units set aside, now or before the end.
    pub fn units_held(&self) -> Micros {
        self.sum(|leg| if leg.account.kind().pays() { leg.held } else { Micros::ZERO })
    }

    /// Units charged and not refunded, overage included.
    pub fn units_used(&self) -> Micros {
        self.sum(|leg| if leg.account.kind().pays() { leg.used } else { Micros::ZERO })
    }

    /// Units charged, overage included, whatever was refunded since.
    pub fn units_charged(&self) -> Micros {
        total([self.units_used(), self.units_refunded()])
    }

    /// Units charged that no source could pay, whatever was refunded since.
    pub fn units_overage(&self) -> Micros {
        let left = self.sum(|leg| if leg.account.kind() == AccountKind::Overage { leg.used } else { Micros::ZERO });
        total(self.detail.refunds.iter().map(|refund| refund.overage).chain([left]))
    }

    /// Units given back by refunds.
    pub fn units_refunded(&self) -> Micros {
        total(self.detail.refunds.iter().map(|refund| refund.units))
    }

    /// The version in which it ended: each refund raises it by one.
    pub fn settled_version(&self) -> u64 {
        self.version.saturating_sub(u64::try_from(self.detail.refunds.len()).unwrap_or(u64::MAX))
    }

    fn sum(&self, of: impl Fn(&Leg) -> Micros) -> Micros {
        total(self.legs.iter().map(of))
    }
}

/// The sum, which stops at the largest amount.
fn total(amounts: impl IntoIterator<Item = Micros>) -> Micros {
    Micros::new(amounts.into_iter().map(Micros::get).sum()).unwrap_or(Micros::MAX)
}

/// One change of the ledger, written in the same atomic step (C8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Without gaps, rising (I11).
    pub sequence: u64,
    /// Never before the event before it (I15).
    pub time: Timestamp,
    pub kind: EventKind,
    pub subject: SubjectId,
    /// The reservation after the change.
    pub row: Option<Arc<Row>>,
    /// The subject's document after the change.
    pub document: Option<Arc<Document>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    Reserved,
    /// An attempt was closed and the next one opened.
    Retried,
    Extended,
    Committed,
    Released,
    Expired,
    Recorded,
    /// Units of a settled reservation went back to the accounts that paid.
    Refunded,
    SubjectChanged,
}
