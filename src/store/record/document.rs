//! A subject's document and an event as records, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::reservation::{row, row_out};
use super::scalar::{
    fingerprint, fingerprint_out, id, id_if, labels, labels_out, micros, text_out, time, time_if, time_out, zone, zone_out,
};
use super::subscription::{subscription, subscription_out, timeline};
use super::{RecordError, wire};
use crate::domain::amount::Micros;
use crate::domain::ids::{AllowanceId, CapId, GrantId, MeterId, RequestId, SubjectId};
use crate::domain::ledger::{Event, EventKind};
use crate::domain::overrides::{Limit, Overrides};
use crate::domain::subject::{Change, Document, Grant, GrantKind};
use crate::domain::timeline::Timeline;

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
        change: Some(change_out(&document.change)),
        update_time: Some(time_out(document.update_time)),
        earlier: document.earlier.as_deref().map(subscription_out),
        allowance_overrides: allowance_overrides_out(&document.overrides),
        cap_overrides: document.overrides.caps.iter().map(|(id, limit)| (id.to_string(), limit_out(*limit))).collect(),
    }
}

pub(super) fn document(record: wire::SubjectDocument) -> Result<Document, RecordError> {
    let request = |known: wire::RememberedRequest| {
        Ok((id("requests.id", &known.id, RequestId::new)?, fingerprint("requests.fingerprint", &known.fingerprint)?))
    };
    let create_time = time("create_time", record.create_time)?;
    Ok(Document {
        subject: id("subject", &record.subject, SubjectId::new)?,
        version: record.version,
        created_by: fingerprint("created_by", &record.created_by)?,
        create_time,
        change: record.change.map(change).transpose()?.unwrap_or_else(|| Change::new("", None, "", "")),
        update_time: time_if("update_time", record.update_time)?.unwrap_or(create_time),
        suspended: record.suspended,
        zone: zone("zone", &record.zone)?,
        labels: labels(record.labels),
        subscription: record.subscription.map(subscription).transpose()?,
        earlier: record.earlier.map(subscription).transpose()?.map(Box::new),
        overrides: overrides(record.allowance_overrides, record.cap_overrides)?,
        grants: record.grants.into_iter().map(grant).collect::<Result<_, _>>()?,
        requests: record.requests.into_iter().map(request).collect::<Result<_, RecordError>>()?,
    })
}

fn change_out(change: &Change) -> wire::Change {
    wire::Change {
        operation: change.operation.to_string(),
        request: text_out(change.request.as_ref(), RequestId::as_str),
        about: change.about.to_string(),
        detail: change.detail.to_string(),
    }
}

fn change(record: wire::Change) -> Result<Change, RecordError> {
    let request = id_if("change.request", &record.request, RequestId::new)?;
    Ok(Change::new(&record.operation, request, &record.about, &record.detail))
}

/// Stands for unlimited.
const UNLIMITED: i64 = -1;

fn limit_out(limit: Limit) -> i64 {
    limit.amount().map_or(UNLIMITED, Micros::get)
}

fn limit(what: &'static str, record: i64) -> Result<Limit, RecordError> {
    if record == UNLIMITED { Ok(Limit::Unlimited) } else { micros(what, record).map(Limit::Amount) }
}

fn allowance_overrides_out(overrides: &Overrides) -> Vec<wire::AllowanceOverride> {
    let step = |(from, limit): &(Timestamp, Option<Limit>)| wire::LimitStep { from: Some(time_out(*from)), limit: limit.map(limit_out) };
    let of = |(id, limits): (&AllowanceId, &Timeline<Option<Limit>>)| wire::AllowanceOverride {
        allowance: id.to_string(),
        limits: limits.steps().iter().map(step).collect(),
    };
    overrides.allowances.iter().map(of).collect()
}

fn overrides(allowances: Vec<wire::AllowanceOverride>, caps: BTreeMap<String, i64>) -> Result<Overrides, RecordError> {
    let step = |step: wire::LimitStep| {
        Ok((time("allowance_overrides.from", step.from)?, step.limit.map(|value| limit("allowance_overrides.limit", value)).transpose()?))
    };
    let allowance = |of: wire::AllowanceOverride| {
        let steps = of.limits.into_iter().map(step).collect::<Result<_, RecordError>>()?;
        Ok((id("allowance_overrides.allowance", &of.allowance, AllowanceId::new)?, timeline("allowance_overrides", steps)?))
    };
    let cap = |(name, value): (String, i64)| Ok((id("cap_overrides", &name, CapId::new)?, limit("cap_overrides", value)?));
    Ok(Overrides {
        allowances: allowances.into_iter().map(allowance).collect::<Result<_, RecordError>>()?,
        caps: caps.into_iter().map(cap).collect::<Result<_, RecordError>>()?,
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
        wire::EventKind::Refunded => EventKind::Refunded,
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
        EventKind::Refunded => wire::EventKind::Refunded,
        EventKind::SubjectChanged => wire::EventKind::SubjectChanged,
    }
}
