//! One-off credits: P8.

use genquota::proto::v1::{DenialReason, GrantKind};

use crate::ask::{bad_fields, buy_credits, images, instant, named, paid_by, reason, time, wait_until};
use crate::catalogs::{catalog, monthly, plans};
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";

#[tokio::test]
async fn credits_work_without_a_plan_and_outlive_it() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.subject("acme").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    assert_eq!(paid_by(&acme.used(&images(2)).await), "grant gift 2");
    let balance = acme.balance().await;
    assert_eq!((balance.allowance_available.as_str(), balance.credits_available.as_str()), ("0", "3"));
    assert_eq!(balance.reset_time, None);
    server.clock.set("2036-03-10T12:00:00Z");
    assert_eq!(acme.left().await, "3");
    let denial = acme.denied_for(&images(4), DenialReason::QuotaExhausted).await;
    assert_eq!(buy_credits(&denial).as_deref(), Some("1"));
    acme.grant("more", "1", |_| {}).await.unwrap();
    assert_eq!(paid_by(&acme.held(&images(4)).await), "grant gift 3, grant more 1");
}

#[tokio::test]
async fn a_grant_pays_from_the_instant_it_is_effective() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(10)).await;
    acme.grant("soon", "5", |request| request.effective_time = Some(time("2026-03-10T13:00:00Z"))).await.unwrap();
    let denial = acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
    // It is what helps first: the allowance comes back a month later.
    assert_eq!(wait_until(&denial).as_deref(), Some("2026-03-10T13:00:00Z"));
    assert_eq!(denial.retry_after.unwrap().seconds, 3600);
    server.clock.set("2026-03-10T12:59:59.999Z");
    acme.denied(&images(1)).await;
    server.clock.set("2026-03-10T13:00:00Z");
    assert_eq!(paid_by(&acme.held(&images(5)).await), "grant soon 5");
}

#[tokio::test]
async fn a_grant_ends_at_the_instant_it_expires() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |request| request.expire_time = Some(time("2026-03-10T12:10:00Z"))).await.unwrap();
    let straddling = images(12);
    acme.held(&straddling).await;
    server.clock.set("2026-03-10T12:09:59.999Z");
    assert_eq!(acme.left().await, "3");
    server.clock.set("2026-03-10T12:10:00Z");
    assert_eq!(acme.left().await, "0");
    // What was set aside before is still paid by it.
    let committed = acme.committed(straddling.key()).await;
    assert_eq!(paid_by(&committed), "allowance units 10, grant gift 2");
}

#[tokio::test]
async fn waiting_is_no_remedy_where_credits_expire_before_they_help() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(10)).await;
    acme.grant("gift", "5", |request| request.expire_time = Some(time("2026-03-12T00:00:00Z"))).await.unwrap();
    // With the next allowance alone there are 10; the 5 are gone by then.
    let denial = acme.denied(&images(12)).await;
    assert_eq!((denial.retry_after, wait_until(&denial)), (None, None));
    let denial = acme.denied(&images(10)).await;
    assert_eq!(wait_until(&denial).as_deref(), Some("2026-04-10T00:00:00Z"));
}

#[tokio::test]
async fn grants_burn_by_priority_then_earliest_expiry_then_oldest() {
    let server = Server::start(&monthly("1"), NOON).await;
    let acme = server.subject("acme").await;
    let grants = [("late", 0, "2026-06-01"), ("never", 0, ""), ("early", 0, "2026-04-01"), ("first", -1, ""), ("last", 7, "2026-03-11")];
    for (at, (id, priority, expires)) in grants.into_iter().enumerate() {
        server.clock.set(&format!("2026-03-10T12:00:0{at}Z"));
        let expire_time = (!expires.is_empty()).then(|| time(&format!("{expires}T00:00:00Z")));
        acme.grant(id, "1", |request| (request.priority, request.expire_time) = (priority, expire_time)).await.unwrap();
    }
    server.clock.set("2026-03-10T12:00:09Z");
    acme.grant("newest", "1", |_| {}).await.unwrap();
    let held = acme.held(&images(6)).await;
    assert_eq!(paid_by(&held), "grant first 1, grant early 1, grant late 1, grant never 1, grant newest 1, grant last 1");
    // They are shown newest first.
    let shown: Vec<String> = acme.shown().await.unwrap().grants.into_iter().map(|grant| grant.grant_id).collect();
    assert_eq!(shown, ["newest", "last", "first", "early", "never", "late"]);
}

#[tokio::test]
async fn credits_that_require_a_subscription_pay_only_with_one() {
    let text = plans(&["trial: {allowances: []}", "pro: {rank: 1, allowances: []}"]);
    let server = Server::start(&format!("{text}default_plan: trial\n"), NOON).await;
    let acme = server.subject("acme").await;
    acme.grant("tied", "5", |request| request.requires_subscription = Some(true)).await.unwrap();
    // The default plan is nobody's subscription.
    acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
    assert_eq!(acme.left().await, "0");
    acme.subscribe("pro", |_| {}).await.unwrap();
    assert_eq!(paid_by(&acme.held(&images(5)).await), "grant tied 5");
}

