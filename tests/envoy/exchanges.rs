//! Exchanges over HTTP: held before the model is called, settled by how it answered.

use genquota::proto::v1;

use crate::bench::{Bench, Envoy, NOBODY, Sidecar};
use crate::lab::wait_for;

const IMAGES: &str = "/v1/images";
const ACME: (&str, &str) = ("x-subject", "acme");

#[tokio::test]
async fn a_generation_is_held_while_it_runs_and_committed_when_it_is_answered() {
    let mut bench = Bench::start("processor.yaml").await;
    let address = bench.envoy.address().to_owned();
    let headers = [ACME, ("x-user", "mia"), ("x-count", "2"), ("x-quality", "high"), ("x-play", "gated")];
    let client = std::thread::spawn(move || crate::bench::ask(&address, "POST", IMAGES, &headers));
    let id = bench.reservation_of_upstream();
    let held = bench.sidecar.reservation_is("acme", &id, v1::State::Held).await;
    assert_eq!((held.units_reserved.as_str(), held.user.as_str(), held.labels["gateway"].as_str()), ("8", "mia", "envoy"));
    bench.upstream.open_gate();
    let answer = client.join().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "made"));
    assert_eq!(answer.header("x-genquota-reservation"), Some(id.as_str()));
    let committed = bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await;
    assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("8", "0.08"));
    assert_eq!(bench.sidecar.balance("acme").await, ("12".to_owned(), "0".to_owned(), "8".to_owned()));
    assert_eq!(bench.sidecar.asked("processor", "allowed"), 1.0);
}

#[tokio::test]
async fn an_answer_tells_what_was_charged_and_what_is_left() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-count", "3")]);
    assert_eq!(answer.status, 200);
    // An answer is not held back for a ledger that is slow, so these are there if it was not.
    if let Some(units) = answer.header("x-genquota-units") {
        assert_eq!((units, answer.header("x-genquota-remaining")), ("3", Some("17")));
    }
    let reservation = bench.reservation(&answer).await;
    bench.sidecar.reservation_is("acme", &reservation.reservation_id, v1::State::Committed).await;
}

#[tokio::test]
async fn a_failed_answer_gives_everything_back_and_says_how_it_failed() {
    let mut bench = Bench::start("processor.yaml").await;
    for (status, outcome) in [("500", v1::Outcome::Failed), ("404", v1::Outcome::Failed), ("451", v1::Outcome::Blocked)] {
        let answer = bench.post(IMAGES, &[ACME, ("x-answer", status)]);
        assert_eq!(answer.status.to_string(), status);
        let id = answer.header("x-genquota-reservation").unwrap().to_owned();
        let released = bench.sidecar.reservation_is("acme", &id, v1::State::Released).await;
        assert_eq!((released.attempts[0].outcome(), released.cost_committed.as_str()), (outcome, "0"), "{status}");
    }
    assert_eq!(bench.sidecar.balance("acme").await, ("20".to_owned(), "0".to_owned(), "0".to_owned()));
}

#[tokio::test]
async fn what_the_provider_bills_for_a_failure_is_booked_although_the_customer_pays_nothing() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-answer", "500"), ("x-say", "x-cost=0.03")]);
    let id = answer.header("x-genquota-reservation").unwrap().to_owned();
    let released = bench.sidecar.reservation_is("acme", &id, v1::State::Released).await;
    assert_eq!((released.units_committed.as_str(), released.cost_committed.as_str()), ("0", "0.03"));
}

#[tokio::test]
async fn a_model_that_cannot_be_reached_costs_nothing() {
    let mut sidecar = Sidecar::start("memory:", &[]).await;
    let envoy = Envoy::start("processor.yaml", sidecar.port(), [NOBODY, NOBODY]);
    let answer = envoy.post(IMAGES, &[ACME]);
    assert_eq!(answer.status, 503);
    let id = answer.header("x-genquota-reservation").unwrap().to_owned();
    let released = sidecar.reservation_is("acme", &id, v1::State::Released).await;
    assert_eq!(released.attempts[0].outcome(), v1::Outcome::Failed);
}

