//! To the wire: what the service answers, as messages.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::domain::amount::Micros;
use crate::domain::balance::{Balance, SourceBalance};
use crate::domain::denial::{Denial, DenialReason, Remedy, Violation};
use crate::domain::event::{self, CostEvent, SubjectChange};
use crate::domain::ids::Target;
use crate::domain::ledger::{AccountKind, Leg, Row, State};
use crate::domain::plan::SourceKind;
use crate::domain::price_book::CostBasis;
use crate::domain::reservation::{Attempt, AttemptReason, Labels, Outcome};
use crate::domain::work::Work;
use crate::proto::v1;
use crate::service::Reservation;

pub(super) fn reservation(reservation: &Reservation) -> v1::Reservation {
    let row = &*reservation.row;
    let detail = &row.detail;
    let committed = row.state == State::Committed;
    let recorded = row.settled_by == Some(row.opened_by);
    v1::Reservation {
        subject: reservation.subject.to_string(),
        user: text(detail.user.as_ref()),
        reservation_id: row.id.to_string(),
        generation_id: detail.generation.to_string(),
        action: detail.action.to_string(),
        state: state(row.state).into(),
        meter: text(detail.meter.as_ref()),
        units_reserved: row.units_held().to_string(),
        units_committed: if committed { row.units_charged() } else { Micros::ZERO }.to_string(),
        units_overage: if committed { row.units_overage() } else { Micros::ZERO }.to_string(),
        cost_reserved: detail.cost_held().unwrap_or(Micros::MAX).to_string(),
        cost_committed: detail.cost_committed().unwrap_or(Micros::MAX).to_string(),
        currency: detail.currency.to_string(),
        legs: legs(row),
        attempts: event::attempts(row).iter().map(attempt).collect(),
        create_time: Some(time(row.create_time)),
        expire_time: (!recorded).then(|| time(row.deadline)),
        settle_time: row.settle_time.map(time),
        catalog_version: detail.catalog.to_string(),
        late: row.late,
        outcome_unknown: row.state == State::Held && detail.last_attempt().outcome_unknown,
        unenforced: detail.unenforced,
        labels: labels(&detail.labels),
        units_refunded: row.units_refunded().to_string(),
        planned_target: detail.planned_target.as_ref().map(target),
        work: Some(work(detail.last_attempt().delivered.as_ref().unwrap_or(&detail.work))),
    }
}

/// The accounts that hold or paid. What went back is not shown.
fn legs(row: &Row) -> Vec<v1::Leg> {
    let share = |leg: &Leg| match row.state {
        State::Held => leg.held,
        State::Committed | State::Released => leg.used,
        State::Expired => Micros::ZERO,
    };
    let shown = row.legs.iter().map(|leg| (leg, share(leg))).filter(|(_, units)| !units.is_zero());
    shown
        .map(|(leg, units)| {
            let kind = leg.account.kind();
            v1::Leg {
                kind: account_kind(kind).into(),
                source_id: if kind == AccountKind::Overage { String::new() } else { leg.account.source().to_owned() },
                period: leg.account.period().unwrap_or_default().to_owned(),
                units: units.to_string(),
            }
        })
        .collect()
}

pub(super) fn attempt(attempt: &Attempt) -> v1::Attempt {
    v1::Attempt {
        number: i32::try_from(attempt.number).unwrap_or(i32::MAX),
        reason: attempt_reason(attempt.reason).into(),
        target: attempt.target.as_ref().map(target),
        tier: text(attempt.tier.as_ref()),
        outcome: attempt.outcome.map_or(v1::Outcome::Unspecified, outcome).into(),
        units: attempt.units.to_string(),
        cost: attempt.cost.to_string(),
        planned_cost: text(attempt.planned_cost.as_ref()),
        cost_shift: cost_shift(attempt),
        cost_basis: cost_basis(match (attempt.outcome, attempt.basis) {
            // Until it has ended, it is what is expected.
            (None, CostBasis::Priced) => CostBasis::Estimated,
            (_, basis) => basis,
        })
        .into(),
        start_time: Some(time(attempt.start_time)),
        end_time: attempt.end_time.map(time),
    }
}

/// The one signed decimal: dearer or, with a leading `-`, cheaper than planned.
pub(super) fn cost_shift(attempt: &Attempt) -> String {
    let shift = attempt.cost_shift_micros().map(|micros| rust_decimal::Decimal::new(micros, 6).normalize());
    text(shift.as_ref())
}

