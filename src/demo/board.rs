//! What the tables show, added up from the server's answers and from nothing else.
//!
//! Balances are those that came with the last answer; costs and charged units are the sums of the cost events. That the two agree is
//! checked at the end of the day, by [`Board::check`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use jiff::Timestamp;
use rust_decimal::Decimal;

use super::gateway::METER;
use super::habits::CUSTOMERS;
use super::story::{Customer, DAY_START};
use crate::proto::v1;

/// Everything added up so far.
#[derive(Debug)]
pub struct Board {
    /// The time of the day.
    pub now: Timestamp,
    /// Generations of the whole day.
    pub planned: usize,
    pub subjects: Vec<Subject>,
    pub costs: BTreeMap<Run, Cost>,
    pub totals: Totals,
    /// Events that were counted, so that none counts twice.
    seen: BTreeSet<String>,
}

/// One row of the balances.
#[derive(Debug, Default)]
pub struct Subject {
    pub name: &'static str,
    pub plan: String,
    /// What the allowance gives, and what is left of it.
    pub allowance: Decimal,
    pub allowance_left: Decimal,
    pub credits: Decimal,
    pub held: Decimal,
    /// As the balance says.
    pub charged: Decimal,
    /// As the cost events say.
    pub accepted: Decimal,
    pub near_limit: bool,
    pub denials: u64,
}

/// What runs an attempt. Costs are never blended over these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    pub provider: String,
    pub model: String,
    pub tier: String,
}

/// One row of the costs.
#[derive(Debug, Default)]
pub struct Cost {
    pub attempts: u64,
    pub accepted: u64,
    /// Outputs of accepted attempts.
    pub outputs: i64,
    pub cost: Decimal,
    pub failovers: u64,
    pub failover_cost: Decimal,
    pub shift: Decimal,
}

/// What the closing summary tells.
#[derive(Debug, Default)]
pub struct Totals {
    /// Generations that are over, and those of them that delivered something.
    pub generations: usize,
    pub delivered: usize,
    /// Attempts by outcome, by the outcome's word.
    pub outcomes: BTreeMap<String, u64>,
    /// Denials by reason.
    pub denied: BTreeMap<String, u64>,
    pub given_back: Decimal,
    pub expired: u64,
    pub late: u64,
    pub replayed: u64,
    pub bought: Decimal,
    pub currency: String,
}

/// A subject whose balance and cost events disagree.
#[derive(Debug, PartialEq, Eq)]
pub struct Disagreement {
    pub subject: &'static str,
    pub charged: Decimal,
    pub accepted: Decimal,
    pub held: Decimal,
}

impl Cost {
    pub fn per_output(&self) -> Option<Decimal> {
        self.cost.checked_div(Decimal::from(self.outputs))
    }

    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.accepted += other.accepted;
        self.outputs += other.outputs;
        self.cost += other.cost;
        self.failovers += other.failovers;
        self.failover_cost += other.failover_cost;
        self.shift += other.shift;
    }
}

impl Board {
    pub fn new(planned: usize) -> Self {
        let subjects = CUSTOMERS.iter().map(|customer| Subject { name: customer.name, ..Subject::default() });
        Self {
            now: DAY_START,
            planned,
            subjects: subjects.collect(),
            costs: BTreeMap::new(),
            totals: Totals::default(),
            seen: BTreeSet::new(),
        }
    }

    /// All rows of the costs together; only for the last line and the summary.
    pub fn cost(&self) -> Cost {
        let mut sum = Cost::default();
        self.costs.values().for_each(|cost| sum.add(cost));
        sum
    }

    pub fn plan(&mut self, customer: &Customer, plan: &str) {
        plan.clone_into(&mut self.subject(customer.name).plan);
    }

    /// A balance that came with an answer.
    pub fn balance(&mut self, name: &str, balances: &[v1::Balance]) -> anyhow::Result<()> {
        let Some(balance) = balances.iter().find(|balance| balance.meter == METER) else { return Ok(()) };
        let allowances = || balance.sources.iter().filter(|source| source.kind() == v1::SourceKind::Allowance);
        let allowance = allowances().map(|source| decimal(&source.limit)).sum::<anyhow::Result<Decimal>>()?;
        let subject = self.subject(name);
        subject.allowance = allowance;
        subject.allowance_left = decimal(&balance.allowance_available)?;
        subject.credits = decimal(&balance.credits_available)?;
        subject.held = decimal(&balance.reserved)?;
        subject.charged = decimal(&balance.committed)? + decimal(&balance.overage)?;
        subject.near_limit = balance.near_limit;
        Ok(())
    }

