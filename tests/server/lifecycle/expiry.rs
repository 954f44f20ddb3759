//! Deadlines: L2, L5, L6.

use genquota::proto::v1::{CostBasis, Outcome, State};
use tonic::Code;

use super::NOON;
use crate::ask::{bad_fields, images, instant, outputs, paid_by, reason};
use crate::catalogs::{monthly, plans};
use crate::harness::{Server, Setup};

#[tokio::test]
async fn a_hold_lasts_fifteen_minutes_unless_it_says_otherwise() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    assert_eq!(instant(acme.held(&images(1)).await.expire_time.as_ref()), "2026-03-10T12:15:00Z");
    assert_eq!(instant(acme.held(&images(1).ttl(1)).await.expire_time.as_ref()), "2026-03-10T12:00:01Z");
    assert_eq!(instant(acme.held(&images(1).ttl(7200)).await.expire_time.as_ref()), "2026-03-10T14:00:00Z");
    for wrong in [0, -1, 7201] {
        assert_eq!(bad_fields(&acme.reserve(&images(1).ttl(wrong)).await.unwrap_err()), ["ttl"], "{wrong}");
    }
}

#[tokio::test]
async fn ttls_can_be_configured() {
    let setup = Setup::new(&monthly("10"), NOON).with("reservation.ttl", &["30s"]).with("reservation.ttl_max", &["1m"]);
    let server = setup.start().await;
    let acme = server.customer("acme", "pro").await;
    assert_eq!(instant(acme.held(&images(1)).await.expire_time.as_ref()), "2026-03-10T12:00:30Z");
    acme.held(&images(1).ttl(60)).await;
    assert_eq!(bad_fields(&acme.reserve(&images(1).ttl(61)).await.unwrap_err()), ["ttl"]);
}

#[tokio::test]
async fn extending_lengthens_a_hold_and_never_shortens_it() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    let expires = |reservation: genquota::proto::v1::Reservation| instant(reservation.expire_time.as_ref());
    assert_eq!(expires(acme.extend(ask.key(), Some(60)).await.unwrap()), "2026-03-10T12:15:00Z");
    server.clock.set("2026-03-10T12:10:00Z");
    assert_eq!(expires(acme.extend(ask.key(), None).await.unwrap()), "2026-03-10T12:25:00Z");
    assert_eq!(expires(acme.extend(ask.key(), None).await.unwrap()), "2026-03-10T12:25:00Z");
    assert_eq!(expires(acme.extend(ask.key(), Some(7200)).await.unwrap()), "2026-03-10T14:10:00Z");
    assert_eq!(bad_fields(&acme.extend(ask.key(), Some(7201)).await.unwrap_err()), ["ttl"]);
    server.clock.set("2026-03-10T14:09:59.999Z");
    assert_eq!(acme.reservation(ask.key()).await.unwrap().state(), State::Held);
    server.clock.set("2026-03-10T14:10:00Z");
    let late = acme.extend(ask.key(), None).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::FailedPrecondition, "RESERVATION_SETTLED"));
}

#[tokio::test]
async fn an_expired_hold_gives_its_units_back_to_where_they_came_from() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    let ask = images(13).ttl(60);
    acme.held(&ask).await;
    server.clock.set("2026-03-10T12:00:59.999Z");
    assert_eq!(acme.left().await, "2");
    server.clock.set("2026-03-10T12:01:00Z");
    let balance = acme.balance().await;
    assert_eq!((balance.allowance_available.as_str(), balance.credits_available.as_str()), ("10", "5"));
    let expired = acme.reservation(ask.key()).await.unwrap();
    assert_eq!((expired.state(), expired.units_reserved.as_str(), expired.units_committed.as_str()), (State::Expired, "13", "0"));
    let attempt = &expired.attempts[0];
    assert_eq!((attempt.outcome(), attempt.cost.as_str(), attempt.cost_basis()), (Outcome::Expired, "0", CostBasis::None));
    assert_eq!(expired.legs, []);
    let released = acme.release(ask.key(), |_| {}).await.unwrap_err();
    assert_eq!(reason(&released), "RESERVATION_SETTLED");
}

#[tokio::test]
async fn a_hold_expires_without_any_traffic() {
    for setup in [Setup::new(&monthly("10"), NOON), Setup::new(&monthly("10"), NOON).embedded()] {
        let server = setup.start().await;
        let acme = server.customer("acme", "pro").await;
        let ask = images(4).ttl(60);
        acme.held(&ask).await;
        server.clock.set("2026-03-10T12:02:00Z");
        // Nobody calls: the only one to ask the time is the sweeper.
        server.clock.asked_twice().await;
        server.clock.set("2026-03-10T18:00:00Z");
        let expired = acme.reservation(ask.key()).await.unwrap();
        assert_eq!((expired.state(), instant(expired.settle_time.as_ref()).as_str()), (State::Expired, "2026-03-10T12:02:00Z"));
    }
}

