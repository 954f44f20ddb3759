//! A store on a cluster of which a part is away.

use std::time::{Duration, Instant};

use genquota::domain::ids::SubjectId;
use genquota::store::Store;
use genquota::store::redis::{Options, RedisStore};

use crate::harness::{open, up_after};
use crate::lab::{Cluster, Kind, PATIENCE};

async fn answers(store: &RedisStore, subject: &SubjectId) -> bool {
    store.document(subject).await.is_ok()
}

/// Every new connection is looked at before anything is asked on it; a shard that is away must not hold that up for the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_away_does_not_keep_the_others_from_being_verified() {
    let mut cluster = Cluster::start(Kind::Redis7, 3, 0);
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let link = open(&cluster.url()).await;
    let options = Options { partitions: 24, patience: Duration::from_millis(50), ..Options::new("link") };
    let store = RedisStore::open(link.clone(), options).await.unwrap();
    let subjects: Vec<SubjectId> = (0..48).map(|number| SubjectId::new(&format!("subject-{number}")).unwrap()).collect();
    for subject in &subjects {
        assert!(answers(&store, subject).await, "{subject}");
    }
    let before = up_after(&link, 0).await;
    cluster.node_mut(0).kill();
    let mut others = Vec::new();
    for subject in &subjects {
        if answers(&store, subject).await {
            others.push(subject);
        }
    }
    assert!((1..subjects.len()).contains(&others.len()), "{}", others.len());
    cluster.node(1).command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    up_after(&link, before).await;
    let deadline = Instant::now() + PATIENCE / 4;
    for subject in others {
        while let Err(error) = store.document(subject).await {
            assert!(Instant::now() < deadline, "{subject}: {error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    cluster.node_mut(0).restart();
    store.close().await;
}
