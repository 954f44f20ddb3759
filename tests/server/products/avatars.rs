//! `avatar-studio`: R7, R8, P2, P6, P7, P11.

use genquota::proto::v1::{BillingInterval, DenialReason};

use crate::administrator::Change;
use crate::ask::{Ask, ask, bad_fields, buy_credits, item, named, outputs, paid_by, seconds, work};
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";
const NEXT: &str = "2026-04-10T00:00:00Z";
const AVATAR: &str = "heygen/avatar-iv";

fn pictures(count: i64, user: &str) -> Ask {
    ask("avatar.image", AVATAR, outputs(count)).user(user)
}

#[tokio::test]
async fn a_second_and_an_image_are_a_credit_each() {
    let server = Server::example("avatar-studio", NOON).await;
    let acme = server.customer("acme", "personal").await;
    let clip = |length| ask("avatar.video", AVATAR, seconds(&[length])).user("ann");
    let five = acme.used(&clip("5")).await;
    assert_eq!((five.units_committed.as_str(), five.cost_committed.as_str()), ("5", "0.5"));
    assert_eq!(acme.used(&clip("10")).await.units_committed, "10");
    assert_eq!(acme.used(&ask("avatar.image", AVATAR, outputs(3)).user("ann")).await.units_committed, "3");
    assert_eq!(acme.left_for("ann").await, "42");
    // The basic tier makes backgrounds for nothing, premium charges, and a regenerate is charged again.
    let background = |model: &str| ask("background.generate", model, outputs(1)).user("ann");
    for _ in 0..2 {
        assert_eq!(acme.used(&background("fal/flux-schnell")).await.units_committed, "0");
        assert_eq!(acme.used(&background("fal/flux-pro-1.1")).await.units_committed, "1");
    }
    assert_eq!(acme.left_for("ann").await, "40");
}

#[tokio::test]
async fn the_free_plan_gives_16_and_works_at_zero_where_it_is_free() {
    let server = Server::example("avatar-studio", NOON).await;
    let acme = server.stranger("acme");
    let clip = |length, resolution| ask("avatar.video", AVATAR, work(vec![item(1, &[("seconds", length)], &[("resolution", resolution)])]));
    let long = acme.denied_for(&clip("10.5", "1080p").user("ann"), DenialReason::FeatureNotInPlan).await;
    assert_eq!(named(&long), ["resolution", "seconds"]);
    acme.used(&clip("10", "720p").user("ann")).await;
    acme.used(&clip("6", "720p").user("ann")).await;
    let denial = acme.denied_for(&clip("1", "720p").user("ann"), DenialReason::QuotaExhausted).await;
    // Credits need a subscription here: to buy some would not help.
    assert_eq!(buy_credits(&denial), None);
    acme.used(&ask("background.generate", "fal/flux-schnell", outputs(4)).user("ann")).await;
    acme.used(&ask("script.translate", "", outputs(1)).user("ann")).await;
    assert_eq!((acme.left_for("ann").await.as_str(), acme.left_for("bob").await.as_str()), ("0", "16"));
}

#[tokio::test]
async fn a_year_is_given_at_once_720_and_1800_for_each_seat() {
    let server = Server::example("avatar-studio", NOON).await;
    let (personal, team) = (server.subject("personal").await, server.subject("team").await);
    let annual = BillingInterval::Year.into();
    personal.subscribe("personal", |request| request.billing_interval = annual).await.unwrap();
    team.subscribe("team", |request| (request.billing_interval, request.seats) = (annual, Some(2))).await.unwrap();
    assert_eq!((personal.left_for("ann").await.as_str(), team.left_for("ann").await.as_str()), ("720", "1800"));
    team.used(&pictures(1800, "ann")).await;
    team.denied_for(&pictures(1, "ann"), DenialReason::QuotaExhausted).await;
    team.used(&pictures(1800, "bob")).await;
    team.denied_for(&pictures(1, "cid"), DenialReason::SeatsExhausted).await;
    let monthly = server.subject("monthly").await;
    monthly.subscribe("team", |request| request.seats = Some(1)).await.unwrap();
    assert_eq!(monthly.left_for("ann").await, "150");
}

