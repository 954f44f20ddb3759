//! One server: killed, frozen, restarted, demoted.

use std::time::Instant;

use genquota::store::redis::{Failure, LinkState, Obstacle};

use crate::harness::{COMMAND_TIMEOUT, assert_refused_at_once, down, get, open, options, refusal, set, until_done, up_after, value};
use crate::lab::{Kind, Proxy, Server, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn every_server_and_its_socket_can_be_asked() {
    for kind in Kind::ALL {
        let server = Server::start(kind, Settings::default());
        for url in [server.url(), format!("redis+unix://{}", server.socket().display()), format!("redis://{}/3", server.address())] {
            let link = open(&url).await;
            link.call(&set("k", &url)).await.unwrap();
            assert_eq!(value(&link, "k").await.as_deref(), Some(url.as_str()), "{kind:?}");
            let pongs = link.call_every_primary(&redis::cmd("PING")).await.unwrap();
            assert_eq!(pongs.len(), 1);
            link.close().await;
        }
        // The third was another database.
        assert_eq!(server.command(&["GET", "k"]), format!("redis+unix://{}", server.socket().display()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_fails_calls_at_once_and_is_found_again_when_it_is_back() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let link = open(&server.url()).await;
    let first = up_after(&link, 0).await;
    server.kill();
    let asked = Instant::now();
    link.call(&get("k")).await.unwrap_err();
    assert!(asked.elapsed() < COMMAND_TIMEOUT, "{:?}", asked.elapsed());
    let reason = down(&link).await;
    assert!(reason.contains(&server.address()), "{reason}");
    assert_refused_at_once(&link).await;
    server.restart();
    assert!(up_after(&link, first).await > first);
    link.call(&set("k", "v")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_takes_two_timeouts_and_then_nothing_is_sent() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let link = open(&server.url()).await;
    let first = up_after(&link, 0).await;
    server.pause();
    let (one, two) = (set("one", "1"), set("two", "2"));
    let (one, two) = tokio::join!(link.call(&one), link.call(&two));
    assert!(matches!(one, Err(Failure::Unknown { .. })), "{one:?}");
    assert!(matches!(two, Err(Failure::Unknown { .. })), "{two:?}");
    down(&link).await;
    assert_refused_at_once(&link).await;
    // The kernel still accepts connections; it must not be taken for up.
    let mut state = link.state();
    let up = state.wait_for(|state| matches!(state, LinkState::Up { .. }));
    assert!(tokio::time::timeout(COMMAND_TIMEOUT * 4, up).await.is_err());
    server.resume();
    up_after(&link, first).await;
    // What nobody heard of was done all the same.
    assert_eq!(value(&link, "one").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes_while_nobody_asks_is_noticed() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let link = open(&server.url()).await;
    server.pause();
    let reason = down(&link).await;
    assert!(reason.contains("not answered"), "{reason}");
    server.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_server_is_left_and_taken_again_when_it_is_a_primary() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let link = open(&server.url()).await;
    let first = up_after(&link, 0).await;
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let failure = link.call(&set("k", "v")).await.unwrap_err();
    assert!(matches!(&failure, Failure::NotApplied { code, retry: true, .. } if code == "READONLY"), "{failure:?}");
    down(&link).await;
    assert_refused_at_once(&link).await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    up_after(&link, first).await;
    link.call(&set("k", "v")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_demoted_while_nobody_writes_is_noticed() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let link = open(&server.url()).await;
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let reason = down(&link).await;
    assert!(reason.contains("`replica`"), "{reason}");
}

/// It stays connected, and its data may be another's by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_a_replica_in_between_counts_as_a_new_connection() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let link = open(&server.url()).await;
    let first = up_after(&link, 0).await;
    let mut connection = server.connect().unwrap();
    connection.ask(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    connection.ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
    up_after(&link, first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_says_why() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = refusal(&server.url(), options()).await;
    assert_eq!(error, Obstacle::Role { host: server.address(), role: "replica".to_owned() });
    server.pause();
    let error = refusal(&server.url(), options()).await;
    assert!(matches!(&error, Obstacle::Silent { host, .. } if *host == server.address()), "{error}");
    server.resume();
    server.kill();
    let error = refusal(&server.url(), options()).await;
    assert!(matches!(&error, Obstacle::Connect { host, .. } if *host == server.address()), "{error}");
    let error = refusal("redis+unix:///nowhere/redis.sock", options()).await;
    assert!(matches!(&error, Obstacle::Connect { host, .. } if host == "/nowhere/redis.sock"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_left_and_the_connection_replaced() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let proxy = Proxy::start(&server.address());
    let link = open(&proxy.url()).await;
    let first = up_after(&link, 0).await;
    proxy.hold(crate::lab::Direction::Replies);
    let command = set("k", "v");
    let (one, two) = tokio::join!(link.call(&command), link.call(&command));
    assert!(matches!((&one, &two), (Err(Failure::Unknown { .. }), Err(Failure::Unknown { .. }))), "{one:?} {two:?}");
    down(&link).await;
    proxy.clear();
    up_after(&link, first).await;
    assert_eq!(until_done(&link, &get("k")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_link_refuses_and_leaves_no_connection() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let proxy = Proxy::start(&server.address());
    let link = open(&proxy.url()).await;
    link.call(&set("k", "v")).await.unwrap();
    link.close().await;
    assert_refused_at_once(&link).await;
    let deadline = Instant::now() + crate::lab::PATIENCE;
    while proxy.counts().open > 0 {
        assert!(Instant::now() < deadline, "{:?}", proxy.counts());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
