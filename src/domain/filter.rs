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
        let (detail, attempt) = (event.detail(), &event.attempt);
        let target = attempt.target.as_ref();
        self.subject.as_ref().is_none_or(|subject| *subject == event.subject)
            && self.provider.as_ref().is_none_or(|provider| target.is_some_and(|target| target.provider == *provider))
            && self.model.as_ref().is_none_or(|model| target.is_some_and(|target| target.model == *model))
            && self.tier.as_ref().is_none_or(|tier| attempt.tier.as_ref() == Some(tier))
            && self.action.as_ref().is_none_or(|action| detail.action == *action)
            && (self.outcomes.is_empty() || attempt.outcome.is_some_and(|outcome| self.outcomes.contains(&outcome)))
            && (!self.failover_only || attempt.is_failover(detail))
    }

    /// The same of a sum; that of everybody is of no subject.
    pub fn admit_sum(&self, key: &TallyKey) -> bool {
        let is = |dimension, wanted: Option<&str>| wanted.is_none_or(|wanted| key.get(dimension) == Some(wanted));
        let outcome = key.get(Dimension::Outcome);
        self.subject.as_ref().is_none_or(|subject| key.subject() == Some(subject.as_str()))
            && is(Dimension::Provider, self.provider.as_ref().map(ProviderId::as_str))
            && is(Dimension::Model, self.model.as_ref().map(ModelId::as_str))
            && is(Dimension::Tier, self.tier.as_ref().map(TierId::as_str))
            && is(Dimension::Action, self.action.as_ref().map(ActionId::as_str))
            && (self.outcomes.is_empty() || self.outcomes.iter().any(|wanted| outcome == Some(outcome_name(*wanted))))
            && (!self.failover_only || key.is_failover())
    }
}
