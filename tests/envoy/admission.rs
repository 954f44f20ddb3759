//! Envoy shows its token as metadata of its calls, and asks for the subjects that it may alone.

use genquota::access::TokenHash;

use crate::bench::{Answer, Envoy, NOBODY, Sidecar};
use crate::upstream::Upstream;

const TOKEN: &str = "of-envoy";
const SERVICE: &str = "grpc_service: {envoy_grpc: {cluster_name: genquota}}";

/// What becomes of a request for `acme` through an Envoy that shows this token, where the sidecar knows one for these subjects.
async fn asked(shown: &str, subjects: &str) -> Answer {
    let dir = tempfile::tempdir().unwrap();
    let access = dir.path().join("access.yaml");
    let hash = TokenHash::of(TOKEN).hex();
    std::fs::write(&access, format!("tokens:\n  - {{name: envoy, sha256: {hash}, scopes: [gateway], subjects: [{subjects}]}}\n")).unwrap();
    let sidecar = Sidecar::start("memory:", &["--access", access.to_str().unwrap()]).await;
    let upstream = Upstream::start();
    let metadata = format!(r#"[{{key: authorization, value: "Bearer {shown}"}}]"#);
    let service = format!("grpc_service: {{envoy_grpc: {{cluster_name: genquota}}, initial_metadata: {metadata}}}");
    let envoy = Envoy::start_with("processor.yaml", sidecar.port(), [upstream.port, NOBODY], &[(SERVICE, &service)]);
    let answer = envoy.post("/v1/images", &[("x-subject", "acme")]);
    assert_eq!(upstream.heard().is_empty(), answer.status != 200, "{answer:?}");
    answer
}

#[tokio::test]
async fn an_envoy_with_a_token_asks_for_the_subjects_of_it() {
    let answer = asked(TOKEN, "acme").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("x-genquota-reservation").is_some());
}

#[tokio::test]
async fn an_envoy_whose_token_nobody_knows_gets_nothing_through() {
    assert_eq!(asked("another", "acme").await.status, 500);
}

#[tokio::test]
async fn a_subject_that_the_token_is_not_for_is_refused_and_its_client_hears_nothing_of_the_token() {
    let answer = asked(TOKEN, "studio").await;
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (403, Some("FORBIDDEN")));
    assert!(answer.body.contains("the gateway may not ask for this") && !answer.body.contains("envoy"), "{}", answer.body);
}
