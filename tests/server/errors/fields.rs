//! Bad fields: every one is named with its path, none is counted as zero (R10).

use genquota::proto::v1;

use super::NOON;
use crate::ask::{Ask, ask, bad_fields, images, item, map, outputs, seconds, work};
use crate::catalogs::monthly;
use crate::harness::Server;

fn image(measures: &[(&str, &str)], attributes: &[(&str, &str)]) -> Ask {
    ask("image", "lab/small", work(vec![item(1, measures, attributes)]))
}

fn clip(value: &str) -> Ask {
    ask("video", "lab/small", seconds(&[value]))
}

#[tokio::test]
async fn a_bad_field_is_named_and_nothing_is_changed() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&["ann"]).await;
    let without_work = Ask(v1::ReserveRequest { work: None, ..images(1).0 });
    let nanos = |nanos| Ask(v1::ReserveRequest { ttl: Some(prost_types::Duration { seconds: 1, nanos }), ..images(1).0 });
    let table = [
        (ask("dance", "lab/small", outputs(1)), "action"),
        (ask("", "lab/small", outputs(1)), "action"),
        (ask("image", "", outputs(1)), "target"),
        (image(&[("seconds", "1")], &[]), "work.items[0].measures.seconds"),
        (image(&[], &[("mood", "blue")]), "work.items[0].attributes.mood"),
        (image(&[], &[("resolution", "999")]), "work.items[0].attributes.resolution"),
        (image(&[], &[("resolution", "")]), "work.items[0].attributes.resolution"),
        (ask("video", "lab/small", outputs(1)), "work.items[0].measures.seconds"),
        (clip("-1"), "work.items[0].measures.seconds"),
        (clip("+1"), "work.items[0].measures.seconds"),
        (clip("1e3"), "work.items[0].measures.seconds"),
        (clip("1,5"), "work.items[0].measures.seconds"),
        (clip("0x10"), "work.items[0].measures.seconds"),
        (clip("five"), "work.items[0].measures.seconds"),
        (clip("NaN"), "work.items[0].measures.seconds"),
        (clip(""), "work.items[0].measures.seconds"),
        (clip(" 1"), "work.items[0].measures.seconds"),
        (clip("1."), "work.items[0].measures.seconds"),
        (clip(".5"), "work.items[0].measures.seconds"),
        (clip("٣"), "work.items[0].measures.seconds"),
        (clip("1.0000000001"), "work.items[0].measures.seconds"),
        (clip("1000000000000000"), "work.items[0].measures.seconds"),
        (clip("999999999999999"), "work.items[0]"),
        (images(0), "work.items[0].count"),
        (images(-1), "work.items[0].count"),
        (images(10_001), "work.items[0].count"),
        (images(i64::MAX), "work.items[0].count"),
        (ask("image", "lab/small", work(vec![item(5001, &[], &[]), item(5000, &[], &[])])), "work.items"),
        (ask("image", "lab/small", work(Vec::new())), "work.items"),
        (without_work, "work.items"),
        (images(1).ttl(-1), "ttl"),
        (nanos(-1), "ttl"),
        (nanos(1_000_000_000), "ttl"),
        (images(1).label("", "x"), "labels."),
        (images(1).label(&"k".repeat(65), "x"), &format!("labels.{}", "k".repeat(64))),
        (images(1).label("k", &"v".repeat(257)), "labels.k"),
        ((0..17).fold(images(1), |ask, at| ask.label(&format!("k{at}"), "v")), "labels"),
        ((0..17).fold(images(1), |ask, _| ask.fallback("lab/big")), "fallbacks"),
    ];
    for (ask, field) in table {
        let error = acme.reserve(&ask).await.unwrap_err();
        assert_eq!(bad_fields(&error), [field], "{error:?}");
        let problem = error.message().strip_prefix(field).unwrap_or_else(|| panic!("the text names the field: {error:?}"));
        assert!(problem.len() > 5, "{error:?}");
        // Recording has neither ttl nor fallbacks, and may be of nothing.
        if !["ttl", "fallbacks", "work.items"].contains(&field) {
            assert_eq!(bad_fields(&acme.record(&ask, |_| {}).await.unwrap_err()), [field]);
        }
        assert_eq!(acme.seen(&["ann"]).await, before, "{field}");
    }
}

#[tokio::test]
async fn every_bad_field_is_named_at_once() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let mut request = ask("im age", "la b/small", work(vec![item(0, &[("a b", "x")], &[]), item(1, &[("s", "-1")], &[("t", "")])])).0;
    request.user = "{ann}".to_owned();
    request.reservation_id = String::new();
    request.generation_id = "x".repeat(129);
    request.planned_target = Some(v1::Target::default());
    request.fallbacks = vec![crate::ask::target("lab/big"), crate::ask::target("lab/b g")];
    request.ttl = Some(crate::ask::seconds_of(-5));
    request.labels = map(&[("", "x"), ("k", &"v".repeat(300))]);
    let error = acme.reserve(&Ask(request)).await.unwrap_err();
    let mut fields = bad_fields(&error);
    fields.sort();
    fields.dedup();
    let expected = [
        "action",
        "fallbacks[1].model",
        "generation_id",
        "labels.",
        "labels.k",
        "planned_target.model",
        "planned_target.provider",
        "reservation_id",
        "target.provider",
        "ttl",
        "user",
        "work.items[0].count",
        "work.items[0].measures.a b",
        "work.items[1].attributes.t",
        "work.items[1].measures.s",
    ];
    assert_eq!(fields, expected);
    for field in expected {
        assert!(error.message().contains(field), "{field} in {}", error.message());
    }
}

