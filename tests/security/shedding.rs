//! Too much to do (W4): the store gives no answer, calls pile up, and what began last is turned away first.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt as _;

use crate::caller::{Caller, code};
use crate::lab::{Kind, Server, Settings};
use crate::sidecar::{Setup, tokens, until};

/// Calls in flight that the sidecar is let have. Holds are shed from six on, reads from seven.
const CALLS: &str = "8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_are_shed_first_then_reads_and_settlements_never() {
    let store = Server::start(Kind::Valkey, Settings::default());
    let setup = Setup::new().access(&tokens()).with("--store", &store.url()).with("--journal", "off").with("--limits-calls", CALLS);
    let sidecar = setup.with("--request-timeout", "60s").with("--redis-command-timeout", "60s").start();
    let caller = Caller::new(&sidecar).await;
    caller.with("admin").create("acme").await.unwrap();
    let gateway = caller.with("gateway");
    gateway.reserve("before").await.unwrap();
    let in_flight = async |calls: f64| {
        until(&format!("{calls} calls in flight"), async || (sidecar.metric("genquota_calls_in_flight") == calls).then_some(())).await;
    };
    in_flight(0.0).await;

    store.pause();
    let mut waiting = Vec::new();
    for number in 0..6 {
        let gateway = gateway.clone();
        waiting.push(tokio::spawn(async move { gateway.reserve(&format!("hold-{number}")).await.map(drop) }));
    }
    in_flight(6.0).await;
    let shed = gateway.reserve("one-too-many").await.unwrap_err();
    assert_eq!(shed.code(), Code::ResourceExhausted);
    let details = shed.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "SERVER_OVERLOADED");
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(100)));

    let reading = gateway.clone();
    waiting.push(tokio::spawn(async move {
        reading.raw("/genquota.v1.QuotaService/GetReservation", b"\x0a\x04acme\x12\x06before".to_vec()).await
    }));
    in_flight(7.0).await;
    assert_eq!(code(&gateway.balance("acme").await), Code::ResourceExhausted);
    for _ in 0..3 {
        let settling = gateway.clone();
        waiting.push(tokio::spawn(async move { settling.commit("before").await }));
    }
    in_flight(8.0).await;
    // Probes are nobody's calls.
    caller.raw("/grpc.health.v1.Health/Check", Vec::new()).await.unwrap();

    store.resume();
    for call in waiting {
        let answer = call.await.unwrap();
        assert_eq!(code(&answer), Code::Ok, "{answer:?}");
    }
    in_flight(0.0).await;
    gateway.reserve("one-too-many").await.unwrap();
}
