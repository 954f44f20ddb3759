//! `QuotaService`: what gateways call.

use tonic::{Request, Response, Status};

use super::read::{Reader, fingerprint};
use super::{Handlers, status, write};
use crate::domain::ids::{ActionId, GenerationId, IdError, RequestId, ReservationId, SubjectId, TraceId, UserId};
use crate::domain::reservation::Outcome;
use crate::domain::retry::NextAttempt;
use crate::domain::settlement::Ending;
use crate::proto::v1;
use crate::proto::v1::quota_service_server::QuotaService;
use crate::service::{
    ExtendCommand, Offer, QuoteCommand, RecordCommand, RefundCommand, ReserveCommand, RetryCommand, ServiceError, SettleCommand, Settled,
};
use crate::telemetry::context::trace_id;

mod history;
mod page_token;
mod usage;

/// How an attempt may end that is given back.
const RELEASE_OUTCOMES: [Outcome; 5] = [Outcome::Failed, Outcome::Rejected, Outcome::Blocked, Outcome::Cancelled, Outcome::Unknown];
/// How usage may have ended that is recorded.
const RECORD_OUTCOMES: [Outcome; 6] =
    [Outcome::Accepted, Outcome::Failed, Outcome::Rejected, Outcome::Blocked, Outcome::Cancelled, Outcome::Unknown];

#[tonic::async_trait]
impl QuotaService for Handlers {
    async fn reserve(&self, request: Request<v1::ReserveRequest>) -> Result<Response<v1::ReserveResponse>, Status> {
        let command = read_reserve(&self.admitted(request)?).map_err(status::of)?;
        let asked = self.telemetry.asked(&command.subject, &command.action, command.target.as_ref(), command.validate_only);
        let reserved = self.change(|service| async move { service.reserve(command).await }).await?;
        asked.decided(reserved.outcome.as_ref().map(|reservation| &*reservation.row), reserved.replayed);
        let outcome = match &reserved.outcome {
            Ok(reservation) => v1::reserve_response::Outcome::Reservation(write::reservation(reservation)),
            Err(denial) => v1::reserve_response::Outcome::Denial(write::denial(denial)),
        };
        Ok(Response::new(v1::ReserveResponse {
            outcome: Some(outcome),
            balances: write::balances(&reserved.balances),
            replayed: reserved.replayed,
        }))
    }

