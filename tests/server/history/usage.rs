//! What a subject used, in sums, on every store.

use genquota::proto::v1::{GetUsageRequest, Outcome, UsageRow};
use jiff::SignedDuration;

use crate::ask::{ask, bad_fields, images, outputs, seconds, target, time};
use crate::caller::Caller;
use crate::harness::Server;
use crate::stores::on_every_store;

on_every_store! { crate::catalogs::monthly("1000");
    usage_is_summed_and_split_by_what_is_asked_for
    a_generation_counts_once_in_each_group_that_it_ran_on
    failed_released_expired_and_late_ones_count_and_are_charged_what_they_were_charged
    without_a_start_a_span_begins_with_the_period_in_which_it_ends
    without_a_plan_a_span_begins_thirty_days_before_its_end
    a_span_is_rounded_to_whole_hours
    a_bad_field_is_named
}

/// `name=value ... meter: generations units cost`.
fn told(row: &UsageRow) -> String {
    let group = row.group.iter().map(|(name, value)| format!("{name}={value}"));
    let place: Vec<_> = group.chain([row.meter.clone()]).filter(|part| !part.is_empty()).collect();
    format!("{}: {} {} {}", place.join(" "), row.generations, row.units, row.cost)
}

async fn rows(caller: &Caller, with: impl FnOnce(&mut GetUsageRequest)) -> Vec<String> {
    let usage = caller.usage(with).await.unwrap();
    assert_eq!(usage.currency, "USD");
    usage.rows.iter().map(told).collect()
}

async fn by(caller: &Caller, names: &[&str]) -> Vec<String> {
    rows(caller, |request| request.group_by = names.iter().map(|name| (*name).to_owned()).collect()).await
}

async fn usage_is_summed_and_split_by_what_is_asked_for(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    assert!(by(&acme, &[]).await.is_empty());
    for (user, at, count) in [("ann", "lab/small", 1), ("ann", "lab/big", 2), ("ben", "studio/big", 1)] {
        acme.used(&images(count).user(user).at(at)).await;
    }
    acme.used(&ask("video", "lab/big", seconds(&["2.5"])).user("ben")).await;
    acme.used(&ask("upload", "", outputs(1))).await;
    server.customer("bolt", "pro").await.used(&images(9)).await;

    assert_eq!(by(&acme, &[]).await, [": 1 0 0", "units: 4 7 0.23"]);
    assert_eq!(by(&acme, &["user"]).await, ["user=: 1 0 0", "user=ann units: 2 3 0.09", "user=ben units: 2 4 0.14"]);
    assert_eq!(
        by(&acme, &["action", "user"]).await,
        [
            "action=image user=ann units: 2 3 0.09",
            "action=image user=ben units: 1 1 0.1",
            "action=upload user=: 1 0 0",
            "action=video user=ben units: 1 3 0.04",
        ]
    );
    assert_eq!(by(&acme, &["tier"]).await, ["tier=: 1 0 0", "tier=basic units: 1 1 0.01", "tier=premium units: 3 6 0.22"]);
    assert_eq!(
        by(&acme, &["model", "provider"]).await,
        [
            "model= provider=: 1 0 0",
            "model=big provider=lab units: 2 5 0.12",
            "model=big provider=studio units: 1 1 0.1",
            "model=small provider=lab units: 1 1 0.01",
        ]
    );
}

async fn a_generation_counts_once_in_each_group_that_it_ran_on(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let chain = images(1).user("ann").ttl(7200);
    acme.held(&chain).await;
    for (attempt, next) in [(1, "lab/small"), (2, "lab/big"), (3, "studio/big"), (4, "lab/small")] {
        acme.retried(chain.key(), attempt, |request| {
            request.set_outcome(Outcome::Rejected);
            request.next_target = Some(target(next));
        })
        .await;
        server.clock.advance(SignedDuration::from_mins(25));
    }
    acme.committed(chain.key()).await;
    // Small twice, big once, the studio's once, and small once more.
    assert_eq!(by(&acme, &[]).await, ["units: 1 1 0.17"]);
    assert_eq!(by(&acme, &["user", "action"]).await, ["action=image user=ann units: 1 1 0.17"]);
    assert_eq!(by(&acme, &["provider"]).await, ["provider=lab units: 1 1 0.07", "provider=studio units: 1 0 0.1"]);
    assert_eq!(by(&acme, &["model"]).await, ["model=big units: 1 0 0.14", "model=small units: 1 1 0.03"]);
    assert_eq!(by(&acme, &["tier"]).await, ["tier=basic units: 1 1 0.03", "tier=premium units: 1 0 0.14"]);
    assert_eq!(
        by(&acme, &["provider", "tier"]).await,
        [
            "provider=lab tier=basic units: 1 1 0.03",
            "provider=lab tier=premium units: 1 0 0.04",
            "provider=studio tier=premium units: 1 0 0.1",
        ]
    );
}

