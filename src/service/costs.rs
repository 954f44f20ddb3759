//! Costs in sums and ahead of time: `SummarizeCosts` and `ForecastCosts`. Both read what settlements have added up, never history (C5, C7).

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Service, ServiceError};
use crate::domain::charge::checked_action;
use crate::domain::filter::CostFilters;
use crate::domain::ids::{ActionId, Target};
use crate::domain::price_book::{CostBasis, PriceError};
use crate::domain::report::{Expectation, Figures, GroupBy, Report, RowKey, over_all_steps};
use crate::domain::summary::hour_of;
use crate::domain::work::Work;
use crate::store::{CostsOf, HourRange};

/// Rows of one answer at the most: some 4 MiB, which a client takes by default.
const ROWS_MAX: usize = 20_000;
/// A summary reaches back this far where nobody says how far, and a forecast as well.
const SUMMARY_HOURS: i64 = 24;
const FORECAST_HOURS: i64 = 30 * 24;
const HOUR_NANOS: i128 = 3_600_000_000_000;
/// The longest span of either: a leap year.
const SPAN_HOURS_MAX: i64 = 366 * 24;

#[derive(Debug, Clone)]
pub struct SummaryCommand {
    /// `None`: a day before the end.
    pub start_time: Option<Timestamp>,
    /// `None`: the end of the present hour.
    pub end_time: Option<Timestamp>,
    /// In hours; `None` is one step.
    pub step: Option<i64>,
    pub filters: CostFilters,
    pub group_by: Vec<GroupBy>,
}

#[derive(Debug, Clone)]
pub struct Summary {
    pub group_by: Vec<GroupBy>,
    pub rows: BTreeMap<RowKey, Figures>,
    pub currency: Box<str>,
}

impl Summary {
    /// The rows of the same summary in one step.
    pub fn over_all_steps(&self) -> Result<BTreeMap<RowKey, Figures>, ServiceError> {
        over_all_steps(&self.rows).ok_or_else(|| ServiceError::Internal("a sum of costs is beyond all numbers".to_owned()))
    }
}

#[derive(Debug, Clone)]
pub struct ForecastCommand {
    pub action: ActionId,
    pub target: Target,
    pub work: Work,
    pub actions_per_month: u64,
    /// In hours; `None` is 30 days.
    pub lookback: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Forecast {
    pub cost_per_action: Decimal,
    pub expected_attempts: Decimal,
    pub monthly: Decimal,
    pub monthly_low: Decimal,
    pub monthly_high: Decimal,
    pub attempts_observed: u64,
    /// What each accepted output has cost, attempts that gave none included; `None` where none was accepted.
    pub cost_per_accepted_output: Option<Decimal>,
    pub currency: Box<str>,
}

impl Service {
    /// Sums over a span of time, by provider, model, tier and what else is asked for.
    pub async fn summarize_costs(&self, command: SummaryCommand) -> Result<Summary, ServiceError> {
        let end = self.end_hour(command.end_time);
        let hours = checked_span(command.start_time.map_or(end.saturating_sub(SUMMARY_HOURS), hour_of)..end)?;
        let step = command.step.unwrap_or(hours.end - hours.start);
        let of = match &command.filters.subject {
            Some(subject) => CostsOf::Subject(subject.clone()),
            None if command.group_by.iter().any(|group| group.is_of_subjects()) => CostsOf::EachSubject,
            None => CostsOf::Everybody,
        };
        let sums = self.store.costs(hours.clone(), of).await?;
        let report = Report { hours, step, filters: command.filters, group_by: command.group_by };
        let rows = report.rows(&sums).ok_or_else(|| ServiceError::Internal("a sum of costs is beyond all numbers".to_owned()))?;
        must_fit(rows.len(), "filter, or take longer steps")?;
        Ok(Summary { group_by: report.group_by, rows, currency: self.catalog().price_book.currency.clone() })
    }

