//! Everything larger than it may be, and ids that would like to be something else.

use genquota::proto::v1;
use prost::Message as _;
use tonic::Code;

use crate::caller::{Caller, code};
use crate::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Raw, call, frame, header};
use crate::sidecar::{Setup, tokens};

const BALANCE: &str = "/genquota.v1.QuotaService/GetBalance";

fn about(subject: &str) -> Vec<u8> {
    v1::GetBalanceRequest { subject: subject.to_owned(), ..Default::default() }.encode_to_vec()
}

#[tokio::test]
async fn a_message_above_its_bound_is_refused_before_it_is_read() {
    let sidecar = Setup::new().access(&tokens()).start();
    let gateway = Caller::new(&sidecar).await.with("gateway");
    assert_eq!(code(&gateway.raw(BALANCE, about(&"x".repeat(60_000))).await), Code::InvalidArgument);
    for len in [70_000, 1 << 20] {
        let answer = gateway.raw(BALANCE, about(&"x".repeat(len))).await;
        assert!(matches!(code(&answer), Code::OutOfRange | Code::ResourceExhausted), "{answer:?}");
    }
    // Its length alone is a lie that is not believed.
    let mut raw = Raw::open(&sidecar.served.grpc).unwrap();
    raw.send(&frame(HEADERS, END_HEADERS, 1, &call(BALANCE, "gateway"))).unwrap();
    raw.send(&frame(0, END_STREAM, 1, &[0, 0xff, 0xff, 0xff, 0xff])).unwrap();
    raw.is_heard().unwrap();
    assert!(sidecar.memory() < 1 << 30);
    assert_eq!(code(&gateway.balance("acme").await), Code::Ok);
}

#[tokio::test]
async fn a_list_of_headers_above_its_bound_is_refused_before_anybody_looks_at_it() {
    let sidecar = Setup::new().access(&tokens()).start();
    let mut raw = Raw::open(&sidecar.served.grpc).unwrap();
    let looked_at = || sidecar.metric("genquota_refused_total{reason=\"token_invalid\"}");
    let more = |count: usize| header("x-more", &"x".repeat(120)).repeat(count);
    for (stream, headers, expected) in [(1, more(200), 0.0), (3, more(10), 1.0)] {
        raw.send(&frame(HEADERS, END_STREAM, stream, &call(BALANCE, "nobody"))).unwrap();
        let (first, last) = headers.split_at(headers.len().min(16_000));
        raw.send(&frame(CONTINUATION, 0, stream, first)).unwrap();
        raw.send(&frame(CONTINUATION, END_HEADERS, stream, last)).unwrap();
        // Whatever it says, it answers.
        while !matches!(raw.next().unwrap(), (HEADERS | RST_STREAM, _, of, _) if of == stream) {}
        assert_eq!(looked_at(), expected);
    }
    assert_eq!(code(&Caller::new(&sidecar).await.with("gateway").balance("acme").await), Code::Ok);
}

#[tokio::test]
async fn ids_that_forge_keys_or_lines_are_named_as_wrong_and_break_no_line_of_the_log() {
    let sidecar = Setup::new().access(&tokens()).with("--log-filter", "debug").start();
    let caller = Caller::new(&sidecar).await;
    for id in ["a\0b", "a\nb", "a\r\n{\"level\":\"ERROR\"}", "{}", "{gq}", "a b", "ä", "🎬", &"x".repeat(129), "\u{1b}[31m", "../etc"] {
        let legal = id == "../etc";
        for (who, expected) in [("gateway", Code::InvalidArgument), ("restricted", Code::PermissionDenied)] {
            let answer = caller.with(who).balance(id).await;
            let expected = if legal && who == "gateway" { Code::Ok } else { expected };
            assert_eq!(code(&answer), expected, "{id:?} {who}: {answer:?}");
        }
        let answer = caller.with("admin").create(id).await;
        assert_eq!(code(&answer), if legal { Code::Ok } else { Code::InvalidArgument }, "{id:?}");
    }
    assert!(sidecar.log().iter().all(|line| line["level"] != "ERROR"), "{:?}", sidecar.log());
}

#[tokio::test]
async fn a_token_is_as_long_as_it_may_be_and_no_header_is_taken_for_one() {
    let sidecar = Setup::new().access(&tokens()).start();
    let caller = Caller::new(&sidecar).await;
    assert_eq!(code(&caller.with(&"x".repeat(12_000)).balance("acme").await), Code::Unauthenticated);
    for wrong in ["", " ", "gateway gateway", "\"gateway\""] {
        assert_eq!(code(&caller.with(wrong).balance("acme").await), Code::Unauthenticated, "{wrong:?}");
    }
}
