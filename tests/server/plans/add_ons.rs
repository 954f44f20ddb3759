//! Bundles on top of a plan: P7.

use genquota::proto::v1::{BillingInterval, DenialReason};

use crate::administrator::Change;
use crate::ask::{bad_fields, images, instant, paid_by};
use crate::caller::Caller;
use crate::catalogs::plans;
use crate::harness::Server;
use crate::stores::on_every_store;

const NEXT: &str = "2026-04-10T00:00:00Z";

fn offers() -> String {
    plans(&[
        "none: {rank: 0, allowances: [{meter: units, amount: 10, per: user}]}",
        "personal: {rank: 1, proration: full, allowances: [{meter: units, amount: 10, per: user}], \
         add_ons: {own: {meter: units, amount: 60, price: 10, per: user}}}",
        "upfront: {rank: 2, allowances: [{meter: units, amount: 10, per: user}], \
         add_ons: {own: {meter: units, amount: 60, price: 10, per: user, billed_yearly: {amount: 720, every: year}}}}",
        "team: {rank: 3, proration: full, allowances: [{meter: units, amount: 20, per: subject}], \
         add_ons: {shared: {meter: units, amount: 200, price: 30, per: subject}}}",
    ])
}

on_every_store! { super::offers();
    units_for_each_user_are_there_at_once_after_the_allowance
    units_that_are_shared_are_one_pot
    units_are_renewed_with_the_period
    fewer_units_live_to_the_end_of_the_period
    units_that_were_cancelled_and_bought_again_are_given_once
    units_end_with_the_subscription
    units_are_sold_by_the_plan_that_offers_them_alone
    units_of_a_plan_that_was_left_end_with_their_period
    a_year_gives_its_units_every_month_or_at_once
}

async fn personal(server: &Server, units: i32) -> Caller {
    let acme = server.customer("acme", "personal").await;
    acme.changed(Change::AddOn("own", units)).await;
    acme
}

async fn units_for_each_user_are_there_at_once_after_the_allowance(server: &Server) {
    let acme = server.customer("acme", "personal").await;
    acme.denied(&images(11).user("ann")).await;
    let holding = acme.changed(Change::AddOn("own", 1)).await.subscription.unwrap().add_ons.remove(0);
    assert_eq!((holding.add_on.as_str(), holding.units, holding.next_units), ("own", 1, None));
    assert_eq!(instant(holding.start_time.as_ref()), "2026-03-10T12:00:00Z");
    assert_eq!(paid_by(&acme.used(&images(15).user("ann")).await), "allowance units 10, add_on own 5");
    let balance = acme.balance_of("ann").await;
    // What a plan gives anew each period is allowance, and credits are what was granted.
    assert_eq!((balance.allowance_available.as_str(), balance.credits_available.as_str()), ("55", "0"));
    assert_eq!(acme.left_for("bob").await, "70");
    acme.denied_for(&images(56).user("ann"), DenialReason::QuotaExhausted).await;
    acme.changed(Change::AddOn("own", 3)).await;
    assert_eq!((acme.left_for("ann").await.as_str(), acme.left_for("bob").await.as_str()), ("175", "190"));
}

async fn units_that_are_shared_are_one_pot(server: &Server) {
    let acme = server.customer("acme", "team").await;
    acme.changed(Change::AddOn("shared", 2)).await;
    assert_eq!(paid_by(&acme.used(&images(320).user("ann")).await), "allowance units 20, add_on shared 300");
    acme.denied(&images(101).user("bob")).await;
    assert_eq!(paid_by(&acme.used(&images(100).user("bob")).await), "add_on shared 100");
    assert_eq!(acme.left().await, "0");
}

async fn units_are_renewed_with_the_period(server: &Server) {
    let acme = personal(server, 2).await;
    for month in ["2026-04", "2026-05", "2027-01", "2029-02"] {
        acme.used(&images(130).user("ann")).await;
        acme.denied(&images(1).user("ann")).await;
        server.clock.set(&format!("{month}-10T00:00:00Z"));
        assert_eq!(acme.left_for("ann").await, "130", "{month}");
    }
}

async fn fewer_units_live_to_the_end_of_the_period(server: &Server) {
    let acme = personal(server, 3).await;
    let fewer = acme.changed(Change::AddOn("own", 1)).await.subscription.unwrap().add_ons.remove(0);
    assert_eq!((fewer.units, fewer.next_units), (3, Some(1)));
    server.clock.set("2026-04-09T23:59:59.999Z");
    assert_eq!(acme.left_for("ann").await, "190");
    server.clock.set(NEXT);
    assert_eq!(acme.left_for("ann").await, "70");
    let none = acme.changed(Change::AddOn("own", 0)).await.subscription.unwrap().add_ons.remove(0);
    assert_eq!((none.units, none.next_units), (1, Some(0)));
    server.clock.set("2026-05-09T23:59:59.999Z");
    assert_eq!(paid_by(&acme.used(&images(70).user("ann")).await), "allowance units 10, add_on own 60");
    server.clock.set("2026-05-10T00:00:00Z");
    assert_eq!(acme.left_for("ann").await, "10");
    assert!(acme.subscription().await.add_ons.is_empty());
}

