//! From store to store, and back: the same lines, and a ledger that goes on where it was.

use std::sync::Arc;

use genquota::clock::{Clock, ManualClock};
use genquota::domain::ids::ReservationId;
use genquota::domain::ledger::{Answer, HistoryPlace, State, Take};
use genquota::store::Urgency;
use jiff::{SignedDuration, Timestamp};

use crate::fixtures::{RETENTION, allowance, commit, describe, done, overage, reserve, row, start, subject, take};
use crate::lab::{Cluster, Kind, Server, Settings};
use crate::life::{live, name};
use crate::shelf::{archive, assert_same, directory, embedded, exported, imported, redis, told, verified};

const SUBJECTS: usize = 25;

fn server(kind: Kind) -> Server {
    Server::start(kind, Settings::default())
}

/// The file of a ledger that lived on the embedded store.
async fn embedded_file() -> String {
    let place = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let store = embedded(place.path(), &clock);
    live(&store, &clock, SUBJECTS).await;
    drop(store);
    exported(&mut directory(place.path())).await
}

/// The same of one that lived on a server, over so many partitions.
async fn redis_file(url: &str, partitions: u32) -> String {
    let clock = Arc::new(ManualClock::at(start()));
    let store = redis(url, partitions, &clock).await;
    live(&store, &clock, SUBJECTS).await;
    store.store().close().await;
    exported(&mut archive(url, partitions).await).await
}

#[tokio::test]
async fn a_file_tells_everything_in_one_order() {
    let file = embedded_file().await;
    assert_eq!(verified(&file).unwrap(), file.lines().count() as u64);
    let kinds: Vec<&str> = told(&file).iter().map(|line| &line[2..line.find("\":").unwrap()]).collect();
    let mut once = kinds.clone();
    once.dedup();
    assert_eq!(once, ["catalog", "subject", "costs", "event"]);
    let count = |kind| kinds.iter().filter(|found| **found == kind).count();
    assert_eq!((count("catalog"), count("subject")), (1, SUBJECTS));
    for word in ["STATE_HELD", "STATE_COMMITTED", "STATE_RELEASED", "STATE_EXPIRED", "\"late\":true", "lc|", "fc|hourly", "ov|generations"]
    {
        assert!(word == "lc|" || file.contains(word), "nothing in this life is {word}");
    }
}

#[tokio::test]
async fn the_same_life_gives_the_same_file_on_every_store() {
    let server = server(Kind::Redis7);
    // In one partition, events have the order and numbers that they have in the embedded store.
    assert_same(&embedded_file().await, &redis_file(&server.url(), 1).await);
}

#[tokio::test]
async fn embedded_to_redis_and_back_is_the_same_ledger() {
    let file = embedded_file().await;
    for kind in [Kind::Redis7, Kind::Valkey] {
        let server = server(kind);
        let summary = imported(&mut archive(&server.url(), 16).await, &file).await.unwrap();
        assert_eq!((summary.put.written, summary.put.known), (told(&file).len() as u64, 0));
        let there = exported(&mut archive(&server.url(), 16).await).await;
        assert_same(&file, &there);
        let place = tempfile::tempdir().unwrap();
        imported(&mut directory(place.path()), &there).await.unwrap();
        assert_same(&file, &exported(&mut directory(place.path())).await);
    }
}

#[tokio::test]
async fn a_server_moves_into_a_cluster_with_other_partitions() {
    let server = server(Kind::Valkey);
    let file = redis_file(&server.url(), 4).await;
    let cluster = Cluster::start(Kind::Redis7, 3, 0);
    imported(&mut archive(&cluster.url(), 64).await, &file).await.unwrap();
    let there = exported(&mut archive(&cluster.url(), 64).await).await;
    assert_same(&file, &there);
    // And out of it again.
    let place = tempfile::tempdir().unwrap();
    imported(&mut directory(place.path()), &there).await.unwrap();
    assert_same(&file, &exported(&mut directory(place.path())).await);
}

#[tokio::test]
async fn a_ledger_of_which_nothing_ever_happened_can_be_moved() {
    let place = tempfile::tempdir().unwrap();
    let file = exported(&mut directory(place.path())).await;
    assert_eq!(file.lines().count(), 2);
    let server = server(Kind::Redis7);
    imported(&mut archive(&server.url(), 4).await, &file).await.unwrap();
    assert_eq!(exported(&mut archive(&server.url(), 4).await).await.lines().count(), 2);
    let clock = Arc::new(ManualClock::at(start()));
    let store = redis(&server.url(), 4, &clock).await;
    row(store.store().execute(reserve("a", "r", take(1, 1)), Urgency::Reserve).await.unwrap());
}

