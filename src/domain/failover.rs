//! The failover policy: where a generation may go when its planned target fails (L8).

use super::amount::{Micros, exact_product};
use super::denial::{DenialReason, Violation};
use super::ids::TierId;
use super::plan::Failover;

/// What a target other than the planned one would mean.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    pub tier: Option<&'a TierId>,
    pub cost: Micros,
    pub planned_cost: Micros,
}

impl Failover {
    /// Everything in the policy that speaks against a step.
    pub fn violations(&self, step: Step<'_>) -> Vec<Violation> {
        let mut violations = Vec::new();
        let of = |name: &str, dimensions: &[(&str, &str)]| Violation::of(DenialReason::FailoverPolicy, name, dimensions);
        if let Some(tiers) = &self.tiers
            && !step.tier.is_some_and(|tier| tiers.contains(tier))
        {
            violations.push(of("tiers", &[("tier", step.tier.map_or("", TierId::as_str))]));
        }
        let cost = step.cost.to_string();
        if let Some(ratio) = self.cost_ratio_max {
            // A ratio too fine to compute exactly cannot be shown to hold.
            let within = exact_product(step.planned_cost.to_decimal(), ratio).is_ok_and(|most| step.cost.to_decimal() <= most);
            if !within {
                violations.push(of(
                    "max_cost_ratio",
                    &[("cost", &cost), ("planned_cost", &step.planned_cost.to_string()), ("ratio", &ratio.to_string())],
                ));
            }
        }
        if let Some(most) = self.cost_max.filter(|most| step.cost > *most) {
            violations.push(of("max_cost", &[("cost", &cost), ("max_cost", &most.to_string())]));
        }
        violations
    }
}
