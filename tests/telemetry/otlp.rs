//! Spans, metrics and log records over OTLP, in both protocols, and a collector that is not there.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::collector::{Collector, Item};
use crate::sidecar::{PARENT, Sidecar, TRACE};

const RESERVE: &str = "genquota.v1.QuotaService/Reserve";
const COMMIT: &str = "genquota.v1.QuotaService/Commit";

/// Often enough for a test to wait for.
const OFTEN: [(&str, &str); 3] =
    [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_BLRP_SCHEDULE_DELAY", "50"), ("OTEL_METRIC_EXPORT_INTERVAL", "200")];

fn exporting<'v>(endpoint: &'v str, protocol: &'v str) -> Vec<(&'v str, &'v str)> {
    let mut variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("GENQUOTA_TELEMETRY_COST_LOG", "true"),
    ];
    variables.extend(OFTEN);
    variables
}

/// A generation that failed over, one that is denied, and a call that fails; then all of it in the collector.
async fn everything_arrives(collector: &Collector, sidecar: Sidecar) {
    let mut quota = sidecar.quota().await;
    assert!(quota.reserve("r-1", 4).await);
    let committed = quota.commit("r-1").await;
    assert_eq!(committed.events[0].trace_id, TRACE);
    assert!(!quota.reserve("r-2", 1_000).await);
    assert_eq!(quota.look_up("r-3").await, tonic::Code::NotFound);

    let held = collector.span(RESERVE, |span| span.attributes.contains_key("genquota.reservation.id"));
    assert_eq!((held.fields["Trace ID"].as_str(), held.fields["Parent ID"].as_str()), (TRACE, PARENT));
    assert_eq!(held.fields["Kind"], "SPAN_KIND_SERVER");
    for (name, value) in [
        ("rpc.system.name", "grpc"),
        ("rpc.response.status_code", "OK"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "image-1"),
        ("gen_ai.operation.name", "image.generate"),
        ("gen_ai.request.choice.count", "4"),
        ("genquota.decision", "held"),
        ("genquota.tier", "premium"),
        ("genquota.units", "4"),
        ("genquota.cost", "1"),
        ("genquota.cost.shift", "0.6"),
        ("genquota.attempt.number", "1"),
    ] {
        assert_eq!(held.attribute(name), value, "{name}");
    }
    let committed = collector.span(COMMIT, |_| true);
    assert_eq!((committed.fields["Trace ID"].as_str(), committed.attribute("genquota.decision")), (TRACE, "committed"));
    assert_eq!(committed.attribute("genquota.attempt.outcome"), "accepted");
    let denied = collector.span(RESERVE, |span| span.attributes.contains_key("genquota.denial.reason"));
    assert_eq!((denied.attribute("genquota.decision"), denied.attribute("genquota.denial.reason")), ("denied", "quota_exhausted"));
    let is_hold = |span: &Item| span.attribute("genquota.store.operation") == "reserve";
    let store = collector.span("store", |span| span.fields["Parent ID"] == held.fields["ID"] && is_hold(span));
    assert_eq!(store.fields["Trace ID"], TRACE);
    let failed = collector.span("genquota.v1.QuotaService/GetReservation", |_| true);
    assert_eq!(failed.attribute("rpc.response.status_code"), "NOT_FOUND");

    let cost = collector.point("genquota.cost", |point| point.attributes.get("model").is_some_and(|model| model == "image-1"));
    assert_eq!((cost.fields["Value"].as_str(), cost.attribute("currency"), cost.attribute("tier")), ("1", "USD", "premium"));
    let shift = collector.point("genquota.cost_shift.up", |point| point.fields["Value"] == "0.6");
    assert_eq!(shift.attribute("provider"), "openai");

    let record = collector.record(|record| record.attributes.contains_key("genquota.event.sequence"));
    assert_eq!((record.attribute("genquota.subject"), record.attribute("genquota.cost.shift")), ("acme", "0.6"));
    assert!(collector.log().contains("deployment.environment.name: Str(test)"));
    assert!(sidecar.stop(Duration::from_secs(30)).await.success());
}

#[tokio::test]
async fn everything_arrives_over_grpc() {
    let collector = Collector::start();
    let sidecar = Sidecar::start(&exporting(&collector.grpc, "grpc"));
    everything_arrives(&collector, sidecar).await;
}

#[tokio::test]
async fn everything_arrives_over_http() {
    let collector = Collector::start();
    let sidecar = Sidecar::start(&exporting(&collector.http, "http/protobuf"));
    everything_arrives(&collector, sidecar).await;
}

#[tokio::test]
async fn what_waits_to_be_sent_is_sent_when_the_sidecar_stops() {
    let collector = Collector::start();
    let seldom =
        [("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.grpc), ("OTEL_BSP_SCHEDULE_DELAY", "600000")];
    let sidecar = Sidecar::start(&seldom);
    assert!(sidecar.quota().await.reserve("r-1", 1).await);
    assert!(!collector.log().contains(RESERVE));
    assert!(sidecar.stop(Duration::from_secs(30)).await.success());
    collector.span(RESERVE, |_| true);
}

#[tokio::test]
async fn only_the_signals_that_are_wanted_are_sent() {
    let collector = Collector::start();
    let mut variables = exporting(&collector.grpc, "grpc");
    variables.extend([("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")]);
    let sidecar = Sidecar::start(&variables);
    let mut quota = sidecar.quota().await;
    assert!(quota.reserve("r-1", 1).await);
    quota.commit("r-1").await;
    collector.span(COMMIT, |_| true);
    assert!(sidecar.stop(Duration::from_secs(30)).await.success());
    let log = collector.log();
    assert!(!log.contains("ResourceMetrics") && !log.contains("LogRecord"), "{log}");
}

#[tokio::test]
async fn a_collector_that_hangs_delays_neither_decisions_nor_the_end() {
    // It is connected to, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let sidecar = Sidecar::start(&exporting(&endpoint, "grpc"));
    let mut quota = sidecar.quota().await;
    let start = Instant::now();
    for number in 0..50 {
        let id = format!("r-{number}");
        assert!(quota.reserve(&id, 1).await);
        quota.commit(&id).await;
    }
    // One answer of the collector, had anybody waited for it, would have taken longer than all of them.
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    drop(quota);
    let start = Instant::now();
    assert!(sidecar.stop(Duration::from_secs(30)).await.success());
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    drop(silent);
}
