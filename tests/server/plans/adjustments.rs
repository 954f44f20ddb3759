//! Corrections by hand: `AdjustUsage`.

use std::sync::Arc;

use genquota::clock::ManualClock;
use genquota::domain::ids::SubjectId;
use genquota::proto::v1::{self, Account, SourceKind};
use genquota::store::Store as _;
use genquota::store::embedded::{EmbeddedStore, Options};
use tonic::Code;

use crate::ask::{bad_fields, images, map, reason};
use crate::catalogs::{monthly, plans};
use crate::harness::{Server, Setup};

const NOON: &str = "2026-03-10T12:00:00Z";

fn account(kind: SourceKind, source_id: &str) -> Account {
    Account { kind: kind.into(), source_id: source_id.to_owned(), ..Account::default() }
}

fn allowance() -> Account {
    account(SourceKind::Allowance, "units")
}

fn in_period(account: Account, period: &str) -> Account {
    Account { period: period.to_owned(), ..account }
}

/// `committed overage available` of the one balance.
fn told(answer: &v1::AdjustUsageResponse) -> [&str; 3] {
    let balance = &answer.balances[0];
    [&balance.committed, &balance.overage, &balance.available]
}

#[tokio::test]
async fn more_is_taken_from_the_source_and_the_rest_is_overage() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(6)).await;
    let version = acme.shown().await.unwrap().version;
    let answer = acme.adjust("a1", allowance(), "3").await.unwrap();
    assert_eq!((told(&answer), answer.replayed), (["9", "0", "1"], false));
    assert_eq!(answer.subject.as_ref().unwrap().version, version + 1);
    assert_eq!(told(&acme.adjust("a2", allowance(), "2.5").await.unwrap()), ["10", "1.5", "0"]);
    // What is held is promised to somebody: it is not taken either.
    acme.grant("gift", "5", |_| {}).await.unwrap();
    acme.held(&images(4)).await;
    let answer = acme.adjust("a3", account(SourceKind::Grant, "gift"), "3").await.unwrap();
    assert_eq!(told(&answer), ["11", "3.5", "0"]);
}

#[tokio::test]
async fn at_most_what_is_committed_is_taken_off() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(6)).await;
    acme.held(&images(3)).await;
    let before = acme.seen(&[]).await;
    assert_eq!(bad_fields(&acme.adjust("a1", allowance(), "-6.5").await.unwrap_err()), ["units"]);
    assert_eq!(acme.seen(&[]).await, before);
    assert_eq!(told(&acme.adjust("a1", allowance(), "-6").await.unwrap()), ["0", "0", "7"]);
    assert_eq!(bad_fields(&acme.adjust("a2", allowance(), "-0.000001").await.unwrap_err()), ["units"]);
}

#[tokio::test]
async fn overage_is_written_off_and_added_by_its_meter() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.record(&images(14), |_| {}).await.unwrap();
    let overage = account(SourceKind::Overage, "units");
    assert_eq!(told(&acme.adjust("a1", overage.clone(), "-3").await.unwrap()), ["10", "1", "0"]);
    assert_eq!(told(&acme.adjust("a2", overage.clone(), "0.5").await.unwrap()), ["10", "1.5", "0"]);
    assert_eq!(bad_fields(&acme.adjust("a3", overage, "-2").await.unwrap_err()), ["units"]);
}

#[tokio::test]
async fn a_repeat_changes_nothing_and_another_request_with_its_id_is_refused() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.adjust("a1", allowance(), "3").await.unwrap();
    let again = acme.adjust("a1", allowance(), "3").await.unwrap();
    assert_eq!((told(&again), again.replayed), (["3", "0", "7"], true));
    for (account, units) in [(allowance(), "4"), (allowance(), "-3"), (account(SourceKind::Overage, "units"), "3")] {
        let error = acme.adjust("a1", account, units).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::AlreadyExists, "ID_REUSED"));
    }
    // One id is one request, whatever kind of change it asks for.
    let error = acme.adjust("subscribe-pro", allowance(), "1").await.unwrap_err();
    assert_eq!(reason(&error), "ID_REUSED");
    assert_eq!(acme.left().await, "7");
}