#[tokio::test]
async fn what_an_answer_says_was_made_is_charged_and_the_rest_goes_back() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-count", "4"), ("x-say", "x-count-made=3 x-cost=0.5")]);
    let id = bench.reservation(&answer).await.reservation_id;
    let committed = bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await;
    assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("3", "0.5"));

    let answer = bench.post(IMAGES, &[ACME, ("x-count", "2"), ("x-say", "x-count-made=0")]);
    let id = bench.reservation(&answer).await.reservation_id;
    assert_eq!(bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await.units_committed, "0");

    let answer = bench.post("/v1/videos/wan", &[ACME, ("x-seconds", "5"), ("x-say", "x-seconds-made=7.2")]);
    let id = bench.reservation(&answer).await.reservation_id;
    let committed = bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await;
    assert_eq!((committed.units_reserved.as_str(), committed.units_committed.as_str()), ("5", "8"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_booked_as_reserved() {
    let mut bench = Bench::start("processor.yaml").await;
    for said in ["x-count-made=many", "x-count-made=-1", "x-cost=free", "x-count-made=99999"] {
        let answer = bench.post(IMAGES, &[ACME, ("x-count", "2"), ("x-say", said)]);
        let id = bench.reservation(&answer).await.reservation_id;
        let committed = bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await;
        assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("2", "0.08"), "{said}");
    }
}

#[tokio::test]
async fn a_failover_of_the_upstream_is_a_second_attempt_with_its_cost_shift() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-say", "x-provider-used=openai x-model-used=gpt-image")]);
    let id = bench.reservation(&answer).await.reservation_id;
    let committed = bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await;
    let attempts: Vec<_> = committed
        .attempts
        .iter()
        .map(|attempt| (attempt.outcome(), attempt.reason(), attempt.cost.as_str(), attempt.cost_shift.as_str()))
        .collect();
    assert_eq!(
        attempts,
        [(v1::Outcome::Failed, v1::AttemptReason::First, "0", "0"), (v1::Outcome::Accepted, v1::AttemptReason::Failover, "0.17", "0.13")]
    );
    // The same target is none.
    let answer = bench.post(IMAGES, &[ACME, ("x-say", "x-provider-used=fal x-model-used=flux")]);
    let id = bench.reservation(&answer).await.reservation_id;
    assert_eq!(bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await.attempts.len(), 1);
}

#[tokio::test]
async fn a_failover_that_the_policy_forbids_is_booked_all_the_same() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-say", "x-provider-used=studio x-model-used=atelier")]);
    assert_eq!(answer.status, 200);
    let id = bench.reservation(&answer).await.reservation_id;
    bench.sidecar.reservation_is("acme", &id, v1::State::Released).await;
    let generations = bench.sidecar.generations("acme").await;
    let costs: Vec<_> = generations
        .iter()
        .flat_map(|generation| &generation.attempts)
        .map(|attempt| (attempt.target.as_ref().unwrap().model.as_str(), attempt.cost.as_str()))
        .collect();
    assert!(costs.contains(&("atelier", "0.9")), "{costs:?}");
    assert_eq!(bench.sidecar.balance("acme").await, ("19".to_owned(), "0".to_owned(), "1".to_owned()));
}

/// What the provider billed was booked on the attempt that was given up, and on the usage at the other target: twice.
#[tokio::test]
async fn a_failover_that_the_policy_forbids_books_what_was_billed_once() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-say", "x-provider-used=studio x-model-used=atelier x-cost=0.7")]);
    let id = bench.reservation(&answer).await.reservation_id;
    let released = bench.sidecar.reservation_is("acme", &id, v1::State::Released).await;
    assert_eq!(released.cost_committed, "0");
    bench.sidecar.used_is("acme", "1").await;
    let generations = bench.sidecar.generations("acme").await;
    let costs: Vec<_> = generations.iter().flat_map(|generation| &generation.attempts).map(|attempt| attempt.cost.as_str()).collect();
    assert_eq!(costs.iter().filter(|cost| **cost == "0.7").count(), 1, "{costs:?}");
}

/// A target that is no name made both the failover and the usage impossible, and what was used was lost.
#[tokio::test]
async fn a_target_that_is_no_name_is_booked_as_reserved() {
    let mut bench = Bench::start("processor.yaml").await;
    bench.post(IMAGES, &[ACME, ("x-say", "x-provider-used=studio x-model-used=a,b")]);
    bench.sidecar.used_is("acme", "1").await;
}

