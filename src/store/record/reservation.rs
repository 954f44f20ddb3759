//! A reservation's row as a record, and back.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::scalar::{
    fingerprint, fingerprint_if, fingerprint_out, id, id_if, labels, labels_out, micros, target_out, text_out, time, time_if, time_out,
    trace, trace_out,
};
use super::{RecordError, wire};
use crate::domain::amount::Micros;
use crate::domain::ids::{
    ActionId, AttributeId, CatalogVersion, GenerationId, MeasureId, MeterId, ModelId, PlanId, ProviderId, RequestId, ReservationId, Target,
    TierId, UserId,
};
use crate::domain::ledger::{AccountKey, Leg, Row, State};
use crate::domain::price_book::CostBasis;
use crate::domain::reservation::{Attempt, AttemptReason, Detail, Outcome, Refund};
use crate::domain::work::{Item, Work};

pub(super) fn row_out(row: &Row) -> wire::ReservationRow {
    wire::ReservationRow {
        id: row.id.as_str().to_owned(),
        version: row.version,
        sequence: row.sequence,
        state: state_out(row.state).into(),
        opened_by: fingerprint_out(row.opened_by),
        settled_by: row.settled_by.map(fingerprint_out).unwrap_or_default(),
        create_time: Some(time_out(row.create_time)),
        began: (row.began != row.create_time).then(|| time_out(row.began)),
        deadline: Some(time_out(row.deadline)),
        settle_time: row.settle_time.map(time_out),
        legs: row.legs.iter().map(leg_out).collect(),
        late: row.late,
        detail: Some(detail_out(&row.detail)),
    }
}

pub(super) fn row(record: wire::ReservationRow) -> Result<Row, RecordError> {
    Ok(Row {
        id: id("id", &record.id, ReservationId::new)?,
        version: record.version,
        sequence: record.sequence,
        state: state(record.state())?,
        opened_by: fingerprint("opened_by", &record.opened_by)?,
        settled_by: fingerprint_if("settled_by", &record.settled_by)?,
        create_time: time("create_time", record.create_time)?,
        began: time("began", record.began.or(record.create_time))?,
        deadline: time("deadline", record.deadline)?,
        settle_time: time_if("settle_time", record.settle_time)?,
        legs: record.legs.into_iter().map(leg).collect::<Result<_, _>>()?,
        late: record.late,
        detail: Arc::new(detail(record.detail.ok_or_else(|| RecordError::missing("detail"))?)?),
    })
}

fn leg_out(leg: &Leg) -> wire::Leg {
    wire::Leg { account: leg.account.as_str().to_owned(), held: leg.held.get(), used: leg.used.get() }
}

fn leg(record: wire::Leg) -> Result<Leg, RecordError> {
    let account = AccountKey::parse(&record.account);
    Ok(Leg {
        account: account.ok_or_else(|| RecordError::new("legs.account", format!("is no account: {:?}", record.account)))?,
        held: micros("legs.held", record.held)?,
        used: micros("legs.used", record.used)?,
    })
}

pub(super) fn detail_out(detail: &Detail) -> wire::Detail {
    wire::Detail {
        user: text_out(detail.user.as_ref(), UserId::as_str),
        generation: detail.generation.as_str().to_owned(),
        action: detail.action.as_str().to_owned(),
        meter: text_out(detail.meter.as_ref(), MeterId::as_str),
        plan: text_out(detail.plan.as_ref(), PlanId::as_str),
        catalog: detail.catalog.as_str().to_owned(),
        judged_at: Some(time_out(detail.judged_at)),
        planned_target: detail.planned_target.as_ref().map(target_out),
        fallbacks: detail.fallbacks.iter().map(target_out).collect(),
        work: Some(work_out(&detail.work)),
        attempts: detail.attempts.iter().map(attempt_out).collect(),
        labels: labels_out(&detail.labels),
        currency: detail.currency.to_string(),
        cost_reserved: detail.cost_reserved.get(),
        note: detail.note.to_string(),
        unenforced: detail.unenforced,
        refunds: detail.refunds.iter().map(refund_out).collect(),
    }
}

