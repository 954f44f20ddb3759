//! How many seats there are, and who leaves theirs (P6).

use jiff::Timestamp;

use super::AdministrationError as Error;
use super::plans::{checked_seats, known_plan, needs_a_seat};
use crate::domain::catalog::Catalog;
use crate::domain::charge::InvalidField;
use crate::domain::ids::UserId;
use crate::domain::plan::Plan;
use crate::domain::subscription::Subscription;

/// Sets how many seats there are, and frees those of some users.
pub(super) fn set(
    catalog: &Catalog,
    subscription: &mut Subscription,
    seats: Option<u32>,
    vacate: &[UserId],
    now: Timestamp,
) -> Result<String, Error> {
    if seats.is_none() && vacate.is_empty() {
        return Err(InvalidField::new("seats", "is missing, and no seat is to be freed").into());
    }
    vacate.iter().for_each(|user| subscription.vacate(user));
    let Some(seats) = seats else { return Ok(String::new()) };
    let plan = subscription.plan(now).cloned().ok_or(Error::SubscriptionNotFound)?;
    change(known_plan(catalog, &plan)?, subscription, seats, now)?;
    if let Some((from, Some(next))) = subscription.plans.next(now).cloned() {
        catalog.plans.get(&next).into_iter().for_each(|next| needs_a_seat(next, subscription, from));
    }
    Ok(seats.to_string())
}

/// More seats act at once, fewer when the billing period ends.
pub(super) fn change(plan: &Plan, subscription: &mut Subscription, seats: u32, now: Timestamp) -> Result<(), Error> {
    let seats = checked_seats(plan, seats)?;
    let present = subscription.seats(now);
    // As many as now: whatever was to come is off.
    let from = if seats < present { subscription.term_end(now)? } else { now };
    subscription.seats.set(from, seats);
    Ok(())
}
