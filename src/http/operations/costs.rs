//! Costs of a span by provider, model and tier: the rows of `SummarizeCosts`, and the chart over its steps. Both are of one reading.

use jiff::Timestamp;
use serde::Serialize;

use super::chart::Chart;
use super::query::Span;
use super::shown::{Column, Moment, Number, text};
use crate::domain::report::{Figures, RowKey};
use crate::domain::summary::{Tally, hour_of};
use crate::service::{Service, ServiceError, Summary, SummaryCommand};

/// Rows of the table: more targets than a catalog has that people read.
const ROWS_MAX: usize = 200;

#[derive(Debug, Serialize)]
pub(super) struct Costs {
    /// First hour of the span, and the end of its last.
    pub start: Moment,
    pub end: Moment,
    /// One for each currency: they cannot be added.
    pub totals: Vec<Total>,
    pub attempts: u64,
    pub accepted_outputs: u64,
    pub failovers: u64,
    pub expired: u64,
    /// The dearest first.
    pub rows: Vec<CostRow>,
    /// Targets that there was no room for.
    pub rows_left_out: usize,
    pub charts: Vec<Chart>,
}

#[derive(Debug, Serialize)]
pub(super) struct Total {
    pub currency: String,
    pub cost: Number,
    pub cost_shift: Number,
}

/// What one provider, model and tier came to.
#[derive(Debug, Serialize)]
pub(super) struct CostRow {
    pub provider: String,
    pub model: String,
    pub tier: String,
    pub currency: String,
    pub generations: u64,
    pub attempts: u64,
    pub accepted_outputs: u64,
    pub expired: u64,
    pub cost: Number,
    pub cost_per_generation: Option<Number>,
    pub cost_per_accepted_output: Option<Number>,
    pub retry_multiplier: Option<Number>,
    pub failovers: u64,
    pub cost_shift: Number,
}

/// The whole hours of a span that ends with the present one.
pub(super) fn hours(span: Span, now: Timestamp) -> std::ops::Range<i64> {
    let end = hour_of(now) + 1;
    end - span.hours()..end
}

pub(super) async fn read(service: &Service, span: Span) -> Result<Costs, ServiceError> {
    let hours = hours(span, service.now());
    let instant = |hour: i64| Timestamp::from_second(hour.saturating_mul(3600)).unwrap_or(Timestamp::MAX);
    let command = SummaryCommand {
        start_time: Some(instant(hours.start)),
        end_time: Some(instant(hours.end)),
        step: Some(span.step()),
        filters: Default::default(),
        group_by: Vec::new(),
    };
    let summary = service.summarize_costs(command).await?;
    let mut costs = Costs::of(&summary, (Moment::of_hour(hours.start), Moment::of_hour(hours.end)))?;
    costs.charts = costs.totals.iter().filter_map(|total| Chart::of(&summary.rows, &hours, span.step(), &total.currency)).collect();
    Ok(costs)
}

impl Costs {
    fn of(summary: &Summary, (start, end): (Moment, Moment)) -> Result<Self, ServiceError> {
        let rows = summary.over_all_steps()?;
        let sum = |of: fn(&Figures) -> u64| rows.values().map(of).sum();
        let (attempts, accepted_outputs) = (sum(|row| row.tally.attempts), sum(|row| row.tally.outputs));
        let (failovers, expired) = (sum(|row| row.failovers), sum(|row| row.expired));
        let totals = totals(rows.iter());
        let mut rows: Vec<(RowKey, Figures)> = rows.into_iter().collect();
        rows.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.tally.cost));
        let rows_left_out = rows.len().saturating_sub(ROWS_MAX);
        let mut rows: Vec<CostRow> = rows.iter().take(ROWS_MAX).map(|(key, figures)| CostRow::of(key, figures)).collect();
        align(&mut rows);
        Ok(Self { start, end, totals, attempts, accepted_outputs, failovers, expired, rows, rows_left_out, charts: Vec::new() })
    }
}

impl CostRow {
    fn of(key: &RowKey, Figures { tally, failovers, expired }: &Figures) -> Self {
        Self {
            provider: text(key.provider.as_ref()),
            model: text(key.model.as_ref()),
            tier: text(key.tier.as_ref()),
            currency: text(key.currency.as_ref()),
            generations: tally.generations,
            attempts: tally.attempts,
            accepted_outputs: tally.outputs,
            expired: *expired,
            cost: Number::micros(tally.cost),
            cost_per_generation: Tally::per(tally.cost, tally.generations).map(Number::new),
            cost_per_accepted_output: Tally::per(tally.cost, tally.outputs).map(Number::new),
            retry_multiplier: tally.retry_multiplier().map(Number::new),
            failovers: *failovers,
            cost_shift: Number::micros(tally.cost_shift),
        }
    }
}

/// Money of each currency. Sums of cost alone: there is no blended number of anything else (C5).
fn totals<'r>(rows: impl Iterator<Item = (&'r RowKey, &'r Figures)>) -> Vec<Total> {
    let mut sums = std::collections::BTreeMap::<String, (i64, i64)>::new();
    for (key, Figures { tally, .. }) in rows {
        let (cost, shift) = sums.entry(text(key.currency.as_ref())).or_default();
        (*cost, *shift) = (cost.saturating_add(tally.cost), shift.saturating_add(tally.cost_shift));
    }
    let total = |(currency, (cost, shift))| {
        let mut total = Total { currency, cost: Number::micros(cost), cost_shift: Number::micros(shift) };
        Column::Money.align([&mut total.cost, &mut total.cost_shift].into_iter());
        total
    };
    sums.into_iter().map(total).collect()
}

fn align(rows: &mut [CostRow]) {
    Column::Money.align(rows.iter_mut().map(|row| &mut row.cost));
    Column::MoneyEach.align(rows.iter_mut().filter_map(|row| row.cost_per_generation.as_mut()));
    Column::MoneyEach.align(rows.iter_mut().filter_map(|row| row.cost_per_accepted_output.as_mut()));
    Column::Ratio.align(rows.iter_mut().filter_map(|row| row.retry_multiplier.as_mut()));
    Column::Money.align(rows.iter_mut().map(|row| &mut row.cost_shift));
}
