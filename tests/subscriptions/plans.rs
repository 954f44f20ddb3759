//! Random plans, as data that the reference reads, and as the catalog that the service reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;

/// Amounts are millionths of a unit.
pub const UNIT: i64 = 1_000_000;
/// The plan of subjects without a subscription, where there is one.
pub const DEFAULT: &str = "free";
pub const DEFAULT_ALLOWANCE: &str = "gift";
/// Most plans share one, some have another. An allowance that is given by the year has an id of its own, by how the subscription is paid:
/// the first month of a year and the year begin on one day, which names their accounts.
const ALLOWANCES: [[[&str; 2]; 2]; 2] =
    [[["units", "units-my"], ["units-ym", "units-yy"]], [["other", "other-my"], ["other-ym", "other-yy"]]];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Every {
    Month,
    Year,
}

/// Whose account an allowance or add-on pays from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Per {
    User,
    Seat,
    /// One pot of the amount times the seats.
    Pool,
    Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proration {
    Full,
    /// Rounded to a step: `Less` down, `Equal` half up, `Greater` up.
    Prorated(std::cmp::Ordering, i64),
    None,
}

/// `None` is unlimited.
pub type Amount = Option<i64>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    pub id: &'static str,
    pub per: Per,
    pub month: (Amount, Every),
    pub year: (Amount, Every),
    pub rollover: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub from: Option<Date>,
    pub allowances: Vec<Allowance>,
    /// The bundle of each add-on on offer.
    pub add_ons: BTreeMap<&'static str, i64>,
    pub proration: Proration,
}

/// A plan's place in the catalog is its rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plans {
    pub plans: Vec<Vec<Terms>>,
    /// What subjects without a subscription have.
    pub default: Option<Terms>,
}

/// How the next catalog differs. None takes away what was issued (P14).
#[derive(Debug, Clone)]
pub enum Reload {
    /// Everything that the terms of a plan give is so much more.
    Raise { plan: Index, more: i64 },
    /// A plan of the highest rank.
    Plan(Terms),
    /// Other amounts of a plan, from a day that comes so many days after all there is; what is given, to whom and how often, stays.
    Dated { plan: Index, days: i32, amounts: Terms },
}

pub const ADD_ONS: [(&str, Per); 3] = [("pack", Per::Subject), ("boost", Per::User), ("chair", Per::Pool)];

impl Per {
    pub fn is_own(self) -> bool {
        matches!(self, Self::User | Self::Seat)
    }

    /// Whether what was given so is a part of what a plan gives that counts otherwise: on accounts of one's own, or of all. What each seat
    /// had is not what each user has.
    pub fn goes_on_as(self, next: Self) -> bool {
        self.is_own() == next.is_own() && (self, next) != (Self::Seat, Self::User)
    }

    pub fn is_by_seat(self) -> bool {
        matches!(self, Self::Seat | Self::Pool)
    }

    fn yaml(self) -> &'static str {
        match self {
            Self::User => "per: user",
            Self::Seat => "per: seat",
            Self::Pool => "per: seat, pool: shared",
            Self::Subject => "per: subject",
        }
    }
}

impl Allowance {
    /// What it gives and how often, by how the subscription is paid.
    pub fn issue(&self, billed: Every) -> (Amount, Every) {
        if billed == Every::Year { self.year } else { self.month }
    }
}

impl Terms {
    /// The allowance that begins anew with such periods; a plan here has at most one.
    pub fn allowance(&self, billed: Every, every: Every) -> Option<&Allowance> {
        self.allowances.iter().find(|allowance| allowance.issue(billed).1 == every)
    }
}

impl Plans {
    pub fn name(rank: usize) -> String {
        format!("p{rank}")
    }

    pub fn rank(name: &str) -> usize {
        name[1..].parse().unwrap()
    }

    /// The terms that judge a period which begins on `day`.
    pub fn terms(&self, rank: usize, day: Date) -> &Terms {
        self.plans[rank].iter().rev().find(|terms| terms.from.is_none_or(|from| from <= day)).unwrap()
    }

    pub fn counts_by_seat(&self, rank: usize) -> bool {
        let add_on = |terms: &Terms| ADD_ONS.iter().any(|(id, per)| per.is_by_seat() && terms.add_ons.contains_key(id));
        self.plans[rank].iter().any(|terms| terms.allowances.iter().any(|allowance| allowance.per.is_by_seat()) || add_on(terms))
    }

