//! Told to stop: what is in flight is finished, and what was acknowledged is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use genquota::proto::v1::{State, reserve_response};
use tokio::task::JoinSet;
use tonic::Code;

use super::NOON;
use crate::ask::images;
use crate::catalogs::monthly;
use crate::harness::{Setup, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_under_load_loses_nothing_acknowledged() {
    let setup = Setup::new(&monthly("1000000"), NOON).embedded();
    let server = setup.start().await;
    let acme = server.customer("acme", "pro").await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (acme, done) = (acme.clone(), done.clone());
        callers.spawn(async move {
            let (mut held, mut committed) = (Vec::new(), Vec::new());
            loop {
                let ask = images(1).ttl(7200);
                match acme.reserve(&ask).await.map(|answer| answer.outcome) {
                    Ok(Some(reserve_response::Outcome::Reservation(_))) => held.push(ask.key().to_owned()),
                    Ok(other) => panic!("granted: {other:?}"),
                    Err(_) => return (held, committed),
                }
                if held.len() % 2 == 0 {
                    match acme.commit(ask.key(), |_| {}).await {
                        Ok(_) => committed.push(held.pop().unwrap()),
                        Err(_) => return (held, committed),
                    }
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    eventually("there is load", async || (done.load(Ordering::SeqCst) > 200).then_some(())).await;
    drop(acme);
    server.begin_stop();
    server.stopped().await.unwrap();
    let acknowledged = callers.join_all().await;

    let server = setup.start().await;
    let acme = server.stranger("acme");
    let mut units = 0;
    for (held, committed) in acknowledged {
        for id in &committed {
            assert_eq!(acme.reservation(id).await.unwrap().state(), State::Committed, "{id}");
        }
        // A commit whose answer was lost may or may not have happened; its hold has.
        for id in &held {
            assert!(matches!(acme.reservation(id).await.unwrap().state(), State::Held | State::Committed), "{id}");
        }
        units += held.len() + committed.len();
    }
    let balance = acme.balance().await;
    let kept = balance.reserved.parse::<usize>().unwrap() + balance.committed.parse::<usize>().unwrap();
    assert!(kept >= units && kept <= units + 16, "{units} acknowledged, {kept} kept");
}

#[tokio::test]
async fn a_stopped_server_grants_nothing_more() {
    let setup = Setup::new(&monthly("10"), NOON).embedded();
    let server = setup.start().await;
    let acme = server.customer("acme", "pro").await;
    acme.held(&images(3)).await;
    server.begin_stop();
    server.stopped().await.unwrap();
    let late = acme.reserve(&images(1)).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable);
    let server = setup.start().await;
    assert_eq!(server.stranger("acme").left().await, "7");
}

#[tokio::test]
async fn a_server_that_is_idle_stops_at_once_with_connections_open() {
    let server = Setup::new(&monthly("10"), NOON).with("drain_deadline", &["1h"]).start().await;
    let acme = server.customer("acme", "pro").await;
    let another = crate::harness::connect(&server.listen[0]).await;
    acme.held(&images(1)).await;
    server.begin_stop();
    // An idle connection is told to go away; it does not hold the process for its deadline of an hour.
    server.stopped().await.unwrap();
    drop((acme, another));
}

#[tokio::test]
async fn a_stream_that_never_ends_is_cut_off_at_the_deadline() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let server = Setup::new(&monthly("10"), NOON).with("drain_deadline", &["1s"]).start().await;
    let mut health = HealthClient::new(server.channel.clone());
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.message().await.unwrap();
    server.begin_stop();
    server.stopped().await.unwrap();
    drop(watch);
}
