//! What comes on top of a plan or in place of it: add-ons (P7) and overrides (P14).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{AdministrationError as Error, UNITS_MAX, unknown};
use crate::domain::amount::{MICROS_PER_UNIT, Micros};
use crate::domain::cap::{Cap, CapOf};
use crate::domain::catalog::Catalog;
use crate::domain::charge::InvalidField;
use crate::domain::ids::{AddOnId, AllowanceId, CapId};
use crate::domain::overrides::Limit;
use crate::domain::subject::Document;
use crate::domain::subscription::Subscription;
use crate::domain::view::View;

/// What a limit is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitOf {
    Allowance(AllowanceId),
    Cap(CapId),
}

/// Sets how many units of an add-on there are: more at once, from the plan that sells it; fewer when its period ends.
pub(super) fn set_add_on(
    catalog: &Catalog,
    subscription: &mut Subscription,
    id: &AddOnId,
    units: u32,
    now: Timestamp,
) -> Result<String, Error> {
    if units > UNITS_MAX {
        return Err(InvalidField::new("units", format!("must be at most {UNITS_MAX}; got {units}")).into());
    }
    let terms = catalog.plans.values().flat_map(|plan| &plan.terms);
    let known: BTreeSet<&str> = terms.flat_map(|terms| &terms.add_ons).map(|known| known.id.as_str()).collect();
    if !known.contains(id.as_str()) {
        return Err(unknown("add_on", id.as_str(), known.into_iter()).into());
    }
    let view = View::subscribed(catalog, None, Some(subscription), now)?;
    let active = view.plan.as_ref().ok_or(Error::SubscriptionNotFound)?;
    let (present, period) = (active.units(id, now)?, active.add_on_period(id, now)?);
    if units > present {
        let Some(sold) = active.plan.add_on(id, active.period.day) else {
            return Err(InvalidField::new("add_on", format!("plan `{}` does not offer `{id}`", active.plan.id)).into());
        };
        let all = sold.bundle(subscription.billing).amount.get().checked_mul(i64::from(units));
        if all.and_then(Micros::new).is_none() {
            return Err(InvalidField::new("units", "come to more than the 1000000000 that an account can hold").into());
        }
    }
    let from = if units < present { period.end } else { now };
    if units > 0 || present > 0 {
        let counts = subscription.add_ons.entry(id.clone()).or_default();
        if present == 0 && counts.steps().last().is_none_or(|(last, _)| *last <= period.start) {
            // What once was has ended; it is not there any more to be gone on with. What was bought in this period stays bought.
            counts.set(period.start, 0);
        }
        counts.set(from, units);
    }
    Ok(format!("{id} {units}"))
}

/// Puts a limit in place of the plan's, or takes that away.
pub(super) fn set_override(
    catalog: &Catalog,
    document: &mut Document,
    of: &LimitOf,
    limit: Option<Limit>,
    now: Timestamp,
) -> Result<String, Error> {
    let terms = || catalog.plans.values().flat_map(|plan| &plan.terms);
    match of {
        LimitOf::Allowance(id) => {
            let known: BTreeSet<&str> = terms().flat_map(|terms| &terms.allowances).map(|allowance| allowance.id.as_str()).collect();
            if !known.contains(id.as_str()) {
                return Err(unknown("allowance", id.as_str(), known.into_iter()).into());
            }
            if limit.is_some() || document.overrides.allowances.contains_key(id) {
                document.overrides.allowances.entry(id.clone()).or_default().set(now, limit);
            }
            Ok(id.to_string())
        }
        LimitOf::Cap(id) => {
            let caps = || catalog.caps.iter().chain(terms().flat_map(|terms| &terms.caps));
            let Some(cap) = caps().find(|cap| cap.id == *id) else {
                let known: BTreeSet<&str> = caps().map(|cap| cap.id.as_str()).collect();
                return Err(unknown("cap", id.as_str(), known.into_iter()).into());
            };
            is_countable(cap, limit)?;
            match limit {
                Some(limit) => document.overrides.caps.insert(id.clone(), limit),
                None => document.overrides.caps.remove(id),
            };
            Ok(id.to_string())
        }
    }
}

/// Refuses half a request and half a generation in flight.
fn is_countable(cap: &Cap, limit: Option<Limit>) -> Result<(), InvalidField> {
    let is_whole = |amount: Micros| amount.get() % MICROS_PER_UNIT == 0;
    match (limit.and_then(Limit::amount), &cap.of) {
        (Some(amount), CapOf::Requests | CapOf::InFlight) if !is_whole(amount) => {
            Err(InvalidField::new("value", format!("must be a whole number: `{}` counts calls; got {amount}", cap.id)))
        }
        _ => Ok(()),
    }
}
