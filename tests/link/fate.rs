//! What is said of a command's fate, against what servers really answer and networks really do.

use std::time::Instant;

use genquota::store::redis::{Failure, Link};
use redis::{Cmd, cmd};

use crate::harness::{get, open, open_with, options, set, up_after, value};
use crate::lab::{Fault, Kind, PATIENCE, Proxy, Server, Settings};

const WRITE: &str = "#!lua\nreturn redis.call('SET', KEYS[1], ARGV[1])";

fn script(text: &str) -> Cmd {
    cmd("EVAL").arg(text).arg(1).arg("k").arg("v").to_owned()
}

async fn not_applied(link: &Link, command: &Cmd) -> (String, bool) {
    match link.call(command).await.unwrap_err() {
        Failure::NotApplied { code, retry, .. } => (code, retry),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_real_servers_are_not_applied() {
    for kind in Kind::ALL {
        let server = Server::start(kind, Settings::default());
        let link = open(&server.url()).await;
        let unknown = cmd("EVALSHA").arg("0".repeat(40)).arg(1).arg("k").to_owned();
        assert_eq!(link.call(&unknown).await, Err(Failure::NoScript), "{kind:?}");

        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        assert_eq!(not_applied(&link, &script(WRITE)).await, ("OOM".to_owned(), false), "{kind:?}");
        assert_eq!(not_applied(&link, &set("k", "v")).await, ("OOM".to_owned(), false), "{kind:?}");
        server.command(&["CONFIG", "SET", "maxmemory", "0"]);

        server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
        assert_eq!(not_applied(&link, &script(WRITE)).await, ("NOREPLICAS".to_owned(), false), "{kind:?}");
        server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);

        server.command(&["ACL", "SETUSER", "default", "-evalsha"]);
        assert_eq!(not_applied(&link, &unknown).await, ("NOPERM".to_owned(), false), "{kind:?}");
        assert_eq!(value(&link, "k").await, None, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_save_refuses_and_says_so() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let link = open(&server.url()).await;
    server.command(&["CONFIG", "SET", "save", "3600 1"]);
    server.command(&["SET", "k", "before"]);
    // A directory where the file should be.
    std::fs::create_dir(server.dir().join("dump.rdb")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while server.info("rdb_last_bgsave_status").as_deref() != Some("err") {
        let _ = server.ask(&["BGSAVE"]);
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(not_applied(&link, &script(WRITE)).await, ("MISCONF".to_owned(), false));
    assert_eq!(value(&link, "k").await.as_deref(), Some("before"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_raises_may_be_half_done() {
    for kind in Kind::ALL {
        let server = Server::start(kind, Settings::default());
        let link = open(&server.url()).await;
        for text in [
            "#!lua\nredis.call('SET', KEYS[1], ARGV[1]) redis.call('HGET', KEYS[1], 'f')",
            "#!lua\nredis.call('SET', KEYS[1], ARGV[1]) error('boo')",
            "#!lua\nredis.call('SET', KEYS[1], ARGV[1]) return nil + 1",
            "#!lua\nredis.call('SET', KEYS[1], ARGV[1]) return redis.error_reply('OWN words')",
        ] {
            server.command(&["FLUSHALL"]);
            let failure = link.call(&script(text)).await.unwrap_err();
            assert!(matches!(failure, Failure::Script { .. }), "{kind:?}: {failure:?}");
            assert_eq!(value(&link, "k").await.as_deref(), Some("v"), "{kind:?}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loads_is_down_and_taken_when_it_is_ready() {
    // It looks for clients after every key, and takes its time for each.
    let slow = [("key-load-delay", "10000"), ("loading-process-events-interval-bytes", "1024"), ("rdbcompression", "no")];
    let settings = slow.iter().fold(Settings::default(), |settings, (name, value)| settings.line(name, value));
    let mut server = Server::start(Kind::Redis7, settings);
    let mut connection = server.connect().unwrap();
    for number in 0..100 {
        connection.ask(&["SET", &format!("k{number}"), &"v".repeat(2048)]).unwrap();
    }
    server.command(&["SAVE"]);
    let link = open(&server.url()).await;
    let first = up_after(&link, 0).await;
    server.restart_without_waiting();
    let mut reasons = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match link.call(&get("k99")).await {
            Ok(_) => break,
            Err(Failure::NotApplied { message, retry, .. }) => {
                assert!(retry, "{message}");
                reasons.push(message);
            }
            Err(other) => reasons.push(other.to_string()),
        }
        assert!(Instant::now() < deadline, "{reasons:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(reasons.iter().any(|reason| reason.contains("LOADING")), "{reasons:?}");
    up_after(&link, first).await;
    assert_eq!(value(&link, "k99").await.map(|value| value.len()), Some(2048));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_endless_script_opens_the_circuit() {
    let server = Server::start(Kind::Redis7, Settings::default().line("busy-reply-threshold", "50"));
    let link = open(&server.url()).await;
    let first = up_after(&link, 0).await;
    let mut other = server.connect().unwrap();
    other.send(&["EVAL", "while true do end", "0"]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut codes = Vec::new();
    while !codes.contains(&"BUSY".to_owned()) {
        if let Err(Failure::NotApplied { code, .. }) = link.call(&set("k", "v")).await {
            codes.push(code);
        }
        assert!(Instant::now() < deadline, "{codes:?}");
    }
    let reason = crate::harness::down(&link).await;
    assert!(reason.contains("BUSY"), "{reason}");
    server.command(&["SCRIPT", "KILL"]);
    up_after(&link, first).await;
    link.call(&set("k", "v")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_after_sending_leaves_it_unknown() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let proxy = Proxy::start(&server.address());
    let link = open(&proxy.url()).await;
    let reply_bytes = "+OK\r\n".len();
    for after_bytes in 0..reply_bytes {
        let before = up_after(&link, 0).await;
        proxy.strike("SET", Fault::CutReply { after_bytes });
        let failure = link.call(&set("k", &after_bytes.to_string())).await.unwrap_err();
        assert!(matches!(failure, Failure::Unknown { .. }), "{after_bytes}: {failure:?}");
        up_after(&link, before).await;
        // It ran, each time.
        assert_eq!(value(&link, "k").await, Some(after_bytes.to_string()));
    }
    for after_bytes in [0, 1, 20] {
        let before = up_after(&link, 0).await;
        proxy.strike("SET", Fault::CutRequest { after_bytes });
        let failure = link.call(&set("cut", "v")).await.unwrap_err();
        assert!(matches!(failure, Failure::Unknown { .. }), "{after_bytes}: {failure:?}");
        up_after(&link, before).await;
        assert_eq!(value(&link, "cut").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_nothing_says_so_within_its_time() {
    let asked = Instant::now();
    // It accepts, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    assert!(open_with(&url, options()).await.is_err());
    assert!(asked.elapsed() < options().connect_timeout + options().command_timeout * 2, "{:?}", asked.elapsed());
}