    /// The events that a settlement wrote.
    pub fn events(&mut self, events: &[v1::CostEvent]) -> anyhow::Result<()> {
        for event in events {
            if self.seen.insert(event.event_id.clone()) {
                self.event(event).with_context(|| format!("event `{}`", event.event_id))?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &v1::CostEvent) -> anyhow::Result<()> {
        let attempt = event.attempt.as_ref().context("has no attempt")?;
        let target = attempt.target.clone().context("has no target")?;
        let cost = decimal(&attempt.cost)?;
        let run = Run { provider: target.provider, model: target.model, tier: attempt.tier.clone() };
        let row = self.costs.entry(run).or_default();
        row.attempts += 1;
        row.cost += cost;
        row.shift += decimal(&attempt.cost_shift)?;
        if event.failover {
            row.failovers += 1;
            row.failover_cost += cost;
        }
        if attempt.outcome() == v1::Outcome::Accepted {
            row.accepted += 1;
            row.outputs += event.work.iter().flat_map(|work| &work.items).map(|item| item.count.unwrap_or(1)).sum::<i64>();
            self.subject(&event.subject).accepted += decimal(&attempt.units)?;
        }
        *self.totals.outcomes.entry(word(attempt.outcome().as_str_name(), "OUTCOME_").to_lowercase()).or_default() += 1;
        self.totals.late += u64::from(event.late);
        event.currency.clone_into(&mut self.totals.currency);
        Ok(())
    }

    pub fn denied(&mut self, name: &str, denial: &v1::Denial) {
        self.subject(name).denials += 1;
        let reason = word(denial.reason().as_str_name(), "DENIAL_REASON_");
        *self.totals.denied.entry(reason.to_owned()).or_default() += 1;
    }

    /// Counts what went back to its accounts when a hold was settled.
    pub fn given_back(&mut self, reservation: &v1::Reservation) -> anyhow::Result<Decimal> {
        let back = (decimal(&reservation.units_reserved)? - decimal(&reservation.units_committed)?).max(Decimal::ZERO);
        self.totals.given_back += back;
        Ok(back)
    }

    /// The subjects whose cost events do not add up to their balance, or that still have something held.
    pub fn check(&self) -> Vec<Disagreement> {
        let wrong = self.subjects.iter().filter(|subject| subject.charged != subject.accepted || !subject.held.is_zero());
        wrong
            .map(|subject| Disagreement { subject: subject.name, charged: subject.charged, accepted: subject.accepted, held: subject.held })
            .collect()
    }

    fn subject(&mut self, name: &str) -> &mut Subject {
        let known = self.subjects.iter().position(|subject| subject.name == name);
        &mut self.subjects[known.expect("the board has a row for every customer")]
    }
}

/// A decimal of an answer; none there is zero.
pub fn decimal(text: &str) -> anyhow::Result<Decimal> {
    if text.is_empty() {
        return Ok(Decimal::ZERO);
    }
    Decimal::from_str_exact(text).with_context(|| format!("not a decimal: `{text}`")).map(|decimal| decimal.normalize())
}

/// The name of an enum's value without the name of the enum.
pub fn word(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(id: &str, units: &str) -> v1::CostEvent {
        let attempt = v1::Attempt {
            target: Some(v1::Target { provider: "fal".to_owned(), model: "wan-2.2".to_owned() }),
            outcome: v1::Outcome::Accepted.into(),
            units: units.to_owned(),
            cost: "0.2".to_owned(),
            ..Default::default()
        };
        v1::CostEvent { event_id: id.to_owned(), subject: "mia".to_owned(), attempt: Some(attempt), ..Default::default() }
    }

    fn charged(units: &str) -> [v1::Balance; 1] {
        [v1::Balance { meter: METER.to_owned(), committed: units.to_owned(), ..Default::default() }]
    }

    #[test]
    fn an_event_that_comes_twice_counts_once() {
        let mut board = Board::new(1);
        board.events(&[accepted("a", "5"), accepted("a", "5")]).unwrap();
        board.events(&[accepted("a", "5")]).unwrap();
        board.balance("mia", &charged("5")).unwrap();
        assert_eq!(board.check(), []);
        assert_eq!(board.cost().attempts, 1);
    }

    #[test]
    fn a_balance_that_the_events_do_not_explain_is_found() {
        let mut board = Board::new(1);
        board.events(&[accepted("a", "5")]).unwrap();
        board.balance("mia", &charged("6")).unwrap();
        let found = Disagreement { subject: "mia", charged: 6.into(), accepted: 5.into(), held: Decimal::ZERO };
        assert_eq!(board.check(), [found]);
    }

    #[test]
    fn an_amount_that_cannot_be_read_is_an_error_and_not_zero() {
        assert!(decimal("1e5").is_err());
        assert!(Board::new(1).balance("mia", &charged("five")).is_err());
    }
}