#[tokio::test]
async fn credits_that_would_not_pay_are_no_remedy() {
    let text = plans(&["trial: {allowances: [{meter: units, amount: 1, per: subject}]}", "pro: {rank: 1, allowances: []}"]);
    let tied = format!("{text}default_plan: trial\ncredits: {{requires_subscription: true}}\n");
    let server = Server::start(&tied, NOON).await;
    let acme = server.subject("acme").await;
    let denial = acme.denied_for(&images(3), DenialReason::QuotaExhausted).await;
    assert_eq!(buy_credits(&denial), None, "{denial:?}");
    acme.subscribe("pro", |_| {}).await.unwrap();
    let denial = acme.denied_for(&images(3), DenialReason::QuotaExhausted).await;
    assert_eq!(buy_credits(&denial).as_deref(), Some("3"));
}

#[tokio::test]
async fn a_catalog_may_tie_credits_to_the_period() {
    let server =
        Server::start(&catalog("plans: {pro: {allowances: []}}\ncredits: {requires_subscription: true, end_with_period: true}"), NOON)
            .await;
    let acme = server.customer("acme", "pro").await;
    let granted = acme.grant("gift", "5", |_| {}).await.unwrap().subject.unwrap().grants.remove(0);
    assert_eq!(instant(granted.expire_time.as_ref()), "2026-04-10T00:00:00Z");
    assert_eq!(granted.requires_subscription, Some(true));
    server.clock.set("2026-04-10T00:00:00Z");
    acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
}

#[tokio::test]
async fn a_grant_is_voided_and_never_deleted() {
    let server = Server::start(&monthly("1"), NOON).await;
    let acme = server.subject("acme").await;
    acme.grant("gift", "5", |request| request.kind = GrantKind::Promotional.into()).await.unwrap();
    let held = images(2);
    acme.held(&held).await;
    assert!(!acme.void("gift").await.unwrap().replayed);
    assert!(acme.void("gift").await.unwrap().replayed);
    assert_eq!(acme.left().await, "0");
    acme.denied(&images(1)).await;
    let grant = acme.shown().await.unwrap().grants.remove(0);
    assert_eq!((instant(grant.void_time.as_ref()).as_str(), grant.kind()), ("2026-03-10T12:00:00Z", GrantKind::Promotional));
    // A promise that was made is kept.
    assert_eq!(paid_by(&acme.committed(held.key()).await), "grant gift 2");
    assert_eq!(reason(&acme.void("other").await.unwrap_err()), "GRANT_NOT_FOUND");
}

#[tokio::test]
async fn a_grant_is_given_once() {
    let server = Server::start(&monthly("1"), NOON).await;
    let acme = server.subject("acme").await;
    assert!(!acme.grant("gift", "5", |_| {}).await.unwrap().replayed);
    assert!(acme.grant("gift", "5", |_| {}).await.unwrap().replayed);
    assert_eq!(reason(&acme.grant("gift", "6", |_| {}).await.unwrap_err()), "ID_REUSED");
    assert_eq!(acme.left().await, "5");
    for (units, wrong) in [("0", "units"), ("-1", "units"), ("1e3", "units"), ("0.0000001", "units"), ("", "units")] {
        assert_eq!(bad_fields(&acme.grant("bad", units, |_| {}).await.unwrap_err()), [wrong], "{units}");
    }
    let over = acme.grant("bad", "1", |request| request.expire_time = Some(time(NOON))).await.unwrap_err();
    assert_eq!(bad_fields(&over), ["expire_time"]);
    let unknown = acme.grant("bad", "1", |request| request.meter = "gold".to_owned()).await.unwrap_err();
    assert_eq!(bad_fields(&unknown), ["meter"]);
    assert_eq!(reason(&server.stranger("nobody").grant("gift", "5", |_| {}).await.unwrap_err()), "SUBJECT_NOT_FOUND");
}

#[tokio::test]
async fn a_suspended_subject_may_start_nothing_and_settle_everything() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = images(4);
    acme.held(&before).await;
    let request = |subject: &str| genquota::proto::v1::SuspendSubjectRequest {
        subject: subject.to_owned(),
        request_id: "suspend".to_owned(),
        ..Default::default()
    };
    acme.admin().suspend_subject(request("acme")).await.unwrap();
    let denial = acme.denied_for(&images(1), DenialReason::SubjectSuspended).await;
    assert_eq!(named(&denial), ["subject"]);
    assert!(denial.retry_after.is_none());
    // Even what is free.
    acme.denied_for(&crate::ask::ask("upload", "", crate::ask::outputs(1)), DenialReason::SubjectSuspended).await;
    acme.committed(before.key()).await;
    acme.record(&images(1), |_| {}).await.unwrap();
    let resume =
        genquota::proto::v1::ResumeSubjectRequest { subject: "acme".to_owned(), request_id: "resume".to_owned(), ..Default::default() };
    acme.admin().resume_subject(resume).await.unwrap();
    assert_eq!(acme.left().await, "5");
    acme.held(&images(5)).await;
}

/// What happens at the end of the calendar was an internal error of today's denial.
#[tokio::test]
async fn credits_of_a_far_future_are_no_remedy_and_no_error() {
    let server = Server::start(&catalog("caps: {day: {of: requests, limit: 5, per: day}}"), NOON).await;
    let acme = server.subject("acme").await;
    acme.grant("far", "5", |request| request.effective_time = Some(time("9999-12-30T12:00:00Z"))).await.unwrap();
    let denial = acme.denied_for(&images(1), DenialReason::NoSubscription).await;
    assert_eq!(wait_until(&denial), None);
}
