//! A bad line between a sidecar and its server: cut at every stage of a call, silent, late or slow. Whatever the client was told, the books
//! have each call once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use genquota::domain::ledger::{Answer, Transaction};
use genquota::store::redis::RedisStore;
use genquota::store::{Store, StoreError, Urgency};

use crate::books::Books;
use crate::fixtures;
use crate::history;
use crate::lab::{Direction, Fault, Kind, Proxy, Server, Settings};
use crate::load::{Call, Load, Plan, Progress, check_answers, deliver, troubled};
use crate::sidecars::{open, options, seed};

/// Between two places of a cut: each place costs a connection. The ends are looked at byte by byte.
const STRIDE: usize = 41;
const ENDS: usize = 3;
/// Longer than a call may take that is given up: twice a command, the wait for a connection, and what a busy machine adds.
const CALL_MAX: Duration = Duration::from_secs(6);
const LIMIT: i64 = 1_000_000;

struct Bench {
    server: Server,
    proxy: Proxy,
    store: Arc<RedisStore>,
    calls: Vec<Call>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reserve,
    Commit,
    Release,
}

const STAGES: [Stage; 3] = [Stage::Reserve, Stage::Commit, Stage::Release];

impl Bench {
    async fn new() -> Self {
        let server = Server::start(Kind::Redis7, Settings::default());
        let proxy = Proxy::start(&server.address());
        let store = open(&proxy.url(), options(1)).await;
        let mut bench = Self { server, proxy, store, calls: Vec::new() };
        // The scripts are loaded: a request has the same bytes from now on.
        for stage in STAGES {
            bench.play(stage, None).await;
        }
        bench.settle().await;
        bench
    }

    /// Waits for the sweeper's first round: after it all that is sent is what the test sends.
    async fn settle(&self) {
        self.store.sweep().await.unwrap();
        self.store.sweep().await.unwrap();
    }

    /// Another sidecar takes over: one whose line has broken often waits longer before it connects again.
    async fn renew(&mut self) {
        self.store.close().await;
        self.store = open(&self.proxy.url(), options(1)).await;
        self.settle().await;
        // It hears the time with its first change.
        self.play(Stage::Reserve, None).await;
    }

    /// Plays a reservation up to a stage, of which the fault strikes the last call. Tells that call, and how many bytes went each way.
    async fn play(&mut self, stage: Stage, fault: Option<Fault>) -> (Call, [usize; 2]) {
        // Of one length, so that a place means the same in each.
        let id = format!("r{:06}", self.calls.len());
        let hold = fixtures::reserve("s", &id, fixtures::take(3, LIMIT));
        let ending = match stage {
            Stage::Reserve => None,
            Stage::Commit => Some(fixtures::commit("s", &id, 1, fixtures::take(2, LIMIT))),
            Stage::Release => Some(fixtures::release("s", &id, 1)),
        };
        let (last, urgency) = match ending {
            None => (hold, Urgency::Reserve),
            Some(ending) => {
                self.send(hold, Urgency::Reserve).await;
                (ending, Urgency::Settle)
            }
        };
        if let Some(fault) = fault {
            self.proxy.strike("EVALSHA", fault);
        }
        let before = self.proxy.counts();
        let call = self.send(last, urgency).await;
        let after = self.proxy.counts();
        assert_eq!(self.proxy.faults_left(), 0, "the fault struck nothing");
        (call, [after.request_bytes - before.request_bytes, after.reply_bytes - before.reply_bytes])
    }

    async fn send(&mut self, transaction: Transaction, urgency: Urgency) -> Call {
        let call = deliver(std::slice::from_ref(&self.store), 0, transaction, urgency, &Progress::default()).await;
        assert!(call.slowest < CALL_MAX, "{call:?}");
        self.calls.push(call.clone());
        call
    }

    fn check(&self) {
        let books = Books::of(&self.server);
        books.audit(|_| Some(LIMIT));
        check_answers(&books, &self.calls);
        assert!(self.calls.iter().all(|call| call.accepted().is_some()), "a call that never went through");
        // Each went through, and left one event.
        assert_eq!(books.events().count(), self.calls.len());
        history::check(&books, &self.calls);
    }
}

/// Places in a message: all of both ends, and some in between.
fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..len).filter(move |place| *place < ENDS || *place + ENDS >= len || place % STRIDE == 0)
}

fn was_first(call: &Call) -> bool {
    matches!(call.answer(), Some(Answer::Done(_)))
}

#[tokio::test]
async fn request_cut_at_any_byte_is_carried_out_once() {
    let mut bench = Bench::new().await;
    for stage in STAGES {
        let (_, [len, _]) = bench.play(stage, None).await;
        for after_bytes in places(len) {
            bench.renew().await;
            let (call, _) = bench.play(stage, Some(Fault::CutRequest { after_bytes })).await;
            assert!(was_first(&call) && call.errors.is_empty(), "{stage:?} cut after {after_bytes} of {len}: {call:?}");
        }
        bench.renew().await;
        // All of it: it is run, and nobody hears of it. What is asked again finds that it is done, and by whom.
        let (call, _) = bench.play(stage, Some(Fault::CutRequest { after_bytes: usize::MAX })).await;
        assert!(!was_first(&call) && call.accepted().is_some(), "{stage:?}: {call:?}");
    }
    bench.check();
}

#[tokio::test]
async fn reply_cut_at_any_byte_belongs_to_what_was_done_once() {
    let mut bench = Bench::new().await;
    for stage in STAGES {
        let (_, [_, len]) = bench.play(stage, None).await;
        for after_bytes in places(len) {
            bench.renew().await;
            let (call, _) = bench.play(stage, Some(Fault::CutReply { after_bytes })).await;
            assert!(
                !was_first(&call) && call.errors.is_empty() && call.accepted().is_some(),
                "{stage:?} cut after {after_bytes} of {len}: {call:?}"
            );
        }
    }
    bench.check();
}

