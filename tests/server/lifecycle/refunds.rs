//! Refunds: L9, and the part of L10 that is theirs.

use genquota::proto::v1::{self, CostBasis, SourceKind, State};
use tonic::Code;
use tonic_types::StatusExt;

use super::NOON;
use crate::ask::{ask, bad_fields, images, outputs, paid_by, reason};
use crate::catalogs::{monthly, plans};
use crate::harness::{Server, Setup};

/// `committed refunded overage` of a reservation.
fn units(reservation: &v1::Reservation) -> [&str; 3] {
    [&reservation.units_committed, &reservation.units_refunded, &reservation.units_overage]
}

#[tokio::test]
async fn a_refund_gives_back_all_that_was_charged_and_the_cost_stays_booked() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    let committed = acme.used(&ask).await;
    let answer = acme.refund(ask.key(), "f1", None).await.unwrap();
    let refunded = answer.reservation.unwrap();
    assert_eq!((units(&refunded), refunded.state()), (["4", "4", "0"], State::Committed));
    assert_eq!((answer.balances[0].available.as_str(), answer.balances[0].committed.as_str()), ("10", "0"));
    assert_eq!(paid_by(&refunded), "");
    assert_eq!((refunded.cost_committed.as_str(), refunded.attempts[0].cost_basis()), ("0.04", CostBasis::Priced));
    // What it was charged stays on the record.
    assert_eq!((refunded.attempts, refunded.settle_time), (committed.attempts, committed.settle_time));
    assert_eq!(acme.left().await, "10");
    // What came back can be used again.
    acme.held(&images(10)).await;
}

#[tokio::test]
async fn a_refund_after_the_period_goes_to_the_period_that_paid_and_not_to_today_s() {
    let setup = Setup::new(&monthly("10"), NOON).with("retention", &["60d"]);
    let server = setup.start().await;
    let acme = server.customer("acme", "pro").await;
    let first = images(6);
    acme.used(&first).await;
    server.clock.set("2026-04-10T00:00:00Z");
    acme.used(&images(9)).await;
    let answer = acme.refund(first.key(), "f1", None).await.unwrap();
    assert_eq!(units(answer.reservation.as_ref().unwrap()), ["6", "6", "0"]);
    assert_eq!((answer.balances[0].available.as_str(), answer.balances[0].committed.as_str()), ("1", "9"));
    assert_eq!(acme.left().await, "1");
    // March has them back: what is corrected there finds all of its ten.
    let march = v1::Account {
        kind: SourceKind::Allowance.into(),
        source_id: "units".to_owned(),
        period: "2026-03-10".to_owned(),
        ..v1::Account::default()
    };
    assert_eq!(bad_fields(&acme.adjust("a1", march.clone(), "-1").await.unwrap_err()), ["units"]);
    acme.adjust("a2", march.clone(), "10").await.unwrap();
    assert_eq!(bad_fields(&acme.adjust("a3", march, "-11").await.unwrap_err()), ["units"]);
    assert_eq!(acme.left().await, "1");
}

#[tokio::test]
async fn parts_of_a_generation_that_straddled_go_back_in_reverse_order() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("first", "3", |request| request.priority = 1).await.unwrap();
    acme.grant("second", "2", |request| request.priority = 2).await.unwrap();
    let ask = images(15);
    acme.held(&ask).await;
    let committed = acme.delivered(ask.key(), outputs(17)).await;
    assert_eq!(paid_by(&committed), "allowance units 10, grant first 3, grant second 2, overage 2");
    let refunded = acme.refunded(ask.key(), "f1", Some("3")).await;
    assert_eq!(paid_by(&refunded), "allowance units 10, grant first 3, grant second 1");
    assert_eq!(units(&refunded), ["17", "3", "2"]);
    let refunded = acme.refunded(ask.key(), "f2", Some("2.5")).await;
    assert_eq!(paid_by(&refunded), "allowance units 10, grant first 1.5");
    assert_eq!(units(&refunded), ["17", "5.5", "2"]);
    let balance = acme.balance().await;
    assert_eq!((balance.allowance_available.as_str(), balance.credits_available.as_str()), ("0", "3.5"));
    assert_eq!(balance.overage, "0");
    let refunded = acme.refunded(ask.key(), "f3", None).await;
    assert_eq!((paid_by(&refunded).as_str(), units(&refunded)), ("", ["17", "17", "2"]));
    assert_eq!(acme.left().await, "15");
}

