//! How this sidecar is: its phase, store, journal and catalog, and what it has counted since it began.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Operations;
use super::shown::{Count, Moment};
use crate::http::health::{CatalogHealth, Phase, Reason, StoreHealth};
use crate::telemetry::{Reading, names};

/// What the probes say, and what stands behind it.
#[derive(Debug, Serialize)]
pub(super) struct Sidecar {
    pub ready: bool,
    pub phase: &'static str,
    /// What is not as it should be.
    pub reasons: Vec<Reason>,
    pub version: &'static str,
    pub revision: &'static str,
    /// Since when this process runs, and so counts.
    pub since: Moment,
    pub store: StoreShown,
    /// `None`: there is none.
    pub journal: Option<JournalShown>,
    pub catalog: CatalogShown,
}

#[derive(Debug, Serialize)]
pub(super) struct StoreShown {
    pub address: String,
    pub state: &'static str,
    pub well: bool,
    /// Operations that wait for it; `None` where it has no queue.
    pub waiting: Option<f64>,
    /// Times it gave no answer, by why, without those that never happened.
    pub errors: Vec<Count>,
}

#[derive(Debug, Serialize)]
pub(super) struct JournalShown {
    pub queued: f64,
    pub dead: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct CatalogShown {
    pub version: String,
    pub since: Option<Moment>,
    pub state: &'static str,
    pub stale: bool,
}

/// What this process has done with reservations.
#[derive(Debug, Serialize)]
pub(super) struct Holds {
    pub held: f64,
    pub settled: f64,
    pub expired: f64,
    pub late: f64,
}

impl Sidecar {
    pub(super) fn of(operations: &Operations, reading: &Reading) -> Self {
        let health = operations.health.state();
        let number = |metric| reading.total(metric);
        Self {
            ready: health.is_ready(),
            phase: phase(health.phase),
            reasons: health.reasons(),
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("GENQUOTA_REVISION"),
            since: Moment::of(operations.since),
            store: StoreShown {
                address: operations.store.to_string(),
                state: store(health.store),
                well: health.store == StoreHealth::Answering,
                waiting: number(&names::STORE_QUEUE),
                errors: counts(reading, &names::STORE_ERRORS, "error").into_iter().filter(|count| count.number > 0.0).collect(),
            },
            journal: number(&names::JOURNAL_QUEUED).zip(number(&names::JOURNAL_DEAD)).map(|(queued, dead)| JournalShown { queued, dead }),
            catalog: CatalogShown {
                version: operations.service.catalog().version.to_string(),
                since: number(&names::CATALOG_LOADED).and_then(instant).map(Moment::of),
                state: catalog(health.catalog),
                stale: health.catalog != CatalogHealth::InForce,
            },
        }
    }
}

impl Holds {
    pub(super) fn of(reading: &Reading) -> Self {
        let number = |metric| reading.total(metric).unwrap_or_default();
        Self { held: number(&names::HELD), settled: number(&names::SETTLED), expired: number(&names::EXPIRED), late: number(&names::LATE) }
    }
}

/// Denials by the reason that names them, the most frequent first.
pub(super) fn denials(reading: &Reading) -> Vec<Count> {
    counts(reading, &names::DENIALS, "reason")
}

fn counts(reading: &Reading, metric: &names::Metric, label: &str) -> Vec<Count> {
    let mut counts: Vec<Count> = reading.by(metric, label).into_iter().map(|(name, number)| Count { name, number }).collect();
    counts.sort_by(|left, right| right.number.total_cmp(&left.number));
    counts
}

/// Seconds since 1970.
fn instant(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_duration(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Serving => "serving",
        Phase::Draining => "draining",
    }
}

fn store(store: StoreHealth) -> &'static str {
    match store {
        StoreHealth::Answering => "answers",
        StoreHealth::SilentClosed => "gives no answer; work is refused",
        StoreHealth::SilentOpen => "gives no answer; a bounded amount of work passes",
        StoreHealth::DataLost => "has lost data; an operator must act",
    }
}

fn catalog(catalog: CatalogHealth) -> &'static str {
    match catalog {
        CatalogHealth::InForce => "in force",
        CatalogHealth::Rejected => "in force; its file is wrong and not taken",
        CatalogHealth::Unreadable => "in force; its file cannot be read",
        CatalogHealth::NotKept => "in force; what its file says now waits for the store",
    }
}
