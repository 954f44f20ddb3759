//! Places on a server: those who take them and do nothing, and those who do not get through the door.

use std::io::Read as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tonic::Code;

use crate::caller::{Caller, code, tls};
use crate::frames::{ACK, Ended, PING, PREFACE, Raw, SETTINGS, frame};
use crate::lab::{Authority, PATIENCE};
use crate::sidecar::{Setup, tokens, until};

const IDLE: usize = 10_000;
/// As many are opened at a time: fewer than wait to be accepted on any system.
const AT_ONCE: usize = 100;
/// What an idle connection may take of the server's memory.
const BYTES_PER_CONNECTION_MAX: u64 = 48 * 1024;

/// As many files as the system lets this process open: the sidecar raises its own limit alike.
fn raise_limit(needed: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    assert!(maximum.is_none_or(|maximum| maximum >= needed), "hint: this needs `ulimit -Hn` of at least {needed}");
    if current.is_some_and(|current| current < needed) {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
}

/// A connection that does nothing but live: it answers when it is asked whether it does.
async fn idle(address: String, open: Arc<AtomicUsize>) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        match (head[3], head[4]) {
            // The server has taken it up.
            (SETTINGS, 0) => drop(open.fetch_add(1, Ordering::Relaxed)),
            (PING, 0) => stream.write_all(&frame(PING, ACK, 0, &payload)).await.unwrap(),
            _ => {}
        }
    }
    open.fetch_sub(1, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_keep_nobody_from_being_served() {
    raise_limit(IDLE as u64 + 500);
    let sidecar = Setup::new().access(&tokens()).with("--limits-connections", "12000").start();
    let before = sidecar.memory();
    let gateway = Caller::new(&sidecar).await.with("gateway");
    let (open, mut connections) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    while connections.len() < IDLE {
        for _ in 0..AT_ONCE {
            connections.spawn(idle(sidecar.served.grpc.clone(), open.clone()));
        }
        until("them to be open", async || (open.load(Ordering::Relaxed) == connections.len()).then_some(())).await;
        assert_eq!(code(&gateway.balance("acme").await), Code::Ok);
    }
    assert_eq!(code(&Caller::new(&sidecar).await.with("gateway").balance("acme").await), Code::Ok);
    assert_eq!(open.load(Ordering::Relaxed), IDLE);
    let each = sidecar.memory().saturating_sub(before) / IDLE as u64;
    assert!(each < BYTES_PER_CONNECTION_MAX, "{each} bytes each");
}

#[tokio::test]
async fn whoever_waits_for_a_place_gets_it_when_one_is_free() {
    let sidecar = Setup::new().access(&tokens()).with("--limits-connections", "4").start();
    let mut held: Vec<Raw> = (0..4).map(|_| Raw::open(&sidecar.served.grpc).unwrap()).collect();
    held.iter_mut().for_each(|raw| raw.is_heard().unwrap());
    let address = sidecar.served.grpc.clone();
    let waiting = tokio::spawn(async move { Caller::dial(&address, None).await.unwrap().with("gateway").balance("acme").await });
    let free = held.pop();
    drop(free);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn handshakes_that_are_not_gone_on_with_take_no_place_from_others() {
    let authority = Authority::new();
    let setup = Setup::new().tls(&authority).access(&tokens()).with("--limits-connections", "64").with("--limits-opening", "1h");
    let sidecar = setup.start();
    // Half of them say nothing, and half stop in the middle of their first word.
    let mut slow = Vec::new();
    for number in 0..500 {
        let mut raw = Raw::silent(&sidecar.served.grpc).unwrap();
        if number % 2 == 0 {
            // One of those who were before it is let go.
            let _ = raw.send(b"\x16\x03\x01\x02\x00\x01");
        }
        slow.push(raw);
        if number % 100 == 0 {
            let caller = Caller::dial(&sidecar.served.grpc, Some(tls(&authority, None))).await.unwrap();
            assert_eq!(code(&caller.with("gateway").balance("acme").await), Code::Ok, "beside {number}");
        }
    }
    let caller = Caller::dial(&sidecar.served.grpc, Some(tls(&authority, None))).await.unwrap();
    assert_eq!(code(&caller.with("gateway").balance("acme").await), Code::Ok);
    let open = slow.iter_mut().filter_map(|raw| raw.is_open().then_some(())).count();
    assert!(open <= 64, "{open} of them have a place");
}

#[tokio::test]
async fn who_does_not_say_in_time_what_it_is_is_let_go() {
    let authority = Authority::new();
    let plain = Setup::new().access(&tokens()).with("--limits-opening", "200ms").start();
    let over_tls = Setup::new().tls(&authority).access(&tokens()).with("--limits-opening", "200ms").start();
    for address in [&plain.served.grpc, &over_tls.served.grpc, over_tls.served.http.as_ref().unwrap()] {
        let mut raw = Raw::silent(address).unwrap();
        raw.send(if *address == plain.served.grpc { b"PRI * HT" } else { b"\x16\x03\x01\x02" }).unwrap();
        assert_eq!(raw.end(), Ended::Closed);
    }
    let slow = "genquota_connections_refused_total{reason=\"slow\"}";
    until("the count", async || (plain.metric(slow) == 1.0).then_some(())).await;
    // Who has said what it is may stay as long as it likes.
    let mut raw = Raw::open(&plain.served.grpc).unwrap();
    raw.is_heard().unwrap();
    let mut late = Raw::silent(&plain.served.grpc).unwrap();
    late.send(b"P").unwrap();
    assert_eq!(late.end(), Ended::Closed);
    raw.is_heard().unwrap();
}

#[tokio::test]
async fn a_connection_lasts_as_long_as_it_may_and_new_ones_are_served() {
    let sidecar = Setup::new().access(&tokens()).with("--limits-connection-age", "200ms").start();
    let mut raw = Raw::open(&sidecar.served.grpc).unwrap();
    raw.is_heard().unwrap();
    let ending = std::thread::spawn(move || raw.end());
    while !ending.is_finished() {
        assert_eq!(code(&Caller::new(&sidecar).await.with("gateway").balance("acme").await), Code::Ok);
    }
    assert_eq!(ending.join().unwrap(), Ended::Closed);
}

#[tokio::test]
async fn a_server_without_a_file_left_serves_again_when_there_is_one() {
    let setup = Setup::new().access(&tokens());
    let served = setup.command();
    let mut command = Command::new("sh");
    command.env_clear().args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(served.get_program()).args(served.get_args());
    command.current_dir(setup.path("")).stderr(std::fs::File::create(setup.path("log")).unwrap());
    let sidecar = setup.start_by(command);
    let held: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&sidecar.served.grpc).unwrap()).collect();
    until("the log to tell of it", async || {
        let log = std::fs::read_to_string(sidecar.path("log")).unwrap();
        log.contains("cannot accept a connection").then_some(())
    })
    .await;
    drop(held);
    let caller = tokio::time::timeout(PATIENCE, Caller::dial(&sidecar.served.grpc, None)).await.unwrap().unwrap();
    assert_eq!(code(&caller.with("gateway").balance("acme").await), Code::Ok);
}

#[tokio::test]
async fn an_http_client_that_says_nothing_takes_no_place_for_ever() {
    let sidecar = Setup::new().with("--limits-opening", "300ms").start();
    let address = sidecar.served.http.clone().unwrap();
    // More than there are places: the last of them get one when the first are let go.
    let held: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut first = &held[0];
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(first.read(&mut [0; 1]).unwrap(), 0, "it is let go");
    drop(held);
    assert_eq!(sidecar.get("/livez").0, 200);
}
