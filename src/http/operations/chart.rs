//! Cost over time as bars, and the same as a table. Coordinates are whole numbers in the units of the drawing; money stays exact.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use super::shown::{Column, Moment, Number, text};
use crate::domain::amount::MICROS_PER_UNIT;
use crate::domain::report::{Figures, RowKey};

/// Height of the drawing, and the width of one step and of the bar in it.
const HEIGHT: i64 = 1000;
const STEP_WIDTH: i64 = 20;
const BAR_WIDTH: i64 = 15;
/// Tiers that are told apart: the style has as many colours. What costs less is one more, together.
const SERIES_MAX: usize = 5;
/// The name of a target without a price, and of what there was no colour for.
const NO_TIER: &str = "no price";
const OTHERS: &str = "other tiers";
/// Steps that have their instant written below.
const LABELS_MAX: usize = 4;

/// What one currency was spent in, step by step.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Chart {
    pub currency: String,
    /// Tiers, the dearest first: in this order they stand on each other.
    pub series: Vec<Series>,
    pub steps: Vec<Step>,
    /// The dearest of the steps, by its place.
    pub dearest: usize,
    #[serde(skip)]
    pub width: i64,
    #[serde(skip)]
    pub height: i64,
    /// What the top of the drawing stands for, and its middle.
    #[serde(skip)]
    pub top: Number,
    #[serde(skip)]
    pub middle: Number,
    /// Instants along the foot, evenly spread.
    #[serde(skip)]
    pub labels: Vec<Moment>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Series {
    pub tier: String,
    pub cost: Number,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    pub start: Moment,
    pub cost: Number,
    /// In the order of the series.
    pub costs: Vec<Number>,
    #[serde(skip)]
    pub bars: Vec<Bar>,
}

/// A part of a bar.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub series: usize,
    pub x: i64,
    pub y: i64,
    pub width: i64,
    pub height: i64,
}

impl Chart {
    /// Of the rows in one currency; `None` where nothing was spent.
    pub(super) fn of(rows: &BTreeMap<RowKey, Figures>, hours: &Range<i64>, step: i64, currency: &str) -> Option<Self> {
        let rows = || rows.iter().filter(|(key, figures)| text(key.currency.as_ref()) == currency && figures.tally.cost > 0);
        rows().next()?;
        let tier = |key: &RowKey| key.tier.as_ref().map_or_else(|| NO_TIER.to_owned(), ToString::to_string);
        let series = series(rows().map(|(key, figures)| (tier(key), figures.tally.cost)));
        let place = |name: &str| series.iter().position(|(known, _)| known == name).unwrap_or(series.len() - 1);
        let starts: Vec<i64> = (hours.start..hours.end).step_by(usize::try_from(step).ok()?).collect();
        let mut costs = vec![vec![0_i64; series.len()]; starts.len()];
        for (key, figures) in rows() {
            let at = usize::try_from((key.hour - hours.start) / step).ok()?;
            let cost = costs.get_mut(at)?.get_mut(place(&tier(key)))?;
            *cost = cost.saturating_add(figures.tally.cost);
        }
        let sums: Vec<i64> = costs.iter().map(|parts| parts.iter().fold(0, |sum: i64, part| sum.saturating_add(*part))).collect();
        let (dearest, most) = sums.iter().copied().enumerate().max_by_key(|(at, sum)| (*sum, std::cmp::Reverse(*at)))?;
        let top = round_up(most);
        let mut chart = Self {
            currency: currency.to_owned(),
            series: series.into_iter().map(|(tier, cost)| Series { tier, cost: Number::micros(cost) }).collect(),
            steps: starts.iter().zip(costs).enumerate().map(|(at, (start, parts))| Step::of(at, *start, &parts, top)).collect(),
            dearest,
            width: STEP_WIDTH.saturating_mul(i64::try_from(starts.len()).ok()?),
            height: HEIGHT,
            top: Number::micros(top),
            middle: Number::micros(top / 2),
            labels: labels(&starts),
        };
        Column::Money.align([&mut chart.top, &mut chart.middle].into_iter());
        let steps = chart.steps.iter_mut().flat_map(|step| step.costs.iter_mut().chain([&mut step.cost]));
        Column::Money.align(steps.chain(chart.series.iter_mut().map(|series| &mut series.cost)));
        Some(chart)
    }
}

impl Step {
    fn of(at: usize, start: i64, parts: &[i64], top: i64) -> Self {
        let x = i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(STEP_WIDTH) + (STEP_WIDTH - BAR_WIDTH) / 2;
        let mut below = 0_i64;
        let mut bars = Vec::new();
        for (series, cost) in parts.iter().enumerate().filter(|(_, cost)| **cost > 0) {
            let foot = height(below, top);
            below = below.saturating_add(*cost);
            let head = height(below, top);
            bars.push(Bar { series, x, y: HEIGHT - head, width: BAR_WIDTH, height: head - foot });
        }
        let costs = parts.iter().map(|cost| Number::micros(*cost)).collect();
        Self { start: Moment::of_hour(start), cost: Number::micros(below), costs, bars }
    }
}

