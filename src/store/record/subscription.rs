//! A subscription as a record, and back.

use std::collections::BTreeMap;

use super::scalar::{id, id_if, time, time_out, zone, zone_out};
use super::{RecordError, wire};
use crate::domain::ids::{AddOnId, PlanId, UserId};
use crate::domain::period::Cadence;
use crate::domain::subscription::{Occupancy, Subscription};
use crate::domain::timeline::Timeline;

pub(super) fn subscription_out(subscription: &Subscription) -> wire::Subscription {
    let plans = subscription
        .plans
        .steps()
        .iter()
        .map(|(from, plan)| wire::PlanStep { from: Some(time_out(*from)), plan: plan.as_ref().map(PlanId::to_string).unwrap_or_default() });
    let add_ons = subscription.add_ons.iter().map(|(id, units)| (id.to_string(), wire::CountSteps { steps: counts_out(units) }));
    let seat = |(user, seat): (&UserId, &Occupancy)| wire::Seat {
        user: user.to_string(),
        since: Some(time_out(seat.since)),
        account: if seat.account == *user { String::new() } else { seat.account.to_string() },
    };
    wire::Subscription {
        billing: match subscription.billing {
            Cadence::Month => wire::Cadence::Month,
            Cadence::Year => wire::Cadence::Year,
        }
        .into(),
        start_time: Some(time_out(subscription.start_time)),
        zone: zone_out(&subscription.zone),
        plans: plans.collect(),
        seat_counts: counts_out(&subscription.seats),
        add_ons: add_ons.collect(),
        taken_seats: subscription.occupied.iter().map(seat).collect(),
        vacated: subscription.vacated.iter().map(UserId::to_string).collect(),
        ..wire::Subscription::default()
    }
}

pub(super) fn subscription(record: wire::Subscription) -> Result<Subscription, RecordError> {
    let billing = match record.billing() {
        wire::Cadence::Unspecified => return Err(RecordError::missing("subscription.billing")),
        wire::Cadence::Month => Cadence::Month,
        wire::Cadence::Year => Cadence::Year,
    };
    let start_time = time("subscription.start_time", record.start_time)?;
    let zone = zone("subscription.zone", &record.zone)?;
    if record.plans.is_empty() {
        // Of before there were changes: one plan, and seats whose accounts are their users' own.
        let plan = id("subscription.plan", &record.plan, PlanId::new)?;
        let mut known = Subscription::new(plan, billing, start_time, zone, record.seats);
        for (user, since) in record.occupied {
            let user = id("subscription.occupied", &user, UserId::new)?;
            let since = time("subscription.occupied", Some(since))?;
            known.occupied.insert(user.clone(), Occupancy { since, account: user });
        }
        return Ok(known);
    }
    let plans = record
        .plans
        .into_iter()
        .map(|step| Ok((time("subscription.plans.from", step.from)?, id_if("subscription.plans.plan", &step.plan, PlanId::new)?)));
    let add_on = |(name, units): (String, wire::CountSteps)| {
        Ok((id("subscription.add_ons", &name, AddOnId::new)?, counts("subscription.add_ons", units.steps)?))
    };
    let seat = |seat: wire::Seat| {
        let user = id("subscription.taken_seats.user", &seat.user, UserId::new)?;
        let account = id_if("subscription.taken_seats.account", &seat.account, UserId::new)?.unwrap_or_else(|| user.clone());
        Ok((user, Occupancy { since: time("subscription.taken_seats.since", seat.since)?, account }))
    };
    Ok(Subscription {
        billing,
        start_time,
        zone,
        plans: timeline("subscription.plans", plans.collect::<Result<_, RecordError>>()?)?,
        seats: counts("subscription.seat_counts", record.seat_counts)?,
        add_ons: record.add_ons.into_iter().map(add_on).collect::<Result<BTreeMap<_, _>, RecordError>>()?,
        occupied: record.taken_seats.into_iter().map(seat).collect::<Result<BTreeMap<_, _>, RecordError>>()?,
        vacated: record.vacated.iter().map(|account| id("subscription.vacated", account, UserId::new)).collect::<Result<_, _>>()?,
    })
}

/// Steps in order, as every timeline has them.
pub(super) fn timeline<T: PartialEq>(what: &'static str, steps: Vec<(jiff::Timestamp, T)>) -> Result<Timeline<T>, RecordError> {
    Timeline::of_steps(steps).ok_or_else(|| RecordError::new(what, "are not in order"))
}

fn counts_out(counts: &Timeline<u32>) -> Vec<wire::CountStep> {
    counts.steps().iter().map(|(from, count)| wire::CountStep { from: Some(time_out(*from)), count: *count }).collect()
}

fn counts(what: &'static str, steps: Vec<wire::CountStep>) -> Result<Timeline<u32>, RecordError> {
    let step = |step: wire::CountStep| Ok((time(what, step.from)?, step.count));
    timeline(what, steps.into_iter().map(step).collect::<Result<_, RecordError>>()?)
}