pub(super) fn cost_event(event: &CostEvent) -> v1::CostEvent {
    let (row, detail, closed) = (&event.row, event.detail(), &event.attempt);
    v1::CostEvent {
        // No id may hold a bar, so no two events share this.
        event_id: format!("{}|{}|{}", event.subject, row.id, row.settled_version()),
        cursor: String::new(),
        event_time: Some(time(event.time)),
        subject: event.subject.to_string(),
        user: text(detail.user.as_ref()),
        plan: text(detail.plan.as_ref()),
        reservation_id: row.id.to_string(),
        generation_id: detail.generation.to_string(),
        attempt: Some(attempt(closed)),
        action: detail.action.to_string(),
        planned_target: detail.planned_target.as_ref().map(target),
        failover: closed.is_failover(detail),
        work: Some(work(event.work())),
        billed_work: closed.billed.as_ref().map(work),
        currency: detail.currency.to_string(),
        catalog_version: detail.catalog.to_string(),
        price_version: closed.price_from.map(|from| from.to_string()).unwrap_or_default(),
        late: event.late,
        overage_units: event.overage.to_string(),
        trace_id: text(closed.trace.as_ref()),
        labels: labels(&detail.labels),
        meter: text(detail.meter.as_ref()),
        detail: detail.note.to_string(),
        outcome_unknown: closed.outcome_unknown,
    }
}

pub(super) fn subject_change(event: &SubjectChange) -> v1::SubjectChange {
    let change = &event.document.change;
    v1::SubjectChange {
        // No cost event has four parts.
        event_id: format!("{}|change|{}|{}", event.subject, event.sequence, event.time.as_microsecond()),
        cursor: String::new(),
        event_time: Some(time(event.time)),
        subject: event.subject.to_string(),
        operation: change.operation.to_string(),
        request_id: text(change.request.as_ref()),
        about: change.about.to_string(),
        detail: change.detail.to_string(),
    }
}

pub(super) fn balances(balances: &[Balance]) -> Vec<v1::Balance> {
    balances.iter().map(balance).collect()
}

fn balance(balance: &Balance) -> v1::Balance {
    v1::Balance {
        meter: balance.meter.to_string(),
        unlimited: balance.unlimited,
        available: unless(balance.unlimited, balance.available),
        allowance_available: unless(balance.unlimited, balance.allowance_available),
        credits_available: balance.credits_available.to_string(),
        reserved: balance.reserved.to_string(),
        committed: balance.committed.to_string(),
        overage: balance.overage.to_string(),
        near_limit: balance.near_limit,
        reset_time: balance.reset_time.map(time),
        sources: balance.sources.iter().map(source_balance).chain(overage(balance.overage)).collect(),
    }
}

/// The account of what no source could pay: it stands last, where there is any.
fn overage(overage: Micros) -> Option<v1::SourceBalance> {
    (overage != Micros::ZERO).then(|| v1::SourceBalance {
        kind: v1::SourceKind::Overage.into(),
        reserved: Micros::ZERO.to_string(),
        committed: overage.to_string(),
        ..Default::default()
    })
}

fn source_balance(source: &SourceBalance) -> v1::SourceBalance {
    let unlimited = source.limit.is_none();
    v1::SourceBalance {
        kind: source_kind(source.kind).into(),
        id: source.account.source().to_owned(),
        user: text(source.user.as_ref()),
        limit: unless(unlimited, source.limit.unwrap_or_default()),
        unlimited,
        reserved: source.reserved.to_string(),
        committed: source.committed.to_string(),
        available: unless(unlimited, source.available),
        reset_time: source.reset_time.map(time),
        expire_time: source.expire_time.map(time),
    }
}

pub(super) fn denial(denial: &Denial) -> v1::Denial {
    v1::Denial {
        reason: denial_reason(denial.reason()).into(),
        violations: denial.violations.iter().map(violation).collect(),
        retry_after: denial.retry_after.map(duration),
        remedies: denial.remedies.iter().map(remedy).collect(),
        message: denial.to_string(),
    }
}

fn violation(violation: &Violation) -> v1::Violation {
    let amount = |of: fn(&crate::domain::denial::Amounts) -> Micros| {
        violation.amounts.as_ref().map(|amounts| of(amounts).to_string()).unwrap_or_default()
    };
    v1::Violation {
        reason: denial_reason(violation.reason).into(),
        name: violation.name.to_string(),
        limit: amount(|amounts| amounts.limit),
        reserved: amount(|amounts| amounts.reserved),
        committed: amount(|amounts| amounts.committed),
        requested: amount(|amounts| amounts.requested),
        available: amount(|amounts| amounts.available),
        reset_time: violation.reset_time.map(time),
        dimensions: violation.dimensions.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        meter: violation.meter.as_deref().unwrap_or_default().to_owned(),
    }
}

