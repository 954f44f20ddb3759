//! `envoy.service.ext_proc.v3.ExternalProcessor`: one stream for each HTTP exchange of Envoy.
//!
//! Request headers reserve, the status of the answer commits or releases. Only headers and trailers are needed, so Envoy is told to send no
//! bodies. A stream that ends before there is an answer ends its hold too; a crash leaves one that expires.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::{BodySendMode, HeaderSendMode};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessor;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Shown;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Told;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyResponse, CommonResponse, GrpcStatus, HeaderMutation, HeadersResponse, HttpHeaders, ImmediateResponse, ProcessingRequest,
    ProcessingResponse, TrailersResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Caller;
use super::asking::{self, Answered, Wanted};
use super::refusal::{Refusal, header, is_no_answer, set};
use super::said::{Headers, HttpRequest};
use super::settling::{Charged, Settlement, give_back};
use crate::domain::catalog::Catalog;
use crate::domain::charge::InvalidField;
use crate::domain::envoy::{Reply, Route, Unmapped};
use crate::domain::reservation::Outcome;
use crate::grpc::{Handlers, status};
use crate::proto::v1;
use crate::service::ServiceError;
use crate::telemetry::{EnvoyFilter, EnvoyResult, context};

/// The id of the reservation, for the upstream and the client. One that a client sends never gets through.
const RESERVATION: &str = "x-genquota-reservation";
/// What was charged, and what is left.
const UNITS: &str = "x-genquota-units";
const REMAINING: &str = "x-genquota-remaining";
/// How long an answer is held back for what it came to. Half of what Envoy waits by default: the settlement goes on, and an answer that was made
/// must not be lost to a store that is slow.
const ANSWER_PATIENCE: Duration = Duration::from_millis(100);
/// Answers that wait for Envoy. It asks for one at a time.
const WAITING_MAX: usize = 1;

#[tonic::async_trait]
impl ExternalProcessor for Handlers {
    type ProcessStream = ReceiverStream<Result<ProcessingResponse, Status>>;

