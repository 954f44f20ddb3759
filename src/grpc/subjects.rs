//! `SubjectService`: what billing systems and operators call.

use tonic::{Request, Response, Status};

use super::read::{Reader, fingerprint};
use super::{Handlers, status, write};
use crate::domain::administration::{self, Administration, NewGrant};
use crate::domain::ids::{GrantId, MeterId, PlanId, RequestId, SubjectId};
use crate::domain::period::Cadence;
use crate::domain::subject::{Grant, GrantKind, Subscription};
use crate::proto::v1;
use crate::proto::v1::subject_service_server::SubjectService;
use crate::service::Subject;

/// Subjects on a page where the caller does not say, and at the most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;

#[tonic::async_trait]
impl SubjectService for Handlers {
    async fn create_subject(&self, request: Request<v1::CreateSubjectRequest>) -> Result<Response<v1::CreateSubjectResponse>, Status> {
        let request = request.into_inner();
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let zone = reader.zone("time_zone", &request.time_zone);
        let labels = reader.labels(&request.labels);
        let command = || {
            let zone = zone?.unwrap_or(jiff::tz::TimeZone::UTC);
            let fingerprint = fingerprint("CreateSubject", &request);
            Some((subject?, Administration::Create { zone, labels: labels?, fingerprint }))
        };
        let subject = self.administrate(reader, command()).await?;
        Ok(Response::new(v1::CreateSubjectResponse { replayed: subject.replayed, subject: Some(shown(&subject)) }))
    }

    async fn subscribe(&self, request: Request<v1::SubscribeRequest>) -> Result<Response<v1::SubscribeResponse>, Status> {
        let request = request.into_inner();
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let id = reader.id("request_id", &request.request_id, RequestId::new);
        let plan = reader.id("plan", &request.plan, PlanId::new);
        let billing = match v1::BillingInterval::try_from(request.billing_interval) {
            Ok(v1::BillingInterval::Unspecified | v1::BillingInterval::Month) => Some(Cadence::Month),
            Ok(v1::BillingInterval::Year) => Some(Cadence::Year),
            Err(_) => reader.problem("billing_interval", "must be `BILLING_INTERVAL_MONTH` or `BILLING_INTERVAL_YEAR`"),
        };
        let start_time = reader.time("start_time", request.start_time.as_ref());
        let zone = reader.zone("time_zone", &request.time_zone);
        let seats = match request.seats.map(u32::try_from).transpose() {
            Ok(seats) => Some(seats),
            Err(_) => reader.problem("seats", "must not be negative"),
        };
        let command = || {
            let request = administration::Request { id: id?, fingerprint: fingerprint("Subscribe", &request) };
            let change =
                Administration::Subscribe { request, plan: plan?, billing: billing?, start_time: start_time?, zone: zone?, seats: seats? };
            Some((subject?, change))
        };
        let subject = self.administrate(reader, command()).await?;
        Ok(Response::new(v1::SubscribeResponse { replayed: subject.replayed, subject: Some(shown(&subject)) }))
    }

    async fn grant_credits(&self, request: Request<v1::GrantCreditsRequest>) -> Result<Response<v1::GrantCreditsResponse>, Status> {
        let request = request.into_inner();
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let grant = read_grant(&mut reader, &request);
        let command = subject.zip(grant.map(Administration::Grant));
        let subject = self.administrate(reader, command).await?;
        Ok(Response::new(v1::GrantCreditsResponse { replayed: subject.replayed, subject: Some(shown(&subject)) }))
    }

    async fn void_grant(&self, request: Request<v1::VoidGrantRequest>) -> Result<Response<v1::VoidGrantResponse>, Status> {
        let request = request.into_inner();
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let id = reader.id("request_id", &request.request_id, RequestId::new);
        let grant = reader.id("grant_id", &request.grant_id, GrantId::new);
        reader.detail(&request.detail);
        let command = || {
            let request = administration::Request { id: id?, fingerprint: fingerprint("VoidGrant", &request) };
            Some((subject?, Administration::VoidGrant { request, grant: grant? }))
        };
        let subject = self.administrate(reader, command()).await?;
        Ok(Response::new(v1::VoidGrantResponse { replayed: subject.replayed, subject: Some(shown(&subject)) }))
    }

    async fn suspend_subject(&self, request: Request<v1::SuspendSubjectRequest>) -> Result<Response<v1::SuspendSubjectResponse>, Status> {
        let request = request.into_inner();
        let known_by = (request.request_id.as_str(), fingerprint("SuspendSubject", &request));
        let suspend = |request| Administration::Suspend { request };
        let subject = self.simple(&request.subject, known_by, &request.detail, suspend).await?;
        Ok(Response::new(v1::SuspendSubjectResponse { replayed: subject.replayed, subject: Some(shown(&subject)) }))
    }

    async fn resume_subject(&self, request: Request<v1::ResumeSubjectRequest>) -> Result<Response<v1::ResumeSubjectResponse>, Status> {
        let request = request.into_inner();
        let known_by = (request.request_id.as_str(), fingerprint("ResumeSubject", &request));
        let resume = |request| Administration::Resume { request };
        let subject = self.simple(&request.subject, known_by, &request.detail, resume).await?;
        Ok(Response::new(v1::ResumeSubjectResponse { replayed: subject.replayed, subject: Some(shown(&subject)) }))
    }

