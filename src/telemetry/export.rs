//! The way out: exporters of OTLP over gRPC or HTTP, for the signals that the environment wants.
//!
//! Where to, with which headers, how compressed and how patient is read from the `OTEL_*` variables by the exporters. Each has a thread and
//! a bounded queue of its own, so whoever has something to tell never waits; what does not fit is dropped.

mod http;
mod told;

use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, MetricExporter, Protocol as Otlp, SpanExporter};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::SdkTracerProvider;

use self::told::Told;
use super::environment::{Protocol, Signal};

/// Why telemetry cannot be exported as the environment wants it.
#[derive(Debug, thiserror::Error)]
#[error("{signal} cannot be exported: {source}\nhint: look at the `OTEL_*` variables, or set `OTEL_SDK_DISABLED=true`")]
pub struct ExportError {
    signal: Signal,
    source: ExporterBuildError,
}

/// Spans on their way out. Must be called inside a runtime.
pub(super) fn traces(protocol: Protocol, resource: Resource) -> Result<SdkTracerProvider, ExportError> {
    let exporter = match protocol {
        Protocol::Grpc => SpanExporter::builder().with_tonic().with_tls_config(tls()).build(),
        Protocol::Http => {
            SpanExporter::builder().with_http().with_protocol(Otlp::HttpBinary).with_shared_http_client(http::client()).build()
        }
    };
    let exporter = told(Signal::Traces, exporter)?;
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

/// Metrics on their way out, at the interval that the environment says.
pub(super) fn metrics(protocol: Protocol) -> Result<PeriodicReader<Told<MetricExporter>>, ExportError> {
    let exporter = match protocol {
        Protocol::Grpc => MetricExporter::builder().with_tonic().with_tls_config(tls()).build(),
        Protocol::Http => {
            MetricExporter::builder().with_http().with_protocol(Otlp::HttpBinary).with_shared_http_client(http::client()).build()
        }
    };
    Ok(PeriodicReader::builder(told(Signal::Metrics, exporter)?).build())
}

/// Log records on their way out.
pub(super) fn logs(protocol: Protocol, resource: Resource) -> Result<SdkLoggerProvider, ExportError> {
    let exporter = match protocol {
        Protocol::Grpc => LogExporter::builder().with_tonic().with_tls_config(tls()).build(),
        Protocol::Http => {
            LogExporter::builder().with_http().with_protocol(Otlp::HttpBinary).with_shared_http_client(http::client()).build()
        }
    };
    let exporter = told(Signal::Logs, exporter)?;
    Ok(SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

/// What counts for an endpoint that begins with `https`: the certificates that the system trusts.
fn tls() -> ClientTlsConfig {
    ClientTlsConfig::new().with_enabled_roots()
}

fn told<E>(signal: Signal, exporter: Result<E, ExporterBuildError>) -> Result<Told<E>, ExportError> {
    exporter.map(|exporter| Told::new(signal, exporter)).map_err(|source| ExportError { signal, source })
}
