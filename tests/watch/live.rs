//! What a watcher sees, and where it goes on.

use genquota::proto::v1::watch_costs_response::Update;
use genquota::proto::v1::{self, AttemptReason, CostFilters, Outcome};
use tonic::Code;

use crate::ask::images;
use crate::catalogs::monthly;
use crate::harness::{Server, Setup};
use crate::watcher::{history, watch, watch_from_now};

const NOON: &str = "2026-03-01T12:00:00Z";

async fn server() -> Server {
    Server::start(&monthly("1000"), NOON).await
}

#[tokio::test]
async fn every_closed_attempt_is_seen_as_its_own_answer_tells_it() {
    let server = server().await;
    let acme = server.customer("acme", "pro").await;
    let mut watcher = watch_from_now(&server.channel).await;
    let ask = images(2).at("lab/big").planned("lab/small").label("campaign", "spring").user("ann");
    acme.held(&ask).await;
    let answered = acme.commit(ask.key(), |_| {}).await.unwrap().events.remove(0);
    let seen = watcher.event().await;
    assert_eq!(v1::CostEvent { cursor: String::new(), ..seen.clone() }, answered);
    let attempt = seen.attempt.unwrap();
    assert_eq!((seen.event_id.as_str(), seen.failover, attempt.reason()), (&*format!("acme|{}|2", ask.key()), true, AttemptReason::First));
    assert_eq!((attempt.cost.as_str(), attempt.cost_shift.as_str(), attempt.outcome()), ("0.08", "0.06", Outcome::Accepted));

    let (failed, recorded) = (images(1), images(3));
    acme.held(&failed).await;
    acme.release(failed.key(), |request| request.set_outcome(Outcome::Failed)).await.unwrap();
    acme.record(&recorded, |_| {}).await.unwrap();
    assert_eq!(watcher.ids(2).await, [failed.key(), recorded.key()]);
}

#[tokio::test]
async fn a_hold_that_expires_is_seen_without_anybody_asking() {
    let server = server().await;
    let acme = server.customer("acme", "pro").await;
    let mut watcher = watch_from_now(&server.channel).await;
    acme.held(&images(1).ttl(60)).await;
    server.clock.advance(jiff::SignedDuration::from_secs(61));
    let seen = watcher.event().await;
    assert_eq!(seen.attempt.unwrap().outcome(), Outcome::Expired);
}

#[tokio::test]
async fn a_filter_lets_pass_what_fits_it_and_every_condition_must() {
    let server = server().await;
    let (acme, other) = (server.customer("acme", "pro").await, server.customer("other", "pro").await);
    let (small, big, failover) = (images(1), images(1).at("lab/big"), images(1).at("studio/big").planned("lab/small"));
    for ask in [&small, &big, &failover] {
        acme.used(ask).await;
    }
    let failed = images(1);
    acme.held(&failed).await;
    acme.release(failed.key(), |request| request.set_outcome(Outcome::Failed)).await.unwrap();
    let strange = images(1);
    other.used(&strange).await;

    let of = |subject: &str| CostFilters { subject: subject.to_owned(), ..CostFilters::default() };
    let cases: [(CostFilters, Vec<&str>); 9] = [
        (of("other"), vec![strange.key()]),
        (of("nobody"), vec![]),
        (CostFilters { provider: "studio".to_owned(), ..Default::default() }, vec![failover.key()]),
        (CostFilters { model: "big".to_owned(), ..Default::default() }, vec![big.key(), failover.key()]),
        (CostFilters { tier: "basic".to_owned(), ..of("acme") }, vec![small.key(), failed.key()]),
        (CostFilters { outcomes: vec![Outcome::Failed.into(), Outcome::Expired.into()], ..Default::default() }, vec![failed.key()]),
        (CostFilters { failover_only: true, ..Default::default() }, vec![failover.key()]),
        (CostFilters { failover_only: true, tier: "basic".to_owned(), ..Default::default() }, vec![]),
        (CostFilters { action: "image".to_owned(), ..of("other") }, vec![strange.key()]),
    ];
    for (filters, expected) in cases {
        let events = watch(&server.channel, "0", Some(filters.clone())).await.unwrap().caught_up().await;
        assert_eq!(events.iter().map(|event| event.reservation_id.as_str()).collect::<Vec<_>>(), expected, "{filters:?}");
    }
}

