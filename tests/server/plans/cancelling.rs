//! The end of a subscription, and coming back: P12.

use genquota::proto::v1::{BillingInterval, DenialReason};

use crate::administrator::Change;
use crate::ask::{bad_fields, images, instant, paid_by, reason};
use crate::catalogs::plans;
use crate::harness::Server;
use crate::stores::on_every_store;

const NEXT: &str = "2026-04-10T00:00:00Z";

fn offers() -> String {
    plans(&[
        "pro: {rank: 1, allowances: [{meter: units, amount: 10, per: subject}], add_ons: {more: {meter: units, amount: 5, per: subject}}}",
        "max: {rank: 2, proration: full, allowances: [{meter: units, amount: 30, per: subject}]}",
    ])
}

on_every_store! { super::offers();
    a_cancelled_subscription_keeps_everything_until_its_period_ends
    subscribing_again_before_the_end_resumes_and_restarts_nothing
    another_plan_or_interval_is_no_way_to_resume
    taking_a_plan_goes_on_with_a_cancelled_subscription
    a_year_that_is_cancelled_lasts_until_it_is_over
    a_subscription_that_ends_now_can_still_be_settled
    coming_back_in_the_same_period_goes_on_in_it
    coming_back_later_begins_anew
    only_what_runs_can_be_changed
}

async fn a_cancelled_subscription_keeps_everything_until_its_period_ends(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.changed(Change::AddOn("more", 1)).await;
    acme.grant("tied", "2", |request| request.requires_subscription = Some(true)).await.unwrap();
    let cancelled = acme.changed(Change::Cancel).await.subscription.unwrap();
    assert_eq!((cancelled.plan.as_str(), instant(cancelled.cancel_time.as_ref()).as_str()), ("pro", NEXT));
    server.clock.set("2026-04-09T23:59:59.999Z");
    assert_eq!(acme.left().await, "17");
    acme.used(&images(16)).await;
    server.clock.set(NEXT);
    acme.denied_for(&images(1), DenialReason::NoSubscription).await;
    assert_eq!(acme.shown().await.unwrap().subscription, None);
    assert_eq!(acme.all_balances("").await.plan, "");
}

async fn subscribing_again_before_the_end_resumes_and_restarts_nothing(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(7)).await;
    acme.changed(Change::Cancel).await;
    server.clock.set("2026-03-31T12:00:00Z");
    let resumed = acme.changed(Change::Subscribe("pro")).await.subscription.unwrap();
    assert_eq!(resumed.cancel_time, None);
    assert_eq!(instant(resumed.start_time.as_ref()), "2026-03-10T12:00:00Z");
    assert_eq!(instant(resumed.period_end_time.as_ref()), NEXT);
    assert_eq!(acme.left().await, "3");
    server.clock.set(NEXT);
    assert_eq!(acme.left().await, "10");
}

async fn another_plan_or_interval_is_no_way_to_resume(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.changed(Change::Cancel).await;
    let before = acme.seen(&[]).await;
    assert_eq!(reason(&acme.change(Change::Subscribe("max")).await.unwrap_err()), "SUBSCRIPTION_EXISTS");
    let yearly = acme.subscribe("pro", |request| {
        request.request_id = "yearly".to_owned();
        request.billing_interval = BillingInterval::Year.into();
    });
    assert_eq!(reason(&yearly.await.unwrap_err()), "SUBSCRIPTION_EXISTS");
    assert_eq!(acme.seen(&[]).await, before);
}

async fn taking_a_plan_goes_on_with_a_cancelled_subscription(server: &Server) {
    let (same, better) = (server.customer("same", "pro").await, server.customer("better", "pro").await);
    for (acme, plan, left) in [(&same, "pro", "10"), (&better, "max", "30")] {
        acme.changed(Change::Cancel).await;
        let goes_on = acme.changed(Change::Plan(plan)).await.subscription.unwrap();
        assert_eq!((goes_on.plan.as_str(), goes_on.cancel_time), (plan, None));
        assert_eq!(acme.left().await, left);
    }
    server.clock.set(NEXT);
    assert_eq!((same.left().await.as_str(), better.left().await.as_str()), ("10", "30"));
}

