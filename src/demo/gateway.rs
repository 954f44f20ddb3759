//! The gateway's side of the API: one call for each thing a gateway does about a generation, over a real connection.
//!
//! Keeps no state but its clients, and judges nothing: what the answers mean is `day`'s. Ids follow from the request and the attempt alone,
//! so a call can be repeated.

use std::time::Duration;

use anyhow::{Context, ensure};
use tonic::transport::Channel;

use super::story::{Customer, Model, Reply, Request};
use crate::client::{self, ServerAddress};
use crate::proto::v1;
use crate::proto::v1::quota_service_client::QuotaServiceClient;
use crate::proto::v1::subject_service_client::SubjectServiceClient;

/// Longest wait for an answer; the server is in this process.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The meter of the bundled catalog.
pub const METER: &str = "credits";

/// One attempt of a generation: the nth, at a target.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub request: std::rc::Rc<Request>,
    /// 1 for the first.
    pub number: usize,
    pub target: Model,
    /// What it was planned for.
    pub planned: Model,
}

/// How the provider bills an attempt that delivered nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bill {
    /// As its outcome says.
    Usual,
    /// The whole work, this many outputs.
    AllTheSame { count: i64 },
}

pub struct Gateway {
    quota: QuotaServiceClient<Channel>,
    subjects: SubjectServiceClient<Channel>,
}

impl Attempt {
    fn reservation(&self) -> String {
        format!("r{:04}-{}", self.request.number, self.number)
    }

    fn work(&self, count: i64) -> v1::Work {
        let measures = self.request.measures.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
        let attributes = self.request.attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        v1::Work { items: vec![v1::Item { count: Some(count), measures, attributes }] }
    }

    fn reserve(&self) -> v1::ReserveRequest {
        let request = &self.request;
        v1::ReserveRequest {
            subject: request.customer.name.to_owned(),
            user: request.user.to_owned(),
            reservation_id: self.reservation(),
            generation_id: format!("g{:04}", request.number),
            action: request.action.to_owned(),
            target: Some(wire(self.target)),
            planned_target: Some(wire(self.planned)),
            work: Some(self.work(request.count)),
            accept_fewer: request.accept_fewer,
            ..Default::default()
        }
    }
}

impl Gateway {
    pub async fn connect(server: &ServerAddress) -> anyhow::Result<Self> {
        let channel = client::connect(server, TIMEOUT).await?;
        Ok(Self { quota: QuotaServiceClient::new(channel.clone()), subjects: SubjectServiceClient::new(channel) })
    }

    /// Makes a subject as its customer signed up: with its plan, if any, and the credits it has bought.
    pub async fn sign_up(&mut self, customer: &Customer) -> anyhow::Result<()> {
        let subject = customer.name.to_owned();
        let request = v1::CreateSubjectRequest { subject: subject.clone(), ..Default::default() };
        self.subjects.create_subject(request).await.context("CreateSubject")?;
        if let Some(plan) = customer.plan {
            let request = v1::SubscribeRequest { subject, request_id: "start".to_owned(), plan: plan.to_owned(), ..Default::default() };
            self.subjects.subscribe(request).await.context("Subscribe")?;
        }
        match customer.credits {
            Some(units) => self.buy(customer, "bought-before", units).await,
            None => Ok(()),
        }
    }

    /// Takes note that a customer has bought credits.
    pub async fn buy(&mut self, customer: &Customer, grant: &str, units: &str) -> anyhow::Result<()> {
        let request = v1::GrantCreditsRequest {
            subject: customer.name.to_owned(),
            grant_id: grant.to_owned(),
            meter: METER.to_owned(),
            units: units.to_owned(),
            kind: v1::GrantKind::Purchased.into(),
            ..Default::default()
        };
        self.subjects.grant_credits(request).await.context("GrantCredits")?;
        Ok(())
    }

    /// Asks for a hold. Where the reply gets lost, it is asked again in the same words.
    pub async fn reserve(&mut self, attempt: &Attempt) -> anyhow::Result<v1::ReserveResponse> {
        let lost = attempt.number == 1 && attempt.request.lost_reply == Some(Reply::Reserve);
        if lost {
            self.quota.reserve(attempt.reserve()).await.context("Reserve")?;
        }
        let answer = self.quota.reserve(attempt.reserve()).await.context("Reserve")?.into_inner();
        let held = matches!(answer.outcome, Some(v1::reserve_response::Outcome::Reservation(_)));
        ensure!(answer.replayed == (lost && held), "Reserve was repeated and is not told from a first call");
        Ok(answer)
    }

    /// Charges what was delivered. Where the reply gets lost, it is said again in the same words.
    pub async fn commit(&mut self, attempt: &Attempt, delivered: i64) -> anyhow::Result<v1::CommitResponse> {
        let request = v1::CommitRequest {
            subject: attempt.request.customer.name.to_owned(),
            reservation_id: attempt.reservation(),
            work: Some(attempt.work(delivered)),
            ..Default::default()
        };
        let lost = attempt.request.lost_reply == Some(Reply::Commit);
        if lost {
            self.quota.commit(request.clone()).await.context("Commit")?;
        }
        let answer = self.quota.commit(request).await.context("Commit")?.into_inner();
        ensure!(answer.replayed == lost, "Commit was repeated and is not told from a first call");
        Ok(answer)
    }

    /// Gives everything back.
    pub async fn release(&mut self, attempt: &Attempt, outcome: v1::Outcome, bill: Bill) -> anyhow::Result<v1::ReleaseResponse> {
        let request = v1::ReleaseRequest {
            subject: attempt.request.customer.name.to_owned(),
            reservation_id: attempt.reservation(),
            outcome: outcome.into(),
            billed_work: match bill {
                Bill::Usual => None,
                Bill::AllTheSame { count } => Some(attempt.work(count)),
            },
            ..Default::default()
        };
        Ok(self.quota.release(request).await.context("Release")?.into_inner())
    }

    /// Prices the fallbacks of a request.
    pub async fn quote(&mut self, request: &Request, planned: Model) -> anyhow::Result<v1::QuoteResponse> {
        let attempt = Attempt { request: std::rc::Rc::new(request.clone()), number: 1, target: planned, planned };
        let request = v1::QuoteRequest {
            subject: request.customer.name.to_owned(),
            user: request.user.to_owned(),
            action: request.action.to_owned(),
            work: Some(attempt.work(request.count)),
            targets: request.fallbacks.iter().copied().map(wire).collect(),
            planned_target: Some(wire(planned)),
        };
        Ok(self.quota.quote(request).await.context("Quote")?.into_inner())
    }

    pub async fn reservation(&mut self, attempt: &Attempt) -> anyhow::Result<v1::Reservation> {
        let subject = attempt.request.customer.name.to_owned();
        let request = v1::GetReservationRequest { subject, reservation_id: attempt.reservation() };
        let answer = self.quota.get_reservation(request).await.context("GetReservation")?.into_inner();
        answer.reservation.context("GetReservation answers without a reservation")
    }

    pub async fn balance(&mut self, customer: &Customer) -> anyhow::Result<v1::GetBalanceResponse> {
        let request = v1::GetBalanceRequest { subject: customer.name.to_owned(), user: String::new() };
        Ok(self.quota.get_balance(request).await.context("GetBalance")?.into_inner())
    }
}

fn wire(model: Model) -> v1::Target {
    v1::Target { provider: model.provider.to_owned(), model: model.name.to_owned() }
}
