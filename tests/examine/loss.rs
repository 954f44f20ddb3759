//! A server that lost the ledger: everything stops until that is accepted, and then everyone goes on under one ledger.

use genquota::store::redis::{OnLoss, OpenError, Options};
use genquota::store::{Store as _, StoreError};

use crate::harness::{ask, code, open, options, run, stderr, stdout, until};
use crate::lab::{Aof, Cluster, Kind, Server, Settings};

fn is_lost(answer: &Result<(), StoreError>) -> bool {
    matches!(answer, Err(StoreError::DataLost { .. }))
}

fn accept(url: &str, more: &[&str]) -> serde_json::Value {
    let words = [&["store", "accept-loss", url, "--instance", "test", "--yes", "--json"], more].concat();
    let output = run(&words);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_came_back_empty_serves_again_after_its_loss_is_accepted() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let store = open(&server.url(), options()).await.unwrap();
    ask(&store).await.unwrap();
    let known = store.identity();
    server.kill();
    server.restart();
    until(&store, "the loss to be seen", is_lost).await.unwrap_err();
    // Neither who knew it nor who never did takes the empty server for a new ledger.
    let remembering = Options { known: Some(known.clone()), ..options() };
    for options in [remembering.clone(), options()] {
        let deadline = tokio::time::timeout(crate::lab::PATIENCE, async {
            // The running store has to leave its claim first.
            while server.ask(&["EXISTS", "{gqtest}missed"]).unwrap() == crate::lab::Reply::Integer(0) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        deadline.await.unwrap();
        let error = open(&server.url(), options).await.err().unwrap();
        assert!(matches!(&error, OpenError::Gone { .. } | OpenError::Lost(_)) && error.to_string().contains(&known), "{error}");
    }
    let told = accept(&server.url(), &[]);
    assert_eq!((told["ledger"].as_str(), told["generation"].as_u64()), (Some(known.as_str()), Some(2)), "{told}");
    until(&store, "service", Result::is_ok).await.unwrap();
    let other = open(&server.url(), remembering).await.unwrap();
    ask(&other).await.unwrap();
    assert_eq!(other.identity(), known);
    assert_eq!(server.command(&["EXISTS", "{gqtest}missed"]), "0", "nobody misses it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_never_exchanged_for_another_one_unless_that_is_accepted() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let store = open(&server.url(), options()).await.unwrap();
    let known = store.identity();
    server.kill();
    server.restart();
    // Somebody is quicker than the store: a new ledger is there before it is missed.
    server.command(&["DEL", "{gqtest}missed"]);
    let other = loop {
        match open(&server.url(), options()).await {
            Ok(other) => break other,
            Err(_) => server.command(&["DEL", "{gqtest}missed"]),
        };
    };
    assert_ne!(other.identity(), known);
    until(&store, "the loss to be seen", is_lost).await.unwrap_err();
    for _ in 0..20 {
        assert!(is_lost(&ask(&store).await));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let told = accept(&server.url(), &["--ledger", &known]);
    assert_eq!(told["ledger"].as_str(), Some(other.identity().as_str()), "what is there stays: {told}");
    until(&store, "service", Result::is_ok).await.unwrap();
    until(&other, "service", Result::is_ok).await.unwrap();
    assert_eq!(store.identity(), other.identity());
    // Who was away meanwhile is let in under the old name too.
    open(&server.url(), Options { known: Some(known), ..options() }).await.unwrap();
    let stranger = Options { known: Some("0193b2c4-7d1e-7000-8000-000000000000".to_owned()), ..options() };
    assert!(matches!(open(&server.url(), stranger).await, Err(OpenError::Foreign { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anybody_who_misses_it_a_ledger_goes_on_by_its_name() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let known = open(&server.url(), options()).await.unwrap().identity();
    server.kill();
    server.restart();
    let remembering = Options { known: Some(known.clone()), ..options() };
    let error = open(&server.url(), remembering.clone()).await.err().unwrap().to_string();
    assert!(error.contains(&known) && error.contains("hint: ") && error.contains("accept-loss"), "{error}");
    let told = accept(&server.url(), &["--ledger", &known]);
    assert_eq!(told["ledger"].as_str(), Some(known.as_str()));
    assert!(told["generation"].as_u64().unwrap() > 1_000_000, "later than any that was counted: {told}");
    // Laid out for the configured number of partitions, which is not that of the tests.
    let error = open(&server.url(), remembering.clone()).await.err().unwrap();
    assert!(matches!(error, OpenError::Partitions { found: 64, asked: 4 }), "{error}");
    ask(&open(&server.url(), Options { partitions: 64, ..remembering }).await.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_came_back_empty_stops_its_part_until_that_is_accepted() {
    let mut cluster = Cluster::start(Kind::Redis7, 3, 0);
    let store = open(&cluster.url(), Options { partitions: 12, ..options() }).await.unwrap();
    ask(&store).await.unwrap();
    let known = store.identity();
    cluster.node_mut(0).kill();
    cluster.node_mut(0).restart();
    cluster.wait_until_well().await;
    until(&store, "the loss to be seen", is_lost).await.unwrap_err();
    let told = accept(&cluster.url(), &[]);
    assert_eq!((told["ledger"].as_str(), told["generation"].as_u64()), (Some(known.as_str()), Some(2)), "{told}");
    assert!(told["facts"].to_string().contains("partitions are gone"), "{told}");
    until(&store, "service", Result::is_ok).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_accepted_at_the_start_and_later_where_that_is_configured() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let accepting = Options { on_loss: OnLoss::Accept, ..options() };
    let store = open(&server.url(), accepting.clone()).await.unwrap();
    let known = store.identity();
    server.kill();
    server.restart();
    until(&store, "service", Result::is_ok).await.unwrap();
    assert_eq!(store.identity(), known);
    store.close().await;
    server.kill();
    server.restart();
    let again = open(&server.url(), Options { known: Some(known.clone()), ..accepting.clone() }).await.unwrap();
    ask(&again).await.unwrap();
    assert_eq!(again.identity(), known);
    // A server of somebody else is no loss.
    let stranger = Options { known: Some("0193b2c4-7d1e-7000-8000-000000000000".to_owned()), ..accepting };
    assert!(matches!(open(&server.url(), stranger).await, Err(OpenError::Foreign { .. })));
}

#[test]
fn nothing_is_accepted_without_a_word() {
    let server = Server::start(Kind::Redis7, Settings::default().aof(Aof::Always));
    let output = run(&["store", "accept-loss", &server.url()]);
    assert!(code(&output) == 64 && stderr(&output).contains("--yes"), "{}", stderr(&output));
    assert_eq!(server.command(&["DBSIZE"]), "0");
    let output = run(&["store", "accept-loss", &server.url(), "--yes"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with("accepted: ledger ") && stderr(&output).contains("nobody misses one"), "{}", stderr(&output));
}
