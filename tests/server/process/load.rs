//! Many callers at once.

use std::sync::Arc;

use genquota::proto::v1::reserve_response;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::NOON;
use crate::ask::{images, item, outputs, work};
use crate::caller::Caller;
use crate::catalogs::{monthly, plans};
use crate::harness::{Server, Setup, connect};

/// Everybody asks for one at the same time, over several connections; tells the ids that were granted.
async fn all_at_once(server: &Server, subject: &str, callers: usize, user_of: fn(usize) -> String) -> Vec<String> {
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(connect(&server.listen[0]).await);
    }
    let start = Arc::new(Barrier::new(callers));
    let mut asking = JoinSet::new();
    for number in 0..callers {
        let caller = Caller::new(channels[number % channels.len()].clone(), subject);
        let start = start.clone();
        asking.spawn(async move {
            let ask = images(1).user(&user_of(number));
            start.wait().await;
            let answer = caller.reserve(&ask).await.unwrap();
            match answer.outcome.unwrap() {
                reserve_response::Outcome::Reservation(_) => Some(ask.key().to_owned()),
                reserve_response::Outcome::Denial(_) => None,
            }
        });
    }
    asking.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_at_once_on_an_allowance_of_137_are_granted_exactly_137() {
    for setup in [Setup::new(&monthly("137"), NOON), Setup::new(&monthly("137"), NOON).embedded()] {
        let server = setup.start().await;
        let acme = server.customer("acme", "pro").await;
        let granted = all_at_once(&server, "acme", 1000, |_| String::new()).await;
        assert_eq!(granted.len(), 137);
        let balance = acme.balance().await;
        assert_eq!((balance.available.as_str(), balance.reserved.as_str()), ("0", "137"));
        for id in &granted {
            acme.committed(id).await;
        }
        let balance = acme.balance().await;
        assert_eq!((balance.reserved.as_str(), balance.committed.as_str(), balance.overage.as_str()), ("0", "137", "0"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_users_at_once_take_exactly_the_seats_there_are() {
    let server = Server::start(&plans(&["team: {allowances: [{meter: units, amount: 150, per: seat}]}"]), NOON).await;
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| request.seats = Some(60)).await.unwrap();
    // Each seat that is taken makes what the others judged stale; nobody is turned away for that.
    let granted = all_at_once(&server, "acme", 100, |number| format!("u{number}")).await;
    assert_eq!(granted.len(), 60);
    assert_eq!(acme.shown().await.unwrap().subscription.unwrap().occupied_seats.len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_request_many_times_at_once_is_granted_once() {
    let server = Server::start(&monthly("100"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(5);
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let (acme, ask) = (acme.clone(), ask.clone());
        asking.spawn(async move { acme.reserve(&ask).await.unwrap().replayed });
    }
    let replayed = asking.join_all().await;
    assert_eq!(replayed.iter().filter(|replayed| !**replayed).count(), 1);
    assert_eq!(acme.left().await, "95");
    // So is its end.
    let mut settling = JoinSet::new();
    for number in 0..50 {
        let (acme, ask) = (acme.clone(), ask.clone());
        settling.spawn(async move {
            match number % 2 {
                0 => acme.commit(ask.key(), |_| {}).await.map(|_| "committed"),
                _ => acme.release(ask.key(), |_| {}).await.map(|_| "released"),
            }
        });
    }
    let ended: std::collections::BTreeSet<_> = settling.join_all().await.into_iter().flatten().collect();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(acme.left().await, if ended.contains("committed") { "95" } else { "100" });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_everybody_does_at_once_adds_up() {
    let server = Server::start(&monthly("10000"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let mut callers = JoinSet::new();
    for number in 0..200_i64 {
        let acme = acme.clone();
        callers.spawn(async move {
            let count = 1 + number % 5;
            let ask = crate::ask::ask("image", "lab/small", work(vec![item(count, &[], &[])]));
            acme.held(&ask).await;
            match number % 4 {
                0 => acme.release(ask.key(), |_| {}).await.map(|_| 0).unwrap(),
                1 => acme.commit(ask.key(), |request| request.work = Some(outputs(count + 1))).await.map(|_| count + 1).unwrap(),
                2 => acme.record(&images(count), |_| {}).await.map(|_| count).unwrap(),
                _ => acme.commit(ask.key(), |_| {}).await.map(|_| count).unwrap(),
            }
        });
    }
    let used: i64 = callers.join_all().await.into_iter().sum();
    let held: i64 = (0..200).filter(|number| number % 4 == 2).map(|number| 1 + number % 5).sum();
    let balance = acme.balance().await;
    assert_eq!((balance.committed, balance.reserved), (used.to_string(), held.to_string()));
    assert_eq!(balance.available, (10_000 - used - held).to_string());
}
