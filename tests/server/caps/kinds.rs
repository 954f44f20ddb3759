//! What a cap counts: units, cost, requests, what is in flight.

use genquota::proto::v1::DenialReason;

use super::capped;
use crate::ask::{amounts, ask, fewer_count, images, named, outputs, wait_until};

#[tokio::test]
async fn a_cap_on_units_counts_what_is_held_and_what_was_used() {
    let (_server, acme) = capped("{of: units, meter: units, limit: 10, per: day}").await;
    acme.used(&images(4)).await;
    let held = images(5);
    acme.held(&held).await;
    let denial = acme.denied_for(&images(2), DenialReason::CapReached).await;
    assert_eq!(amounts(&denial.violations[0]), ["10", "5", "4", "2", "1"]);
    assert_eq!((named(&denial), denial.violations[0].meter.as_str()), (vec!["limit"], "units"));
    // All that was held goes back, and then some of it is used.
    acme.delivered(held.key(), outputs(1)).await;
    acme.held(&images(5)).await;
    acme.denied(&images(1)).await;
}

#[tokio::test]
async fn a_cap_on_units_lets_through_what_it_tells_to_ask_for() {
    let (_server, acme) = capped("{of: units, meter: units, limit: 10}").await;
    acme.used(&images(7)).await;
    let denial = acme.denied(&images(5)).await;
    assert_eq!(fewer_count(&denial).as_deref(), Some("3"));
    assert!(denial.retry_after.is_none() && wait_until(&denial).is_none(), "a cap without a window never starts anew");
    acme.held(&images(3)).await;
}

#[tokio::test]
async fn a_cap_on_cost_counts_what_was_billed() {
    let (_server, acme) = capped("{of: cost, limit: 0.10, per: day}").await;
    let ask = images(10);
    acme.held(&ask).await;
    let denial = acme.denied_for(&images(1), DenialReason::CapReached).await;
    assert_eq!((amounts(&denial.violations[0]), denial.violations[0].meter.as_str()), (["0.1", "0.1", "0", "0.01", "0"], "cost"));
    acme.commit(ask.key(), |request| request.billed_cost = Some("0.0123456789".to_owned())).await.unwrap_err();
    acme.commit(ask.key(), |request| request.billed_cost = Some("0.05".to_owned())).await.unwrap();
    acme.held(&images(5)).await;
    acme.denied(&images(1)).await;
}

#[tokio::test]
async fn a_released_attempt_keeps_its_cost_under_the_cap() {
    let (_server, acme) = capped("{of: cost, limit: 0.10, per: day}").await;
    let ask = images(10);
    acme.held(&ask).await;
    acme.release(ask.key(), |request| request.billed_cost = Some("0.08".to_owned())).await.unwrap();
    let denial = acme.denied(&images(3)).await;
    assert_eq!(amounts(&denial.violations[0]), ["0.1", "0", "0.08", "0.03", "0.02"]);
    acme.held(&images(2)).await;
}

#[tokio::test]
async fn a_cap_on_requests_counts_calls_and_not_outputs() {
    let (_server, acme) = capped("{of: requests, limit: 2, per: minute}").await;
    acme.used(&images(50)).await;
    acme.held(&images(1)).await;
    let denial = acme.denied_for(&images(1), DenialReason::CapReached).await;
    assert_eq!((amounts(&denial.violations[0]), denial.violations[0].meter.as_str()), (["2", "1", "1", "1", "0"], "requests"));
    // A free action is no request.
    acme.used(&ask("upload", "", outputs(1))).await;
}

#[tokio::test]
async fn a_cap_in_flight_counts_what_is_held_alone() {
    let (server, acme) = capped("{of: in_flight, limit: 2}").await;
    let asks = [images(1), images(1), images(1).ttl(60), images(1)];
    acme.held(&asks[0]).await;
    acme.held(&asks[1]).await;
    let denial = acme.denied_for(&asks[2], DenialReason::CapReached).await;
    assert_eq!((amounts(&denial.violations[0]), denial.violations[0].meter.as_str()), (["2", "2", "0", "1", "0"], "in_flight"));
    // Nobody knows when one ends, only that asking again makes sense.
    assert_eq!((denial.retry_after.unwrap().seconds, wait_until(&denial)), (1, None));
    acme.committed(asks[0].key()).await;
    acme.held(&asks[2]).await;
    acme.release(asks[1].key(), |_| {}).await.unwrap();
    acme.held(&asks[3]).await;
    acme.denied(&images(1)).await;
    // What expires is no longer in flight either.
    server.clock.set("2026-03-10T12:01:00Z");
    acme.held(&images(1)).await;
    acme.denied(&images(1)).await;
}

#[tokio::test]
async fn usage_that_happened_is_counted_above_a_cap_and_never_refused() {
    let (_server, acme) = capped("{of: units, meter: units, limit: 10, per: day}").await;
    acme.record(&images(25), |_| {}).await.unwrap();
    let ask = images(1);
    let denial = acme.denied_for(&ask, DenialReason::CapReached).await;
    assert_eq!(amounts(&denial.violations[0]), ["10", "0", "25", "1", "0"]);
}

#[tokio::test]
async fn a_request_above_the_whole_cap_is_told_no_time_to_wait_for() {
    let (_server, acme) = capped("{of: units, meter: units, limit: 10, per: day}").await;
    let denial = acme.denied(&images(11)).await;
    assert!(denial.retry_after.is_none() && wait_until(&denial).is_none(), "{denial:?}");
    assert_eq!(fewer_count(&denial).as_deref(), Some("10"));
    acme.held(&images(10)).await;
}