    async fn commit(&self, request: Request<v1::CommitRequest>) -> Result<Response<v1::CommitResponse>, Status> {
        let command = read_commit(&self.admitted(request)?, trace_id()).map_err(status::of)?;
        let settled = self.change(|service| async move { service.settle(command).await }).await?;
        self.tell(&settled);
        Ok(Response::new(v1::CommitResponse {
            reservation: settled.reservation.as_ref().map(write::reservation),
            balances: write::balances(&settled.balances),
            events: events(&settled),
            replayed: settled.replayed,
            queued: settled.queued,
        }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        let command = read_release(&self.admitted(request)?, trace_id()).map_err(status::of)?;
        let settled = self.change(|service| async move { service.settle(command).await }).await?;
        self.tell(&settled);
        Ok(Response::new(v1::ReleaseResponse {
            reservation: settled.reservation.as_ref().map(write::reservation),
            balances: write::balances(&settled.balances),
            events: events(&settled),
            replayed: settled.replayed,
            queued: settled.queued,
        }))
    }

    async fn retry(&self, request: Request<v1::RetryRequest>) -> Result<Response<v1::RetryResponse>, Status> {
        let command = read_retry(&self.admitted(request)?, trace_id()).map_err(status::of)?;
        let asked = self.telemetry.asked_again(&command.subject);
        let retried = self.change(|service| async move { service.retry(command).await }).await?;
        let answer = &retried.answer;
        asked.decided(answer.outcome.as_ref().map(|reservation| &*reservation.row), answer.replayed);
        let outcome = match &answer.outcome {
            Ok(reservation) => v1::retry_response::Outcome::Reservation(write::reservation(reservation)),
            Err(denial) => v1::retry_response::Outcome::Denial(write::denial(denial)),
        };
        Ok(Response::new(v1::RetryResponse {
            outcome: Some(outcome),
            balances: write::balances(&answer.balances),
            replayed: answer.replayed,
            events: retried.event.iter().map(write::cost_event).collect(),
        }))
    }

    async fn extend(&self, request: Request<v1::ExtendRequest>) -> Result<Response<v1::ExtendResponse>, Status> {
        let command = read_extend(&self.admitted(request)?).map_err(status::of)?;
        let reservation = self.change(|service| async move { service.extend(command).await }).await?;
        self.telemetry.settled(&reservation.subject, &reservation.row, false);
        Ok(Response::new(v1::ExtendResponse { reservation: Some(write::reservation(&reservation)) }))
    }

    async fn refund(&self, request: Request<v1::RefundRequest>) -> Result<Response<v1::RefundResponse>, Status> {
        let command = read_refund(&self.admitted(request)?).map_err(status::of)?;
        let refunded = self.change(|service| async move { service.refund(command).await }).await?;
        self.telemetry.refunded(&refunded.reservation.subject, &refunded.reservation.row, refunded.replayed);
        Ok(Response::new(v1::RefundResponse {
            reservation: Some(write::reservation(&refunded.reservation)),
            balances: write::balances(&refunded.balances),
            replayed: refunded.replayed,
        }))
    }

    async fn record_usage(&self, request: Request<v1::RecordUsageRequest>) -> Result<Response<v1::RecordUsageResponse>, Status> {
        let command = read_record(&self.admitted(request)?, trace_id()).map_err(status::of)?;
        let settled = self.change(|service| async move { service.record_usage(command).await }).await?;
        self.tell(&settled);
        Ok(Response::new(v1::RecordUsageResponse {
            reservation: settled.reservation.as_ref().map(write::reservation),
            balances: write::balances(&settled.balances),
            replayed: settled.replayed,
            queued: settled.queued,
        }))
    }

    async fn quote(&self, request: Request<v1::QuoteRequest>) -> Result<Response<v1::QuoteResponse>, Status> {
        let command = read_quote(&self.admitted(request)?).map_err(status::of)?;
        let quotation = self.service.quote(command).await.map_err(status::of)?;
        Ok(Response::new(v1::QuoteResponse {
            offers: quotation.offers.iter().map(offer).collect(),
            currency: quotation.currency.to_string(),
            catalog_version: quotation.catalog.to_string(),
        }))
    }

    async fn get_reservation(&self, request: Request<v1::GetReservationRequest>) -> Result<Response<v1::GetReservationResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let id = reader.id("reservation_id", &request.reservation_id, ReservationId::new);
        let (subject, id) = reader.finish(subject.zip(id)).map_err(status::of)?;
        let reservation = self.service.reservation(subject, &id).await.map_err(status::of)?;
        Ok(Response::new(v1::GetReservationResponse { reservation: Some(write::reservation(&reservation)) }))
    }

    async fn get_balance(&self, request: Request<v1::GetBalanceRequest>) -> Result<Response<v1::GetBalanceResponse>, Status> {
        let request = self.admitted(request)?;
        let mut reader = Reader::default();
        let subject = reader.id("subject", &request.subject, SubjectId::new);
        let user = reader.optional_id("user", &request.user, UserId::new);
        let (subject, user) = reader.finish(subject.zip(user)).map_err(status::of)?;
        let balance = self.service.subject_balance(&subject, user.as_ref()).await.map_err(status::of)?;
        Ok(Response::new(v1::GetBalanceResponse {
            balances: write::balances(&balance.balances),
            plan: write::text(balance.plan.as_ref()),
            period_start_time: balance.period.map(|period| write::time(period.start)),
            period_end_time: balance.period.map(|period| write::time(period.end)),
        }))
    }

    async fn get_usage(&self, request: Request<v1::GetUsageRequest>) -> Result<Response<v1::GetUsageResponse>, Status> {
        let command = usage::read_usage(&self.admitted(request)?).map_err(status::of)?;
        let usage = self.service.usage(command).await.map_err(status::of)?;
        Ok(Response::new(usage::usage(&usage)))
    }

    async fn list_generations(
        &self,
        request: Request<v1::ListGenerationsRequest>,
    ) -> Result<Response<v1::ListGenerationsResponse>, Status> {
        let (command, filters) = history::read_generations(&self.admitted(request)?).map_err(status::of)?;
        let page = self.service.generations(command).await.map_err(status::of)?;
        Ok(Response::new(history::generations(&page, filters)))
    }
}

impl Handlers {
    /// Tells the trace what became of a settlement.
    fn tell(&self, settled: &Settled) {
        match &settled.reservation {
            Some(reservation) if !settled.queued => self.telemetry.settled(&reservation.subject, &reservation.row, settled.replayed),
            _ => self.telemetry.queued(),
        }
    }
}

fn read_reserve(request: &v1::ReserveRequest) -> Result<ReserveCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let user = reader.optional_id("user", &request.user, UserId::new);
    let id = reader.id("reservation_id", &request.reservation_id, ReservationId::new);
    let generation = generation(&mut reader, &request.generation_id, &request.reservation_id);
    let action = reader.id("action", &request.action, ActionId::new);
    let target = reader.target("target", request.target.as_ref());
    let planned_target = reader.target("planned_target", request.planned_target.as_ref());
    let fallbacks = reader.targets("fallbacks", &request.fallbacks);
    let work = reader.asked_work("work", request.work.as_ref());
    let ttl = reader.duration("ttl", request.ttl.as_ref());
    let labels = reader.labels(&request.labels);
    let command = || {
        Some(ReserveCommand {
            subject: subject?,
            user: user?,
            id: id?,
            generation: generation?,
            action: action?,
            target: target?,
            planned_target: planned_target?,
            fallbacks: fallbacks?,
            work: work?,
            ttl: ttl?,
            accept_fewer: request.accept_fewer,
            validate_only: request.validate_only,
            labels: labels?,
            // To try a request first does not make it another one.
            fingerprint: fingerprint("Reserve", &v1::ReserveRequest { validate_only: false, ..request.clone() }),
        })
    };
    let command = command();
    reader.finish(command)
}

