//! One subject as gateways and billing systems see it.

use genquota::proto::v1::cost_service_client::CostServiceClient;
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use genquota::proto::v1::subject_service_client::SubjectServiceClient;
use genquota::proto::v1::{self, reserve_response};
use tonic::Status;
use tonic::transport::Channel;

use crate::ask::Ask;
use crate::harness::subjects;

#[derive(Clone)]
pub struct Caller {
    pub subject: String,
    channel: Channel,
}

/// Everything that can be seen of a subject, and of all others that were created.
#[derive(Debug, PartialEq)]
pub struct Seen {
    balances: Vec<v1::GetBalanceResponse>,
    subjects: Vec<v1::Subject>,
}

impl Caller {
    pub fn new(channel: Channel, subject: &str) -> Self {
        Self { subject: subject.to_owned(), channel }
    }

    pub fn quota(&self) -> QuotaServiceClient<Channel> {
        QuotaServiceClient::new(self.channel.clone())
    }

    pub fn admin(&self) -> SubjectServiceClient<Channel> {
        SubjectServiceClient::new(self.channel.clone())
    }

    pub async fn reserve(&self, ask: &Ask) -> Result<v1::ReserveResponse, Status> {
        let request = v1::ReserveRequest { subject: self.subject.clone(), ..ask.0.clone() };
        Ok(self.quota().reserve(request).await?.into_inner())
    }

    /// A reserve that must be granted.
    pub async fn held(&self, ask: &Ask) -> v1::Reservation {
        match self.reserve(ask).await.unwrap().outcome {
            Some(reserve_response::Outcome::Reservation(reservation)) => reservation,
            other => panic!("granted: {other:?}"),
        }
    }

    /// A reserve that must be denied.
    pub async fn denied(&self, ask: &Ask) -> v1::Denial {
        match self.reserve(ask).await.unwrap().outcome {
            Some(reserve_response::Outcome::Denial(denial)) => denial,
            other => panic!("denied: {other:?}"),
        }
    }

    /// A reserve that must be denied, for this reason first.
    pub async fn denied_for(&self, ask: &Ask, reason: v1::DenialReason) -> v1::Denial {
        let denial = self.denied(ask).await;
        assert_eq!(denial.reason(), reason, "{denial:?}");
        denial
    }

    /// Reserves and commits as asked.
    pub async fn used(&self, ask: &Ask) -> v1::Reservation {
        self.held(ask).await;
        self.committed(ask.key()).await
    }

    pub async fn commit(&self, id: &str, with: impl FnOnce(&mut v1::CommitRequest)) -> Result<v1::CommitResponse, Status> {
        let mut request =
            v1::CommitRequest { subject: self.subject.clone(), reservation_id: id.to_owned(), ..v1::CommitRequest::default() };
        with(&mut request);
        Ok(self.quota().commit(request).await?.into_inner())
    }

    /// A commit as asked, which must go through.
    pub async fn committed(&self, id: &str) -> v1::Reservation {
        self.commit(id, |_| {}).await.unwrap().reservation.unwrap()
    }

    /// A commit of other work than asked, which must go through.
    pub async fn delivered(&self, id: &str, work: v1::Work) -> v1::Reservation {
        self.commit(id, |request| request.work = Some(work)).await.unwrap().reservation.unwrap()
    }

    pub async fn release(&self, id: &str, with: impl FnOnce(&mut v1::ReleaseRequest)) -> Result<v1::ReleaseResponse, Status> {
        let mut request =
            v1::ReleaseRequest { subject: self.subject.clone(), reservation_id: id.to_owned(), ..v1::ReleaseRequest::default() };
        with(&mut request);
        Ok(self.quota().release(request).await?.into_inner())
    }

    pub async fn retry(&self, id: &str, attempt: i32, with: impl FnOnce(&mut v1::RetryRequest)) -> Result<v1::RetryResponse, Status> {
        let mut request =
            v1::RetryRequest { subject: self.subject.clone(), reservation_id: id.to_owned(), attempt, ..v1::RetryRequest::default() };
        with(&mut request);
        Ok(self.quota().retry(request).await?.into_inner())
    }

