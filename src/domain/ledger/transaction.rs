//! The one primitive: give back, then take, then move the reservation and note the event; all or nothing.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::account::{Account, AccountKey};
use super::row::{EventKind, Fingerprint, Row, State};
use crate::domain::amount::Micros;
use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::reservation::Detail;
use crate::domain::subject::Document;

/// Everything one call changes, judged before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub subject: SubjectId,
    /// The version of the subject's document this was judged by; 0 for a subject without one. `None` where the document does not matter.
    pub judged_by: Option<u64>,
    /// The store times, `from <= t < until`, for which the accounts named here are the right ones.
    pub valid: Option<(Timestamp, Timestamp)>,
    /// Decide, and change nothing. (A hold whose time is over expires all the same: that is time's doing.)
    pub dry_run: bool,
    /// Takes the place of the subject's document.
    pub document: Option<Arc<Document>>,
    pub step: Option<Step>,
    /// What an administrator corrects. It belongs to no reservation, so there is no step beside it.
    pub correction: Option<Correction>,
}

/// What happens to one reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub id: ReservationId,
    pub fingerprint: Fingerprint,
    pub expected: Expected,
    pub movement: Movement,
    pub next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The id is new. If it is not, the answer is `Replayed` or `IdReused`.
    Absent,
    /// The reservation is as the caller last saw it.
    Version(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Movement {
    /// No account is touched.
    Keep,
    /// Gives back all that the reservation holds, then takes.
    Move { take: Take, into: Side },
    /// Gives back what the reservation has used (L9). How it ended, and when, stays.
    Refund(Refunding),
}

/// Used amounts that go back to the accounts that paid them. The receipt is the limit: of an account that used less, less goes back. An
/// account never has less than nothing committed: what an administrator took off before is not given again, and the window of a cap that is
/// over is gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refunding {
    pub shares: Vec<Share>,
    /// Accounts that the answer tells of.
    pub watched: Vec<AccountKey>,
}

/// A part of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub account: AccountKey,
    pub amount: Micros,
}

/// A change of what is committed, beside any reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correction {
    /// A take into *committed*.
    Raise(Take),
    /// Takes off what was committed. Denied as short where there is less.
    Lower(Share),
}

/// Which side of an account a take adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Reserved,
    Committed,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Take {
    pub units: Micros,
    /// In burn order. One account may stand here twice, such as a receipt's own and today's.
    pub sources: Vec<Source>,
    /// One source must pay all (P9, `split: false`). A source that could, and may give only `at_most`, leaves the rest to the next.
    pub whole: bool,
    /// Takes what no source can pay. Without it, such a take is denied.
    pub overage: Option<AccountKey>,
    pub caps: Vec<CapLeg>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub account: AccountKey,
    /// `None` is unlimited.
    pub limit: Option<Micros>,
    /// What this entry may give at the most, whatever is left.
    pub at_most: Option<Micros>,
    pub carry: Option<Carry>,
}

/// Raises a source's limit by what another account left unused, up to `cap` (P4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carry {
    pub account: AccountKey,
    pub limit: Micros,
    pub cap: Micros,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapLeg {
    pub account: AccountKey,
    pub amount: Micros,
    /// `None` counts and never refuses: what has happened is booked.
    pub limit: Option<Micros>,
    /// Whether to exceed the limit is refused, or only told.
    pub enforced: bool,
    /// Counts as committed whatever the take adds to: the cost of an attempt that is over, while the next one is held.
    pub booked: bool,
    pub lapses: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub state: State,
    /// From the store's now on; `None` keeps the deadline. A deadline never moves back.
    pub ttl: Option<SignedDuration>,
    pub detail: Arc<Detail>,
    pub event: EventKind,
}

