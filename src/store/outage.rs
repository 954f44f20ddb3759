//! The outage policy: what a plan lets pass while the store gives no answer (W1). [`Outage`] is the only one that reads it.
//!
//! An outage begins with the first call that gets no answer, and is over when the store has answered and the journal is drained. What one
//! sidecar lets pass in one outage is counted here, by plan; a restart counts on from what its journal holds.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StoreError;
use crate::domain::amount::Micros;
use crate::domain::catalog::Catalog;
use crate::domain::ids::PlanId;
use crate::domain::plan::OnStoreOutage;

/// What this sidecar has let pass. There are as many plans as the catalog has, so this is bounded.
#[derive(Debug, Default)]
pub struct Outage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    passed: BTreeMap<PlanId, Micros>,
    /// Holds that were let pass and are not written down yet.
    undecided: usize,
}

/// What the policy says to a hold.
#[derive(Debug)]
pub enum Verdict<'o> {
    /// Refused with the store's own error: nothing is decided without it.
    Closed,
    /// Let pass, once it is written down.
    Open(Pass<'o>),
}

/// Units let pass. They count from now on; dropped before [`Pass::keep`], they do not.
#[derive(Debug)]
pub struct Pass<'o> {
    outage: &'o Outage,
    plan: PlanId,
    units: Micros,
}

impl Outage {
    /// Counts on from what was let pass before.
    pub fn of(passed: impl IntoIterator<Item = (PlanId, Micros)>) -> Self {
        let mut state = State::default();
        for (plan, units) in passed {
            state.add(&plan, units);
        }
        Self(Mutex::new(state))
    }

    /// What a plan's policy says to a hold of `units`, given why the store gave no answer and what was let pass before. Beyond its bound
    /// an open policy is a closed one.
    pub fn judge(&self, error: &StoreError, policy: OnStoreOutage, plan: &PlanId, units: Micros) -> Verdict<'_> {
        let units_max = match (error, policy) {
            (StoreError::Unavailable { .. }, OnStoreOutage::Open { units_max }) => units_max,
            (StoreError::Unavailable { .. }, OnStoreOutage::Closed) => return Verdict::Closed,
            // A store that sheds or closes is not away, and one that lost data answers: with what cannot be trusted.
            (StoreError::Overloaded { .. } | StoreError::DataLost { .. } | StoreError::Closing, _) => return Verdict::Closed,
        };
        let mut state = self.lock();
        let passed = state.passed.get(plan).copied().unwrap_or_default();
        if passed.checked_add(units).is_none_or(|total| total > units_max) {
            return Verdict::Closed;
        }
        state.add(plan, units);
        state.undecided += 1;
        Verdict::Open(Pass { outage: self, plan: plan.clone(), units })
    }

    /// Whether any plan may let holds pass at all.
    pub fn may_open(catalog: &Catalog) -> bool {
        let open = |policy| matches!(policy, OnStoreOutage::Open { .. });
        catalog.plans.values().any(|plan| plan.terms.iter().any(|terms| open(terms.on_store_outage)))
    }

    /// The store has answered: the outage is over if nothing waits for it any more. A hold that is being written down keeps it going.
    pub fn end_if(&self, is_drained: impl FnOnce() -> bool) {
        let mut state = self.lock();
        if state.undecided == 0 && is_drained() {
            state.passed.clear();
        }
    }

    /// Units let pass under a plan in this outage.
    pub fn passed(&self, plan: &PlanId) -> Micros {
        self.lock().passed.get(plan).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, plan: &PlanId, units: Micros) {
        let passed = self.passed.entry(plan.clone()).or_default();
        *passed = passed.checked_add(units).unwrap_or(Micros::MAX);
    }
}

impl Pass<'_> {
    /// The hold is written down: its units stay counted until the outage is over.
    pub fn keep(mut self) {
        self.units = Micros::ZERO;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.outage.lock();
        state.undecided -= 1;
        if let Some(passed) = state.passed.get_mut(&self.plan) {
            *passed = passed.less(self.units);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn units(units: i64) -> Micros {
        Micros::new(units * 1_000_000).unwrap()
    }

    fn plan(name: &str) -> PlanId {
        PlanId::new(name).unwrap()
    }

    fn away() -> StoreError {
        StoreError::Unavailable { reason: Arc::from("away") }
    }

    const OPEN: OnStoreOutage = OnStoreOutage::Open { units_max: Micros::new(5_000_000).unwrap() };

    fn passes(outage: &Outage, name: &str, count: i64) -> bool {
        match outage.judge(&away(), OPEN, &plan(name), units(count)) {
            Verdict::Open(pass) => {
                pass.keep();
                true
            }
            Verdict::Closed => false,
        }
    }

    #[test]
    fn an_open_policy_lets_pass_up_to_its_bound_for_each_plan_and_outage() {
        let outage = Outage::default();
        assert!(passes(&outage, "a", 3));
        assert!(!passes(&outage, "a", 3));
        assert!(passes(&outage, "a", 2));
        assert!(!passes(&outage, "a", 1));
        assert!(passes(&outage, "b", 5));
        assert_eq!(outage.passed(&plan("a")), units(5));
        outage.end_if(|| false);
        assert!(!passes(&outage, "a", 1));
        outage.end_if(|| true);
        assert!(passes(&outage, "a", 5));
    }

    #[test]
    fn only_a_store_that_gives_no_answer_opens_a_policy() {
        let outage = Outage::default();
        let reason = || Arc::from("told so");
        for error in [
            StoreError::DataLost { reason: reason() },
            StoreError::Overloaded { retry_after: Duration::from_millis(1) },
            StoreError::Closing,
        ] {
            assert!(matches!(outage.judge(&error, OPEN, &plan("a"), units(1)), Verdict::Closed), "{error}");
        }
        assert!(matches!(outage.judge(&away(), OnStoreOutage::Closed, &plan("a"), Micros::ZERO), Verdict::Closed));
    }

    #[test]
    fn a_hold_that_was_not_written_down_does_not_count_and_keeps_the_outage_going_until_then() {
        let outage = Outage::of([(plan("a"), units(2))]);
        let Verdict::Open(pass) = outage.judge(&away(), OPEN, &plan("a"), units(3)) else { panic!("refused") };
        assert!(!passes(&outage, "a", 1));
        outage.end_if(|| true);
        assert_eq!(outage.passed(&plan("a")), units(5));
        drop(pass);
        assert_eq!(outage.passed(&plan("a")), units(2));
        outage.end_if(|| true);
        assert_eq!(outage.passed(&plan("a")), Micros::ZERO);
    }
}
