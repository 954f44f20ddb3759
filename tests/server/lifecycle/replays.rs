//! The same call twice: L1 and L10.

use genquota::proto::v1::{DenialReason, Outcome, State, reserve_response};
use tonic::Code;
use tonic_types::StatusExt;

use super::NOON;
use crate::ask::{images, outputs, reason};
use crate::catalogs::{monthly, plans};
use crate::harness::{Server, Setup};

#[tokio::test]
async fn the_same_id_with_the_same_payload_is_answered_with_what_it_holds() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4).user("ann").label("campaign", "spring");
    let first = acme.reserve(&ask).await.unwrap();
    assert!(!first.replayed);
    for _ in 0..3 {
        let again = acme.reserve(&ask).await.unwrap();
        assert!(again.replayed);
        assert_eq!((&again.outcome, &again.balances), (&first.outcome, &first.balances));
    }
    assert_eq!(acme.left().await, "6");
    // After the end it is the reservation as it is then.
    acme.committed(ask.key()).await;
    let again = acme.held(&ask).await;
    assert_eq!((again.state(), again.units_committed.as_str()), (State::Committed, "4"));
    assert_eq!(acme.left().await, "6");
}

#[tokio::test]
async fn the_same_id_with_another_payload_is_an_error_that_changes_nothing() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.held(&ask).await;
    let before = (acme.seen(&[]).await, acme.reservation(ask.key()).await.unwrap());
    let others =
        [images(3), images(4).user("ann"), images(4).at("lab/big"), images(4).label("a", "b"), images(4).ttl(60), images(4).or_fewer()];
    for other in others {
        let error = acme.reserve(&other.id(ask.key())).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::AlreadyExists, "ID_REUSED"));
    }
    // Also one that the plan would deny anyway.
    let denied = acme.reserve(&images(11).id(ask.key())).await.unwrap_err();
    assert_eq!(reason(&denied), "ID_REUSED");
    assert_eq!((acme.seen(&[]).await, acme.reservation(ask.key()).await.unwrap()), before);
}

#[tokio::test]
async fn two_subjects_may_use_the_same_id() {
    let server = Server::start(&monthly("10"), NOON).await;
    let (acme, other) = (server.customer("acme", "pro").await, server.customer("other", "pro").await);
    acme.held(&images(4).id("same")).await;
    assert!(!other.reserve(&images(5).id("same")).await.unwrap().replayed);
    assert_eq!((acme.left().await.as_str(), other.left().await.as_str()), ("6", "5"));
}

#[tokio::test]
async fn a_denied_id_is_not_remembered() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(11);
    acme.denied_for(&ask, DenialReason::QuotaExhausted).await;
    assert_eq!(acme.reservation(ask.key()).await.unwrap_err().code(), Code::NotFound);
    acme.grant("gift", "1", |_| {}).await.unwrap();
    assert!(!acme.reserve(&ask).await.unwrap().replayed);
    assert_eq!(acme.left().await, "0");
    // The same id with less, which would have fitted from the start.
    let ask = images(12);
    acme.denied(&ask).await;
    acme.grant("more", "1", |_| {}).await.unwrap();
    acme.held(&images(1).id(ask.key())).await;
}

#[tokio::test]
async fn a_repeat_is_answered_although_the_catalog_meanwhile_forbids_it() {
    let server = Setup::new(&monthly("10"), NOON).embedded().start().await;
    let acme = server.customer("acme", "pro").await;
    let (held, recorded) = (images(4), images(1));
    acme.held(&held).await;
    acme.record(&recorded, |_| {}).await.unwrap();
    // First the plan forbids it, then nobody knows the action any more.
    let forbidden = plans(&["pro: {features: {actions: upload}, allowances: [{meter: units, amount: 10, per: subject}]}"]);
    let server = server.restart(&forbidden).await;
    let acme = server.stranger("acme");
    acme.denied_for(&images(1), DenialReason::FeatureNotInPlan).await;
    assert!(acme.reserve(&held).await.unwrap().replayed);
    assert_eq!(reason(&acme.reserve(&images(5).id(held.key())).await.unwrap_err()), "ID_REUSED");
    let server = server.restart(&monthly("10").replace("  image:\n", "  picture:\n")).await;
    let acme = server.stranger("acme");
    assert_eq!(crate::ask::bad_fields(&acme.reserve(&images(1)).await.unwrap_err()), ["action"]);
    assert!(acme.reserve(&held).await.unwrap().replayed);
    assert!(acme.record(&recorded, |_| {}).await.unwrap().replayed);
    assert_eq!(reason(&acme.reserve(&images(5).id(held.key())).await.unwrap_err()), "ID_REUSED");
    assert_eq!(acme.committed(held.key()).await.units_committed, "4");
    assert_eq!(acme.left().await, "5");
}

