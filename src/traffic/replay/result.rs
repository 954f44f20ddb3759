//! What a replay comes to.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::amount::Micros;
use crate::domain::denial::{Denial, DenialReason};
use crate::domain::event::closed_attempt;
use crate::domain::ids::SubjectId;
use crate::domain::ledger::Row;
use crate::traffic::{Attempted, Sum};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replayed {
    /// By action, plan as the events name it, and target; empty texts stand for what was not there.
    pub rows: BTreeMap<(String, String, String), Totals>,
    pub denied: BTreeMap<SubjectId, DeniedSubject>,
    /// Attempts that make no sense under the catalog, by what is wrong.
    pub refused: BTreeMap<String, u64>,
}

/// Sums of attempts, as they were and as they would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub attempts: u64,
    /// Attempts that would not have been made, for they or an earlier one of their reservation would have been denied or refused.
    pub not_made: u64,
    pub units_then: Sum,
    pub units_now: Sum,
    /// The part of the units that no source pays.
    pub overage_then: Sum,
    pub overage_now: Sum,
    pub cost_then: Sum,
    pub cost_now: Sum,
}

/// A subject that would have been denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedSubject {
    /// Reservations.
    pub count: u64,
    pub first_time: Timestamp,
    pub first_reason: DenialReason,
    /// One sentence.
    pub first_message: String,
}

impl Replayed {
    /// All rows together.
    pub fn total(&self) -> Totals {
        self.rows.values().fold(Totals::default(), |mut total, row| {
            total.attempts += row.attempts;
            total.not_made += row.not_made;
            total.units_then += row.units_then;
            total.units_now += row.units_now;
            total.overage_then += row.overage_then;
            total.overage_now += row.overage_now;
            total.cost_then += row.cost_then;
            total.cost_now += row.cost_now;
            total
        })
    }

    fn row(&mut self, attempt: &Attempted) -> &mut Totals {
        let plan = attempt.plan.as_ref().map(ToString::to_string).unwrap_or_default();
        let target = attempt.target.as_ref().map(ToString::to_string).unwrap_or_default();
        let row = self.rows.entry((attempt.action.to_string(), plan, target)).or_default();
        row.attempts += 1;
        row.units_then += attempt.units;
        row.overage_then += attempt.overage;
        row.cost_then += attempt.cost;
        row
    }

    /// An attempt that another one followed: nothing is charged for it, and its cost is booked.
    pub(super) fn retried(&mut self, attempt: &Attempted, held: &Row) {
        let cost = held.detail.retried_attempt().map_or(Micros::ZERO, |closed| closed.cost);
        self.row(attempt).cost_now += cost;
    }

    pub(super) fn charged(&mut self, attempt: &Attempted, settled: &Row) {
        let closed = closed_attempt(settled);
        let row = self.row(attempt);
        row.units_now += closed.units;
        row.overage_now += settled.units_overage();
        row.cost_now += closed.cost;
    }

    pub(super) fn not_charged(&mut self, attempt: &Attempted) {
        self.row(attempt).not_made += 1;
    }

    /// `denial` is why, for the first one of a subject.
    pub(super) fn denied(&mut self, time: Timestamp, attempt: &Attempted, denial: Option<&Denial>) {
        if let Some(known) = self.denied.get_mut(&attempt.subject) {
            known.count += 1;
        } else if let Some(denial) = denial {
            let (first_reason, first_message) = (denial.reason(), denial.to_string());
            let first = DeniedSubject { count: 1, first_time: time, first_reason, first_message };
            self.denied.insert(attempt.subject.clone(), first);
        }
    }

    pub(super) fn refused(&mut self, problem: String) {
        *self.refused.entry(problem).or_default() += 1;
    }
}
