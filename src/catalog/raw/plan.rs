//! Plans and caps as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::RawMode;
use super::value::{Amount, Number, Text, When};
use crate::yaml::{Entries, OneOrMany, Placed};

/// A plan. Its terms stand here, or as a list of dated terms under `terms`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Plan")]
pub(in crate::catalog) struct RawPlan {
    /// For people. Default: the name.
    pub(in crate::catalog) title: Option<String>,
    /// A higher rank is an upgrade. Unique. Default: 0.
    pub(in crate::catalog) rank: Option<Placed<i64>>,
    /// What the customer pays.
    pub(in crate::catalog) price: Option<RawPlanPrice>,
    /// Several terms, each from its day on, oldest first; instead of their keys here.
    pub(in crate::catalog) terms: Option<Placed<Vec<Placed<RawTerms>>>>,
    /// The first day of these terms, such as `2026-02-25`. Default: since ever.
    pub(in crate::catalog) from: Option<Placed<String>>,
    /// What the plan allows at all. Default: everything.
    pub(in crate::catalog) features: Option<RawFeatures>,
    /// What the plan gives per period.
    pub(in crate::catalog) allowances: Option<Vec<Placed<RawAllowance>>>,
    /// Ceilings of this plan, by name.
    pub(in crate::catalog) caps: Option<Entries<RawCap>>,
    /// Bundles that can be bought on top, by name.
    pub(in crate::catalog) add_ons: Option<Entries<RawAddOn>>,
    /// The order in which sources pay, all three named. Default: `[allowance, add_on, grant]`.
    pub(in crate::catalog) burn_order: Option<Placed<Vec<Placed<RawSource>>>>,
    /// Whether one generation may be paid from several sources. Default: true.
    pub(in crate::catalog) split: Option<bool>,
    /// How far one generation may fail over to other targets. Default: without bounds.
    pub(in crate::catalog) failover: Option<RawFailoverPolicy>,
    /// What an upgrade gives for the rest of the period. Default: `prorated`.
    pub(in crate::catalog) proration: Option<RawProration>,
    /// How a prorated part is rounded. Default: down, to whole units.
    pub(in crate::catalog) proration_round: Option<RawProrationRound>,
    /// What happens while the store gives no answer. Default: `closed`.
    pub(in crate::catalog) on_store_outage: Option<Placed<RawOnStoreOutage>>,
}

/// What a plan means from a day on. A period is judged by the terms in effect on its first day.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Terms")]
pub(in crate::catalog) struct RawTerms {
    /// The first day, such as `2026-02-25`. Only the first terms may leave it out: they hold since ever.
    pub(in crate::catalog) from: Option<Placed<String>>,
    /// What the plan allows at all. Default: everything.
    pub(in crate::catalog) features: Option<RawFeatures>,
    /// What the plan gives per period.
    pub(in crate::catalog) allowances: Option<Vec<Placed<RawAllowance>>>,
    /// Ceilings of these terms, by name.
    pub(in crate::catalog) caps: Option<Entries<RawCap>>,
    /// Bundles that can be bought on top, by name.
    pub(in crate::catalog) add_ons: Option<Entries<RawAddOn>>,
    /// The order in which sources pay, all three named. Default: `[allowance, add_on, grant]`.
    pub(in crate::catalog) burn_order: Option<Placed<Vec<Placed<RawSource>>>>,
    /// Whether one generation may be paid from several sources. Default: true.
    pub(in crate::catalog) split: Option<bool>,
    /// How far one generation may fail over to other targets. Default: without bounds.
    pub(in crate::catalog) failover: Option<RawFailoverPolicy>,
    /// What an upgrade gives for the rest of the period. Default: `prorated`.
    pub(in crate::catalog) proration: Option<RawProration>,
    /// How a prorated part is rounded. Default: down, to whole units.
    pub(in crate::catalog) proration_round: Option<RawProrationRound>,
    /// What happens while the store gives no answer. Default: `closed`.
    pub(in crate::catalog) on_store_outage: Option<Placed<RawOnStoreOutage>>,
}

