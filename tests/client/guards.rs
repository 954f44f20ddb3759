//! A guard settles once, whatever becomes of the code around it.

use std::time::Duration;

use genquota::client::v1::{AttemptReason, DenialReason, Outcome, State};
use genquota::client::{Billing, Booking, Client, Decision, Delivered, Error, Guard, Request, Retried, Retry, Undelivered, Work};

use crate::sidecar::{ALLOWANCE, Sidecar, ask, balance, look, until_state};
use crate::until;

async fn held(client: &Client, request: Request) -> Guard {
    match client.reserve(request).await.unwrap() {
        Decision::Held(guard) => guard,
        Decision::Denied(denial) => panic!("denied: {}", denial.message),
    }
}

#[tokio::test]
async fn what_was_delivered_is_charged_and_the_rest_goes_back() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let guard = held(&client, ask(4)).await;
    assert_eq!(guard.reservation().units_reserved, "4");
    let settled = guard.commit(Delivered::work(Work::outputs(3)).billed(Billing::cost("0.07"))).await.unwrap();
    let reservation = settled.reservation.unwrap();
    assert_eq!(
        (settled.booking, reservation.units_committed.as_str(), reservation.cost_committed.as_str()),
        (Booking::Booked, "3", "0.07")
    );
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 3, 3));

    let guard = held(&client, ask(2)).await;
    let released = guard.release(Undelivered::new(Outcome::Blocked).detail("nudity").billed(Work::outputs(1))).await.unwrap();
    assert_eq!((released.events[0].detail.as_str(), released.events[0].attempt.as_ref().unwrap().cost.as_str()), ("nudity", "0.01"));
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 3, 3));
}

#[tokio::test]
async fn more_than_there_is_is_denied_and_fewer_may_be_taken() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    held(&client, ask(ALLOWANCE - 7)).await.commit(Delivered::as_reserved()).await.unwrap();
    match client.reserve(ask(20)).await.unwrap() {
        Decision::Denied(denial) => assert_eq!(denial.reason(), DenialReason::QuotaExhausted),
        Decision::Held(guard) => panic!("held: {guard:?}"),
    }
    let fewer = held(&client, ask(20).accept_fewer()).await;
    assert_eq!(fewer.reservation().units_reserved, "7");
    fewer.release(Outcome::Cancelled).await.unwrap();
}

#[tokio::test]
async fn a_guard_that_is_dropped_gives_everything_back() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    drop(held(&client, ask(5).reservation_id("dropped")).await);
    let released = until_state(&client, "dropped", State::Released).await;
    assert_eq!(released.attempts[0].outcome(), Outcome::Cancelled);
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE, 0));
}

#[tokio::test]
async fn a_handler_that_panics_gives_everything_back_as_failed() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let guard = held(&client, ask(5).reservation_id("panicked")).await;
    let handler = tokio::spawn(async move {
        assert_eq!(guard.reservation().units_reserved, "6", "which is not so");
        drop(guard);
    });
    assert!(handler.await.unwrap_err().is_panic());
    assert_eq!(until_state(&client, "panicked", State::Released).await.attempts[0].outcome(), Outcome::Failed);
}

/// Polled once, a future has begun; then its caller goes away.
async fn begin_and_drop(future: impl Future) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn a_hold_that_is_granted_after_its_caller_has_gone_is_given_back() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    begin_and_drop(client.reserve(ask(5).reservation_id("unheard"))).await;
    until_state(&client, "unheard", State::Released).await;
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE, 0));
}

#[tokio::test]
async fn a_settlement_that_has_begun_comes_to_its_end_without_its_caller() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let guard = held(&client, ask(5).reservation_id("never-polled")).await;
    drop(guard.commit(Delivered::as_reserved()));
    until_state(&client, "never-polled", State::Committed).await;
    let guard = held(&client, ask(5).reservation_id("polled-once")).await;
    begin_and_drop(guard.commit(Delivered::as_reserved())).await;
    client.finish().await;
    assert_eq!(look(&client, "polled-once").await.unwrap().state(), State::Committed);
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 10, 10));
}

#[tokio::test]
async fn an_attempt_that_failed_is_followed_by_another_under_the_same_hold() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let mut guard = held(&client, ask(2).reservation_id("retried")).await;
    assert_eq!(guard.retry(Retry::after(Outcome::Failed).on("openai", "gpt-image-1")).await.unwrap(), Retried::Held);
    let failover = &guard.reservation().attempts[1];
    assert_eq!((failover.reason(), failover.cost.as_str()), (AttemptReason::Failover, "0.04"));
    match guard.retry(Retry::after(Outcome::Failed).on("google", "imagen-ultra")).await.unwrap() {
        Retried::Denied(denial) => assert_eq!(denial.reason(), DenialReason::FailoverPolicy),
        Retried::Held => panic!("six times the price is held"),
    }
    let rejected = Retry::after(Outcome::Rejected).work(Work::outputs(1)).billed(Work::outputs(2)).reason(AttemptReason::RejectedOutput);
    assert_eq!(guard.retry(rejected).await.unwrap(), Retried::Held);
    let settled = guard.commit(Work::outputs(1)).await.unwrap().reservation.unwrap();
    let costs: Vec<&str> = settled.attempts.iter().map(|attempt| attempt.cost.as_str()).collect();
    assert_eq!((settled.units_committed.as_str(), costs), ("1", vec!["0", "0.04", "0.02"]));
}