async fn a_year_that_is_cancelled_lasts_until_it_is_over(server: &Server) {
    let acme = server.subject("acme").await;
    acme.subscribe("pro", |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
    server.clock.set("2026-06-20T12:00:00Z");
    let cancelled = acme.changed(Change::Cancel).await.subscription.unwrap();
    assert_eq!(instant(cancelled.cancel_time.as_ref()), "2027-03-10T00:00:00Z");
    server.clock.set("2027-02-10T00:00:00Z");
    acme.used(&images(10)).await;
    server.clock.set("2027-03-09T23:59:59.999Z");
    acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
    server.clock.set("2027-03-10T00:00:00Z");
    acme.denied_for(&images(1), DenialReason::NoSubscription).await;
}

async fn a_subscription_that_ends_now_can_still_be_settled(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let [kept, given_back] = [images(4), images(3)];
    acme.held(&kept).await;
    acme.held(&given_back).await;
    assert_eq!(acme.changed(Change::CancelNow).await.subscription, None);
    acme.denied_for(&images(1), DenialReason::NoSubscription).await;
    assert_eq!(paid_by(&acme.committed(kept.key()).await), "allowance units 4");
    acme.release(given_back.key(), |_| {}).await.unwrap();
    acme.changed(Change::Subscribe("pro")).await;
    assert_eq!(acme.left().await, "6");
}

async fn coming_back_in_the_same_period_goes_on_in_it(server: &Server) {
    let (same, better) = (server.customer("same", "pro").await, server.customer("better", "pro").await);
    for acme in [&same, &better] {
        acme.used(&images(7)).await;
        acme.changed(Change::CancelNow).await;
    }
    server.clock.set("2026-04-09T23:59:59.999Z");
    let yearly = same.subscribe("pro", |request| {
        request.request_id = "yearly".to_owned();
        request.billing_interval = BillingInterval::Year.into();
    });
    assert_eq!(bad_fields(&yearly.await.unwrap_err()), ["billing_interval"]);
    for (acme, plan, left) in [(&same, "pro", "3"), (&better, "max", "23")] {
        let back = acme.changed(Change::Subscribe(plan)).await.subscription.unwrap();
        assert_eq!(instant(back.start_time.as_ref()), "2026-03-10T12:00:00Z");
        assert_eq!(acme.left().await, left, "{plan}");
    }
    server.clock.set(NEXT);
    assert_eq!((same.left().await.as_str(), better.left().await.as_str()), ("10", "30"));
}

async fn coming_back_later_begins_anew(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(7)).await;
    acme.changed(Change::CancelNow).await;
    server.clock.set("2026-04-15T06:00:00Z");
    let back = acme.changed(Change::Subscribe("max")).await.subscription.unwrap();
    assert_eq!(instant(back.start_time.as_ref()), "2026-04-15T06:00:00Z");
    assert_eq!(instant(back.period_end_time.as_ref()), "2026-05-15T00:00:00Z");
    assert_eq!(acme.left().await, "30");
}

async fn only_what_runs_can_be_changed(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.changed(Change::CancelNow).await;
    let created = server.subject("created").await;
    let stranger = server.stranger("stranger");
    let before = acme.seen(&[]).await;
    for change in
        [Change::Plan("max"), Change::Cancel, Change::CancelNow, Change::Seats(3), Change::Vacate(&["ann"]), Change::AddOn("more", 1)]
    {
        for ended in [&acme, &created] {
            assert_eq!(reason(&ended.change(change).await.unwrap_err()), "SUBSCRIPTION_NOT_FOUND", "{change:?}");
        }
        assert_eq!(reason(&stranger.change(change).await.unwrap_err()), "SUBJECT_NOT_FOUND", "{change:?}");
    }
    for change in [Change::Subscribe("pro"), Change::Suspend, Change::Resume, Change::Void("gift"), Change::Allowance("units", "3")] {
        assert_eq!(reason(&stranger.change(change).await.unwrap_err()), "SUBJECT_NOT_FOUND", "{change:?}");
    }
    assert_eq!(reason(&acme.preview("max", "").await.unwrap_err()), "SUBSCRIPTION_NOT_FOUND");
    assert_eq!(reason(&stranger.preview("max", "").await.unwrap_err()), "SUBJECT_NOT_FOUND");
    assert_eq!(acme.seen(&[]).await, before);
}
