//! A cluster: every key at its node, failures that stay where they are, slots that move.

use genquota::store::redis::{Failure, LinkState, Obstacle};
use redis::cmd;

use crate::harness::{assert_refused_at_once, get, open, options, refusal, set, until_done, value};
use crate::lab::{Cluster, Kind, Server, Settings, slot_of};

fn keys() -> Vec<String> {
    (0..24).map(|number| format!("{{gqmain:{number}}}meta")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_asked_where_it_lies() {
    for kind in [Kind::Redis7, Kind::Valkey] {
        let cluster = Cluster::start(kind, 3, 0);
        let link = open(&cluster.url()).await;
        for key in keys() {
            link.call(&set(&key, &key)).await.unwrap();
            let script = "#!lua\nreturn redis.call('GET', KEYS[1])";
            link.call(cmd("EVAL").arg(script).arg(1).arg(&key)).await.unwrap();
            let node = link.node_of(key.as_bytes()).unwrap();
            assert_eq!(node, cluster.node(cluster.primary_of(slot_of(key.as_bytes())).unwrap()).address(), "{kind:?}");
        }
        let sizes = link.call_every_primary(&cmd("DBSIZE")).await.unwrap();
        let total: i64 = sizes.iter().map(|(_, size)| redis::from_redis_value::<i64>(size.clone()).unwrap()).sum();
        assert_eq!((sizes.len(), usize::try_from(total).unwrap()), (3, keys().len()));
        let crossing = cmd("EVAL").arg("#!lua\nreturn 1").arg(2).arg("a").arg("b").to_owned();
        let failure = link.call(&crossing).await.unwrap_err();
        assert!(matches!(&failure, Failure::NotApplied { code, retry: false, .. } if code == "CROSSSLOT"), "{failure:?}");
        link.close().await;
        assert_refused_at_once(&link).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_shard_takes_nothing_else_down() {
    let mut cluster = Cluster::start(Kind::Redis7, 3, 0);
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let link = open(&cluster.url()).await;
    let dead = cluster.kill_primary_of(slot_of(keys()[0].as_bytes()));
    let address = cluster.node(dead).address();
    let (lost, kept): (Vec<_>, Vec<_>) = keys().into_iter().partition(|key| link.node_of(key.as_bytes()).unwrap() == address);
    assert!(!lost.is_empty() && !kept.is_empty());
    link.call(&set(&lost[0], "v")).await.unwrap_err();
    for round in 0..20 {
        for key in &kept {
            link.call(&set(key, &round.to_string())).await.unwrap();
        }
        link.call(&get(&lost[0])).await.unwrap_err();
    }
    assert!(matches!(*link.state().borrow(), LinkState::Up { .. }));
    assert!(matches!(link.call_every_primary(&cmd("PING")).await, Err(Failure::NotApplied { .. } | Failure::Unknown { .. })));
    assert_eq!(link.call_each_primary(&cmd("PING")).await.iter().filter(|(_, reply)| reply.is_ok()).count(), 2);
    cluster.node_mut(dead).restart();
    until_done(&link, &set(&lost[0], "v")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_shard_takes_nothing_else_down() {
    let cluster = Cluster::start(Kind::Redis7, 3, 0);
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let link = open(&cluster.url()).await;
    let frozen = cluster.primary_of(slot_of(keys()[0].as_bytes())).unwrap();
    cluster.node(frozen).pause();
    let address = cluster.node(frozen).address();
    let (lost, kept): (Vec<_>, Vec<_>) = keys().into_iter().partition(|key| link.node_of(key.as_bytes()).unwrap() == address);
    let mut silent = 0;
    for round in 0..20 {
        let (frozen, others) = tokio::join!(async { link.call(&set(&lost[0], "v")).await }, async {
            for key in &kept {
                link.call(&set(key, &round.to_string())).await.unwrap();
            }
        });
        let () = others;
        silent += usize::from(matches!(frozen, Err(Failure::Unknown { .. })));
    }
    // Then it is known to be away, and nothing is sent any more.
    assert!((1..=3).contains(&silent), "{silent}");
    cluster.node(frozen).resume();
    until_done(&link, &set(&lost[0], "v")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_is_found() {
    let mut cluster = Cluster::start(Kind::Redis7, 3, 1);
    let link = open(&cluster.url()).await;
    let key = &keys()[0];
    link.call(&set(key, "before")).await.unwrap();
    let slot = slot_of(key.as_bytes());
    cluster.wait_until_well().await;
    let dead = cluster.kill_primary_of(slot);
    let new = cluster.wait_for_failover(slot, dead).await;
    until_done(&link, &set(key, "after")).await;
    assert_eq!(link.node_of(key.as_bytes()).unwrap(), cluster.node(new).address());
    // Another key of the same node, which nothing has been asked for since.
    let other = keys().into_iter().find(|other| other != key && cluster.primary_of(slot_of(other.as_bytes())) == Some(new));
    if let Some(other) = other {
        link.call(&set(&other, "v")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_loses_and_doubles_nothing() {
    let cluster = Cluster::start(Kind::Redis7, 3, 0);
    let link = open(&cluster.url()).await;
    let tag = "{gqmain:3}";
    let keys: Vec<String> = (0..40).map(|number| format!("{tag}{number}")).collect();
    for key in &keys {
        link.call(cmd("INCR").arg(key)).await.unwrap();
    }
    let slot = slot_of(tag.trim_matches(['{', '}']).as_bytes());
    let from = cluster.primary_of(slot).unwrap();
    let mut rounds = 1;
    cluster
        .migrate_slot(slot, (from + 1) % 3, async |_| {
            for key in &keys {
                link.call(cmd("INCR").arg(key)).await.unwrap();
            }
            // Keys that are not there yet are made at the new node.
            link.call(cmd("INCR").arg(format!("{tag}new"))).await.unwrap();
            rounds += 1;
        })
        .await;
    for key in &keys {
        assert_eq!(value(&link, key).await, Some(rounds.to_string()), "{key}");
    }
    assert_eq!(value(&link, &format!("{tag}new")).await, Some((rounds - 1).to_string()));
    assert_eq!(link.node_of(keys[0].as_bytes()).unwrap(), cluster.node((from + 1) % 3).address());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_whose_keys_are_on_both_sides_is_asked_to_wait() {
    let cluster = Cluster::start(Kind::Redis7, 3, 0);
    let link = open(&cluster.url()).await;
    let (one, two) = ("{gqmain:3}one", "{gqmain:3}two");
    link.call(&set(one, "1")).await.unwrap();
    link.call(&set(two, "2")).await.unwrap();
    let slot = slot_of(one.as_bytes());
    let from = cluster.primary_of(slot).unwrap();
    let both = cmd("EVAL").arg("#!lua\nreturn redis.call('INCR', KEYS[1])").arg(2).arg(one).arg(two).to_owned();
    let mut codes = Vec::new();
    cluster
        .migrate_slot(slot, (from + 1) % 3, async |_| {
            if let Err(failure) = link.call(&both).await {
                let Failure::NotApplied { code, retry: true, .. } = failure else { panic!("{failure:?}") };
                codes.push(code);
            }
        })
        .await;
    link.call(&both).await.unwrap();
    assert!(codes.iter().all(|code| code == "TRYAGAIN"), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_cluster_or_not_a_whole_one_is_refused() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let url = server.url().replace("redis://", "redis-cluster://");
    let error = refusal(&url, options()).await;
    assert!(matches!(&error, Obstacle::Refused { command: "CLUSTER SLOTS", .. }), "{error}");
    assert!(error.hint().contains("redis://"));
    let cluster = Cluster::start(Kind::Redis7, 3, 0);
    let (first, rest) = cluster.url().split_once(',').map(|(first, rest)| (first.to_owned(), rest.to_owned())).unwrap();
    for node in cluster.nodes() {
        node.command(&["CLUSTER", "DELSLOTS", "7"]);
    }
    let error = refusal(&first, options()).await;
    assert_eq!(error, Obstacle::Slots { served: 16383 });
    drop(cluster);
    let error = refusal(&format!("redis-cluster://{rest}"), options()).await;
    assert!(matches!(&error, Obstacle::Cluster { reasons } if reasons.len() == 2), "{error}");
}