/// An upstream that does not look at it answers in plain HTTP, and a client could have had its work for nothing.
#[tokio::test]
async fn a_client_that_says_it_speaks_grpc_pays_for_an_answer_that_does_not() {
    // As where Envoy does not send such requests to upstreams of their own.
    let unsorted = [("match: {prefix: /, grpc: {}}", "match: {prefix: /nowhere, grpc: {}}")];
    let mut bench = Bench::start_with("processor.yaml", &unsorted, &[]).await;
    let answer = bench.post(IMAGES, &[ACME, ("content-type", "application/grpc")]);
    assert_eq!(answer.status, 200);
    bench.sidecar.used_is("acme", "1").await;
}

/// The hold stayed until its deadline, because the bill of the failure could not be read.
#[tokio::test]
async fn a_failure_whose_bill_cannot_be_read_gives_the_units_back_at_once() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-answer", "500"), ("x-say", "x-cost=$0.04")]);
    let id = answer.header("x-genquota-reservation").unwrap().to_owned();
    bench.sidecar.reservation_is("acme", &id, v1::State::Released).await;
}

#[tokio::test]
async fn an_outcome_that_nobody_knows_yet_keeps_its_hold_for_whoever_does() {
    let mut bench = Bench::start("processor.yaml").await;
    let answer = bench.post(IMAGES, &[ACME, ("x-answer", "202")]);
    assert_eq!(answer.status, 202);
    let id = bench.reservation_of_upstream();
    let held = bench.sidecar.reservation_that("acme", &id, |reservation| reservation.outcome_unknown).await;
    assert_eq!(held.state(), v1::State::Held);
    // The job that the upstream has queued knows the reservation, and settles when it is done.
    bench.sidecar.commit("acme", &id).await;
    assert_eq!(bench.sidecar.reservation("acme", &id).await.state(), v1::State::Committed);
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_pays_as_its_route_says() {
    let mut bench = Bench::start("processor.yaml").await;
    let client = bench.envoy.begin(IMAGES, &[ACME, ("x-play", "silent")]);
    let id = bench.reservation_of_upstream();
    bench.sidecar.reservation_is("acme", &id, v1::State::Held).await;
    drop(client);
    let released = bench.sidecar.reservation_is("acme", &id, v1::State::Released).await;
    assert_eq!(released.attempts[0].outcome(), v1::Outcome::Cancelled);

    let client = bench.envoy.begin("/v1/videos/wan", &[("x-subject", "hasty"), ("x-seconds", "4"), ("x-play", "silent")]);
    wait_for("the video's request", || (bench.upstream.heard().len() == 2).then_some(()));
    drop(client);
    bench.sidecar.used_is("hasty", "4").await;
}

#[tokio::test]
async fn an_answer_that_streams_is_charged_when_it_begins_and_stays_so() {
    let mut bench = Bench::start("processor.yaml").await;
    let mut client = bench.envoy.begin(IMAGES, &[ACME, ("x-play", "stream")]);
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut client, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let id = bench.reservation_of_upstream();
    bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await;
    drop(client);
    bench.upstream.open_gate();
    assert_eq!(bench.sidecar.reservation("acme", &id).await.state(), v1::State::Committed);
}

#[tokio::test]
async fn an_answer_that_breaks_off_stays_charged() {
    let mut bench = Bench::start("processor.yaml").await;
    let mut client = bench.envoy.begin(IMAGES, &[ACME, ("x-play", "broken")]);
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut client, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    bench.upstream.open_gate();
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client, &mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the end did not come");
    let id = bench.reservation_of_upstream();
    assert_eq!(bench.sidecar.reservation_is("acme", &id, v1::State::Committed).await.units_committed, "1");
}

#[tokio::test]
async fn requests_at_once_never_get_more_than_there_is() {
    let mut bench = Bench::start("processor.yaml").await;
    let address = bench.envoy.address();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..40).map(|_| scope.spawn(|| crate::bench::ask(address, "POST", IMAGES, &[ACME]).status)).collect();
        asking.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let (granted, denied): (Vec<u16>, Vec<u16>) = statuses.iter().partition(|status| **status == 200);
    assert_eq!((granted.len(), denied), (20, vec![429; 20]));
    bench.sidecar.used_is("acme", "20").await;
    assert_eq!(bench.upstream.heard().len(), 20);
}