#[tokio::test]
async fn reply_that_is_lost_belongs_to_what_was_done_once() {
    let mut bench = Bench::new().await;
    for stage in STAGES {
        // The next connection is to be verified before it is used: its first answers are lost as well.
        for verifications in 0..3 {
            bench.renew().await;
            if stage == Stage::Reserve {
                for _ in 0..verifications {
                    bench.proxy.strike("EVALSHA", Fault::LoseReplies { count: 1 });
                }
            }
            let (call, _) = bench.play(stage, Some(Fault::LoseReplies { count: 1 })).await;
            assert!(!was_first(&call) && call.accepted().is_some(), "{stage:?}: {call:?}");
        }
    }
    bench.check();
}

/// Nothing passes in a direction, and nobody is told; then all of it passes at once, or is lost.
async fn silence(direction: Direction, is_lost: bool) {
    let mut bench = Bench::new().await;
    for number in 0..2 {
        bench.play(Stage::Reserve, None).await;
        bench.proxy.hold(direction);
        let hold = fixtures::reserve("s", &format!("held-{number}"), fixtures::take(3, LIMIT));
        let began = Instant::now();
        let error = bench.store.execute(hold.clone(), Urgency::Reserve).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }) && began.elapsed() < CALL_MAX, "{error} after {:?}", began.elapsed());
        // Two silent calls, and the connection is taken for dead: others do not wait behind it.
        let began = Instant::now();
        let other = fixtures::reserve("s", &format!("other-{number}"), fixtures::take(3, LIMIT));
        let refused = bench.store.execute(other.clone(), Urgency::Reserve).await;
        assert!(refused.is_err() && began.elapsed() < CALL_MAX, "{refused:?} after {:?}", began.elapsed());
        if is_lost {
            bench.proxy.close_all();
        }
        bench.proxy.clear();
        for hold in [hold, other] {
            bench.send(hold, Urgency::Reserve).await;
        }
    }
    let held = bench.calls.iter().filter(|call| call.accepted().is_some()).count();
    assert_eq!(held, bench.calls.len());
    bench.check();
}

#[tokio::test]
async fn requests_that_are_held_back_and_come_late_are_carried_out_once() {
    silence(Direction::Requests, false).await;
}

#[tokio::test]
async fn requests_that_vanish_are_carried_out_once() {
    silence(Direction::Requests, true).await;
}

#[tokio::test]
async fn replies_that_are_held_back_and_come_late_are_of_no_account() {
    silence(Direction::Replies, false).await;
}

#[tokio::test]
async fn replies_that_vanish_belong_to_what_was_done_once() {
    silence(Direction::Replies, true).await;
}

#[tokio::test]
async fn replies_later_than_a_command_may_take_belong_to_what_was_done_once() {
    let mut bench = Bench::new().await;
    bench.proxy.delay(Direction::Replies, Duration::from_millis(900));
    let hold = fixtures::reserve("s", "late", fixtures::take(3, LIMIT));
    let error = bench.store.execute(hold.clone(), Urgency::Reserve).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    bench.proxy.clear();
    let call = bench.send(hold, Urgency::Reserve).await;
    assert!(matches!(call.answer(), Some(Answer::Replayed(_))), "{call:?}");
    bench.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_line_is_slow_and_nothing_else() {
    let bench = Bench::new().await;
    let way = Duration::from_millis(60);
    bench.proxy.delay(Direction::Requests, way);
    bench.proxy.delay(Direction::Replies, way);
    let plan = Plan::new(seed());
    let load = Load::start(std::slice::from_ref(&bench.store), &plan);
    load.answered(300).await;
    let calls = load.end().await;
    assert_eq!(troubled(&calls), 0, "{:?}", calls.iter().find(|call| !call.errors.is_empty()));
    assert!(calls.iter().all(|call| call.slowest >= 2 * way));
    let books = Books::of(&bench.server);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
}

/// Faults of all kinds on the lines of four sidecars under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_over_lines_that_break_all_the_time_leaves_whole_books() {
    const ROUNDS: usize = 30;
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let server = Server::start(Kind::Redis7, Settings::default());
    let proxies: Vec<Proxy> = (0..4).map(|_| Proxy::start(&server.address())).collect();
    let mut stores = Vec::new();
    for proxy in &proxies {
        stores.push(open(&proxy.url(), options(2)).await);
    }
    let plan = Plan::new(seed);
    let load = Load::start(&stores, &plan);
    for _ in 0..ROUNDS {
        let proxy = &proxies[random.usize(..proxies.len())];
        proxy.strike(
            "EVALSHA",
            match random.u32(..4) {
                0 => Fault::CutRequest { after_bytes: random.usize(..1200) },
                1 => Fault::CutReply { after_bytes: random.usize(..400) },
                2 => Fault::LoseReplies { count: random.usize(1..4) },
                _ => Fault::LoseReplies { count: 1 },
            },
        );
        load.answered(random.usize(1..60)).await;
    }
    for proxy in &proxies {
        proxy.struck().await;
    }
    load.answered(200).await;
    let calls = load.end().await;
    assert!(calls.iter().all(|call| call.answered.is_some() && !call.was_lost()), "a call that never went through");
    let books = Books::of(&server);
    books.audit(plan.limit_of());
    check_answers(&books, &calls);
    let seen = history::check(&books, &calls);
    let repeats = calls.iter().filter(|call| call.accepted().is_some() && !was_first(call)).count();
    println!("{seen:?}, {} troubled, {repeats} found done", troubled(&calls));
    assert!(repeats >= ROUNDS / 4, "{repeats}");
}
