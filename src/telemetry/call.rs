//! The span of each call of ours, and what is told of its answer.
//!
//! A tower layer takes the caller's context, opens a server span below it where spans are exported, and measures the call. What the answer
//! decided is added by the handlers, through [`Telemetry`]. Probes and reflection pass by untouched.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use tower::{Layer, Service};

use super::names::{OTHER_METHOD, RPC_SYSTEM, attribute};
use super::{Telemetry, context};
use crate::domain::envoy::GRPC_CODES;

/// Statuses that are the server's fault: OpenTelemetry's own list for server spans.
const FAULTS: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
/// A call whose future was dropped: its caller went away, or its time was over.
const DROPPED: &str = "CANCELLED";
/// Where our methods begin.
const OURS: &str = "/genquota.v1.";
/// What else is called by name: Envoy's own services.
const ENVOYS: &str = "/envoy.service.";

/// Puts a span around every call of the contract.
#[derive(Clone)]
pub struct CallLayer {
    telemetry: Arc<Telemetry>,
    /// By path, such as `/genquota.v1.QuotaService/Reserve`.
    methods: Arc<HashMap<String, KeyValue>>,
    other: KeyValue,
}

/// The service inside, with a span around each call.
#[derive(Clone)]
pub struct Spanned<S> {
    layer: CallLayer,
    inner: S,
}

/// One call under way. It is told once, however it ends.
struct Call {
    telemetry: Arc<Telemetry>,
    context: Context,
    method: KeyValue,
    start: Instant,
    status: &'static str,
}

impl CallLayer {
    /// For these methods, as `genquota.v1.QuotaService/Reserve`. Any other name is its caller's, and told as `_OTHER`.
    pub fn new(telemetry: Arc<Telemetry>, methods: impl IntoIterator<Item = String>) -> Self {
        let attribute = |name: &str| KeyValue::new(attribute::RPC_METHOD, Arc::<str>::from(name));
        let methods = methods.into_iter().map(|name| (format!("/{name}"), attribute(&name))).collect();
        Self { telemetry, methods: Arc::new(methods), other: attribute(OTHER_METHOD) }
    }

    fn begin(&self, path: &str, headers: &HeaderMap) -> Call {
        let method = self.methods.get(path).unwrap_or(&self.other).clone();
        let parent = if self.telemetry.takes_context { context::of_caller(headers) } else { Context::new() };
        let context = match &self.telemetry.tracer {
            None => parent,
            Some(tracer) => {
                let name = method.value.as_str().into_owned();
                let attributes = [KeyValue::new(attribute::RPC_SYSTEM, RPC_SYSTEM), method.clone()];
                let builder = tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
                let span = builder.start_with_context(tracer, &parent);
                parent.with_span(span)
            }
        };
        Call { telemetry: self.telemetry.clone(), context, method, start: Instant::now(), status: DROPPED }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = Spanned<S>;

    fn layer(&self, inner: S) -> Spanned<S> {
        Spanned { layer: self.clone(), inner }
    }
}

impl<S, B, R> Service<Request<B>> for Spanned<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        if !path.starts_with(OURS) && !path.starts_with(ENVOYS) {
            return Box::pin(self.inner.call(request));
        }
        let call = self.layer.begin(path, request.headers());
        let answer = self.inner.call(request).with_context(call.context.clone());
        Box::pin(async move {
            let mut call = call;
            let answer = answer.await;
            call.ended(answer.as_ref().map_or("UNKNOWN", |response| status(response.headers())));
            answer
        })
    }
}

impl Call {
    fn ended(&mut self, status: &'static str) {
        self.status = status;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.telemetry.metrics.called(&self.method, self.status, self.start.elapsed());
        let span = self.context.span();
        if !span.is_recording() {
            return;
        }
        span.set_attribute(KeyValue::new(attribute::RPC_STATUS, self.status));
        if FAULTS.contains(&self.status) {
            span.set_attribute(KeyValue::new(attribute::ERROR_TYPE, self.status));
            span.set_status(Status::error(self.status));
        }
        // A change that is still under way keeps the context, and must not keep the span open.
        span.end();
    }
}

/// The status of an answer. One that comes with messages has it behind them, and has begun well: a call with one answer is then always well, and
/// how a stream ends is not told here.
fn status(headers: &HeaderMap) -> &'static str {
    let Some(status) = headers.get("grpc-status") else { return GRPC_CODES[0] };
    let number = status.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    number.and_then(|number| GRPC_CODES.get(number)).copied().unwrap_or("UNKNOWN")
}
