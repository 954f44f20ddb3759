//! What sums of closed attempts say: rows that are never blended over provider, model and tier (C5), and a forecast (C7).

use std::collections::BTreeMap;

use rust_decimal::{Decimal, MathematicalOps, RoundingStrategy};

use super::amount::Micros;
use super::filter::CostFilters;
use super::reservation::Outcome;
use super::summary::{CostSum, Dimension, Tally, outcome_name};

/// What splits sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupBy {
    Subject,
    User,
    Plan,
    Action,
    Provider,
    Model,
    Tier,
}

/// What a report is of. Hours are since 1970, the last one not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub hours: std::ops::Range<i64>,
    /// Above zero.
    pub step: i64,
    pub filters: CostFilters,
    /// Beside provider, model and tier, which always do.
    pub group_by: Vec<GroupBy>,
}

/// What one row is of. `None` stands for what there is none of, such as a tier without a price.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// First hour of the step.
    pub hour: i64,
    pub provider: Option<Box<str>>,
    pub model: Option<Box<str>>,
    pub tier: Option<Box<str>>,
    pub currency: Option<Box<str>>,
    /// In the order of the report's `group_by`.
    pub group: Vec<Option<Box<str>>>,
}

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub tally: Tally,
    /// Attempts that ran elsewhere than planned.
    pub failovers: u64,
    /// Attempts whose hold was given back by time alone.
    pub expired: u64,
}

impl GroupBy {
    /// What may split a summary of costs further, and what a statement of usage.
    pub const OF_COSTS: [Self; 4] = [Self::Subject, Self::User, Self::Plan, Self::Action];
    pub const OF_USAGE: [Self; 5] = [Self::User, Self::Action, Self::Provider, Self::Model, Self::Tier];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::User => "user",
            Self::Plan => "plan",
            Self::Action => "action",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Tier => "tier",
        }
    }

    /// Whether only the sums of single subjects tell it.
    pub const fn is_of_subjects(self) -> bool {
        matches!(self, Self::Subject | Self::User)
    }

    /// The value that a sum is of.
    pub fn of(self, sum: &CostSum) -> Option<Box<str>> {
        match self {
            Self::Subject => sum.key.subject(),
            Self::User => sum.key.user(),
            Self::Plan => sum.key.get(Dimension::Plan),
            Self::Action => sum.key.get(Dimension::Action),
            Self::Provider => sum.key.get(Dimension::Provider),
            Self::Model => sum.key.get(Dimension::Model),
            Self::Tier => sum.key.get(Dimension::Tier),
        }
        .map(Box::from)
    }
}

impl Report {
    /// Adds sums up, row by row. `None`: some total is too large for a number.
    pub fn rows(&self, sums: &[CostSum]) -> Option<BTreeMap<RowKey, Figures>> {
        let key = |sum: &CostSum| RowKey {
            hour: sum.hour - (sum.hour - self.hours.start).rem_euclid(self.step),
            provider: GroupBy::Provider.of(sum),
            model: GroupBy::Model.of(sum),
            tier: GroupBy::Tier.of(sum),
            currency: sum.key.get(Dimension::Currency).map(Box::from),
            group: self.group_by.iter().map(|group| group.of(sum)).collect(),
        };
        let counted = sums.iter().filter(|sum| self.hours.contains(&sum.hour) && self.filters.admit_sum(&sum.key));
        add_up(counted, key, |figures: &mut Figures, sum| {
            figures.tally = figures.tally.checked_add(sum.tally)?;
            figures.failovers += if sum.key.is_failover() { sum.tally.attempts } else { 0 };
            let is_expired = sum.key.get(Dimension::Outcome) == Some(outcome_name(Outcome::Expired));
            figures.expired += if is_expired { sum.tally.attempts } else { 0 };
            Some(())
        })
    }
}

impl Figures {
    /// The sum, or `None` where it is too large for a number.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            tally: self.tally.checked_add(other.tally)?,
            failovers: self.failovers.checked_add(other.failovers)?,
            expired: self.expired.checked_add(other.expired)?,
        })
    }
}

/// The rows of a report over its whole span: what the steps split is one row again, at the first hour of the first. `None`: some total is
/// too large for a number.
pub fn over_all_steps(rows: &BTreeMap<RowKey, Figures>) -> Option<BTreeMap<RowKey, Figures>> {
    let start = rows.keys().map(|key| key.hour).min().unwrap_or_default();
    let mut whole = BTreeMap::<RowKey, Figures>::new();
    for (key, figures) in rows {
        let sum = whole.entry(RowKey { hour: start, ..key.clone() }).or_default();
        *sum = sum.checked_add(*figures)?;
    }
    Some(whole)
}

