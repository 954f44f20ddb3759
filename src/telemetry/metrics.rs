//! Metrics: one set of instruments, shown as Prometheus text and pushed as OTLP.
//!
//! Owns every instrument and every label value. What speaks of the ledger comes from the ledger's own events, through
//! [`Metrics::observe`] and nothing else, and is kept as whole numbers ([`ledger`]). Labels are bounded: a name that no catalog knows is
//! `other`, and none ever says who.

mod catalogs;
mod doors;
mod envoy;
mod ledger;
mod reading;
mod store;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use prometheus::{Encoder as _, Registry, TextEncoder};

use self::catalogs::Catalogs;
pub use self::catalogs::ReloadResult;
use self::doors::Doors;
pub use self::doors::Refusal;
use self::envoy::Envoy;
pub use self::envoy::{EnvoyFilter, EnvoyResult};
use self::ledger::Tables;
pub use self::reading::Reading;
pub(super) use self::store::error_name;
use super::names::{self, Metric};
use crate::domain::catalog::Catalog;
use crate::domain::denial::DenialReason;
use crate::domain::ids::ActionId;
use crate::domain::ledger::Event;
use crate::store::StoreError;
use crate::store::metered::Operation;

/// Upper bounds of durations, in seconds: from a store in memory to the longest a request may take by default.
const SECONDS: [f64; 15] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper bounds of batches: up to the largest of the embedded store.
const BATCHES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// All metrics of a process.
pub struct Metrics {
    provider: SdkMeterProvider,
    meter: Meter,
    registry: Registry,
    tables: Arc<Tables>,
    catalogs: Catalogs,
    doors: Doors,
    envoy: Envoy,
    calls: Histogram<f64>,
    store_duration: Histogram<f64>,
    store_errors: Counter<u64>,
    store_batch: Histogram<u64>,
    /// One for each operation, in their order.
    operations: Vec<[KeyValue; 1]>,
}

impl Metrics {
    /// Metrics that are shown, and read by nobody else.
    pub fn local() -> Self {
        Self::build(Resource::builder().with_service_name(names::SCOPE).build(), |builder| builder)
    }

    /// Metrics of a service, which further readers may collect.
    pub(super) fn build(resource: Resource, readers: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder) -> Self {
        let registry = Registry::new();
        let shown = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
        let shown = shown.build().expect("a registry of its own has no other collector");
        Self::with_reader(registry, shown, resource, readers)
    }

    fn with_reader(
        registry: Registry,
        shown: impl MetricReader,
        resource: Resource,
        readers: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder,
    ) -> Self {
        let provider = readers(SdkMeterProvider::builder().with_resource(resource).with_reader(shown)).build();
        let scope = InstrumentationScope::builder(names::SCOPE).with_schema_url(names::SCHEMA_URL).build();
        let meter = provider.meter_with_scope(scope);
        let tables = Arc::new(Tables::default());
        ledger::register(&meter, &tables);
        let catalogs = Catalogs::register(&meter);
        let doors = Doors::register(&meter);
        let envoy = Envoy::register(&meter);
        store::build_info(&meter);
        let store_errors = meter.u64_counter(names::STORE_ERRORS.name);
        let store_errors = store_errors.with_description(names::STORE_ERRORS.about).with_unit(names::STORE_ERRORS.unit).build();
        let operations = Operation::ALL.map(|operation| [KeyValue::new("operation", operation.name())]).to_vec();
        for [operation] in &operations {
            // Who looks for a rise must have seen a zero.
            store::ERRORS.iter().for_each(|name| store_errors.add(0, &[operation.clone(), KeyValue::new("error", *name)]));
        }
        Self {
            calls: seconds(&meter, &names::CALLS),
            store_duration: seconds(&meter, &names::STORE_DURATION),
            store_errors,
            store_batch: store::batches(&meter),
            operations,
            provider,
            meter,
            registry,
            tables,
            catalogs,
            doors,
            envoy,
        }
    }

    /// Takes the names of a catalog for known, and says that it is the one in force. What can be counted of it is there at once, at zero.
    pub fn knows(&self, catalog: &Catalog, since: Timestamp) {
        self.tables.knows(catalog);
        self.catalogs.in_force(&catalog.version, since);
    }

    /// Counts a reload of the catalog.
    pub fn reloaded(&self, result: ReloadResult) {
        self.catalogs.reloaded(result);
    }

    /// Counts a call, a page or a connection that was refused.
    pub fn refused(&self, refusal: Refusal) {
        self.doors.refused(refusal);
    }

    /// Counts what came of something that Envoy asked.
    pub fn asked_by_envoy(&self, filter: EnvoyFilter, result: EnvoyResult) {
        self.envoy.asked(filter, result);
    }

    /// Counts a change of the ledger that this process brought about, once it is durable.
    pub fn observe(&self, event: &Event) {
        self.tables.observe(event);
    }

    /// Counts a denial, of an action where that is known. It changes nothing, so the ledger has no event of it.
    pub(super) fn denied(&self, reason: DenialReason, action: Option<&ActionId>, is_unpriced: bool) {
        self.tables.denied(reason, action, is_unpriced);
    }

    /// Counts a call that was answered with a status.
    pub(super) fn called(&self, method: &KeyValue, status: &'static str, took: Duration) {
        let system = KeyValue::new(names::attribute::RPC_SYSTEM, names::RPC_SYSTEM);
        self.calls.record(took.as_secs_f64(), &[system, method.clone(), KeyValue::new(names::attribute::RPC_STATUS, status)]);
    }

    /// Counts an answer of the store, or that there was none.
    pub(super) fn answered(&self, operation: Operation, took: Duration, error: Option<&StoreError>) {
        let attributes = &self.operations[operation.index()];
        self.store_duration.record(took.as_secs_f64(), attributes);
        if let Some(error) = error {
            self.store_errors.add(1, &[attributes[0].clone(), KeyValue::new("error", store::error_name(error))]);
        }
    }

    /// Counts operations that the store took up together.
    pub fn batch(&self, operations: usize) {
        self.store_batch.record(operations as u64, &[]);
    }

    /// Shows a number as it is when it is asked for; `None`: there is none any more.
    pub fn watch(&self, metric: &Metric, look: impl Fn() -> Option<usize> + Send + Sync + 'static) {
        let gauge = self.meter.u64_observable_gauge(metric.name).with_description(metric.about).with_unit(metric.unit);
        // The instrument lives in the provider; what is returned is only a handle.
        let _ = gauge.with_callback(move |told| look().into_iter().for_each(|number| told.observe(number as u64, &[]))).build();
    }

    /// Shows a duration as it is when it is asked for; `None`: there is none.
    pub fn watch_seconds(&self, metric: &Metric, look: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        let gauge = self.meter.f64_observable_gauge(metric.name).with_description(metric.about).with_unit(metric.unit);
        let _ = gauge.with_callback(move |told| look().into_iter().for_each(|lasted| told.observe(lasted.as_secs_f64(), &[]))).build();
    }

    /// Everything as it is now, for whoever shows some of it.
    pub fn read(&self) -> Reading {
        Reading::of(self.registry.gather())
    }

    /// Everything as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "the metrics cannot be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }

    pub(super) fn provider(&self) -> &SdkMeterProvider {
        &self.provider
    }
}

fn seconds(meter: &Meter, metric: &Metric) -> Histogram<f64> {
    meter.f64_histogram(metric.name).with_description(metric.about).with_unit(metric.unit).with_boundaries(SECONDS.to_vec()).build()
}

#[cfg(test)]
mod tests;
