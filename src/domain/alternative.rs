//! Alternatives: what else would let a denied request through, on another plan or at another target. Each is judged as the real thing
//! would be, and named only where it would be granted on the accounts as they are.

use super::administration::{NewSubscription, change_plan};
use super::balance::Snapshot;
use super::charge::{Ask, Charge, ChargeError};
use super::denial::Remedy;
use super::ids::PlanId;
use super::ledger::{AccountKey, Take};
use super::period::Cadence;
use super::plan::Plan;
use super::remedy::Judged;
use super::subscription::Subscription;
use super::view::View;

/// What would be taken if the request came otherwise.
#[derive(Debug, Clone)]
pub struct Alternative {
    remedy: Remedy,
    take: Take,
}

/// Everything that could be tried, best first: the lowest plan above the present one, the caller's first choice of target.
#[derive(Debug, Clone, Default)]
pub struct Alternatives(Vec<Alternative>);

impl Alternatives {
    /// Whatever the plans and the price book do not forbid. Whether the units are there, the accounts must tell.
    pub fn of(judged: &Judged<'_, '_>) -> Result<Self, ChargeError> {
        let mut found = Vec::new();
        for plan in plans_above(judged) {
            found.extend(on_plan(judged, plan)?);
        }
        let elsewhere = judged.ask.fallbacks.iter().chain(judged.ask.planned_target);
        for target in elsewhere.filter(|target| Some(*target) != judged.ask.target) {
            let ask = Ask { target: Some(target), fallbacks: &[], ..*judged.ask };
            let charge = Charge::judge(judged.catalog, judged.view, &ask)?;
            let (units, cost) = (judged.charge.units, judged.charge.cost);
            let is_cheaper = charge.units <= units && charge.cost <= cost && (charge.units < units || charge.cost < cost);
            if charge.violations.is_empty() && is_cheaper {
                found.push(Alternative { remedy: Remedy::UseTarget(target.clone()), take: charge.take(None) });
            }
        }
        Ok(Self(found))
    }

    /// The accounts that tell which of them are true.
    pub fn keys(&self) -> impl Iterator<Item = &AccountKey> {
        self.0.iter().flat_map(|alternative| {
            let carried = alternative.take.sources.iter().filter_map(|source| source.carry.as_ref()).map(|carry| &carry.account);
            alternative.take.keys().chain(carried)
        })
    }

    /// The first plan and the first target that would be granted.
    pub(super) fn remedies(&self, snapshot: &Snapshot) -> Vec<Remedy> {
        let granted = || self.0.iter().filter(|alternative| alternative.take.fits(|key| snapshot.account(key)));
        let plan = granted().find(|alternative| matches!(alternative.remedy, Remedy::UpgradeToPlan(_)));
        let target = granted().find(|alternative| matches!(alternative.remedy, Remedy::UseTarget(_)));
        plan.into_iter().chain(target).map(|alternative| alternative.remedy.clone()).collect()
    }
}

/// The plans of higher rank, lowest first; every plan for a subject that has none.
fn plans_above<'c>(judged: &Judged<'_, 'c>) -> Vec<&'c Plan> {
    let present = judged.view.plan.as_ref().map(|active| active.plan.rank);
    let mut plans: Vec<_> = judged.catalog.plans.values().filter(|plan| present.is_none_or(|rank| plan.rank > rank)).collect();
    plans.sort_by_key(|plan| plan.rank);
    plans
}

/// The request on another plan, changed to or subscribed to now.
fn on_plan(judged: &Judged<'_, '_>, plan: &Plan) -> Result<Option<Alternative>, ChargeError> {
    let Some(subscription) = subscribed(judged, &plan.id) else { return Ok(None) };
    let view = View::subscribed(judged.catalog, judged.view.document, Some(&subscription), judged.view.now)?;
    let charge = Charge::judge(judged.catalog, &view, judged.ask)?;
    let remedy = Remedy::UpgradeToPlan(plan.id.clone());
    Ok(charge.violations.is_empty().then(|| Alternative { remedy, take: charge.take(None) }))
}

/// The subscription after the change; `None` where it could not be made.
fn subscribed(judged: &Judged<'_, '_>, plan: &PlanId) -> Option<Subscription> {
    let now = judged.view.now;
    match judged.view.plan.as_ref().and_then(|active| active.subscription) {
        Some(present) => {
            let mut subscription = present.clone();
            change_plan(judged.catalog, &mut subscription, plan, now).ok()?;
            Some(subscription)
        }
        None => [Cadence::Month, Cadence::Year].into_iter().find_map(|billing| begun(judged, plan, billing)),
    }
}

/// The subscription of a subject that has none, begun now or gone on with in the period that the one before was in.
fn begun(judged: &Judged<'_, '_>, plan: &PlanId, billing: Cadence) -> Option<Subscription> {
    let (now, zone) = (judged.view.now, judged.view.zone.clone());
    let Some(document) = judged.view.document else { return Some(Subscription::new(plan.clone(), billing, now, zone, 1)) };
    let mut document = document.clone();
    let new = NewSubscription { plan: plan.clone(), billing, start_time: None, zone: None, seats: None };
    new.subscribe(judged.catalog, &mut document, now).ok()?;
    document.subscription
}