#[tokio::test]
async fn a_retry_that_nobody_heard_of_is_looked_up_before_the_next() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let mut guard = held(&client, ask(2).reservation_id("unsure")).await;
    begin_and_drop(guard.retry(Retry::after(Outcome::Failed))).await;
    until("the second attempt", async || look(&client, "unsure").await.filter(|found| found.attempts.len() == 2)).await;
    assert_eq!(guard.reservation().attempts.len(), 1);
    assert_eq!(guard.retry(Retry::after(Outcome::Failed).on("openai", "gpt-image-1")).await.unwrap(), Retried::Held);
    assert_eq!(guard.reservation().attempts.len(), 3);
    guard.release(Outcome::Failed).await.unwrap();
}

#[tokio::test]
async fn a_hold_is_kept_alive_for_as_long_as_its_guard_lives() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let ask = ask(1).ttl(Duration::from_secs(2)).keep_alive(Duration::from_secs(600));
    let guard = held(&client, ask.reservation_id("long")).await;
    let first = guard.reservation().expire_time.unwrap();
    let extended = until("the deadline to move", async || {
        look(&client, "long").await.filter(|found| found.expire_time.unwrap().seconds > first.seconds + 1)
    });
    assert_eq!(extended.await.state(), State::Held, "beyond its first deadline");
    guard.commit(Delivered::as_reserved()).await.unwrap();
}

#[tokio::test]
async fn a_generation_that_hangs_does_not_keep_its_hold_for_ever() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let ask = ask(1).ttl(Duration::from_secs(1)).keep_alive(Duration::from_secs(1));
    let _hanging = held(&client, ask.reservation_id("hanging")).await;
    let expired = until_state(&client, "hanging", State::Expired).await;
    let [made, ended] = [expired.create_time.unwrap(), expired.expire_time.unwrap()];
    assert!(ended.seconds - made.seconds <= 3, "it was extended for one second, by one second");
}

#[tokio::test]
async fn a_guard_without_it_is_not_kept_alive_and_its_commit_is_late() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let guard = held(&client, ask(1).ttl(Duration::from_secs(1)).reservation_id("late")).await;
    until_state(&client, "late", State::Expired).await;
    assert!(guard.commit(Delivered::as_reserved()).await.unwrap().reservation.unwrap().late);
}

#[tokio::test]
async fn a_hold_is_extended_when_it_is_asked_for() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    let mut guard = held(&client, ask(1).ttl(Duration::from_secs(60))).await;
    let before = guard.reservation().expire_time.unwrap().seconds;
    guard.extend(Duration::from_secs(3600)).await.unwrap();
    assert!(guard.reservation().expire_time.unwrap().seconds > before + 3000);
    guard.release(Outcome::Cancelled).await.unwrap();
}

#[tokio::test]
async fn a_hold_that_is_left_open_is_settled_by_whoever_takes_it_up() {
    let sidecar = Sidecar::start();
    let (client, webhook) = (sidecar.client(), sidecar.client());
    let reservation = held(&client, ask(1).reservation_id("video-job")).await.leave();
    let guard = webhook.resume(reservation.subject, reservation.reservation_id).await.unwrap();
    let unknown = guard.leave_unknown(Duration::from_secs(3600)).await.unwrap();
    assert!(unknown.outcome_unknown && unknown.state() == State::Held);
    let guard = client.resume("acme", "video-job").await.unwrap();
    guard.commit(Delivered::as_reserved()).await.unwrap();
    match webhook.resume("acme", "video-job").await.unwrap_err() {
        Error::NotHeld { reservation_id, state } => assert_eq!((reservation_id.as_str(), state), ("video-job", State::Committed)),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_id_that_has_ended_is_no_hold() {
    let sidecar = Sidecar::start();
    let client = sidecar.client();
    held(&client, ask(1).reservation_id("again")).await.release(Outcome::Failed).await.unwrap();
    let error = client.reserve(ask(1).reservation_id("again")).await.unwrap_err();
    assert!(matches!(error, Error::NotHeld { state: State::Released, .. }), "{error}");
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named() {
    let sidecar = Sidecar::start();
    let error = sidecar.client().reserve(ask(1).work(Work::outputs(0))).await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert!(refusal.fields.contains_key("work.items[0].count"), "{refusal:?}");
}

/// The runtime of the client is gone: nobody is left to release it, and nobody panics.
#[test]
fn a_guard_that_outlives_its_runtime_leaves_its_hold_to_the_deadline() {
    let sidecar = Sidecar::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (client, guard) = runtime.block_on(async {
        let client = sidecar.client();
        let guard = held(&client, ask(1).ttl(Duration::from_secs(1)).reservation_id("orphan")).await;
        (client, guard)
    });
    drop(runtime);
    drop(guard);
    drop(client);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { until_state(&sidecar.client(), "orphan", State::Expired).await });
}
