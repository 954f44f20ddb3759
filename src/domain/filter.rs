//! Which closed attempts count for somebody: the same conditions for a stream of cost events and for their sums.

use super::event::CostEvent;
use super::ids::{ActionId, ModelId, ProviderId, SubjectId, TierId};
use super::reservation::Outcome;
use super::summary::{Dimension, TallyKey, outcome_name};

/// Conditions on a closed attempt; all that are set must hold. The default lets everything through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CostFilters {
    pub subject: Option<SubjectId>,
    pub provider: Option<ProviderId>,
    pub model: Option<ModelId>,
    pub tier: Option<TierId>,
    pub action: Option<ActionId>,
    /// Empty: all.
    pub outcomes: Vec<Outcome>,
    /// Only what ran elsewhere than planned.
    pub failover_only: bool,
}

impl CostFilters {
    pub fn admit(&self, event: &CostEvent) -> bool {
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

    /// Whether what is no attempt, but of a subject, counts.
    pub fn admit_subject(&self, subject: &SubjectId) -> bool {
        wants(self.subject.as_ref(), Some(subject))
    }

    /// The same of a sum; that of everybody is of no subject.
    pub fn admit_sum(&self, key: &TallyKey) -> bool {
        let outcome = key.get(Dimension::Outcome);
        wants(self.subject.as_ref().map(SubjectId::as_str), key.subject())
            && wants(self.provider.as_ref().map(ProviderId::as_str), key.get(Dimension::Provider))
            && wants(self.model.as_ref().map(ModelId::as_str), key.get(Dimension::Model))
            && wants(self.tier.as_ref().map(TierId::as_str), key.get(Dimension::Tier))
            && wants(self.action.as_ref().map(ActionId::as_str), key.get(Dimension::Action))
            && (self.outcomes.is_empty() || self.outcomes.iter().any(|wanted| outcome == Some(outcome_name(*wanted))))
            && (!self.failover_only || key.is_failover())
    }
}

fn wants<T: PartialEq>(wanted: Option<T>, found: Option<T>) -> bool {
    wanted.is_none() || wanted == found
}
