//! Answers that wait for replicas.

use std::time::Duration;

use genquota::domain::ledger::Answer;
use genquota::store::redis::{Options, RedisStore, Replicas};
use genquota::store::{Store, StoreError, Urgency};

use crate::fixtures::{done, reserve, row, take};
use crate::lab::{Kind, Server, Settings};
use crate::shared;

const WITHIN: Duration = Duration::from_millis(300);

async fn store(primary: &Server) -> RedisStore {
    let replicas = Replicas::AtLeast { count: 1, within: WITHIN, link: shared::link(&primary.url()).await };
    let options = Options { partitions: 2, replicas, ..Options::new("test") };
    RedisStore::open(shared::link(&primary.url()).await, options).await.unwrap()
}

#[tokio::test]
async fn an_answer_waits_for_a_replica_and_without_one_is_no_answer() {
    let primary = shared::server(Kind::Redis7);
    let replica = Server::start(Kind::Redis7, Settings::default().line("repl-diskless-sync-delay", "0"));
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    let attached = || primary.info("slave0").is_some_and(|line| line.contains("state=online"));
    while !attached() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let store = store(&primary).await;
    let hold = reserve("s", "r", take(4, 10));
    let asked = tokio::time::Instant::now();
    while store.execute(hold.clone(), Urgency::Reserve).await.is_err() {
        assert!(asked.elapsed() < Duration::from_secs(30), "the replica never confirms");
    }
    let there = replica.command(&["HGET", "{gqtest:1}s:s", "r:r"]).len() + replica.command(&["HGET", "{gqtest:0}s:s", "r:r"]).len();
    assert!(there > 0, "the replica has what was answered");

    replica.pause();
    let unsure = reserve("s", "q", take(4, 10));
    let silent = store.execute(unsure.clone(), Urgency::Reserve).await;
    assert!(matches!(silent, Err(StoreError::Unavailable { .. })), "{silent:?}");
    // Nor is a repeat an answer, although the primary has had it for long.
    let silent = store.execute(hold.clone(), Urgency::Reserve).await;
    assert!(matches!(silent, Err(StoreError::Unavailable { .. })), "{silent:?}");

    replica.resume();
    let asked = tokio::time::Instant::now();
    let known = loop {
        match store.execute(unsure.clone(), Urgency::Reserve).await {
            Ok(Answer::Replayed(known)) => break known,
            Ok(other) => panic!("{other:?}"),
            Err(_) => assert!(asked.elapsed() < Duration::from_secs(30), "the replica never confirms"),
        }
    };
    assert_eq!((known.version, row(store.execute(reserve("s", "p", take(2, 10)), Urgency::Reserve).await.unwrap()).version), (1, 1));
}

#[tokio::test]
async fn many_answers_share_a_round() {
    let primary = shared::server(Kind::Redis7);
    let replica = shared::server(Kind::Redis7);
    replica.command(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    while !primary.info("slave0").is_some_and(|line| line.contains("state=online")) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let store = store(&primary).await;
    // A replica that has just come may take a second until it says for the first time how far it is.
    let first = tokio::time::Instant::now();
    while store.execute(reserve("s", "first", take(1, 1000)), Urgency::Reserve).await.is_err() {
        assert!(first.elapsed() < Duration::from_secs(30), "the replica never confirms");
    }
    let calls = (0..200).map(|number| store.execute(reserve("s", &format!("r{number}"), take(1, 1000)), Urgency::Reserve));
    for answer in futures_util::future::join_all(calls).await {
        done(answer.unwrap());
    }
    let waits = primary.info("cmdstat_wait").unwrap();
    let rounds: usize = waits.split([',', '=']).nth(1).unwrap().parse().unwrap();
    assert!((1..100).contains(&rounds), "{waits}");
}
