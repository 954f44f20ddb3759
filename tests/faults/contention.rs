//! Good weather and much contention: four sidecars and 64 clients, on one subject and on many.

use genquota::domain::ledger::{Answer, State};
use genquota::store::Urgency;
use tokio::task::JoinSet;

use crate::books::Books;
use crate::fixtures;
use crate::history;
use crate::lab::{Kind, Server, Settings};
use crate::load::{Call, Load, Plan, Progress, check_answers, deliver};
use crate::sidecars::{open_several, options, seed};

const SIDECARS: usize = 4;
const CLIENTS: usize = 64;

/// Every client asks for one unit at a time, until there are none; what was granted is committed. Subjects have `limit` units each.
async fn race(subjects: usize, limit: i64, partitions: u32) -> (Server, Vec<Call>) {
    let server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(SIDECARS, &server.url(), &options(partitions)).await;
    let progress = Progress::default();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (stores, progress) = (stores.clone(), progress.clone());
        clients.spawn(async move {
            let mut calls = Vec::new();
            let mut left: Vec<String> = (0..subjects).map(|subject| format!("s{}", (subject + client) % subjects)).collect();
            for number in 0.. {
                let Some(subject) = left.first().cloned() else { break };
                let id = format!("r{client}-{number}");
                let hold = fixtures::reserve(&subject, &id, fixtures::take(1, limit));
                calls.push(deliver(&stores, (client + number) % SIDECARS, hold, Urgency::Reserve, &progress).await);
                if !matches!(calls.last().unwrap().answer(), Some(Answer::Done(_))) {
                    left.remove(0);
                } else if number % 2 == 0 {
                    let commit = fixtures::commit(&subject, &id, 1, fixtures::take(1, limit));
                    calls.push(deliver(&stores, (client + number + 1) % SIDECARS, commit, Urgency::Settle, &progress).await);
                }
            }
            calls
        });
    }
    let mut calls = Vec::new();
    while let Some(done) = clients.join_next().await {
        calls.extend(done.unwrap());
    }
    (server, calls)
}

fn granted(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.state() == State::Held && matches!(call.answer(), Some(Answer::Done(_)))).count()
}

fn check(server: &Server, calls: &[Call], subjects: usize, limit: i64) {
    assert!(calls.iter().all(|call| call.errors.is_empty() && call.answered.is_some()), "an error in good weather");
    let books = Books::of(server);
    books.audit(|_| Some(limit));
    check_answers(&books, calls);
    for subject in 0..subjects {
        let (held, used) = books.account(&format!("s{subject}"), fixtures::allowance().as_str());
        assert_eq!(held + used, limit, "s{subject}");
    }
    let seen = history::check(&books, calls);
    println!("{seen:?}");
    assert!(seen.looks >= CLIENTS, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_sidecars_grant_exactly_the_units_of_one_subject_and_its_history_is_linearizable() {
    let (server, calls) = race(1, 1000, 1).await;
    assert_eq!(granted(&calls), 1000);
    check(&server, &calls, 1, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_sidecars_grant_exactly_the_units_of_many_subjects() {
    let (server, calls) = race(40, 50, 8).await;
    assert_eq!(granted(&calls), 2000);
    check(&server, &calls, 40, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_that_come_and_go_on_a_hot_subject_are_linearizable() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(SIDECARS, &server.url(), &options(1)).await;
    // Some holds are left to expire meanwhile.
    let ttl = jiff::SignedDuration::from_millis(300);
    let plan = Plan { clients: CLIENTS, subjects: 1, in_flight: 48, ttl, ..Plan::new(seed()) };
    let load = Load::start(&stores, &plan);
    load.answered(8000).await;
    let calls = load.end().await;
    let troubled = calls.iter().find(|call| !call.errors.is_empty());
    assert!(troubled.is_none(), "an error in good weather: {:?}", troubled.map(|call| &call.errors));
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
    let seen = history::check(&books, &calls);
    let expired = books.events().filter(|event| event.kind == 'e').count();
    println!("{seen:?}, {expired} expired");
    assert!(seen.changes > 1000 && seen.looks > 500 && expired > 5, "{seen:?}, {expired} expired");
}

/// The judges are judged: what is wrong by a little is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_and_history_that_were_tampered_with_are_noticed() {
    let (server, calls) = race(1, 50, 1).await;
    let notices = |work: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
    let books = Books::of(&server);
    let with = |change: &dyn Fn(&mut Vec<Call>)| {
        let mut changed = calls.clone();
        change(&mut changed);
        notices(&|| {
            history::check(&books, &changed);
        })
    };
    assert!(!with(&|_| {}), "what was not tampered with");
    let done = |calls: &[Call], last: bool| {
        let is_done = |call: &Call| matches!(call.answer(), Some(Answer::Done(_)));
        if last { calls.iter().rposition(is_done) } else { calls.iter().position(is_done) }.unwrap()
    };
    assert!(with(&|calls| {
        let at = done(calls, false);
        let Some((_, Answer::Done(done))) = &mut calls[at].answered else { unreachable!() };
        done.accounts[0].reserved = fixtures::micros(51);
    }));
    assert!(with(&|calls| {
        // Answered before all others were sent, and yet not the first.
        let first = calls.iter().map(|call| call.sent).min().unwrap();
        let last = calls.iter().max_by_key(|call| match call.answer() {
            Some(Answer::Done(done)) => done.sequence,
            _ => 0,
        });
        let id = last.unwrap().id().to_owned();
        let at = calls.iter().rposition(|call| call.id() == id && matches!(call.answer(), Some(Answer::Done(_)))).unwrap();
        calls[at].answered.as_mut().unwrap().0 = first.checked_sub(std::time::Duration::from_secs(1)).unwrap();
    }));
    assert!(with(&|calls| {
        // A denial where there was still something.
        let denied = calls.iter().position(|call| matches!(call.answer(), Some(Answer::Denied(_)))).unwrap();
        let first = calls.iter().map(|call| call.sent).min().unwrap();
        calls[denied].sent = first;
        calls[denied].answered.as_mut().unwrap().0 = first;
    }));

    let allowance = fixtures::allowance();
    let too_little = |account: &str| (account == allowance.as_str()).then_some(49);
    assert!(notices(&|| books.audit(too_little)), "a limit that was exceeded");
    let subject = format!("{{gq{}:0}}s:s0", crate::sidecars::INSTANCE);
    server.command(&["HSET", &subject, &format!("a:{allowance}"), "9 41"]);
    assert!(notices(&|| Books::of(&server).audit(|_| None)), "an account that somebody changed");
}
