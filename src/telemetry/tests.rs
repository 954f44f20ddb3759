//! Spans and log records as they leave, in memory. Rows for these tests and those of the metrics.

use std::convert::Infallible;

use http::{Request, Response};
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::logs::InMemoryLogExporter;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SpanData};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::*;
use crate::domain::amount::Micros;
use crate::domain::denial::{Denial, DenialReason, Violation};
use crate::domain::ids::{
    ActionId, CatalogVersion, GenerationId, ModelId, PlanId, ProviderId, ReservationId, SubjectId, Target, TierId, TraceId,
};
use crate::domain::ledger::{EventKind, Fingerprint, Row, State};
use crate::domain::price_book::CostBasis;
use crate::domain::reservation::{Attempt, AttemptReason, Detail, Labels, Outcome};
use crate::domain::work::{Item, Work};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const RESERVE: &str = "genquota.v1.QuotaService/Reserve";

pub(super) fn target(text: &str) -> Target {
    let (provider, model) = text.split_once('/').unwrap();
    Target { provider: ProviderId::new(provider).unwrap(), model: ModelId::new(model).unwrap() }
}

/// A reservation of one attempt at `ran` in place of `planned`: two units, 0.5 in place of 0.2 of the currency, two outputs.
pub(super) fn row(state: State, ran: &str, planned: &str) -> Row {
    let work = Work { items: vec![Item { count: 2, measures: Default::default(), attributes: Default::default() }] };
    let time = "2026-03-01T10:00:00Z".parse().unwrap();
    let ended = state != State::Held;
    let attempt = Attempt {
        number: 1,
        reason: AttemptReason::First,
        target: Some(target(ran)),
        tier: Some(TierId::new("premium").unwrap()),
        outcome: (state == State::Committed).then_some(Outcome::Accepted),
        outcome_unknown: false,
        units: Micros::new(2_000_000).unwrap(),
        cost: Micros::new(500_000).unwrap(),
        planned_cost: Micros::new(200_000),
        basis: CostBasis::Priced,
        price_from: Some(time),
        start_time: time,
        end_time: ended.then_some(time),
        asked: None,
        delivered: ended.then(|| work.clone()),
        billed: None,
        closed_by: None,
        trace: TraceId::new([0x0a; 16]),
    };
    let detail = Detail {
        user: None,
        generation: GenerationId::new("g-1").unwrap(),
        action: ActionId::new("image.generate").unwrap(),
        meter: None,
        plan: Some(PlanId::new("pro").unwrap()),
        catalog: CatalogVersion::new("v1").unwrap(),
        judged_at: time,
        planned_target: Some(target(planned)),
        fallbacks: Vec::new(),
        work,
        attempts: vec![attempt],
        labels: Labels::default(),
        currency: Box::from("USD"),
        cost_reserved: Micros::ZERO,
        note: Box::from(""),
        unenforced: false,
        refunds: Vec::new(),
    };
    Row {
        id: ReservationId::new("r-1").unwrap(),
        version: 1,
        sequence: 7,
        state,
        opened_by: Fingerprint([0; 16]),
        settled_by: None,
        create_time: time,
        began: time,
        deadline: time,
        settle_time: ended.then_some(time),
        legs: Vec::new(),
        late: false,
        detail: Arc::new(detail),
    }
}

pub(super) fn event(kind: EventKind, row: Row) -> Event {
    let subject = SubjectId::new("acme").unwrap();
    Event { sequence: row.sequence, time: row.create_time, kind, subject, row: Some(Arc::new(row)), document: None }
}

/// Telemetry whose spans end up in memory.
fn traced() -> (Arc<Telemetry>, InMemorySpanExporter) {
    let spans = InMemorySpanExporter::default();
    let traces = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let providers = Providers { traces: Some(traces), logs: None };
    (Arc::new(Telemetry::of(Metrics::local(), providers, true)), spans)
}

fn request(path: &str, trace: bool) -> Request<()> {
    let request = Request::builder().uri(path);
    let request = if trace { request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")) } else { request };
    request.body(()).unwrap()
}

/// Makes one call, answered with a status after `work` is done.
async fn call(telemetry: &Arc<Telemetry>, path: &str, status: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let layer = CallLayer::new(telemetry.clone(), [RESERVE.to_owned()]);
    let work = std::sync::Mutex::new(Some(work));
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let work = work.lock().unwrap().take().unwrap();
        async move {
            work.await;
            Ok::<_, Infallible>(Response::builder().header("grpc-status", status).body(()).unwrap())
        }
    }));
    service.oneshot(request(path, true)).await.unwrap();
}

