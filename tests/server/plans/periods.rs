//! Where one period ends and the next begins, and what belongs to which: P3, P4, P5.

use crate::ask::{images, instant, outputs, paid_by, time};
use crate::catalogs::{monthly, plans};
use crate::harness::Server;

/// Walks a subscription through its periods; each begins on these days at this instant of the day.
async fn periods_begin(zone: &str, start: &str, boundaries: &[&str]) {
    let server = Server::start(&monthly("10"), start).await;
    let acme = server.subject("acme").await;
    acme.subscribe("pro", |request| request.time_zone = zone.to_owned()).await.unwrap();
    for boundary in boundaries {
        acme.used(&images(10)).await;
        let balance = acme.all_balances("").await;
        assert_eq!(instant(balance.period_end_time.as_ref()), *boundary, "{zone}");
        assert_eq!(instant(balance.balances[0].reset_time.as_ref()), *boundary, "{zone}");
        server.clock.set(boundary);
        server.clock.advance(jiff::SignedDuration::from_millis(-1));
        assert_eq!(acme.left().await, "0", "{zone}, a millisecond before {boundary}");
        server.clock.set(boundary);
        assert_eq!(acme.left().await, "10", "{zone}, at {boundary}");
    }
}

#[tokio::test]
async fn the_boundary_instant_belongs_to_the_new_period() {
    periods_begin("", "2026-01-18T00:00:00Z", &["2026-02-18T00:00:00Z", "2026-03-18T00:00:00Z"]).await;
}