    /// The hour at which a span ends.
    pub(super) fn end_hour(&self, end_time: Option<Timestamp>) -> i64 {
        match end_time {
            Some(end) => hour_of(end) + i64::from(end.as_nanosecond().rem_euclid(HOUR_NANOS) != 0),
            // What is closed at this very instant counts.
            None => hour_of(self.clock.now()) + 1,
        }
    }

    /// What an action will cost per month at the retry rate observed so far (C7).
    pub async fn forecast_costs(&self, command: ForecastCommand) -> Result<Forecast, ServiceError> {
        let (catalog, now) = (self.catalog(), self.clock.now());
        let ForecastCommand { action, target, work, actions_per_month, lookback } = command;
        let lookback = lookback.unwrap_or(FORECAST_HOURS);
        if lookback > SPAN_HOURS_MAX {
            return Err(ServiceError::invalid("lookback", "must be at most 366 days"));
        }
        checked_action(&catalog, &action, &work, "work")?;
        let priced = match catalog.price_book.price(&action, &target, &work, now) {
            Ok(priced) if priced.basis != CostBasis::None => priced,
            Err(PriceError::Work(error)) => return Err(ServiceError::invalid(format!("work.{}", error.path), error.problem)),
            Ok(_) | Err(PriceError::Unpriced { .. }) => {
                return Err(ServiceError::invalid("target", format!("`{target}` has no price for this work")));
            }
        };
        let end = hour_of(now) + 1;
        let hours = end - lookback..end;
        let sums = self.store.costs(hours.clone(), CostsOf::Everybody).await?;
        let filters =
            CostFilters { provider: Some(target.provider), model: Some(target.model), action: Some(action), ..CostFilters::default() };
        let report = Report { step: hours.end - hours.start, hours, filters, group_by: Vec::new() };
        let beyond = || ServiceError::invalid("actions_per_month", "makes a cost that is beyond all numbers");
        let rows = report.rows(&sums).ok_or_else(beyond)?;
        let tally = rows
            .iter()
            .filter(|(key, _)| key.currency.as_deref() == Some(&*catalog.price_book.currency))
            .try_fold(crate::domain::summary::Tally::default(), |sum, (_, row)| sum.checked_add(row.tally))
            .ok_or_else(beyond)?;
        let expected = Expectation::of(tally.attempts, tally.accepted).ok_or_else(beyond)?;
        let cost = |attempts, actions| Expectation::cost(priced.cost, attempts, actions).ok_or_else(beyond);
        Ok(Forecast {
            cost_per_action: cost(expected.attempts, 1)?,
            expected_attempts: expected.attempts,
            monthly: cost(expected.attempts, actions_per_month)?,
            monthly_low: cost(expected.attempts_low, actions_per_month)?,
            monthly_high: cost(expected.attempts_high, actions_per_month)?,
            attempts_observed: tally.attempts,
            cost_per_accepted_output: crate::domain::summary::Tally::per(tally.cost, tally.outputs),
            currency: catalog.price_book.currency.clone(),
        })
    }
}

/// A span of hours that sums may be asked for.
pub(super) fn checked_span(hours: HourRange) -> Result<HourRange, ServiceError> {
    if hours.is_empty() {
        return Err(ServiceError::invalid("end_time", "must be after `start_time`"));
    }
    if hours.end - hours.start > SPAN_HOURS_MAX {
        return Err(ServiceError::invalid("start_time", "lies more than 366 days before the end"));
    }
    Ok(hours)
}

/// So many rows must fit one answer; `else_what` makes fewer.
pub(super) fn must_fit(rows: usize, else_what: &str) -> Result<(), ServiceError> {
    if rows > ROWS_MAX {
        let hint = format!("splits the sums into {rows} rows, of which {ROWS_MAX} fit an answer; {else_what}");
        return Err(ServiceError::invalid("group_by", hint));
    }
    Ok(())
}
