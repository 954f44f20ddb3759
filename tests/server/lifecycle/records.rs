//! Usage that already happened: L13.

use genquota::proto::v1::{CostBasis, DenialReason, Outcome, State};
use tonic::Code;

use super::NOON;
use crate::ask::{bad_fields, images, instant, outputs, paid_by, reason, work};
use crate::catalogs::{monthly, plans};
use crate::harness::Server;

#[tokio::test]
async fn recorded_usage_is_charged_without_a_hold() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let answer = acme.record(&images(4).user("ann").label("campaign", "spring"), |_| {}).await.unwrap();
    let recorded = answer.reservation.unwrap();
    assert_eq!((recorded.state(), recorded.units_committed.as_str(), recorded.units_reserved.as_str()), (State::Committed, "4", "0"));
    assert_eq!((recorded.cost_committed.as_str(), recorded.user.as_str()), ("0.04", "ann"));
    assert_eq!((recorded.expire_time, instant(recorded.settle_time.as_ref()).as_str()), (None, "2026-03-10T12:00:00Z"));
    assert_eq!((recorded.labels["campaign"].as_str(), recorded.attempts[0].outcome()), ("spring", Outcome::Accepted));
    assert_eq!((answer.balances[0].available.as_str(), acme.left().await.as_str()), ("6", "6"));
}

#[tokio::test]
async fn recorded_usage_that_no_source_can_pay_is_overage() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(8)).await;
    acme.grant("gift", "1", |_| {}).await.unwrap();
    let recorded = acme.record(&images(7), |_| {}).await.unwrap().reservation.unwrap();
    assert_eq!((paid_by(&recorded).as_str(), recorded.units_overage.as_str()), ("allowance units 2, grant gift 1, overage 4", "4"));
    assert_eq!(acme.balance().await.overage, "4");
}

#[tokio::test]
async fn usage_is_recorded_once_by_its_id() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (usage, hold) = (images(4), images(1));
    let first = acme.record(&usage, |_| {}).await.unwrap();
    let again = acme.record(&usage, |_| {}).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!((again.reservation, again.balances), (first.reservation, first.balances));
    let other = acme.record(&usage, |request| request.work = Some(outputs(5))).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).as_str()), (Code::AlreadyExists, "ID_REUSED"));
    // Reservations and usages share their ids.
    assert_eq!(reason(&acme.reserve(&usage).await.unwrap_err()), "ID_REUSED");
    acme.held(&hold).await;
    assert_eq!(reason(&acme.record(&hold, |_| {}).await.unwrap_err()), "ID_REUSED");
    assert_eq!(acme.left().await, "5");
    assert_eq!(reason(&acme.commit(usage.key(), |_| {}).await.unwrap_err()), "RESERVATION_SETTLED");
}

#[tokio::test]
async fn nothing_refuses_what_has_happened() {
    let plan = "pro: {features: {tiers: [basic]}, allowances: [{meter: units, amount: 10, per: subject}], \
                caps: {none: {of: requests, limit: 0, per: day}}}";
    let server = Server::start(&plans(&[plan]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let table = [
        (images(1), DenialReason::CapReached),
        (images(1).at("lab/big"), DenialReason::FeatureNotInPlan),
        (images(1).at("nobody/knows"), DenialReason::UnpricedTarget),
    ];
    for (ask, reason) in table {
        acme.denied_for(&ask, reason).await;
        acme.record(&ask, |_| {}).await.unwrap();
    }
    assert_eq!(acme.left().await, "7");
    // Without a price nothing is booked, and nothing was estimated.
    let unpriced = acme.record(&images(1).at("nobody/knows"), |_| {}).await.unwrap().reservation.unwrap().attempts.remove(0);
    assert_eq!((unpriced.cost.as_str(), unpriced.cost_basis()), ("0", CostBasis::None));
    let stranger = server.stranger("stranger");
    let recorded = stranger.record(&images(2), |_| {}).await.unwrap().reservation.unwrap();
    assert_eq!((paid_by(&recorded).as_str(), recorded.units_overage.as_str()), ("overage 2", "2"));
}

#[tokio::test]
async fn recorded_failures_charge_nothing_and_book_their_cost() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let table = [
        (Outcome::Accepted, State::Committed, "4", "0.04", CostBasis::Priced),
        (Outcome::Rejected, State::Released, "0", "0.04", CostBasis::Priced),
        (Outcome::Unknown, State::Released, "0", "0.04", CostBasis::Estimated),
        (Outcome::Failed, State::Released, "0", "0", CostBasis::None),
        (Outcome::Blocked, State::Released, "0", "0", CostBasis::None),
        (Outcome::Cancelled, State::Released, "0", "0", CostBasis::None),
    ];
    for (outcome, state, units, cost, basis) in table {
        let usage = images(4);
        let recorded = acme.record(&usage, |request| request.set_outcome(outcome)).await.unwrap().reservation.unwrap();
        let attempt = &recorded.attempts[0];
        assert_eq!((recorded.state(), attempt.outcome(), attempt.units.as_str()), (state, outcome, units));
        assert_eq!((attempt.cost.as_str(), attempt.cost_basis()), (cost, basis), "{outcome:?}");
        assert!(acme.record(&usage, |request| request.set_outcome(outcome)).await.unwrap().replayed);
    }
    assert_eq!(acme.left().await, "6");
    let expired = acme.record(&images(1), |request| request.set_outcome(Outcome::Expired)).await.unwrap_err();
    assert_eq!(bad_fields(&expired), ["outcome"]);
}

#[tokio::test]
async fn recorded_work_and_cost_may_differ_and_may_be_nothing() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let billed = acme.record(&images(2), |request| request.billed_work = Some(outputs(3))).await.unwrap().reservation.unwrap();
    assert_eq!((billed.units_committed.as_str(), billed.cost_committed.as_str()), ("2", "0.03"));
    let told = acme.record(&images(2), |request| request.billed_cost = Some("0.5".to_owned())).await.unwrap().reservation.unwrap();
    assert_eq!((told.cost_committed.as_str(), told.attempts[0].cost_basis()), ("0.5", CostBasis::Billed));
    let none = acme.record(&images(2), |request| request.work = Some(work(Vec::new()))).await.unwrap().reservation.unwrap();
    assert_eq!((none.units_committed.as_str(), none.cost_committed.as_str()), ("0", "0"));
    assert_eq!(acme.left().await, "6");
    let missing = acme.record(&images(2), |request| request.work = None).await.unwrap_err();
    assert_eq!(bad_fields(&missing), ["work"]);
}
