//! Cost events as they are on the wire, checked like everything that comes from outside.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Attempted;
use crate::domain::amount::{Micros, RoundingMode, parse_decimal};
use crate::domain::ids::{
    ActionId, AttributeId, IdError, MeasureId, ModelId, PlanId, ProviderId, ReservationId, SubjectId, Target, TierId, UserId,
};
use crate::domain::price_book::CostBasis;
use crate::domain::reservation::Outcome;
use crate::domain::work::{ITEMS_MAX, Item, OUTPUTS_MAX, Work};
use crate::proto::v1;

/// What a message tells, or the first field that is wrong.
pub(super) fn attempted(event: &v1::CostEvent) -> Result<Attempted, String> {
    let attempt = event.attempt.as_ref().ok_or("`attempt`: is missing")?;
    let work = event.work.as_ref().map(|told| work("work", told)).transpose()?.unwrap_or_default();
    let outcome = outcome(attempt.outcome())?;
    let end = time("event_time", event.event_time.as_ref())?.ok_or("`event_time`: is missing")?;
    let start = time("attempt.start_time", attempt.start_time.as_ref())?.unwrap_or(end).min(end);
    Ok(Attempted {
        subject: id("subject", &event.subject, SubjectId::new)?,
        user: id_if("user", &event.user, UserId::new)?,
        plan: id_if("plan", &event.plan, PlanId::new)?,
        reservation: id("reservation_id", &event.reservation_id, ReservationId::new)?,
        action: id("action", &event.action, ActionId::new)?,
        number: u32::try_from(attempt.number).ok().filter(|number| *number > 0).ok_or("`attempt.number`: must be 1 or more")?,
        target: target("attempt.target", attempt.target.as_ref())?,
        planned: target("planned_target", event.planned_target.as_ref())?,
        tier: id_if("attempt.tier", &attempt.tier, TierId::new)?,
        fallbacks: Vec::new(),
        outcome,
        delivered: (outcome == Outcome::Accepted).then(|| work.clone()),
        asked: work,
        billed: event.billed_work.as_ref().map(|billed| self::work("billed_work", billed)).transpose()?,
        units: amount("attempt.units", &attempt.units)?,
        overage: amount("overage_units", &event.overage_units)?,
        cost: amount("attempt.cost", &attempt.cost)?,
        basis: match attempt.cost_basis() {
            v1::CostBasis::Priced => CostBasis::Priced,
            v1::CostBasis::Billed => CostBasis::Billed,
            v1::CostBasis::Estimated => CostBasis::Estimated,
            v1::CostBasis::None => CostBasis::None,
            v1::CostBasis::Unspecified => return Err("`attempt.cost_basis`: is missing or unknown".to_owned()),
        },
        currency: event.currency.as_str().into(),
        judged_at: start,
        start,
        end,
        recorded: false,
        labels: event.labels.iter().map(|(key, value)| (Box::from(key.as_str()), Box::from(value.as_str()))).collect(),
    })
}

fn outcome(outcome: v1::Outcome) -> Result<Outcome, String> {
    Ok(match outcome {
        v1::Outcome::Accepted => Outcome::Accepted,
        v1::Outcome::Rejected => Outcome::Rejected,
        v1::Outcome::Failed => Outcome::Failed,
        v1::Outcome::Blocked => Outcome::Blocked,
        v1::Outcome::Cancelled => Outcome::Cancelled,
        v1::Outcome::Unknown => Outcome::Unknown,
        v1::Outcome::Expired => Outcome::Expired,
        v1::Outcome::Unspecified => return Err("`attempt.outcome`: is missing or unknown".to_owned()),
    })
}

fn id<T>(field: &str, text: &str, new: fn(&str) -> Result<T, IdError>) -> Result<T, String> {
    new(text).map_err(|error| format!("`{field}`: {error}"))
}

fn id_if<T>(field: &str, text: &str, new: fn(&str) -> Result<T, IdError>) -> Result<Option<T>, String> {
    if text.is_empty() { Ok(None) } else { id(field, text, new).map(Some) }
}

fn target(field: &str, target: Option<&v1::Target>) -> Result<Option<Target>, String> {
    let Some(target) = target else { return Ok(None) };
    let provider = id(&format!("{field}.provider"), &target.provider, ProviderId::new)?;
    Ok(Some(Target { provider, model: id(&format!("{field}.model"), &target.model, ModelId::new)? }))
}

/// A field that is always set; one that is empty is not taken for zero.
fn amount(field: &str, text: &str) -> Result<Micros, String> {
    let value = parse_decimal(text).map_err(|error| format!("`{field}`: {error}"))?;
    if value.scale() > 6 {
        return Err(format!("`{field}`: has more than 6 digits after the point: {text}"));
    }
    Micros::from_decimal(value, RoundingMode::None).map_err(|error| format!("`{field}`: {error}"))
}

/// To the millisecond, the grain of the ledger.
fn time(field: &str, time: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, String> {
    let Some(time) = time else { return Ok(None) };
    let millis = time.seconds.checked_mul(1000).and_then(|millis| millis.checked_add(i64::from(time.nanos) / 1_000_000));
    let time = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map(Some).ok_or_else(|| format!("`{field}`: is no instant of the calendar"))
}

fn work(field: &str, work: &v1::Work) -> Result<Work, String> {
    if work.items.len() > ITEMS_MAX {
        return Err(format!("`{field}.items`: has {} items; at most {ITEMS_MAX} are possible", work.items.len()));
    }
    let items: Vec<Item> =
        work.items.iter().enumerate().map(|(at, told)| item(&format!("{field}.items[{at}]"), told)).collect::<Result<_, _>>()?;
    Ok(Work { items })
}

fn item(field: &str, item: &v1::Item) -> Result<Item, String> {
    let count = u32::try_from(item.count.unwrap_or(1)).ok().filter(|count| (1..=OUTPUTS_MAX).contains(count));
    let mut measures = BTreeMap::new();
    for (name, value) in &item.measures {
        let field = format!("{field}.measures.{name}");
        let value = parse_decimal(value).map_err(|error| format!("`{field}`: {error}"))?;
        measures.insert(id(&field, name, MeasureId::new)?, value);
    }
    let mut attributes = BTreeMap::new();
    for (name, value) in &item.attributes {
        attributes.insert(id(&format!("{field}.attributes.{name}"), name, AttributeId::new)?, Box::from(value.as_str()));
    }
    Ok(Item { count: count.ok_or_else(|| format!("`{field}.count`: must be 1 to {OUTPUTS_MAX}"))?, measures, attributes })
}
