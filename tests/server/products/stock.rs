//! `stock-studio`: R5, R6, P1, P2, P11, P12, P14, C2.

use genquota::proto::v1::{BillingInterval, CostBasis, DenialReason};

use crate::administrator::Change;
use crate::ask::{ask, instant, item, outputs, work};
use crate::harness::Server;

const START: &str = "2026-02-25T09:00:00Z";

#[tokio::test]
async fn every_click_counts_one_on_each_plan() {
    let server = Server::example("stock-studio", START).await;
    let click = |user: &str| ask("image.generate", "fal/flux-dev", outputs(3)).user(user);
    for (plan, clicks) in [("core", 10), ("plus", 100)] {
        let acme = server.customer(plan, plan).await;
        for number in 1..=clicks {
            // One click that returns three pictures counts 1, and costs three.
            let used = acme.used(&click("ann")).await;
            assert_eq!((used.units_committed.as_str(), used.cost_committed.as_str()), ("1", "0.075"));
            let near = acme.balance_of("ann").await.near_limit;
            assert_eq!(near, number * 10 >= clicks * 8, "{number} of {clicks}");
        }
        acme.denied_for(&click("ann"), DenialReason::QuotaExhausted).await;
        acme.used(&click("bob")).await;
        for free in ["image.upload", "image.crop", "prompt.enhance"] {
            acme.used(&ask(free, "", outputs(1)).user("ann")).await;
        }
    }
    let acme = server.customer("ultimate", "ultimate").await;
    for _ in 0..150 {
        acme.used(&click("ann")).await;
    }
    let balance = acme.balance_of("ann").await;
    assert_eq!((balance.unlimited, balance.committed.as_str()), (true, "150"));
}

#[tokio::test]
async fn an_annual_subscription_is_given_the_same_every_month() {
    let server = Server::example("stock-studio", "2026-03-18T09:00:00Z").await;
    let acme = server.subject("acme").await;
    acme.subscribe("plus", |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
    acme.used(&ask("image.expand", "fal/flux-dev", outputs(1)).user("ann")).await;
    assert_eq!(acme.left_for("ann").await, "99");
    server.clock.set("2026-04-17T23:59:59.999Z");
    assert_eq!(acme.left_for("ann").await, "99");
    server.clock.set("2026-04-18T00:00:00Z");
    assert_eq!(acme.left_for("ann").await, "100");
}

#[tokio::test]
async fn a_model_nobody_priced_passes_at_no_cost_and_is_flagged() {
    let server = Server::example("stock-studio", START).await;
    let acme = server.customer("acme", "core").await;
    let styled = work(vec![item(2, &[], &[("style", "watercolour"), ("resolution", "2048")])]);
    let used = acme.used(&ask("image.generate", "startup/beta", styled.clone()).user("ann")).await;
    assert_eq!((used.units_committed.as_str(), used.cost_committed.as_str()), ("1", "0"));
    assert_eq!(used.attempts[0].cost_basis(), CostBasis::None);
    assert_eq!(acme.used(&ask("image.generate", "fal/flux-dev", styled).user("ann")).await.cost_committed, "0.1");
}

#[tokio::test]
async fn without_a_default_plan_a_stranger_is_denied() {
    let server = Server::example("stock-studio", START).await;
    let click = ask("image.generate", "fal/flux-dev", outputs(1)).user("ann");
    server.stranger("stranger").denied_for(&click, DenialReason::NoSubscription).await;
}

#[tokio::test]
async fn a_year_from_18_january_is_refilled_on_the_18th_of_every_month_until_its_plan_may_be_lower() {
    let server = Server::example("stock-studio", "2026-01-18T09:00:00Z").await;
    let acme = server.subject("acme").await;
    acme.subscribe("plus", |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
    let pending = acme.changed(Change::Plan("core")).await.subscription.unwrap().pending_change.unwrap();
    assert_eq!(instant(pending.effective_time.as_ref()), "2027-01-18T00:00:00Z");
    for month in 2..=12 {
        acme.used(&ask("image.expand", "fal/flux-dev", outputs(1)).user("ann")).await;
        server.clock.set(&format!("2026-{month:02}-17T23:59:59.999Z"));
        assert_eq!(acme.left_for("ann").await, "99", "{month}");
        server.clock.set(&format!("2026-{month:02}-18T00:00:00Z"));
        assert_eq!(acme.left_for("ann").await, "100", "{month}");
    }
    server.clock.set("2027-01-18T00:00:00Z");
    assert_eq!(acme.left_for("ann").await, "10");
}

#[tokio::test]
async fn each_user_has_what_a_better_plan_adds_for_the_rest_of_the_month() {
    let server = Server::example("stock-studio", "2026-03-10T09:00:00Z").await;
    let acme = server.customer("acme", "core").await;
    for _ in 0..4 {
        acme.used(&ask("image.generate", "fal/flux-dev", outputs(3)).user("ann")).await;
    }
    server.clock.set("2026-03-25T12:00:00Z");
    acme.changed(Change::Plan("plus")).await;
    // Half of 90 are 45: with the 10 there were, 55 for each.
    assert_eq!((acme.left_for("ann").await.as_str(), acme.left_for("bob").await.as_str()), ("51", "55"));
    acme.changed(Change::Plan("ultimate")).await;
    assert!(acme.balance_of("ann").await.unlimited);
    acme.changed(Change::Plan("core")).await;
    server.clock.set("2026-04-10T00:00:00Z");
    assert_eq!((acme.left_for("ann").await.as_str(), acme.left_for("bob").await.as_str()), ("10", "10"));
}

/// A period that began under the terms of before goes on under them, whatever plan is taken in it.
#[tokio::test]
async fn the_terms_of_25_february_hold_for_periods_that_begin_on_it() {
    let server = Server::example("stock-studio", "2026-02-24T12:00:00Z").await;
    let acme = server.customer("acme", "core").await;
    acme.changed(Change::CancelNow).await;
    server.clock.set("2026-02-26T00:00:00Z");
    acme.changed(Change::Subscribe("core")).await;
    assert_eq!(acme.left_for("ann").await, "25");
    server.clock.set("2026-03-24T00:00:00Z");
    assert_eq!(acme.left_for("ann").await, "10");
    // By contract it is more.
    acme.changed(Change::Allowance("generations", "40")).await;
    assert_eq!(acme.left_for("ann").await, "40");
}
