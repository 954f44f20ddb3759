//! Who an allowance is for, and how often it is given: P1, P2, P14, P15.

use genquota::proto::v1::{BillingInterval, DenialReason};
use jiff::SignedDuration;

use crate::ask::{images, instant, paid_by, reason, time};
use crate::catalogs::{monthly, plans};
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";

#[tokio::test]
async fn each_user_has_an_allowance_of_their_own() {
    let server = Server::start(&plans(&["core: {allowances: [{meter: units, amount: 10, per: user}]}"]), NOON).await;
    let acme = server.customer("acme", "core").await;
    acme.used(&images(10).user("ann")).await;
    assert_eq!((acme.left_for("ann").await.as_str(), acme.left_for("bob").await.as_str()), ("0", "10"));
    acme.denied_for(&images(1).user("ann"), DenialReason::QuotaExhausted).await;
    assert_eq!(paid_by(&acme.held(&images(10).user("bob")).await), "allowance units 10");
    // Nobody in particular has no share.
    acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
}

#[tokio::test]
async fn an_allowance_of_the_subject_is_shared_by_its_users() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(6).user("ann")).await;
    assert_eq!(acme.left_for("bob").await, "4");
    acme.denied_for(&images(5).user("bob"), DenialReason::QuotaExhausted).await;
    acme.held(&images(4).user("bob")).await;
}

#[tokio::test]
async fn an_unlimited_allowance_never_refuses_and_is_metered() {
    let server = Server::start(&plans(&["ultimate: {allowances: [{meter: units, amount: unlimited, per: user}]}"]), NOON).await;
    let acme = server.customer("acme", "ultimate").await;
    for _ in 0..3 {
        acme.used(&images(10_000).user("ann")).await;
    }
    let balance = acme.balance_of("ann").await;
    assert!(balance.unlimited && !balance.near_limit);
    assert_eq!((balance.available.as_str(), balance.committed.as_str()), ("", "30000"));
    assert!(balance.sources[0].unlimited);
}

#[tokio::test]
async fn an_annual_subscription_is_refilled_every_month_on_the_day_it_started() {
    let server = Server::start(&monthly("100"), "2026-01-18T15:30:00Z").await;
    let acme = server.subject("acme").await;
    acme.subscribe("pro", |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
    for month in 2..=12 {
        acme.used(&images(100)).await;
        acme.denied(&images(1)).await;
        let end = format!("2026-{month:02}-18T00:00:00Z");
        assert_eq!(instant(acme.all_balances("").await.period_end_time.as_ref()), end);
        server.clock.set(&end);
        server.clock.advance(SignedDuration::from_millis(-1));
        acme.denied(&images(1)).await;
        server.clock.set(&end);
        assert_eq!(acme.left().await, "100");
    }
}

#[tokio::test]
async fn a_year_given_upfront_is_720_until_the_year_is_over() {
    let personal = "personal: {allowances: [{meter: units, amount: 60, per: user, billed_yearly: {amount: 720, every: year}}]}";
    let server = Server::start(&plans(&[personal]), "2026-01-18T15:30:00Z").await;
    let (monthly, annual) = (server.customer("monthly", "personal").await, server.subject("annual").await);
    annual.subscribe("personal", |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
    assert_eq!((monthly.left_for("ann").await.as_str(), annual.left_for("ann").await.as_str()), ("60", "720"));
    annual.used(&images(700).user("ann")).await;
    for month in 2..=12 {
        server.clock.set(&format!("2026-{month:02}-18T00:00:00Z"));
        assert_eq!((monthly.left_for("ann").await.as_str(), annual.left_for("ann").await.as_str()), ("60", "20"));
    }
    let denial = annual.denied(&images(21).user("ann")).await;
    assert_eq!(instant(denial.violations[0].reset_time.as_ref()), "2027-01-18T00:00:00Z");
    server.clock.set("2027-01-18T00:00:00Z");
    annual.held(&images(720).user("ann")).await;
}

#[tokio::test]
async fn terms_with_a_date_hold_for_periods_that_begin_on_it_or_later() {
    let server = Server::example("stock-studio", "2026-02-24T12:00:00Z").await;
    let before = server.customer("before", "core").await;
    assert_eq!(before.left_for("ann").await, "25");
    server.clock.set("2026-02-25T00:00:00Z");
    let after = server.customer("after", "core").await;
    // The period of the older subscription goes on as it began.
    assert_eq!((before.left_for("ann").await.as_str(), after.left_for("ann").await.as_str()), ("25", "10"));
    server.clock.set("2026-03-24T00:00:00Z");
    assert_eq!(before.left_for("ann").await, "10");
}

#[tokio::test]
async fn a_subject_nobody_created_has_the_default_plan() {
    let text = format!("{}default_plan: pro\n", monthly("10"));
    let server = Server::start(&text, NOON).await;
    let stranger = server.stranger("stranger");
    stranger.used(&images(10)).await;
    assert_eq!(stranger.all_balances("").await.plan, "pro");
    stranger.denied_for(&images(1), DenialReason::QuotaExhausted).await;
    // Its periods are the months of the calendar.
    server.clock.set("2026-04-01T00:00:00Z");
    assert_eq!(stranger.left().await, "10");
}

#[tokio::test]
async fn a_subscription_ends_the_default_plan() {
    let text = plans(&[
        "trial: {allowances: [{meter: units, amount: 3, per: subject}]}",
        "pro: {rank: 1, allowances: [{meter: units, amount: 10, per: subject}]}",
    ]);
    let server = Server::start(&format!("{text}default_plan: trial\n"), NOON).await;
    let acme = server.subject("acme").await;
    acme.used(&images(3)).await;
    acme.denied(&images(1)).await;
    acme.subscribe("pro", |_| {}).await.unwrap();
    assert_eq!(acme.left().await, "10");
}

#[tokio::test]
async fn without_a_default_plan_a_subject_has_no_subscription() {
    let server = Server::start(&monthly("10"), NOON).await;
    let stranger = server.stranger("stranger");
    let denial = stranger.denied_for(&images(1), DenialReason::NoSubscription).await;
    assert!(denial.retry_after.is_none() && denial.violations.len() == 1, "{denial:?}");
    let created = server.subject("created").await;
    created.denied_for(&images(1), DenialReason::NoSubscription).await;
    for subject in [stranger, created] {
        assert!(subject.all_balances("").await.balances.is_empty());
    }
}

#[tokio::test]
async fn a_subscription_cannot_begin_before_its_plan_is_offered_or_in_the_future() {
    let server = Server::start(&plans(&["late: {from: 2026-03-01, allowances: []}"]), NOON).await;
    let acme = server.subject("acme").await;
    for start in ["2026-02-28T23:59:59Z", "2026-03-10T12:00:00.001Z"] {
        let error = acme.subscribe("late", |request| request.start_time = Some(time(start))).await.unwrap_err();
        assert_eq!(crate::ask::bad_fields(&error), ["start_time"]);
    }
    acme.subscribe("late", |request| request.start_time = Some(time("2026-03-01T00:00:00Z"))).await.unwrap();
    let error = acme.subscribe("late", |request| request.request_id = "other".to_owned()).await.unwrap_err();
    assert_eq!(reason(&error), "SUBSCRIPTION_EXISTS");
}
