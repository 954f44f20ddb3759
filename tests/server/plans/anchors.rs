//! Every boundary of three years, from the last days of a month and through leap years and daylight saving: P2, P3.

use genquota::proto::v1::BillingInterval;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::administrator::Change;
use crate::ask::{images, instant};
use crate::catalogs::plans;
use crate::harness::Server;

/// Shorter than this, no clock of ours tells instants apart.
const TICK: SignedDuration = SignedDuration::from_millis(1);

fn offers() -> String {
    plans(&[
        "pro: {rank: 1, allowances: [{meter: units, amount: 10, per: subject}]}",
        "max: {rank: 2, allowances: [{meter: units, amount: 30, per: subject}]}",
        "upfront: {rank: 3, allowances: [{id: year, meter: units, amount: 60, per: subject, billed_yearly: {amount: 720, every: year}}]}",
    ])
}

/// The day of a month, or the last one where it has fewer; the first instant of it in a zone.
fn boundary(zone: &TimeZone, day: i8, month: i16) -> Timestamp {
    let first = Date::new(2026 + (month - 1) / 12, i8::try_from((month - 1) % 12 + 1).unwrap(), 1).unwrap();
    let date = Date::new(first.year(), first.month(), day.min(first.days_in_month())).unwrap();
    zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().unwrap()
}

/// Four subscriptions that began on 28, 29, 30 and 31 January 2026, through 36 months.
async fn three_years_in(name: &str) {
    let zone = TimeZone::get(name).unwrap();
    let server = Server::start(&offers(), "2026-01-01T00:00:00Z").await;
    let mut subscribed = Vec::new();
    for day in 28..=31 {
        server.clock.set(&(boundary(&zone, day, 1) + SignedDuration::from_hours(7)).to_string());
        let acme = server.subject(&format!("on-{day}")).await;
        acme.subscribe("pro", |request| request.time_zone = name.to_owned()).await.unwrap();
        subscribed.push((day, acme));
    }
    for month in 2..=37 {
        for (day, acme) in &subscribed {
            let (begins, ends) = (boundary(&zone, *day, month), boundary(&zone, *day, month + 1));
            server.clock.set(&(begins - TICK).to_string());
            assert_eq!(instant(acme.all_balances("").await.period_end_time.as_ref()), begins.to_string(), "{name} {day}");
            acme.used(&images(10)).await;
            acme.denied(&images(1)).await;
            server.clock.set(&begins.to_string());
            let balance = acme.all_balances("").await;
            assert_eq!(balance.balances[0].available, "10", "{name} {day} {begins}");
            assert_eq!(instant(balance.period_start_time.as_ref()), begins.to_string());
            assert_eq!(instant(balance.period_end_time.as_ref()), ends.to_string());
        }
    }
}

#[tokio::test]
async fn months_of_utc() {
    three_years_in("UTC").await;
}

#[tokio::test]
async fn months_where_clocks_go_forward_and_back() {
    three_years_in("America/New_York").await;
}

/// In Cairo the day on which clocks go forward begins at one.
#[tokio::test]
async fn months_where_midnight_may_be_skipped() {
    three_years_in("Africa/Cairo").await;
}

/// On Lord Howe clocks move by half an hour.
#[tokio::test]
async fn months_where_clocks_move_by_half_an_hour() {
    three_years_in("Australia/Lord_Howe").await;
}

#[tokio::test]
async fn years_from_a_leap_day() {
    let server = Server::start(&offers(), "2024-02-29T12:00:00Z").await;
    let acme = server.subject("acme").await;
    acme.subscribe("upfront", |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
    for begins in ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28"] {
        let begins: Timestamp = format!("{begins}T00:00:00Z").parse().unwrap();
        server.clock.set(&(begins - TICK).to_string());
        acme.used(&images(720)).await;
        acme.denied(&images(1)).await;
        server.clock.set(&begins.to_string());
        assert_eq!(acme.left().await, "720", "{begins}");
    }
}

/// What is taken less of acts at the very boundary, wherever it falls.
#[tokio::test]
async fn a_lower_plan_and_an_end_act_at_the_boundary_of_the_zone() {
    let server = Server::start(&offers(), "2026-02-28T12:00:00Z").await;
    let mut customers = Vec::new();
    for name in ["lower", "cancelled"] {
        let acme = server.subject(name).await;
        acme.subscribe("max", |request| request.time_zone = "America/New_York".to_owned()).await.unwrap();
        customers.push(acme);
    }
    customers[0].changed(Change::Plan("pro")).await;
    customers[1].changed(Change::Cancel).await;
    // Clocks went forward on 8 March: midnight is at four.
    server.clock.set("2026-03-28T03:59:59.999Z");
    for acme in &customers {
        assert_eq!(acme.left().await, "30");
    }
    server.clock.set("2026-03-28T04:00:00Z");
    assert_eq!(customers[0].left().await, "10");
    customers[1].denied_for(&images(1), genquota::proto::v1::DenialReason::NoSubscription).await;
}

/// Half of the hours are gone, not half of the days: March has an hour less there.
#[tokio::test]
async fn an_upgrade_is_prorated_by_the_hours_that_there_are() {
    let hourly = plans(&[
        "low: {rank: 1, allowances: [{meter: units, amount: 743, per: subject}]}",
        "high: {rank: 2, allowances: [{meter: units, amount: 1486, per: subject}]}",
    ]);
    let server = Server::start(&hourly, "2026-03-01T12:00:00Z").await;
    let acme = server.subject("acme").await;
    acme.subscribe("low", |request| request.time_zone = "America/New_York".to_owned()).await.unwrap();
    // 2026-03-31 00:00 in New York: a day of the 743 hours is left.
    server.clock.set("2026-03-31T04:00:00Z");
    acme.changed(Change::Plan("high")).await;
    assert_eq!(acme.left().await, "767");
}