#[tokio::test]
async fn everything_the_catalog_does_not_know_is_named_at_once() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let items = work(vec![item(1, &[("seconds", "1"), ("loops", "2")], &[]), item(1, &[], &[("mood", "blue"), ("resolution", "3")])]);
    let error = acme.reserve(&ask("image", "", items).ttl(9999)).await.unwrap_err();
    let expected = [
        "target",
        "ttl",
        "work.items[0].measures.loops",
        "work.items[0].measures.seconds",
        "work.items[1].attributes.mood",
        "work.items[1].attributes.resolution",
    ];
    let mut fields = bad_fields(&error);
    fields.sort();
    assert_eq!(fields, expected);
    let missing = ask("video", "lab/small", work(vec![item(1, &[], &[]), item(1, &[("seconds", "1")], &[]), item(2, &[], &[])]));
    let error = acme.reserve(&missing).await.unwrap_err();
    assert_eq!(bad_fields(&error), ["work.items[0].measures.seconds", "work.items[2].measures.seconds"]);
}

#[tokio::test]
async fn bad_fields_of_a_settlement_are_named_and_leave_the_hold() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = ask("video", "lab/small", seconds(&["5"]));
    acme.held(&ask).await;
    let before = (acme.seen(&[]).await, acme.reservation(ask.key()).await.unwrap());
    let commit =
        async |with: &dyn Fn(&mut v1::CommitRequest)| bad_fields(&acme.commit(ask.key(), |request| with(request)).await.unwrap_err());
    let release =
        async |with: &dyn Fn(&mut v1::ReleaseRequest)| bad_fields(&acme.release(ask.key(), |request| with(request)).await.unwrap_err());
    assert_eq!(commit(&|request| request.work = Some(outputs(1))).await, ["work.items[0].measures.seconds"]);
    assert_eq!(
        commit(&|request| request.billed_work = Some(image(&[], &[("x", "y")]).0.work.unwrap())).await,
        ["billed_work.items[0].attributes.x"]
    );
    assert_eq!(commit(&|request| request.work = Some(seconds(&["-1"]))).await, ["work.items[0].measures.seconds"]);
    for cost in ["-1", "", "1e2", "free", "1.0000000001", "99999999999"] {
        assert_eq!(commit(&|request| request.billed_cost = Some(cost.to_owned())).await, ["billed_cost"], "{cost}");
        assert_eq!(release(&|request| request.billed_cost = Some(cost.to_owned())).await, ["billed_cost"], "{cost}");
    }
    assert_eq!(release(&|request| request.outcome = 99).await, ["outcome"]);
    assert_eq!(release(&|request| request.set_outcome(v1::Outcome::Accepted)).await, ["outcome"]);
    assert_eq!(release(&|request| request.set_outcome(v1::Outcome::Expired)).await, ["outcome"]);
    assert_eq!(release(&|request| request.detail = "x".repeat(257)).await, ["detail"]);
    assert_eq!((acme.seen(&[]).await, acme.reservation(ask.key()).await.unwrap()), before);
    acme.committed(ask.key()).await;
}

#[tokio::test]
async fn bad_fields_of_an_administrative_change_are_named() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.subject("acme").await;
    let before = acme.seen(&[]).await;
    let subscribe =
        async |with: &dyn Fn(&mut v1::SubscribeRequest)| bad_fields(&acme.subscribe("pro", |request| with(request)).await.unwrap_err());
    assert_eq!(subscribe(&|request| request.plan = "gold".to_owned()).await, ["plan"]);
    assert_eq!(subscribe(&|request| request.billing_interval = 9).await, ["billing_interval"]);
    assert_eq!(subscribe(&|request| request.time_zone = "Mars/Base".to_owned()).await, ["time_zone"]);
    assert_eq!(subscribe(&|request| request.seats = Some(-1)).await, ["seats"]);
    assert_eq!(subscribe(&|request| request.seats = Some(1_000_001)).await, ["seats"]);
    assert_eq!(subscribe(&|request| request.request_id = String::new()).await, ["request_id"]);
    assert_eq!(
        subscribe(&|request| request.start_time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 })).await,
        ["start_time"]
    );
    for nanos in [-1, 1_000_000_000] {
        assert_eq!(
            subscribe(&|request| request.start_time = Some(prost_types::Timestamp { seconds: 0, nanos })).await,
            ["start_time"],
            "{nanos}"
        );
    }
    let nowhere = bad_fields(&server.stranger("zoned").create("Nowhere").await.unwrap_err());
    assert_eq!(nowhere, ["time_zone"]);
    let page = v1::ListSubjectsRequest { page_size: 1001, page_token: "{".to_owned() };
    let mut fields = bad_fields(&acme.admin().list_subjects(page).await.unwrap_err());
    fields.sort();
    assert_eq!(fields, ["page_size", "page_token"]);
    assert_eq!(acme.seen(&[]).await, before);
}
