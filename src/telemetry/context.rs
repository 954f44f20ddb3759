//! The trace a call belongs to: taken from its metadata (W3C `traceparent` and `tracestate`), carried along, and told.
//!
//! The context is OpenTelemetry's own, which is current wherever a call's future is polled. It is there whether or not anything is exported.

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::domain::ids::TraceId;

/// The caller's context, if its metadata has a valid one.
pub(super) fn of_caller(headers: &HeaderMap) -> Context {
    // Most callers without a trace have no such header at all.
    if !headers.contains_key("traceparent") {
        return Context::new();
    }
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// A future that belongs to the call whose future is being polled now, wherever it runs.
pub fn carried<F: Future>(future: F) -> WithContext<F> {
    future.with_current_context()
}

/// The trace of the call whose future is being polled now, its caller's where there is one. `None`: it belongs to none.
pub fn trace_id() -> Option<TraceId> {
    with_current(|span| TraceId::new(span.trace_id().to_bytes()))?
}

/// Calls `tell` with the span of the call whose future is being polled now: ours where spans are recorded, else the caller's.
pub(super) fn with_current<T>(tell: impl FnOnce(&SpanContext) -> T) -> Option<T> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| tell(span))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(traceparent: &str) -> HeaderMap {
        HeaderMap::from_iter([("traceparent".parse().unwrap(), traceparent.parse().unwrap())])
    }

    #[test]
    fn the_callers_trace_is_told_while_its_call_is_polled_and_not_after() {
        assert_eq!(trace_id(), None);
        let guard = of_caller(&headers(PARENT)).attach();
        assert_eq!(trace_id().unwrap().to_string(), TRACE);
        drop(guard);
        assert_eq!(trace_id(), None);
    }

    #[tokio::test]
    async fn a_task_of_its_own_still_belongs_to_the_call() {
        let told = async { tokio::spawn(carried(async { trace_id() })).await.unwrap() };
        let told = told.with_context(of_caller(&headers(PARENT))).await;
        assert_eq!(told.unwrap().to_string(), TRACE);
        assert_eq!(tokio::spawn(carried(async { trace_id() })).await.unwrap(), None);
    }

    #[test]
    fn what_is_no_trace_context_is_no_trace() {
        for wrong in
            ["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff"]
        {
            let _guard = of_caller(&headers(wrong)).attach();
            assert_eq!(trace_id(), None, "{wrong}");
        }
    }
}
