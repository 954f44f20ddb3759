//! When there is no answer: the sidecar is gone, or its store is.

use crate::bench::{Bench, Envoy, NOBODY, Sidecar};
use crate::lab::{Aof, Kind, Server, Settings, wait_for};
use crate::upstream::Upstream;

const ACME: (&str, &str) = ("x-subject", "acme");

#[tokio::test]
async fn a_sidecar_that_is_told_to_stop_finishes_what_runs() {
    let Bench { envoy, sidecar, upstream } = Bench::start("processor.yaml").await;
    let address = envoy.address().to_owned();
    let client = std::thread::spawn(move || crate::bench::ask(&address, "POST", "/v1/images", &[ACME, ("x-play", "gated")]));
    wait_for("the request", || (upstream.heard().len() == 1).then_some(()));
    sidecar.signal("TERM");
    wait_for("the drain", || (sidecar.ready() == 503).then_some(()));
    upstream.open_gate();
    let answer = client.join().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "made"));
    assert_eq!(answer.header("x-genquota-units"), Some("1"));
    assert!(sidecar.ended().await.success());
}

#[tokio::test]
async fn without_a_sidecar_nothing_passes() {
    for (file, path, status) in [("processor.yaml", "/v1/images", 500), ("rate-limit.yaml", "/v1/images", 503)] {
        let Bench { envoy, sidecar, upstream } = Bench::start(file).await;
        assert_eq!(envoy.post(path, &[ACME]).status, 200, "{file}");
        sidecar.kill();
        assert_eq!(envoy.post(path, &[ACME]).status, status, "{file}");
        assert_eq!(upstream.heard().len(), 1, "{file}");
    }
}

#[tokio::test]
async fn without_a_store_a_closed_route_is_503_and_an_open_one_is_booked_when_the_store_is_back() {
    let mut redis = Server::start(Kind::Valkey, Settings::default().aof(Aof::Always));
    let mut sidecar = Sidecar::start(&redis.url(), &["--request-timeout", "2s", "--journal", "off"]).await;
    let upstream = Upstream::start();
    let envoy = Envoy::start("processor.yaml", sidecar.port(), [upstream.port, NOBODY]);
    assert_eq!(envoy.post("/v1/images", &[ACME]).status, 200);
    sidecar.used_is("acme", "1").await;

    redis.kill();
    let answer = envoy.post("/v1/images", &[ACME]);
    assert_eq!((answer.status, answer.header("x-genquota-denial")), (503, Some("STORE_UNAVAILABLE")));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(upstream.heard().len(), 1);
    let answer = envoy.post("/v1/videos/wan", &[ACME, ("x-seconds", "5"), ("x-say", "x-seconds-made=4")]);
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.heard().last().unwrap().header("x-genquota-reservation"), None);
    let failed = envoy.post("/v1/videos/wan", &[ACME, ("x-seconds", "5"), ("x-answer", "500")]);
    assert_eq!(failed.status, 500);
    assert_eq!(sidecar.asked("processor", "failed_open"), 2.0);

    redis.restart();
    sidecar.used_is("acme", "5").await;
}
