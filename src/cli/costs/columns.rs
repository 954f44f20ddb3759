//! A cost event as one line of a table: `genquota costs watch --csv`, and what the other formats share.

use std::str::FromStr as _;

use anyhow::Context as _;
use rust_decimal::Decimal;

use crate::cli::Failure;
use crate::cli::render::{target, time, word};
use crate::proto::v1;

/// The columns of `--csv`. Their order is part of the contract: new ones come last.
pub(super) const HEADER: [&str; 25] = [
    "event_id",
    "event_time",
    "subject",
    "user",
    "plan",
    "reservation_id",
    "generation_id",
    "action",
    "provider",
    "model",
    "tier",
    "attempt",
    "reason",
    "outcome",
    "meter",
    "units",
    "overage_units",
    "currency",
    "cost",
    "planned_target",
    "planned_cost",
    "cost_shift",
    "failover",
    "late",
    "detail",
];

pub(super) fn row(event: &v1::CostEvent) -> [String; 25] {
    let attempt = event.attempt.clone().unwrap_or_default();
    let at = attempt.target.clone().unwrap_or_default();
    [
        event.event_id.clone(),
        time(event.event_time.as_ref()),
        event.subject.clone(),
        event.user.clone(),
        event.plan.clone(),
        event.reservation_id.clone(),
        event.generation_id.clone(),
        event.action.clone(),
        at.provider,
        at.model,
        attempt.tier.clone(),
        attempt.number.to_string(),
        reason(&attempt).to_owned(),
        outcome(&attempt).to_owned(),
        event.meter.clone(),
        attempt.units.clone(),
        event.overage_units.clone(),
        event.currency.clone(),
        attempt.cost.clone(),
        target(event.planned_target.as_ref()),
        attempt.planned_cost,
        attempt.cost_shift,
        event.failover.to_string(),
        event.late.to_string(),
        event.detail.clone(),
    ]
}

/// One record of a CSV file, with its end.
pub(super) fn csv_line<T: AsRef<[u8]>>(cells: impl IntoIterator<Item = T>) -> Result<String, Failure> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    writer.write_record(cells).map_err(anyhow::Error::from)?;
    let bytes = writer.into_inner().map_err(|problem| anyhow::Error::msg(problem.to_string()))?;
    Ok(String::from_utf8(bytes).map_err(anyhow::Error::from)?)
}

pub(super) fn outcome(attempt: &v1::Attempt) -> &'static str {
    word(attempt.outcome().as_str_name(), "OUTCOME_")
}

pub(super) fn reason(attempt: &v1::Attempt) -> &'static str {
    word(attempt.reason().as_str_name(), "ATTEMPT_REASON_")
}

/// A decimal of the wire; what is absent counts as nothing.
pub(super) fn decimal(text: &str) -> Result<Decimal, Failure> {
    if text.is_empty() {
        return Ok(Decimal::ZERO);
    }
    Ok(Decimal::from_str(text).with_context(|| format!("the server tells `{text}` where a number should be"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_cannot_break_a_line() {
        assert_eq!(csv_line(["a", "b,c", "d\"e", "f\ng", ""]).unwrap(), "a,\"b,c\",\"d\"\"e\",\"f\ng\",\n");
    }

    #[test]
    fn a_number_that_cannot_be_read_is_not_taken_for_zero() {
        assert_eq!((decimal("").unwrap(), decimal("-0.5").unwrap()), (Decimal::ZERO, Decimal::new(-5, 1)));
        assert!(decimal("1e3 USD").is_err());
    }

    #[test]
    fn an_event_has_a_cell_for_each_column() {
        let attempt = v1::Attempt { cost: "0.08".to_owned(), outcome: v1::Outcome::Accepted.into(), number: 2, ..Default::default() };
        let event = v1::CostEvent { event_id: "a|r|2".to_owned(), attempt: Some(attempt), failover: true, ..Default::default() };
        let row = row(&event);
        let cell = |name: &str| row[HEADER.iter().position(|column| *column == name).unwrap()].as_str();
        let found = [cell("event_id"), cell("cost"), cell("outcome"), cell("attempt"), cell("failover"), cell("model")];
        assert_eq!(found, ["a|r|2", "0.08", "ACCEPTED", "2", "true", ""]);
    }
}
