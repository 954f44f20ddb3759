//! Descriptors of the rate limit filter: charged, checked or reported.

use crate::bench::Bench;

const ACME: (&str, &str) = ("x-subject", "acme");

#[tokio::test]
async fn what_fits_is_charged_at_once_and_what_does_not_is_429() {
    let mut bench = Bench::start("rate-limit.yaml").await;
    for left in (0..20).rev() {
        let answer = bench.post("/v1/images", &[ACME]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left.to_string().as_str()), "{answer:?}");
        assert_eq!(answer.header("x-ratelimit-limit"), Some("20"));
    }
    let answer = bench.post("/v1/images", &[ACME]);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (429, Some("QUOTA_EXHAUSTED")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), (Some("20"), Some("0")));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(answer.json()["denial"]["reason"], "DENIAL_REASON_QUOTA_EXHAUSTED");
    assert_eq!(bench.upstream.heard().len(), 20);
    assert_eq!(bench.sidecar.balance("acme").await, ("0".to_owned(), "0".to_owned(), "20".to_owned()));
    assert_eq!((bench.sidecar.asked("rate_limit", "allowed"), bench.sidecar.asked("rate_limit", "denied")), (20.0, 1.0));
}

#[tokio::test]
async fn usage_is_booked_when_the_request_is_over_and_only_for_what_was_made() {
    let mut bench = Bench::start("rate-limit.yaml").await;
    assert_eq!(bench.post("/v1/videos", &[ACME, ("x-say", "x-seconds-made=7")]).status, 200);
    bench.sidecar.used_is("acme", "7").await;
    // What failed has made nothing, and says so by not saying it.
    assert_eq!(bench.post("/v1/videos", &[ACME, ("x-answer", "500")]).status, 500);
    // More than there is: what has happened is booked all the same.
    assert_eq!(bench.post("/v1/videos", &[ACME, ("x-say", "x-seconds-made=19")]).status, 200);
    bench.sidecar.used_is("acme", "20").await;
    let answer = bench.post("/v1/videos", &[ACME, ("x-say", "x-seconds-made=5")]);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (429, Some("QUOTA_EXHAUSTED")));
    // Envoy has sent a report of the request that was denied, if it sends one, before it hears of this one.
    assert_eq!(bench.post("/v1/videos", &[("x-subject", "rival"), ("x-say", "x-seconds-made=1")]).status, 200);
    bench.sidecar.used_is("rival", "1").await;
    assert_eq!(bench.upstream.heard().len(), 4);
    let booked: Vec<_> = bench.sidecar.generations("acme").await.into_iter().map(|generation| generation.units).collect();
    assert_eq!(booked, ["19", "7"]);
}

#[tokio::test]
async fn what_no_mapping_fits_has_no_limit() {
    let bench = Bench::start("rate-limit.yaml").await;
    // Envoy leaves out a descriptor one of whose headers is missing.
    assert_eq!(bench.post("/v1/images", &[]).status, 200);
    assert_eq!(bench.post("/v1/elsewhere", &[ACME]).status, 200);
    assert_eq!(bench.sidecar.asked("rate_limit", "allowed"), 0.0);
}

#[tokio::test]
async fn a_subject_that_cannot_be_one_does_not_get_through() {
    let bench = Bench::start("rate-limit.yaml").await;
    let answer = bench.post("/v1/images", &[("x-subject", "a*")]);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (429, Some("INVALID_FIELD")));
    assert_eq!(answer.json()["error"]["fields"][0]["field"], "subject");
    assert!(bench.upstream.heard().is_empty());
    assert_eq!(bench.sidecar.asked("rate_limit", "invalid"), 1.0);
}
