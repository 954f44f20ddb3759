//! What one subject used, from sums of its closed attempts.

use std::collections::BTreeMap;
use std::ops::Range;

use super::report::{GroupBy, add_up};
use super::summary::{CostSum, Dimension, Split};

/// What a statement of usage is of. Hours are since 1970, the last one not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageReport {
    pub hours: Range<i64>,
    pub group_by: Vec<GroupBy>,
    /// Costs in other currencies are left out: they cannot be added.
    pub currency: Box<str>,
}

/// What one row is of. `None` stands for what there is none of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageKey {
    /// In the order of the report's `group_by`.
    pub group: Vec<Option<Box<str>>>,
    /// `None`: free actions.
    pub meter: Option<Box<str>>,
}

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Each counts with the first attempt that was made for it in this group.
    pub generations: u64,
    /// Micro-units charged.
    pub units: i64,
    pub cost: i64,
}

impl UsageReport {
    /// Adds sums up, row by row. `None`: some total is too large for a number.
    pub fn rows(&self, sums: &[CostSum]) -> Option<BTreeMap<UsageKey, Used>> {
        let split = self.group_by.iter().fold(Split::default(), |split, group| match group {
            GroupBy::Provider => Split { provider: true, ..split },
            GroupBy::Model => Split { model: true, ..split },
            GroupBy::Tier => Split { tier: true, ..split },
            GroupBy::Subject | GroupBy::User | GroupBy::Plan | GroupBy::Action => split,
        });
        let key = |sum: &CostSum| UsageKey {
            group: self.group_by.iter().map(|group| group.of(sum)).collect(),
            meter: sum.key.get(Dimension::Meter).map(Box::from),
        };
        let in_span = sums.iter().filter(|sum| self.hours.contains(&sum.hour));
        add_up(in_span, key, |used: &mut Used, sum| {
            let counted = sum.key.get(Dimension::Currency) == Some(&*self.currency);
            used.generations = used.generations.checked_add(sum.generations(split))?;
            used.units = used.units.checked_add(sum.tally.units)?;
            used.cost = used.cost.checked_add(if counted { sum.tally.cost } else { 0 })?;
            Some(())
        })
    }
}
