//! What a subject asked for, newest first: the generations of `ListGenerations` with their attempts.

use super::query::place_text;
use super::shown::{Moment, Number, attempt_reason, state, target, text};
use crate::domain::history::Generation;
use crate::domain::reservation::Attempt;
use crate::domain::summary::outcome_name;
use crate::service::GenerationsPage;

/// Generations of one page.
pub(super) const PAGE: usize = 25;
/// Attempts of a generation that are shown: the last. A failover policy allows a handful.
const ATTEMPTS_MAX: usize = 20;

/// One page of the history.
pub(super) struct History {
    pub generations: Vec<GenerationShown>,
    /// Where the next page begins, as an address has it; `None` after the last.
    pub next: Option<String>,
}

pub(super) struct GenerationShown {
    pub id: String,
    pub began: Moment,
    pub user: String,
    pub action: String,
    pub state: &'static str,
    pub units: Number,
    pub meter: String,
    pub cost: Number,
    pub currency: String,
    pub attempts: Vec<AttemptShown>,
    /// Earlier attempts that there was no room for.
    pub attempts_left_out: usize,
    pub labels: Vec<(String, String)>,
}

pub(super) struct AttemptShown {
    pub target: String,
    pub tier: String,
    /// `running` while it does.
    pub outcome: &'static str,
    /// Empty for the first.
    pub reason: &'static str,
    pub cost: Number,
    /// `None`: as planned, or the planned target has no price.
    pub cost_shift: Option<Number>,
}

impl History {
    pub(super) fn of(page: &GenerationsPage) -> Self {
        Self { generations: page.generations.iter().map(GenerationShown::of).collect(), next: page.next.as_ref().map(place_text) }
    }
}

impl GenerationShown {
    fn of(generation: &Generation) -> Self {
        let attempts_left_out = generation.attempts.len().saturating_sub(ATTEMPTS_MAX);
        Self {
            id: generation.id.to_string(),
            began: Moment::of(generation.create_time),
            user: text(generation.user.as_ref()),
            action: generation.action.to_string(),
            state: state(generation.state),
            units: Number::micros(generation.units),
            meter: text(generation.meter.as_ref()),
            cost: Number::micros(generation.cost),
            currency: generation.currency.to_string(),
            attempts: generation.attempts[attempts_left_out..].iter().map(AttemptShown::of).collect(),
            attempts_left_out,
            labels: generation.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        }
    }
}

impl AttemptShown {
    fn of(attempt: &Attempt) -> Self {
        Self {
            target: target(attempt.target.as_ref()),
            tier: text(attempt.tier.as_ref()),
            outcome: attempt.outcome.map_or("running", outcome_name),
            reason: if attempt.number == 1 { "" } else { attempt_reason(attempt.reason) },
            cost: attempt.cost.into(),
            cost_shift: attempt.cost_shift_micros().filter(|shift| *shift != 0).map(Number::micros),
        }
    }
}
