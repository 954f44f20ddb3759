//! `envoy.service.ratelimit.v3.RateLimitService`: descriptors, each by its mapping.
//!
//! A rate limit filter asks once and never says how a request ended, so nothing stays held for it. What several descriptors of one request
//! take is taken together or not at all.

use std::sync::{Mutex, PoisonError};

use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{Code as Verdict, DescriptorStatus, RateLimit, rate_limit};
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitService;
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use envoy_types::pb::google::protobuf::Duration;
use tonic::{Request, Response, Status};

use super::Caller;
use super::asking::{self, Wanted};
use super::refusal::{Refusal, is_no_answer};
use super::said::Entries;
use super::settling::{give_back, persist};
use crate::domain::charge::InvalidField;
use crate::domain::envoy::{Envoy, Mode};
use crate::domain::ids::CatalogVersion;
use crate::grpc::{Handlers, load, status};
use crate::proto::v1;
use crate::service::ServiceError;
use crate::telemetry::{EnvoyFilter, EnvoyResult, context};

/// Most descriptors of one request: as many as a work has items. Each is a decision of its own.
const DESCRIPTORS_MAX: usize = 64;

#[tonic::async_trait]
impl RateLimitService for Handlers {
    async fn should_rate_limit(&self, request: Request<RateLimitRequest>) -> Result<Response<RateLimitResponse>, Status> {
        let caller = Caller::of(self, &request);
        let deciding = decide(caller, request.into_inner());
        // In a task of its own: Envoy waits for 20 milliseconds by default, and what was begun must not be left half taken.
        let decided = self.tasks.spawn(context::carried(load::kept(deciding))).await;
        decided.map_err(|_| status::panicked())?.map(Response::new)
    }
}

/// What came of one descriptor.
enum Decided {
    /// No limit applies.
    Free,
    Fits(Standing),
    /// It fits and is held, until all others fit too.
    Held {
        subject: String,
        reservation: String,
        standing: Standing,
    },
    Over {
        refusal: Refusal,
        standing: Standing,
    },
}

/// How the meter of a descriptor stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Standing {
    limit: Option<RateLimit>,
    remaining: u32,
    until_reset: Option<Duration>,
}

async fn decide(caller: Caller, request: RateLimitRequest) -> Result<RateLimitResponse, Status> {
    if request.descriptors.len() > DESCRIPTORS_MAX {
        let problem = format!("has {} descriptors; at most {DESCRIPTORS_MAX} are allowed", request.descriptors.len());
        return Err(status::invalid(&[InvalidField::new("descriptors", problem)]));
    }
    let catalog = caller.handlers.service.catalog();
    let mut decided = Vec::with_capacity(request.descriptors.len());
    let mut failed = None;
    for (index, descriptor) in request.descriptors.iter().enumerate() {
        let asked = Asked { domain: &request.domain, index, descriptor, entries: Entries::of(descriptor, request.hits_addend) };
        match asked.decide(&caller, &catalog.envoy, &catalog.version).await {
            Ok(one) => decided.push(one),
            Err(status) => {
                failed = Some(status);
                break;
            }
        }
    }
    let is_over = decided.iter().any(|one| matches!(one, Decided::Over { .. }));
    settle(&caller, &decided, failed.is_none() && !is_over).await?;
    match failed {
        Some(status) => Err(status),
        None => Ok(response(&decided)),
    }
}

/// One descriptor of a request.
struct Asked<'r> {
    domain: &'r str,
    index: usize,
    descriptor: &'r RateLimitDescriptor,
    entries: Entries<'r>,
}

