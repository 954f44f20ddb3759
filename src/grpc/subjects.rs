//! `SubjectService`: what billing systems and operators call.

mod adjust;
mod read;
mod show;

use tonic::{Request, Response, Status};

use super::read::{Reader, fingerprint};
use super::{Handlers, status, write};
use crate::domain::administration::{self, Administration, Requested};
use crate::domain::ids::{GrantId, PlanId, SubjectId};
use crate::proto::v1;
use crate::proto::v1::subject_service_server::SubjectService;
use crate::service::Subject;

/// Subjects on a page where the caller does not say, and at the most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;

#[tonic::async_trait]
impl SubjectService for Handlers {
    async fn create_subject(&self, request: Request<v1::CreateSubjectRequest>) -> Result<Response<v1::CreateSubjectResponse>, Status> {
        let request = self.admitted(request)?;
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
        Ok(Response::new(v1::CreateSubjectResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn grant_credits(&self, request: Request<v1::GrantCreditsRequest>) -> Result<Response<v1::GrantCreditsResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let grant = read::grant(&mut reader, &request);
        let command = subject.zip(grant.map(Administration::Grant));
        let subject = self.administrate(reader, command).await?;
        Ok(Response::new(v1::GrantCreditsResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn change_plan(&self, request: Request<v1::ChangePlanRequest>) -> Result<Response<v1::ChangePlanResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "ChangePlan", &request.request_id, &request.detail, &request);
        let plan = reader.id("plan", &request.plan, PlanId::new);
        let change = plan.map(|plan| Requested::ChangePlan { plan });
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::ChangePlanResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn cancel_subscription(
        &self,
        request: Request<v1::CancelSubscriptionRequest>,
    ) -> Result<Response<v1::CancelSubscriptionResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "CancelSubscription", &request.request_id, &request.detail, &request);
        let change = Some(Requested::Cancel { now: request.now });
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::CancelSubscriptionResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn set_seats(&self, request: Request<v1::SetSeatsRequest>) -> Result<Response<v1::SetSeatsResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "SetSeats", &request.request_id, &request.detail, &request);
        let change = read::set_seats(&mut reader, &request);
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::SetSeatsResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn set_add_on(&self, request: Request<v1::SetAddOnRequest>) -> Result<Response<v1::SetAddOnResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "SetAddOn", &request.request_id, &request.detail, &request);
        let change = read::set_add_on(&mut reader, &request);
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::SetAddOnResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn set_override(&self, request: Request<v1::SetOverrideRequest>) -> Result<Response<v1::SetOverrideResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "SetOverride", &request.request_id, &request.detail, &request);
        let change = read::set_override(&mut reader, &request);
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::SetOverrideResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn void_grant(&self, request: Request<v1::VoidGrantRequest>) -> Result<Response<v1::VoidGrantResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "VoidGrant", &request.request_id, &request.detail, &request);
        let change = reader.id("grant_id", &request.grant_id, GrantId::new).map(|grant| Requested::VoidGrant { grant });
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::VoidGrantResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn suspend_subject(&self, request: Request<v1::SuspendSubjectRequest>) -> Result<Response<v1::SuspendSubjectResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "SuspendSubject", &request.request_id, &request.detail, &request);
        let change = Some(Requested::Suspend);
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::SuspendSubjectResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn resume_subject(&self, request: Request<v1::ResumeSubjectRequest>) -> Result<Response<v1::ResumeSubjectResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "ResumeSubject", &request.request_id, &request.detail, &request);
        let change = Some(Requested::Resume);
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::ResumeSubjectResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn subscribe(&self, request: Request<v1::SubscribeRequest>) -> Result<Response<v1::SubscribeResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let known_by = read::request(&mut reader, "Subscribe", &request.request_id, &request.detail, &request);
        let change = read::subscribe(&mut reader, &request);
        let subject = self.requested(reader, subject, known_by, change).await?;
        Ok(Response::new(v1::SubscribeResponse { replayed: subject.replayed, subject: Some(show::subject(&subject)) }))
    }

    async fn preview_change(&self, request: Request<v1::PreviewChangeRequest>) -> Result<Response<v1::PreviewChangeResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let plan = reader.id("plan", &request.plan, PlanId::new);
        let at = reader.time("at", request.at.as_ref());
        let command = || Some((subject?, plan?, at?));
        let (subject, plan, at) = reader.finish(command()).map_err(status::of)?;
        let previewed = self.service.preview_change(subject, &plan, at).await.map_err(status::of)?;
        Ok(Response::new(show::preview(&previewed)))
    }

    async fn adjust_usage(&self, request: Request<v1::AdjustUsageRequest>) -> Result<Response<v1::AdjustUsageResponse>, Status> {
        let (subject, adjustment) = adjust::read(&self.admitted(request)?).map_err(status::of)?;
        let adjusted = self.change(|service| async move { service.adjust(subject, adjustment).await }).await?;
        Ok(Response::new(v1::AdjustUsageResponse {
            replayed: adjusted.subject.replayed,
            subject: Some(show::subject(&adjusted.subject)),
            balances: write::balances(&adjusted.balances),
        }))
    }

    async fn get_subject(&self, request: Request<v1::GetSubjectRequest>) -> Result<Response<v1::GetSubjectResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let subject = reader.finish(subject).map_err(status::of)?;
        let subject = self.service.subject(&subject).await.map_err(status::of)?;
        Ok(Response::new(v1::GetSubjectResponse { subject: Some(show::subject(&subject)) }))
    }

    async fn list_subjects(&self, request: Request<v1::ListSubjectsRequest>) -> Result<Response<v1::ListSubjectsResponse>, Status> {
        let request = self.admitted(request)?;
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
        Ok(Response::new(v1::ListSubjectsResponse { subjects: subjects.iter().map(show::subject).collect(), next_page_token }))
    }
}

impl Handlers {
    /// A change that is known by its request.
    async fn requested(
        &self,
        reader: Reader,
        subject: Option<SubjectId>,
        known_by: Option<administration::Request>,
        change: Option<Requested>,
    ) -> Result<Subject, Status> {
        let change = known_by.zip(change).map(|(request, change)| Administration::Requested(request, change));
        self.administrate(reader, subject.zip(change)).await
    }

    async fn administrate(&self, reader: Reader, command: Option<(SubjectId, Administration)>) -> Result<Subject, Status> {
        let (subject, change) = reader.finish(command).map_err(status::of)?;
        self.change(|service| async move { service.administrate(subject, change).await }).await
    }
}
