//! What a client can do to a server by frames alone. Whatever it is, the others are served, and it comes to an end.

use std::io;
use std::time::Duration;

use tonic::Code;

use crate::caller::{Caller, code};
use crate::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Ended, HEADERS, PING, RST_STREAM, Raw, SETTINGS, call, frame, header};
use crate::sidecar::{Setup, Sidecar, tokens, until};

/// The code by which a server ends what costs it too much.
const ENHANCE_YOUR_CALM: u32 = 11;
/// Frames of a flood: more than any bound, and sent in a moment.
const FRAMES: u32 = 20_000;
/// What a flood may leave behind in memory: far below what its frames would come to if they were kept.
const MEMORY_LEFT_MAX: u64 = 64 << 20;
const BALANCE: &str = "/genquota.v1.QuotaService/GetBalance";
const COMMIT: &str = "/genquota.v1.QuotaService/Commit";

/// Floods in a thread of its own, while somebody else calls; then looks at what is left.
async fn flood(sidecar: &Sidecar, attack: impl Fn(&mut Raw) -> io::Result<()> + Send + 'static) -> Option<Ended> {
    let gateway = Caller::new(sidecar).await.with("gateway");
    assert_eq!(code(&gateway.balance("acme").await), Code::Ok);
    let before = sidecar.memory();
    let address = sidecar.served.grpc.clone();
    let flooding = std::thread::spawn(move || {
        let mut raw = Raw::open(&address).unwrap();
        // A connection that is cut off in the middle was ended, too.
        match attack(&mut raw).and_then(|()| raw.is_heard()) {
            Ok(()) => None,
            Err(_) => Some(raw.end()),
        }
    });
    while !flooding.is_finished() {
        assert_eq!(code(&gateway.balance("acme").await), Code::Ok);
    }
    assert_eq!(code(&gateway.balance("acme").await), Code::Ok);
    until("no call to be in flight", async || (sidecar.metric("genquota_calls_in_flight") == 0.0).then_some(())).await;
    let left = sidecar.memory().saturating_sub(before);
    assert!(left < MEMORY_LEFT_MAX, "{left} bytes are left");
    flooding.join().unwrap()
}

fn start() -> Sidecar {
    Setup::new().access(&tokens()).start()
}