async fn units_that_were_cancelled_and_bought_again_are_given_once(server: &Server) {
    let acme = personal(server, 2).await;
    acme.used(&images(100).user("ann")).await;
    for units in [0, 2, 1, 2] {
        acme.changed(Change::AddOn("own", units)).await;
        assert_eq!(acme.left_for("ann").await, "30", "{units}");
    }
    server.clock.set(NEXT);
    assert_eq!(acme.left_for("ann").await, "130");
}

async fn units_end_with_the_subscription(server: &Server) {
    let acme = personal(server, 2).await;
    acme.used(&images(50).user("ann")).await;
    server.clock.advance(jiff::SignedDuration::from_secs(1));
    acme.changed(Change::CancelNow).await;
    acme.denied_for(&images(1).user("ann"), DenialReason::NoSubscription).await;
    // Who comes back in the same period has what is left of what was bought for it, and no units that go on.
    acme.changed(Change::Subscribe("personal")).await;
    assert_eq!(acme.left_for("ann").await, "80");
    assert!(acme.subscription().await.add_ons.is_empty());
    server.clock.set("2026-04-09T23:59:59.999Z");
    acme.used(&images(30).user("ann")).await;
    server.clock.set("2026-04-10T00:00:00Z");
    assert_eq!(acme.left_for("ann").await, "10");
    acme.changed(Change::AddOn("own", 1)).await;
    assert_eq!(acme.left_for("ann").await, "70");
    acme.changed(Change::Cancel).await;
    server.clock.set("2026-05-20T00:00:00Z");
    acme.changed(Change::Subscribe("personal")).await;
    assert_eq!(acme.left_for("ann").await, "10");
    assert!(acme.subscription().await.add_ons.is_empty());
}

async fn units_are_sold_by_the_plan_that_offers_them_alone(server: &Server) {
    let acme = server.customer("acme", "none").await;
    let before = acme.seen(&["ann"]).await;
    for (add_on, units, field) in [
        ("own", 1, "add_on"),
        ("shared", 1, "add_on"),
        ("unheard-of", 1, "add_on"),
        ("", 1, "add_on"),
        ("own", -1, "units"),
        ("own", 1_000_001, "units"),
    ] {
        assert_eq!(bad_fields(&acme.change(Change::AddOn(add_on, units)).await.unwrap_err()), [field], "{add_on} {units}");
    }
    assert_eq!(acme.seen(&["ann"]).await, before);
    acme.changed(Change::Plan("personal")).await;
    acme.changed(Change::AddOn("own", 1)).await;
    assert_eq!(bad_fields(&acme.change(Change::AddOn("shared", 1)).await.unwrap_err()), ["add_on"]);
}

async fn units_of_a_plan_that_was_left_end_with_their_period(server: &Server) {
    let acme = personal(server, 1).await;
    server.clock.set("2026-03-11T12:00:00Z");
    acme.changed(Change::Plan("team")).await;
    // What all share does not come on top of what each was given.
    acme.denied(&images(71).user("ann")).await;
    assert_eq!(paid_by(&acme.used(&images(70).user("ann")).await), "allowance units 10, add_on own 60");
    server.clock.set(NEXT);
    assert_eq!(acme.left_for("ann").await, "20");
    assert!(acme.subscription().await.add_ons.is_empty());
}

async fn a_year_gives_its_units_every_month_or_at_once(server: &Server) {
    let annual = async |plan: &str| {
        let acme = server.subject(plan).await;
        acme.subscribe(plan, |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
        acme.changed(Change::AddOn("own", 1)).await;
        acme
    };
    let (monthly, upfront) = (annual("personal").await, annual("upfront").await);
    assert_eq!((monthly.left_for("ann").await.as_str(), upfront.left_for("ann").await.as_str()), ("70", "730"));
    for acme in [&monthly, &upfront] {
        acme.used(&images(70).user("ann")).await;
    }
    server.clock.set(NEXT);
    assert_eq!((monthly.left_for("ann").await.as_str(), upfront.left_for("ann").await.as_str()), ("70", "670"));
    // What is cancelled lives until its own period ends: the month, or the year.
    for acme in [&monthly, &upfront] {
        acme.changed(Change::AddOn("own", 0)).await;
    }
    server.clock.set("2026-05-10T00:00:00Z");
    assert_eq!((monthly.left_for("ann").await.as_str(), upfront.left_for("ann").await.as_str()), ("10", "670"));
    server.clock.set("2027-03-09T23:59:59.999Z");
    assert_eq!(upfront.left_for("ann").await, "670");
    server.clock.set("2027-03-10T00:00:00Z");
    assert_eq!(upfront.left_for("ann").await, "10");
}
