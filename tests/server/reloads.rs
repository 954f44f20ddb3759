//! Another catalog while the server serves: R9, P14.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use genquota::app::Reloaded;
use genquota::proto::v1::reserve_response::Outcome;
use genquota::proto::v1::{BillingInterval, State};
use tokio::task::JoinSet;

use crate::ask::{images, outputs};
use crate::caller::Caller;
use crate::catalogs::{monthly, plans};
use crate::harness::{Setup, eventually};
use crate::lab::{self, Kind, Settings};

const NOON: &str = "2026-03-10T12:00:00Z";
const CALLERS: usize = 4;
const RELOADS: usize = 100;

/// An edition that is named `e`, a number and a point; an image counts and costs so many times as much as its number says.
fn edition(number: usize) -> String {
    let times = times(number);
    let text = monthly("1000000").replace("version: \"tests\"", &format!("version: e{number}"));
    text.replace("rate: 1}", &format!("rate: {times}}}")).replace("price: 0.01", &format!("price: 0.0{times}"))
}

fn times(number: usize) -> usize {
    1 + number % 4
}

/// The number of the edition that a version names.
fn number(version: &str) -> usize {
    version.strip_prefix('e').and_then(|rest| rest.split_once('.')).unwrap().0.parse().unwrap()
}

/// Quotes, reserves and commits until it is told to stop. What each edition judged, in images and units.
async fn call(acme: Caller, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> BTreeMap<usize, (usize, usize)> {
    let mut judged = BTreeMap::new();
    while !stop.load(Ordering::SeqCst) {
        let ask = images(2);
        let quotation = acme.quote(&ask, &["lab/small", "lab/big"]).await.unwrap();
        let times_quoted = times(number(&quotation.catalog_version));
        for offer in &quotation.offers {
            assert_eq!(offer.units, (2 * times_quoted).to_string(), "{}", quotation.catalog_version);
        }
        let held = acme.held(&ask).await;
        let by = number(&held.catalog_version);
        assert_eq!(held.units_reserved, (2 * times(by)).to_string(), "{}", held.catalog_version);
        assert_eq!(held.cost_reserved, format!("0.0{}", 2 * times(by)), "{}", held.catalog_version);
        // More is delivered than was held, and counted by the edition that held.
        let answer = acme.commit(ask.key(), |request| request.work = Some(outputs(3))).await.unwrap();
        let committed = answer.reservation.unwrap();
        assert_eq!(committed.units_committed, (3 * times(by)).to_string(), "{}", held.catalog_version);
        assert_eq!((&committed.catalog_version, &answer.events[0].catalog_version), (&held.catalog_version, &held.catalog_version));
        let (images, units) = judged.entry(by).or_insert((0, 0));
        (*images, *units) = (*images + 3, *units + 3 * times(by));
        done.fetch_add(1, Ordering::SeqCst);
    }
    judged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_decision_under_a_hundred_reloads_is_made_under_one_edition_and_counts_by_it() {
    let server = Setup::new(&edition(0), NOON).start().await;
    let acme = server.customer("acme", "pro").await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(acme.clone(), stop.clone(), done.clone()));
    }
    for reload in 0..=RELOADS {
        if reload > 0 {
            assert_eq!(number(&server.reloaded(&edition(reload)).await), reload);
        }
        // Each caller may have held under the edition before; one more has held under this one.
        let before = done.load(Ordering::SeqCst);
        eventually("calls go on", async || (done.load(Ordering::SeqCst) > before + CALLERS).then_some(())).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut judged: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for (edition, (images, units)) in callers.join_all().await.into_iter().flatten() {
        let sum = judged.entry(edition).or_default();
        *sum = (sum.0 + images, sum.1 + units);
    }
    for (edition, (images, units)) in &judged {
        assert_eq!(*units, images * times(*edition), "edition {edition}");
    }
    assert_eq!(judged.len(), RELOADS + 1, "every edition judged something");
    let units: usize = judged.values().map(|(_, units)| units).sum();
    let balance = acme.balance().await;
    assert_eq!((balance.committed, balance.reserved.as_str()), (units.to_string(), "0"));
}

#[tokio::test]
async fn a_hold_made_before_a_reload_is_settled_by_its_rates_after_it() {
    let server = Setup::new(&edition(0), NOON).start().await;
    let acme = server.customer("acme", "pro").await;
    let (fewer, more, given_back) = (images(2), images(2), images(2));
    for ask in [&fewer, &more, &given_back] {
        acme.held(ask).await;
    }
    server.reloaded(&edition(3)).await;
    let committed = acme.delivered(fewer.key(), outputs(1)).await;
    assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("1", "0.01"));
    let committed = acme.delivered(more.key(), outputs(4)).await;
    assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("4", "0.04"));
    acme.release(given_back.key(), |_| {}).await.unwrap();
    let held = acme.held(&images(2)).await;
    assert_eq!((held.units_reserved.as_str(), held.cost_reserved.as_str()), ("8", "0.08"));
    let balance = acme.balance().await;
    assert_eq!((balance.committed.as_str(), balance.reserved.as_str()), ("5", "8"));
}

#[tokio::test]
async fn a_raised_allowance_acts_at_once_and_gives_nothing_back_that_was_used() {
    let server = Setup::new(&monthly("10"), NOON).start().await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(8)).await;
    acme.denied(&images(3)).await;
    server.reloaded(&monthly("25")).await;
    assert_eq!(acme.left().await, "17");
    acme.used(&images(17)).await;
    acme.denied(&images(1)).await;
    let balance = acme.balance().await;
    assert_eq!((balance.committed.as_str(), balance.available.as_str()), ("25", "0"));
}