    /// A retry that must be granted: the reservation, and the event of the attempt that was closed.
    pub async fn retried(&self, id: &str, attempt: i32, with: impl FnOnce(&mut v1::RetryRequest)) -> (v1::Reservation, v1::CostEvent) {
        let mut answer = self.retry(id, attempt, with).await.unwrap();
        match answer.outcome {
            Some(v1::retry_response::Outcome::Reservation(reservation)) => (reservation, answer.events.remove(0)),
            other => panic!("granted: {other:?}"),
        }
    }

    /// A retry that must be denied.
    pub async fn not_retried(&self, id: &str, attempt: i32, with: impl FnOnce(&mut v1::RetryRequest)) -> v1::Denial {
        match self.retry(id, attempt, with).await.unwrap().outcome {
            Some(v1::retry_response::Outcome::Denial(denial)) => denial,
            other => panic!("denied: {other:?}"),
        }
    }

    /// Holds on, not knowing how the attempt ended.
    pub async fn extend_unknown(&self, id: &str) -> v1::Reservation {
        let request = v1::ExtendRequest {
            subject: self.subject.clone(),
            reservation_id: id.to_owned(),
            outcome_unknown: true,
            ..v1::ExtendRequest::default()
        };
        self.quota().extend(request).await.unwrap().into_inner().reservation.unwrap()
    }

    pub async fn refund(&self, id: &str, request_id: &str, units: Option<&str>) -> Result<v1::RefundResponse, Status> {
        let request = v1::RefundRequest {
            subject: self.subject.clone(),
            reservation_id: id.to_owned(),
            units: units.map(str::to_owned),
            request_id: request_id.to_owned(),
            ..v1::RefundRequest::default()
        };
        Ok(self.quota().refund(request).await?.into_inner())
    }

    /// A refund that must go through.
    pub async fn refunded(&self, id: &str, request_id: &str, units: Option<&str>) -> v1::Reservation {
        let answer = self.refund(id, request_id, units).await.unwrap();
        assert!(!answer.replayed, "{answer:?}");
        answer.reservation.unwrap()
    }

    /// Corrects an account, under a request id.
    pub async fn adjust(&self, request_id: &str, account: v1::Account, units: &str) -> Result<v1::AdjustUsageResponse, Status> {
        let request = v1::AdjustUsageRequest {
            subject: self.subject.clone(),
            account: Some(account),
            units: units.to_owned(),
            request_id: request_id.to_owned(),
            ..v1::AdjustUsageRequest::default()
        };
        Ok(self.admin().adjust_usage(request).await?.into_inner())
    }

    pub async fn summary(&self, with: impl FnOnce(&mut v1::SummarizeCostsRequest)) -> Result<Vec<v1::CostRow>, Status> {
        let mut request = v1::SummarizeCostsRequest::default();
        with(&mut request);
        Ok(self.costs().summarize_costs(request).await?.into_inner().rows)
    }

    pub async fn usage(&self, with: impl FnOnce(&mut v1::GetUsageRequest)) -> Result<v1::GetUsageResponse, Status> {
        let mut request = v1::GetUsageRequest { subject: self.subject.clone(), ..v1::GetUsageRequest::default() };
        with(&mut request);
        Ok(self.quota().get_usage(request).await?.into_inner())
    }

    pub async fn generations(&self, with: impl FnOnce(&mut v1::ListGenerationsRequest)) -> Result<v1::ListGenerationsResponse, Status> {
        let mut request = v1::ListGenerationsRequest { subject: self.subject.clone(), ..v1::ListGenerationsRequest::default() };
        with(&mut request);
        Ok(self.quota().list_generations(request).await?.into_inner())
    }

    pub fn costs(&self) -> CostServiceClient<Channel> {
        CostServiceClient::new(self.channel.clone())
    }

    pub async fn extend(&self, id: &str, ttl: Option<i64>) -> Result<v1::Reservation, Status> {
        let ttl = ttl.map(crate::ask::seconds_of);
        let request =
            v1::ExtendRequest { subject: self.subject.clone(), reservation_id: id.to_owned(), ttl, ..v1::ExtendRequest::default() };
        Ok(self.quota().extend(request).await?.into_inner().reservation.unwrap())
    }

    pub async fn reservation(&self, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::GetReservationRequest { subject: self.subject.clone(), reservation_id: id.to_owned() };
        Ok(self.quota().get_reservation(request).await?.into_inner().reservation.unwrap())
    }

