//! Which catalog is in force, since when, and what came of its reloads.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::domain::ids::CatalogVersion;
use crate::telemetry::names;

/// What came of a reload of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// What the file says is in force.
    Ok,
    /// It has problems, or would take away what was issued.
    Rejected,
    /// It cannot be read.
    Unreadable,
    /// It is valid, and the store did not keep it.
    NotKept,
}

impl ReloadResult {
    const ALL: [Self; 4] = [Self::Ok, Self::Rejected, Self::Unreadable, Self::NotKept];

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Unreadable => "unreadable",
            Self::NotKept => "not_kept",
        }
    }
}

pub(super) struct Catalogs {
    /// The catalog that judges new requests, once there is one.
    in_force: Arc<RwLock<Option<InForce>>>,
    reloads: Counter<u64>,
}

struct InForce {
    version: KeyValue,
    since: Timestamp,
}

impl Catalogs {
    pub(super) fn register(meter: &Meter) -> Self {
        let in_force = Arc::new(RwLock::new(None));
        let known: Arc<RwLock<Option<InForce>>> = in_force.clone();
        let metric = &names::CATALOG_INFO;
        let gauge = meter.u64_observable_gauge(metric.name).with_description(metric.about);
        let _ = gauge
            .with_callback(move |told| {
                if let Some(InForce { version, .. }) = &*known.read().unwrap_or_else(PoisonError::into_inner) {
                    told.observe(1, std::slice::from_ref(version));
                }
            })
            .build();
        let known = in_force.clone();
        let metric = &names::CATALOG_LOADED;
        let gauge = meter.f64_observable_gauge(metric.name).with_description(metric.about).with_unit(metric.unit);
        let _ = gauge
            .with_callback(move |told| {
                if let Some(InForce { since, .. }) = &*known.read().unwrap_or_else(PoisonError::into_inner) {
                    told.observe(since.as_duration().as_secs_f64(), &[]);
                }
            })
            .build();
        let metric = &names::CATALOG_RELOADS;
        let reloads = meter.u64_counter(metric.name).with_description(metric.about).with_unit(metric.unit).build();
        let catalogs = Self { in_force, reloads };
        // Who looks for a rise must have seen a zero.
        ReloadResult::ALL.into_iter().for_each(|result| catalogs.add(0, result));
        catalogs
    }

    pub(super) fn in_force(&self, version: &CatalogVersion, since: Timestamp) {
        let version = KeyValue::new("version", version.as_str().to_owned());
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Some(InForce { version, since });
    }

    pub(super) fn reloaded(&self, result: ReloadResult) {
        self.add(1, result);
    }

    fn add(&self, number: u64, result: ReloadResult) {
        self.reloads.add(number, &[KeyValue::new("result", result.name())]);
    }
}
