//! Which plan a subject has: subscribed, changed, cancelled, taken up again (P11, P12).

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::{AdministrationError as Error, SEATS_MAX, unknown};
use crate::domain::catalog::Catalog;
use crate::domain::charge::InvalidField;
use crate::domain::ids::PlanId;
use crate::domain::period::{Anchor, Cadence, OutOfCalendar};
use crate::domain::plan::{AllowancePer, Plan, Terms};
use crate::domain::subject::Document;
use crate::domain::subscription::Subscription;

/// A subscription that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubscription {
    pub plan: PlanId,
    pub billing: Cadence,
    /// `None`: now.
    pub start_time: Option<Timestamp>,
    /// `None`: the subject's.
    pub zone: Option<TimeZone>,
    /// `None`: one where the plan counts by seat; as before where it resumes.
    pub seats: Option<u32>,
}

impl NewSubscription {
    /// Subscribes; or resumes what was cancelled, in the period it is in.
    pub(in crate::domain) fn subscribe(&self, catalog: &Catalog, document: &mut Document, now: Timestamp) -> Result<String, Error> {
        let plan = known_plan(catalog, &self.plan)?;
        let about = self.plan.to_string();
        let Some(before) = &mut document.subscription else {
            document.subscription = Some(self.begin(plan, &document.zone, now)?);
            return Ok(about);
        };
        match before.end_time() {
            // Cancelled, and not over yet.
            Some(end) if now < end => {
                if before.plan(now) != Some(&self.plan) || before.billing != self.billing {
                    return Err(Error::SubscriptionExists);
                }
                before.plans.settle(now);
                self.resume(plan, before, now)?;
            }
            // Ended at once, in a period that would go on: what was used in it stays used.
            Some(_) if now < span_end(catalog, before)? => {
                let end = span_end(catalog, before)?;
                if before.billing != self.billing {
                    let problem = format!("must be as it was until {end}, when the period ends that the subscription before was in");
                    return Err(InvalidField::new("billing_interval", problem).into());
                }
                is_offered("plan", plan, &before.anchor(), now)?;
                before.plans.set(now, Some(self.plan.clone()));
                self.resume(plan, before, now)?;
            }
            Some(_) => {
                let end = span_end(catalog, before)?;
                if self.start_time.is_some_and(|start| start < end) {
                    let problem = format!("lies before {end}, when the last period of the subscription before was over");
                    return Err(InvalidField::new("start_time", problem).into());
                }
                let next = self.begin(plan, &document.zone, now)?;
                document.earlier = document.subscription.replace(next).map(Box::new);
            }
            None => return Err(Error::SubscriptionExists),
        }
        Ok(about)
    }

    fn begin(&self, plan: &Plan, zone: &TimeZone, now: Timestamp) -> Result<Subscription, InvalidField> {
        let zone = self.zone.clone().unwrap_or_else(|| zone.clone());
        let start_time = self.start_time.unwrap_or(now);
        if start_time > now {
            return Err(InvalidField::new("start_time", format!("lies in the future: {start_time}")));
        }
        is_offered("start_time", plan, &Anchor::at(start_time, zone.clone()), start_time)?;
        let seats = checked_seats(plan, self.seats.unwrap_or(u32::from(counts_by_seat(plan))))?;
        Ok(Subscription::new(self.plan.clone(), self.billing, start_time, zone, seats))
    }

    fn resume(&self, plan: &Plan, subscription: &mut Subscription, now: Timestamp) -> Result<(), Error> {
        match self.seats {
            Some(seats) => super::seats::change(plan, subscription, seats, now),
            None => {
                needs_a_seat(plan, subscription, now);
                Ok(())
            }
        }
    }
}

/// Changes the plan: a higher rank at once, a lower one when the billing period ends, the present one drops what was to come.
pub(in crate::domain) fn change(
    catalog: &Catalog,
    subscription: &mut Subscription,
    plan: &PlanId,
    now: Timestamp,
) -> Result<String, Error> {
    let next = known_plan(catalog, plan)?;
    drop_seat_to_come(subscription, now);
    if subscription.plan(now) == Some(plan) {
        subscription.plans.settle(now);
        return Ok(plan.to_string());
    }
    // A plan that is in no catalog any more gives nothing: whatever follows is more.
    let present = subscription.plan(now).and_then(|present| catalog.plans.get(present));
    let is_more = present.is_none_or(|present| next.rank > present.rank);
    let from = if is_more { now } else { subscription.term_end(now)? };
    is_offered("plan", next, &subscription.anchor(), from)?;
    subscription.plans.set(from, Some(plan.clone()));
    needs_a_seat(next, subscription, from);
    Ok(plan.to_string())
}

