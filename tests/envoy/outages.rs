//! When there is no answer: the sidecar is gone, or its store is.

use genquota::proto::v1;

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
    assert!(sidecar.ended().await.success());
}

#[tokio::test]
async fn what_outlives_a_drain_is_cut_off_and_its_hold_stays() {
    let redis = Server::start(Kind::Valkey, Settings::default());
    let sidecar = Sidecar::start(&redis.url(), &["--journal", "off", "--drain-deadline", "1s"]).await;
    let upstream = Upstream::start();
    let envoy = Envoy::start("processor.yaml", sidecar.port(), [upstream.port, NOBODY]);
    let address = envoy.address().to_owned();
    let client = std::thread::spawn(move || crate::bench::ask(&address, "POST", "/v1/images", &[ACME, ("x-play", "gated")]));
    let id = wait_for("the request", || upstream.heard().first()?.header("x-genquota-reservation").map(str::to_owned));
    sidecar.signal("TERM");
    assert!(sidecar.ended().await.success());
    assert_eq!(client.join().unwrap().status, 500);
    let mut next = Sidecar::start(&redis.url(), &["--journal", "off"]).await;
    assert_eq!(next.reservation("acme", &id).await.state(), v1::State::Held);
}

#[tokio::test]
async fn without_a_sidecar_everything_passes_where_envoy_is_told_so() {
    for (file, closed, open) in [
        ("processor.yaml", "failure_mode_allow: false", "failure_mode_allow: true"),
        ("rate-limit.yaml", "failure_mode_deny: true", "failure_mode_deny: false"),
    ] {
        let Bench { envoy, sidecar, upstream } = Bench::start_with(file, &[(closed, open)], &[]).await;
        sidecar.kill();
        assert_eq!(envoy.post("/v1/images", &[ACME]).status, 200, "{file}");
        assert_eq!(upstream.heard().len(), 1, "{file}");
    }
}

#[tokio::test]
async fn a_hold_that_comes_after_envoy_has_given_up_is_released() {
    let redis = Server::start(Kind::Valkey, Settings::default());
    let mut sidecar = Sidecar::start(&redis.url(), &["--journal", "off"]).await;
    let upstream = Upstream::start();
    let hasty = [("message_timeout: 5s", "message_timeout: 0.2s")];
    let envoy = Envoy::start_with("processor.yaml", sidecar.port(), [upstream.port, NOBODY], &hasty);
    redis.pause();
    assert_eq!(envoy.post("/v1/images", &[ACME]).status, 504);
    redis.resume();
    sidecar.is_settled("acme").await;
    assert_eq!(sidecar.balance("acme").await, ("20".to_owned(), "0".to_owned(), "0".to_owned()));
    assert!(upstream.heard().is_empty());
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