#[tokio::test]
async fn a_commit_that_is_repeated_gives_the_stored_answer() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.held(&ask).await;
    let first = acme.commit(ask.key(), |request| request.work = Some(outputs(3))).await.unwrap();
    server.clock.set("2026-03-10T12:05:00Z");
    let again = acme.commit(ask.key(), |request| request.work = Some(outputs(3))).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!((again.reservation, again.events, again.balances), (first.reservation, first.events, first.balances));
    assert_eq!(acme.left().await, "7");
}

#[tokio::test]
async fn a_release_that_is_repeated_gives_the_stored_answer() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.held(&ask).await;
    let first = acme.release(ask.key(), |request| request.set_outcome(Outcome::Blocked)).await.unwrap();
    let again = acme.release(ask.key(), |request| request.set_outcome(Outcome::Blocked)).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!((again.reservation, again.events), (first.reservation, first.events));
    assert_eq!(acme.left().await, "10");
}

#[tokio::test]
async fn a_second_settlement_that_differs_is_refused_and_changes_nothing() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (committed, released) = (images(4), images(2));
    acme.held(&committed).await;
    acme.held(&released).await;
    acme.committed(committed.key()).await;
    acme.release(released.key(), |_| {}).await.unwrap();
    let before = acme.seen(&[]).await;
    let errors = [
        (acme.commit(committed.key(), |request| request.work = Some(outputs(1))).await.map(|_| ()), "COMMITTED"),
        (acme.commit(committed.key(), |request| request.billed_cost = Some("1".to_owned())).await.map(|_| ()), "COMMITTED"),
        (acme.release(committed.key(), |_| {}).await.map(|_| ()), "COMMITTED"),
        (acme.extend(committed.key(), None).await.map(|_| ()), "COMMITTED"),
        (acme.release(released.key(), |request| request.set_outcome(Outcome::Rejected)).await.map(|_| ()), "RELEASED"),
        (acme.commit(released.key(), |_| {}).await.map(|_| ()), "RELEASED"),
        (acme.extend(released.key(), None).await.map(|_| ()), "RELEASED"),
    ];
    for (error, state) in errors {
        let error = error.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::FailedPrecondition, "RESERVATION_SETTLED"));
        assert_eq!(error.get_details_error_info().unwrap().metadata["state"], state);
    }
    assert_eq!(acme.seen(&[]).await, before);
}

#[tokio::test]
async fn validating_only_answers_as_if_and_remembers_nothing() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    let ask = images(4);
    let answer = acme.reserve(&ask.clone().only_validate()).await.unwrap();
    let Some(reserve_response::Outcome::Reservation(as_if)) = answer.outcome else { panic!("granted: {answer:?}") };
    assert_eq!((as_if.units_reserved.as_str(), as_if.cost_reserved.as_str(), as_if.state()), ("4", "0.04", State::Held));
    acme.denied_for(&images(11).only_validate(), DenialReason::QuotaExhausted).await;
    let fewer = acme.held(&images(11).or_fewer().only_validate()).await;
    assert_eq!(fewer.units_reserved, "10");
    assert_eq!(acme.seen(&[]).await, before);
    assert_eq!(acme.reservation(ask.key()).await.unwrap_err().code(), Code::NotFound);
    // To try a request first does not make it another one.
    assert!(!acme.reserve(&ask).await.unwrap().replayed);
    assert!(acme.reserve(&ask.only_validate()).await.unwrap().replayed);
}

#[tokio::test]
async fn administrative_changes_take_effect_once() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.stranger("acme");
    assert!(!acme.create("UTC").await.unwrap().replayed);
    assert!(acme.create("UTC").await.unwrap().replayed);
    assert_eq!(reason(&acme.create("Asia/Tokyo").await.unwrap_err()), "ID_REUSED");
    let version = acme.subscribe("pro", |_| {}).await.unwrap().subject.unwrap().version;
    let again = acme.subscribe("pro", |_| {}).await.unwrap();
    assert_eq!((again.replayed, again.subject.unwrap().version), (true, version));
    let other = acme.subscribe("pro", |request| request.seats = Some(1)).await.unwrap_err();
    assert_eq!(reason(&other), "ID_REUSED");
}