impl Asked<'_> {
    async fn decide(&self, caller: &Caller, envoy: &Envoy, version: &CatalogVersion) -> Result<Decided, Status> {
        let decided = self.judge(caller, envoy, version).await;
        let result = match &decided {
            Ok(None) => EnvoyResult::Unmapped,
            Ok(Some(Decided::Over { refusal, .. })) if refusal.http == 400 => EnvoyResult::Invalid,
            Ok(Some(Decided::Over { .. })) => EnvoyResult::Denied,
            Ok(Some(Decided::Free | Decided::Fits(_) | Decided::Held { .. })) => EnvoyResult::Allowed,
            Err(status) if is_no_answer(status.code()) => EnvoyResult::Failed,
            Err(_) => EnvoyResult::Invalid,
        };
        caller.handlers.count(EnvoyFilter::RateLimit, result);
        Ok(decided?.unwrap_or(Decided::Free))
    }

    /// `None`: no mapping fits it.
    async fn judge(&self, caller: &Caller, envoy: &Envoy, version: &CatalogVersion) -> Result<Option<Decided>, Status> {
        let Some(mapped) = envoy.descriptor(self.domain, &self.entries.list) else {
            self.tell_unmapped(version);
            return Ok(None);
        };
        if self.descriptor.is_negative_hits {
            let problem = "cannot be: a descriptor takes nothing back; refund by the API, or settle by the external processor";
            let field = format!("descriptors[{}].is_negative_hits", self.index);
            return Err(status::invalid(&[InvalidField::new(field, problem)]));
        }
        if self.entries.hits == 0 && asking::uses_hits(&mapped.mapping.work) {
            // Nothing is asked for.
            return Ok(Some(Decided::Free));
        }
        let asked = asking::reserve(&mapped.mapping, &self.entries).map_err(|fields| status::invalid(&fields));
        let mut wanted = match (asked, mapped.mode) {
            (Ok(wanted), _) => wanted,
            (Err(status), Mode::Record) => return Err(self.told(status)),
            // A request that is none must not get through because Envoy lets pass what it has no answer to.
            (Err(status), Mode::Check | Mode::Take) => return Ok(Some(Decided::refused(&status))),
        };
        match mapped.mode {
            Mode::Record => {
                let usage = asking::record(wanted.message);
                let recorded = persist(|| caller.record(usage.clone())).await;
                recorded.map(|_| Some(Decided::Free)).map_err(|status| self.told(status))
            }
            Mode::Check => {
                wanted.message.validate_only = true;
                reserve(caller, wanted).await.map(Some)
            }
            Mode::Take => reserve(caller, wanted).await.map(Some),
        }
    }

    /// Usage is reported once, when its request is over, and nobody looks at the answer.
    fn told(&self, status: Status) -> Status {
        let (domain, code, problem) = (self.domain, status.code(), status.message());
        tracing::error!(domain, descriptor = self.index, ?code, problem, "usage that Envoy reports is not booked");
        status
    }

    /// Once for each edition of the catalog.
    fn tell_unmapped(&self, version: &CatalogVersion) {
        static TOLD: Mutex<Option<CatalogVersion>> = Mutex::new(None);
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() != Some(version) {
            let entries: Vec<&str> = self.entries.list.iter().map(|(key, _)| *key).collect();
            tracing::warn!(domain = self.domain, ?entries, catalog = %version, "no mapping fits a descriptor of Envoy: no limit applies to such");
            *told = Some(version.clone());
        }
    }
}

/// Asks for a hold, or whether there would be one.
async fn reserve(caller: &Caller, wanted: Wanted) -> Result<Decided, Status> {
    let (subject, is_check) = (wanted.message.subject.clone(), wanted.message.validate_only);
    let response = match caller.reserve(wanted.message.clone()).await {
        Ok(response) => response,
        Err(status) if is_no_answer(status.code()) => {
            if !is_check {
                give_back(caller, &wanted.message);
            }
            return Err(status);
        }
        Err(status) => return Ok(Decided::refused(&status)),
    };
    if wanted.is_spent(&response) && !is_check {
        return Ok(Decided::refused(&status::of(ServiceError::IdReused("the id of the request"))));
    }
    match response.outcome {
        Some(v1::reserve_response::Outcome::Denial(denial)) => {
            let refusal = Refusal::of_denial(&denial);
            let seconds = refusal.retry_after.and_then(|seconds| i64::try_from(seconds).ok());
            let until_reset = seconds.map(|seconds| Duration { seconds, nanos: 0 });
            Ok(Decided::Over { refusal, standing: Standing { until_reset, ..Standing::of(response.balances.first(), None) } })
        }
        Some(v1::reserve_response::Outcome::Reservation(reservation)) => {
            let standing = Standing::of(response.balances.first(), reservation.create_time.as_ref());
            let held = || Decided::Held { subject, reservation: reservation.reservation_id.clone(), standing: standing.clone() };
            Ok(if is_check { Decided::Fits(standing.clone()) } else { held() })
        }
        None => Err(Status::internal("an answer without an outcome")),
    }
}

