//! A server that is set up so that a ledger must not be left to it.

use genquota::store::StoreError;
use genquota::store::redis::OpenError;

use crate::harness::{ask, code, genquota, open, options, stderr, until};
use crate::lab::{Cluster, Kind, Server, Settings};

#[test]
fn a_sidecar_does_not_start_on_a_server_that_may_evict_keys() {
    let server = Server::start(Kind::Redis7, Settings::default().line("maxmemory-policy", "allkeys-random"));
    let dir = tempfile::tempdir().unwrap();
    let words = ["serve", "--listen", "127.0.0.1:0", "--http", "off", "--store", &server.url()];
    let output = genquota(dir.path(), &words).output().unwrap();
    let text = stderr(&output);
    assert_eq!(code(&output), 1, "{text}");
    for part in [server.address().as_str(), "may evict keys", "`allkeys-random`", "\n  hint: set it: `CONFIG SET"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(server.command(&["DBSIZE"]), "0", "nothing is written to such a server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_changed_at_run_time_stops_every_call_until_it_is_set_back() {
    for kind in [Kind::Redis7, Kind::Valkey] {
        let server = Server::start(kind, Settings::default());
        let store = open(&server.url(), options()).await.unwrap();
        ask(&store).await.unwrap();
        server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let refused = until(&store, "a refusal", Result::is_err).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Unavailable { reason } if reason.contains("may evict keys")), "{refused:?}");
        assert!(store.sweep().await.is_err());
        let error = open(&server.url(), options()).await.err().unwrap();
        assert!(matches!(&error, OpenError::Unfit(finding) if finding.check == "maxmemory-policy"), "{error}");
        server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        until(&store, "service", Result::is_ok).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_primary_of_a_cluster_that_may_evict_keys_is_enough() {
    let cluster = Cluster::start(Kind::Redis7, 3, 0);
    let store = open(&cluster.url(), options()).await.unwrap();
    cluster.node(1).command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    let refused = until(&store, "a refusal", Result::is_err).await.unwrap_err();
    let address = cluster.node(1).address();
    assert!(matches!(&refused, StoreError::Unavailable { reason } if reason.contains(&address)), "{refused:?}");
    cluster.node(1).command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    until(&store, "service", Result::is_ok).await.unwrap();
}
