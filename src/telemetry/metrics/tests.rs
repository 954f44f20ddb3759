//! What changes of the ledger come to in the text of `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::domain::amount::Micros;
use crate::domain::catalog::CreditPolicy;
use crate::domain::counting::{Action, Charging};
use crate::domain::envoy::Envoy;
use crate::domain::ids::{CatalogVersion, PlanId, RequestId, TierId};
use crate::domain::ledger::{EventKind, Fingerprint, Row, State};
use crate::domain::price_book::{PriceBook, PricedTarget, Unpriced};
use crate::domain::reservation::Refund;
use crate::telemetry::tests::{event, row, target};

/// One free action, and two targets, the second cheaper.
fn catalog() -> Catalog {
    let action = ActionId::new("image.generate").unwrap();
    let targets = [("a/dear", "premium"), ("a/cheap", "basic")];
    let priced = |tier: &str| PricedTarget { tier: TierId::new(tier).unwrap(), prices: Vec::new() };
    Catalog {
        version: CatalogVersion::new("v1").unwrap(),
        meters: BTreeMap::new(),
        actions: BTreeMap::from([(
            action.clone(),
            Action { id: action, charge: Charging::Free, measures: BTreeSet::new(), attributes: BTreeMap::new() },
        )]),
        plans: BTreeMap::new(),
        default_plan: None,
        caps: Vec::new(),
        price_book: PriceBook {
            currency: Box::from("USD"),
            unpriced: Unpriced::Refuse,
            targets: targets.into_iter().map(|(name, tier)| (target(name), priced(tier))).collect(),
        },
        credits: CreditPolicy::default(),
        near_limit_percent: 80,
        envoy: Envoy::default(),
    }
}

fn metrics() -> Metrics {
    let metrics = Metrics::local();
    metrics.knows(&catalog(), jiff::Timestamp::UNIX_EPOCH);
    metrics
}

