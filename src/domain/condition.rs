//! When a rule, a price or a cap applies.

use std::collections::BTreeMap;

use super::ids::{ActionId, AttributeId, ModelId, PlanId, ProviderId, Target, TierId};

/// A `when` or `match` of the catalog. Each list that is not empty must contain what is at hand; an empty condition always holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    pub actions: Vec<ActionId>,
    pub providers: Vec<ProviderId>,
    pub models: Vec<ModelId>,
    pub tiers: Vec<TierId>,
    pub plans: Vec<PlanId>,
    pub attributes: BTreeMap<AttributeId, Vec<Box<str>>>,
}

/// What is at hand when a condition is asked.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    pub action: &'a ActionId,
    pub target: Option<&'a Target>,
    pub tier: Option<&'a TierId>,
    pub plan: Option<&'a PlanId>,
}

impl Condition {
    /// Whether this holds for a work as a whole, whatever the attributes of its items.
    pub fn holds(&self, at_hand: &Circumstances<'_>) -> bool {
        one_of(&self.actions, Some(at_hand.action))
            && one_of(&self.providers, at_hand.target.map(|target| &target.provider))
            && one_of(&self.models, at_hand.target.map(|target| &target.model))
            && one_of(&self.tiers, at_hand.tier)
            && one_of(&self.plans, at_hand.plan)
    }

    /// Whether this can hold under a plan, whatever is asked for.
    pub fn may_hold_under(&self, plan: Option<&PlanId>) -> bool {
        one_of(&self.plans, plan)
    }

    /// Whether this holds for one item with these attributes.
    pub fn holds_for(&self, at_hand: &Circumstances<'_>, attributes: &BTreeMap<AttributeId, Box<str>>) -> bool {
        self.holds(at_hand) && self.attributes.iter().all(|(name, values)| attributes.get(name).is_some_and(|value| values.contains(value)))
    }
}

fn one_of<T: PartialEq>(allowed: &[T], found: Option<&T>) -> bool {
    allowed.is_empty() || found.is_some_and(|found| allowed.contains(found))
}
