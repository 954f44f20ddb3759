//! When a cap starts anew: every window, in the zone of the subject.

use genquota::proto::v1::DenialReason;

use crate::ask::{images, instant, named, wait_until};
use crate::catalogs::plans;
use crate::harness::{Server, Setup};

/// Fills a cap of a window at `now`, in a zone: it starts anew at `end` and not a millisecond before, and the denial says so.
async fn starts_anew(window: &str, zone: &str, now: &str, end: &str) {
    let plan = format!(
        "pro: {{allowances: [{{meter: units, amount: unlimited, per: subject}}], \
         caps: {{limit: {{of: requests, limit: 1, per: {window}}}}}}}"
    );
    let server = Server::start(&plans(&[&plan]), "2026-01-18T12:00:00Z").await;
    let acme = server.subject_in("acme", zone).await;
    acme.subscribe("pro", |_| {}).await.unwrap();
    server.clock.set(now);
    acme.used(&images(1)).await;
    let ask = images(1);
    let denial = acme.denied(&ask).await;
    assert_eq!(instant(denial.violations[0].reset_time.as_ref()), end, "{window} in {zone}");
    assert_eq!(wait_until(&denial).as_deref(), Some(end), "{window} in {zone}");
    let wait = denial.retry_after.unwrap();
    assert_eq!((wait.seconds, wait.nanos), (end_of(end) - end_of(now), 0));
    server.clock.set(end);
    server.clock.advance(jiff::SignedDuration::from_millis(-1));
    acme.denied(&ask).await;
    server.clock.set(end);
    acme.held(&ask).await;
}

fn end_of(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_second()
}

#[tokio::test]
async fn every_window_is_one_of_the_calendar() {
    // A Tuesday.
    let now = "2026-03-10T12:34:56Z";
    starts_anew("minute", "", now, "2026-03-10T12:35:00Z").await;
    starts_anew("hour", "", now, "2026-03-10T13:00:00Z").await;
    starts_anew("day", "", now, "2026-03-11T00:00:00Z").await;
    starts_anew("week", "", now, "2026-03-16T00:00:00Z").await;
    starts_anew("month", "", now, "2026-04-01T00:00:00Z").await;
    starts_anew("period", "", now, "2026-03-18T00:00:00Z").await;
}

#[tokio::test]
async fn a_window_is_one_of_the_subject_s_calendar() {
    let now = "2026-03-10T20:34:56Z";
    starts_anew("hour", "Asia/Kathmandu", now, "2026-03-10T21:15:00Z").await;
    starts_anew("day", "Asia/Kathmandu", now, "2026-03-11T18:15:00Z").await;
    starts_anew("week", "Asia/Tokyo", now, "2026-03-15T15:00:00Z").await;
    starts_anew("month", "America/New_York", now, "2026-04-01T04:00:00Z").await;
    starts_anew("period", "America/New_York", now, "2026-03-18T04:00:00Z").await;
    // The night the clocks go forward, the day has 23 hours.
    starts_anew("day", "America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z").await;
}

#[tokio::test]
async fn without_a_plan_the_period_of_a_cap_is_the_calendar_month() {
    let text = crate::catalogs::catalog("caps: {limit: {of: requests, limit: 1, per: period}}");
    let server = Server::start(&text, "2026-03-10T12:00:00Z").await;
    let acme = server.subject("acme").await;
    acme.grant("gift", "10", |_| {}).await.unwrap();
    acme.used(&images(1)).await;
    assert_eq!(wait_until(&acme.denied(&images(1)).await).as_deref(), Some("2026-04-01T00:00:00Z"));
}

#[tokio::test]
async fn the_wait_is_for_the_last_of_several_limits() {
    let plan = "pro: {allowances: [{meter: units, amount: 3, per: subject}], caps: {\
                minute: {of: requests, limit: 1, per: minute}, day: {of: units, meter: units, limit: 2, per: day}}}";
    let server = Server::start(&plans(&[plan]), "2026-03-10T12:00:00Z").await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(2)).await;
    let (ask, large) = (images(1), images(2));
    let denial = acme.denied(&ask).await;
    assert_eq!((named(&denial), wait_until(&denial).as_deref()), (vec!["minute", "day"], Some("2026-03-11T00:00:00Z")));
    let denial = acme.denied(&large).await;
    assert_eq!((named(&denial), wait_until(&denial).as_deref()), (vec!["minute", "day", "units"], Some("2026-04-10T00:00:00Z")));
    server.clock.set("2026-03-11T00:00:00Z");
    acme.held(&ask).await;
    server.clock.set("2026-04-10T00:00:00Z");
    acme.held(&large).await;
}

#[tokio::test]
async fn a_held_unit_counts_in_the_window_it_was_held_in() {
    let (server, acme) = super::capped("{of: units, meter: units, limit: 5, per: day}").await;
    server.clock.set("2026-03-10T23:59:00Z");
    let ask = images(5);
    acme.held(&ask).await;
    server.clock.set("2026-03-11T00:01:00Z");
    acme.committed(ask.key()).await;
    acme.held(&images(5)).await;
    acme.denied(&images(1)).await;
}

/// A week that begins where a day did has its account, which ended with the day: the cap started anew on Tuesday.
#[tokio::test]
async fn a_window_that_the_catalog_lengthens_does_not_start_anew_at_its_old_end() {
    let capped = |per: &str| {
        let caps = format!("{{few: {{of: requests, limit: 2, per: {per}}}}}");
        plans(&[&format!("pro: {{allowances: [{{meter: units, amount: unlimited, per: subject}}], caps: {caps}}}")])
    };
    let server = Setup::new(&capped("day"), "2026-03-09T12:00:00Z").embedded().start().await;
    server.customer("acme", "pro").await.used(&images(1)).await;
    let server = server.restart(&capped("week")).await;
    let acme = server.stranger("acme");
    acme.used(&images(1)).await;
    server.clock.set("2026-03-15T23:59:59Z");
    acme.denied_for(&images(1), DenialReason::CapReached).await;
    server.clock.set("2026-03-16T00:00:00Z");
    acme.held(&images(1)).await;
}