/// The values of the series of a name whose labels hold all of `labels`.
fn values(metrics: &Metrics, name: &str, labels: &[&str]) -> Vec<f64> {
    let text = metrics.text();
    let series = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let fitting = series.filter(|line| labels.iter().all(|label| line.contains(label)));
    fitting.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn what_is_known_is_there_at_zero_before_anything_happens() {
    let metrics = metrics();
    assert_eq!(values(&metrics, "genquota_cost_shift_up_total", &["provider=\"a\""]), [0.0, 0.0]);
    assert_eq!(values(&metrics, "genquota_denials_total", &["action=\"image.generate\""]), [0.0; 8]);
    assert_eq!(values(&metrics, "genquota_reservations_expired_total", &[]), [0.0]);
    assert_eq!(values(&metrics, "genquota_store_errors_total", &["error=\"unavailable\""]), [0.0; 10]);
    assert_eq!(values(&metrics, "genquota_catalog_info", &["version=\"v1\""]).len(), 1);
}

#[test]
fn a_refund_counts_what_went_back_where_it_was_charged_and_lowers_nothing() {
    let metrics = metrics();
    let committed = row(State::Committed, "a/dear", "a/cheap");
    metrics.observe(&event(EventKind::Committed, committed.clone()));
    let mut detail = (*committed.detail).clone();
    let refund = |units| Refund {
        request: RequestId::new("f1").unwrap(),
        fingerprint: Fingerprint([1; 16]),
        units: Micros::new(units).unwrap(),
        overage: Micros::ZERO,
        time: committed.create_time,
        note: "".into(),
    };
    for units in [1_500_000, 500_000] {
        detail.refunds.push(refund(units));
        metrics.observe(&event(EventKind::Refunded, Row { detail: Arc::new(detail.clone()), ..committed.clone() }));
    }
    let labels = ["model=\"dear\"", "outcome=\"accepted\"", "reason=\"first\""];
    assert_eq!(values(&metrics, "genquota_refunded_total", &labels), [2.0]);
    assert_eq!(values(&metrics, "genquota_attempts_total", &labels), [1.0]);
    assert_eq!(values(&metrics, "genquota_reservations_settled_total", &[]).iter().sum::<f64>(), 1.0);
}

#[test]
fn an_attempt_that_ended_is_counted_where_it_ran_with_its_cost_and_shift() {
    let metrics = metrics();
    metrics.observe(&event(EventKind::Reserved, row(State::Held, "a/dear", "a/cheap")));
    metrics.observe(&event(EventKind::Committed, row(State::Committed, "a/dear", "a/cheap")));
    let labels = [
        "provider=\"a\"",
        "model=\"dear\"",
        "tier=\"premium\"",
        "action=\"image.generate\"",
        "plan=\"pro\"",
        "outcome=\"accepted\"",
        "reason=\"first\"",
    ];
    for (name, value) in [("attempts", 1.0), ("generations", 1.0), ("outputs", 2.0), ("units", 2.0), ("overage", 0.0), ("cost", 0.5)] {
        assert_eq!(values(&metrics, &format!("genquota_{name}_total"), &labels), [value], "{name}");
    }
    let of_target = ["model=\"dear\"", "currency=\"USD\""];
    for (name, value) in [("cost_shift_up", 0.3), ("cost_shift_down", 0.0), ("failovers", 1.0)] {
        assert_eq!(values(&metrics, &format!("genquota_{name}_total"), &of_target), [value], "{name}");
    }
    let action = ["action=\"image.generate\""];
    for (name, value) in [("held", 1.0), ("settled", 1.0), ("expired", 0.0), ("late", 0.0)] {
        assert_eq!(values(&metrics, &format!("genquota_reservations_{name}_total"), &action), [value], "{name}");
    }
}

#[test]
fn a_hold_that_expired_and_was_committed_after_all_is_expired_and_late() {
    let metrics = metrics();
    metrics.observe(&event(EventKind::Expired, row(State::Expired, "a/cheap", "a/cheap")));
    metrics.observe(&event(EventKind::Committed, Row { late: true, ..row(State::Committed, "a/cheap", "a/cheap") }));
    assert_eq!(values(&metrics, "genquota_reservations_expired_total", &[]), [1.0]);
    assert_eq!(values(&metrics, "genquota_reservations_late_total", &[]), [1.0]);
    assert_eq!(values(&metrics, "genquota_reservations_settled_total", &[]), [0.0]);
    assert_eq!(values(&metrics, "genquota_attempts_total", &["outcome=\"expired\""]), [1.0]);
    // It is one attempt of one generation, and it did cost.
    assert_eq!(values(&metrics, "genquota_generations_total", &["outcome=\"accepted\""]), [0.0]);
    assert_eq!(values(&metrics, "genquota_attempts_total", &["outcome=\"accepted\""]), [0.0]);
    assert_eq!(values(&metrics, "genquota_cost_total", &["outcome=\"accepted\""]), [0.5]);
}

#[test]
fn names_that_no_catalog_knows_are_other_however_many_there_are() {
    let metrics = metrics();
    for number in 0..100 {
        metrics.observe(&event(EventKind::Committed, row(State::Committed, &format!("forged-{number}/x"), "a/cheap")));
    }
    assert!(!metrics.text().contains("forged"));
    assert_eq!(values(&metrics, "genquota_attempts_total", &["provider=\"other\"", "model=\"other\""]), [100.0]);
}

#[test]
fn series_are_bounded_and_no_attempt_is_lost() {
    let metrics = metrics();
    for number in 0..3_000 {
        let mut row = row(State::Committed, "a/dear", "a/cheap");
        let mut detail = (*row.detail).clone();
        detail.plan = Some(PlanId::new(&format!("plan-{number}")).unwrap());
        row.detail = Arc::new(detail);
        metrics.observe(&event(EventKind::Committed, row));
    }
    let attempts = values(&metrics, "genquota_attempts_total", &[]);
    assert!(attempts.len() < 2_000, "{}", attempts.len());
    assert_eq!(attempts.iter().sum::<f64>(), 3_000.0);
}

#[test]
fn a_target_without_a_price_is_counted_refused_or_not() {
    let metrics = metrics();
    let mut unpriced = row(State::Held, "who/knows", "a/cheap");
    let mut detail = (*unpriced.detail).clone();
    detail.attempts[0].price_from = None;
    unpriced.detail = Arc::new(detail);
    metrics.observe(&event(EventKind::Reserved, unpriced));
    metrics.denied(DenialReason::UnpricedTarget, Some(&ActionId::new("image.generate").unwrap()), true);
    assert_eq!(values(&metrics, "genquota_unpriced_total", &["action=\"image.generate\""]), [2.0]);
}

#[test]
fn gauges_are_read_when_they_are_asked_for_and_leave_with_what_they_watch() {
    let metrics = metrics();
    let watched = Arc::new(AtomicUsize::new(3));
    let weak = Arc::downgrade(&watched);
    metrics.watch(&names::JOURNAL_QUEUED, move || weak.upgrade().map(|number| number.load(Ordering::Relaxed)));
    assert_eq!(values(&metrics, "genquota_journal_queued", &[]), [3.0]);
    drop(watched);
    assert_eq!(values(&metrics, "genquota_journal_queued", &[]), [0.0; 0]);
    let lag = Arc::new(Mutex::new(None));
    let looked = lag.clone();
    metrics.watch_seconds(&names::STREAM_LAG, move || *looked.lock().unwrap());
    assert_eq!(values(&metrics, "genquota_stream_lag_seconds", &[]), [0.0; 0]);
    *lag.lock().unwrap() = Some(Duration::from_millis(1_500));
    assert_eq!(values(&metrics, "genquota_stream_lag_seconds", &[]), [1.5]);
}

#[test]
fn durations_errors_and_batches_of_the_store_are_told_by_operation() {
    let metrics = metrics();
    metrics.answered(Operation::Reserve, Duration::from_millis(3), None);
    metrics.answered(Operation::Settle, Duration::from_millis(3), Some(&StoreError::Closing));
    metrics.batch(5);
    assert_eq!(values(&metrics, "genquota_store_duration_seconds_count", &["operation=\"reserve\""]), [1.0]);
    assert_eq!(values(&metrics, "genquota_store_duration_seconds_bucket", &["operation=\"reserve\"", "le=\"0.0025\""]), [0.0]);
    assert_eq!(values(&metrics, "genquota_store_duration_seconds_bucket", &["operation=\"reserve\"", "le=\"0.005\""]), [1.0]);
    assert_eq!(values(&metrics, "genquota_store_errors_total", &["operation=\"settle\"", "error=\"closing\""]), [1.0]);
    assert_eq!(values(&metrics, "genquota_store_batch_sum", &[]), [5.0]);
}

#[test]
fn what_is_read_for_people_is_what_prometheus_is_shown() {
    let metrics = metrics();
    let action = ActionId::new("image.generate").unwrap();
    for reason in [DenialReason::CapReached, DenialReason::CapReached, DenialReason::QuotaExhausted] {
        metrics.denied(reason, Some(&action), false);
    }
    metrics.watch(&names::JOURNAL_QUEUED, || Some(7));
    let reading = metrics.read();
    let denials = reading.by(&names::DENIALS, "reason");
    assert_eq!((denials.len(), denials["cap_reached"], denials["quota_exhausted"], denials["no_subscription"]), (8, 2.0, 1.0, 0.0));
    assert_eq!(reading.total(&names::DENIALS), Some(values(&metrics, "genquota_denials_total", &[]).into_iter().sum()));
    assert_eq!(reading.total(&names::JOURNAL_QUEUED), Some(7.0));
    // Nothing shows it, which is not the same as zero.
    assert_eq!(reading.total(&names::JOURNAL_DEAD), None);
}
