//! Summaries and forecasts of costs: requests in, rows out.

use crate::domain::ids::ActionId;
use crate::domain::report::{Figures, GroupBy, RowKey};
use crate::domain::summary::{Tally, decimal};
use crate::grpc::read::Reader;
use crate::grpc::write;
use crate::proto::v1;
use crate::service::{Forecast, ForecastCommand, ServiceError, Summary, SummaryCommand};

const HOUR_SECONDS: i64 = 3600;
/// Most actions of a forecast (cost_service.proto).
const ACTIONS_MAX: i64 = 1_000_000_000;
/// Dimensions that every row has, named or not.
const ALWAYS: [&str; 3] = ["provider", "model", "tier"];

pub(super) fn read_summary(request: &v1::SummarizeCostsRequest) -> Result<SummaryCommand, ServiceError> {
    let mut reader = Reader::default();
    let start_time = reader.time("start_time", request.start_time.as_ref());
    let end_time = reader.time("end_time", request.end_time.as_ref());
    let step = hours(&mut reader, "step", request.step.as_ref());
    let filters = reader.filters(request.filters.as_ref());
    let group_by = reader.group_by(&request.group_by, &GroupBy::OF_COSTS, &ALWAYS);
    let command = || {
        let (start_time, end_time) = (start_time?, end_time?);
        Some(SummaryCommand { start_time, end_time, step: step?, filters: filters?, group_by: group_by? })
    };
    let command = command();
    reader.finish(command)
}

pub(super) fn read_forecast(request: &v1::ForecastCostsRequest) -> Result<ForecastCommand, ServiceError> {
    let mut reader = Reader::default();
    let action = reader.id("action", &request.action, ActionId::new);
    let target = match request.target.as_ref() {
        None => reader.problem("target", "is missing"),
        target => reader.target("target", target).flatten(),
    };
    let work = reader.asked_work("work", request.work.as_ref());
    let actions_per_month = match request.actions_per_month {
        actions @ 1..=ACTIONS_MAX => u64::try_from(actions).ok(),
        actions => reader.problem("actions_per_month", format!("must be 1 to {ACTIONS_MAX}; got {actions}")),
    };
    let lookback = hours(&mut reader, "lookback", request.lookback.as_ref());
    let command = || {
        Some(ForecastCommand { action: action?, target: target?, work: work?, actions_per_month: actions_per_month?, lookback: lookback? })
    };
    let command = command();
    reader.finish(command)
}

/// Whole hours above zero.
fn hours(reader: &mut Reader, field: &str, duration: Option<&prost_types::Duration>) -> Option<Option<i64>> {
    let Some(duration) = duration else { return Some(None) };
    let whole = duration.nanos == 0 && duration.seconds > 0 && duration.seconds % HOUR_SECONDS == 0;
    if whole { Some(Some(duration.seconds / HOUR_SECONDS)) } else { reader.problem(field, "must be a whole number of hours, at least 1") }
}

pub(super) fn summary(summary: &Summary) -> v1::SummarizeCostsResponse {
    v1::SummarizeCostsResponse {
        rows: summary.rows.iter().map(|(key, figures)| row(&summary.group_by, key, figures)).collect(),
        currency: summary.currency.to_string(),
    }
}

fn row(group_by: &[GroupBy], key: &RowKey, figures: &Figures) -> v1::CostRow {
    let Figures { tally, failovers, .. } = figures;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let group = group_by.iter().zip(&key.group);
    v1::CostRow {
        provider: write::text(key.provider.as_ref()),
        model: write::text(key.model.as_ref()),
        tier: write::text(key.tier.as_ref()),
        group: group.map(|(group, value)| (group.name().to_owned(), write::text(value.as_ref()))).collect(),
        time: Some(prost_types::Timestamp { seconds: key.hour.saturating_mul(HOUR_SECONDS), nanos: 0 }),
        attempts: count(tally.attempts),
        accepted_attempts: count(tally.accepted),
        accepted_outputs: count(tally.outputs),
        units: decimal(tally.units).to_string(),
        cost: decimal(tally.cost).to_string(),
        cost_per_generation: write::text(Tally::per(tally.cost, tally.generations).as_ref()),
        cost_per_accepted_output: write::text(Tally::per(tally.cost, tally.outputs).as_ref()),
        retry_multiplier: write::text(tally.retry_multiplier().as_ref()),
        failovers: count(*failovers),
        cost_shift: decimal(tally.cost_shift).to_string(),
        generations: count(tally.generations),
        currency: write::text(key.currency.as_ref()),
    }
}

pub(super) fn forecast(forecast: &Forecast) -> v1::ForecastCostsResponse {
    v1::ForecastCostsResponse {
        cost_per_action: forecast.cost_per_action.to_string(),
        expected_attempts: forecast.expected_attempts.to_string(),
        monthly_cost: forecast.monthly.to_string(),
        monthly_cost_low: forecast.monthly_low.to_string(),
        monthly_cost_high: forecast.monthly_high.to_string(),
        currency: forecast.currency.to_string(),
        attempts_observed: i64::try_from(forecast.attempts_observed).unwrap_or(i64::MAX),
        cost_per_accepted_output: write::text(forecast.cost_per_accepted_output.as_ref()),
    }
}