/// Adds sums up by what `key` makes of each. `None`: `add` could not, because some total is too large for a number.
pub(super) fn add_up<'s, K: Ord, V: Default>(
    sums: impl Iterator<Item = &'s CostSum>,
    key: impl Fn(&CostSum) -> K,
    add: impl Fn(&mut V, &CostSum) -> Option<()>,
) -> Option<BTreeMap<K, V>> {
    let mut rows = BTreeMap::new();
    for sum in sums {
        add(rows.entry(key(sum)).or_default(), sum)?;
    }
    Some(rows)
}

/// What an action costs until one attempt is accepted, with the bounds that 95 of 100 such observations would keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    pub attempts: Decimal,
    pub attempts_low: Decimal,
    pub attempts_high: Decimal,
}

/// Digits of a multiplier.
const DIGITS: u32 = 9;
/// Half the width of the interval that holds 95 of 100, in standard deviations: 1.96.
const Z: Decimal = Decimal::from_parts(196, 0, 0, false, 2);

impl Expectation {
    /// From what was observed: how many attempts, and how many of them were accepted. Wilson's interval for the share that is accepted.
    pub fn of(attempts: u64, accepted: u64) -> Option<Self> {
        let one = Decimal::ONE;
        if attempts == 0 {
            return Some(Self { attempts: one, attempts_low: one, attempts_high: one });
        }
        let (n, k) = (Decimal::from(attempts), Decimal::from(accepted.min(attempts)));
        if k.is_zero() {
            // Nothing was accepted yet: the next attempt may be the first.
            let next = n.checked_add(one)?;
            return Some(Self { attempts: next, attempts_low: one, attempts_high: next });
        }
        let share = k.checked_div(n)?;
        let spread = Z.checked_mul(Z)?;
        let each = spread.checked_div(n)?;
        let middle = share.checked_add(each.checked_div(Decimal::TWO)?)?;
        let variance = share.checked_mul(one.checked_sub(share)?)?.checked_div(n)?;
        let variance = variance.checked_add(each.checked_div(n)?.checked_div(Decimal::from(4))?)?;
        let half = Z.checked_mul(variance.sqrt()?)?;
        let scale = one.checked_add(each)?;
        let (low, high) = (middle.checked_sub(half)?.checked_div(scale)?, middle.checked_add(half)?.checked_div(scale)?);
        let round = |value: Decimal| value.round_dp_with_strategy(DIGITS, RoundingStrategy::MidpointAwayFromZero).normalize();
        let expected = n.checked_div(k)?;
        Some(Self {
            attempts: round(expected),
            attempts_low: round(one.checked_div(high)?.max(one).min(expected)),
            attempts_high: round(one.checked_div(low)?.max(expected)),
        })
    }

    /// What `actions` cost at a price for one attempt, that often tried.
    pub fn cost(price: Micros, attempts: Decimal, actions: u64) -> Option<Decimal> {
        let cost = price.to_decimal().checked_mul(attempts)?.checked_mul(Decimal::from(actions))?;
        Some(cost.round_dp_with_strategy(DIGITS, RoundingStrategy::MidpointAwayFromZero).normalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(attempts: u64, accepted: u64) -> [String; 3] {
        let found = Expectation::of(attempts, accepted).unwrap();
        [found.attempts_low, found.attempts, found.attempts_high].map(|value| value.round_dp(3).to_string())
    }

    #[test]
    fn what_is_expected_is_what_was_observed_between_the_bounds_of_wilson() {
        assert_eq!(expected(0, 0), ["1", "1", "1"]);
        assert_eq!(expected(3, 1), ["1.262", "3", "16.263"]);
        assert_eq!(expected(300, 100), ["2.574", "3", "3.541"]);
        assert_eq!(expected(10, 10), ["1", "1", "1.384"]);
        assert_eq!(expected(4, 0), ["1", "5", "5"]);
        // A late commit may be accepted in another span than it was tried.
        assert_eq!(expected(1, 2)[1], "1");
    }

    #[test]
    fn over_all_steps_each_target_is_one_row_with_everything_of_it() {
        let row = |hour: i64, model: &str, attempts: u64, failovers: u64| {
            let key = RowKey { hour, provider: None, model: Some(model.into()), tier: None, currency: None, group: Vec::new() };
            (key, Figures { tally: Tally { attempts, ..Tally::default() }, failovers, expired: attempts })
        };
        let whole = over_all_steps(&[row(5, "a", 2, 1), row(7, "a", 3, 0), row(6, "b", 4, 4)].into()).unwrap();
        assert_eq!(whole, [row(5, "a", 5, 1), row(5, "b", 4, 4)].into());
        assert_eq!(over_all_steps(&[row(5, "a", u64::MAX, 0), row(6, "a", 1, 0)].into()), None);
    }

    #[test]
    fn the_cost_of_many_actions_is_exact() {
        let cost = Expectation::cost(Micros::new(40_000).unwrap(), Decimal::from(3), 1_000_000).unwrap();
        assert_eq!(cost.to_string(), "120000");
    }
}
