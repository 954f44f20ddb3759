//! Servers that die, freeze, forget and come back as they once were, under the load of four sidecars.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use genquota::domain::ledger::Answer;
use genquota::store::redis::{OnLoss, OpenError, Options, RedisStore};
use genquota::store::{Store as _, Urgency};

use crate::books::Books;
use crate::fixtures;
use crate::history;
use crate::lab::{Aof, Kind, Server, Settings};
use crate::load::{Call, Load, Plan, Progress, check_answers, check_or_lost, deliver, troubled};
use crate::logs::Logs;
use crate::sidecars::{INSTANCE, link, open_several, options, seed, until};

const SIDECARS: usize = 4;
/// Longer than a call may take that is given up: twice a command, the wait for a connection, and what a busy machine adds.
const CALL_MAX: Duration = Duration::from_secs(6);

/// What is asked of each store after a fault, on every subject: who is still served, and who is told of a loss.
async fn ask_all(stores: &[Arc<RedisStore>], subjects: usize, name: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    for at in 0..stores.len() {
        for subject in 0..subjects {
            let hold = fixtures::reserve(&format!("s{subject}"), &format!("{name}-{at}"), fixtures::take(1, 1_000_000_000));
            calls.push(deliver(stores, at, hold, Urgency::Reserve, &Progress::default()).await);
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_with_a_log_comes_back_with_everything_that_was_acknowledged() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let mut server = Server::start(Kind::Redis7, Settings::default().aof(Aof::Everysec));
    let stores = open_several(SIDECARS, &server.url(), &options(2)).await;
    let plan = Plan::new(seed);
    let load = Load::start(&stores, &plan);
    for _ in 0..3 {
        load.answered(random.usize(100..600)).await;
        server.restart();
    }
    load.answered(200).await;
    let calls = load.end().await;
    assert!(calls.iter().all(|call| call.answered.is_some() && !call.was_lost()), "a call that never went through");
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
    println!("{:?}, {} troubled", history::check(&books, &calls), troubled(&calls));
}

/// The end of the log is gone, as after a failure of power. Each sidecar that was told of something that is gone says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_that_lost_its_end_is_noticed_by_whoever_was_told_of_it() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let mut server = Server::start(Kind::Redis7, Settings::default().aof(Aof::Everysec));
    let stores = open_several(SIDECARS, &server.url(), &options(4)).await;
    let plan = Plan { subjects: 12, ..Plan::new(seed) };
    let load = Load::start(&stores, &plan);
    load.answered(1500).await;
    let calls = load.end().await;
    server.kill();
    let log = incremental_log(server.dir());
    let len = log.metadata().unwrap().len();
    let cut = random.u64(1000..20_000).min(len / 2);
    std::fs::File::options().write(true).open(&log).unwrap().set_len(len - cut).unwrap();
    server.restart();
    ask_all(&stores, plan.subjects, "after").await;
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    let lost = check_or_lost(&books, &calls, &stores).await;
    println!("{lost} of {} lost with {cut} of {len} bytes", calls.len());
    assert!(lost > 0, "nothing was lost");
}

fn incremental_log(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap()
}

/// Everything is gone. Nothing is granted from zero.
async fn server_that_forgot_everything_decides_nothing(forget: impl FnOnce(&mut Server)) {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(SIDECARS, &server.url(), &options(4)).await;
    let plan = Plan::new(seed());
    let load = Load::start(&stores, &plan);
    load.answered(500).await;
    forget(&mut server);
    let calls = load.stopped().await;
    assert!(calls.iter().any(Call::was_lost));
    let after = ask_all(&stores, plan.subjects, "after").await;
    assert!(after.iter().all(|call| call.was_lost() && call.answered.is_none()), "{after:?}");
    assert!(stores[0].sweep().await.is_err());
    let written = server.command(&["KEYS", &format!("{{gq{INSTANCE}:*")]);
    assert_eq!(written, "", "something was decided after the loss");
    // Nobody who starts anew and knew it takes it for a new ledger; nobody who did not know it can tell.
    let known = Options { known: Some(stores[0].identity()), ..options(4) };
    let refused = RedisStore::open(link(&server.url()).await, known).await.err();
    assert!(matches!(refused, Some(OpenError::Gone { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_without_a_log_grants_nothing_from_zero() {
    server_that_forgot_everything_decides_nothing(Server::restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_server_grants_nothing_from_zero() {
    server_that_forgot_everything_decides_nothing(|server| drop(server.command(&["FLUSHALL"]))).await;
}

/// The declared policy may be to go on: from zero, in another generation, and loudly.
#[tokio::test]
async fn loss_that_is_accepted_begins_a_generation_and_is_loud() {
    let logs = Logs::listen();
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let accepting = Options { on_loss: OnLoss::Accept, ..options(2) };
    let stores = open_several(2, &server.url(), &accepting).await;
    let plan = Plan::new(seed());
    let load = Load::start(&stores, &plan);
    load.answered(500).await;
    load.end().await;
    server.restart();
    let hold = || fixtures::reserve("s0", "after", fixtures::take(1, 10));
    let granted = until("a new generation", async || stores[0].execute(hold(), Urgency::Reserve).await.ok()).await;
    let Answer::Done(granted) = granted else { panic!("{granted:?}") };
    assert_eq!(granted.sequence, 1, "it counts from the first again");
    // The other sidecar goes on with the same generation, not with one of its own.
    let repeat = until("the other sidecar", async || stores[1].execute(hold(), Urgency::Reserve).await.ok()).await;
    assert!(matches!(repeat, Answer::Replayed(_)), "{repeat:?}");

    let load = Load::start(&stores, &plan);
    load.answered(300).await;
    let calls = load.end().await;
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
    assert!(books.partitions.values().all(|partition| partition.generation() == 2), "{:?}", books.partitions[&0].meta);
    assert!(books.events().all(|event| event.generation == 2));
    let errors = logs.of("ERROR");
    assert!(errors.iter().any(|line| line.contains("the store has lost data")), "{errors:?}");
    let warnings = logs.of("WARN");
    assert!(warnings.iter().any(|line| line.contains("the store's loss is accepted")), "{warnings:?}");
}

/// One partition loses its record; the others are none the wiser, and need not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition_that_lost_its_record_stops_alone() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(SIDECARS, &server.url(), &options(4)).await;
    let plan = Plan { subjects: 12, ..Plan::new(seed()) };
    let load = Load::start(&stores, &plan);
    load.answered(1000).await;
    load.end().await;
    let before = Books::of(&server);
    server.command(&["DEL", &format!("{{gq{INSTANCE}:1}}meta")]);
    let calls = ask_all(&stores, plan.subjects, "after").await;
    for call in &calls {
        let partition = before.partition_of(call.transaction.subject.as_str()).unwrap();
        assert_eq!(call.was_lost(), partition == 1, "{call:?}");
        assert_eq!(call.accepted().is_some(), partition != 1, "{call:?}");
    }
    assert!(calls.iter().any(Call::was_lost), "no subject is in the partition");
    assert_eq!(Books::of(&server).partitions[&1].events, before.partitions[&1].events, "it was written to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_copy_of_the_data_is_noticed_wherever_something_is_missing() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(SIDECARS, &server.url(), &options(4)).await;
    let plan = Plan { subjects: 12, ..Plan::new(seed()) };
    let load = Load::start(&stores, &plan);
    load.answered(800).await;
    load.end().await;
    server.command(&["SAVE"]);
    let (dump, copy) = (server.dir().join("dump.rdb"), server.dir().join("copy.rdb"));
    std::fs::copy(&dump, &copy).unwrap();
    let saved = Books::of(&server);

    // Only some subjects go on, so only some partitions are older in the copy than they were seen.
    let later = ask_all(&stores, 3, "later").await;
    assert!(later.iter().all(|call| call.accepted().is_some()));
    server.kill();
    std::fs::copy(&copy, &dump).unwrap();
    server.restart();
    let touched: Vec<usize> = later.iter().filter_map(|call| saved.partition_of(call.transaction.subject.as_str())).collect();
    let calls = ask_all(&stores, plan.subjects, "after").await;
    for call in &calls {
        let is_older = touched.contains(&saved.partition_of(call.transaction.subject.as_str()).unwrap());
        assert_eq!((call.was_lost(), call.accepted().is_some()), (is_older, !is_older), "{call:?}");
    }
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    assert_eq!(check_or_lost(&books, &later, &stores).await, later.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_server_is_given_up_in_time_and_what_it_did_late_counts_once() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(SIDECARS, &server.url(), &options(2)).await;
    let plan = Plan::new(seed());
    let load = Load::start(&stores, &plan);
    load.answered(500).await;
    server.pause();
    // It is the fault itself that lasts so long.
    tokio::time::sleep(Duration::from_secs(5)).await;
    server.resume();
    load.answered(500).await;
    let calls = load.end().await;
    let slowest = calls.iter().map(|call| call.slowest).max().unwrap();
    assert!(slowest < CALL_MAX, "a call took {slowest:?}");
    assert!(calls.iter().all(|call| call.answered.is_some() && !call.was_lost()), "a call that never went through");
    assert!(troubled(&calls) >= plan.clients, "nobody noticed");
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
    println!("{:?}, {} troubled, slowest {slowest:?}", history::check(&books, &calls), troubled(&calls));
}