#[tokio::test]
async fn a_smaller_allowance_in_place_is_refused_and_changes_nothing() {
    let server = Setup::new(&monthly("25"), NOON).start().await;
    let acme = server.customer("acme", "pro").await;
    let version = acme.used(&images(8)).await.catalog_version;
    match server.reload(&monthly("10")).await {
        Reloaded::Rejected(problems) => {
            let said = problems.to_string();
            assert!(said.contains("plans.pro.allowances.units: gives 10 instead of 25"), "{said}");
            assert!(said.contains("hint: keep it, and let what is new begin by dated `terms`: `from: 2026-03-12` or later"), "{said}");
        }
        other => panic!("rejected: {other:?}"),
    }
    assert_eq!(acme.left().await, "17");
    assert_eq!(acme.used(&images(1)).await.catalog_version, version);
    // What is in the file says nothing of what may follow: the catalog in force does.
    assert!(matches!(server.reload(&monthly("24")).await, Reloaded::Rejected(_)));
    assert!(matches!(server.reload(&monthly("25")).await, Reloaded::Unchanged));
    server.reloaded(&monthly("26")).await;
    assert_eq!(acme.left().await, "17");
}

/// "10 per user from 25 February 2026."
#[tokio::test]
async fn dated_terms_begin_with_the_first_period_that_begins_under_them() {
    let of = |terms: &str| plans(&[&format!("core: {{terms: [{terms}]}}")]);
    let before = "{allowances: [{meter: units, amount: 25, per: user}]}";
    let server = Setup::new(&of(before), "2026-01-18T09:00:00Z").start().await;
    let (acme, late) = (server.customer("acme", "core").await, server.subject("late").await);
    server.clock.set("2026-02-20T12:00:00Z");
    acme.used(&images(20).user("u")).await;
    server.reloaded(&of(&format!("{before}, {{from: 2026-02-25, allowances: [{{meter: units, amount: 10, per: user}}]}}"))).await;
    assert_eq!(acme.left_for("u").await, "5");
    server.clock.set("2026-02-25T00:00:00Z");
    // A period that began before goes on as it was given; one that begins today is the new one's.
    assert_eq!(acme.left_for("u").await, "5");
    late.subscribe("core", |_| {}).await.unwrap();
    assert_eq!(late.left_for("u").await, "10");
    server.clock.set("2026-03-17T23:59:59Z");
    acme.used(&images(5).user("u")).await;
    server.clock.set("2026-03-18T00:00:00Z");
    assert_eq!(acme.left_for("u").await, "10");
    acme.denied(&images(11).user("u")).await;
}

#[tokio::test]
async fn dated_terms_leave_a_year_that_was_given_at_once_alone() {
    let terms = |month: u32, year: u32| {
        format!("allowances: [{{meter: units, amount: {month}, per: subject, billed_yearly: {{amount: {year}, every: year}}}}]")
    };
    let of = |more: &str| plans(&[&format!("core: {{terms: [{{{}}}{more}]}}", terms(10, 1200))]);
    let server = Setup::new(&of(""), "2026-01-18T09:00:00Z").start().await;
    let acme = server.subject("acme").await;
    acme.subscribe("core", |request| request.set_billing_interval(BillingInterval::Year)).await.unwrap();
    acme.used(&images(200)).await;
    server.reloaded(&of(&format!(", {{from: 2026-06-01, {}}}", terms(5, 600)))).await;
    server.clock.set("2026-07-20T00:00:00Z");
    assert_eq!(acme.left().await, "1000");
    server.clock.set("2027-01-18T00:00:00Z");
    assert_eq!(acme.left().await, "600");
}

#[tokio::test]
async fn a_catalog_is_not_in_force_before_a_store_that_was_away_has_kept_it() {
    let mut redis = lab::Server::start(Kind::Redis7, Settings::default().aof(lab::Aof::Always));
    let now = jiff::Timestamp::now().to_string();
    let setup = Setup::new(&edition(0), &now).with("store", &[&redis.url()]).with("catalog_reload", &["100ms"]);
    let directory = setup.path("journal").display().to_string();
    let server = setup.with("journal", &[&directory]).start().await;
    let acme = server.customer("acme", "pro").await;
    let (before, during) = (images(1), images(1));
    acme.held(&before).await;
    acme.held(&during).await;
    server.reloaded(&edition(1)).await;
    redis.kill();
    assert!(matches!(server.reload(&edition(2)).await, Reloaded::NotKept(_)));
    // A hold of the first edition, settled while its text cannot be asked for.
    let answer = acme.commit(during.key(), |_| {}).await.unwrap();
    assert!(answer.queued, "{answer:?}");
    redis.restart();
    eventually("the waiting catalog is in force", async || {
        let held = acme.reserve(&images(1)).await.ok()?;
        match held.outcome? {
            Outcome::Reservation(held) if number(&held.catalog_version) == 2 => Some(held.catalog_version),
            _ => None,
        }
    })
    .await;
    let queued = eventually("what was queued is charged", async || {
        let reservation = acme.reservation(during.key()).await.ok()?;
        (reservation.state() == State::Committed).then_some(reservation)
    })
    .await;
    assert_eq!((number(&queued.catalog_version), queued.units_committed.as_str()), (0, "1"));
    let committed = acme.delivered(before.key(), outputs(2)).await;
    assert_eq!(committed.units_committed, "2", "by the first edition");
}