async fn failed_released_expired_and_late_ones_count_and_are_charged_what_they_were_charged(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    for id in ["released", "expired", "late", "held"] {
        acme.held(&images(2).id(id).ttl(if id == "held" { 7000 } else { 60 })).await;
    }
    acme.release("released", |request| request.billed_work = Some(outputs(1))).await.unwrap();
    acme.record(&images(3), |request| request.set_outcome(Outcome::Failed)).await.unwrap();
    server.clock.advance(SignedDuration::from_mins(5));
    acme.committed("late").await;
    acme.reservation("expired").await.unwrap();
    assert_eq!(by(&acme, &[]).await, ["units: 4 2 0.03"]);
}

async fn without_a_start_a_span_begins_with_the_period_in_which_it_ends(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1)).await;
    server.clock.set("2026-04-09T23:30:00Z");
    acme.used(&images(2)).await;
    assert_eq!(by(&acme, &[]).await, ["units: 2 3 0.03"]);
    server.clock.set("2026-04-10T00:30:00Z");
    acme.used(&images(4)).await;
    assert_eq!(by(&acme, &[]).await, ["units: 1 4 0.04"]);
    // The instant at which a period ends belongs to the next one, and not to this span.
    let before = rows(&acme, |request| request.end_time = Some(time("2026-04-10T00:00:00Z")));
    assert_eq!(before.await, ["units: 2 3 0.03"]);
    let later = rows(&acme, |request| request.end_time = Some(time("2026-12-01T00:00:00Z")));
    assert_eq!(later.await, ["units: 1 4 0.04"]);
    let all = rows(&acme, |request| request.start_time = Some(time("2026-03-01T00:00:00Z")));
    assert_eq!(all.await, ["units: 3 7 0.07"]);
}

async fn without_a_plan_a_span_begins_thirty_days_before_its_end(server: &Server) {
    let acme = server.subject("acme").await;
    acme.grant("credits", "100", |_| {}).await.unwrap();
    acme.used(&ask("upload", "", outputs(1))).await;
    server.clock.advance(SignedDuration::from_hours(30 * 24 - 1));
    acme.used(&ask("upload", "", outputs(1))).await;
    assert_eq!(by(&acme, &[]).await, [": 2 0 0"]);
    server.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(by(&acme, &[]).await, [": 1 0 0"]);
    assert!(by(&server.stranger("nobody"), &[]).await.is_empty());
}

async fn a_span_is_rounded_to_whole_hours(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    for hour in 12..15 {
        server.clock.set(&format!("2026-03-10T{hour}:30:00Z"));
        acme.used(&images(1)).await;
    }
    let span = |from: &str, to: &str| {
        let (from, to) = (time(&format!("2026-03-10T{from}Z")), time(&format!("2026-03-10T{to}Z")));
        move |request: &mut GetUsageRequest| (request.start_time, request.end_time) = (Some(from), Some(to))
    };
    assert_eq!(rows(&acme, span("13:59:59", "14:00:00")).await, ["units: 1 1 0.01"]);
    assert_eq!(rows(&acme, span("13:00:00", "14:00:01")).await, ["units: 2 2 0.02"]);
    assert_eq!(rows(&acme, span("12:59:00", "14:00:00")).await, ["units: 2 2 0.02"]);
    assert!(rows(&acme, span("15:00:00", "16:00:00")).await.is_empty());
}

async fn a_bad_field_is_named(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let group = |names: &'static [&str]| {
        move |request: &mut GetUsageRequest| request.group_by = names.iter().map(|name| (*name).to_owned()).collect()
    };
    for (names, field) in
        [(&["user", "plan"][..], "group_by[1]"), (&["tier", "action", "tier"], "group_by[2]"), (&["subject"], "group_by[0]")]
    {
        assert_eq!(bad_fields(&acme.usage(group(names)).await.unwrap_err()), [field]);
    }
    let error = acme.usage(|request| request.subject = "a|b".to_owned()).await.unwrap_err();
    assert_eq!(bad_fields(&error), ["subject"]);
    let at = |year: i32| Some(time(&format!("{year}-03-10T12:00:00Z")));
    let error = acme.usage(|request| (request.start_time, request.end_time) = (at(2026), at(2026))).await.unwrap_err();
    assert_eq!(bad_fields(&error), ["end_time"]);
    let error = acme.usage(|request| request.start_time = at(2024)).await.unwrap_err();
    assert_eq!(bad_fields(&error), ["start_time"]);
}
