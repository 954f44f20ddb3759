//! Seats, occupied by first use: P6, and the 1800 of P2.

use genquota::proto::v1::{BillingInterval, DenialReason, Outcome};

use crate::administrator::Change;
use crate::ask::{ask, bad_fields, images, instant, outputs, paid_by, seconds};
use crate::caller::Caller;
use crate::catalogs::plans;
use crate::harness::Server;
use crate::stores::{NOON, on_every_store};

const NEXT: &str = "2026-04-10T00:00:00Z";
const TEAM: &str = "team: {allowances: [{meter: units, amount: 150, per: seat, billed_yearly: {amount: 1800, every: year}}]}";

const POOLED: &str = "pooled: {rank: 1, allowances: [{id: pool, meter: units, amount: 10, per: seat, pool: shared}]}";
const OPEN: &str = "open: {rank: 2, allowances: [{id: pot, meter: units, amount: 5, per: subject}]}";

on_every_store! { crate::catalogs::plans(&[super::TEAM, super::POOLED, super::OPEN]);
    more_seats_are_there_at_once
    fewer_seats_wait_for_the_end_of_the_period_and_who_sat_down_last_leaves
    as_many_seats_as_now_drop_what_was_to_come
    a_seat_that_was_left_keeps_its_usage_for_the_next_who_sits_there
    a_pot_grows_with_its_seats_at_once_and_shrinks_when_the_period_ends
    seats_of_a_year_are_fewer_when_the_year_is_over
    fewer_seats_and_those_that_are_freed_in_one_request_act_each_in_its_time
    a_plan_with_seats_gets_one_and_one_without_needs_none
    a_number_of_seats_that_cannot_be_changes_nothing
}

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

/// It took the seat, and whoever came next found none.
#[tokio::test]
async fn who_commits_late_what_their_own_account_still_has_takes_no_seat() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = team(&server, "acme", 1).await;
    let (paid, more) = (images(4).user("ann").ttl(60), images(5).user("ann").ttl(60));
    acme.held(&paid).await;
    acme.held(&more).await;
    acme.changed(Change::Vacate(&["ann"])).await;
    server.clock.set("2026-03-10T13:00:00Z");
    assert_eq!(paid_by(&acme.committed(paid.key()).await), "allowance units 4");
    assert!(seated(&acme).await.is_empty());
    // What is more than was held is for those who sit.
    assert_eq!(paid_by(&acme.delivered(more.key(), outputs(6)).await), "allowance units 6");
    assert_eq!(seated(&acme).await, ["ann"]);
}

#[tokio::test]
async fn many_who_take_their_seats_by_what_they_were_delivered_are_all_charged() {
    let server = Server::start(&plans(&[TEAM]), NOON).await;
    let acme = team(&server, "acme", 64).await;
    let mut commits = tokio::task::JoinSet::new();
    for user in 0..64 {
        let ask = ask("video", "lab/small", seconds(&["0"])).user(&format!("u{user}"));
        acme.held(&ask).await;
        let acme = acme.clone();
        commits.spawn(async move { paid_by(&acme.delivered(ask.key(), seconds(&["1"])).await) });
    }
    assert!(commits.join_all().await.iter().all(|paid| paid == "allowance units 1"));
    assert_eq!(seated(&acme).await.len(), 64);
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

async fn more_seats_are_there_at_once(server: &Server) {
    let acme = team(server, "acme", 1).await;
    acme.used(&images(150).user("ann")).await;
    acme.denied_for(&images(1).user("bob"), DenialReason::SeatsExhausted).await;
    assert_eq!(acme.changed(Change::Seats(2)).await.subscription.unwrap().seats, 2);
    assert_eq!(acme.left_for("bob").await, "150");
    acme.used(&images(150).user("bob")).await;
    acme.denied_for(&images(1).user("ann"), DenialReason::QuotaExhausted).await;
    acme.denied_for(&images(1).user("cid"), DenialReason::SeatsExhausted).await;
}

async fn fewer_seats_wait_for_the_end_of_the_period_and_who_sat_down_last_leaves(server: &Server) {
    let acme = team(server, "acme", 3).await;
    for (second, user) in ["zoe", "bob", "ann"].into_iter().enumerate() {
        server.clock.set(&format!("2026-03-10T12:00:0{second}Z"));
        acme.used(&images(1).user(user)).await;
    }
    let fewer = acme.changed(Change::Seats(2)).await.subscription.unwrap();
    let pending = fewer.pending_change.unwrap();
    assert_eq!((fewer.seats, pending.seats, pending.plan.as_str()), (3, Some(2), ""));
    assert_eq!(instant(pending.effective_time.as_ref()), NEXT);
    server.clock.set("2026-04-09T23:59:59.999Z");
    assert_eq!(seated(&acme).await, ["zoe", "bob", "ann"]);
    acme.used(&images(149).user("ann")).await;
    server.clock.set(NEXT);
    assert_eq!(seated(&acme).await, ["zoe", "bob"]);
    acme.denied_for(&images(1).user("ann"), DenialReason::SeatsExhausted).await;
    acme.denied_for(&images(1).user("cid"), DenialReason::SeatsExhausted).await;
    for user in ["zoe", "bob"] {
        acme.used(&images(150).user(user)).await;
    }
    // With a seat more there is room again, and nobody but the next to call sits on it.
    acme.changed(Change::Seats(3)).await;
    assert_eq!(seated(&acme).await, ["zoe", "bob"]);
    acme.used(&images(150).user("cid")).await;
    acme.denied_for(&images(1).user("ann"), DenialReason::SeatsExhausted).await;
}

async fn as_many_seats_as_now_drop_what_was_to_come(server: &Server) {
    let acme = team(server, "acme", 3).await;
    acme.changed(Change::Seats(1)).await;
    assert_eq!(acme.changed(Change::Seats(3)).await.subscription.unwrap().pending_change, None);
    server.clock.set(NEXT);
    assert_eq!(acme.subscription().await.seats, 3);
}

/// Whoever sits, a seat gives 150 in a period.
async fn a_seat_that_was_left_keeps_its_usage_for_the_next_who_sits_there(server: &Server) {
    let acme = team(server, "acme", 1).await;
    acme.used(&images(100).user("ann")).await;
    acme.changed(Change::Vacate(&["ann", "nobody"])).await;
    assert!(seated(&acme).await.is_empty());
    assert_eq!(acme.left_for("bob").await, "50");
    acme.denied_for(&images(51).user("bob"), DenialReason::QuotaExhausted).await;
    let held = images(50).user("bob");
    acme.held(&held).await;
    acme.changed(Change::Vacate(&["bob"])).await;
    // What is set aside on it is still theirs to settle.
    acme.denied_for(&images(1).user("ann"), DenialReason::QuotaExhausted).await;
    acme.committed(held.key()).await;
    server.clock.set(NEXT);
    acme.used(&images(150).user("cid")).await;
    assert_eq!(seated(&acme).await, ["cid"]);
}

async fn a_pot_grows_with_its_seats_at_once_and_shrinks_when_the_period_ends(server: &Server) {
    let acme = server.subject("acme").await;
    acme.subscribe("pooled", |request| request.seats = Some(2)).await.unwrap();
    acme.used(&images(20).user("ann")).await;
    acme.denied(&images(1)).await;
    acme.changed(Change::Seats(5)).await;
    assert_eq!(acme.left_for("bob").await, "30");
    acme.changed(Change::Seats(1)).await;
    acme.used(&images(30)).await;
    server.clock.set(NEXT);
    assert_eq!((acme.left().await.as_str(), acme.subscription().await.seats), ("10", 1));
}

async fn seats_of_a_year_are_fewer_when_the_year_is_over(server: &Server) {
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| (request.billing_interval, request.seats) = (BillingInterval::Year.into(), Some(2))).await.unwrap();
    for user in ["ann", "bob"] {
        acme.used(&images(900).user(user)).await;
        server.clock.set("2026-04-11T00:00:00Z");
    }
    let pending = acme.changed(Change::Seats(1)).await.subscription.unwrap().pending_change.unwrap();
    assert_eq!(instant(pending.effective_time.as_ref()), "2027-03-10T00:00:00Z");
    server.clock.set("2027-03-09T23:59:59.999Z");
    acme.used(&images(900).user("bob")).await;
    server.clock.set("2027-03-10T00:00:00Z");
    acme.denied_for(&images(1).user("bob"), DenialReason::SeatsExhausted).await;
    acme.used(&images(1800).user("ann")).await;
}