#[tokio::test]
async fn a_backlog_of_expired_holds_is_swept_in_full() {
    let server = Server::start(&monthly("3000"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    for _ in 0..1200 {
        acme.held(&images(1).ttl(60)).await;
    }
    assert_eq!(acme.left().await, "1800");
    server.clock.set("2026-03-10T12:01:00Z");
    crate::harness::eventually("everything is given back", async || (acme.left().await == "3000").then_some(())).await;
}

#[tokio::test]
async fn a_hold_that_was_extended_before_a_restart_expires_after_it() {
    let server = Setup::new(&monthly("10"), NOON).embedded().start().await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4).ttl(60);
    acme.held(&ask).await;
    acme.extend(ask.key(), Some(600)).await.unwrap();
    let server = server.restart(&monthly("10")).await;
    let acme = server.stranger("acme");
    server.clock.set("2026-03-10T12:09:59Z");
    assert_eq!(acme.left().await, "6");
    server.clock.set("2026-03-10T12:10:00Z");
    server.clock.asked_twice().await;
    assert_eq!(acme.left().await, "10");
}

#[tokio::test]
async fn a_commit_after_expiry_is_honoured_and_flagged() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4).ttl(60);
    acme.held(&ask).await;
    server.clock.set("2026-03-10T13:00:00Z");
    let answer = acme.commit(ask.key(), |_| {}).await.unwrap();
    let late = answer.reservation.unwrap();
    assert!(late.late && answer.events[0].late);
    assert_eq!((late.state(), paid_by(&late).as_str(), late.cost_committed.as_str()), (State::Committed, "allowance units 4", "0.04"));
    assert!(acme.commit(ask.key(), |_| {}).await.unwrap().replayed);
    assert_eq!(acme.left().await, "6");
}

#[tokio::test]
async fn a_late_commit_is_charged_to_the_period_it_was_held_from() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    server.clock.set("2026-04-09T23:59:00Z");
    let ask = images(4).ttl(30);
    acme.held(&ask).await;
    server.clock.set("2026-04-10T00:05:00Z");
    let late = acme.committed(ask.key()).await;
    assert_eq!((paid_by(&late).as_str(), late.legs[0].period.as_str()), ("allowance units 4", "2026-03-10"));
    assert_eq!(acme.left().await, "10");
}

#[tokio::test]
async fn a_late_commit_takes_what_is_left_and_then_overage() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(8).ttl(60);
    acme.held(&ask).await;
    server.clock.set("2026-03-10T12:01:00Z");
    acme.used(&images(5)).await;
    acme.grant("gift", "1", |_| {}).await.unwrap();
    let late = acme.delivered(ask.key(), outputs(9)).await;
    assert_eq!(paid_by(&late), "allowance units 5, grant gift 1, overage 3");
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.committed.as_str(), balance.overage.as_str()), ("0", "11", "3"));
}

#[tokio::test]
async fn an_ended_reservation_is_remembered_for_a_week() {
    let server = Server::start(&plans(&["pro: {allowances: [{meter: units, amount: 10, per: subject}]}"]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.used(&ask).await;
    server.clock.set("2026-03-17T11:59:59.999Z");
    assert!(acme.reserve(&ask).await.unwrap().replayed);
    server.clock.set("2026-03-17T12:00:00Z");
    let forgotten = acme.reservation(ask.key()).await.unwrap_err();
    assert_eq!((forgotten.code(), reason(&forgotten).as_str()), (Code::NotFound, "RESERVATION_NOT_FOUND"));
    assert_eq!(acme.left().await, "6");
}

/// What a month left and the next one used up is gone: a late commit paid with it a second time.
#[tokio::test]
async fn a_late_commit_cannot_have_what_was_carried_over_and_used() {
    let plan = "pro: {allowances: [{meter: units, amount: 10, per: subject, rollover: {cap: 10}}]}";
    let server = Server::start(&plans(&[plan]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    server.clock.set("2026-04-09T23:30:00Z");
    let late = images(5);
    acme.held(&late).await;
    server.clock.set("2026-04-10T00:00:00Z");
    acme.used(&images(17)).await;
    let committed = acme.committed(late.key()).await;
    assert_eq!((committed.late, paid_by(&committed).as_str()), (true, "allowance units 3, overage 2"));
}
