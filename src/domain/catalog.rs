//! The catalog: every rule that is data, validated. Its file format is the `catalog` room's affair.

use std::collections::BTreeMap;

use super::cap::Cap;
use super::counting::Action;
use super::envoy::Envoy;
use super::ids::{ActionId, CatalogVersion, MeterId, PlanId};
use super::plan::Plan;
use super::price_book::PriceBook;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// Named on every reservation and event (R9).
    pub version: CatalogVersion,
    pub meters: BTreeMap<MeterId, Meter>,
    pub actions: BTreeMap<ActionId, Action>,
    pub plans: BTreeMap<PlanId, Plan>,
    /// For subjects the store does not know (P15).
    pub default_plan: Option<PlanId>,
    /// Of every plan, and of subjects without one.
    pub caps: Vec<Cap>,
    pub price_book: PriceBook,
    pub credits: CreditPolicy,
    /// Share of a limit, in percent, from which an answer says that the limit is near (L12).
    pub near_limit_percent: u8,
    pub envoy: Envoy,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meter {
    pub title: Box<str>,
}

/// What grants are unless they say otherwise (P8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CreditPolicy {
    pub requires_subscription: bool,
    /// Credits end with the period they were granted in.
    pub end_with_period: bool,
}