pub(super) fn detail(record: wire::Detail) -> Result<Detail, RecordError> {
    // A reservation opens with its first attempt; the policy relies on it.
    if record.attempts.is_empty() {
        return Err(RecordError::missing("detail.attempts"));
    }
    Ok(Detail {
        user: id_if("detail.user", &record.user, UserId::new)?,
        generation: id("detail.generation", &record.generation, GenerationId::new)?,
        action: id("detail.action", &record.action, ActionId::new)?,
        meter: id_if("detail.meter", &record.meter, MeterId::new)?,
        plan: id_if("detail.plan", &record.plan, PlanId::new)?,
        catalog: id("detail.catalog", &record.catalog, CatalogVersion::new)?,
        judged_at: time("detail.judged_at", record.judged_at)?,
        planned_target: target(record.planned_target)?,
        fallbacks: record.fallbacks.into_iter().filter_map(|one| target(Some(one)).transpose()).collect::<Result<_, _>>()?,
        work: work(record.work)?.ok_or_else(|| RecordError::missing("detail.work"))?,
        attempts: record.attempts.into_iter().map(attempt).collect::<Result<_, _>>()?,
        labels: labels(record.labels),
        currency: record.currency.into_boxed_str(),
        cost_reserved: micros("detail.cost_reserved", record.cost_reserved)?,
        note: record.note.into_boxed_str(),
        unenforced: record.unenforced,
        refunds: record.refunds.into_iter().map(refund).collect::<Result<_, _>>()?,
    })
}

fn refund_out(refund: &Refund) -> wire::Refund {
    wire::Refund {
        request: refund.request.as_str().to_owned(),
        fingerprint: fingerprint_out(refund.fingerprint),
        units: refund.units.get(),
        overage: refund.overage.get(),
        time: Some(time_out(refund.time)),
        note: refund.note.to_string(),
    }
}

fn refund(record: wire::Refund) -> Result<Refund, RecordError> {
    Ok(Refund {
        request: id("refunds.request", &record.request, RequestId::new)?,
        fingerprint: fingerprint("refunds.fingerprint", &record.fingerprint)?,
        units: micros("refunds.units", record.units)?,
        overage: micros("refunds.overage", record.overage)?,
        time: time("refunds.time", record.time)?,
        note: record.note.into_boxed_str(),
    })
}

pub(super) fn target(record: Option<wire::Target>) -> Result<Option<Target>, RecordError> {
    let Some(record) = record else { return Ok(None) };
    Ok(Some(Target {
        provider: id("target.provider", &record.provider, ProviderId::new)?,
        model: id("target.model", &record.model, ModelId::new)?,
    }))
}

pub(super) fn work_out(work: &Work) -> wire::Work {
    let items = work.items.iter().map(|item| wire::Item {
        count: item.count,
        measures: item.measures.iter().map(|(id, value)| (id.as_str().to_owned(), value.to_string())).collect(),
        attributes: item.attributes.iter().map(|(id, value)| (id.as_str().to_owned(), value.to_string())).collect(),
    });
    wire::Work { items: items.collect() }
}

pub(super) fn work(record: Option<wire::Work>) -> Result<Option<Work>, RecordError> {
    let Some(record) = record else { return Ok(None) };
    Ok(Some(Work { items: record.items.into_iter().map(item).collect::<Result<_, _>>()? }))
}

fn item(record: wire::Item) -> Result<Item, RecordError> {
    let measure = |(name, value): (String, String)| {
        let value = Decimal::from_str_exact(&value).map_err(|problem| RecordError::new("work.measures", problem))?;
        Ok((id("work.measures", &name, MeasureId::new)?, value))
    };
    let attribute = |(name, value): (String, String)| Ok((id("work.attributes", &name, AttributeId::new)?, value.into_boxed_str()));
    Ok(Item {
        count: record.count,
        measures: record.measures.into_iter().map(measure).collect::<Result<_, RecordError>>()?,
        attributes: record.attributes.into_iter().map(attribute).collect::<Result<_, RecordError>>()?,
    })
}

fn attempt_out(attempt: &Attempt) -> wire::Attempt {
    wire::Attempt {
        number: attempt.number,
        reason: reason_out(attempt.reason).into(),
        target: attempt.target.as_ref().map(target_out),
        tier: text_out(attempt.tier.as_ref(), TierId::as_str),
        outcome: attempt.outcome.map_or(wire::Outcome::Unspecified, outcome_out).into(),
        units: attempt.units.get(),
        cost: attempt.cost.get(),
        planned_cost: attempt.planned_cost.map(Micros::get),
        basis: basis_out(attempt.basis).into(),
        price_from: attempt.price_from.map(time_out),
        start_time: Some(time_out(attempt.start_time)),
        end_time: attempt.end_time.map(time_out),
        delivered: attempt.delivered.as_ref().map(work_out),
        billed: attempt.billed.as_ref().map(work_out),
        asked: attempt.asked.as_ref().map(work_out),
        closed_by: attempt.closed_by.map(fingerprint_out).unwrap_or_default(),
        trace: trace_out(attempt.trace),
        outcome_unknown: attempt.outcome_unknown,
    }
}