fn read_commit(request: &v1::CommitRequest, trace: Option<TraceId>) -> Result<SettleCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let id = reader.id("reservation_id", &request.reservation_id, ReservationId::new);
    let delivered = reader.optional_work("work", request.work.as_ref());
    let billing = reader.billing(request.billed_work.as_ref(), request.billed_cost.as_deref());
    let command = || {
        let ending = Ending::Commit { delivered: delivered? };
        Some(SettleCommand { subject: subject?, id: id?, ending, billing: billing?, fingerprint: fingerprint("Commit", request), trace })
    };
    let command = command();
    reader.finish(command)
}

fn read_release(request: &v1::ReleaseRequest, trace: Option<TraceId>) -> Result<SettleCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let id = reader.id("reservation_id", &request.reservation_id, ReservationId::new);
    let outcome = reader.outcome(request.outcome, &RELEASE_OUTCOMES, Outcome::Failed);
    let note = reader.detail(&request.detail);
    let billing = reader.billing(request.billed_work.as_ref(), request.billed_cost.as_deref());
    let command = || {
        let ending = Ending::Release { outcome: outcome?, note: note? };
        Some(SettleCommand { subject: subject?, id: id?, ending, billing: billing?, fingerprint: fingerprint("Release", request), trace })
    };
    let command = command();
    reader.finish(command)
}

fn read_retry(request: &v1::RetryRequest, trace: Option<TraceId>) -> Result<RetryCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let id = reader.id("reservation_id", &request.reservation_id, ReservationId::new);
    let attempt = match u32::try_from(request.attempt) {
        Ok(attempt @ 1..) => Some(attempt),
        _ => reader.problem("attempt", "is missing; it is the number of the open attempt, at least 1"),
    };
    let outcome = reader.outcome(request.outcome, &RELEASE_OUTCOMES, Outcome::Failed);
    let billing = reader.billing(request.billed_work.as_ref(), request.billed_cost.as_deref());
    let target = reader.target("next_target", request.next_target.as_ref());
    let work = match request.next_work.as_ref() {
        None => Some(None),
        work => reader.asked_work("next_work", work).map(Some),
    };
    let reason = reader.retry_reason(request.reason);
    let command = || {
        Some(RetryCommand {
            subject: subject?,
            id: id?,
            attempt: attempt?,
            outcome: outcome?,
            billing: billing?,
            next: NextAttempt { target: target?, work: work?, reason: reason? },
            fingerprint: fingerprint("Retry", request),
            trace,
        })
    };
    let command = command();
    reader.finish(command)
}

