//! Limits by contract: P14, and that raising a cap acts at once (chapter 4).

use genquota::proto::v1::limit_override::Limit;
use genquota::proto::v1::{BillingInterval, DenialReason};

use crate::administrator::Change;
use crate::ask::{amounts, ask, bad_fields, images, named, seconds};
use crate::catalogs::plans;
use crate::harness::Server;
use crate::stores::on_every_store;

const NEXT: &str = "2026-04-10T00:00:00Z";

fn offers() -> String {
    plans(&[
        "pro: {rank: 1, allowances: [{meter: units, amount: 10, per: subject}], \
         caps: {day: {of: units, meter: units, limit: 8, per: day}, running: {of: in_flight, limit: 2}}}",
        "max: {rank: 2, proration: full, allowances: [{meter: units, amount: 30, per: subject}]}",
        "seated: {rank: 3, allowances: [{id: own, meter: units, amount: 10, per: seat, billed_yearly: {amount: 120, every: year}}]}",
    ])
}

on_every_store! { super::offers();
    another_amount_of_an_allowance_acts_at_once_and_in_each_period_after
    less_than_was_used_takes_nothing_back_and_lets_nothing_through
    an_allowance_without_end_is_the_plan_s_again_when_the_contract_is_over
    a_raised_cap_lets_the_next_call_through
    a_contract_holds_for_every_seat_and_for_every_plan_that_has_the_allowance
    a_limit_that_cannot_be_changes_nothing
}

async fn another_amount_of_an_allowance_acts_at_once_and_in_each_period_after(server: &Server) {
    let acme = server.customer("acme", "max").await;
    acme.used(&images(30)).await;
    let mut overrides = acme.changed(Change::Allowance("units", "50")).await.overrides;
    assert_eq!((overrides.len(), overrides.remove(0).value.as_str()), (1, "50"));
    assert_eq!(acme.left().await, "20");
    acme.used(&images(20)).await;
    acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
    for now in [NEXT, "2027-01-10T00:00:00Z"] {
        server.clock.set(now);
        assert_eq!(acme.left().await, "50");
    }
    assert!(acme.changed(Change::Allowance("units", "")).await.overrides.is_empty());
    assert_eq!(acme.left().await, "30");
}

async fn less_than_was_used_takes_nothing_back_and_lets_nothing_through(server: &Server) {
    let acme = server.customer("acme", "max").await;
    acme.used(&images(20)).await;
    let held = images(5);
    acme.held(&held).await;
    acme.changed(Change::Allowance("units", "12")).await;
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.committed.as_str(), balance.reserved.as_str()), ("0", "20", "5"));
    acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
    assert_eq!(acme.committed(held.key()).await.units_committed, "5");
    server.clock.set(NEXT);
    assert_eq!(acme.left().await, "12");
}

async fn an_allowance_without_end_is_the_plan_s_again_when_the_contract_is_over(server: &Server) {
    let acme = server.customer("acme", "max").await;
    acme.changed(Change::Allowance("units", "unlimited")).await;
    acme.used(&images(1000)).await;
    assert!(acme.balance().await.unlimited);
    acme.changed(Change::Allowance("units", "")).await;
    acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
    server.clock.set(NEXT);
    assert_eq!(acme.left().await, "30");
}

async fn a_raised_cap_lets_the_next_call_through(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(8)).await;
    let denial = acme.denied_for(&images(1), DenialReason::CapReached).await;
    assert_eq!((named(&denial), amounts(&denial.violations[0])), (vec!["day"], ["8", "0", "8", "1", "0"]));
    let mut overrides = acme.changed(Change::Cap("day", "9")).await.overrides;
    assert_eq!(overrides.remove(0).limit, Some(Limit::Cap("day".to_owned())));
    acme.denied_for(&images(2), DenialReason::CapReached).await;
    acme.used(&images(1)).await;
    acme.denied_for(&images(1), DenialReason::CapReached).await;
    acme.changed(Change::Cap("day", "unlimited")).await;
    let nothing = || ask("video", "lab/small", seconds(&["0"]));
    let [first, second, third] = [images(1), nothing(), nothing()];
    acme.held(&first).await;
    acme.changed(Change::Cap("running", "1")).await;
    assert_eq!(named(&acme.denied(&second).await), ["running"]);
    acme.changed(Change::Cap("running", "")).await;
    acme.held(&second).await;
    assert_eq!(named(&acme.denied(&third).await), ["running"]);
    // Lowered, a cap takes back nothing either.
    acme.changed(Change::Cap("day", "3")).await;
    acme.committed(first.key()).await;
    acme.committed(second.key()).await;
    assert_eq!(named(&acme.denied(&images(1)).await), ["day", "units"]);
}

async fn a_contract_holds_for_every_seat_and_for_every_plan_that_has_the_allowance(server: &Server) {
    let (seated, acme) = (server.subject("seated").await, server.customer("acme", "pro").await);
    seated
        .subscribe("seated", |request| (request.billing_interval, request.seats) = (BillingInterval::Year.into(), Some(2)))
        .await
        .unwrap();
    seated.changed(Change::Allowance("own", "200")).await;
    assert_eq!((seated.left_for("ann").await.as_str(), seated.left_for("bob").await.as_str()), ("200", "200"));
    seated.changed(Change::Cap("day", "0")).await;
    seated.used(&images(200).user("ann")).await;
    acme.changed(Change::Allowance("units", "15")).await;
    acme.changed(Change::Plan("max")).await;
    assert_eq!(acme.left().await, "15");
}

async fn a_limit_that_cannot_be_changes_nothing(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    for (change, field) in [
        (Change::Allowance("gold", "5"), "allowance"),
        (Change::Cap("week", "5"), "cap"),
        (Change::Allowance("", "5"), "allowance"),
        (Change::Allowance("units", "-1"), "value"),
        (Change::Allowance("units", "much"), "value"),
        (Change::Cap("running", "1.5"), "value"),
        (Change::Cap("day", "1e3"), "value"),
    ] {
        assert_eq!(bad_fields(&acme.change(change).await.unwrap_err()), [field], "{change:?}");
    }
    assert_eq!(acme.seen(&[]).await, before);
}