    /// The plans of the next catalog; `None` where the change comes to nothing.
    pub fn after(&self, reload: &Reload, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        match reload {
            Reload::Raise { plan, more } => {
                let rank = plan.index(next.plans.len());
                next.plans[rank].iter_mut().for_each(|terms| terms.raise(*more));
            }
            Reload::Plan(terms) => next.plans.push(vec![terms.clone()]),
            Reload::Dated { plan, days, amounts } => {
                let rank = plan.index(next.plans.len());
                let last = next.plans[rank].last().unwrap();
                // It is not yet that day anywhere on earth.
                let from = now.to_zoned(TimeZone::UTC).date().checked_add(Span::new().days(2 + days)).unwrap();
                if last.from.is_some_and(|last| from <= last) {
                    return None;
                }
                let dated = Terms { from: Some(from), ..last.with_amounts(amounts) };
                next.plans[rank].push(dated);
            }
        }
        Some(next)
    }

    pub fn yaml(&self) -> String {
        let mut text = "
catalog: genquota/v1
meters: {units: {}}
actions:
  image: {meter: units, rules: [{per: output, rate: 1}]}
  sketch: {meter: units, rules: [{per: output, rate: 0.25}]}
unpriced: flag
"
        .to_owned();
        if let Some(terms) = &self.default {
            writeln!(text, "default_plan: {DEFAULT}\nplans:\n  {DEFAULT}:\n    rank: 0\n    terms:\n      - {}", terms.yaml()).unwrap();
        } else {
            text.push_str("plans:\n");
        }
        for (rank, terms) in self.plans.iter().enumerate() {
            writeln!(text, "  {}:\n    rank: {}\n    terms:", Self::name(rank), rank + 1).unwrap();
            for terms in terms {
                writeln!(text, "      - {}", terms.yaml()).unwrap();
            }
        }
        text
    }
}

impl Terms {
    fn raise(&mut self, more: i64) {
        for allowance in &mut self.allowances {
            for amount in [&mut allowance.month.0, &mut allowance.year.0] {
                *amount = amount.map(|amount| amount + more);
            }
        }
        self.add_ons.values_mut().for_each(|bundle| *bundle += more);
    }

    /// The same with the amounts of others.
    fn with_amounts(&self, others: &Self) -> Self {
        let mut terms = self.clone();
        for (allowance, other) in terms.allowances.iter_mut().zip(&others.allowances) {
            (allowance.month.0, allowance.year.0) =
                (other.month.0, if allowance.year == allowance.month { other.month.0 } else { other.year.0 });
            allowance.rollover = other.rollover;
        }
        for (id, bundle) in &mut terms.add_ons {
            *bundle = others.add_ons.get(id).copied().unwrap_or(*bundle);
        }
        terms.proration = others.proration;
        terms
    }

    fn yaml(&self) -> String {
        let from = self.from.map_or(String::new(), |from| format!("from: {from}, "));
        let allowances: Vec<String> = self.allowances.iter().map(Allowance::yaml).collect();
        let add_ons: Vec<String> = self
            .add_ons
            .iter()
            .map(|(id, bundle)| {
                let per = ADD_ONS.iter().find(|(known, _)| known == id).unwrap().1.yaml();
                format!("{id}: {{meter: units, amount: {}, {per}}}", decimal(*bundle))
            })
            .collect();
        let proration = match self.proration {
            Proration::Full => "full".to_owned(),
            Proration::None => "none".to_owned(),
            Proration::Prorated(way, step) => {
                let mode = match way {
                    std::cmp::Ordering::Less => "down",
                    std::cmp::Ordering::Equal => "half_up",
                    std::cmp::Ordering::Greater => "up",
                };
                format!("prorated, proration_round: {{mode: {mode}, to: {}}}", decimal(step))
            }
        };
        format!("{{{from}allowances: [{}], add_ons: {{{}}}, proration: {proration}}}", allowances.join(", "), add_ons.join(", "))
    }
}

impl Allowance {
    fn yaml(&self) -> String {
        let rollover = self.rollover.map_or(String::new(), |cap| format!(", rollover: {{cap: {}}}", decimal(cap)));
        let yearly = if self.year == self.month {
            String::new()
        } else {
            format!(", billed_yearly: {{amount: {}, every: {}}}", amount(self.year.0), every(self.year.1))
        };
        let (units, often) = self.month;
        let (id, per) = (self.id, self.per.yaml());
        format!("{{id: {id}, meter: units, amount: {}, every: {}, {per}{yearly}{rollover}}}", amount(units), every(often))
    }
}

