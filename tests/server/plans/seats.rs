//! Seats, occupied by first use: P6, and the 1800 of P2.

use genquota::proto::v1::{BillingInterval, DenialReason, Outcome};

use crate::ask::{ask, images, paid_by, seconds};
use crate::caller::Caller;
use crate::catalogs::plans;
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";
const TEAM: &str = "team: {allowances: [{meter: units, amount: 150, per: seat, billed_yearly: {amount: 1800, every: year}}]}";

async fn team(server: &Server, name: &str, seats: i32) -> Caller {
    let acme = server.subject(name).await;
    acme.subscribe("team", |request| request.seats = Some(seats)).await.unwrap();
    acme
}

async fn seated(acme: &Caller) -> Vec<String> {
    acme.shown().await.unwrap().subscription.unwrap().occupied_seats.into_iter().map(|seat| seat.user).collect()
}

#[tokio::test]
async fn a_seat_is_taken_by_first_use_until_none_is_left() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = team(&server, "acme", 2).await;
    acme.held(&images(150).user("zoe")).await;
    server.clock.set("2026-03-10T12:00:01Z");
    acme.held(&images(1).user("ann")).await;
    let denial = acme.denied_for(&images(1).user("late"), DenialReason::SeatsExhausted).await;
    assert!(denial.retry_after.is_none() && denial.remedies.is_empty(), "{denial:?}");
    assert_eq!(denial.violations[0].dimensions["user"], "late");
    // Longest seated first.
    assert_eq!(seated(&acme).await, ["zoe", "ann"]);
    // Who sits goes on; a full seat is no reason to share another's.
    acme.held(&images(149).user("ann")).await;
    acme.denied_for(&images(1).user("ann"), DenialReason::QuotaExhausted).await;
    assert_eq!(acme.left_for("late").await, "0");
}

#[tokio::test]
async fn a_denied_or_only_validated_request_takes_no_seat() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = team(&server, "acme", 1).await;
    acme.denied_for(&images(151).user("ann"), DenialReason::QuotaExhausted).await;
    acme.held(&images(1).user("bob").only_validate()).await;
    acme.quote(&images(1).user("bob"), &["lab/small"]).await.unwrap();
    assert!(seated(&acme).await.is_empty());
    acme.held(&images(1).user("cid")).await;
    assert_eq!(seated(&acme).await, ["cid"]);
}

#[tokio::test]
async fn a_call_that_names_no_user_has_no_seat() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = team(&server, "acme", 5).await;
    acme.denied_for(&images(1), DenialReason::SeatsExhausted).await;
}

#[tokio::test]
async fn a_year_gives_1800_for_each_seat_at_once() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| {
        request.seats = Some(2);
        request.billing_interval = BillingInterval::Year.into();
    })
    .await
    .unwrap();
    acme.used(&images(1800).user("ann")).await;
    acme.used(&images(1799).user("bob")).await;
    server.clock.set("2027-03-09T23:59:59Z");
    acme.denied_for(&images(1).user("ann"), DenialReason::QuotaExhausted).await;
    assert_eq!(acme.left_for("bob").await, "1");
    server.clock.set("2027-03-10T00:00:00Z");
    assert_eq!((acme.left_for("ann").await.as_str(), acme.left_for("bob").await.as_str()), ("1800", "1800"));
}

#[tokio::test]
async fn recorded_usage_takes_a_free_seat_and_never_more_than_there_are() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = team(&server, "acme", 1).await;
    let first = acme.record(&images(10).user("ann"), |_| {}).await.unwrap().reservation.unwrap();
    assert_eq!(paid_by(&first), "allowance units 10");
    assert_eq!(seated(&acme).await, ["ann"]);
    // Without a seat there is no allowance: amount times seats is never exceeded.
    let second = acme.record(&images(10).user("bob"), |_| {}).await.unwrap().reservation.unwrap();
    assert_eq!((paid_by(&second).as_str(), second.units_overage.as_str()), ("overage 10", "10"));
}

/// Whoever reserved nothing and was delivered something drew on a seat without sitting on it: two of them on one.
#[tokio::test]
async fn who_is_charged_more_than_the_nothing_they_held_takes_a_free_seat() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = team(&server, "acme", 1).await;
    let paid = async |user: &str| {
        let ask = ask("video", "lab/small", seconds(&["0"])).user(user);
        assert_eq!(acme.held(&ask).await.units_reserved, "0");
        paid_by(&acme.delivered(ask.key(), seconds(&["100"])).await)
    };
    assert_eq!((paid("ann").await.as_str(), paid("bob").await.as_str()), ("allowance units 100", "overage 100"));
    assert_eq!(seated(&acme).await, ["ann"]);
}

#[tokio::test]
async fn a_recorded_failure_takes_no_seat() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = team(&server, "acme", 1).await;
    acme.record(&images(10).user("ann"), |request| request.set_outcome(Outcome::Failed)).await.unwrap();
    assert!(seated(&acme).await.is_empty());
}

#[tokio::test]
async fn seats_that_share_a_pool_have_one_pot_of_all() {
    let server = Server::start(&plans(&["team: {allowances: [{meter: units, amount: 10, per: seat, pool: shared}]}"]), NOON).await;
    let acme = team(&server, "acme", 3).await;
    acme.used(&images(25).user("ann")).await;
    assert_eq!(acme.left_for("bob").await, "5");
    acme.denied_for(&images(6).user("bob"), DenialReason::QuotaExhausted).await;
    acme.held(&images(5)).await;
}