fn remedy(remedy: &Remedy) -> v1::Remedy {
    use v1::remedy::Remedy as Wire;
    let remedy = match remedy {
        Remedy::WaitUntil(at) => Wire::WaitUntil(time(*at)),
        Remedy::UpgradeToPlan(plan) => Wire::UpgradeToPlan(plan.to_string()),
        Remedy::BuyCredits(units) => Wire::BuyCredits(units.to_string()),
        Remedy::UseTarget(one) => Wire::UseTarget(target(one)),
        Remedy::FewerCount(count) => Wire::FewerCount(count.to_string()),
    };
    v1::Remedy { remedy: Some(remedy) }
}

pub(super) fn target(target: &Target) -> v1::Target {
    v1::Target { provider: target.provider.to_string(), model: target.model.to_string() }
}

fn work(work: &Work) -> v1::Work {
    let item = |item: &crate::domain::work::Item| v1::Item {
        count: Some(i64::from(item.count)),
        measures: item.measures.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        attributes: item.attributes.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
    };
    v1::Work { items: work.items.iter().map(item).collect() }
}

pub(super) fn labels(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

pub(super) fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_millisecond().div_euclid(1000), nanos: nanos(time.as_millisecond().rem_euclid(1000)) }
}

fn duration(duration: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs(), nanos: duration.subsec_nanos() }
}

/// Milliseconds within a second, as nanoseconds.
fn nanos(millis: i64) -> i32 {
    i32::try_from(millis * 1_000_000).expect("less than a second fits")
}

/// Empty where there is no limit to speak of.
fn unless(unlimited: bool, amount: Micros) -> String {
    if unlimited { String::new() } else { amount.to_string() }
}

/// Empty where there is none.
pub(super) fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn state(state: State) -> v1::State {
    match state {
        State::Held => v1::State::Held,
        State::Committed => v1::State::Committed,
        State::Released => v1::State::Released,
        State::Expired => v1::State::Expired,
    }
}

fn account_kind(kind: AccountKind) -> v1::SourceKind {
    match kind {
        AccountKind::Allowance => v1::SourceKind::Allowance,
        AccountKind::AddOn => v1::SourceKind::AddOn,
        AccountKind::Grant => v1::SourceKind::Grant,
        AccountKind::Overage => v1::SourceKind::Overage,
        AccountKind::FlowCap | AccountKind::LevelCap => v1::SourceKind::Cap,
    }
}

fn source_kind(kind: SourceKind) -> v1::SourceKind {
    match kind {
        SourceKind::Allowance => v1::SourceKind::Allowance,
        SourceKind::AddOn => v1::SourceKind::AddOn,
        SourceKind::Grant => v1::SourceKind::Grant,
    }
}

pub(super) fn outcome(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Accepted => v1::Outcome::Accepted,
        Outcome::Rejected => v1::Outcome::Rejected,
        Outcome::Failed => v1::Outcome::Failed,
        Outcome::Blocked => v1::Outcome::Blocked,
        Outcome::Cancelled => v1::Outcome::Cancelled,
        Outcome::Unknown => v1::Outcome::Unknown,
        Outcome::Expired => v1::Outcome::Expired,
    }
}

fn attempt_reason(reason: AttemptReason) -> v1::AttemptReason {
    match reason {
        AttemptReason::First => v1::AttemptReason::First,
        AttemptReason::Retry => v1::AttemptReason::Retry,
        AttemptReason::Failover => v1::AttemptReason::Failover,
        AttemptReason::RejectedOutput => v1::AttemptReason::RejectedOutput,
    }
}

fn cost_basis(basis: CostBasis) -> v1::CostBasis {
    match basis {
        CostBasis::Priced => v1::CostBasis::Priced,
        CostBasis::Billed => v1::CostBasis::Billed,
        CostBasis::Estimated => v1::CostBasis::Estimated,
        CostBasis::None => v1::CostBasis::None,
    }
}

fn denial_reason(reason: DenialReason) -> v1::DenialReason {
    match reason {
        DenialReason::SubjectSuspended => v1::DenialReason::SubjectSuspended,
        DenialReason::NoSubscription => v1::DenialReason::NoSubscription,
        DenialReason::FeatureNotInPlan => v1::DenialReason::FeatureNotInPlan,
        DenialReason::SeatsExhausted => v1::DenialReason::SeatsExhausted,
        DenialReason::UnpricedTarget => v1::DenialReason::UnpricedTarget,
        DenialReason::FailoverPolicy => v1::DenialReason::FailoverPolicy,
        DenialReason::CapReached => v1::DenialReason::CapReached,
        DenialReason::QuotaExhausted => v1::DenialReason::QuotaExhausted,
    }
}
