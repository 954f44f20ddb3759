//! Requests that are turned away, and those that are none of ours.

use genquota::proto::v1;

use crate::bench::{Bench, Headers};

const IMAGES: &str = "/v1/images";
const ACME: (&str, &str) = ("x-subject", "acme");

#[tokio::test]
async fn a_denial_is_429_with_its_reason_and_what_would_help_and_the_model_hears_nothing() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-count", "30")]);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (429, Some("QUOTA_EXHAUSTED")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-genquota-reservation").is_none());
    let denial = &answer.json()["denial"];
    assert_eq!(denial["reason"], "DENIAL_REASON_QUOTA_EXHAUSTED");
    assert_eq!(denial["violations"][0]["available"], "20");
    assert!(denial["remedies"].as_array().unwrap().contains(&serde_json::json!({"fewerCount": "20"})), "{denial}");
    assert!(bench.upstream.heard().is_empty());
    // Nothing waits for 30 of 20: time does not help. It does where all 20 are used.
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(bench.post(IMAGES, &[ACME, ("x-count", "20")]).status, 200);
    bench.sidecar.used_is("acme", "20").await;
    let answer = bench.post(IMAGES, &[ACME]);
    let seconds: u64 = answer.header("retry-after").unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap();
    assert!((1..=31 * 86_400).contains(&seconds), "{seconds}");
    assert_eq!(bench.sidecar.asked("processor", "denied"), 2.0);
}

#[tokio::test]
async fn what_a_plan_does_not_include_is_403() {
    let bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-provider", "lab"), ("x-model", "oracle")]);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (403, Some("FEATURE_NOT_IN_PLAN")));
    let answer = bench.post(IMAGES, &[ACME, ("x-model", "unheard-of")]);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (403, Some("UNPRICED_TARGET")));
    assert!(bench.upstream.heard().is_empty());
}

#[tokio::test]
async fn a_request_that_is_none_is_400_and_names_every_part_that_is_wrong() {
    let bench = Bench::start("processor.yaml").await;
    let cases: [(Headers<'_>, &[&str]); 5] = [
        (&[], &["subject"]),
        (&[("x-subject", "a b")], &["subject"]),
        // Whoever adds a second subject must not choose who pays.
        (&[ACME, ("x-subject", "rival")], &["subject"]),
        (&[ACME, ("x-count", "two")], &["work.items[0].count"]),
        (&[("x-subject", "a*"), ("x-count", "0"), ("x-quality", "best")], &["subject", "work.items[0].count"]),
    ];
    for (headers, fields) in cases {
        let answer = bench.post(IMAGES, headers);
        assert_eq!((answer.status, answer.header("x-genquota-denial")), (400, Some("INVALID_FIELD")), "{headers:?}");
        let error = &answer.json()["error"];
        let named: Vec<_> = error["fields"].as_array().unwrap().iter().map(|field| field["field"].as_str().unwrap()).collect();
        assert_eq!(named, fields, "{error}");
    }
    let answer = bench.post("/v1/videos/wan", &[ACME]);
    assert_eq!(answer.json()["error"]["fields"][0]["problem"], "header `x-seconds` is missing");
    assert!(bench.upstream.heard().is_empty());
    assert_eq!(bench.sidecar.asked("processor", "invalid"), 6.0);
}

#[tokio::test]
async fn one_hold_pays_for_one_request() {
    let mut bench = Bench::start("processor.yaml").await;
    let headers = [ACME, ("x-seconds", "3"), ("x-job", "job-7")];
    assert_eq!(bench.post("/v1/videos/wan", &headers).status, 200);
    bench.sidecar.used_is("acme", "3").await;
    let answer = bench.post("/v1/videos/wan", &headers);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (409, Some("ID_REUSED")));
    // Another subject has ids of its own.
    let headers = [("x-subject", "rival"), ("x-seconds", "3"), ("x-job", "job-7")];
    assert_eq!(bench.post("/v1/videos/wan", &headers).status, 200);
    assert_eq!(bench.upstream.heard().len(), 2);
}

#[tokio::test]
async fn requests_that_no_route_fits_pass_and_no_client_can_forge_a_reservation() {
    let bench = Bench::start("processor.yaml").await;
    let forged = ("x-genquota-reservation", "forged");
    assert_eq!(bench.post("/v1/models", &[forged]).status, 200);
    assert_eq!(bench.post(IMAGES, &[ACME, forged]).status, 200);
    let seen: Vec<_> = bench.upstream.heard().iter().map(|heard| heard.header("x-genquota-reservation").map(str::to_owned)).collect();
    assert_eq!(seen[0], None);
    assert!(seen[1].as_deref().is_some_and(|id| id != "forged"), "{seen:?}");
    assert_eq!(bench.sidecar.asked("processor", "unmapped"), 1.0);
    assert_eq!(bench.upstream.heard()[0].path, "/v1/models");
}

#[tokio::test]
async fn requests_that_no_route_fits_are_refused_where_the_catalog_says_so() {
    let bench = Bench::start_with("processor.yaml", &[], &[("  processor:\n", "  processor:\n    unmapped: refuse\n")]).await;
    let answer = bench.post("/v1/models", &[ACME]);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (403, Some("UNMAPPED")));
    assert_eq!(answer.json()["error"]["message"], "no route of the catalog fits this request");
    assert!(bench.upstream.heard().is_empty());
}

#[tokio::test]
async fn an_exchange_is_settled_by_the_mapping_that_it_began_under() {
    let mut bench = Bench::start("processor.yaml").await;
    let address = bench.envoy.address().to_owned();
    let client = std::thread::spawn(move || crate::bench::ask(&address, "POST", IMAGES, &[ACME, ("x-play", "gated")]));
    let id = bench.reservation_of_upstream();
    bench.sidecar.reload(&[("outcomes: {blocked: 451", "outcomes: {rejected: 2xx, blocked: 451")]);
    bench.upstream.open_gate();
    assert_eq!(client.join().unwrap().status, 200);
    bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await;
    let answer = bench.post(IMAGES, &[ACME]);
    let id = bench.reservation(&answer).await.reservation_id;
    assert_eq!(bench.sidecar.reservation_is("acme", &id, v1::State::Released).await.attempts[0].outcome(), v1::Outcome::Rejected);
}

#[tokio::test]
async fn a_path_written_in_another_way_does_not_slip_past_its_route() {
    let bench = Bench::start("processor.yaml").await;
    for path in ["//v1/images", "/v1/./images", "/v2/../v1/images", "/v1/images?free=1"] {
        assert_eq!(bench.post(path, &[]).status, 400, "{path}");
    }
    assert_eq!(bench.post("/v1%2fimages", &[]).status, 400);
    assert!(bench.upstream.heard().is_empty());
}
