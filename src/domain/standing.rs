//! Standing: how a subscription is now, and what will change (GetSubject).

use jiff::Timestamp;

use super::ids::{AddOnId, PlanId, UserId};
use super::period::{OutOfCalendar, Period};
use super::view::ActivePlan;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub plan: PlanId,
    /// The monthly one of now.
    pub period: Period,
    pub seats: u32,
    /// Who sits since when, longest first; at most `seats`.
    pub occupied: Vec<(UserId, Timestamp)>,
    pub add_ons: Vec<AddOnStanding>,
    pub pending: Option<Pending>,
    /// When it ends because it was cancelled.
    pub cancel_time: Option<Timestamp>,
}

/// An add-on that is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddOnStanding {
    pub id: AddOnId,
    pub units: u32,
    /// From the next period of it on, where that differs.
    pub next_units: Option<u32>,
    /// When it was first bought.
    pub start_time: Timestamp,
}

/// What will change when the billing period ends. `None`: as now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub plan: Option<PlanId>,
    pub seats: Option<u32>,
    pub effective_time: Timestamp,
}

impl Standing {
    /// Of a subject's plan; `None` for one that nobody subscribed.
    pub fn of(active: &ActivePlan<'_>, now: Timestamp) -> Result<Option<Self>, OutOfCalendar> {
        let Some(subscription) = active.subscription else { return Ok(None) };
        let sits = |(user, seat): (&UserId, &super::subscription::Occupancy)| {
            subscription.seat(user, now).is_some().then(|| (user.clone(), seat.since))
        };
        let mut occupied: Vec<_> = subscription.occupied.iter().filter_map(sits).collect();
        occupied.sort_by_key(|(_, since)| *since);
        let mut add_ons = Vec::new();
        for (id, counts) in &subscription.add_ons {
            let units = active.units(id, now)?;
            if units == 0 {
                continue;
            }
            let next = active.add_on_period(id, active.add_on_period(id, now)?.end)?;
            let next = active.units_from(id, &next)?;
            let start_time = counts.steps().iter().find(|(_, count)| *count > 0).map_or(now, |(bought, _)| *bought);
            add_ons.push(AddOnStanding { id: id.clone(), units, next_units: (next != units).then_some(next), start_time });
        }
        let (plan, seats) = (subscription.plans.next(now), subscription.seats.next(now));
        let effective_time = plan.filter(|(_, plan)| plan.is_some()).map(|(at, _)| *at).or(seats.map(|(at, _)| *at));
        let pending = effective_time.map(|effective_time| Pending {
            plan: plan.and_then(|(_, plan)| plan.clone()),
            seats: seats.map(|(_, seats)| *seats),
            effective_time,
        });
        Ok(Some(Self {
            plan: active.plan.id.clone(),
            period: active.period,
            seats: subscription.seats(now),
            occupied,
            add_ons,
            pending,
            cancel_time: subscription.end_time(),
        }))
    }
}
