//! Servers that refuse: scripts they do not know, writes they do not take, memory and disk that are full, logins that do not fit. What is
//! refused changes nothing, and goes through as soon as it may.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genquota::domain::ledger::{Answer, State};
use genquota::store::redis::{Credentials, Link, LinkOptions, LinkState, Options, Password, RedisStore};
use genquota::store::{Store as _, StoreError, Urgency};

use crate::books::Books;
use crate::fixtures::{self, done};
use crate::history;
use crate::lab::{Kind, Server, Settings};
use crate::load::{Load, Plan, check_answers, troubled};
use crate::sidecars::{link, open, open_several, options, seed, until};

const LIMIT: i64 = 1000;

#[track_caller]
fn assert_refused(result: Result<Answer, StoreError>, why: &str) {
    match result {
        Err(StoreError::Unavailable { reason }) if reason.contains(why) => {}
        other => panic!("not refused for {why}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_forgets_its_scripts_is_told_them_again() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let stores = open_several(4, &server.url(), &options(2)).await;
    let plan = Plan::new(seed());
    let load = Load::start(&stores, &plan);
    for _ in 0..50 {
        server.command(&["SCRIPT", "FLUSH"]);
        load.answered(20).await;
    }
    let calls = load.end().await;
    assert_eq!(troubled(&calls), 0, "{:?}", calls.iter().find(|call| !call.errors.is_empty()));
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
    history::check(&books, &calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_becomes_a_replica_is_left_until_it_is_one_again() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let links = [link(&server.url()).await, link(&server.url()).await];
    let mut stores = Vec::new();
    for link in &links {
        stores.push(Arc::new(RedisStore::open(link.clone(), options(2)).await.unwrap()));
    }
    let plan = Plan::new(seed());
    let load = Load::start(&stores, &plan);
    load.answered(300).await;
    // Of a primary that cannot be reached: the data stay, and nothing may be written.
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    for link in &links {
        let is_down = |state: &LinkState| matches!(state, LinkState::Down { reason } if reason.contains("replica"));
        tokio::time::timeout(crate::lab::PATIENCE, link.state().wait_for(is_down)).await.unwrap().unwrap();
    }
    let before = Books::of(&server).events().count();
    assert!(stores[0].execute(fixtures::reserve("s0", "now", fixtures::take(1, LIMIT)), Urgency::Reserve).await.is_err());
    server.command(&["REPLICAOF", "NO", "ONE"]);
    load.answered(300).await;
    let calls = load.end().await;
    assert!(calls.iter().all(|call| call.answered.is_some() && !call.was_lost()), "a call that never went through");
    let books = Books::of(&server);
    assert!(books.events().count() > before);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
    history::check(&books, &calls);
}

/// Holds in states from which each kind of call can go on.
async fn prepare(store: &RedisStore) {
    for id in ["kept", "used", "freed", "longer", "short"] {
        let mut hold = fixtures::reserve("s", id, fixtures::take(5, LIMIT));
        if id == "short" {
            hold.step.as_mut().unwrap().next.ttl = Some(jiff::SignedDuration::from_millis(1));
        }
        done(store.execute(hold, Urgency::Reserve).await.unwrap());
    }
}

#[tokio::test]
async fn full_memory_refuses_holds_and_nothing_else() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let store = open(&server.url(), options(1)).await;
    prepare(&store).await;
    // Less than an empty server uses.
    server.command(&["CONFIG", "SET", "maxmemory", "500kb"]);
    let hold = || fixtures::reserve("s", "new", fixtures::take(5, LIMIT));
    let before = Books::of(&server).events().count();
    for _ in 0..3 {
        assert_refused(store.execute(hold(), Urgency::Reserve).await, "OOM");
    }
    let books = Books::of(&server);
    assert_eq!(books.events().count(), before);
    assert!(books.row("s", "new").is_none());
    books.audit(|_| Some(LIMIT));

    done(store.execute(fixtures::commit("s", "used", 1, fixtures::take(7, LIMIT)), Urgency::Settle).await.unwrap());
    done(store.execute(fixtures::release("s", "freed", 1), Urgency::Settle).await.unwrap());
    let mut longer = fixtures::reserve("s", "longer", fixtures::take(5, LIMIT));
    let step = longer.step.as_mut().unwrap();
    step.expected = genquota::domain::ledger::Expected::Version(1);
    step.movement = genquota::domain::ledger::Movement::Keep;
    step.next.event = genquota::domain::ledger::EventKind::Extended;
    done(store.execute(longer, Urgency::Settle).await.unwrap());
    store.sweep().await.unwrap();
    let row = store.reservation(&fixtures::subject("s"), &fixtures::reservation("short"), Urgency::Read).await.unwrap();
    assert_eq!(row.unwrap().state, State::Expired);
    let books = Books::of(&server);
    books.audit(|_| Some(LIMIT));
    assert_eq!(books.account("s", fixtures::allowance().as_str()), (10, 7));

    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    done(store.execute(hold(), Urgency::Reserve).await.unwrap());
    Books::of(&server).audit(|_| Some(LIMIT));
}

/// Its disk takes no snapshot, and it takes no writes until it does.
#[tokio::test]
async fn full_disk_refuses_everything_until_there_is_room() {
    let server = Server::start(Kind::Redis7, Settings::default().line("save", "3600 1000000"));
    let store = open(&server.url(), options(1)).await;
    prepare(&store).await;
    // Nothing can be put in the place of a directory.
    let dump = server.dir().join("dump.rdb");
    std::fs::create_dir(&dump).unwrap();
    server.command(&["BGSAVE"]);
    until("a snapshot to fail", async || (server.info("rdb_last_bgsave_status")? == "err").then_some(())).await;
    let before = Books::of(&server).events().count();
    let hold = || fixtures::reserve("s", "new", fixtures::take(5, LIMIT));
    let commit = || fixtures::commit("s", "used", 1, fixtures::take(7, LIMIT));
    assert_refused(store.execute(hold(), Urgency::Reserve).await, "MISCONF");
    assert_refused(store.execute(commit(), Urgency::Settle).await, "MISCONF");
    let books = Books::of(&server);
    books.audit(|_| Some(LIMIT));
    assert_eq!(books.events().count(), before);

    std::fs::remove_dir(&dump).unwrap();
    server.command(&["BGSAVE"]);
    until("a snapshot", async || (server.info("rdb_last_bgsave_status")? == "ok").then_some(())).await;
    done(store.execute(hold(), Urgency::Reserve).await.unwrap());
    done(store.execute(commit(), Urgency::Settle).await.unwrap());
    Books::of(&server).audit(|_| Some(LIMIT));
}

fn with_password(password: Password) -> LinkOptions {
    LinkOptions { credentials: Credentials { user: None, password: Some(password) }, ..LinkOptions::default() }
}

#[tokio::test]
async fn wrong_password_is_told_at_the_start_and_not_shown() {
    let server = Server::start(Kind::Redis7, Settings::default().password("s3cret"));
    let address = || format!("redis://{}", server.address()).parse().unwrap();
    let refused = Link::open(address(), with_password(Password::Value("gue55ed".to_owned()))).await.err().unwrap().to_string();
    assert!(refused.contains("hint: ") && refused.contains("redis.password"), "{refused}");
    assert!(!refused.contains("gue55ed") && !refused.contains("s3cret"), "{refused}");
    let none = Link::open(address(), LinkOptions::default()).await.err().unwrap().to_string();
    assert!(none.contains("redis.password"), "{none}");
    Link::open(address(), with_password(Password::Value("s3cret".to_owned()))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_that_changes_under_load_is_read_anew() {
    let server = Server::start(Kind::Redis7, Settings::default().password("first"));
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let link_options = with_password(Password::File(file.clone()));
    let link = Link::open(format!("redis://{}", server.address()).parse().unwrap(), link_options).await.unwrap();
    let store = Arc::new(RedisStore::open(link.clone(), options(2)).await.unwrap());
    let plan = Plan::new(seed());
    let load = Load::start(std::slice::from_ref(&store), &plan);
    load.answered(200).await;
    let mut administrator = server.connect().unwrap();
    for command in [&["CONFIG", "SET", "requirepass", "second"][..], &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]] {
        administrator.ask(command).unwrap();
    }
    let is_down = |state: &LinkState| matches!(state, LinkState::Down { reason } if reason.contains("refuses the login"));
    tokio::time::timeout(crate::lab::PATIENCE, link.state().wait_for(is_down)).await.unwrap().unwrap();
    // Those who hold the old one are kept out, and try on in bounded steps.
    let before = std::time::Instant::now();
    let is_closed = store.execute(fixtures::reserve("s0", "now", fixtures::take(1, LIMIT)), Urgency::Reserve).await;
    assert!(is_closed.is_err() && before.elapsed() < Duration::from_secs(5), "{is_closed:?}");
    std::fs::write(&file, "second\n").unwrap();
    load.answered(200).await;
    let calls = load.end().await;
    assert!(calls.iter().all(|call| call.answered.is_some() && !call.was_lost()), "a call that never went through");
    administrator.ask(&["CONFIG", "SET", "requirepass", "first"]).unwrap();
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
}

fn forbid(server: &Server, command: &str) {
    server.command(&["ACL", "SETUSER", "default", &format!("-{command}")]);
}

fn allow(server: &Server, command: &str) {
    server.command(&["ACL", "SETUSER", "default", &format!("+{command}")]);
}

/// A script that may not write its event stops after it has changed an account.
#[tokio::test]
async fn user_who_may_not_do_all_of_it_is_told_at_the_start() {
    let server = Server::start(Kind::Redis7, Settings::default());
    open(&server.url(), options(1)).await.close().await;
    for command in ["hset", "zadd", "xadd", "hmget", "zrem"] {
        forbid(&server, command);
        let refused = RedisStore::open(link(&server.url()).await, options(1)).await.err().unwrap().to_string();
        assert!(refused.contains(&format!("not allowed: {command}")) && refused.contains("hint: "), "{refused}");
        allow(&server, command);
    }
}

#[tokio::test]
async fn right_that_is_taken_away_stops_the_store_until_it_is_given_back() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let options = Options { examine_interval: Duration::from_millis(100), ..options(1) };
    let store = open(&server.url(), options).await;
    prepare(&store).await;
    let hold = |id: &str| store.execute(fixtures::reserve("s", id, fixtures::take(5, LIMIT)), Urgency::Reserve);
    forbid(&server, "evalsha");
    assert_refused(hold("first").await, "NOPERM");
    allow(&server, "evalsha");
    done(hold("first").await.unwrap());

    // Nothing is asked before it is noticed, and nothing is due: what the script does in between may be left half done.
    until("the short hold to expire", async || {
        let row = store.reservation(&fixtures::subject("s"), &fixtures::reservation("short"), Urgency::Read).await.unwrap();
        (row.unwrap().state == State::Expired).then_some(())
    })
    .await;
    let before = Books::of(&server);
    forbid(&server, "xadd");
    until("the lack to be noticed", async || {
        let read = store.reservation(&fixtures::subject("s"), &fixtures::reservation("kept"), Urgency::Read).await;
        matches!(read, Err(StoreError::Unavailable { reason }) if reason.contains("not allowed: xadd")).then_some(())
    })
    .await;
    assert!(hold("second").await.is_err());
    assert_eq!(Books::of(&server).partitions[&0].events, before.partitions[&0].events);
    allow(&server, "xadd");
    until("the right to be back", async || hold("second").await.ok()).await;
    Books::of(&server).audit(|_| Some(LIMIT));
}
