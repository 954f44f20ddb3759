//! A subject's document and an event as records, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reservation::{row, row_out};
use super::scalar::{fingerprint, fingerprint_out, id, labels, labels_out, micros, time, time_if, time_out, zone, zone_out};
use super::{RecordError, wire};
use crate::domain::ids::{GrantId, MeterId, PlanId, RequestId, SubjectId, UserId};
use crate::domain::ledger::{Event, EventKind};
use crate::domain::period::Cadence;
use crate::domain::subject::{Document, Grant, GrantKind, Subscription};

pub(super) fn document_out(document: &Document) -> wire::SubjectDocument {
    let requests = document
        .requests
        .iter()
        .map(|(id, known)| wire::RememberedRequest { id: id.as_str().to_owned(), fingerprint: fingerprint_out(*known) });
    wire::SubjectDocument {
        subject: document.subject.as_str().to_owned(),
        version: document.version,
        created_by: fingerprint_out(document.created_by),
        create_time: Some(time_out(document.create_time)),
        suspended: document.suspended,
        zone: zone_out(&document.zone),
        labels: labels_out(&document.labels),
        subscription: document.subscription.as_ref().map(subscription_out),
        grants: document.grants.iter().map(grant_out).collect(),
        requests: requests.collect(),
    }
}

pub(super) fn document(record: wire::SubjectDocument) -> Result<Document, RecordError> {
    let request = |known: wire::RememberedRequest| {
        Ok((id("requests.id", &known.id, RequestId::new)?, fingerprint("requests.fingerprint", &known.fingerprint)?))
    };
    Ok(Document {
        subject: id("subject", &record.subject, SubjectId::new)?,
        version: record.version,
        created_by: fingerprint("created_by", &record.created_by)?,
        create_time: time("create_time", record.create_time)?,
        suspended: record.suspended,
        zone: zone("zone", &record.zone)?,
        labels: labels(record.labels),
        subscription: record.subscription.map(subscription).transpose()?,
        grants: record.grants.into_iter().map(grant).collect::<Result<_, _>>()?,
        requests: record.requests.into_iter().map(request).collect::<Result<_, RecordError>>()?,
    })
}

fn subscription_out(subscription: &Subscription) -> wire::Subscription {
    wire::Subscription {
        plan: subscription.plan.as_str().to_owned(),
        billing: match subscription.billing {
            Cadence::Month => wire::Cadence::Month,
            Cadence::Year => wire::Cadence::Year,
        }
        .into(),
        start_time: Some(time_out(subscription.start_time)),
        zone: zone_out(&subscription.zone),
        seats: subscription.seats,
        occupied: subscription.occupied.iter().map(|(user, since)| (user.as_str().to_owned(), time_out(*since))).collect(),
    }
}

fn subscription(record: wire::Subscription) -> Result<Subscription, RecordError> {
    let billing = match record.billing() {
        wire::Cadence::Unspecified => return Err(RecordError::missing("subscription.billing")),
        wire::Cadence::Month => Cadence::Month,
        wire::Cadence::Year => Cadence::Year,
    };
    let seat = |(user, since): (String, prost_types::Timestamp)| {
        Ok((id("subscription.occupied", &user, UserId::new)?, time("subscription.occupied", Some(since))?))
    };
    Ok(Subscription {
        plan: id("subscription.plan", &record.plan, PlanId::new)?,
        billing,
        start_time: time("subscription.start_time", record.start_time)?,
        zone: zone("subscription.zone", &record.zone)?,
        seats: record.seats,
        occupied: record.occupied.into_iter().map(seat).collect::<Result<BTreeMap<_, _>, RecordError>>()?,
    })
}

fn grant_out(grant: &Grant) -> wire::Grant {
    wire::Grant {
        id: grant.id.as_str().to_owned(),
        created_by: fingerprint_out(grant.created_by),
        meter: grant.meter.as_str().to_owned(),
        units: grant.units.get(),
        kind: match grant.kind {
            GrantKind::Promotional => wire::GrantKind::Promotional,
            GrantKind::Purchased => wire::GrantKind::Purchased,
            GrantKind::Manual => wire::GrantKind::Manual,
        }
        .into(),
        effective_time: Some(time_out(grant.effective_time)),
        expire_time: grant.expire_time.map(time_out),
        priority: grant.priority,
        requires_subscription: grant.requires_subscription,
        create_time: Some(time_out(grant.create_time)),
        void_time: grant.void_time.map(time_out),
    }
}

fn grant(record: wire::Grant) -> Result<Grant, RecordError> {
    let kind = match record.kind() {
        wire::GrantKind::Unspecified => return Err(RecordError::missing("grants.kind")),
        wire::GrantKind::Promotional => GrantKind::Promotional,
        wire::GrantKind::Purchased => GrantKind::Purchased,
        wire::GrantKind::Manual => GrantKind::Manual,
    };
    Ok(Grant {
        id: id("grants.id", &record.id, GrantId::new)?,
        created_by: fingerprint("grants.created_by", &record.created_by)?,
        meter: id("grants.meter", &record.meter, MeterId::new)?,
        units: micros("grants.units", record.units)?,
        kind,
        effective_time: time("grants.effective_time", record.effective_time)?,
        expire_time: time_if("grants.expire_time", record.expire_time)?,
        priority: record.priority,
        requires_subscription: record.requires_subscription,
        create_time: time("grants.create_time", record.create_time)?,
        void_time: time_if("grants.void_time", record.void_time)?,
    })
}

pub(super) fn event_out(event: &Event) -> wire::Event {
    wire::Event {
        sequence: event.sequence,
        time: Some(time_out(event.time)),
        kind: kind_out(event.kind).into(),
        subject: event.subject.as_str().to_owned(),
        row: event.row.as_deref().map(row_out),
        document: event.document.as_deref().map(document_out),
    }
}

pub(super) fn event(record: wire::Event) -> Result<Event, RecordError> {
    let kind = match record.kind() {
        wire::EventKind::Unspecified => return Err(RecordError::missing("kind")),
        wire::EventKind::Reserved => EventKind::Reserved,
        wire::EventKind::Retried => EventKind::Retried,
        wire::EventKind::Extended => EventKind::Extended,
        wire::EventKind::Committed => EventKind::Committed,
        wire::EventKind::Released => EventKind::Released,
        wire::EventKind::Expired => EventKind::Expired,
        wire::EventKind::Recorded => EventKind::Recorded,
        wire::EventKind::SubjectChanged => EventKind::SubjectChanged,
    };
    Ok(Event {
        sequence: record.sequence,
        time: time("time", record.time)?,
        kind,
        subject: id("subject", &record.subject, SubjectId::new)?,
        row: record.row.map(row).transpose()?.map(Arc::new),
        document: record.document.map(document).transpose()?.map(Arc::new),
    })
}

fn kind_out(kind: EventKind) -> wire::EventKind {
    match kind {
        EventKind::Reserved => wire::EventKind::Reserved,
        EventKind::Retried => wire::EventKind::Retried,
        EventKind::Extended => wire::EventKind::Extended,
        EventKind::Committed => wire::EventKind::Committed,
        EventKind::Released => wire::EventKind::Released,
        EventKind::Expired => wire::EventKind::Expired,
        EventKind::Recorded => wire::EventKind::Recorded,
        EventKind::SubjectChanged => wire::EventKind::SubjectChanged,
    }
}
