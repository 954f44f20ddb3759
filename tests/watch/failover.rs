//! A cluster that fails over and moves a slot while events flow: a watcher sees what the ledger itself has, nothing missing.

use crate::lab::{Cluster, Kind, slot_of};
use crate::ledger;
use crate::load::{Follower, Load};
use crate::sidecars::{PARTITIONS, customers, setup};

fn slot() -> u16 {
    slot_of(b"{gqwatch:0}events")
}

async fn a_slot_moves_with_its_keys_while_events_flow(kind: Kind) {
    let cluster = Cluster::start(kind, 3, 0);
    let (first, second) = (setup(&cluster.url()).start().await, setup(&cluster.url()).start().await);
    customers(&first).await;
    let follower = Follower::start(second.channel.clone(), "0");
    let load = Load::start(&[first.channel.clone(), second.channel.clone()]);
    load.goes_on(60).await;
    let to = (cluster.primary_of(slot()).unwrap() + 1) % 3;
    let moved = cluster.migrate_slot(slot(), to, async |_| tokio::task::yield_now().await).await;
    assert!(moved > 0);
    load.goes_on(60).await;
    load.end().await;
    let expected = ledger::of_cluster(&cluster, "watch", PARTITIONS);
    assert!(expected.len() >= 120);
    follower.has_seen(&expected).await;
    // A watcher that comes later, to the other sidecar, sees the same.
    let late = Follower::start(first.channel.clone(), "0");
    late.has_seen(&expected).await;
}

#[tokio::test]
async fn a_slot_moves_while_events_flow_on_redis_7() {
    a_slot_moves_with_its_keys_while_events_flow(Kind::Redis7).await;
}

#[tokio::test]
async fn a_slot_moves_while_events_flow_on_valkey() {
    a_slot_moves_with_its_keys_while_events_flow(Kind::Valkey).await;
}

/// What the primary had not copied is lost with it, and noticed: so it waits for the copies before it dies.
#[tokio::test]
async fn a_watcher_through_a_promotion_misses_nothing() {
    let mut cluster = Cluster::start(Kind::Redis7, 3, 1);
    let (first, second) = (setup(&cluster.url()).start().await, setup(&cluster.url()).start().await);
    customers(&first).await;
    let follower = Follower::start(second.channel.clone(), "0");
    let load = Load::start(&[first.channel.clone(), second.channel.clone()]);
    load.goes_on(60).await;
    load.end().await;
    let before = ledger::of_cluster(&cluster, "watch", PARTITIONS);
    let primary = cluster.primary_of(slot()).unwrap();
    let offset: u64 = cluster.node(primary).info("master_repl_offset").unwrap().parse().unwrap();
    crate::harness::eventually("the replica has everything", async || {
        let line = cluster.node(primary).info("slave0")?;
        // Pings between them raise it further.
        let copied: u64 = line.split(',').find_map(|part| part.strip_prefix("offset="))?.parse().ok()?;
        (copied >= offset).then_some(())
    })
    .await;
    let killed = cluster.kill_primary_of(slot());
    cluster.wait_for_failover(slot(), killed).await;
    let load = Load::start(&[first.channel.clone(), second.channel.clone()]);
    load.goes_on(60).await;
    load.end().await;
    let expected = ledger::of_cluster(&cluster, "watch", PARTITIONS);
    assert!(before.is_subset(&expected) && expected.len() >= before.len() + 60);
    follower.has_seen(&expected).await;
}
