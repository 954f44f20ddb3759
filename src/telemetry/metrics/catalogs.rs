//! Which catalog is in force.

use std::sync::{Arc, PoisonError, RwLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::domain::ids::CatalogVersion;
use crate::telemetry::names;

/// The version that judges new requests, once there is one.
#[derive(Default)]
pub(super) struct Catalogs(Arc<RwLock<Option<KeyValue>>>);

impl Catalogs {
    pub(super) fn in_force(&self, version: &CatalogVersion) {
        let version = KeyValue::new("version", version.as_str().to_owned());
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(version);
    }

    pub(super) fn register(&self, meter: &Meter) {
        let metric = &names::CATALOG_INFO;
        let known = self.0.clone();
        let gauge = meter.u64_observable_gauge(metric.name).with_description(metric.about);
        let _ = gauge
            .with_callback(move |told| {
                if let Some(version) = &*known.read().unwrap_or_else(PoisonError::into_inner) {
                    told.observe(1, std::slice::from_ref(version));
                }
            })
            .build();
    }
}