/// What the customer pays, in the currency of the catalog.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlanPrice")]
pub(in crate::catalog) struct RawPlanPrice {
    /// Billed monthly.
    pub(in crate::catalog) month: Option<Placed<Number>>,
    /// Billed yearly, for the year.
    pub(in crate::catalog) year: Option<Placed<Number>>,
    /// The price is for each seat. Default: false.
    pub(in crate::catalog) per_seat: Option<bool>,
}

/// What a plan allows at all. A key that is left out allows everything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Features")]
pub(in crate::catalog) struct RawFeatures {
    /// The actions that may be used.
    pub(in crate::catalog) actions: Option<OneOrMany<Placed<String>>>,
    /// The tiers that may be used.
    pub(in crate::catalog) tiers: Option<OneOrMany<Placed<String>>>,
    /// The values an attribute may have.
    #[serde(default)]
    pub(in crate::catalog) attributes: Entries<OneOrMany<Placed<Text>>>,
    /// The most that one output may have of a measure.
    #[serde(default)]
    pub(in crate::catalog) measures: Entries<Placed<Number>>,
}

/// What a plan gives per period.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Allowance")]
pub(in crate::catalog) struct RawAllowance {
    /// Plans that use one id share its account, so an upgrade keeps what was used. Default: the meter.
    pub(in crate::catalog) id: Option<Placed<String>>,
    /// The meter it pays for.
    #[schemars(required)]
    pub(in crate::catalog) meter: Option<Placed<String>>,
    /// Units per period, or `unlimited`.
    #[schemars(required)]
    pub(in crate::catalog) amount: Option<Placed<Amount>>,
    /// Who has an account of their own.
    #[schemars(required)]
    pub(in crate::catalog) per: Option<Placed<RawPer>>,
    /// With `per: seat`: all seats share one pot of the amount times the seats.
    pub(in crate::catalog) pool: Option<Placed<RawPool>>,
    /// How often it is given. Default: `month`.
    pub(in crate::catalog) every: Option<RawEvery>,
    /// What an annual subscription gives instead. Default: the same.
    pub(in crate::catalog) billed_yearly: Option<Placed<RawIssue>>,
    /// What is left may still be used in the next period. Default: nothing.
    pub(in crate::catalog) rollover: Option<Placed<RawRollover>>,
}

/// How much is given, and how often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Issue")]
pub(in crate::catalog) struct RawIssue {
    /// Units per period, or `unlimited`. Default: as billed monthly.
    pub(in crate::catalog) amount: Option<Placed<Amount>>,
    /// How often it is given. Default: as billed monthly.
    pub(in crate::catalog) every: Option<RawEvery>,
}

/// How much of what is left rolls over, once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rollover")]
pub(in crate::catalog) struct RawRollover {
    /// The most units that roll over.
    #[schemars(required)]
    pub(in crate::catalog) cap: Option<Placed<Number>>,
}

/// A recurring bundle that is bought on top of the plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AddOn")]
pub(in crate::catalog) struct RawAddOn {
    /// The meter it pays for.
    #[schemars(required)]
    pub(in crate::catalog) meter: Option<Placed<String>>,
    /// Units in one bundle.
    #[schemars(required)]
    pub(in crate::catalog) amount: Option<Placed<Number>>,
    /// What one bundle costs the customer.
    pub(in crate::catalog) price: Option<Placed<Number>>,
    /// Who the units are for.
    #[schemars(required)]
    pub(in crate::catalog) per: Option<Placed<RawPer>>,
    /// With `per: seat`: all seats share one pot.
    pub(in crate::catalog) pool: Option<Placed<RawPool>>,
    /// How often it is renewed. Default: `month`.
    pub(in crate::catalog) every: Option<RawEvery>,
    /// What an annual subscription gets instead, such as the units of a year upfront. Default: the same.
    pub(in crate::catalog) billed_yearly: Option<Placed<RawBundle>>,
}