/// Tiers with what they cost, the dearest first; beyond what there are colours for, all others are one.
fn series(costs: impl Iterator<Item = (String, i64)>) -> Vec<(String, i64)> {
    let mut sums = BTreeMap::<String, i64>::new();
    for (tier, cost) in costs {
        let sum = sums.entry(tier).or_default();
        *sum = sum.saturating_add(cost);
    }
    let mut series: Vec<_> = sums.into_iter().collect();
    series.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
    if series.len() > SERIES_MAX + 1 {
        let others = series.drain(SERIES_MAX..).fold(0_i64, |sum, (_, cost)| sum.saturating_add(cost));
        series.push((OTHERS.to_owned(), others));
    }
    series
}

/// How high an amount stands when `top` stands at the top.
fn height(micros: i64, top: i64) -> i64 {
    let part = i128::from(micros) * i128::from(HEIGHT) / i128::from(top);
    i64::try_from(part).unwrap_or(HEIGHT).min(HEIGHT)
}

/// The least of 1, 2 and 5 with zeros behind or before them that is not below: an axis that people can read.
fn round_up(micros: i64) -> i64 {
    let mut power = 1_i64;
    while power < MICROS_PER_UNIT.saturating_mul(MICROS_PER_UNIT) {
        for factor in [1, 2, 5] {
            if micros <= power * factor {
                return power * factor;
            }
        }
        power *= 10;
    }
    micros
}

/// A few of the instants, evenly spread from the first on.
fn labels(starts: &[i64]) -> Vec<Moment> {
    let each = starts.len().div_ceil(LABELS_MAX).max(1);
    starts.iter().step_by(each).map(|start| Moment::of_hour(*start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::summary::Tally;

    fn row(hour: i64, tier: Option<&str>, cost: i64) -> (RowKey, Figures) {
        let text = |value: &str| Some(Box::from(value));
        let key = RowKey { hour, provider: text("p"), model: text("m"), tier: tier.map(Box::from), currency: text("USD"), group: vec![] };
        (key, Figures { tally: Tally { cost, ..Tally::default() }, ..Figures::default() })
    }

    fn chart(rows: &[(RowKey, Figures)], hours: Range<i64>, step: i64) -> Option<Chart> {
        Chart::of(&rows.iter().cloned().collect(), &hours, step, "USD")
    }

    #[test]
    fn the_bars_of_a_step_stand_on_each_other_and_end_at_its_cost() {
        let rows = [row(10, Some("basic"), 1_000_000), row(10, Some("premium"), 3_000_000), row(12, Some("basic"), 1_500_000)];
        let chart = chart(&rows, 10..14, 2).unwrap();
        assert_eq!(chart.series.iter().map(|series| series.tier.as_str()).collect::<Vec<_>>(), ["premium", "basic"]);
        let bars: Vec<_> = chart.steps.iter().flat_map(|step| &step.bars).map(|bar| (bar.series, bar.x, bar.y, bar.height)).collect();
        assert_eq!(bars, [(0, 2, 400, 600), (1, 2, 200, 200), (1, 22, 700, 300)]);
        assert_eq!((chart.top.shown.as_str(), chart.middle.shown.as_str(), chart.dearest, chart.width), ("5.00", "2.50", 0, 40));
        assert_eq!(chart.steps.iter().map(|step| step.cost.shown.as_str()).collect::<Vec<_>>(), ["4.00", "1.50"]);
    }

    #[test]
    fn tiers_beyond_the_colours_are_one_and_nothing_of_them_is_lost() {
        let names: Vec<String> = (0..9).map(|number| format!("t{number}")).collect();
        let rows: Vec<_> = names.iter().zip(1..).map(|(name, cost)| row(0, Some(name), cost)).collect();
        let chart = chart(&rows, 0..1, 1).unwrap();
        assert_eq!(chart.series.len(), SERIES_MAX + 1);
        assert_eq!((chart.series[0].tier.as_str(), chart.series[SERIES_MAX].tier.as_str()), ("t8", OTHERS));
        assert_eq!(chart.steps[0].cost.exact, "0.000045".parse().unwrap());
    }

    #[test]
    fn where_nothing_was_spent_there_is_nothing_to_draw() {
        assert_eq!(chart(&[], 0..24, 1), None);
        assert_eq!(chart(&[row(3, None, 0)], 0..24, 1), None);
        assert_eq!(chart(&[row(3, None, 7)], 0..24, 1).unwrap().series[0].tier, NO_TIER);
    }

    #[test]
    fn the_top_is_a_number_that_people_can_read() {
        for (most, top) in [(1, 1), (3, 5), (420_000, 500_000), (1_000_000, 1_000_000), (1_000_001, 2_000_000)] {
            assert_eq!(round_up(most), top, "{most}");
        }
        assert_eq!(round_up(i64::MAX), i64::MAX);
    }
}
