//! How an HTTP exchange ends: what was used is committed, what came to nothing is released.
//!
//! A gateway would ask again until it has an answer, and no gateway is there: so [`persist`] does. It runs in a task of its own, which neither Envoy
//! nor a client that goes away can cut in half.

use std::time::Duration;

use tonic::{Code, Status};

use super::Caller;
use super::asking::{self, Answered};
use crate::domain::reservation::Outcome;
use crate::grpc::{load, write};
use crate::proto::v1;
use crate::telemetry::context;

/// First pause before a settlement without an answer is tried again, and the longest; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often it is tried: for about two minutes. Past that a person has to look anyway, and holds of a store that is away so long would pile up
/// here.
const TRIES_MAX: u32 = 30;

/// What was asked for, and how it ended.
pub(super) struct Settlement {
    pub(super) caller: Caller,
    pub(super) asked: v1::ReserveRequest,
    /// False: it passed without a hold, because there was no answer.
    pub(super) is_held: bool,
    pub(super) outcome: Outcome,
    pub(super) answered: Answered,
    /// For people, such as `HTTP 503`.
    pub(super) detail: String,
}

/// What the customer was charged, for the headers of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Charged {
    pub(super) units: String,
    /// What is left of the meter; `None`: no end of it, or nothing was counted.
    pub(super) available: Option<String>,
}

impl Settlement {
    /// Settles, and tells what cannot be. `None`: nothing was charged, or nobody knows yet how much.
    pub(super) async fn run(self) -> Option<Charged> {
        let asked = &self.asked;
        for problem in &self.answered.problems {
            tracing::warn!(subject = asked.subject, reservation = asked.reservation_id, %problem, "an answer says what cannot be read; it is booked as reserved");
        }
        let settled = match (self.outcome, self.is_held) {
            (Outcome::Accepted, true) => self.commit().await,
            (Outcome::Accepted, false) => self.record(asking::own_id()).await,
            (Outcome::Unknown, true) => self.wait_for_its_end().await.map(|()| None),
            (_, true) => self.release(self.outcome, &self.detail, self.answered.cost.clone()).await.map(|()| None),
            (outcome, false) => {
                if outcome == Outcome::Unknown || self.answered.cost.is_some() {
                    tracing::error!(
                        subject = asked.subject,
                        detail = self.detail,
                        "passed without a hold, and how it ended is booked nowhere"
                    );
                }
                Ok(None)
            }
        };
        settled.unwrap_or_else(|status| {
            let (code, problem) = (status.code(), status.message());
            tracing::error!(
                subject = asked.subject,
                reservation = asked.reservation_id,
                ?code,
                problem,
                "what Envoy's upstream did is not booked"
            );
            None
        })
    }

    /// Charges what was delivered, at the target that ran it.
    async fn commit(&self) -> Result<Option<Charged>, Status> {
        if let Some(target) = self.answered.target.as_ref().filter(|target| Some(*target) != self.asked.target.as_ref())
            && !self.fail_over(target).await
        {
            // It has run there all the same: what was used is never dropped, whatever the policy or the funds. The hold goes back first, so
            // that it can pay for it, unless it has expired; what the provider bills is that of the usage.
            let usage = asking::own_id();
            if let Err(status) = self.release(Outcome::Failed, &format!("ran on another target, booked as usage {usage}"), None).await {
                let (subject, reservation, problem) = (&self.asked.subject, &self.asked.reservation_id, status.message());
                tracing::warn!(subject, reservation, problem, "a hold is not given back for usage on another target");
            }
            return self.record(usage).await;
        }
        let request = v1::CommitRequest {
            subject: self.asked.subject.clone(),
            reservation_id: self.asked.reservation_id.clone(),
            work: self.answered.work.clone(),
            billed_cost: self.answered.cost.clone(),
            ..v1::CommitRequest::default()
        };
        let committed = match persist(|| self.caller.commit(request.clone())).await {
            Err(status) if status.code() == Code::InvalidArgument => {
                self.tell_unusable(&status);
                let as_reserved = v1::CommitRequest { work: None, billed_cost: None, ..request };
                persist(|| self.caller.commit(as_reserved.clone())).await
            }
            committed => committed,
        }?;
        Ok(Charged::of(committed.reservation, &committed.balances).filter(|_| !committed.queued))
    }