fn value(span: &SpanData, name: &str) -> Option<String> {
    let mut found = span.attributes.iter().filter(|attribute| attribute.key.as_str() == name);
    let value = found.next().map(|attribute| attribute.value.to_string());
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

fn assert_values(span: &SpanData, expected: &[(&str, &str)]) {
    for (name, expected) in expected {
        assert_eq!(value(span, name).as_deref(), Some(*expected), "{name}");
    }
    for attribute in &span.attributes {
        assert!(attribute::ALL.contains(&attribute.key.as_str()), "{}", attribute.key);
    }
}

#[tokio::test]
async fn a_call_is_a_span_below_its_callers_and_says_what_was_decided() {
    let (telemetry, spans) = traced();
    let handler = telemetry.clone();
    call(&telemetry, &format!("/{RESERVE}"), "0", async move {
        assert_eq!(context::trace_id().unwrap().to_string(), TRACE);
        let row = row(State::Held, "a/dear", "a/cheap");
        let subject = SubjectId::new("acme").unwrap();
        let asked = handler.asked(&subject, &row.detail.action, Some(&target("a/dear")), false);
        handler.answered(Operation::Reserve, Duration::from_millis(2), None);
        asked.decided(Ok(&row), false);
    })
    .await;
    let spans = spans.get_finished_spans().unwrap();
    let [store, call] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((call.name.as_ref(), &call.span_kind), (RESERVE, &SpanKind::Server));
    assert_eq!(call.span_context.trace_id().to_string(), TRACE);
    assert_eq!((call.parent_span_id, call.parent_span_is_remote), (SpanId::from_hex(PARENT).unwrap(), true));
    assert_eq!((store.name.as_ref(), store.parent_span_id), ("store", call.span_context.span_id()));
    assert_values(store, &[("genquota.store.operation", "reserve")]);
    assert_values(
        call,
        &[
            ("rpc.system.name", "grpc"),
            ("rpc.method", RESERVE),
            ("rpc.response.status_code", "OK"),
            ("gen_ai.provider.name", "a"),
            ("gen_ai.request.model", "dear"),
            ("gen_ai.operation.name", "image.generate"),
            ("gen_ai.request.choice.count", "2"),
            ("genquota.subject", "acme"),
            ("genquota.decision", "held"),
            ("genquota.tier", "premium"),
            ("genquota.units", "2"),
            ("genquota.cost", "0.5"),
            ("genquota.cost.planned", "0.2"),
            ("genquota.cost.shift", "0.3"),
            ("genquota.failover", "true"),
            ("genquota.attempt.number", "1"),
            ("genquota.attempt.reason", "first"),
        ],
    );
    assert_eq!(call.status, Status::Unset);
}

#[tokio::test]
async fn a_denial_says_why_and_is_counted_unless_it_was_a_trial() {
    let (telemetry, spans) = traced();
    for is_trial in [false, true] {
        let handler = telemetry.clone();
        call(&telemetry, &format!("/{RESERVE}"), "0", async move {
            let action = ActionId::new("image.generate").unwrap();
            let denial = Denial::of(vec![Violation::of(DenialReason::CapReached, "daily", &[])]);
            handler.asked(&SubjectId::new("acme").unwrap(), &action, None, is_trial).decided(Err(&denial), false);
        })
        .await;
    }
    for span in &spans.get_finished_spans().unwrap() {
        let denied = [("genquota.decision", "denied"), ("genquota.denial.reason", "cap_reached"), ("genquota.denial.limit", "daily")];
        assert_values(span, &denied);
    }
    let text = telemetry.metrics().text();
    assert!(text.contains("genquota_denials_total{action=\"other\",reason=\"cap_reached\"} 1\n"), "{text}");
}

#[tokio::test]
async fn a_fault_of_the_server_is_an_error_and_a_bad_request_is_not() {
    let (telemetry, spans) = traced();
    for status in ["3", "14", "99"] {
        call(&telemetry, &format!("/{RESERVE}"), status, async {}).await;
    }
    let spans = spans.get_finished_spans().unwrap();
    let statuses: Vec<_> = spans.iter().map(|span| (value(span, "rpc.response.status_code").unwrap(), value(span, "error.type"))).collect();
    let of = |status: &str, error: Option<&str>| (status.to_owned(), error.map(str::to_owned));
    assert_eq!(statuses, [of("INVALID_ARGUMENT", None), of("UNAVAILABLE", Some("UNAVAILABLE")), of("UNKNOWN", Some("UNKNOWN"))]);
}

#[tokio::test]
async fn probes_leave_nothing_and_an_unknown_method_is_not_called_by_its_name() {
    let (telemetry, spans) = traced();
    call(&telemetry, "/grpc.health.v1.Health/Check", "0", async { assert_eq!(context::trace_id(), None) }).await;
    call(&telemetry, "/genquota.v1.QuotaService/Invented", "12", async {}).await;
    let spans = spans.get_finished_spans().unwrap();
    assert_eq!(spans.iter().map(|span| span.name.as_ref()).collect::<Vec<_>>(), ["_OTHER"]);
    assert!(!telemetry.metrics().text().contains("Invented"));
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_its_span_although_its_work_goes_on() {
    let (telemetry, spans) = traced();
    let layer = CallLayer::new(telemetry.clone(), [RESERVE.to_owned()]);
    let (hold, held) = tokio::sync::oneshot::channel::<()>();
    let held = std::sync::Mutex::new(Some(held));
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let work = tokio::spawn(context::carried(held.lock().unwrap().take().unwrap()));
        async move {
            let _ = work.await;
            Ok::<_, Infallible>(Response::new(()))
        }
    }));
    let calling = service.oneshot(request(&format!("/{RESERVE}"), true));
    assert!(tokio::time::timeout(Duration::ZERO, calling).await.is_err());
    let spans = spans.get_finished_spans().unwrap();
    assert_values(&spans[0], &[("rpc.response.status_code", "CANCELLED")]);
    drop(hold);
}