#[tokio::test]
async fn no_more_goes_back_than_is_left_and_nothing_left_is_an_answer() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.used(&ask).await;
    let before = (acme.seen(&[]).await, acme.reservation(ask.key()).await.unwrap());
    for wrong in ["4.000001", "0", "-1", "", "x", "1e3", "1.0000001"] {
        assert_eq!(bad_fields(&acme.refund(ask.key(), "f0", Some(wrong)).await.unwrap_err()), ["units"], "{wrong:?}");
    }
    assert_eq!((acme.seen(&[]).await, acme.reservation(ask.key()).await.unwrap()), before);
    acme.refunded(ask.key(), "f1", Some("3")).await;
    assert_eq!(bad_fields(&acme.refund(ask.key(), "f2", Some("2")).await.unwrap_err()), ["units"]);
    assert_eq!(units(&acme.refunded(ask.key(), "f2", None).await), ["4", "4", "0"]);
    let before = acme.seen(&[]).await;
    let none = acme.refund(ask.key(), "f3", None).await.unwrap();
    assert_eq!((units(none.reservation.as_ref().unwrap()), none.replayed), (["4", "4", "0"], false));
    assert_eq!(bad_fields(&acme.refund(ask.key(), "f4", Some("0.000001")).await.unwrap_err()), ["units"]);
    assert_eq!(acme.seen(&[]).await, before);
}

#[tokio::test]
async fn a_repeat_gives_the_stored_answer_and_another_request_with_its_id_is_refused() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (ask, other) = (images(4), images(2));
    acme.used(&ask).await;
    acme.used(&other).await;
    let first = acme.refund(ask.key(), "f1", Some("3")).await.unwrap();
    let again = acme.refund(ask.key(), "f1", Some("3")).await.unwrap();
    assert_eq!((again.reservation.as_ref(), again.replayed), (first.reservation.as_ref(), true));
    assert_eq!(again.balances, first.balances);
    for forged in [Some("1"), Some("3.0"), None] {
        let error = acme.refund(ask.key(), "f1", forged).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::AlreadyExists, "ID_REUSED"), "{forged:?}");
    }
    assert_eq!(acme.left().await, "7");
    // An id is one of its reservation alone.
    assert_eq!(units(&acme.refunded(other.key(), "f1", None).await), ["2", "2", "0"]);
    assert_eq!(acme.left().await, "9");
}

#[tokio::test]
async fn only_a_committed_reservation_is_refunded() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (held, released, late) = (images(1), images(1), images(1).ttl(60));
    acme.held(&held).await;
    acme.held(&released).await;
    acme.release(released.key(), |_| {}).await.unwrap();
    acme.held(&late).await;
    server.clock.set("2026-03-10T12:01:00Z");
    for (ask, state) in [(&held, "HELD"), (&released, "RELEASED"), (&late, "EXPIRED")] {
        let error = acme.refund(ask.key(), "f1", None).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::FailedPrecondition, "RESERVATION_NOT_COMMITTED"));
        assert_eq!(error.get_details_error_info().unwrap().metadata["state"], state);
    }
    let error = acme.refund("never", "f1", None).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "RESERVATION_NOT_FOUND"));
    // What was committed late, and what had no hold, was charged like any other.
    assert!(acme.committed(late.key()).await.late);
    let refunded = acme.refunded(late.key(), "f1", None).await;
    assert_eq!((units(&refunded), refunded.late), (["1", "1", "0"], true));
    let usage = images(2);
    acme.record(&usage, |_| {}).await.unwrap();
    assert_eq!(units(&acme.refunded(usage.key(), "f1", None).await), ["2", "2", "0"]);
    acme.committed(held.key()).await;
    assert_eq!(acme.left().await, "9");
}

