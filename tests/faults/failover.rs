//! Clusters and sentinels fail over, and slots move, with what was written still to be read.

use super::lab::{Aof, Cluster, Connection, Kind, PATIENCE, Reply, Sentinels, Server, Settings, slot_of};

/// The reply of the node itself, which may be that the key is elsewhere.
fn ask(node: &Server, command: &[&str]) -> String {
    node.ask(command).unwrap().to_string()
}

/// Writes, and waits until so many replicas have it. To wait is for the writes of one's own connection alone.
fn set_and_copy(primary: &Server, replicas: &str) {
    let mut connection = primary.connect().unwrap();
    connection.ask(&["SET", "key", "copied"]).unwrap();
    assert_eq!(connection.ask(&["WAIT", replicas, "5000"]).unwrap().to_string(), replicas);
}

#[test]
fn slots_are_those_of_the_servers() {
    assert_eq!(slot_of(b"123456789"), 0x31c3);
    assert_eq!(slot_of(b"{user}.a"), slot_of(b"user"));
    let cluster = Cluster::start(Kind::Redis7, 1, 0);
    for key in ["", "a", "{b}c", "x{}y", "x{y", "x{{y}}z", "}{a}{b}", "{gq1:17}:meta"] {
        assert_eq!(slot_of(key.as_bytes()).to_string(), cluster.node(0).command(&["CLUSTER", "KEYSLOT", key]), "{key:?}");
    }
}

async fn cluster_fails_over(kind: Kind) {
    let mut cluster = Cluster::start(kind, 3, 1);
    let slot = slot_of(b"key");
    let primary = cluster.primary_of(slot).unwrap();
    set_and_copy(cluster.node(primary), "1");
    let killed = cluster.kill_primary_of(slot);
    assert_eq!(killed, primary);
    let heir = cluster.wait_for_failover(slot, killed).await;
    assert_eq!((heir, ask(cluster.node(heir), &["GET", "key"]).as_str()), (killed + 3, "copied"));
    cluster.node_mut(killed).restart();
    cluster.wait_until_well().await;
    assert_eq!(cluster.node(killed).info("role").as_deref(), Some("slave"));
}

#[tokio::test]
async fn cluster_fails_over_on_redis_7() {
    cluster_fails_over(Kind::Redis7).await;
}

#[tokio::test]
async fn cluster_fails_over_on_redis_8() {
    cluster_fails_over(Kind::Redis8).await;
}

#[tokio::test]
async fn cluster_fails_over_on_valkey() {
    cluster_fails_over(Kind::Valkey).await;
}

async fn slot_moves_with_its_keys(kind: Kind) {
    const KEYS: usize = 10;
    let cluster = Cluster::start_with(kind, 3, 0, Settings::default().aof(Aof::Always).password("s3cret"));
    assert!(cluster.url().starts_with("redis-cluster://:s3cret@127.0.0.1:"));
    let slot = slot_of(b"{tag}");
    let from = cluster.primary_of(slot).unwrap();
    let to = (from + 1) % 3;
    let key = |number: usize| format!("{{tag}}{number}");
    for number in 0..KEYS {
        cluster.node(from).command(&["SET", &key(number), &number.to_string()]);
    }
    let mut redirected = Vec::new();
    let moved = cluster
        .migrate_slot(slot, to, async |moved| {
            // What is gone is asked for at the other node, and a new key is made there.
            let replies = (0..KEYS).map(|number| ask(cluster.node(from), &["GET", &key(number)]));
            redirected.push((moved, replies.filter(|reply| *reply == format!("ASK {slot} {}", cluster.node(to).address())).count()));
            assert!(ask(cluster.node(from), &["SET", "{tag}new", "x"]).starts_with("ASK "));
        })
        .await;
    assert_eq!(moved, KEYS);
    assert_eq!(redirected, [(0, 0), (4, 4), (8, 8), (10, 10)]);
    assert_eq!(cluster.primary_of(slot), Some(to));
    for number in 0..KEYS {
        assert_eq!(ask(cluster.node(to), &["GET", &key(number)]), number.to_string());
    }
    assert_eq!(ask(cluster.node(from), &["GET", &key(0)]), format!("MOVED {slot} {}", cluster.node(to).address()));
    cluster.wait_until_well().await;
}

#[tokio::test]
async fn slot_moves_with_its_keys_on_redis_7() {
    slot_moves_with_its_keys(Kind::Redis7).await;
}

#[tokio::test]
async fn slot_moves_with_its_keys_on_redis_8() {
    slot_moves_with_its_keys(Kind::Redis8).await;
}

#[tokio::test]
async fn slot_moves_with_its_keys_on_valkey() {
    slot_moves_with_its_keys(Kind::Valkey).await;
}

async fn sentinels_promote_a_replica(kind: Kind) {
    let mut sentinels = Sentinels::start(kind);
    let primary = sentinels.primary().unwrap();
    assert_eq!(primary, 0);
    set_and_copy(sentinels.server(primary), "2");
    let killed = sentinels.kill_primary();
    let heir = sentinels.wait_for_new_primary(killed).await;
    assert_eq!(sentinels.server(heir).command(&["GET", "key"]), "copied");
    sentinels.server_mut(killed).restart();
    sentinels.wait_until_well().await;
    assert_eq!(sentinels.server(killed).command(&["GET", "key"]), "copied");
    assert_eq!(sentinels.primary(), Some(heir));
}

#[tokio::test]
async fn sentinels_promote_a_replica_on_redis_7() {
    sentinels_promote_a_replica(Kind::Redis7).await;
}

#[tokio::test]
async fn sentinels_promote_a_replica_on_redis_8() {
    sentinels_promote_a_replica(Kind::Redis8).await;
}

#[tokio::test]
async fn sentinels_promote_a_replica_on_valkey() {
    sentinels_promote_a_replica(Kind::Valkey).await;
}

#[tokio::test]
async fn passwords_hold_behind_sentinels_too() {
    let mut sentinels = Sentinels::start_with(Kind::Redis7, 1, Settings::default().password("s3cret"));
    let mut stranger = Connection::tcp(sentinels.server(0).port()).unwrap();
    assert!(matches!(stranger.ask(&["PING"]).unwrap(), Reply::Error(error) if error.starts_with("NOAUTH")));
    let killed = sentinels.kill_primary();
    let heir = tokio::time::timeout(PATIENCE, sentinels.wait_for_new_primary(killed)).await.unwrap();
    assert_eq!(heir, 1);
}