#[tokio::test]
async fn without_an_exporter_a_call_still_belongs_to_its_callers_trace_unless_context_is_not_taken() {
    let untraced = Telemetry::local();
    call(&untraced, &format!("/{RESERVE}"), "0", async { assert_eq!(context::trace_id().unwrap().to_string(), TRACE) }).await;
    let deaf = Arc::new(Telemetry::of(Metrics::local(), Providers::default(), false));
    call(&deaf, &format!("/{RESERVE}"), "0", async { assert_eq!(context::trace_id(), None) }).await;
}

#[test]
fn a_cost_event_is_one_log_record_with_all_there_is_to_say() {
    let records = InMemoryLogExporter::default();
    let logs = SdkLoggerProvider::builder().with_simple_exporter(records.clone()).build();
    let telemetry = Telemetry::of(Metrics::local(), Providers { traces: None, logs: Some(logs) }, true);
    telemetry.observe(&event(EventKind::Reserved, row(State::Held, "a/dear", "a/cheap")));
    telemetry.observe(&event(EventKind::Committed, row(State::Committed, "a/dear", "a/cheap")));
    let records = records.get_emitted_logs().unwrap();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.record.event_name(), Some(names::COST_EVENT));
    let has = |name: &str, expected: opentelemetry::logs::AnyValue| {
        let found: Vec<_> =
            record.record.attributes_iter().filter(|(key, _)| key.as_str() == name).map(|(_, value)| value.clone()).collect();
        assert_eq!(found, [expected], "{name}");
    };
    has("genquota.subject", "acme".into());
    has("genquota.attempt.outcome", "accepted".into());
    has("genquota.cost", 0.5.into());
    has("genquota.cost.shift", 0.3.into());
    has("gen_ai.request.model", "dear".into());
    has("genquota.event.sequence", 7.into());
    assert_eq!(record.record.trace_context().unwrap().trace_id.to_bytes(), [0x0a; 16]);
    for (name, _) in record.record.attributes_iter() {
        assert!(attribute::ALL.contains(&name.as_str()), "{name}");
    }
}

#[tokio::test]
async fn finishing_does_not_wait_for_a_collector_that_hangs() {
    #[derive(Debug)]
    struct Hanging(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);
    impl opentelemetry_sdk::trace::SpanExporter for Hanging {
        async fn export(&self, _: Vec<SpanData>) -> opentelemetry_sdk::error::OTelSdkResult {
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }
    let (end, hang) = std::sync::mpsc::channel();
    let traces = SdkTracerProvider::builder().with_batch_exporter(Hanging(std::sync::Mutex::new(hang))).build();
    let telemetry = Arc::new(Telemetry::of(Metrics::local(), Providers { traces: Some(traces), logs: None }, true));
    call(&telemetry, &format!("/{RESERVE}"), "0", async {}).await;
    let start = std::time::Instant::now();
    telemetry.finish(Duration::from_millis(200)).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(end);
}