#[tokio::test]
async fn a_clamp_to_the_end_of_a_month_does_not_stick() {
    let year = [
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
        "2026-05-31",
        "2026-06-30",
        "2026-07-31",
        "2026-08-31",
        "2026-09-30",
        "2026-10-31",
        "2026-11-30",
        "2026-12-31",
        "2027-01-31",
        "2027-02-28",
        "2027-03-31",
    ];
    let midnights: Vec<String> = year.iter().map(|day| format!("{day}T00:00:00Z")).collect();
    periods_begin("UTC", "2026-01-31T23:59:59Z", &midnights.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_leap_day_comes_back_in_leap_years() {
    let server = Server::start(&monthly("10"), "2024-02-29T12:00:00Z").await;
    let acme = server.customer("acme", "pro").await;
    for (now, starts) in [
        ("2025-03-01T00:00:00Z", "2025-02-28T00:00:00Z"),
        ("2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("2028-02-28T23:00:00Z", "2028-01-29T00:00:00Z"),
        ("2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("2040-12-31T00:00:00Z", "2040-12-29T00:00:00Z"),
    ] {
        server.clock.set(now);
        assert_eq!(instant(acme.all_balances("").await.period_start_time.as_ref()), starts);
    }
}

#[tokio::test]
async fn a_period_begins_at_midnight_of_the_subscription_s_zone_through_daylight_saving() {
    // Clocks go forward on 8 March and back on 1 November.
    let boundaries = ["2026-03-15T04:00:00Z", "2026-04-15T04:00:00Z", "2026-05-15T04:00:00Z"];
    periods_begin("America/New_York", "2026-02-15T05:00:00Z", &boundaries).await;
    periods_begin("America/New_York", "2026-10-31T12:00:00Z", &["2026-11-30T05:00:00Z", "2026-12-31T05:00:00Z"]).await;
    periods_begin("Asia/Kathmandu", "2026-01-17T18:15:00Z", &["2026-02-17T18:15:00Z"]).await;
    // In Cairo the clocks skip midnight of 24 April: the day begins at one.
    periods_begin("Africa/Cairo", "2026-03-24T12:00:00Z", &["2026-04-23T22:00:00Z", "2026-05-23T21:00:00Z"]).await;
}

#[tokio::test]
async fn a_subscription_without_a_zone_has_that_of_its_subject() {
    let server = Server::start(&monthly("10"), "2026-01-18T12:00:00Z").await;
    let acme = server.subject_in("acme", "Asia/Tokyo").await;
    acme.subscribe("pro", |_| {}).await.unwrap();
    assert_eq!(instant(acme.all_balances("").await.period_end_time.as_ref()), "2026-02-17T15:00:00Z");
    assert_eq!(acme.shown().await.unwrap().subscription.unwrap().time_zone, "Asia/Tokyo");
}

#[tokio::test]
async fn nothing_rolls_over_unless_the_plan_says_so() {
    let server = Server::start(&monthly("10"), "2026-01-18T12:00:00Z").await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1)).await;
    server.clock.set("2026-02-18T00:00:00Z");
    assert_eq!(acme.left().await, "10");
}

#[tokio::test]
async fn what_is_left_rolls_over_up_to_the_cap_and_only_once() {
    let server = Server::start(
        &plans(&["pro: {allowances: [{meter: units, amount: 100, per: subject, rollover: {cap: 30}}]}"]),
        "2026-01-18T12:00:00Z",
    )
    .await;
    let acme = server.customer("acme", "pro").await;
    assert_eq!(acme.left().await, "100");
    acme.used(&images(80)).await;
    server.clock.set("2026-02-18T00:00:00Z");
    assert_eq!((acme.left().await.as_str(), acme.balance().await.sources[0].limit.as_str()), ("120", "120"));
    server.clock.set("2026-03-18T00:00:00Z");
    // 100 were left of February's own; the 20 of January are gone.
    assert_eq!(acme.left().await, "130");
    acme.used(&images(130)).await;
    acme.denied(&images(1)).await;
    server.clock.set("2026-04-18T00:00:00Z");
    assert_eq!(acme.left().await, "100");
}

#[tokio::test]
async fn a_pot_of_seats_rolls_over_what_all_seats_left() {
    let team = "team: {allowances: [{meter: units, amount: 10, per: seat, pool: shared, rollover: {cap: 100}}]}";
    let server = Server::start(&plans(&[team]), "2026-01-18T12:00:00Z").await;
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| request.seats = Some(3)).await.unwrap();
    acme.used(&images(5)).await;
    server.clock.set("2026-02-18T00:00:00Z");
    assert_eq!(acme.left().await, "55");
}

#[tokio::test]
async fn a_reservation_settled_after_its_period_is_charged_to_it() {
    let server = Server::start(&monthly("10"), "2026-01-18T12:00:00Z").await;
    let acme = server.customer("acme", "pro").await;
    server.clock.set("2026-02-17T23:59:00Z");
    let [whole, part, none] = [images(3), images(3), images(3)];
    for ask in [&whole, &part, &none] {
        acme.held(ask).await;
    }
    server.clock.set("2026-02-18T00:01:00Z");
    assert_eq!(acme.left().await, "10");
    let committed = acme.committed(whole.key()).await;
    assert_eq!(paid_by(&committed), "allowance units 3");
    assert_eq!(committed.legs[0].period, "2026-01-18");
    acme.delivered(part.key(), outputs(1)).await;
    acme.release(none.key(), |_| {}).await.unwrap();
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.committed.as_str(), balance.reserved.as_str()), ("10", "0", "0"));
}

#[tokio::test]
async fn a_subscription_that_began_earlier_is_in_the_period_of_now() {
    let server = Server::start(&monthly("10"), "2026-05-03T12:00:00Z").await;
    let acme = server.subject("acme").await;
    acme.subscribe("pro", |request| request.start_time = Some(time("2025-11-30T08:00:00Z"))).await.unwrap();
    let balance = acme.all_balances("").await;
    assert_eq!(instant(balance.period_start_time.as_ref()), "2026-04-30T00:00:00Z");
    assert_eq!(instant(balance.period_end_time.as_ref()), "2026-05-30T00:00:00Z");
    let shown = acme.shown().await.unwrap().subscription.unwrap();
    assert_eq!(instant(shown.period_start_time.as_ref()), "2026-04-30T00:00:00Z");
}
