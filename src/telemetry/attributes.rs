//! A reservation and its attempts as attributes of a span or of a log record.
//!
//! Owns the words for reasons and decisions. Amounts become binary floating point here, because that is what such tools compare; the exact
//! ones are in the ledger.

use opentelemetry::KeyValue;

use super::names::attribute;
use crate::domain::amount::{MICROS_PER_UNIT, Micros};
use crate::domain::ids::{ActionId, Target};
use crate::domain::ledger::State;
use crate::domain::reservation::{Attempt, AttemptReason, Detail};
use crate::domain::summary::outcome_name;

/// The most attributes of one attempt, so that their list is made once.
const ATTRIBUTES_MAX: usize = 20;

/// For what and where an attempt is made.
pub(super) fn of_target(action: &ActionId, target: Option<&Target>) -> impl Iterator<Item = KeyValue> {
    let target = target
        .into_iter()
        .flat_map(|target| [text(attribute::PROVIDER, target.provider.as_str()), text(attribute::MODEL, target.model.as_str())]);
    std::iter::once(text(attribute::OPERATION, action.as_str())).chain(target)
}

/// What one attempt of a reservation counted and cost.
pub(super) fn of_attempt(detail: &Detail, attempt: &Attempt) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(ATTRIBUTES_MAX);
    attributes.extend([
        text(attribute::GENERATION, detail.generation.as_str()),
        KeyValue::new(attribute::ATTEMPT, i64::from(attempt.number)),
        KeyValue::new(attribute::ATTEMPT_REASON, attempt_reason(attempt.reason)),
        KeyValue::new(attribute::UNITS, units(attempt.units)),
        KeyValue::new(attribute::COST, units(attempt.cost)),
        KeyValue::new(attribute::FAILOVER, attempt.is_failover(detail)),
        text(attribute::CATALOG, detail.catalog.as_str()),
    ]);
    attributes.extend(attempt.outcome.map(|ended| KeyValue::new(attribute::OUTCOME, outcome_name(ended))));
    attributes.extend(attempt.tier.as_ref().map(|tier| text(attribute::TIER, tier.as_str())));
    attributes.extend(detail.plan.as_ref().map(|plan| text(attribute::PLAN, plan.as_str())));
    attributes.extend(detail.meter.as_ref().map(|meter| text(attribute::METER, meter.as_str())));
    if !detail.currency.is_empty() {
        attributes.push(text(attribute::CURRENCY, &detail.currency));
    }
    if let Some(planned) = detail.planned_target.as_ref() {
        attributes.push(text(attribute::PLANNED_PROVIDER, planned.provider.as_str()));
        attributes.push(text(attribute::PLANNED_MODEL, planned.model.as_str()));
    }
    if let (Some(planned), Some(shift)) = (attempt.planned_cost, attempt.cost_shift_micros()) {
        attributes.push(KeyValue::new(attribute::COST_PLANNED, units(planned)));
        attributes.push(KeyValue::new(attribute::COST_SHIFT, whole(shift)));
    }
    attributes
}

/// Outputs asked for.
pub(super) fn outputs_asked(detail: &Detail) -> KeyValue {
    KeyValue::new(attribute::OUTPUTS_ASKED, i64::from(detail.work.outputs()))
}

pub(super) fn text(name: &'static str, value: &str) -> KeyValue {
    KeyValue::new(name, value.to_owned())
}

pub(super) fn units(amount: Micros) -> f64 {
    whole(amount.get())
}

#[expect(clippy::float_arithmetic, reason = "what is shown is a measurement; the money is in the ledger")]
fn whole(micros: i64) -> f64 {
    micros as f64 / MICROS_PER_UNIT as f64
}

pub(super) fn attempt_reason(reason: AttemptReason) -> &'static str {
    match reason {
        AttemptReason::First => "first",
        AttemptReason::Retry => "retry",
        AttemptReason::Failover => "failover",
        AttemptReason::RejectedOutput => "rejected_output",
    }
}

/// What was decided of a reservation that stands.
pub(super) fn decision(state: State) -> &'static str {
    match state {
        State::Held => "held",
        State::Committed => "committed",
        State::Released => "released",
        State::Expired => "expired",
    }
}

/// Reasons of denials.
pub(super) mod denial_reason {
    use crate::domain::denial::DenialReason;

    pub(in crate::telemetry) const ALL: [DenialReason; 8] = [
        DenialReason::SubjectSuspended,
        DenialReason::NoSubscription,
        DenialReason::FeatureNotInPlan,
        DenialReason::SeatsExhausted,
        DenialReason::UnpricedTarget,
        DenialReason::FailoverPolicy,
        DenialReason::CapReached,
        DenialReason::QuotaExhausted,
    ];

    pub(in crate::telemetry) fn name(reason: DenialReason) -> &'static str {
        match reason {
            DenialReason::SubjectSuspended => "subject_suspended",
            DenialReason::NoSubscription => "no_subscription",
            DenialReason::FeatureNotInPlan => "feature_not_in_plan",
            DenialReason::SeatsExhausted => "seats_exhausted",
            DenialReason::UnpricedTarget => "unpriced_target",
            DenialReason::FailoverPolicy => "failover_policy",
            DenialReason::CapReached => "cap_reached",
            DenialReason::QuotaExhausted => "quota_exhausted",
        }
    }
}
