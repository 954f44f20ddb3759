//! What is promised whatever the formula: no period pays more than the best plan that was held in it, and what was bought on top (P11).
//!
//! It looks at what is shown and at the receipts of reservations alone, and knows neither prorations nor the order of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use genquota::domain::ledger::{Row, State};
use genquota::domain::standing::Standing;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::bench::{Paid, paid};
use crate::life::Deed;
use crate::plans::{Amount, DEFAULT_ALLOWANCE, Every, Per, Plans};
use crate::reference::Kind;

/// Stands for the allowances that may be a year's, by how the subscription is paid: they have a `-` in their names.
const YEARLY: &str = "-";

/// What was seen of one monthly period.
#[derive(Debug, Default)]
struct Month {
    plans: BTreeSet<usize>,
    billed: BTreeSet<Every>,
    seats: u32,
    /// The most units of each add-on at one time, and how many were ever added.
    units: BTreeMap<String, (u32, u32)>,
}

/// What a user has left; `None` is unlimited.
#[derive(Debug)]
pub struct Left {
    pub shared: Amount,
    /// With what is their own; none where that is a seat's, and they do not sit.
    pub all: Option<Amount>,
}

pub struct Promise {
    /// In force: no catalog gives less than the one before.
    pub plans: Arc<Plans>,
    months: BTreeMap<String, Month>,
    billed: Every,
    /// What each reservation was paid by, and those for which that is final.
    legs: BTreeMap<usize, Vec<Paid>>,
    settled: BTreeSet<usize>,
    grants: BTreeMap<String, i64>,
    /// Contracts stand above every plan: once there is one, only grants and add-ons are looked at.
    is_overridden: bool,
}

impl Promise {
    pub fn new(plans: Arc<Plans>) -> Self {
        Self {
            plans,
            months: BTreeMap::new(),
            billed: Every::Month,
            legs: BTreeMap::new(),
            settled: BTreeSet::new(),
            grants: BTreeMap::new(),
            is_overridden: false,
        }
    }

    pub fn see(&mut self, standing: Option<&Standing>, now: Timestamp) {
        let Some(standing) = standing else { return };
        assert!((standing.period.start..standing.period.end).contains(&now));
        let month = self.months.entry(standing.period.day.to_string()).or_default();
        month.plans.insert(Plans::rank(standing.plan.as_str()));
        month.billed.insert(self.billed);
        month.seats = month.seats.max(standing.seats);
        let before = std::mem::take(&mut month.units);
        let units = |id: &str| before.get(id).copied().unwrap_or_default();
        month.units = before.clone();
        for add_on in &standing.add_ons {
            let (last, ever) = units(add_on.id.as_str());
            month.units.insert(add_on.id.to_string(), (add_on.units, ever + add_on.units.saturating_sub(last)));
        }
        for (id, (last, _)) in &mut month.units {
            if !standing.add_ons.iter().any(|add_on| add_on.id.as_str() == id) {
                *last = 0;
            }
        }
        assert!(standing.occupied.len() <= usize::try_from(standing.seats).unwrap(), "{standing:?}");
    }

    pub fn may_change(&self, number: usize) -> bool {
        !self.settled.contains(&number)
    }

    pub fn pay(&mut self, row: &Row, number: usize) {
        if matches!(row.state, State::Committed | State::Released) {
            self.settled.insert(number);
        }
        self.legs.insert(number, paid(row).collect());
    }

    /// Nothing that is left of a period is taken away by a change, but by those that say so.
    pub fn change(&mut self, deed: &Deed, before: Vec<Left>, after: Vec<Left>) {
        match deed {
            Deed::Grant(grant) => drop(self.grants.insert(grant.id.clone(), grant.units)),
            Deed::Subscribe { billed, .. } => self.billed = *billed,
            Deed::Override { .. } => self.is_overridden = true,
            _ => {}
        }
        let takes = matches!(deed, Deed::Cancel { now: true } | Deed::Override { .. } | Deed::Seats { vacate: Some(_), .. });
        // A contract is for each seat of a pot, and for the account elsewhere: another plan may make that less.
        let takes = takes || (self.is_overridden && matches!(deed, Deed::Change(_)));
        // Who subscribes leaves the default plan.
        if !takes && !matches!(deed, Deed::Subscribe { .. }) {
            for (before, after) in before.into_iter().zip(after) {
                let (left, still) = before.all.zip(after.all).unwrap_or((before.shared, after.shared));
                assert!(still.is_none_or(|still| left.is_some_and(|left| left <= still)), "{left:?} became {still:?}: {deed:?}");
            }
        }
    }

