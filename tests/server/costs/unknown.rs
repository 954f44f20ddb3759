//! Outcomes that nobody knows yet (L7), on every store.

use genquota::proto::v1::{CostBasis, Outcome, State};

use crate::ask::images;
use crate::harness::Server;
use crate::stores::on_every_store;

on_every_store! { crate::catalogs::monthly("10");
    an_unknown_outcome_keeps_the_hold_until_a_commit_decides
    an_unknown_outcome_may_turn_out_to_be_a_failure
    an_unknown_outcome_that_nobody_finds_out_ends_at_the_deadline
    a_retry_starts_with_nothing_unknown
}

async fn an_unknown_outcome_keeps_the_hold_until_a_commit_decides(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(3).ttl(60);
    assert!(!acme.held(&ask).await.outcome_unknown);
    server.clock.set("2026-03-10T12:00:50Z");
    let held = acme.extend_unknown(ask.key()).await;
    assert!(held.outcome_unknown);
    server.clock.set("2026-03-10T12:10:00Z");
    assert_eq!((acme.reservation(ask.key()).await.unwrap().state(), acme.left().await.as_str()), (State::Held, "7"));
    // A plain extension leaves the flag as it is.
    assert!(acme.extend(ask.key(), None).await.unwrap().outcome_unknown);
    let answer = acme.commit(ask.key(), |_| {}).await.unwrap();
    let event = &answer.events[0];
    assert_eq!((event.outcome_unknown, event.attempt.as_ref().unwrap().outcome(), event.late), (true, Outcome::Accepted, false));
    assert!(!answer.reservation.unwrap().outcome_unknown, "by now it is known");
    assert_eq!(acme.left().await, "7");
}

async fn an_unknown_outcome_may_turn_out_to_be_a_failure(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(3);
    acme.held(&ask).await;
    acme.extend_unknown(ask.key()).await;
    let answer = acme.release(ask.key(), |request| request.set_outcome(Outcome::Unknown)).await.unwrap();
    let event = &answer.events[0];
    let attempt = event.attempt.as_ref().unwrap();
    // It may have run: what it would have cost is booked as an estimate.
    assert_eq!((event.outcome_unknown, attempt.outcome(), attempt.cost_basis()), (true, Outcome::Unknown, CostBasis::Estimated));
    assert_eq!((attempt.cost.as_str(), acme.left().await.as_str()), ("0.03", "10"));
}

async fn an_unknown_outcome_that_nobody_finds_out_ends_at_the_deadline(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(3).ttl(60);
    acme.held(&ask).await;
    acme.extend_unknown(ask.key()).await;
    server.clock.set("2026-03-10T12:15:00Z");
    let expired = acme.reservation(ask.key()).await.unwrap();
    assert_eq!((expired.state(), expired.outcome_unknown, acme.left().await.as_str()), (State::Expired, false, "10"));
    let late = acme.commit(ask.key(), |_| {}).await.unwrap();
    assert!(late.events[0].late && late.events[0].outcome_unknown);
}

async fn a_retry_starts_with_nothing_unknown(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(3);
    acme.held(&ask).await;
    acme.extend_unknown(ask.key()).await;
    let (held, event) = acme.retried(ask.key(), 1, |request| request.set_outcome(Outcome::Cancelled)).await;
    assert_eq!((event.outcome_unknown, held.outcome_unknown), (true, false));
    let event = acme.commit(ask.key(), |_| {}).await.unwrap().events.remove(0);
    assert!(!event.outcome_unknown);
}
