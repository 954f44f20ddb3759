//! Another server takes over under the load of four sidecars: by sentinels, in a cluster, or slot by slot. Copies lag behind what was
//! acknowledged, so something may be lost; then whoever was told of it must know.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use genquota::store::Urgency;
use genquota::store::redis::RedisStore;
use jiff::SignedDuration;

use crate::books::Books;
use crate::fixtures;
use crate::history;
use crate::lab::{Cluster, Kind, Sentinels, Server, Settings, slot_of};
use crate::load::{Call, Load, Plan, Progress, check_answers, check_or_lost, deliver, troubled};
use crate::sidecars::{INSTANCE, open_several, options, seed, until};

const SIDECARS: usize = 4;
const PARTITIONS: u32 = 6;

/// Holds end soon, so that what is left open comes back before the test is over.
fn plan() -> Plan {
    Plan { subjects: 24, ttl: SignedDuration::from_secs(3), ..Plan::new(seed()) }
}

fn slot(partition: usize) -> u16 {
    slot_of(format!("{{gq{INSTANCE}:{partition}}}").as_bytes())
}

/// One hold on each subject through one store.
async fn ask_all(stores: &[Arc<RedisStore>], at: usize, subjects: usize, name: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    for subject in 0..subjects {
        let hold = fixtures::reserve(&format!("s{subject}"), &format!("{name}-{at}"), fixtures::take(1, 1_000_000_000));
        calls.push(deliver(stores, at, hold, Urgency::Reserve, &Progress::default()).await);
    }
    calls
}

/// What must be true afterwards, whether or not something was lost. Tells how much was.
async fn check(
    stores: &[Arc<RedisStore>],
    servers: impl Fn() -> Vec<usize>,
    of: impl Fn(usize) -> Books,
    plan: &Plan,
    calls: &[Call],
) -> usize {
    let read = || servers().into_iter().map(&of).next().unwrap();
    let books = read();
    books.audit(plan.limit_of());
    let lost = check_or_lost(&books, calls, stores).await;
    if lost == 0 && !calls.iter().any(Call::was_lost) {
        check_answers(&books, calls);
        history::check(&books, calls);
        // Nothing is left open: all that nobody settled comes back.
        until("all holds to come back", async || {
            stores[0].sweep().await.unwrap();
            read().partitions.values().all(|partition| partition.due.is_empty()).then_some(())
        })
        .await;
        read().audit(plan.limit_of());
    }
    println!("{lost} of {} lost, {} troubled", calls.len(), troubled(calls));
    lost
}

