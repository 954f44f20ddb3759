//! Metrics of the store and of the program.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use super::BATCHES;
use crate::store::StoreError;
use crate::telemetry::names;

pub(super) fn batches(meter: &Meter) -> Histogram<u64> {
    let metric = &names::STORE_BATCH;
    let histogram = meter.u64_histogram(metric.name).with_description(metric.about).with_unit(metric.unit);
    histogram.with_boundaries(BATCHES.to_vec()).build()
}

pub(super) fn build_info(meter: &Meter) {
    let metric = &names::BUILD_INFO;
    let labels = [KeyValue::new("version", env!("CARGO_PKG_VERSION")), KeyValue::new("revision", env!("GENQUOTA_REVISION"))];
    let gauge = meter.u64_observable_gauge(metric.name).with_description(metric.about);
    let _ = gauge.with_callback(move |told| told.observe(1, &labels)).build();
}

/// Why a store gave no answer.
pub(super) const ERRORS: [&str; 4] = ["overloaded", "unavailable", "data_lost", "closing"];

pub(in crate::telemetry) fn error_name(error: &StoreError) -> &'static str {
    let [overloaded, unavailable, data_lost, closing] = ERRORS;
    match error {
        StoreError::Overloaded { .. } => overloaded,
        StoreError::Unavailable { .. } => unavailable,
        StoreError::DataLost { .. } => data_lost,
        StoreError::Closing => closing,
    }
}