#[tokio::test]
async fn each_cursor_goes_on_right_after_its_message_and_ids_stay_the_same() {
    let server = server().await;
    let acme = server.customer("acme", "pro").await;
    for _ in 0..6 {
        acme.used(&images(1)).await;
    }
    let all = history(&server.channel).await;
    assert_eq!(all.len(), 6);
    for (place, event) in all.iter().enumerate() {
        let rest = watch(&server.channel, &event.cursor, None).await.unwrap().caught_up().await;
        let ids = |events: &[v1::CostEvent]| events.iter().map(|event| event.event_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&rest), ids(&all[place + 1..]));
    }
}

#[tokio::test]
async fn a_watcher_from_now_has_a_cursor_before_anything_happens() {
    let server = server().await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1)).await;
    let cursor = watch_from_now(&server.channel).await.cursor;
    let missed = images(1);
    acme.used(&missed).await;
    let mut again = watch(&server.channel, &cursor, None).await.unwrap();
    assert_eq!(again.ids(1).await, [missed.key()]);
}

#[tokio::test]
async fn a_checkpoint_comes_where_nothing_else_does() {
    let server = server().await;
    let acme = server.customer("acme", "pro").await;
    let filters = CostFilters { subject: "nobody".to_owned(), ..CostFilters::default() };
    let mut watcher = watch(&server.channel, "", Some(filters)).await.unwrap();
    watcher.caught_up().await;
    let before = watcher.cursor.clone();
    acme.used(&images(1)).await;
    let asked = std::time::Instant::now();
    let Update::Checkpoint(checkpoint) = watcher.update().await.unwrap() else { panic!("nothing passes the filter") };
    assert!(asked.elapsed() < std::time::Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(checkpoint.caught_up && checkpoint.checkpoint_time.is_some());
    assert_ne!(checkpoint.cursor, before, "it has moved past what did not pass");
    let rest = watch(&server.channel, &checkpoint.cursor, None).await.unwrap().caught_up().await;
    assert_eq!(rest, []);
}

#[tokio::test]
async fn an_embedded_store_goes_on_from_a_cursor_after_a_restart() {
    let setup = Setup::new(&monthly("1000"), NOON).embedded();
    let server = setup.start().await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1)).await;
    let mut watcher = watch(&server.channel, "0", None).await.unwrap();
    watcher.event().await;
    let missed = images(1);
    acme.used(&missed).await;
    let cursor = watcher.cursor.clone();
    let before = history(&server.channel).await;
    drop((acme, watcher));
    server.begin_stop();
    server.stopped().await.unwrap();

    let server = setup.start().await;
    let acme = server.stranger("acme");
    let new = images(1);
    acme.used(&new).await;
    let mut watcher = watch(&server.channel, &cursor, None).await.unwrap();
    assert_eq!(watcher.ids(2).await, [missed.key(), new.key()]);
    assert_eq!(history(&server.channel).await[..2], before, "the same cursors and the same ids");
}

#[tokio::test]
async fn a_drain_ends_every_stream_at_once_and_waits_for_none() {
    let server = Setup::new(&monthly("1000"), NOON).with("drain_deadline", &["1h"]).start().await;
    let mut watchers = Vec::new();
    for _ in 0..3 {
        watchers.push(watch_from_now(&server.channel).await);
    }
    server.begin_stop();
    for watcher in &mut watchers {
        let status = watcher.end().await;
        assert_eq!((status.code(), status.details()), (Code::Unavailable, &[][..]), "{status}");
    }
    server.stopped().await.unwrap();
}