    async fn process(&self, request: Request<Streaming<ProcessingRequest>>) -> Result<Response<Self::ProcessStream>, Status> {
        let caller = Caller::of(self, &request);
        let (answers, stream) = mpsc::channel(WAITING_MAX);
        let exchange = Exchange { caller, has_begun: false, course: Course::Idle };
        // In a task of its own: Envoy's end of the stream must not cut a hold or a settlement in half.
        self.tasks.spawn(context::carried(exchange.run(request.into_inner(), answers)));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// One HTTP exchange.
struct Exchange {
    caller: Caller,
    has_begun: bool,
    course: Course,
}

enum Course {
    /// Nothing is held: not asked yet, not ours, denied, or settled.
    Idle,
    Open(Box<Open>),
}

/// An exchange that goes on to the upstream and must be settled.
struct Open {
    /// The catalog whose route it is. Another may be in force when the answer comes.
    catalog: Arc<Catalog>,
    route: usize,
    asked: v1::ReserveRequest,
    is_held: bool,
    is_grpc: bool,
    /// Headers of an answer over gRPC whose status comes in the trailers.
    begun: Headers,
}

impl Exchange {
    async fn run(mut self, mut shown: Streaming<ProcessingRequest>, answers: mpsc::Sender<Result<ProcessingResponse, Status>>) {
        let stop = self.caller.handlers.stop.clone();
        let ended_well = loop {
            match shown.message().await {
                Ok(Some(message)) => {
                    // What Envoy says beyond that, such as how much it can take, needs no answer.
                    let Some(request) = message.request else { continue };
                    // A stream is one exchange: another would be in the name of whoever was known when the first began.
                    if matches!(request, Shown::RequestHeaders(_)) && std::mem::replace(&mut self.has_begun, true) {
                        let field = InvalidField::new("request_headers", "came twice: a stream is one exchange");
                        let _ = answers.send(Err(status::invalid(&[field]))).await;
                        break true;
                    }
                    let answer = self.answer(request).await;
                    if answers.send(Ok(answer)).await.is_err() {
                        break true;
                    }
                }
                Ok(None) => break true,
                // Envoy resets the stream of a client that went away; a connection that breaks while this server ends was cut by the drain.
                Err(_) => break !stop.is_cancelled(),
            }
        };
        if let Course::Open(open) = self.course
            && ended_well
        {
            let outcome = open.route().settling.unanswered;
            open.settlement(&self.caller, outcome, &open.begun, "no answer came".to_owned()).run().await;
        }
    }

    async fn answer(&mut self, shown: Shown) -> ProcessingResponse {
        match shown {
            Shown::RequestHeaders(headers) => self.begin(&headers).await,
            Shown::ResponseHeaders(headers) => self.answered(&headers).await,
            Shown::ResponseTrailers(trailers) => {
                self.ended(Headers::of(trailers.trailers.as_ref())).await;
                told(Told::ResponseTrailers(TrailersResponse::default()))
            }
            Shown::RequestTrailers(_) => told(Told::RequestTrailers(TrailersResponse::default())),
            // Not asked for; whoever configures them gets them through unread.
            Shown::RequestBody(_) => told(Told::RequestBody(BodyResponse::default())),
            Shown::ResponseBody(_) => told(Told::ResponseBody(BodyResponse::default())),
        }
    }

    /// Decides a request by its headers.
    async fn begin(&mut self, shown: &HttpHeaders) -> ProcessingResponse {
        let headers = Headers::of(shown.headers.as_ref());
        let is_grpc = headers.is_grpc();
        let handlers = self.caller.handlers.clone();
        let catalog = handlers.service.catalog();
        let (method, path) = (headers.first(":method").unwrap_or_default(), headers.first(":path").unwrap_or_default());
        let Some((index, captured)) = catalog.envoy.route(method, path, &headers.list()) else {
            handlers.count(EnvoyFilter::Processor, EnvoyResult::Unmapped);
            return match catalog.envoy.unmapped {
                Unmapped::Pass => passed(),
                Unmapped::Refuse => refused(&Refusal::of_unmapped(), is_grpc),
            };
        };
        let route = &catalog.envoy.routes[index];
        let (result, reserved) = match asking::reserve(&route.mapping, &HttpRequest { headers: &headers, captured }) {
            Ok(mut wanted) => {
                wanted.message.ttl = route.ttl_seconds.map(seconds);
                decide(&self.caller, wanted, route.fail_open).await
            }
            Err(fields) => (EnvoyResult::Invalid, Err(Refusal::of_status(&status::invalid(&fields)))),
        };
        handlers.count(EnvoyFilter::Processor, result);
        match reserved {
            Ok((asked, is_held)) => {
                let answer = continued(is_held.then_some(&*asked.reservation_id), is_grpc);
                let open = Open { catalog: catalog.clone(), route: index, asked, is_held, is_grpc, begun: Headers::default() };
                self.course = Course::Open(Box::new(open));
                answer
            }
            Err(refusal) => refused(&refusal, is_grpc),
        }
    }

    /// Settles by the status of an answer, unless that comes in its trailers.
    async fn answered(&mut self, shown: &HttpHeaders) -> ProcessingResponse {
        let headers = Headers::of(shown.headers.as_ref());
        let Course::Open(mut open) = std::mem::replace(&mut self.course, Course::Idle) else {
            return told(Told::ResponseHeaders(HeadersResponse::default()));
        };
        // What the client says of itself is no proof of gRPC: only an answer of gRPC has its status in trailers.
        let is_grpc = open.is_grpc && headers.is_grpc();
        let reply = match (is_grpc, headers.grpc_reply(), headers.http_reply()) {
            (true, Some(reply), _) => reply,
            // An answer of gRPC that ends without a status is no success.
            (true, None, Reply::Http(200)) if shown.end_of_stream => Reply::NoStatus,
            (true, None, Reply::Http(200)) => {
                open.begun = headers;
                self.course = Course::Open(open);
                return told(Told::ResponseHeaders(HeadersResponse::default()));
            }
            (_, _, reply) => reply,
        };
        let reservation = open.is_held.then(|| open.asked.reservation_id.clone());
        let charged = self.settle(&open, reply, &headers).await;
        let units = charged.as_ref().map(|charged| header(UNITS, &charged.units));
        let remaining = charged.as_ref().and_then(|charged| charged.available.as_ref()).map(|available| header(REMAINING, available));
        let reservation = reservation.map(|id| header(RESERVATION, &id));
        let added = [reservation, units, remaining].into_iter().flatten().map(set).collect();
        told(Told::ResponseHeaders(mutating(added, Vec::new())))
    }

    /// Settles an answer over gRPC by its trailers.
    async fn ended(&mut self, trailers: Headers) {
        let Course::Open(mut open) = std::mem::replace(&mut self.course, Course::Idle) else { return };
        let reply = trailers.grpc_reply().unwrap_or(Reply::NoStatus);
        let all = std::mem::take(&mut open.begun).and(trailers);
        self.settle(&open, reply, &all).await;
    }

    /// Settles, and waits a moment for what it comes to.
    async fn settle(&self, open: &Open, reply: Reply, answer: &Headers) -> Option<Charged> {
        let detail = match reply {
            Reply::Http(code) => format!("HTTP {code}"),
            Reply::Grpc(code) => format!("gRPC status {code}"),
            Reply::NoStatus => "no status".to_owned(),
        };
        let settlement = open.settlement(&self.caller, open.route().settling.outcome(reply), answer, detail);
        let settling = self.caller.handlers.tasks.spawn(context::carried(settlement.run()));
        tokio::time::timeout(ANSWER_PATIENCE, settling).await.ok()?.ok()?
    }
}

impl Open {
    fn route(&self) -> &Route {
        &self.catalog.envoy.routes[self.route]
    }

    fn settlement(&self, caller: &Caller, outcome: Outcome, answer: &Headers, detail: String) -> Settlement {
        Settlement {
            caller: caller.clone(),
            asked: self.asked.clone(),
            is_held: self.is_held,
            outcome,
            answered: Answered::of(&self.route().settling, self.asked.work.as_ref(), answer),
            detail,
        }
    }
}

/// Reserves. `Ok` has whether something is held now.
async fn decide(caller: &Caller, wanted: Wanted, fail_open: bool) -> (EnvoyResult, Result<(v1::ReserveRequest, bool), Refusal>) {
    match caller.reserve(wanted.message.clone()).await {
        Ok(response) if wanted.is_spent(&response) => {
            let used = status::of(ServiceError::IdReused("the id of the request"));
            (EnvoyResult::Denied, Err(Refusal::of_status(&used)))
        }
        Ok(v1::ReserveResponse { outcome: Some(v1::reserve_response::Outcome::Denial(denial)), .. }) => {
            (EnvoyResult::Denied, Err(Refusal::of_denial(&denial)))
        }
        Ok(_) => (EnvoyResult::Allowed, Ok((wanted.message, true))),
        Err(status) if is_no_answer(status.code()) => {
            give_back(caller, &wanted.message);
            if fail_open {
                (EnvoyResult::FailedOpen, Ok((wanted.message, false)))
            } else {
                (EnvoyResult::Failed, Err(Refusal::of_status(&status)))
            }
        }
        Err(status) => (EnvoyResult::Invalid, Err(Refusal::of_status(&status))),
    }
}

/// The request goes on to the upstream, and its answer is waited for.
fn continued(reservation: Option<&str>, is_grpc: bool) -> ProcessingResponse {
    let (set_headers, removed) = match reservation {
        Some(id) => (vec![set(header(RESERVATION, id))], Vec::new()),
        None => (Vec::new(), vec![RESERVATION.to_owned()]),
    };
    let trailers = if is_grpc { HeaderSendMode::Send } else { HeaderSendMode::Skip };
    let mode_override = Some(mode(HeaderSendMode::Send, trailers));
    ProcessingResponse { mode_override, ..told(Told::RequestHeaders(mutating(set_headers, removed))) }
}

/// The request goes on, and is none of ours.
fn passed() -> ProcessingResponse {
    let mode_override = Some(mode(HeaderSendMode::Skip, HeaderSendMode::Skip));
    ProcessingResponse { mode_override, ..told(Told::RequestHeaders(mutating(Vec::new(), vec![RESERVATION.to_owned()]))) }
}

fn refused(refusal: &Refusal, is_grpc: bool) -> ProcessingResponse {
    told(Told::ImmediateResponse(ImmediateResponse {
        status: Some(HttpStatus { code: refusal.http.into() }),
        headers: Some(HeaderMutation { set_headers: refusal.headers().into_iter().map(set).collect(), remove_headers: Vec::new() }),
        body: refusal.body(is_grpc),
        grpc_status: Some(GrpcStatus { status: u32::try_from(i32::from(refusal.grpc)).unwrap_or(2) }),
        details: "genquota".to_owned(),
    }))
}

fn mutating(set_headers: Vec<envoy_types::pb::envoy::config::core::v3::HeaderValueOption>, remove_headers: Vec<String>) -> HeadersResponse {
    let header_mutation = Some(HeaderMutation { set_headers, remove_headers });
    HeadersResponse { response: Some(CommonResponse { header_mutation, ..CommonResponse::default() }) }
}

/// What Envoy is to send of the rest of an exchange: never a body.
fn mode(response_headers: HeaderSendMode, response_trailers: HeaderSendMode) -> ProcessingMode {
    ProcessingMode {
        request_header_mode: HeaderSendMode::Default.into(),
        response_header_mode: response_headers.into(),
        request_body_mode: BodySendMode::None.into(),
        response_body_mode: BodySendMode::None.into(),
        request_trailer_mode: HeaderSendMode::Skip.into(),
        response_trailer_mode: response_trailers.into(),
    }
}

fn told(response: Told) -> ProcessingResponse {
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

fn seconds(seconds: u32) -> prost_types::Duration {
    prost_types::Duration { seconds: seconds.into(), nanos: 0 }
}