/// What a moved ledger does next, on either kind of store.
async fn goes_on(store: &crate::shelf::Live, clock: &ManualClock) {
    // Of the last round: held, with a version of the document, and 1 of the hold under the hourly cap.
    let (of, id) = (name(18), ReservationId::new("r5").unwrap());
    let store_of = store.store();
    let held = store_of.reservation(&subject(&of), &id, Urgency::Settle).await.unwrap().unwrap();
    assert_eq!((held.state, held.legs[0].held.get()), (State::Held, 68));
    // Its repeat is known, its document's version too.
    let repeat = reserve(&of, "r5", take(1, 1));
    let answer = store_of.execute(repeat, Urgency::Reserve).await.unwrap();
    assert!(matches!(answer, Answer::Replayed(_)), "{answer:?}");
    let stale = store_of.execute(describe(&of, 5), Urgency::Settle).await.unwrap();
    assert!(matches!(stale, Answer::StaleDocument), "{stale:?}");
    let next = done(store_of.execute(describe(&of, 6), Urgency::Settle).await.unwrap());
    assert_eq!(next.document.unwrap().version, 7);
    // A hold that is committed uses what it held; the rest comes back.
    let before = store_of.accounts(&subject(&of), vec![allowance()]).await.unwrap()[0];
    row(store_of.execute(commit(&of, "r5", 1, Take { overage: Some(overage()), ..take(8, 1_000_000) }), Urgency::Settle).await.unwrap());
    let after = store_of.accounts(&subject(&of), vec![allowance()]).await.unwrap()[0];
    assert_eq!((before.reserved.get() - after.reserved.get(), after.committed.get() - before.committed.get()), (68, 8));
    // One that nobody settles comes back at its deadline.
    let other = name(19);
    let left = store_of.reservation(&subject(&other), &id, Urgency::Settle).await.unwrap().unwrap();
    assert_eq!(left.state, State::Held);
    clock.set(left.deadline);
    store.sweep().await;
    let account = store_of.accounts(&subject(&other), vec![allowance()]).await.unwrap()[0];
    assert_eq!(account.reserved.get(), 0);
    // An id is forgotten when it would have been.
    clock.set(clock.now() + RETENTION);
    store.sweep().await;
    assert!(store_of.reservation(&subject(&other), &id, Urgency::Settle).await.unwrap().is_none());
    let windows = store_of.accounts(&subject(&of), vec![crate::fixtures::cap("hourly", 1).account]).await.unwrap();
    assert!(windows[0].is_empty(), "{windows:?}");
}

#[tokio::test]
async fn a_moved_ledger_goes_on_where_it_was() {
    let file = embedded_file().await;
    let end = || Arc::new(ManualClock::at(start() + SignedDuration::from_hours(30) + SignedDuration::from_mins(1)));
    let server = server(Kind::Redis7);
    imported(&mut archive(&server.url(), 8).await, &file).await.unwrap();
    let clock = end();
    let store = redis(&server.url(), 8, &clock).await;
    goes_on(&store, &clock).await;
    store.store().close().await;
    drop(store);

    let place = tempfile::tempdir().unwrap();
    imported(&mut directory(place.path()), &file).await.unwrap();
    let clock = end();
    let store = embedded(place.path(), &clock);
    goes_on(&store, &clock).await;
    drop(store);

    // Both did the same since, though several partitions have no one order for what happens in one moment.
    let (left, right) = (exported(&mut archive(&server.url(), 8).await).await, exported(&mut directory(place.path())).await);
    for file in [&left, &right] {
        assert_eq!(verified(file).unwrap(), file.lines().count() as u64);
    }
    let (left, right) = (without_numbers(&left), without_numbers(&right));
    for (left, right) in left.iter().zip(&right) {
        assert_eq!(left, right);
    }
    assert_eq!(left.len(), right.len());
}

/// The history of every subject, in its order.
async fn histories(store: &crate::shelf::Live) -> Vec<Vec<(String, Timestamp, State)>> {
    let mut histories = Vec::new();
    for number in 0..SUBJECTS {
        let rows = store.store().history(&subject(&name(number)), &HistoryPlace::END, 100).await.unwrap();
        histories.push(rows.iter().map(|row| (row.id.to_string(), row.began, row.state)).collect());
    }
    histories
}

#[tokio::test]
async fn a_history_moves_with_its_ledger_and_is_forgotten_there() {
    let (place, end) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = Arc::new(ManualClock::at(start()));
    let store = embedded(place.path(), &clock);
    live(&store, &clock, SUBJECTS).await;
    let expected = histories(&store).await;
    assert!(expected.iter().flatten().any(|(id, began, _)| id != "r0" && *began < clock.now() - SignedDuration::from_hours(20)));
    drop(store);
    let file = exported(&mut directory(place.path())).await;

    let server = server(Kind::Redis7);
    imported(&mut archive(&server.url(), 8).await, &file).await.unwrap();
    let store = redis(&server.url(), 8, &clock).await;
    assert_eq!(histories(&store).await, expected);
    store.store().close().await;
    imported(&mut directory(end.path()), &exported(&mut archive(&server.url(), 8).await).await).await.unwrap();
    assert_eq!(histories(&embedded(end.path(), &clock)).await, expected);

    let store = redis(&server.url(), 8, &clock).await;
    for _ in 0..3 {
        clock.advance(RETENTION * 2);
        store.sweep().await;
    }
    assert!(histories(&store).await.iter().all(Vec::is_empty));
    assert_eq!(server.ask(&["KEYS", "*}h:*"]).unwrap().array().len(), 0, "an index of nothing is no key");
}

/// Subjects, without the numbers of the events that changed them.
fn without_numbers(file: &str) -> Vec<String> {
    let lines = told(file).into_iter().filter(|line| line.starts_with("{\"subject\""));
    let without = |line: &str| {
        let mut parts = line.split("\"sequence\":\"");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |text, part| text + part.trim_start_matches(|digit: char| digit.is_ascii_digit()))
    };
    lines.map(without).collect()
}