fn attempt(record: wire::Attempt) -> Result<Attempt, RecordError> {
    let outcome = wire::Outcome::try_from(record.outcome).map_err(|problem| RecordError::new("attempts.outcome", problem))?;
    Ok(Attempt {
        number: record.number,
        reason: reason(record.reason())?,
        tier: id_if("attempts.tier", &record.tier, TierId::new)?,
        outcome: self::outcome(outcome),
        units: micros("attempts.units", record.units)?,
        cost: micros("attempts.cost", record.cost)?,
        planned_cost: record.planned_cost.map(|cost| micros("attempts.planned_cost", cost)).transpose()?,
        basis: basis(record.basis())?,
        price_from: time_if("attempts.price_from", record.price_from)?,
        start_time: time("attempts.start_time", record.start_time)?,
        end_time: time_if("attempts.end_time", record.end_time)?,
        target: target(record.target)?,
        delivered: work(record.delivered)?,
        billed: work(record.billed)?,
        asked: work(record.asked)?,
        closed_by: fingerprint_if("attempts.closed_by", &record.closed_by)?,
        trace: trace("attempts.trace", &record.trace)?,
        outcome_unknown: record.outcome_unknown,
    })
}

fn state_out(state: State) -> wire::State {
    match state {
        State::Held => wire::State::Held,
        State::Committed => wire::State::Committed,
        State::Released => wire::State::Released,
        State::Expired => wire::State::Expired,
    }
}

/// An unknown number reads as unspecified, which no row is written with.
fn state(record: wire::State) -> Result<State, RecordError> {
    match record {
        wire::State::Unspecified => Err(RecordError::missing("state")),
        wire::State::Held => Ok(State::Held),
        wire::State::Committed => Ok(State::Committed),
        wire::State::Released => Ok(State::Released),
        wire::State::Expired => Ok(State::Expired),
    }
}

fn reason_out(reason: AttemptReason) -> wire::AttemptReason {
    match reason {
        AttemptReason::First => wire::AttemptReason::First,
        AttemptReason::Retry => wire::AttemptReason::Retry,
        AttemptReason::Failover => wire::AttemptReason::Failover,
        AttemptReason::RejectedOutput => wire::AttemptReason::RejectedOutput,
    }
}

fn reason(record: wire::AttemptReason) -> Result<AttemptReason, RecordError> {
    match record {
        wire::AttemptReason::Unspecified => Err(RecordError::missing("attempts.reason")),
        wire::AttemptReason::First => Ok(AttemptReason::First),
        wire::AttemptReason::Retry => Ok(AttemptReason::Retry),
        wire::AttemptReason::Failover => Ok(AttemptReason::Failover),
        wire::AttemptReason::RejectedOutput => Ok(AttemptReason::RejectedOutput),
    }
}

pub(super) fn outcome_out(outcome: Outcome) -> wire::Outcome {
    match outcome {
        Outcome::Accepted => wire::Outcome::Accepted,
        Outcome::Rejected => wire::Outcome::Rejected,
        Outcome::Failed => wire::Outcome::Failed,
        Outcome::Blocked => wire::Outcome::Blocked,
        Outcome::Cancelled => wire::Outcome::Cancelled,
        Outcome::Unknown => wire::Outcome::Unknown,
        Outcome::Expired => wire::Outcome::Expired,
    }
}

pub(super) fn outcome(record: wire::Outcome) -> Option<Outcome> {
    match record {
        wire::Outcome::Unspecified => None,
        wire::Outcome::Accepted => Some(Outcome::Accepted),
        wire::Outcome::Rejected => Some(Outcome::Rejected),
        wire::Outcome::Failed => Some(Outcome::Failed),
        wire::Outcome::Blocked => Some(Outcome::Blocked),
        wire::Outcome::Cancelled => Some(Outcome::Cancelled),
        wire::Outcome::Unknown => Some(Outcome::Unknown),
        wire::Outcome::Expired => Some(Outcome::Expired),
    }
}

fn basis_out(basis: CostBasis) -> wire::CostBasis {
    match basis {
        CostBasis::Priced => wire::CostBasis::Priced,
        CostBasis::Billed => wire::CostBasis::Billed,
        CostBasis::Estimated => wire::CostBasis::Estimated,
        CostBasis::None => wire::CostBasis::None,
    }
}

fn basis(record: wire::CostBasis) -> Result<CostBasis, RecordError> {
    match record {
        wire::CostBasis::Unspecified => Err(RecordError::missing("attempts.basis")),
        wire::CostBasis::Priced => Ok(CostBasis::Priced),
        wire::CostBasis::Billed => Ok(CostBasis::Billed),
        wire::CostBasis::Estimated => Ok(CostBasis::Estimated),
        wire::CostBasis::None => Ok(CostBasis::None),
    }
}