/// Ends a subscription when its billing period does, or now.
pub(super) fn cancel(subscription: &mut Subscription, at_once: bool, now: Timestamp) -> Result<String, Error> {
    let end = if at_once { now } else { subscription.term_end(now)? };
    let about = subscription.plan(now).map(ToString::to_string).unwrap_or_default();
    drop_seat_to_come(subscription, now);
    if at_once {
        // They end with the subscription (P7): whoever comes back has what is left of their period, and buys anew.
        subscription.add_ons.values_mut().for_each(|units| units.set(now, 0));
    }
    subscription.plans.set(end, None);
    Ok(about)
}

pub(in crate::domain) fn known_plan<'c>(catalog: &'c Catalog, plan: &PlanId) -> Result<&'c Plan, InvalidField> {
    catalog.plans.get(plan).ok_or_else(|| unknown("plan", plan.as_str(), catalog.plans.keys().map(PlanId::as_str)))
}

pub(super) fn counts_by_seat(plan: &Plan) -> bool {
    let by_seat = |per: AllowancePer| matches!(per, AllowancePer::Seat | AllowancePer::SeatsPooled);
    let given = |terms: &Terms| terms.allowances.iter().any(|one| by_seat(one.per)) || terms.add_ons.iter().any(|one| by_seat(one.per));
    plan.terms.iter().any(given)
}

pub(super) fn checked_seats(plan: &Plan, seats: u32) -> Result<u32, InvalidField> {
    if seats == 0 && counts_by_seat(plan) {
        return Err(InvalidField::new("seats", format!("plan `{}` counts by seat and needs at least 1", plan.id)));
    }
    if seats > SEATS_MAX {
        return Err(InvalidField::new("seats", format!("must be at most {SEATS_MAX}; got {seats}")));
    }
    Ok(seats)
}

/// A plan that counts by seat has one at the least, from its first day on and after: it takes the place of a wish for none.
pub(super) fn needs_a_seat(plan: &Plan, subscription: &mut Subscription, from: Timestamp) {
    if !counts_by_seat(plan) {
        return;
    }
    if subscription.seats(from) == 0 {
        subscription.seats.set(from, 1);
    } else if let Some(&(later, 0)) = subscription.seats.next(from) {
        subscription.seats.set(later, 1);
    }
}

/// The seat that a plan to come would bring goes with that plan. Nothing else is more later.
fn drop_seat_to_come(subscription: &mut Subscription, now: Timestamp) {
    if subscription.seats.next(now).is_some_and(|(_, seats)| *seats > subscription.seats(now)) {
        subscription.seats.settle(now);
    }
}

/// Refuses a plan before the first day of its first terms.
fn is_offered(field: &str, plan: &Plan, anchor: &Anchor, from: Timestamp) -> Result<(), InvalidField> {
    let day = from.to_zoned(anchor.zone.clone()).date();
    match plan.terms[0].from {
        Some(first) if day < first => {
            Err(InvalidField::new(field, format!("plan `{}` is offered from {first} on; this would be {day}", plan.id)))
        }
        _ => Ok(()),
    }
}

/// When the last period is over that a subscription which has ended was in. Until then, coming back goes on in it.
fn span_end(catalog: &Catalog, subscription: &Subscription) -> Result<Timestamp, OutOfCalendar> {
    let Some(end) = subscription.end_time() else { return Ok(Timestamp::MAX) };
    let last = end.checked_sub(1.nanosecond()).map_err(|_| OutOfCalendar)?.max(subscription.start_time);
    let gives_yearly = |plan: &Plan| {
        let billing = subscription.billing;
        let allowance = |terms: &Terms| terms.allowances.iter().any(|one| one.issue(billing).every == Cadence::Year);
        let add_on = |terms: &Terms| terms.add_ons.iter().any(|one| one.bundle(billing).every == Cadence::Year);
        plan.terms.iter().any(|terms| allowance(terms) || add_on(terms))
    };
    let held = subscription.plans.steps().iter().filter_map(|(_, plan)| catalog.plans.get(plan.as_ref()?));
    let longest = if held.into_iter().any(gives_yearly) { Cadence::Year } else { subscription.billing };
    Ok(subscription.anchor().period(longest, last)?.end)
}