#[tokio::test]
async fn granted_credits_end_with_the_period() {
    let server = Server::example("avatar-studio", NOON).await;
    let acme = server.customer("acme", "personal").await;
    acme.grant("gift", "60", |request| request.meter = "credits".to_owned()).await.unwrap();
    assert_eq!(acme.left_for("ann").await, "120");
    server.clock.set("2026-04-10T00:00:00Z");
    assert_eq!(acme.left_for("ann").await, "60");
}

#[tokio::test]
async fn sixty_credits_more_are_each_user_s_own() {
    let server = Server::example("avatar-studio", NOON).await;
    let acme = server.customer("acme", "personal").await;
    acme.used(&pictures(60, "ann")).await;
    acme.denied_for(&pictures(1, "ann"), DenialReason::QuotaExhausted).await;
    acme.changed(Change::AddOn("credits_60", 1)).await;
    assert_eq!(paid_by(&acme.used(&pictures(60, "ann")).await), "add_on credits_60 60");
    acme.denied_for(&pictures(1, "ann"), DenialReason::QuotaExhausted).await;
    assert_eq!(acme.left_for("bob").await, "120");
    assert_eq!(bad_fields(&acme.change(Change::AddOn("credits_200", 1)).await.unwrap_err()), ["add_on"]);
    server.clock.set(NEXT);
    assert_eq!(acme.left_for("ann").await, "120");
    acme.changed(Change::AddOn("credits_60", 0)).await;
    server.clock.set("2026-05-10T00:00:00Z");
    assert_eq!(acme.left_for("ann").await, "60");
}

#[tokio::test]
async fn two_hundred_credits_more_are_the_whole_workspace_s() {
    let server = Server::example("avatar-studio", NOON).await;
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| request.seats = Some(2)).await.unwrap();
    acme.changed(Change::AddOn("credits_200", 1)).await;
    assert_eq!(paid_by(&acme.used(&pictures(250, "ann")).await), "allowance seat_credits 150, add_on credits_200 100");
    acme.denied_for(&pictures(251, "bob"), DenialReason::QuotaExhausted).await;
    assert_eq!(paid_by(&acme.used(&pictures(250, "bob")).await), "allowance seat_credits 150, add_on credits_200 100");
    assert_eq!(bad_fields(&acme.change(Change::AddOn("credits_60", 1)).await.unwrap_err()), ["add_on"]);
    server.clock.set(NEXT);
    assert_eq!(acme.left_for("ann").await, "350");
}

#[tokio::test]
async fn a_team_grows_at_once_and_shrinks_when_the_month_is_over() {
    let server = Server::example("avatar-studio", NOON).await;
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| request.seats = Some(1)).await.unwrap();
    acme.used(&pictures(150, "ann")).await;
    acme.denied_for(&pictures(1, "bob"), DenialReason::SeatsExhausted).await;
    acme.changed(Change::Seats(2)).await;
    acme.used(&pictures(150, "bob")).await;
    acme.changed(Change::Seats(1)).await;
    server.clock.set(NEXT);
    acme.used(&pictures(150, "ann")).await;
    acme.denied_for(&pictures(1, "bob"), DenialReason::SeatsExhausted).await;
    // Whoever takes over the seat finds it used up until the next month.
    acme.changed(Change::Vacate(&["ann"])).await;
    acme.denied_for(&pictures(1, "bob"), DenialReason::QuotaExhausted).await;
    server.clock.set("2026-05-10T00:00:00Z");
    acme.used(&pictures(150, "bob")).await;
}

#[tokio::test]
async fn from_personal_to_team_each_seat_has_what_it_adds_beside_what_was_given() {
    let server = Server::example("avatar-studio", NOON).await;
    let acme = server.customer("acme", "personal").await;
    acme.used(&pictures(20, "ann")).await;
    server.clock.set("2026-03-25T12:00:00Z");
    acme.changed(Change::Plan("team")).await;
    // Half of the 90 that a seat has more than a user had.
    assert_eq!(paid_by(&acme.used(&pictures(85, "ann")).await), "allowance credits 40, allowance seat_credits 45");
    acme.denied_for(&pictures(1, "ann"), DenialReason::QuotaExhausted).await;
    server.clock.set(NEXT);
    assert_eq!(acme.left_for("ann").await, "150");
    acme.changed(Change::Plan("personal")).await;
    server.clock.set("2026-05-10T00:00:00Z");
    assert_eq!(acme.left_for("ann").await, "60");
}
