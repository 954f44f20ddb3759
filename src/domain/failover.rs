//! The failover policy: where a generation may go when its planned target fails (L8).

use super::amount::{Micros, exact_product};
use super::denial::{DenialReason, Violation};
use super::ids::{Target, TierId};
use super::plan::Failover;

/// Most attempts of one reservation where the plan names no bound: more than any chain of targets has, and few enough for a row of the
/// ledger and an answer to carry them all.
pub const ATTEMPTS_MAX: u32 = 32;

/// What an attempt on a target would mean.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The number of the attempt; the first is 1.
    pub attempt: u32,
    /// Whether it is another target than the planned one: tiers and ratio bound where a generation may go, not where it was meant to.
    pub elsewhere: bool,
    pub tier: Option<&'a TierId>,
    /// What the attempt is expected to cost, and what the planned target would cost for the same work. `None`: it has no price.
    pub cost: Option<Micros>,
    pub planned_cost: Option<Micros>,
    /// What the attempts before it have cost.
    pub spent: Micros,
}

/// How far a generation has come, and where it was meant to go.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// The number of the attempt that is looked at.
    pub attempt: u32,
    pub planned_target: Option<&'a Target>,
    /// What that would cost for the same work.
    pub planned_cost: Option<Micros>,
    /// What the attempts before have cost.
    pub spent: Micros,
}

impl Failover {
    /// Everything in the policy that speaks against an attempt. Where a price is missing, nothing can be said of its ratio.
    pub fn violations(&self, step: Step<'_>) -> Vec<Violation> {
        let mut violations = Vec::new();
        let of = |name: &str, dimensions: &[(&str, &str)]| Violation::of(DenialReason::FailoverPolicy, name, dimensions);
        let most = self.attempts_max.unwrap_or(ATTEMPTS_MAX).min(ATTEMPTS_MAX);
        if step.attempt > most {
            violations.push(of("max_attempts", &[("attempt", &step.attempt.to_string()), ("max_attempts", &most.to_string())]));
        }
        if let Some(tiers) = self.tiers.as_ref().filter(|_| step.elsewhere)
            && !step.tier.is_some_and(|tier| tiers.contains(tier))
        {
            violations.push(of("tiers", &[("tier", step.tier.map_or("", TierId::as_str))]));
        }
        if let (true, Some(ratio), Some(cost), Some(planned_cost)) = (step.elsewhere, self.cost_ratio_max, step.cost, step.planned_cost) {
            // A ratio too fine to compute exactly cannot be shown to hold.
            let within = exact_product(planned_cost.to_decimal(), ratio).is_ok_and(|most| cost.to_decimal() <= most);
            if !within {
                let (cost, planned_cost, ratio) = (cost.to_string(), planned_cost.to_string(), ratio.to_string());
                violations.push(of("max_cost_ratio", &[("cost", &cost), ("planned_cost", &planned_cost), ("ratio", &ratio)]));
            }
        }
        let cost = step.cost.unwrap_or_default();
        let total = step.spent.checked_add(cost);
        if let Some(most) = self.cost_max.filter(|most| total.is_none_or(|total| total > *most)) {
            let (cost, spent, most) = (cost.to_string(), step.spent.to_string(), most.to_string());
            violations.push(of("max_cost", &[("cost", &cost), ("spent", &spent), ("max_cost", &most)]));
        }
        violations
    }
}