#[tokio::test]
async fn an_ended_period_is_corrected_by_its_own_limit() {
    let server = Setup::new(&monthly("10"), NOON).start().await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(8)).await;
    server.clock.set("2026-04-20T12:00:00Z");
    let march = in_period(allowance(), "2026-03-10");
    acme.adjust("a1", march.clone(), "5").await.unwrap();
    assert_eq!(acme.left().await, "10");
    // Two fit into March; three are March's overage, and none of April's.
    assert_eq!(acme.balance().await.overage, "0");
    let overage = in_period(account(SourceKind::Overage, "units"), "2026-03-10");
    assert_eq!(bad_fields(&acme.adjust("a2", overage.clone(), "-3.5").await.unwrap_err()), ["units"]);
    acme.adjust("a2", overage, "-3").await.unwrap();
    acme.adjust("a3", march.clone(), "-10").await.unwrap();
    assert_eq!(bad_fields(&acme.adjust("a4", march, "-1").await.unwrap_err()), ["units"]);
    // The current one may be named too.
    assert_eq!(told(&acme.adjust("a5", in_period(allowance(), "2026-04-10"), "1").await.unwrap()), ["1", "0", "9"]);
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_named() {
    let pro = "pro: {allowances: [{meter: units, amount: 10, per: subject}, {id: own, meter: units, amount: 3, per: user}], \
               caps: {calls: {of: requests, limit: 9, by: [user], per: day}, busy: {of: in_flight, limit: 9}}}";
    let server = Server::start(&plans(&[pro]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    let before = acme.seen(&["ann"]).await;
    let user = |account: Account, user: &str| Account { user: user.to_owned(), ..account };
    let split = |account: Account, by: &[(&str, &str)]| Account { dimensions: map(by), ..account };
    let (own, gift) = (|| account(SourceKind::Allowance, "own"), || account(SourceKind::Grant, "gift"));
    let calls = || account(SourceKind::Cap, "calls");
    for (account, field) in [
        (account(SourceKind::Unspecified, "units"), "account.kind"),
        (account(SourceKind::Allowance, ""), "account.source_id"),
        (account(SourceKind::Allowance, "nothing"), "account.source_id"),
        (account(SourceKind::AddOn, "units"), "account.source_id"),
        (account(SourceKind::Grant, "nothing"), "account.source_id"),
        (account(SourceKind::Overage, "nothing"), "account.source_id"),
        (account(SourceKind::Cap, "nothing"), "account.source_id"),
        (account(SourceKind::Cap, "busy"), "account.source_id"),
        (own(), "account.user"),
        (user(allowance(), "ann"), "account.user"),
        (user(gift(), "ann"), "account.user"),
        (user(calls(), "ann"), "account.user"),
        (in_period(allowance(), "2026-03-11"), "account.period"),
        (in_period(allowance(), "2026-02-10"), "account.period"),
        (in_period(allowance(), "2026-04-10"), "account.period"),
        (in_period(allowance(), "march"), "account.period"),
        (in_period(gift(), "2026-03-10"), "account.period"),
        (split(calls(), &[]), "account.dimensions.user"),
        (split(calls(), &[("user", "ann"), ("model", "small")]), "account.dimensions.model"),
        (in_period(split(calls(), &[("user", "ann")]), "2026-03-09T00:00:00Z"), "account.period"),
        (split(allowance(), &[("user", "ann")]), "account.dimensions"),
    ] {
        let error = acme.adjust("a1", account.clone(), "1").await.unwrap_err();
        assert_eq!((bad_fields(&error), reason(&error).as_str()), (vec![field.to_owned()], "INVALID_FIELD"), "{account:?}");
    }
    for wrong in ["0", "-0", "", "--1", "+1", "1.0000001", "x"] {
        assert_eq!(bad_fields(&acme.adjust("a1", allowance(), wrong).await.unwrap_err()), ["units"], "{wrong:?}");
    }
    assert_eq!(acme.seen(&["ann"]).await, before);
    let error = server.stranger("nobody").adjust("a1", allowance(), "1").await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "SUBJECT_NOT_FOUND"));
    // With everything named as it is, each of them is one.
    acme.adjust("a2", user(own(), "ann"), "1").await.unwrap();
    acme.adjust("a3", gift(), "1").await.unwrap();
    acme.adjust("a4", in_period(split(calls(), &[("user", "ann")]), "2026-03-10T00:00:00Z"), "1").await.unwrap();
}

#[tokio::test]
async fn a_user_s_own_account_is_corrected_and_its_balance_told() {
    let team = "team: {allowances: [{meter: units, amount: 10, per: seat}]}";
    let server = Server::start(&plans(&[team]), NOON).await;
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| request.seats = Some(1)).await.unwrap();
    let own = |user: &str| Account { user: user.to_owned(), ..allowance() };
    // A correction seats nobody.
    assert_eq!(bad_fields(&acme.adjust("a1", own("ann"), "1").await.unwrap_err()), ["account.user"]);
    acme.used(&images(4).user("ann")).await;
    assert_eq!(told(&acme.adjust("a1", own("ann"), "2").await.unwrap()), ["6", "0", "4"]);
    assert_eq!(bad_fields(&acme.adjust("a2", own("bob"), "1").await.unwrap_err()), ["account.user"]);
}