async fn a_plan_with_seats_gets_one_and_one_without_needs_none(server: &Server) {
    let (team, open) = (server.customer("team", "team").await, server.customer("open", "open").await);
    assert_eq!((team.subscription().await.seats, open.subscription().await.seats), (1, 0));
    // A plan without seats of its own lets everybody in; those there are stay.
    let changed = team.changed(Change::Plan("open")).await.subscription.unwrap();
    assert_eq!((changed.plan.as_str(), changed.seats), ("open", 1));
    server.clock.set(NEXT);
    team.used(&images(1).user("ann")).await;
    team.used(&images(1).user("bob")).await;
    open.changed(Change::Plan("team")).await;
    server.clock.set("2026-05-10T00:00:00Z");
    assert_eq!(open.subscription().await.seats, 1);
    open.used(&images(150).user("ann")).await;
    open.denied_for(&images(1).user("bob"), DenialReason::SeatsExhausted).await;
}

async fn a_number_of_seats_that_cannot_be_changes_nothing(server: &Server) {
    let acme = team(server, "acme", 2).await;
    acme.used(&images(1).user("ann")).await;
    let before = acme.seen(&["ann", "bob"]).await;
    for seats in [0, -1, 1_000_001] {
        assert_eq!(bad_fields(&acme.change(Change::Seats(seats)).await.unwrap_err()), ["seats"], "{seats}");
    }
    assert_eq!(bad_fields(&acme.change(Change::Vacate(&[])).await.unwrap_err()), ["seats"]);
    assert_eq!(bad_fields(&acme.change(Change::Vacate(&["ann", "no user"])).await.unwrap_err()), ["vacate_users[1]"]);
    assert_eq!(acme.seen(&["ann", "bob"]).await, before);
}

async fn fewer_seats_and_those_that_are_freed_in_one_request_act_each_in_its_time(server: &Server) {
    let acme = team(server, "acme", 2).await;
    acme.used(&images(20).user("ann")).await;
    server.clock.set("2026-03-10T12:00:01Z");
    acme.used(&images(30).user("bob")).await;
    let request = genquota::proto::v1::SetSeatsRequest {
        subject: "acme".to_owned(),
        request_id: "both".to_owned(),
        seats: Some(1),
        vacate_users: vec!["ann".to_owned()],
        ..Default::default()
    };
    let changed = acme.admin().set_seats(request).await.unwrap().into_inner().subject.unwrap().subscription.unwrap();
    assert_eq!((changed.seats, changed.pending_change.unwrap().seats), (2, Some(1)));
    assert_eq!(seated(&acme).await, ["bob"]);
    acme.used(&images(130).user("cid")).await;
    acme.denied_for(&images(1).user("cid"), DenialReason::QuotaExhausted).await;
    server.clock.set(NEXT);
    assert_eq!(seated(&acme).await, ["bob"]);
    acme.denied_for(&images(1).user("cid"), DenialReason::SeatsExhausted).await;
}
