//! Notable events of the day, in words. The numbers in them are those of the answer that they tell of.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::board::decimal;
use super::gateway::Attempt;
use super::story::{Customer, DAY_START, Model};
use crate::proto::v1;
use crate::proto::v1::remedy::Remedy;

/// One event, told.
#[derive(Debug, Clone)]
pub struct Note {
    pub at: Timestamp,
    /// Which kind; a plain run tells only the first few of each.
    pub kind: Kind,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Opening,
    Outage,
    Failed,
    Blocked,
    Rejected,
    Short,
    Failover,
    Denied(v1::DenialReason),
    Fewer,
    Grant,
    Crash,
    Expired,
    Late,
    Replayed,
}

impl Kind {
    /// How many of this kind a plain run tells. All together are at most 40.
    pub fn told_at_most(self) -> usize {
        match self {
            Self::Opening => 4,
            Self::Failover => 6,
            Self::Denied(v1::DenialReason::CapReached) => 4,
            Self::Failed | Self::Rejected => 3,
            Self::Crash | Self::Expired => 3,
            Self::Outage | Self::Blocked | Self::Short | Self::Denied(_) | Self::Fewer | Self::Replayed => 2,
            Self::Grant | Self::Late => 1,
        }
    }
}

/// The time of the day, as `14:07`.
pub fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%H:%M").to_string()
}

pub fn opening(customer: &Customer, balance: &v1::GetBalanceResponse) -> String {
    let how = if customer.plan.is_some() { "subscribed to" } else { "subscribed to nothing, so on the default plan" };
    let left = balance.balances.first().map(|balance| balance.available.as_str()).unwrap_or_default();
    let bought = customer.credits.map(|units| format!(", {units} of them bought")).unwrap_or_default();
    format!("{}: {how} `{}`, {left} credits{bought}", customer.name, balance.plan)
}

pub fn down(target: Model) -> String {
    format!("{target} goes down")
}

pub fn up(target: Model) -> String {
    format!("{target} is back")
}

/// A failover that was granted, with what it costs.
pub fn failover(attempt: &Attempt, granted: &v1::Attempt, down: bool) -> String {
    let (shift, sign) = (price(&granted.cost_shift), if granted.cost_shift.starts_with('-') { "" } else { "+" });
    format!(
        "{} {}: {} go to {}: {} instead of {} USD ({sign}{shift})",
        attempt.planned.name,
        if down { "is down" } else { "fails" },
        attempt.request.in_words(),
        attempt.target,
        price(&granted.cost),
        price(&granted.planned_cost),
    )
}

/// An attempt that gave the customer nothing.
pub fn released(attempt: &Attempt, outcome: v1::Outcome, back: Decimal, event: Option<&v1::CostEvent>) -> String {
    let what = match outcome {
        v1::Outcome::Blocked => "moderation blocks",
        v1::Outcome::Rejected => "quality gate rejects",
        v1::Outcome::Cancelled => "customer cancels",
        _ => "failed:",
    };
    let cost = event.and_then(|event| event.attempt.as_ref()).map(|attempt| attempt.cost.as_str()).unwrap_or("0");
    let billed = if cost == "0" { "nothing billed".to_owned() } else { format!("{} USD billed all the same", price(cost)) };
    let back = if back.is_zero() { String::new() } else { format!("{} back to {}, ", credits(back), attempt.request.customer.name) };
    format!("{what} {} on {}: {back}{billed}", attempt.request.in_words(), attempt.target.name)
}

pub fn short(attempt: &Attempt, delivered: i64, asked: i64, reservation: &v1::Reservation, back: Decimal) -> String {
    let name = attempt.request.customer.name;
    let charged = &reservation.units_committed;
    format!("{delivered} of {asked} images arrive for {name}: {} given back, {charged} charged", credits(back))
}

pub fn denied(attempt: &Attempt, denial: &v1::Denial) -> String {
    let remedies: Vec<String> = denial.remedies.iter().filter_map(remedy).collect();
    let help = if remedies.is_empty() { String::new() } else { format!("; would help: {}", remedies.join(", or ")) };
    format!("{} denied: {}{help}", attempt.request.customer.name, denial.message)
}

fn remedy(remedy: &v1::Remedy) -> Option<String> {
    Some(match remedy.remedy.as_ref()? {
        Remedy::WaitUntil(instant) => format!("wait until {}", day(Timestamp::new(instant.seconds, instant.nanos).ok()?)),
        Remedy::UpgradeToPlan(plan) => format!("plan `{plan}`"),
        Remedy::BuyCredits(units) => format!("buy {units} credits"),
        Remedy::UseTarget(target) => format!("use {}/{}", target.provider, target.model),
        Remedy::FewerCount(count) => format!("ask for {count}"),
    })
}

pub fn fewer(attempt: &Attempt, held: i64) -> String {
    let request = &attempt.request;
    format!("{} asks for {} or fewer: the {held} that fit are held", request.customer.name, request.in_words())
}

pub fn bought(customer: &Customer, units: Decimal) -> String {
    format!("{} buys {units} credits, and the same request goes through", customer.name)
}

pub fn crash(attempt: &Attempt, held: Decimal) -> String {
    format!("the gateway of {} crashes: {} stay held", attempt.request.customer.name, credits(held))
}

pub fn expired(attempt: &Attempt, back: Decimal) -> String {
    format!("the hold that the crash left behind expires: {} back to {}", credits(back), attempt.request.customer.name)
}

pub fn late(attempt: &Attempt, reservation: &v1::Reservation) -> String {
    let (name, units) = (attempt.request.customer.name, &reservation.units_committed);
    format!("the gateway is back and commits late: {units} credits charged to {name} all the same")
}

pub fn replayed(attempt: &Attempt, call: &str) -> String {
    format!("the reply to {call} is lost, the call repeated: {} is charged once", attempt.request.customer.name)
}

fn credits(units: Decimal) -> String {
    format!("{units} credit{}", if units == Decimal::ONE { "" } else { "s" })
}

/// Money as the answer has it, with two digits after the point at least.
fn price(amount: &str) -> String {
    match decimal(amount) {
        Ok(mut amount) if amount.scale() < 2 => {
            amount.rescale(2);
            amount.to_string()
        }
        _ => amount.to_owned(),
    }
}

/// An instant at which something renews: `midnight`, or the day.
fn day(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    if DAY_START.to_zoned(TimeZone::UTC).date().tomorrow().is_ok_and(|tomorrow| tomorrow == at.date()) {
        "midnight".to_owned()
    } else {
        at.strftime("%-d %B").to_string()
    }
}

/// The units that a denial says are short.
pub fn units_short(denial: &v1::Denial) -> anyhow::Result<Option<Decimal>> {
    let buy = denial.remedies.iter().find_map(|remedy| match &remedy.remedy {
        Some(Remedy::BuyCredits(units)) => Some(decimal(units)),
        _ => None,
    });
    buy.transpose()
}