/// How much one unit of an add-on gives, and how often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Bundle")]
pub(in crate::catalog) struct RawBundle {
    /// Units in one bundle. Default: as billed monthly.
    pub(in crate::catalog) amount: Option<Placed<Number>>,
    /// How often it is renewed. Default: as billed monthly.
    pub(in crate::catalog) every: Option<RawEvery>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawPer {
    User,
    Seat,
    Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawPool {
    Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawEvery {
    Month,
    Year,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawSource {
    Allowance,
    AddOn,
    Grant,
}

/// How far one generation may fail over to other targets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FailoverPolicy")]
pub(in crate::catalog) struct RawFailoverPolicy {
    /// Attempts of one generation, the first one counted.
    #[schemars(range(min = 1, max = 32))]
    pub(in crate::catalog) max_attempts: Option<Placed<u32>>,
    /// The cost of an attempt against the cost of the planned target.
    pub(in crate::catalog) max_cost_ratio: Option<Placed<Number>>,
    /// The cost of all attempts of one generation.
    pub(in crate::catalog) max_cost: Option<Placed<Number>>,
    /// The tiers it may fail over to.
    pub(in crate::catalog) tiers: Option<OneOrMany<Placed<String>>>,
    /// Bounds of single actions, by name. What one leaves out holds as it does for all.
    pub(in crate::catalog) actions: Option<Entries<RawFailover>>,
}

/// How far a generation of one action may fail over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Failover")]
pub(in crate::catalog) struct RawFailover {
    /// Attempts of one generation, the first one counted.
    #[schemars(range(min = 1, max = 32))]
    pub(in crate::catalog) max_attempts: Option<Placed<u32>>,
    /// The cost of an attempt against the cost of the planned target.
    pub(in crate::catalog) max_cost_ratio: Option<Placed<Number>>,
    /// The cost of all attempts of one generation.
    pub(in crate::catalog) max_cost: Option<Placed<Number>>,
    /// The tiers it may fail over to.
    pub(in crate::catalog) tiers: Option<OneOrMany<Placed<String>>>,
}

/// How a prorated part is rounded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProrationRound")]
pub(in crate::catalog) struct RawProrationRound {
    /// The direction. Default: `down`.
    pub(in crate::catalog) mode: Option<RawMode>,
    /// The step, greater than zero. Default: 1.
    pub(in crate::catalog) to: Option<Placed<Number>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawProration {
    Full,
    Prorated,
    None,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawOnStoreOutage {
    /// Calls are denied.
    Closed,
    /// Calls pass, up to this many units per sidecar and outage; they are charged when the store is back.
    Open(Placed<Number>),
}

/// A ceiling that pays nothing but must not be exceeded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cap")]
pub(in crate::catalog) struct RawCap {
    /// What is limited.
    #[schemars(required)]
    pub(in crate::catalog) of: Option<Placed<RawCapOf>>,
    /// The meter, with `of: units`.
    pub(in crate::catalog) meter: Option<Placed<String>>,
    /// Units, money, requests, or generations in flight.
    #[schemars(required)]
    pub(in crate::catalog) limit: Option<Placed<Number>>,
    /// One ceiling for each: `user`, `provider`, `model`, `tier`, `action` or `label:NAME`. Default: one for the subject.
    pub(in crate::catalog) by: Option<OneOrMany<Placed<String>>>,
    /// The calendar window, in the subject's time zone. Default: without a window.
    pub(in crate::catalog) per: Option<Placed<RawWindow>>,
    /// What it applies to. Default: everything.
    #[serde(default, rename = "match")]
    pub(in crate::catalog) matches: When,
    /// What happens above it. Default: `enforce`.
    pub(in crate::catalog) mode: Option<RawCapMode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawCapOf {
    Units,
    Cost,
    Requests,
    InFlight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawWindow {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    /// The period of the subscription.
    Period,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawCapMode {
    /// Deny.
    Enforce,
    /// Let through, and say so.
    Warn,
    /// Let through, and count.
    Shadow,
}