/// Charges everything that is held, or gives it back.
async fn settle(caller: &Caller, decided: &[Decided], is_charged: bool) -> Result<(), Status> {
    let mut failed = None;
    for one in decided {
        let Decided::Held { subject, reservation, .. } = one else { continue };
        let (subject, reservation_id) = (subject.clone(), reservation.clone());
        let settled = if is_charged && failed.is_none() {
            let request = v1::CommitRequest { subject, reservation_id, ..v1::CommitRequest::default() };
            persist(|| caller.commit(request.clone())).await.map(|_| ())
        } else {
            let outcome = v1::Outcome::Cancelled.into();
            let detail = "another descriptor of the request was not granted".to_owned();
            let request = v1::ReleaseRequest { subject, reservation_id, outcome, detail, ..v1::ReleaseRequest::default() };
            persist(|| caller.release(request.clone())).await.map(|_| ())
        };
        failed = failed.or(settled.err());
    }
    failed.map_or(Ok(()), Err)
}

fn response(decided: &[Decided]) -> RateLimitResponse {
    let refusal = decided.iter().find_map(|one| if let Decided::Over { refusal, .. } = one { Some(refusal) } else { None });
    let verdict = if refusal.is_some() { Verdict::OverLimit } else { Verdict::Ok };
    RateLimitResponse {
        overall_code: verdict.into(),
        statuses: decided.iter().map(status_of).collect(),
        response_headers_to_add: refusal.map(Refusal::headers).unwrap_or_default(),
        raw_body: refusal.map(|refusal| refusal.body(false)).unwrap_or_default(),
        ..RateLimitResponse::default()
    }
}

fn status_of(decided: &Decided) -> DescriptorStatus {
    let (verdict, standing) = match decided {
        Decided::Free => (Verdict::Ok, Standing { remaining: u32::MAX, ..Standing::default() }),
        Decided::Fits(standing) | Decided::Held { standing, .. } => (Verdict::Ok, standing.clone()),
        Decided::Over { standing, .. } => (Verdict::OverLimit, standing.clone()),
    };
    DescriptorStatus {
        code: verdict.into(),
        current_limit: standing.limit,
        limit_remaining: standing.remaining,
        duration_until_reset: standing.until_reset,
        quota: None,
    }
}

impl Decided {
    fn refused(status: &Status) -> Self {
        Self::Over { refusal: Refusal::of_status(status), standing: Standing::default() }
    }
}

impl Standing {
    /// `now` is when it stood so, if that is known.
    fn of(balance: Option<&v1::Balance>, now: Option<&prost_types::Timestamp>) -> Self {
        let Some(balance) = balance.filter(|balance| !balance.unlimited) else { return Self { remaining: u32::MAX, ..Self::default() } };
        let limits = balance.sources.iter().map(|source| whole(&source.limit));
        let limit = RateLimit {
            name: balance.meter.clone(),
            requests_per_unit: limits.fold(0, u32::saturating_add),
            // Periods are the subscription's own.
            unit: rate_limit::Unit::Unknown.into(),
        };
        let seconds = balance.reset_time.as_ref().zip(now).map(|(reset, now)| reset.seconds.saturating_sub(now.seconds));
        let until_reset = seconds.filter(|seconds| *seconds >= 0).map(|seconds| Duration { seconds, nanos: 0 });
        Self { limit: Some(limit), remaining: whole(&balance.available), until_reset }
    }
}

/// The whole units of a decimal, as many as a number of Envoy holds.
fn whole(decimal: &str) -> u32 {
    let whole = decimal.split('.').next().unwrap_or_default();
    if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_has_whole_units_and_no_more_than_fits() {
        for (text, expected) in [("", 0), ("0.9", 0), ("7.65", 7), ("1000000000", 1_000_000_000), ("999999999999", u32::MAX)] {
            assert_eq!(whole(text), expected, "{text}");
        }
    }
}