    /// Closes the attempt at the planned target, which the upstream gave up, and opens the next where it went. False: the hold is as it was.
    async fn fail_over(&self, target: &v1::Target) -> bool {
        let request = v1::RetryRequest {
            subject: self.asked.subject.clone(),
            reservation_id: self.asked.reservation_id.clone(),
            attempt: 1,
            outcome: v1::Outcome::Failed.into(),
            next_target: Some(target.clone()),
            reason: v1::AttemptReason::Failover.into(),
            ..v1::RetryRequest::default()
        };
        let problem = match persist(|| self.caller.retry(request.clone())).await {
            Ok(v1::RetryResponse { outcome: Some(v1::retry_response::Outcome::Reservation(_)), .. }) => return true,
            Ok(v1::RetryResponse { outcome: Some(v1::retry_response::Outcome::Denial(denial)), .. }) => denial.message,
            Ok(v1::RetryResponse { outcome: None, .. }) => String::new(),
            Err(status) => status.message().to_owned(),
        };
        let (subject, reservation, provider, model) = (&self.asked.subject, &self.asked.reservation_id, &target.provider, &target.model);
        tracing::warn!(
            subject,
            reservation,
            provider,
            model,
            problem,
            "the upstream failed over where the hold cannot follow; booked as usage"
        );
        false
    }

    /// Books usage without a hold.
    async fn record(&self, usage: String) -> Result<Option<Charged>, Status> {
        let work = self.answered.work.clone().or_else(|| self.asked.work.clone());
        let target = self.answered.target.clone().or_else(|| self.asked.target.clone());
        let asked = v1::ReserveRequest { reservation_id: usage, ..self.asked.clone() };
        let request = v1::RecordUsageRequest { work, target, billed_cost: self.answered.cost.clone(), ..asking::record(asked) };
        let recorded = match persist(|| self.caller.record(request.clone())).await {
            Err(status) if status.code() == Code::InvalidArgument => {
                self.tell_unusable(&status);
                let (target, work) = (self.asked.target.clone(), self.asked.work.clone());
                let as_asked = v1::RecordUsageRequest { target, work, billed_cost: None, ..request };
                persist(|| self.caller.record(as_asked.clone())).await
            }
            recorded => recorded,
        }?;
        Ok(Charged::of(recorded.reservation, &recorded.balances).filter(|_| !recorded.queued))
    }

    async fn release(&self, outcome: Outcome, detail: &str, billed_cost: Option<String>) -> Result<(), Status> {
        let request = v1::ReleaseRequest {
            subject: self.asked.subject.clone(),
            reservation_id: self.asked.reservation_id.clone(),
            outcome: write::outcome(outcome).into(),
            detail: detail.to_owned(),
            billed_cost,
            ..v1::ReleaseRequest::default()
        };
        match persist(|| self.caller.release(request.clone())).await {
            Err(status) if status.code() == Code::InvalidArgument && request.billed_cost.is_some() => {
                self.tell_unusable(&status);
                let at_the_price = v1::ReleaseRequest { billed_cost: None, ..request };
                persist(|| self.caller.release(at_the_price.clone())).await.map(|_| ())
            }
            released => released.map(|_| ()),
        }
    }

    /// Keeps the hold for whoever knows later how it ended, until its deadline (L7).
    async fn wait_for_its_end(&self) -> Result<(), Status> {
        let request = v1::ExtendRequest {
            subject: self.asked.subject.clone(),
            reservation_id: self.asked.reservation_id.clone(),
            ttl: self.asked.ttl,
            outcome_unknown: true,
        };
        persist(|| self.caller.extend(request.clone())).await.map(|_| ())
    }

    fn tell_unusable(&self, status: &Status) {
        let (subject, reservation, problem) = (&self.asked.subject, &self.asked.reservation_id, status.message());
        tracing::warn!(subject, reservation, problem, "what an answer says cannot be booked; it is booked as reserved");
    }
}

impl Charged {
    fn of(reservation: Option<v1::Reservation>, balances: &[v1::Balance]) -> Option<Self> {
        let balance = balances.first().filter(|balance| !balance.unlimited);
        Some(Self { units: reservation?.units_committed, available: balance.map(|balance| balance.available.clone()) })
    }
}

/// Gives back what may be held for a request of which nobody heard whether it was granted.
pub(super) fn give_back(caller: &Caller, asked: &v1::ReserveRequest) {
    let request = v1::ReleaseRequest {
        subject: asked.subject.clone(),
        reservation_id: asked.reservation_id.clone(),
        outcome: v1::Outcome::Cancelled.into(),
        detail: "nobody heard whether it was granted".to_owned(),
        ..v1::ReleaseRequest::default()
    };
    let (tasks, caller) = (caller.handlers.tasks.clone(), caller.clone());
    tasks.spawn(context::carried(load::kept(async move {
        match persist(|| caller.release(request.clone())).await {
            Err(status) if status.code() != Code::NotFound => {
                let (subject, reservation, problem) = (&request.subject, &request.reservation_id, status.message());
                tracing::warn!(subject, reservation, problem, "what may be held is not given back; it expires");
            }
            _ => {}
        }
    })));
}

/// Asks until there is an answer, or for as long as is sensible. Every settlement may be repeated.
pub(super) async fn persist<T, F: Future<Output = Result<T, Status>>>(ask: impl Fn() -> F) -> Result<T, Status> {
    let mut pause = PAUSE_FIRST;
    for _ in 1..TRIES_MAX {
        match ask().await {
            Err(status) if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) => {}
            answered => return answered,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    ask().await
}
