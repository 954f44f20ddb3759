//! Plans: what a subscription gives, gates and caps (product.md chapters 3 and 4).

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::amount::{Micros, RoundingMode};
use super::cap::Cap;
use super::ids::{ActionId, AddOnId, AllowanceId, AttributeId, MeasureId, MeterId, PlanId, TierId};
use super::period::Cadence;

/// A named set of allowances, caps, add-ons and features. Its terms are dated, so an edit never touches what was issued (P14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub id: PlanId,
    pub title: Box<str>,
    /// A higher rank is an upgrade (P11).
    pub rank: i64,
    /// What the customer pays, for previews.
    pub price: PlanPrice,
    /// At least one, ordered by `from`; the first may have none.
    pub terms: Vec<Terms>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanPrice {
    pub month: Option<Micros>,
    pub year: Option<Micros>,
    /// The price is for each seat.
    pub per_seat: bool,
}

/// What a plan means from a date on. A period is judged by the terms in effect on its first day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    pub from: Option<Date>,
    pub features: Features,
    pub allowances: Vec<Allowance>,
    pub caps: Vec<Cap>,
    pub add_ons: Vec<AddOn>,
    pub burn_order: BurnOrder,
    /// One source must pay a whole generation (P9, `split: false`).
    pub whole: bool,
    pub failover: FailoverPolicy,
    pub proration: Proration,
    pub on_store_outage: OnStoreOutage,
}

/// What a plan allows at all. `None` and an absent key allow everything (P10).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    pub actions: Option<BTreeSet<ActionId>>,
    pub tiers: Option<BTreeSet<TierId>>,
    pub attributes: BTreeMap<AttributeId, BTreeSet<Box<str>>>,
    /// The most an output may have of a measure.
    pub measures: BTreeMap<MeasureId, Decimal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    pub id: AllowanceId,
    pub meter: MeterId,
    pub per: AllowancePer,
    pub monthly: Issue,
    /// Differs from `monthly` when an annual subscription gives something else (P2).
    pub yearly: Issue,
    pub rollover: Option<Rollover>,
}

/// Who has an account of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowancePer {
    User,
    /// Each occupied seat (P6).
    Seat,
    /// One pot of the amount times the seats (P6, `pool: shared`).
    SeatsPooled,
    Subject,
}

/// How much is given, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issue {
    /// `None` is unlimited: never refused for count, still metered (P1).
    pub amount: Option<Micros>,
    pub every: Cadence,
}

/// Unused units of the period before that may still be used in this one, up to `cap` (P4). They do not roll a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollover {
    pub cap: Micros,
}

/// A recurring bundle (P7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddOn {
    pub id: AddOnId,
    pub meter: MeterId,
    pub price: Option<Micros>,
    pub per: AllowancePer,
    pub monthly: Bundle,
    /// Differs from `monthly` when an annual subscription gets something else, such as a year's units upfront.
    pub yearly: Bundle,
}

/// How much one unit of an add-on gives, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundle {
    pub amount: Micros,
    pub every: Cadence,
}

/// The kinds of source in the order they pay (P9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BurnOrder(pub Vec<SourceKind>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    Allowance,
    AddOn,
    Grant,
}

/// How far the generations of a plan may fail over (L8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailoverPolicy {
    /// Of every action without bounds of its own.
    pub plan: Failover,
    pub actions: BTreeMap<ActionId, Failover>,
}

/// How far a generation may fail over (L8). `None` is no bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failover {
    /// The first one counts.
    pub attempts_max: Option<u32>,
    /// Against the cost of the planned target.
    pub cost_ratio_max: Option<Decimal>,
    /// Of all attempts of a generation together.
    pub cost_max: Option<Micros>,
    pub tiers: Option<BTreeSet<TierId>>,
}

/// What an upgrade gives for the rest of a period (P11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proration {
    pub kind: ProrationKind,
    /// How a prorated part is rounded, and to a multiple of what.
    pub mode: RoundingMode,
    pub step: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProrationKind {
    Full,
    #[default]
    Prorated,
    None,
}

/// What happens when the store gives no answer (W1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStoreOutage {
    #[default]
    Closed,
    /// Up to this many units per sidecar and outage.
    Open { units_max: Micros },
}

impl Plan {
    /// The terms of a period that starts on `day`: the latest in effect, else the first.
    pub fn terms_on(&self, day: Date) -> &Terms {
        let in_effect = self.terms.iter().rev().find(|terms| terms.from.is_none_or(|from| from <= day));
        in_effect.unwrap_or(&self.terms[0])
    }
}

impl FailoverPolicy {
    /// The bounds of an action.
    pub fn of(&self, action: &ActionId) -> &Failover {
        self.actions.get(action).unwrap_or(&self.plan)
    }
}

impl Allowance {
    pub fn issue(&self, billing: Cadence) -> Issue {
        match billing {
            Cadence::Month => self.monthly,
            Cadence::Year => self.yearly,
        }
    }
}

impl AddOn {
    pub fn bundle(&self, billing: Cadence) -> Bundle {
        match billing {
            Cadence::Month => self.monthly,
            Cadence::Year => self.yearly,
        }
    }
}

impl Default for Proration {
    /// By time, in whole units, never more than is due.
    fn default() -> Self {
        Self { kind: ProrationKind::default(), mode: RoundingMode::Down, step: Micros::ONE_UNIT }
    }
}

impl PlanPrice {
    /// What a subscription costs for each billing period, seats included; `None`: the catalog does not say.
    pub fn of(&self, billing: Cadence, seats: u32) -> Option<Micros> {
        let price = match billing {
            Cadence::Month => self.month,
            Cadence::Year => self.year,
        }?;
        let count = if self.per_seat { i64::from(seats) } else { 1 };
        price.get().checked_mul(count).and_then(Micros::new)
    }
}

impl Default for BurnOrder {
    fn default() -> Self {
        Self(vec![SourceKind::Allowance, SourceKind::AddOn, SourceKind::Grant])
    }
}