#[tokio::test]
async fn a_refund_is_no_other_end() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.held(&ask).await;
    let committed = acme.commit(ask.key(), |_| {}).await.unwrap();
    acme.refunded(ask.key(), "f1", Some("1")).await;
    let again = acme.commit(ask.key(), |_| {}).await.unwrap();
    assert!(again.replayed);
    // The event is the one that the commit wrote, whatever came after it.
    assert_eq!(again.events, committed.events);
    let error = acme.release(ask.key(), |_| {}).await.unwrap_err();
    assert_eq!(reason(&error), "RESERVATION_SETTLED");
    assert_eq!(acme.left().await, "7");
}

#[tokio::test]
async fn a_refund_of_a_free_action_changes_nothing() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let upload = ask("upload", "", outputs(1));
    acme.used(&upload).await;
    let before = acme.reservation(upload.key()).await.unwrap();
    let answer = acme.refund(upload.key(), "f1", None).await.unwrap();
    assert_eq!((answer.reservation, answer.balances.len()), (Some(before), 0));
    assert_eq!(bad_fields(&acme.refund(upload.key(), "f2", Some("1")).await.unwrap_err()), ["units"]);
}

#[tokio::test]
async fn a_cap_of_units_gets_its_count_back_and_caps_of_cost_and_requests_do_not() {
    let caps = "caps: {units-a-day: {of: units, meter: units, limit: 4, per: day}, spend: {of: cost, limit: 1, per: day}, \
                calls: {of: requests, limit: 2, per: day}}";
    let pro = format!("pro: {{allowances: [{{meter: units, amount: 100, per: subject}}], {caps}}}");
    let server = Server::start(&plans(&[&pro]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.used(&ask).await;
    acme.denied_for(&images(1), v1::DenialReason::CapReached).await;
    let refunded = acme.refunded(ask.key(), "f1", Some("3")).await;
    let counted: Vec<_> = refunded.legs.iter().filter(|leg| leg.kind() == SourceKind::Cap).collect();
    let of = |id: &str| counted.iter().find(|leg| leg.source_id == id).map(|leg| leg.units.as_str());
    assert_eq!((of("units-a-day"), of("spend"), of("calls")), (Some("1"), Some("0.04"), Some("1")));
    acme.used(&images(3)).await;
    let denial = acme.denied(&images(1)).await;
    assert_eq!(crate::ask::named(&denial), ["units-a-day", "calls"]);
    // The next day's window owes nothing to the day before.
    server.clock.set("2026-03-11T12:00:00Z");
    acme.refunded(ask.key(), "f2", None).await;
    acme.used(&images(4)).await;
    acme.denied_for(&images(1), v1::DenialReason::CapReached).await;
}

#[tokio::test]
async fn a_refund_outlives_the_plan_that_paid() {
    let old = "old: {rank: 1, allowances: [{id: old, meter: units, amount: 10, per: subject}]}";
    let new = "new: {rank: 2, allowances: [{id: new, meter: units, amount: 30, per: subject}], proration: full}";
    let server = Server::start(&plans(&[old, new]), NOON).await;
    let acme = server.customer("acme", "old").await;
    let (before, after) = (images(4), images(22));
    acme.used(&before).await;
    server.clock.set("2026-03-12T12:00:00Z");
    let request = v1::ChangePlanRequest {
        subject: "acme".to_owned(),
        request_id: "up".to_owned(),
        plan: "new".to_owned(),
        ..v1::ChangePlanRequest::default()
    };
    acme.admin().change_plan(request).await.unwrap();
    acme.used(&after).await;
    let refunded = acme.refunded(before.key(), "f1", None).await;
    assert_eq!((units(&refunded), paid_by(&refunded).as_str()), (["4", "4", "0"], ""));
    // The account of the plan that was left has them back, and nothing of them is booked there any more.
    let old = v1::Account { kind: SourceKind::Allowance.into(), source_id: "old".to_owned(), ..v1::Account::default() };
    let gave = |id: &str, balance: &v1::Balance| balance.sources.iter().find(|source| source.id == id).map(|one| one.committed.clone());
    let balance = acme.balance().await;
    let paid = paid_by(&acme.reservation(after.key()).await.unwrap());
    let from_old = paid.split(", ").find_map(|part| part.strip_prefix("allowance old ")).unwrap_or("0").to_owned();
    assert_eq!(gave("old", &balance), Some(from_old.clone()), "{paid}");
    assert_eq!(bad_fields(&acme.adjust("a1", old, &format!("-{from_old}.5")).await.unwrap_err()), ["units"]);
    // Nor does the end of the subscription keep anything.
    let request = v1::CancelSubscriptionRequest {
        subject: "acme".to_owned(),
        request_id: "end".to_owned(),
        now: true,
        ..v1::CancelSubscriptionRequest::default()
    };
    acme.admin().cancel_subscription(request).await.unwrap();
    assert_eq!(units(&acme.refunded(after.key(), "f1", None).await), ["22", "22", "0"]);
}

#[tokio::test]
async fn a_refund_is_possible_as_long_as_the_reservation_is_remembered() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.used(&ask).await;
    server.clock.set("2026-03-17T11:59:59Z");
    acme.refunded(ask.key(), "f1", Some("1")).await;
    // The refund has not lengthened that.
    server.clock.set("2026-03-17T12:00:00Z");
    let error = acme.refund(ask.key(), "f2", None).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "RESERVATION_NOT_FOUND"));
    assert_eq!(acme.left().await, "7");
}

