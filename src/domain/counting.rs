//! Counting: action, target and work in, units out (product.md chapter 2).
//!
//! The rules are catalog data; this is the one place that applies them. Each item is counted by the first rule whose condition holds.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::amount::{AmountError, Micros, RoundingMode, exact_product, round_to_step};
use super::condition::{Circumstances, Condition};
use super::ids::{ActionId, AttributeId, MeasureId, MeterId};
use super::work::{Item, Work};

/// What is being done, and how it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub id: ActionId,
    pub charge: Charging,
    /// The measures an item may carry. Anything else is refused (R10).
    pub measures: BTreeSet<MeasureId>,
    /// The attributes an item may carry, each with its allowed values; `None` allows any value.
    pub attributes: BTreeMap<AttributeId, Option<BTreeSet<Box<str>>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charging {
    /// Never touches an account, and works at zero balance (R6).
    Free,
    Metered {
        meter: MeterId,
        rules: Vec<Rule>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub when: Condition,
    pub per: Per,
    /// Units for one of `per`.
    pub rate: Decimal,
    pub rounding: Rounding,
}

/// What a rate or a price multiplies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Per {
    Request,
    Output,
    Measure(MeasureId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rounding {
    pub mode: RoundingMode,
    /// Greater than zero.
    pub step: Decimal,
    pub each: Each,
}

/// Whether every output is rounded, or the sum once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Each {
    #[default]
    Output,
    Request,
}

/// One line of an explanation: what a rule made of some outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountLine {
    /// Index of the rule in its action, and of the item it was applied to; `None` when it counted the request as a whole.
    pub rule: usize,
    pub item: Option<usize>,
    /// How much of `per`, before the rate.
    pub quantity: Decimal,
    pub units: Decimal,
}

/// Why a work cannot be counted or priced. `path` is relative to the work: `items[0].measures.seconds`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct WorkError {
    pub path: String,
    pub problem: String,
}

impl WorkError {
    /// The same of the item `index`, found where it stood alone.
    pub(super) fn at_item(self, index: usize) -> Self {
        let path = self.path.strip_prefix("items[0]").map(|rest| format!("items[{index}]{rest}"));
        Self { path: path.unwrap_or(self.path), problem: self.problem }
    }
}

impl Default for Rounding {
    fn default() -> Self {
        Self { mode: RoundingMode::None, step: Decimal::ONE, each: Each::Output }
    }
}

impl Action {
    /// The meter this action is charged in; `None` when it is free.
    pub fn meter(&self) -> Option<&MeterId> {
        match &self.charge {
            Charging::Free => None,
            Charging::Metered { meter, .. } => Some(meter),
        }
    }

    /// Every measure and attribute of a work that the action does not declare (R10).
    pub fn problems(&self, work: &Work) -> Vec<WorkError> {
        let mut problems = Vec::new();
        for (index, item) in work.items.iter().enumerate() {
            for name in item.measures.keys().filter(|name| !self.measures.contains(*name)) {
                let declared = list(self.measures.iter().map(MeasureId::as_str));
                problems.push(WorkError {
                    path: format!("items[{index}].measures.{name}"),
                    problem: format!("`{name}` is not a measure of `{}`; it declares {declared}", self.id),
                });
            }
            for (name, value) in &item.attributes {
                let problem = match self.attributes.get(name) {
                    None => {
                        let declared = list(self.attributes.keys().map(AttributeId::as_str));
                        format!("`{name}` is not an attribute of `{}`; it declares {declared}", self.id)
                    }
                    Some(Some(values)) if !values.contains(value) => {
                        format!("`{value}` is not a value of `{name}`; allowed are {}", list(values.iter().map(|value| &**value)))
                    }
                    Some(_) => continue,
                };
                problems.push(WorkError { path: format!("items[{index}].attributes.{name}"), problem });
            }
        }
        problems
    }

    /// The units of a work. `line` hears each step, for an explanation.
    pub fn count(&self, at_hand: &Circumstances<'_>, work: &Work, mut line: impl FnMut(CountLine)) -> Result<Micros, WorkError> {
        let Charging::Metered { rules, .. } = &self.charge else {
            return Ok(Micros::ZERO);
        };
        let mut total = Decimal::ZERO;
        // For rules that look at the request as a whole: the quantity gathered over its items.
        let mut gathered: Vec<(usize, Decimal)> = Vec::new();
        for (index, item) in work.items.iter().enumerate() {
            let rule_index = rules.iter().position(|rule| rule.when.holds_for(at_hand, &item.attributes)).ok_or_else(|| WorkError {
                path: format!("items[{index}]"),
                problem: format!("no counting rule of `{}` covers this item on this target and plan", self.id),
            })?;
            let rule = &rules[rule_index];
            let per_output = rule.per.of_output(item, index, "counting rule")?;
            let at_item = |error| too_large(index, error);
            match (&rule.per, rule.rounding.each) {
                (Per::Request, _) => gather(&mut gathered, rule_index, Decimal::ZERO).map_err(at_item)?,
                (_, Each::Request) => {
                    let quantity = exact_product(per_output, Decimal::from(item.count)).map_err(at_item)?;
                    gather(&mut gathered, rule_index, quantity).map_err(at_item)?;
                }
                (_, Each::Output) => {
                    let each = rule.units(per_output).map_err(at_item)?;
                    let units = exact_product(each, Decimal::from(item.count)).map_err(at_item)?;
                    total = total.checked_add(units).ok_or_else(|| too_large(index, AmountError::TooLarge))?;
                    line(CountLine { rule: rule_index, item: Some(index), quantity: per_output, units });
                }
            }
        }
        for (rule_index, quantity) in gathered {
            let rule = &rules[rule_index];
            let quantity = if rule.per == Per::Request { Decimal::ONE } else { quantity };
            let units = rule.units(quantity).map_err(|error| too_large(0, error))?;
            total = total.checked_add(units).ok_or_else(|| too_large(0, AmountError::TooLarge))?;
            line(CountLine { rule: rule_index, item: None, quantity, units });
        }
        Micros::from_decimal(total, RoundingMode::None).map_err(|error| too_large(0, error))
    }
}

impl Rule {
    fn units(&self, quantity: Decimal) -> Result<Decimal, AmountError> {
        round_to_step(exact_product(quantity, self.rate)?, self.rounding.step, self.rounding.mode)
    }
}

impl Per {
    /// How much of this one output of an item is.
    pub(super) fn of_output(&self, item: &Item, index: usize, needed_by: &str) -> Result<Decimal, WorkError> {
        match self {
            Self::Request | Self::Output => Ok(Decimal::ONE),
            Self::Measure(name) => item.measures.get(name).copied().ok_or_else(|| WorkError {
                path: format!("items[{index}].measures.{name}"),
                problem: format!("is missing; the {needed_by} needs it"),
            }),
        }
    }
}

impl std::fmt::Display for Per {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Request => f.write_str("request"),
            Self::Output => f.write_str("output"),
            Self::Measure(name) => name.fmt(f),
        }
    }
}

fn gather(gathered: &mut Vec<(usize, Decimal)>, rule: usize, quantity: Decimal) -> Result<(), AmountError> {
    match gathered.iter_mut().find(|(known, _)| *known == rule) {
        Some((_, sum)) => *sum = sum.checked_add(quantity).ok_or(AmountError::TooLarge)?,
        None => gathered.push((rule, quantity)),
    }
    Ok(())
}

pub(super) fn too_large(index: usize, error: AmountError) -> WorkError {
    WorkError { path: format!("items[{index}]"), problem: error.to_string() }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