fn every(every: Every) -> &'static str {
    if every == Every::Year { "year" } else { "month" }
}

fn amount(amount: Amount) -> String {
    amount.map_or("unlimited".to_owned(), decimal)
}

fn decimal(micros: i64) -> String {
    format!("{}.{:06}", micros / UNIT, micros % UNIT)
}

fn everies() -> impl Strategy<Value = Every> {
    prop_oneof![5 => Just(Every::Month), 1 => Just(Every::Year)]
}

fn amounts() -> impl Strategy<Value = Amount> {
    prop_oneof![12 => (1_i64..30).prop_map(|units| Some(units * UNIT)), 1 => Just(None), 1 => Just(Some(0))]
}

fn allowances(per: impl Strategy<Value = Per>, ids: impl Strategy<Value = [[&'static str; 2]; 2]>) -> impl Strategy<Value = Allowance> {
    let year = prop::option::weighted(0.4, (amounts(), everies()));
    let rollover = prop::option::weighted(0.2, (1_i64..10).prop_map(|units| units * UNIT));
    (ids, per, (amounts(), everies()), year, rollover).prop_map(|(ids, per, month, year, rollover)| {
        let year = year.unwrap_or(month);
        let is_yearly = |issue: (Amount, Every)| usize::from(issue.1 == Every::Year);
        Allowance { id: ids[is_yearly(month)][is_yearly(year)], per, month, year, rollover }
    })
}

fn prorations() -> impl Strategy<Value = Proration> {
    let ways = prop::sample::select(vec![std::cmp::Ordering::Less, std::cmp::Ordering::Equal, std::cmp::Ordering::Greater]);
    let steps = prop::sample::select(vec![UNIT, UNIT / 4, 3 * UNIT]);
    prop_oneof![
        1 => Just(Proration::Full),
        1 => Just(Proration::None),
        3 => (ways, steps).prop_map(|(way, step)| Proration::Prorated(way, step)),
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    let per = prop::sample::select(vec![Per::User, Per::Seat, Per::Pool, Per::Subject]);
    let ids = prop_oneof![3 => Just(ALLOWANCES[0]), 1 => Just(ALLOWANCES[1])];
    let bundles = prop::option::weighted(0.6, (1_i64..12).prop_map(|units| units * UNIT));
    (allowances(per, ids), [bundles.clone(), bundles.clone(), bundles], prorations()).prop_map(|(allowance, bundles, proration)| Terms {
        from: None,
        allowances: vec![allowance],
        add_ons: ADD_ONS.iter().zip(bundles).filter_map(|((id, _), bundle)| Some((*id, bundle?))).collect(),
        proration,
    })
}

fn dated(first: Date) -> impl Strategy<Value = Vec<Terms>> {
    (terms(), prop::option::weighted(0.3, (terms(), 1_i32..900))).prop_map(move |(first_terms, second)| {
        let second = second.map(|(terms, days)| Terms { from: Some(first.checked_add(jiff::Span::new().days(days)).unwrap()), ..terms });
        std::iter::once(first_terms).chain(second).collect()
    })
}

pub fn reloads() -> impl Strategy<Value = Reload> {
    prop_oneof![
        (any::<Index>(), 1_i64..10).prop_map(|(plan, units)| Reload::Raise { plan, more: units * UNIT }),
        terms().prop_map(Reload::Plan),
        (any::<Index>(), 0_i32..200, terms()).prop_map(|(plan, days, amounts)| Reload::Dated { plan, days, amounts }),
    ]
}

/// Plans of which some change their terms in the years after `first`.
pub fn plans(first: Date) -> impl Strategy<Value = Plans> {
    let shared = prop::sample::select(vec![Per::User, Per::Subject]);
    let default = (allowances(shared, Just([[DEFAULT_ALLOWANCE; 2]; 2])), prorations()).prop_map(|(allowance, proration)| Terms {
        from: None,
        allowances: vec![allowance],
        add_ons: BTreeMap::new(),
        proration,
    });
    (prop::collection::vec(dated(first), 2..5), prop::option::weighted(0.4, default)).prop_map(|(plans, default)| Plans { plans, default })
}