async fn sentinels_promote_under_load(kind: Kind, befalls: impl FnOnce(&mut Sentinels)) {
    let mut sentinels = Sentinels::start(kind);
    let stores = open_several(SIDECARS, &sentinels.url(), &options(PARTITIONS)).await;
    let plan = plan();
    let load = Load::start(&stores, &plan);
    load.answered(500).await;
    let old = sentinels.primary().unwrap();
    befalls(&mut sentinels);
    let heir = sentinels.wait_for_new_primary(old).await;
    load.answered(500).await;
    let calls = load.end().await;
    check(&stores, || vec![heir], |at| Books::of(sentinels.server(at)), &plan, &calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_replace_a_killed_primary_under_load() {
    sentinels_promote_under_load(Kind::Redis7, |sentinels| {
        sentinels.kill_primary();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_replace_a_killed_primary_under_load_on_valkey() {
    sentinels_promote_under_load(Kind::Valkey, |sentinels| {
        sentinels.kill_primary();
    })
    .await;
}

/// The old primary lives, and becomes a replica under the sidecars' connections. What it took in the meantime is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_demote_a_primary_that_lives_under_load() {
    sentinels_promote_under_load(Kind::Redis7, |sentinels| {
        sentinels.watchers()[0].command(&["SENTINEL", "FAILOVER", "mymaster"]);
    })
    .await;
}

/// A replica stops hearing of what its primary takes.
fn cut_off(primary: &Server, replica: &Server) {
    replica.pause();
    // What would wait for it in the connection is gone too.
    primary.command(&["CLIENT", "KILL", "TYPE", "replica"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_that_lags_takes_over_and_the_loss_is_told() {
    let mut sentinels = Sentinels::start_with(Kind::Redis7, 1, Settings::default());
    let stores = open_several(2, &sentinels.url(), &options(PARTITIONS)).await;
    let plan = plan();
    let load = Load::start(&stores, &plan);
    load.answered(300).await;
    let calls = load.end().await;
    sentinels.server(0).command(&["WAIT", "1", "5000"]);
    cut_off(sentinels.server(0), sentinels.server(1));
    // Through the first store alone: the second was never told of these.
    let unheard = ask_all(&stores, 0, 3, "unheard").await;
    assert!(unheard.iter().all(|call| call.accepted().is_some()));
    let killed = sentinels.kill_primary();
    sentinels.server(1).resume();
    let heir = sentinels.wait_for_new_primary(killed).await;
    // The second store goes on, past the numbers that the first knows.
    for name in ["a", "b", "c"] {
        until("the second store", async || {
            let calls = ask_all(&stores, 1, 3, name).await;
            calls.iter().all(|call| call.accepted().is_some()).then_some(())
        })
        .await;
    }
    let books = Books::of(sentinels.server(heir));
    books.audit(plan.limit_of());
    assert_eq!(check_or_lost(&books, &unheard, &stores).await, unheard.len());
    assert_eq!(check_or_lost(&books, &calls, &stores).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_replaces_a_killed_primary_under_load_and_other_shards_go_on() {
    let settings = Settings::default().line("cluster-require-full-coverage", "no");
    let mut cluster = Cluster::start_with(Kind::Redis7, 3, 1, settings);
    let stores = open_several(SIDECARS, &cluster.url(), &options(PARTITIONS)).await;
    let plan = plan();
    let load = Load::start(&stores, &plan);
    load.answered(500).await;
    let away = Instant::now();
    let hit = slot(0);
    let owners: Vec<usize> = (0..PARTITIONS as usize).map(|partition| cluster.primary_of(slot(partition)).unwrap()).collect();
    let killed = cluster.kill_primary_of(hit);
    cluster.wait_for_failover(hit, killed).await;
    let back = Instant::now();
    load.answered(500).await;
    let calls = load.end().await;

    let primaries = || (0..PARTITIONS as usize).map(|partition| cluster.primary_of(slot(partition)).unwrap()).collect::<BTreeSet<_>>();
    let read = || Books::of_all(primaries().into_iter().map(|at| cluster.node(at)));
    check(&stores, || vec![0], |_| read(), &plan, &calls).await;
    let books = read();
    let elsewhere = calls.iter().filter(|call| {
        let partition = books.partition_of(call.transaction.subject.as_str()).unwrap();
        owners[partition] != killed && call.answered.as_ref().is_some_and(|(when, _)| (away..back).contains(when))
    });
    let elsewhere = elsewhere.count();
    println!("{elsewhere} answers of other shards within {:?}", back - away);
    assert!(elsewhere > plan.clients, "the other shards stood still");
}

/// In a cluster nobody's connection breaks for it: the loss has to be looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_that_lags_takes_over_in_a_cluster_and_the_loss_is_told() {
    let mut cluster = Cluster::start(Kind::Redis7, 3, 1);
    // A single partition, so that all is in one slot.
    let stores = open_several(2, &cluster.url(), &options(1)).await;
    let plan = plan();
    let load = Load::start(&stores, &plan);
    load.answered(300).await;
    load.end().await;
    let hit = slot(0);
    let primary = cluster.primary_of(hit).unwrap();
    cut_off(cluster.node(primary), cluster.node(primary + 3));
    let unheard = ask_all(&stores, 0, 3, "unheard").await;
    assert!(unheard.iter().all(|call| call.accepted().is_some()));
    cluster.node_mut(primary).kill();
    cluster.node(primary + 3).resume();
    // The second goes on at once, past the numbers that the first knows, before that asks for anything.
    let load = Load::start(&stores[1..], &plan);
    load.answered(20).await;
    let hold = fixtures::reserve("s0", "then", fixtures::take(1, 1_000_000_000));
    let then = deliver(&stores, 0, hold, Urgency::Reserve, &Progress::default()).await;
    println!("the first store went on: {}, or was told: {:?}", then.answered.is_some(), then.errors.last());
    load.answered(300).await;
    let later = load.end().await;
    let heir = cluster.wait_for_failover(hit, primary).await;
    let books = Books::of(cluster.node(heir));
    assert_eq!(check_or_lost(&books, &unheard, &stores).await, unheard.len());
    assert!(later.iter().all(|call| !call.was_lost()), "the second store was told of a loss that is not its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load_lose_and_double_nothing() {
    let cluster = Cluster::start(Kind::Redis7, 3, 0);
    let stores = open_several(SIDECARS, &cluster.url(), &options(PARTITIONS)).await;
    let plan = plan();
    let load = Load::start(&stores, &plan);
    load.answered(500).await;
    for partition in 0..3 {
        let from = cluster.primary_of(slot(partition)).unwrap();
        let moved = cluster.migrate_slot(slot(partition), (from + 1) % 3, async |_| load.delivered(20).await).await;
        println!("{moved} keys moved");
        load.answered(100).await;
    }
    let calls = load.end().await;
    assert!(calls.iter().all(|call| call.answered.is_some() && !call.was_lost()), "a call that never went through");
    let lost = check(&stores, || vec![0], |_| Books::of_all(cluster.nodes()), &plan, &calls).await;
    assert_eq!(lost, 0);
}