#[tokio::test]
async fn a_cap_s_count_is_corrected_in_the_window_that_runs() {
    let pro =
        "pro: {allowances: [{meter: units, amount: 100, per: subject}], caps: {spend: {of: cost, limit: 0.10, by: [model], per: day}}}";
    let server = Server::start(&plans(&[pro]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let spend = Account { dimensions: map(&[("model", "small")]), ..account(SourceKind::Cap, "spend") };
    acme.used(&images(6)).await;
    acme.adjust("a1", spend.clone(), "0.04").await.unwrap();
    acme.denied_for(&images(1), v1::DenialReason::CapReached).await;
    assert_eq!(bad_fields(&acme.adjust("a2", spend.clone(), "-0.11").await.unwrap_err()), ["units"]);
    acme.adjust("a2", spend.clone(), "-0.10").await.unwrap();
    acme.used(&images(10)).await;
    acme.denied_for(&images(1), v1::DenialReason::CapReached).await;
    server.clock.set("2026-03-11T12:00:00Z");
    assert_eq!(bad_fields(&acme.adjust("a3", spend, "-0.01").await.unwrap_err()), ["units"]);
}

#[tokio::test]
async fn a_grant_that_pays_no_more_can_be_lowered_and_takes_nothing() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    acme.used(&images(12)).await;
    acme.void("gift").await.unwrap();
    let gift = || account(SourceKind::Grant, "gift");
    assert_eq!(told(&acme.adjust("a1", gift(), "1").await.unwrap()), ["10", "1", "0"]);
    acme.adjust("a2", gift(), "-2").await.unwrap();
    assert_eq!(bad_fields(&acme.adjust("a3", gift(), "-0.5").await.unwrap_err()), ["units"]);
}

#[tokio::test]
async fn of_many_identical_corrections_at_once_one_is_made() {
    let server = Setup::new(&monthly("10"), NOON).embedded().start().await;
    let acme = server.customer("acme", "pro").await;
    let calls = (0..32).map(|_| acme.adjust("a1", allowance(), "2"));
    let answers: Vec<_> = futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(acme.left().await, "8");
}

#[tokio::test]
async fn an_ended_period_has_the_limit_that_it_ended_with() {
    let pro = "pro: {rank: 1, allowances: [{meter: units, amount: 10, per: subject}]}";
    let big = "big: {rank: 2, allowances: [{meter: units, amount: 40, per: subject}], proration: full}";
    let server = Server::start(&plans(&[pro, big]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    server.clock.set("2026-03-20T12:00:00Z");
    let request = v1::ChangePlanRequest {
        subject: "acme".to_owned(),
        request_id: "up".to_owned(),
        plan: "big".to_owned(),
        ..v1::ChangePlanRequest::default()
    };
    acme.admin().change_plan(request).await.unwrap();
    server.clock.set("2026-05-20T12:00:00Z");
    acme.adjust("a1", in_period(allowance(), "2026-03-10"), "41").await.unwrap();
    let overage = in_period(account(SourceKind::Overage, "units"), "2026-03-10");
    assert_eq!(bad_fields(&acme.adjust("a2", overage.clone(), "-1.5").await.unwrap_err()), ["units"]);
    acme.adjust("a2", overage, "-1").await.unwrap();
}

#[tokio::test]
async fn an_add_on_is_corrected_like_any_source() {
    let pro = "pro: {allowances: [{meter: units, amount: 10, per: subject}], \
               add_ons: {extra: {meter: units, amount: 5, price: 1, per: subject}}}";
    let server = Server::start(&plans(&[pro]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let extra = || account(SourceKind::AddOn, "extra");
    assert_eq!(bad_fields(&acme.adjust("a1", extra(), "1").await.unwrap_err()), ["account.source_id"]);
    let request = v1::SetAddOnRequest {
        subject: "acme".to_owned(),
        request_id: "buy".to_owned(),
        add_on: "extra".to_owned(),
        units: 1,
        ..v1::SetAddOnRequest::default()
    };
    acme.admin().set_add_on(request).await.unwrap();
    assert_eq!(told(&acme.adjust("a1", extra(), "6").await.unwrap()), ["5", "1", "10"]);
    assert_eq!(told(&acme.adjust("a2", extra(), "-5").await.unwrap()), ["0", "1", "15"]);
}

#[tokio::test]
async fn the_document_tells_what_was_corrected_by_which_request_and_why() {
    let clock = Arc::new(ManualClock::at(NOON.parse().unwrap()));
    let store = Arc::new(EmbeddedStore::in_memory(Options::default(), clock).unwrap());
    let server = Setup::new(&monthly("10"), NOON).start_on(store.clone()).await;
    let acme = server.customer("acme", "pro").await;
    let request = v1::AdjustUsageRequest {
        subject: "acme".to_owned(),
        account: Some(allowance()),
        units: "2.50".to_owned(),
        request_id: "a1".to_owned(),
        detail: "counted twice".to_owned(),
    };
    acme.admin().adjust_usage(request).await.unwrap();
    let change = store.document(&SubjectId::new("acme").unwrap()).await.unwrap().unwrap().change.clone();
    assert_eq!((&*change.operation, change.request.unwrap().as_str()), ("AdjustUsage", "a1"));
    assert_eq!((&*change.about, &*change.detail), ("+2.5 al|units|2026-03-10|*", "counted twice"));
}
