//! Which cost events a watcher wants. All conditions that are set must hold.

use crate::domain::event::CostEvent;
use crate::domain::ids::{ActionId, ModelId, ProviderId, SubjectId, TierId};
use crate::domain::reservation::Outcome;

/// Nothing set: every event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub subject: Option<SubjectId>,
    pub provider: Option<ProviderId>,
    pub model: Option<ModelId>,
    pub tier: Option<TierId>,
    pub action: Option<ActionId>,
    /// Empty: all.
    pub outcomes: Vec<Outcome>,
    /// Only attempts that ran elsewhere than planned.
    pub failover_only: bool,
}

impl Filter {
    pub fn matches(&self, event: &CostEvent) -> bool {
        let (attempt, detail) = (&event.attempt, event.detail());
        let target = attempt.target.as_ref();
        wants(self.subject.as_ref(), Some(&event.subject))
            && wants(self.provider.as_ref(), target.map(|target| &target.provider))
            && wants(self.model.as_ref(), target.map(|target| &target.model))
            && wants(self.tier.as_ref(), attempt.tier.as_ref())
            && wants(self.action.as_ref(), Some(&detail.action))
            && (self.outcomes.is_empty() || attempt.outcome.is_some_and(|outcome| self.outcomes.contains(&outcome)))
            && (!self.failover_only || attempt.is_failover(detail))
    }
}

fn wants<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
    wanted.is_none() || wanted == found
}