    pub fn check(&self) {
        let mut sums: BTreeMap<(Kind, Option<&str>, &str), i64> = BTreeMap::new();
        let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        // The default plan's months are those of the calendar, and no subscription's.
        for Paid { kind, id, day, who, amount } in self.legs.values().flatten().filter(|paid| paid.id != DEFAULT_ALLOWANCE) {
            let day = day.as_deref();
            if let (Some(day), Some(who)) = (day, who) {
                users.entry(day).or_default().insert(who);
            }
            // All allowances of a month together, and apart from them those that may be a year's.
            let id = match kind {
                Kind::Allowance if id.contains('-') => YEARLY,
                Kind::Allowance => "",
                _ => id,
            };
            *sums.entry((*kind, day, id)).or_default() += amount;
        }
        for ((kind, day, id), sum) in sums {
            let month = day.and_then(|day| self.months.get(day));
            match (kind, month) {
                (Kind::Grant, _) => assert!(sum <= self.grants[id], "the grant {id} paid {sum}"),
                (Kind::AddOn, Some(month)) => {
                    let bundles = self.plans.plans.iter().flatten().filter_map(|terms| terms.add_ons.get(id));
                    let ever = i64::from(month.units.get(id).map_or(0, |(_, ever)| *ever));
                    let people = match id {
                        "boost" => i64::try_from(users.get(day.unwrap()).map_or(0, BTreeSet::len)).unwrap(),
                        "chair" => i64::from(month.seats),
                        _ => 1,
                    };
                    let most = bundles.max().unwrap() * ever * people;
                    assert!(sum <= most, "the add-on {id} paid {sum} in the month of {day:?}, and {most} were bought");
                }
                (Kind::Allowance, Some(month)) if !self.is_overridden => {
                    let people = i64::try_from(users.get(day.unwrap()).map_or(0, BTreeSet::len)).unwrap();
                    let month = if id == YEARLY { &self.year(day.unwrap()) } else { month };
                    if let Some(most) = self.best(month, day.unwrap(), people) {
                        assert!(sum <= most, "the plans {:?} paid {sum} in the period of {day:?}, and the best gives {most}", month.plans);
                    }
                }
                _ => {}
            }
        }
    }

    /// What was seen in the year that begins on a day.
    fn year(&self, day: &str) -> Month {
        let first: Date = day.parse().unwrap();
        let end = first.checked_add(jiff::Span::new().years(1)).unwrap();
        let months = self.months.iter().filter(|(day, _)| (first..end).contains(&day.parse::<Date>().unwrap()));
        months.fold(Month::default(), |mut year, (_, month)| {
            year.plans.extend(&month.plans);
            year.billed.extend(&month.billed);
            year.seats = year.seats.max(month.seats);
            year
        })
    }

    /// All that the best plan of a month gives in it, what rolls over included; `None`: unlimited. The year that begins with the month
    /// is counted in, for its accounts are named by the same day.
    fn best(&self, month: &Month, day: &str, people: i64) -> Option<i64> {
        let held = month.plans.iter().flat_map(|plan| month.billed.iter().map(move |billed| (*plan, *billed)));
        // What rolled over under one plan stays under the next.
        let mut rest = 0;
        let given = held.map(|(plan, billed)| {
            let terms = self.plans.terms(plan, day.parse().unwrap());
            [Every::Month, Every::Year].into_iter().filter_map(|every| terms.allowance(billed, every)).try_fold(0, |sum, allowance| {
                let count = match allowance.per {
                    Per::Subject => 1,
                    Per::User => people,
                    Per::Seat | Per::Pool => i64::from(month.seats),
                };
                rest = rest.max(allowance.rollover.unwrap_or_default() * count.max(1));
                Some(sum + allowance.issue(billed).0? * count)
            })
        });
        let given: Option<Vec<i64>> = given.collect();
        given?.into_iter().max().map(|most| most + rest)
    }
}
