//! What the process tells about itself while it runs: logs, metrics, traces, and cost events as log records.
//!
//! Owns everything of OpenTelemetry and Prometheus, and the names that are used there. Never on the path of a decision: what cannot be
//! told is dropped, not waited for. Nothing leaves the process unless the `OTEL_*` variables name where to.

mod answer;
mod attributes;
mod call;
pub mod context;
mod cost_log;
mod environment;
mod export;
pub mod logs;
mod metrics;
pub mod names;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::task::JoinSet;

pub use self::answer::Asked;
pub use self::call::{CallLayer, Spanned};
use self::cost_log::CostLog;
pub use self::environment::{Environment, Protocol, Signal};
pub use self::export::ExportError;
pub use self::metrics::{EnvoyFilter, EnvoyResult, Metrics, Reading, Refusal, ReloadResult};
use self::names::attribute;
use crate::config::TelemetryConfig;
use crate::domain::event::CostEvent;
use crate::domain::ledger::Event;
use crate::store::StoreError;
use crate::store::metered::{Operation, Watcher};

/// The telemetry of a process.
pub struct Telemetry {
    metrics: Metrics,
    tracer: Option<SdkTracer>,
    takes_context: bool,
    cost_log: Option<CostLog>,
    providers: Providers,
}

/// What is exported, beside metrics.
#[derive(Default)]
struct Providers {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl Telemetry {
    /// Begins to export what the environment says. Must be called inside a runtime.
    pub fn start(environment: &Environment, config: TelemetryConfig) -> Result<Arc<Self>, ExportError> {
        for ignored in &environment.ignored {
            tracing::warn!(variable = ignored, "a variable of OpenTelemetry says what is not known here; it is ignored");
        }
        let resource = resource();
        let providers = Providers {
            traces: environment.traces.map(|protocol| export::traces(protocol, resource.clone())).transpose()?,
            logs: environment.logs.filter(|_| config.cost_log).map(|protocol| export::logs(protocol, resource.clone())).transpose()?,
        };
        if config.cost_log && providers.logs.is_none() {
            tracing::warn!("cost events are to be log records, and logs go nowhere: set `OTEL_EXPORTER_OTLP_ENDPOINT`");
        }
        let pushed = environment.metrics.map(export::metrics).transpose()?;
        let metrics = Metrics::build(resource, |builder| match pushed {
            Some(reader) => builder.with_reader(reader),
            None => builder,
        });
        if environment.traces.is_some() || environment.metrics.is_some() || providers.logs.is_some() {
            let is_on = |on: bool| if on { "otlp" } else { "none" };
            let (traces, logs) = (is_on(providers.traces.is_some()), is_on(providers.logs.is_some()));
            tracing::info!(traces, metrics = is_on(environment.metrics.is_some()), logs, "telemetry is exported");
        }
        Ok(Arc::new(Self::of(metrics, providers, environment.takes_context)))
    }

    /// Telemetry that exports nothing.
    pub fn local() -> Arc<Self> {
        Arc::new(Self::of(Metrics::local(), Providers::default(), true))
    }

    fn of(metrics: Metrics, providers: Providers, takes_context: bool) -> Self {
        let scope = InstrumentationScope::builder(names::SCOPE).with_schema_url(names::SCHEMA_URL).build();
        Self {
            metrics,
            tracer: providers.traces.as_ref().map(|provider| provider.tracer_with_scope(scope)),
            takes_context,
            cost_log: providers.logs.as_ref().map(CostLog::new),
            providers,
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Hears of every change of the ledger that this process brought about, once it is durable.
    pub fn observe(&self, event: &Event) {
        self.metrics.observe(event);
        if let Some(cost_log) = &self.cost_log
            && let Some(cost_event) = CostEvent::of(event)
        {
            cost_log.write(&cost_event);
        }
    }

    /// Sends what still waits, and ends. Returns after `within` whatever the collector does; what is left then is lost.
    pub async fn finish(&self, within: Duration) {
        let mut endings = JoinSet::new();
        if let Some(traces) = self.providers.traces.clone() {
            endings.spawn_blocking(move || traces.shutdown_with_timeout(within));
        }
        if let Some(logs) = self.providers.logs.clone() {
            endings.spawn_blocking(move || logs.shutdown_with_timeout(within));
        }
        let metrics = self.metrics.provider().clone();
        endings.spawn_blocking(move || metrics.shutdown_with_timeout(within));
        let ended = async { while endings.join_next().await.is_some() {} };
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::warn!(?within, "the collector takes too long: telemetry that was not sent is lost");
        }
        endings.detach_all();
    }
}

/// Answers of the store are measured, and are spans below the call that asked.
impl Watcher for Telemetry {
    fn answered(&self, operation: Operation, took: Duration, error: Option<&StoreError>) {
        self.metrics.answered(operation, took, error);
        let Some(tracer) = &self.tracer else { return };
        Context::map_current(|context| {
            if !context.span().is_recording() {
                return;
            }
            let end = opentelemetry::time::now();
            let attributes = [KeyValue::new(attribute::STORE_OPERATION, operation.name())];
            let builder = tracer.span_builder("store").with_kind(SpanKind::Internal).with_attributes(attributes);
            let mut span = builder.with_start_time(end.checked_sub(took).unwrap_or(end)).start_with_context(tracer, context);
            if let Some(error) = error {
                let name = metrics::error_name(error);
                span.set_attribute(KeyValue::new(attribute::ERROR_TYPE, name));
                span.set_status(Status::error(name));
            }
            span.end_with_timestamp(end);
        });
    }
}

/// What is said of the process with everything that is exported. The variables of OpenTelemetry count more than the name given here.
fn resource() -> Resource {
    let own = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string()),
    ];
    let is_named = |resource: &Resource| {
        let name = resource.get(&"service.name".into());
        name.is_some_and(|name| !name.as_str().starts_with("unknown_service"))
    };
    let given = Resource::builder().build();
    let mut builder = Resource::builder_empty().with_attributes(own);
    builder = builder.with_attributes(given.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    if !is_named(&given) {
        builder = builder.with_service_name(names::SCOPE);
    }
    builder.build()
}

#[cfg(test)]
mod tests;
