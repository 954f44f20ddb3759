//! Tokens that expire, are taken away and are given; an access file that changes, and one that is wrong.

use std::time::{Duration, SystemTime};

use genquota::proto::v1;
use prost::Message as _;
use tonic::Code;

use crate::caller::{Caller, code};
use crate::sidecar::{Setup, Sidecar, token, tokens, until};

const WATCH: &str = "/genquota.v1.CostService/WatchCosts";

fn in_seconds(seconds: u64) -> String {
    let at = SystemTime::now() + Duration::from_secs(seconds);
    jiff::Timestamp::try_from(at).unwrap().to_string()
}

async fn answers(caller: &Caller, expected: Code) {
    until(&format!("the answer {expected:?}"), async || (code(&caller.balance("acme").await) == expected).then_some(())).await;
}

#[tokio::test]
async fn what_is_not_a_valid_token_is_answered_alike_whatever_is_wrong_with_it() {
    let expired = token("expired", "admin", ", expires: 2020-01-01T00:00:00Z");
    let sidecar = Setup::new().access(&format!("{}{expired}", tokens())).start();
    let caller = Caller::new(&sidecar).await;
    let mut texts = Vec::new();
    for wrong in ["expired", "nobody", "eyJhbGciOiJub25lIn0.e30.", &"x".repeat(9000)] {
        let status = caller.with(wrong).balance("acme").await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        texts.push(status.message().to_owned());
    }
    texts.dedup();
    assert_eq!(texts, ["the credentials are not valid: the token is unknown, wrong or expired"]);
    let status = caller.balance("acme").await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "no credentials: send the metadata `authorization: Bearer TOKEN`")
    );
    assert_eq!(sidecar.metric("genquota_refused_total{reason=\"token_expired\"}"), 1.0);
    assert_eq!(sidecar.metric("genquota_refused_total{reason=\"token_invalid\"}"), 3.0);
    assert_eq!(sidecar.metric("genquota_refused_total{reason=\"no_credentials\"}"), 1.0);
    let log = std::fs::read_to_string(sidecar.path("log")).unwrap();
    assert!(!log.contains("eyJhbGci") && !log.contains("nobody"), "no token is in the log");
}

#[tokio::test]
async fn a_token_is_good_until_it_expires_and_a_stream_ends_with_it() {
    let short = token("short", "observer, gateway", &format!(", expires: {}", in_seconds(3)));
    let sidecar = Setup::new().access(&format!("tokens:\n{short}")).start();
    let caller = Caller::new(&sidecar).await.with("short");
    let mut stream = caller.stream(WATCH, Vec::new()).await.unwrap();
    let ended = tokio::spawn(async move {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                other => return other.map(drop),
            }
        }
    });
    answers(&caller, Code::Unauthenticated).await;
    let status = ended.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
}

#[tokio::test]
async fn an_edit_of_the_file_counts_for_the_next_call_and_ends_streams() {
    let sidecar = Setup::new().access(&tokens()).start();
    let caller = Caller::new(&sidecar).await;
    let (observer, added) = (caller.with("observer"), caller.with("added"));
    let message = v1::WatchCostsRequest::default().encode_to_vec();
    let mut stream = observer.stream(WATCH, message).await.unwrap();
    answers(&added, Code::Unauthenticated).await;
    sidecar.write("access.yaml", format!("tokens:\n{}", token("added", "gateway", "")));
    answers(&added, Code::Ok).await;
    assert_eq!(code(&observer.balance("acme").await), Code::Unauthenticated);
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
}

#[tokio::test]
async fn a_file_that_is_wrong_or_gone_changes_nothing_and_is_told() {
    let sidecar = Setup::new().access(&tokens()).start();
    let gateway = Caller::new(&sidecar).await.with("gateway");
    let refused = async |sidecar: &Sidecar, reason: &str| {
        sidecar.is_told(&[reason]).await;
        assert_eq!(sidecar.metric("genquota_access_stale"), 1.0);
        assert_eq!(code(&gateway.balance("acme").await), Code::Ok);
    };
    assert_eq!(sidecar.metric("genquota_access_stale"), 0.0);
    sidecar.write("access.yaml", "tokens:\n  - {name: x, sha256: short, scopes: [admin]}\n");
    refused(&sidecar, "access_rejected").await;
    std::fs::remove_file(sidecar.path("access.yaml")).unwrap();
    refused(&sidecar, "access_unreadable").await;
    sidecar.write("access.yaml", "");
    refused(&sidecar, "access_rejected").await;
    let errors: Vec<_> = sidecar.log().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 3, "each content is told once: {errors:?}");
    assert!(errors[0].to_string().contains("64 hexadecimal digits"), "{}", errors[0]);
    sidecar.write("access.yaml", tokens());
    sidecar.is_told(&[]).await;
}

#[tokio::test]
async fn a_hangup_reads_the_file_at_once() {
    let sidecar = Setup::new().with("--catalog-reload", "1d").access(&tokens()).start();
    let added = Caller::new(&sidecar).await.with("added");
    sidecar.write("access.yaml", format!("tokens:\n{}", token("added", "gateway", "")));
    sidecar.signal("HUP");
    answers(&added, Code::Ok).await;
}

#[tokio::test]
async fn health_and_reflection_need_nobody_and_a_port_of_their_own_serves_health_alone() {
    let sidecar = Setup::new().access(&tokens()).with("--health", "127.0.0.1:0").start();
    let caller = Caller::new(&sidecar).await;
    caller.raw("/grpc.health.v1.Health/Check", Vec::new()).await.unwrap();
    caller.raw("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Vec::new()).await.unwrap();
    let probe = Caller::dial(sidecar.served.health.as_deref().unwrap(), None).await.unwrap();
    probe.raw("/grpc.health.v1.Health/Check", Vec::new()).await.unwrap();
    for other in ["/genquota.v1.QuotaService/GetBalance", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
        assert_eq!(code(&probe.with("admin").raw(other, Vec::new()).await), Code::Unimplemented, "{other}");
    }
}

#[tokio::test]
async fn what_an_administrator_changes_is_logged_with_the_name() {
    let sidecar = Setup::new().access(&tokens()).start();
    Caller::new(&sidecar).await.with("admin").create("acme").await.unwrap();
    let told = sidecar.log().into_iter().find(|line| line["fields"]["change"] == "CreateSubject" || line["change"] == "CreateSubject");
    let told = told.unwrap_or_else(|| panic!("{:?}", sidecar.log())).to_string();
    assert!(told.contains("\"caller\":\"admin\"") && told.contains("acme"), "{told}");
}
