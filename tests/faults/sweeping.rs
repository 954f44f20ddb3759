//! Sweepers of several sidecars: each hold is given back once, whoever dies meanwhile, and whatever else lies in the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use genquota::domain::ledger::{Answer, State};
use genquota::store::redis::{Options, RedisStore};
use genquota::store::{Store as _, StoreError, Urgency};
use jiff::SignedDuration;

use crate::books::Books;
use crate::fixtures::{self, done};
use crate::lab::{Kind, Reply, Server, Settings};
use crate::logs::Logs;
use crate::sidecars::{INSTANCE, open, open_several, options, until};

const LIMIT: i64 = 1_000_000;
/// More than one step of a sweep deals with.
const HOLDS: usize = 400;
/// Longer than it takes to make them all: a hold that is due while its subject is asked about is swept by who asks.
const TTL: SignedDuration = SignedDuration::from_secs(3);

fn sweeping() -> Options {
    Options { sweep_interval: Duration::from_millis(40), ..options(2) }
}

async fn hold(store: &RedisStore, subject: &str, id: &str, ttl: SignedDuration) {
    let mut hold = fixtures::reserve(subject, id, fixtures::take(1, LIMIT));
    hold.step.as_mut().unwrap().next.ttl = Some(ttl);
    done(store.execute(hold, Urgency::Reserve).await.unwrap());
}

async fn nothing_is_held(server: &Server) {
    let held = || (0..2).map(|partition| server.command(&["ZCARD", &format!("{{gq{INSTANCE}:{partition}}}due")]).parse::<usize>().unwrap());
    until("all holds to come back", async || (held().sum::<usize>() == 0).then_some(())).await;
}

fn expiries(books: &Books) -> BTreeMap<String, usize> {
    let mut expiries = BTreeMap::new();
    for event in books.events().filter(|event| event.kind == 'e') {
        *expiries.entry(format!("{} {}", event.subject, event.id)).or_default() += 1;
    }
    expiries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sweepers_share_the_work_and_do_none_of_it_twice() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(2, &server.url(), &sweeping()).await;
    let mut monitor = server.connect().unwrap();
    assert_eq!(monitor.ask(&["MONITOR"]).unwrap().to_string(), "OK");
    for number in 0..HOLDS {
        hold(&stores[number % 2], &format!("s{}", number % 7), &format!("r{number}"), TTL).await;
    }
    nothing_is_held(&server).await;
    server.command(&["ECHO", "the end"]);

    // What the sidecars asked the server to sweep, and from which address.
    let mut swept = BTreeMap::<String, usize>::new();
    let mut looks = BTreeMap::<String, usize>::new();
    loop {
        let Reply::Text(line) = monitor.receive().unwrap() else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.ends_with("\"the end\"") {
            break;
        }
        let from = line.split(['[', ']']).nth(1).unwrap().to_owned();
        if line.contains("\"P ") {
            *looks.entry(from).or_default() += 1;
        }
        if let Some((_, sweep)) = line.split_once("\"S -\\n") {
            for member in sweep.split("\\n").filter_map(|member| member.strip_prefix("d ")) {
                *swept.entry(member.split_once(' ').unwrap().1.to_owned()).or_default() += 1;
            }
        }
    }
    assert_eq!(looks.len(), 2, "only one of them looks: {looks:?}");
    assert_eq!(swept.len(), HOLDS);
    assert!(swept.values().all(|times| *times == 1), "swept twice: {swept:?}");
    let books = Books::of(&server);
    books.audit(|_| Some(LIMIT));
    assert_eq!(expiries(&books), swept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_of_a_sweeper_that_is_gone_is_done_by_another() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(2, &server.url(), &sweeping()).await;
    for number in 0..20 {
        hold(&stores[0], &format!("s{}", number % 7), &format!("r{number}"), SignedDuration::from_millis(1)).await;
    }
    let [first, second] = <[Arc<RedisStore>; 2]>::try_from(stores).ok().unwrap();
    let leases =
        || (0..2).filter(|partition| server.ask(&["HGET", &format!("{{gq{INSTANCE}:{partition}}}meta"), "sweeper"]).unwrap() != Reply::Nil);
    until("both partitions to be leased", async || (leases().count() == 2).then_some(())).await;
    for number in 0..20 {
        hold(&first, &format!("s{}", number % 7), &format!("q{number}"), TTL).await;
    }
    drop(first);
    nothing_is_held(&server).await;
    let books = Books::of(&server);
    books.audit(|_| Some(LIMIT));
    let expiries = expiries(&books);
    assert!(expiries.len() == 40 && expiries.values().all(|times| *times == 1), "{expiries:?}");
    drop(second);
}

/// Somebody wrote into the store what is no row, or took away what a hold had set aside.
#[tokio::test]
async fn damaged_row_is_left_as_it_is_and_the_sweep_goes_on() {
    let logs = Logs::listen();
    let server = Server::start(Kind::Redis7, Settings::default());
    let store = open(&server.url(), options(1)).await;
    for id in ["before", "broken", "last"] {
        hold(&store, "s", id, TTL).await;
    }
    hold(&store, "poor", "owed", TTL).await;
    let subject = format!("{{gq{INSTANCE}:0}}s:s");
    server.command(&["HSET", &subject, "r:broken", "7 what is this"]);
    server.command(&["HDEL", &format!("{{gq{INSTANCE}:0}}s:poor"), &format!("a:{}", fixtures::allowance())]);
    let state = async |id: &str| {
        let row = store.reservation(&fixtures::subject("s"), &fixtures::reservation(id), Urgency::Read).await.unwrap();
        row.unwrap().state
    };
    let is_told = |member: &str| logs.of("ERROR").iter().any(|line| line.contains("damaged") && line.contains(member));
    until("the others to expire, and the damaged to be told", async || {
        store.sweep().await.unwrap();
        let is_swept = state("before").await == State::Expired && state("last").await == State::Expired;
        (is_swept && is_told("s broken") && is_told("poor owed")).then_some(())
    })
    .await;
    assert_eq!(server.command(&["HGET", &subject, "r:broken"]), "7 what is this");
    // Its units stay with it: nobody knows how many they are.
    let left = store.accounts(&fixtures::subject("s"), vec![fixtures::allowance()]).await.unwrap();
    assert_eq!(left[0].reserved, fixtures::micros(1));
    // It is not looked at in every round.
    let known = logs.of("ERROR").len();
    store.sweep().await.unwrap();
    assert_eq!(logs.of("ERROR").len(), known);

    let settled = store.execute(fixtures::release("s", "broken", 1), Urgency::Settle).await;
    assert!(matches!(&settled, Err(StoreError::Unavailable { reason }) if reason.contains("broken")), "{settled:?}");
    let other = store.execute(fixtures::reserve("s", "other", fixtures::take(1, LIMIT)), Urgency::Reserve).await.unwrap();
    assert!(matches!(other, Answer::Done(_)));
}
