//! A reservation as the policy sees it: who, what, where, and its attempts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::amount::Micros;
use super::ids::{ActionId, CatalogVersion, GenerationId, MeterId, PlanId, RequestId, Target, TierId, TraceId, UserId};
use super::ledger::Fingerprint;
use super::price_book::CostBasis;
use super::work::Work;

/// Most refunds of one reservation. Bounds its row.
pub const REFUNDS_MAX: usize = 64;

/// Labels of a reservation, copied to its events.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// What a reservation carries beside its accounts. It settles by the rates of `catalog`, whatever was loaded since (R9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    pub user: Option<UserId>,
    pub generation: GenerationId,
    pub action: ActionId,
    /// `None` for a free action.
    pub meter: Option<MeterId>,
    pub plan: Option<PlanId>,
    pub catalog: CatalogVersion,
    /// When it was judged: the rates of this instant settle it.
    pub judged_at: Timestamp,
    pub planned_target: Option<Target>,
    /// Where a retry may go: the hold is sized for the dearest of them that the failover policy allows.
    pub fallbacks: Vec<Target>,
    /// What the open attempt was asked for and granted.
    pub work: Work,
    /// The first is number 1. All but the last have ended.
    pub attempts: Vec<Attempt>,
    pub labels: Labels,
    pub currency: Box<str>,
    /// The cost set aside under cost caps for the open attempt.
    pub cost_reserved: Micros,
    /// What the caller said of the end.
    pub note: Box<str>,
    /// Let pass by the outage policy while the store was away: no account was asked (W1).
    pub unenforced: bool,
    /// Oldest first, at most [`REFUNDS_MAX`].
    pub refunds: Vec<Refund>,
}

/// Units that went back after a commit (L9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The id its caller gave it, unique within the reservation.
    pub request: RequestId,
    pub fingerprint: Fingerprint,
    pub units: Micros,
    /// The part of `units` that no source had paid.
    pub overage: Micros,
    pub time: Timestamp,
    /// What the caller said of it.
    pub note: Box<str>,
}

/// One call to one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub number: u32,
    pub reason: AttemptReason,
    pub target: Option<Target>,
    pub tier: Option<TierId>,
    /// `None` while it runs.
    pub outcome: Option<Outcome>,
    /// The caller once said that it does not know how this ended, and would find out (L7).
    pub outcome_unknown: bool,
    /// Units charged for it; before the end, units expected.
    pub units: Micros,
    /// What the provider bills; before the end, what it is expected to.
    pub cost: Micros,
    /// What the planned target would have cost for the same work; `None` where it has no price.
    pub planned_cost: Option<Micros>,
    pub basis: CostBasis,
    /// Since when the price applies; `None` without one.
    pub price_from: Option<Timestamp>,
    pub start_time: Timestamp,
    pub end_time: Option<Timestamp>,
    /// What it was asked for, where a later attempt of the reservation is asked for something else.
    pub asked: Option<Work>,
    /// What was made and what was billed, once known.
    pub delivered: Option<Work>,
    pub billed: Option<Work>,
    /// The retry that closed it, so that a repeat of that is known.
    pub closed_by: Option<Fingerprint>,
    /// The trace of the call that closed it.
    pub trace: Option<TraceId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptReason {
    First,
    Retry,
    Failover,
    RejectedOutput,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Accepted,
    /// By a quality gate.
    Rejected,
    Failed,
    /// By moderation.
    Blocked,
    Cancelled,
    Unknown,
    Expired,
}

impl Detail {
    /// What all attempts cost.
    pub fn cost_committed(&self) -> Option<Micros> {
        self.attempts
            .iter()
            .filter(|attempt| attempt.outcome.is_some())
            .try_fold(Micros::ZERO, |sum, attempt| sum.checked_add(attempt.cost))
    }

    /// What is set aside and was booked for all attempts: of a settled reservation, what was held for the last.
    pub fn cost_held(&self) -> Option<Micros> {
        let earlier = &self.attempts[..self.attempts.len().saturating_sub(1)];
        earlier.iter().try_fold(self.cost_reserved, |sum, attempt| sum.checked_add(attempt.cost))
    }

    /// The attempt that the last retry closed; `None` before any.
    pub fn retried_attempt(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().nth(1)
    }

    /// The attempt that runs, or the one that ended it.
    pub fn last_attempt(&self) -> &Attempt {
        self.attempts.last().expect("a reservation opens with its first attempt")
    }
}