/// Streams begun and reset, `each` beyond the head of the call.
fn resets(path: &'static str, each: Vec<u8>) -> impl Fn(&mut Raw) -> io::Result<()> + Send + 'static {
    move |raw| {
        for number in 0..FRAMES {
            let stream = 2 * number + 1;
            let end = if each.is_empty() { END_STREAM } else { 0 };
            raw.send(&frame(HEADERS, END_HEADERS | end, stream, &call(path, "gateway")))?;
            if !each.is_empty() {
                raw.send(&frame(DATA, END_STREAM, stream, &each))?;
            }
            raw.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]))?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_reset_is_ended_or_costs_nothing_that_stays() {
    let sidecar = start();
    let ended = flood(&sidecar, resets(BALANCE, Vec::new())).await;
    assert!(matches!(ended, None | Some(Ended::Closed | Ended::GoAway(ENHANCE_YOUR_CALM))), "{ended:?}");
    // A whole settlement each time, which goes on when its stream is gone.
    let commit = [&[0, 0, 0, 0, 12][..], b"\x0a\x04acme\x12\x04none"].concat();
    let ended = flood(&sidecar, resets(COMMIT, commit)).await;
    assert!(matches!(ended, None | Some(Ended::Closed | Ended::GoAway(ENHANCE_YOUR_CALM))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_an_end_are_ended() {
    let ended = flood(&start(), |raw| {
        raw.send(&frame(HEADERS, 0, 1, &call(BALANCE, "gateway")))?;
        for _ in 0..FRAMES {
            raw.send(&frame(CONTINUATION, 0, 1, &header("x-more", "and more, and more, and more, and more")))?;
        }
        Ok(())
    })
    .await;
    assert!(matches!(ended, Some(Ended::Closed | Ended::GoAway(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_say_nothing_cost_nothing_that_stays() {
    let sidecar = start();
    flood(&sidecar, |raw| {
        raw.send(&frame(HEADERS, END_HEADERS, 1, &call(BALANCE, "gateway")))?;
        (0..FRAMES).try_for_each(|_| raw.send(&frame(DATA, 0, 1, &[])))?;
        raw.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]))
    })
    .await;
    flood(&sidecar, |raw| (0..FRAMES).try_for_each(|_| raw.send(&frame(SETTINGS, 0, 0, &[])))).await;
    flood(&sidecar, |raw| (0..FRAMES).try_for_each(|_| raw.send(&frame(PING, 0, 0, b"pingping")))).await;
}

#[tokio::test]
async fn what_is_not_http_2_is_closed_at_once_and_counted() {
    let sidecar = start();
    let starts: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0",
        b"PRI * HTTP/2.0\r\n\r\nSX",
        &[0xff; 4096],
    ];
    for (number, start) in starts.into_iter().enumerate() {
        let mut raw = Raw::silent(&sidecar.served.grpc).unwrap();
        // The rest may meet a closed door.
        let _ = raw.send(start);
        assert_eq!(raw.end(), Ended::Closed, "{start:?}");
        let counted = f64::from(u32::try_from(number).unwrap() + 1);
        until("the count", async || (sidecar.metric("genquota_connections_refused_total{reason=\"foreign\"}") == counted).then_some(()))
            .await;
    }
    let mut raw = Raw::open(&sidecar.served.grpc).unwrap();
    raw.is_heard().unwrap();
    // Frames that no HTTP/2 has.
    raw.send(&frame(HEADERS, END_HEADERS, 2, b"\xff\xff\xff")).unwrap();
    assert!(matches!(raw.end(), Ended::GoAway(_) | Ended::Closed));
    assert_eq!(code(&Caller::new(&sidecar).await.with("gateway").balance("acme").await), Code::Ok);
}

#[tokio::test]
async fn no_more_streams_than_are_allowed_are_open_on_a_connection() {
    let sidecar = Setup::new().access(&tokens()).with("--limits-streams-per-connection", "4").start();
    let mut raw = Raw::open(&sidecar.served.grpc).unwrap();
    raw.is_heard().unwrap();
    for number in 0..8 {
        raw.send(&frame(HEADERS, END_HEADERS, 2 * number + 1, &call(COMMIT, "gateway"))).unwrap();
    }
    let mut refused = 0;
    while refused < 4 {
        let (kind, _, stream, payload) = raw.next().unwrap();
        // REFUSED_STREAM: nothing was done, and the client may ask again.
        if kind == RST_STREAM {
            assert_eq!(payload, [0, 0, 0, 7]);
            assert!(stream > 7, "{stream}");
            refused += 1;
        }
    }
    assert_eq!(code(&Caller::new(&sidecar).await.with("gateway").balance("acme").await), Code::Ok);
}

#[tokio::test]
async fn a_call_whose_message_never_comes_ends_at_its_deadline() {
    let sidecar = Setup::new().access(&tokens()).with("--request-timeout", "300ms").start();
    let mut raw = Raw::open(&sidecar.served.grpc).unwrap();
    raw.send(&frame(HEADERS, END_HEADERS, 1, &call(BALANCE, "gateway"))).unwrap();
    loop {
        if let (HEADERS | RST_STREAM, _, 1, _) = raw.next().unwrap() {
            break;
        }
    }
    until("no call to be in flight", async || (sidecar.metric("genquota_calls_in_flight") == 0.0).then_some(())).await;
    let gateway = Caller::new(&sidecar).await.with("gateway");
    tokio::time::timeout(Duration::from_secs(30), gateway.balance("acme")).await.unwrap().unwrap();
}
