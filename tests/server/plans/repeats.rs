//! An administrative change takes effect once, whoever repeats it: every RPC that changes a subject, on every store.

use crate::administrator::Change;
use crate::ask::{bad_fields, images, reason};
use crate::catalogs::plans;
use crate::harness::Server;
use crate::stores::on_every_store;

fn offers() -> String {
    plans(&[
        "pro: {rank: 1, allowances: [{meter: units, amount: 10, per: seat}], add_ons: {more: {meter: units, amount: 5, per: subject}}, \
         caps: {day: {of: units, meter: units, limit: 8, per: day}}}",
        "max: {rank: 2, allowances: [{meter: units, amount: 30, per: seat}]}",
    ])
}

on_every_store! { super::offers();
    the_same_request_again_is_replayed_and_changes_nothing
    an_id_with_another_payload_is_refused_and_changes_nothing
    an_id_is_the_subject_s_own
    a_request_without_an_id_or_with_a_forged_one_changes_nothing
    a_repeat_is_known_after_the_period_and_the_subscription_have_ended
    a_repeat_long_after_later_changes_of_the_same_kind_undoes_none_of_them
}

/// Each change with another payload for the same id, in an order in which all of them go through.
const CHANGES: [(&str, Change<'static>, Change<'static>); 13] = [
    ("subscribe", Change::Subscribe("pro"), Change::Subscribe("max")),
    ("seats", Change::Seats(3), Change::Seats(4)),
    ("vacate", Change::Vacate(&["ann"]), Change::Vacate(&["bob"])),
    ("add-on", Change::AddOn("more", 2), Change::AddOn("more", 1)),
    ("allowance", Change::Allowance("units", "12"), Change::Allowance("units", "")),
    ("cap", Change::Cap("day", "9"), Change::Cap("day", "unlimited")),
    ("void", Change::Void("gift"), Change::Void("other")),
    ("suspend", Change::Suspend, Change::Resume),
    ("resume", Change::Resume, Change::Suspend),
    ("plan", Change::Plan("max"), Change::Plan("pro")),
    ("cancel", Change::Cancel, Change::CancelNow),
    ("resubscribe", Change::Subscribe("max"), Change::Cancel),
    ("cancel-now", Change::CancelNow, Change::Plan("max")),
];

async fn the_same_request_again_is_replayed_and_changes_nothing(server: &Server) {
    let acme = server.subject("acme").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    assert!(acme.create("").await.unwrap().replayed);
    for (id, change, _) in CHANGES {
        let before = acme.shown().await.unwrap();
        let first = acme.change_as(id, change).await.unwrap();
        assert!(!first.replayed && first.subject.version == before.version + 1, "{id}: {first:?}");
        assert_eq!(first.subject, acme.shown().await.unwrap(), "{id}");
        let after = acme.seen(&["ann"]).await;
        for _ in 0..2 {
            let again = acme.change_as(id, change).await.unwrap();
            assert!(again.replayed, "{id}");
            assert_eq!(again.subject, first.subject, "{id}");
        }
        assert_eq!(acme.seen(&["ann"]).await, after, "{id}");
    }
    // Every one of them is still known after all the others.
    let after = acme.seen(&["ann"]).await;
    for (id, change, _) in CHANGES {
        assert!(acme.change_as(id, change).await.unwrap().replayed, "{id}");
    }
    assert!(acme.grant("gift", "5", |_| {}).await.unwrap().replayed);
    assert_eq!(acme.seen(&["ann"]).await, after);
}

async fn an_id_with_another_payload_is_refused_and_changes_nothing(server: &Server) {
    let acme = server.subject("acme").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    assert_eq!(reason(&acme.create("Asia/Tokyo").await.unwrap_err()), "ID_REUSED");
    for (id, change, other) in CHANGES {
        acme.change_as(id, change).await.unwrap();
        let after = acme.seen(&["ann"]).await;
        assert_eq!(reason(&acme.change_as(id, other).await.unwrap_err()), "ID_REUSED", "{id}");
        let detailed = acme.subscribe("pro", |request| (request.request_id, request.detail) = (id.to_owned(), "why".to_owned()));
        assert_eq!(reason(&detailed.await.unwrap_err()), "ID_REUSED", "{id}");
        assert_eq!(acme.seen(&["ann"]).await, after, "{id}");
    }
}

async fn an_id_is_the_subject_s_own(server: &Server) {
    let (acme, other) = (server.customer("acme", "pro").await, server.customer("other", "pro").await);
    acme.change_as("same", Change::Seats(3)).await.unwrap();
    assert!(!other.change_as("same", Change::Plan("max")).await.unwrap().replayed);
    assert_eq!((acme.subscription().await.plan.as_str(), other.subscription().await.plan.as_str()), ("pro", "max"));
}

async fn a_request_without_an_id_or_with_a_forged_one_changes_nothing(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&["ann"]).await;
    for (_, change, _) in CHANGES {
        for id in ["", "a b", "{acme}"] {
            assert_eq!(bad_fields(&acme.change_as(id, change).await.unwrap_err()), ["request_id"], "{change:?} {id}");
        }
        assert_eq!(bad_fields(&server.stranger("{x}").change_as("id", change).await.unwrap_err()), ["subject"], "{change:?}");
    }
    assert_eq!(acme.seen(&["ann"]).await, before);
}

async fn a_repeat_is_known_after_the_period_and_the_subscription_have_ended(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.change_as("more", Change::Seats(2)).await.unwrap();
    acme.change_as("end", Change::Cancel).await.unwrap();
    server.clock.set("2027-06-01T00:00:00Z");
    let before = acme.seen(&["ann"]).await;
    for (id, change) in [("more", Change::Seats(2)), ("end", Change::Cancel)] {
        assert!(acme.change_as(id, change).await.unwrap().replayed, "{id}");
    }
    assert_eq!(acme.seen(&["ann"]).await, before);
    assert_eq!(reason(&acme.change_as("more", Change::Seats(3)).await.unwrap_err()), "ID_REUSED");
}

async fn a_repeat_long_after_later_changes_of_the_same_kind_undoes_none_of_them(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.change_as("two", Change::Seats(2)).await.unwrap();
    for seats in 3..=40 {
        acme.changed(Change::Seats(seats)).await;
    }
    acme.used(&images(1).user("ann")).await;
    assert!(acme.change_as("two", Change::Seats(2)).await.unwrap().replayed);
    let subscription = acme.subscription().await;
    assert_eq!((subscription.seats, subscription.pending_change), (40, None));
}
