//! Sums of ended attempts, by where they ran and for what. A store adds to them in the very step that ends a reservation, so that a
//! summary never has to read history (C5).

use std::fmt;

use super::amount::Micros;
use super::reservation::{Attempt, Detail, Outcome};

/// What a sum is of: always provider, model and tier, then action, plan and currency (C5). `*` stands for what there is none of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TallyKey(Box<str>);

/// What ended attempts came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// First attempts: each is a generation of its own.
    pub generations: u64,
    pub attempts: u64,
    /// Outputs that were accepted.
    pub outputs: u64,
    /// Attempts that ran elsewhere than planned.
    pub failovers: u64,
    pub units: Micros,
    pub cost: Micros,
    /// Cost above the planned targets, in micro-units of the currency; below zero where it was cheaper.
    pub cost_shift_micros: i64,
}

impl TallyKey {
    /// Of an attempt of a reservation.
    pub fn of(detail: &Detail, attempt: &Attempt) -> Self {
        let target = attempt.target.as_ref();
        let parts = [
            target.map(|target| target.provider.as_str()),
            target.map(|target| target.model.as_str()),
            attempt.tier.as_ref().map(|tier| tier.as_str()),
            Some(detail.action.as_str()),
            detail.plan.as_ref().map(|plan| plan.as_str()),
            Some(&*detail.currency).filter(|currency| !currency.is_empty()),
        ];
        Self(parts.map(|part| part.unwrap_or("*")).join("|").into())
    }

    /// Takes a key that a store kept; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| !part.is_empty() && !part.bytes().any(|byte| byte.is_ascii_whitespace());
        (text.split('|').count() == 6 && text.split('|').all(part)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TallyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Tally {
    /// Of one ended attempt.
    pub fn of(detail: &Detail, attempt: &Attempt) -> Self {
        let accepted = attempt.outcome == Some(Outcome::Accepted);
        let outputs = attempt.delivered.as_ref().filter(|_| accepted).map_or(0, |work| work.outputs());
        Self {
            generations: u64::from(attempt.number == 1),
            attempts: 1,
            outputs: u64::from(outputs),
            failovers: u64::from(attempt.is_failover(detail)),
            units: attempt.units,
            cost: attempt.cost,
            cost_shift_micros: attempt.cost_shift_micros().unwrap_or(0),
        }
    }
}