    async fn get_subject(&self, request: Request<v1::GetSubjectRequest>) -> Result<Response<v1::GetSubjectResponse>, Status> {
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.get_ref().subject, SubjectId::new);
        let subject = reader.finish(subject).map_err(status::of)?;
        let subject = self.service.subject(&subject).await.map_err(status::of)?;
        Ok(Response::new(v1::GetSubjectResponse { subject: Some(shown(&subject)) }))
    }

    async fn list_subjects(&self, request: Request<v1::ListSubjectsRequest>) -> Result<Response<v1::ListSubjectsResponse>, Status> {
        let request = request.into_inner();
        let mut reader = Reader::default();
        let after = reader.optional_id("page_token", &request.page_token, SubjectId::new);
        let size = match usize::try_from(request.page_size) {
            Ok(0) => Some(PAGE_DEFAULT),
            Ok(size) if size <= PAGE_MAX => Some(size),
            _ => reader.problem("page_size", format!("must be 0 to {PAGE_MAX}; got {}", request.page_size)),
        };
        let (after, size) = reader.finish(after.zip(size)).map_err(status::of)?;
        // One more than asked tells whether there is a next page.
        let mut subjects = self.service.subjects(after.as_ref(), size + 1).await.map_err(status::of)?;
        let more = subjects.len() > size;
        subjects.truncate(size);
        let next_page_token = subjects.last().filter(|_| more).map(|last| last.document.subject.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ListSubjectsResponse { subjects: subjects.iter().map(shown).collect(), next_page_token }))
    }
}

impl Handlers {
    async fn administrate(&self, reader: Reader, command: Option<(SubjectId, Administration)>) -> Result<Subject, Status> {
        let (subject, change) = reader.finish(command).map_err(status::of)?;
        self.change(|service| async move { service.administrate(subject, change).await }).await
    }

    /// A change that says nothing but its id.
    async fn simple(
        &self,
        subject: &str,
        known_by: (&str, crate::domain::ledger::Fingerprint),
        detail: &str,
        change: impl Fn(administration::Request) -> Administration,
    ) -> Result<Subject, Status> {
        let mut reader = Reader::default();
        let subject = reader.id("subject", subject, SubjectId::new);
        let id = reader.id("request_id", known_by.0, RequestId::new);
        reader.detail(detail);
        let change = id.map(|id| change(administration::Request { id, fingerprint: known_by.1 }));
        self.administrate(reader, subject.zip(change)).await
    }
}

fn read_grant(reader: &mut Reader, request: &v1::GrantCreditsRequest) -> Option<NewGrant> {
    let id = reader.id("grant_id", &request.grant_id, GrantId::new);
    let meter = reader.id("meter", &request.meter, MeterId::new);
    let units = match reader.amount("units", &request.units) {
        Some(units) if units.is_zero() => reader.problem("units", "must be more than zero"),
        units => units,
    };
    let kind = match v1::GrantKind::try_from(request.kind) {
        Ok(v1::GrantKind::Unspecified | v1::GrantKind::Manual) => Some(GrantKind::Manual),
        Ok(v1::GrantKind::Promotional) => Some(GrantKind::Promotional),
        Ok(v1::GrantKind::Purchased) => Some(GrantKind::Purchased),
        Err(_) => reader.problem("kind", "must be `GRANT_KIND_PROMOTIONAL`, `GRANT_KIND_PURCHASED` or `GRANT_KIND_MANUAL`"),
    };
    let effective_time = reader.time("effective_time", request.effective_time.as_ref());
    let expire_time = reader.time("expire_time", request.expire_time.as_ref());
    Some(NewGrant {
        id: id?,
        fingerprint: fingerprint("GrantCredits", request),
        meter: meter?,
        units: units?,
        kind: kind?,
        effective_time: effective_time?,
        expire_time: expire_time?,
        priority: request.priority,
        requires_subscription: request.requires_subscription,
    })
}

fn shown(subject: &Subject) -> v1::Subject {
    let document = &subject.document;
    let state = if document.suspended { v1::SubjectState::Suspended } else { v1::SubjectState::Active };
    v1::Subject {
        subject: document.subject.to_string(),
        state: state.into(),
        time_zone: zone_name(&document.zone),
        subscription: document.subscription.as_ref().map(|subscription| shown_subscription(subscription, subject)),
        grants: document.grants.iter().rev().map(shown_grant).collect(),
        labels: write::labels(&document.labels),
        create_time: Some(write::time(document.create_time)),
        version: i64::try_from(document.version).unwrap_or(i64::MAX),
        overrides: Vec::new(),
    }
}

fn shown_subscription(subscription: &Subscription, subject: &Subject) -> v1::Subscription {
    let interval = match subscription.billing {
        Cadence::Month => v1::BillingInterval::Month,
        Cadence::Year => v1::BillingInterval::Year,
    };
    let seat = |(user, since): (&crate::domain::ids::UserId, &jiff::Timestamp)| v1::SeatOccupancy {
        user: user.to_string(),
        since_time: Some(write::time(*since)),
    };
    let mut occupied: Vec<_> = subscription.occupied.iter().collect();
    occupied.sort_by_key(|(_, since)| **since);
    v1::Subscription {
        plan: subscription.plan.to_string(),
        billing_interval: interval.into(),
        start_time: Some(write::time(subscription.start_time)),
        time_zone: zone_name(&subscription.zone),
        seats: i32::try_from(subscription.seats).unwrap_or(i32::MAX),
        occupied_seats: occupied.into_iter().map(seat).collect(),
        add_ons: Vec::new(),
        period_start_time: subject.period.map(|period| write::time(period.start)),
        period_end_time: subject.period.map(|period| write::time(period.end)),
        pending_change: None,
        cancel_time: None,
    }
}

fn shown_grant(grant: &Grant) -> v1::Grant {
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
