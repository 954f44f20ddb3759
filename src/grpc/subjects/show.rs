//! Subjects and previews, as messages.

use crate::domain::administration::LimitOf;
use crate::domain::balance::Snapshot;
use crate::domain::ids::UserId;
use crate::domain::overrides::Limit;
use crate::domain::period::Cadence;
use crate::domain::preview::{AllowanceChange, Given};
use crate::domain::standing::{AddOnStanding, Pending, Standing};
use crate::domain::subject::{Document, Grant, GrantKind};
use crate::domain::subscription::Subscription;
use crate::grpc::write;
use crate::proto::v1;
use crate::service::{Previewed, Subject};

/// How a limit without end is written.
pub(super) const UNLIMITED: &str = "unlimited";

pub(super) fn subject(subject: &Subject) -> v1::Subject {
    let document = &subject.document;
    let state = if document.suspended { v1::SubjectState::Suspended } else { v1::SubjectState::Active };
    v1::Subject {
        subject: document.subject.to_string(),
        state: state.into(),
        time_zone: zone_name(&document.zone),
        subscription: document.subscription.as_ref().zip(subject.standing.as_ref()).map(subscription),
        grants: document.grants.iter().rev().map(grant).collect(),
        labels: write::labels(&document.labels),
        create_time: Some(write::time(document.create_time)),
        version: i64::try_from(document.version).unwrap_or(i64::MAX),
        overrides: overrides(document),
    }
}

pub(super) fn preview(previewed: &Previewed) -> v1::PreviewChangeResponse {
    let Previewed { preview, snapshot, currency } = previewed;
    v1::PreviewChangeResponse {
        effective_time: Some(write::time(preview.effective_time)),
        allowances: preview.allowances.iter().map(|change| allowance_change(change, snapshot)).collect(),
        amount_due: write::text(preview.amount_due.as_ref()),
        present_price: write::text(preview.present_price.as_ref()),
        new_price: write::text(preview.new_price.as_ref()),
        currency: currency.to_string(),
    }
}

fn subscription((known, standing): (&Subscription, &Standing)) -> v1::Subscription {
    let interval = match known.billing {
        Cadence::Month => v1::BillingInterval::Month,
        Cadence::Year => v1::BillingInterval::Year,
    };
    let seat =
        |(user, since): &(UserId, jiff::Timestamp)| v1::SeatOccupancy { user: user.to_string(), since_time: Some(write::time(*since)) };
    v1::Subscription {
        plan: standing.plan.to_string(),
        billing_interval: interval.into(),
        start_time: Some(write::time(known.start_time)),
        time_zone: zone_name(&known.zone),
        seats: count(standing.seats),
        occupied_seats: standing.occupied.iter().map(seat).collect(),
        add_ons: standing.add_ons.iter().map(add_on).collect(),
        period_start_time: Some(write::time(standing.period.start)),
        period_end_time: Some(write::time(standing.period.end)),
        pending_change: standing.pending.as_ref().map(pending),
        cancel_time: standing.cancel_time.map(write::time),
    }
}

fn add_on(add_on: &AddOnStanding) -> v1::AddOnHolding {
    v1::AddOnHolding {
        add_on: add_on.id.to_string(),
        units: count(add_on.units),
        next_units: add_on.next_units.map(count),
        start_time: Some(write::time(add_on.start_time)),
    }
}

fn pending(pending: &Pending) -> v1::PendingChange {
    v1::PendingChange {
        plan: write::text(pending.plan.as_ref()),
        seats: pending.seats.map(count),
        effective_time: Some(write::time(pending.effective_time)),
    }
}

/// The limits that differ now, allowances first.
fn overrides(document: &Document) -> Vec<v1::LimitOverride> {
    let allowances = document.overrides.allowances.iter().filter_map(|(id, limits)| {
        let (_, limit) = limits.steps().last()?;
        Some((LimitOf::Allowance(id.clone()), (*limit)?))
    });
    let caps = document.overrides.caps.iter().map(|(id, limit)| (LimitOf::Cap(id.clone()), *limit));
    allowances.chain(caps).map(|(of, limit)| limit_override(&of, limit)).collect()
}

fn limit_override(of: &LimitOf, limit: Limit) -> v1::LimitOverride {
    let named = match of {
        LimitOf::Allowance(id) => v1::limit_override::Limit::Allowance(id.to_string()),
        LimitOf::Cap(id) => v1::limit_override::Limit::Cap(id.to_string()),
    };
    v1::LimitOverride { limit: Some(named), value: limit.amount().map_or_else(|| UNLIMITED.to_owned(), |amount| amount.to_string()) }
}

fn allowance_change(change: &AllowanceChange, snapshot: &Snapshot) -> v1::AllowanceChange {
    let amount = |given: &Option<Given>| given.as_ref().map(|given| amount(given, snapshot));
    v1::AllowanceChange {
        allowance: change.id.to_string(),
        meter: change.meter.to_string(),
        before: amount(&change.before),
        after: amount(&change.after),
        next_period: amount(&change.next),
    }
}

fn amount(given: &Given, snapshot: &Snapshot) -> v1::AllowanceAmount {
    v1::AllowanceAmount {
        limit: write::text(given.limit.as_ref()),
        unlimited: given.limit.is_none(),
        available: write::text(given.available(snapshot).as_ref()),
    }
}

fn grant(grant: &Grant) -> v1::Grant {
    let kind = match grant.kind {
        GrantKind::Promotional => v1::GrantKind::Promotional,
        GrantKind::Purchased => v1::GrantKind::Purchased,
        GrantKind::Manual => v1::GrantKind::Manual,
    };
    v1::Grant {
        grant_id: grant.id.to_string(),
        meter: grant.meter.to_string(),
        units: grant.units.to_string(),
        kind: kind.into(),
        effective_time: Some(write::time(grant.effective_time)),
        expire_time: grant.expire_time.map(write::time),
        priority: grant.priority,
        requires_subscription: Some(grant.requires_subscription),
        create_time: Some(write::time(grant.create_time)),
        void_time: grant.void_time.map(write::time),
    }
}

fn zone_name(zone: &jiff::tz::TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

fn count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