fn read_extend(request: &v1::ExtendRequest) -> Result<ExtendCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let id = reader.id("reservation_id", &request.reservation_id, ReservationId::new);
    let ttl = reader.duration("ttl", request.ttl.as_ref());
    let command = || {
        Some(ExtendCommand {
            subject: subject?,
            id: id?,
            ttl: ttl?,
            outcome_unknown: request.outcome_unknown,
            fingerprint: fingerprint("Extend", request),
        })
    };
    let command = command();
    reader.finish(command)
}

fn read_refund(request: &v1::RefundRequest) -> Result<RefundCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let id = reader.id("reservation_id", &request.reservation_id, ReservationId::new);
    let units = match request.units.as_deref() {
        None => Some(None),
        Some(text) => reader.positive_amount("units", text).map(Some),
    };
    let request_id = reader.id("request_id", &request.request_id, RequestId::new);
    let note = reader.detail(&request.detail);
    let command = || {
        Some(RefundCommand {
            subject: subject?,
            id: id?,
            units: units?,
            request: request_id?,
            note: note?,
            fingerprint: fingerprint("Refund", request),
        })
    };
    let command = command();
    reader.finish(command)
}

fn read_record(request: &v1::RecordUsageRequest, trace: Option<TraceId>) -> Result<RecordCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let user = reader.optional_id("user", &request.user, UserId::new);
    let id = reader.id("usage_id", &request.usage_id, ReservationId::new);
    let generation = generation(&mut reader, &request.generation_id, &request.usage_id);
    let action = reader.id("action", &request.action, ActionId::new);
    let target = reader.target("target", request.target.as_ref());
    let work = match request.work.as_ref() {
        None => reader.problem("work", "is missing; without items it says that nothing was delivered"),
        work => reader.optional_work("work", work).flatten(),
    };
    let billing = reader.billing(request.billed_work.as_ref(), request.billed_cost.as_deref());
    let outcome = reader.outcome(request.outcome, &RECORD_OUTCOMES, Outcome::Accepted);
    let labels = reader.labels(&request.labels);
    let command = || {
        Some(RecordCommand {
            subject: subject?,
            user: user?,
            id: id?,
            generation: generation?,
            action: action?,
            target: target?,
            work: work?,
            billing: billing?,
            outcome: outcome?,
            labels: labels?,
            fingerprint: fingerprint("RecordUsage", request),
            trace,
        })
    };
    let command = command();
    reader.finish(command)
}

fn read_quote(request: &v1::QuoteRequest) -> Result<QuoteCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let user = reader.optional_id("user", &request.user, UserId::new);
    let action = reader.id("action", &request.action, ActionId::new);
    let work = reader.asked_work("work", request.work.as_ref());
    let targets = match request.targets.as_slice() {
        [] => reader.problem("targets", "must name at least one target"),
        targets => reader.targets("targets", targets),
    };
    let planned_target = reader.target("planned_target", request.planned_target.as_ref());
    let command = || {
        Some(QuoteCommand {
            subject: subject?,
            user: user?,
            action: action?,
            work: work?,
            targets: targets?,
            planned_target: planned_target?,
        })
    };
    let command = command();
    reader.finish(command)
}

/// The generation, which is the reservation unless the caller says otherwise.
fn generation(reader: &mut Reader, generation: &str, reservation: &str) -> Option<GenerationId> {
    match generation {
        // What is wrong with the reservation's id is said of that field.
        "" => GenerationId::new(reservation).ok(),
        named => reader.id("generation_id", named, |text: &str| -> Result<_, IdError> { GenerationId::new(text) }),
    }
}

fn events(settled: &Settled) -> Vec<v1::CostEvent> {
    settled.events.iter().map(write::cost_event).collect()
}

fn offer(offer: &Offer) -> v1::Offer {
    let known = |amount: String| if offer.priced { amount } else { String::new() };
    v1::Offer {
        target: Some(write::target(&offer.target)),
        tier: write::text(offer.attempt.tier.as_ref()),
        units: offer.attempt.units.to_string(),
        cost: known(offer.attempt.cost.to_string()),
        planned_cost: write::text(offer.attempt.planned_cost.as_ref()),
        cost_shift: known(write::cost_shift(&offer.attempt)),
        fits: offer.denial.is_none(),
        denial: offer.denial.as_ref().map(write::denial),
        meter: write::text(offer.meter.as_ref()),
    }
}