#[tokio::test]
async fn one_reservation_has_a_bounded_number_of_refunds() {
    let server = Server::start(&monthly("100"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(100);
    acme.used(&ask).await;
    for number in 0..64 {
        acme.refunded(ask.key(), &format!("f{number}"), Some("1")).await;
    }
    assert_eq!(bad_fields(&acme.refund(ask.key(), "f64", Some("1")).await.unwrap_err()), ["request_id"]);
    assert!(acme.refund(ask.key(), "f63", Some("1")).await.unwrap().replayed);
    assert_eq!(acme.left().await, "64");
}

#[tokio::test]
async fn of_many_identical_refunds_at_once_one_is_made() {
    let server = Setup::new(&monthly("10"), NOON).embedded().start().await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(9);
    acme.used(&ask).await;
    let calls = (0..64).map(|_| acme.refund(ask.key(), "f1", Some("2")));
    let answers: Vec<_> = futures_util::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| units(answer.reservation.as_ref().unwrap()) == ["9", "2", "0"]));
    assert_eq!(acme.left().await, "3");
}

#[tokio::test]
async fn of_many_refunds_at_once_no_more_go_through_than_there_are_units() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(9);
    acme.used(&ask).await;
    let ids: Vec<String> = (0..64).map(|number| format!("f{number}")).collect();
    let calls = ids.iter().map(|id| acme.refund(ask.key(), id, Some("2")));
    let (made, refused): (Vec<_>, Vec<_>) = futures_util::future::join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 4);
    for error in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!(bad_fields(&error), ["units"]);
    }
    assert_eq!(acme.left().await, "9");
}

#[tokio::test]
async fn sums_of_costs_lose_the_units_in_the_hour_of_the_refund_and_nothing_else() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.used(&ask).await;
    server.clock.set("2026-03-10T15:30:00Z");
    acme.refunded(ask.key(), "f1", Some("3")).await;
    let rows = acme.summary(|request| request.step = Some(crate::ask::seconds_of(3600))).await.unwrap();
    let told = |row: &v1::CostRow| (row.attempts, row.generations, row.units.clone(), row.cost.clone());
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), [(1, 1, "4".into(), "0.04".into()), (0, 0, "-3".into(), "0".into())]);
}

#[tokio::test]
async fn a_missing_id_and_a_long_detail_are_told() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let request = v1::RefundRequest { detail: "x".repeat(257), ..v1::RefundRequest::default() };
    let error = acme.quota().refund(request).await.unwrap_err();
    assert_eq!(bad_fields(&error), ["subject", "reservation_id", "request_id", "detail"]);
}