    /// Records what an ask would have used, under its id.
    pub async fn record(&self, ask: &Ask, with: impl FnOnce(&mut v1::RecordUsageRequest)) -> Result<v1::RecordUsageResponse, Status> {
        let mut request = v1::RecordUsageRequest {
            subject: self.subject.clone(),
            user: ask.0.user.clone(),
            usage_id: ask.0.reservation_id.clone(),
            generation_id: ask.0.generation_id.clone(),
            action: ask.0.action.clone(),
            target: ask.0.target.clone(),
            work: ask.0.work.clone(),
            labels: ask.0.labels.clone(),
            ..v1::RecordUsageRequest::default()
        };
        with(&mut request);
        Ok(self.quota().record_usage(request).await?.into_inner())
    }

    /// Quotes what an ask would take at each of these targets.
    pub async fn quote(&self, ask: &Ask, targets: &[&str]) -> Result<v1::QuoteResponse, Status> {
        let request = v1::QuoteRequest {
            subject: self.subject.clone(),
            user: ask.0.user.clone(),
            action: ask.0.action.clone(),
            work: ask.0.work.clone(),
            targets: targets.iter().map(|target| crate::ask::target(target)).collect(),
            planned_target: ask.0.planned_target.clone(),
        };
        Ok(self.quota().quote(request).await?.into_inner())
    }

    pub async fn all_balances(&self, user: &str) -> v1::GetBalanceResponse {
        let request = v1::GetBalanceRequest { subject: self.subject.clone(), user: user.to_owned() };
        self.quota().get_balance(request).await.unwrap().into_inner()
    }

    /// The balance of the one meter, of what a user may draw on.
    pub async fn balance_of(&self, user: &str) -> v1::Balance {
        let mut balances = self.all_balances(user).await.balances;
        assert_eq!(balances.len(), 1, "{balances:?}");
        balances.remove(0)
    }

    pub async fn balance(&self) -> v1::Balance {
        self.balance_of("").await
    }

    /// What is available of the one meter.
    pub async fn left(&self) -> String {
        self.balance().await.available
    }

    pub async fn left_for(&self, user: &str) -> String {
        self.balance_of(user).await.available
    }

    pub async fn create(&self, zone: &str) -> Result<v1::CreateSubjectResponse, Status> {
        let request =
            v1::CreateSubjectRequest { subject: self.subject.clone(), time_zone: zone.to_owned(), ..v1::CreateSubjectRequest::default() };
        Ok(self.admin().create_subject(request).await?.into_inner())
    }

    pub async fn subscribe(&self, plan: &str, with: impl FnOnce(&mut v1::SubscribeRequest)) -> Result<v1::SubscribeResponse, Status> {
        let mut request = v1::SubscribeRequest {
            subject: self.subject.clone(),
            request_id: format!("subscribe-{plan}"),
            plan: plan.to_owned(),
            ..v1::SubscribeRequest::default()
        };
        with(&mut request);
        Ok(self.admin().subscribe(request).await?.into_inner())
    }

    /// Credits of the meter `units`.
    pub async fn grant(
        &self,
        id: &str,
        units: &str,
        with: impl FnOnce(&mut v1::GrantCreditsRequest),
    ) -> Result<v1::GrantCreditsResponse, Status> {
        let mut request = v1::GrantCreditsRequest {
            subject: self.subject.clone(),
            grant_id: id.to_owned(),
            meter: "units".to_owned(),
            units: units.to_owned(),
            ..v1::GrantCreditsRequest::default()
        };
        with(&mut request);
        Ok(self.admin().grant_credits(request).await?.into_inner())
    }

    pub async fn void(&self, grant: &str) -> Result<v1::VoidGrantResponse, Status> {
        let request = v1::VoidGrantRequest {
            subject: self.subject.clone(),
            request_id: format!("void-{grant}"),
            grant_id: grant.to_owned(),
            ..v1::VoidGrantRequest::default()
        };
        Ok(self.admin().void_grant(request).await?.into_inner())
    }

    pub async fn shown(&self) -> Result<v1::Subject, Status> {
        let request = v1::GetSubjectRequest { subject: self.subject.clone() };
        Ok(self.admin().get_subject(request).await?.into_inner().subject.unwrap())
    }

    /// Everything there is to see, to compare before and after.
    pub async fn seen(&self, users: &[&str]) -> Seen {
        let mut balances = vec![self.all_balances("").await];
        for user in users {
            balances.push(self.all_balances(user).await);
        }
        Seen { balances, subjects: subjects(&self.channel).await }
    }
}