/// What the ledger says to a transaction, in order of precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This id was used for this very request; nothing changed.
    Replayed(Arc<Row>),
    /// This id was used for another request; nothing changed.
    IdReused(Arc<Row>),
    /// The reservation is no longer as expected (`None`: it is unknown). Look again, and decide anew.
    StaleReservation(Option<Arc<Row>>),
    /// The subject's document has changed. Load it, and judge anew.
    StaleDocument,
    /// The store's now lies outside `valid`. Judge anew at this instant.
    StalePeriod {
        now: Timestamp,
    },
    /// An account would exceed the largest amount; nothing changed.
    AccountFull(AccountKey),
    /// The sources are short or a cap is reached; nothing changed.
    Denied(Denied),
    Done(Done),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The sources together cannot pay.
    pub short: bool,
    /// Indexes of the enforced caps that would be exceeded.
    pub caps_reached: Vec<usize>,
    /// The accounts as the take found them, what the reservation itself held already given back: one for each source, then one for each
    /// cap. Of what was to be lowered, its account.
    pub accounts: Vec<Account>,
    /// The store's time of the answer.
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The reservation after the change, if the transaction had a step; in a dry run, as it would be.
    pub row: Option<Arc<Row>>,
    pub document: Option<Arc<Document>>,
    /// The accounts after the change (as they are, in a dry run): one for each source, then one for each cap; of a refund those that are
    /// watched, of what was lowered its account.
    pub accounts: Vec<Account>,
    /// Indexes of caps that are exceeded without being enforced.
    pub caps_warned: Vec<usize>,
    /// The event's number, and its time.
    pub sequence: u64,
    pub now: Timestamp,
}

impl Transaction {
    /// The accounts an answer tells of, in its order.
    pub fn keys(&self) -> Vec<AccountKey> {
        self.told().cloned().collect()
    }

    pub(super) fn told(&self) -> impl Iterator<Item = &AccountKey> {
        let (take, others): (_, &[AccountKey]) = match (self.step.as_ref().map(|step| &step.movement), &self.correction) {
            (Some(Movement::Move { take, .. }), _) | (None, Some(Correction::Raise(take))) => (Some(take), &[]),
            (Some(Movement::Refund(refunding)), _) => (None, &refunding.watched),
            (None, Some(Correction::Lower(share))) => (None, std::slice::from_ref(&share.account)),
            (Some(Movement::Keep), _) | (None, None) => (None, &[]),
        };
        take.into_iter().flat_map(Take::keys).chain(others)
    }
}

impl Source {
    /// A source that gives up to its limit.
    pub fn limited(account: AccountKey, limit: Option<Micros>) -> Self {
        Self { account, limit, at_most: None, carry: None }
    }

    /// What this source could give, were it asked for all of it; `account` tells the state of an account.
    pub fn available(&self, account: impl Fn(&AccountKey) -> Account) -> Micros {
        let Some(limit) = self.limit else { return Micros::MAX };
        let limit = limit.checked_add(self.carried(&account)).unwrap_or(Micros::MAX);
        account(&self.account).available(limit)
    }

    /// What sources can pay together, or the best of them alone where one must pay all.
    pub fn together<'s>(sources: impl Iterator<Item = &'s Self>, whole: bool, account: impl Fn(&AccountKey) -> Account) -> Micros {
        let each = sources.map(|source| source.available(&account));
        if whole {
            return each.max().unwrap_or_default();
        }
        each.fold(Micros::ZERO, |sum, available| sum.checked_add(available).unwrap_or(Micros::MAX))
    }

    /// The accounts that tell what is available.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountKey> {
        std::iter::once(&self.account).chain(self.carry.as_ref().map(|carry| &carry.account))
    }

    /// What the account before left for this one.
    pub fn carried(&self, account: impl Fn(&AccountKey) -> Account) -> Micros {
        self.carry.as_ref().map_or(Micros::ZERO, |carry| account(&carry.account).available(carry.limit).min(carry.cap))
    }
}

impl Take {
    /// Whether it would be granted on accounts as they are.
    pub fn fits(&self, account: impl Fn(&AccountKey) -> Account) -> bool {
        let reached = |cap: &CapLeg| {
            let limit = cap.limit.filter(|_| cap.enforced && !cap.amount.is_zero());
            limit.is_some_and(|limit| cap.amount > account(&cap.account).available(limit))
        };
        self.units <= Source::together(self.sources.iter(), self.whole, &account) && !self.caps.iter().any(reached)
    }

    /// The accounts an answer tells of, in its order: one for each source, then one for each cap.
    pub fn keys(&self) -> impl Iterator<Item = &AccountKey> {
        self.sources.iter().map(|source| &source.account).chain(self.caps.iter().map(|cap| &cap.account))
    }
}

impl CapLeg {
    /// A leg that counts and refuses nothing: the answer tells how the account stands.
    pub fn watch(account: AccountKey) -> Self {
        Self { account, amount: Micros::ZERO, limit: None, enforced: false, booked: false, lapses: None }
    }
}
