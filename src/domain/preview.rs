//! Previews: what a change of plan would do to allowances and price, without doing it (P13).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::administration::{AdministrationError as Error, change_plan, running};
use super::amount::{Micros, RoundingMode};
use super::balance::Snapshot;
use super::catalog::Catalog;
use super::charge::InvalidField;
use super::entitlement::{self, prorated};
use super::ids::{AllowanceId, MeterId, PlanId};
use super::ledger::AccountKey;
use super::period::{Cadence, OutOfCalendar};
use super::plan::AllowancePer;
use super::subject::Document;
use super::subscription::Subscription;
use super::view::{ActivePlan, View};

/// Prorated money is rounded half up to this.
const CENT: i64 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// When the change would act.
    pub effective_time: Timestamp,
    /// By name, of both plans.
    pub allowances: Vec<AllowanceChange>,
    /// For the rest of the billing period; `None`: the catalog states no price for one of the plans.
    pub amount_due: Option<Micros>,
    /// For each billing period.
    pub present_price: Option<Micros>,
    pub new_price: Option<Micros>,
}

/// An allowance before and after. `None`: the plan that applies does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowanceChange {
    pub id: AllowanceId,
    pub meter: MeterId,
    pub before: Option<Given>,
    pub after: Option<Given>,
    pub next: Option<Given>,
}

/// What an allowance gives in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// To each account; `None` is unlimited.
    pub limit: Option<Micros>,
    /// The one account it has; `None` where each user or seat has one.
    pub account: Option<AccountKey>,
}

/// An allowance and what it gives.
type Named = (AllowanceId, MeterId, Given);

impl Preview {
    /// What a change to `plan` would do at an instant of the present period; absent, now.
    pub fn of(catalog: &Catalog, document: &Document, plan: &PlanId, at: Option<Timestamp>, now: Timestamp) -> Result<Self, Error> {
        let mut document = document.clone();
        let at = at.unwrap_or(now);
        let present = running(&mut document, now)?.clone();
        let end = present.anchor().period(Cadence::Month, now)?.end;
        if at < now || at >= end {
            return Err(InvalidField::new("at", format!("must lie in the present period, from {now} and before {end}")).into());
        }
        let mut changed = present.clone();
        change_plan(catalog, &mut changed, plan, at)?;
        let acts_at_once = changed.plan(at) == Some(plan);
        let effective_time = if acts_at_once { at } else { present.term_end(at)? };
        let view = |subscription, at| View::subscribed(catalog, Some(&document), Some(subscription), at);
        let (before, after) = (given(&view(&present, at)?, None)?, given(&view(&changed, at)?, None)?);
        let next = given(&view(&changed, at)?, Some(effective_time))?;
        let price = |subscription: &Subscription, plan: Option<&PlanId>, at| {
            let plan = catalog.plans.get(plan?)?;
            plan.price.of(subscription.billing, subscription.seats(at))
        };
        let present_price = price(&present, present.plan(at), at);
        let new_price = price(&changed, Some(plan), effective_time);
        let term = changed.anchor().period(changed.billing, at)?;
        let amount_due = present_price.zip(new_price).map(|(old, new)| {
            let more = if acts_at_once { i128::from(new.less(old).get()) } else { 0 };
            let cent = Micros::new(CENT).unwrap_or(Micros::ONE_UNIT);
            let due = prorated(more, &term, at, cent, RoundingMode::HalfUp);
            i64::try_from(due).ok().and_then(Micros::new).unwrap_or(Micros::MAX)
        });
        Ok(Self { effective_time, allowances: merged(before, after, next), amount_due, present_price, new_price })
    }

    /// The accounts whose state tells what would be available.
    pub fn accounts(&self) -> Vec<AccountKey> {
        let given = self.allowances.iter().flat_map(|change| [&change.before, &change.after, &change.next]).flatten();
        let accounts: BTreeSet<_> = given.filter_map(|given| given.account.clone()).collect();
        accounts.into_iter().collect()
    }
}

impl Given {
    /// What would be left of it; `None`: unlimited, or each user or seat has an account of its own.
    pub fn available(&self, snapshot: &Snapshot) -> Option<Micros> {
        Some(snapshot.account(self.account.as_ref()?).available(self.limit?))
    }
}

/// What the plan of a view gives in the periods of now; or, for each cadence, in the first that begins after now and not before an instant.
fn given(view: &View<'_>, from: Option<Timestamp>) -> Result<Vec<Named>, OutOfCalendar> {
    let Some(active) = &view.plan else { return Ok(Vec::new()) };
    let mut named = Vec::new();
    for cadence in active.cadences() {
        let present = active.period_of(cadence, view.now)?;
        let period = match from {
            None => present,
            // A change that waits for a boundary acts in the period that begins there.
            Some(from) if from > view.now => active.period_of(cadence, from.max(present.end))?,
            Some(_) => active.period_of(cadence, present.end)?,
        };
        let at = period.start.max(view.now);
        for meter in meters(active) {
            for entitlement in entitlement::allowances(active, &meter, cadence, &period, at) {
                let allowance = entitlement.allowance;
                let is_shared = matches!(allowance.per, AllowancePer::Subject | AllowancePer::SeatsPooled);
                let account = is_shared.then(|| AccountKey::allowance(&allowance.id, period.name(cadence), None));
                named.push((allowance.id.clone(), meter.clone(), Given { limit: entitlement.limit(), account }));
            }
        }
    }
    Ok(named)
}

/// The meters of every plan there is for a subscription.
fn meters(active: &ActivePlan<'_>) -> BTreeSet<MeterId> {
    active.allowances().map(|allowance| allowance.meter.clone()).collect()
}

fn merged(before: Vec<Named>, after: Vec<Named>, next: Vec<Named>) -> Vec<AllowanceChange> {
    let names: BTreeSet<_> = [&before, &after, &next].into_iter().flatten().map(|(id, meter, _)| (id.clone(), meter.clone())).collect();
    let find = |list: &[Named], id: &AllowanceId| list.iter().find(|(known, ..)| known == id).map(|(.., given)| given.clone());
    let change = |(id, meter): (AllowanceId, MeterId)| AllowanceChange {
        before: find(&before, &id),
        after: find(&after, &id),
        next: find(&next, &id),
        id,
        meter,
    };
    names.into_iter().map(change).collect()
}
