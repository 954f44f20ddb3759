//! The gRPC servers: our services, those that Envoy calls, health and reflection, and the bounds of a connection; and health alone, for probes.

use std::sync::Arc;
use std::time::Duration;

use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::server::HealthReporter;
use tower::layer::util::{Identity, Stack};

use crate::config::Config;
use crate::grpc::{Bounds, GuardLayer, Handlers, envoy};
use crate::http::Health;
use crate::proto;
use crate::telemetry::{CallLayer, Telemetry};

/// How often an idle connection is asked whether it lives, and how long it may take to say so: a gateway that is gone without a word
/// should not keep one of the connections for hours.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest header list. Ours are a handful of short ones, trace context and a token among them.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// Streams that a client has begun and reset before anybody took them up: those of a client that gives up, not of one that floods.
const RESETS_PENDING_MAX: usize = 20;
/// Streams that had to be reset because of what the client did, before the connection ends: nobody errs so often by mistake.
const ERROR_RESETS_MAX: usize = 128;
/// Longest message of a probe: the name of a service.
const PROBE_BYTES_MAX: usize = 1024;
/// How long a connection for probes may last: a kubelet makes one for each, and whoever keeps one keeps a place.
const PROBE_CONNECTION_AGE: Duration = Duration::from_secs(60);
/// Longest question to reflection, which anybody may ask.
const REFLECTION_BYTES_MAX: usize = 4096;
/// Most probes in flight on one connection.
const PROBE_STREAMS_MAX: u32 = 8;

/// Everything a listener serves.
pub(super) fn router(
    handlers: &Handlers,
    health: &Health,
    telemetry: &Arc<Telemetry>,
    guard: &GuardLayer,
    config: &Config,
) -> Router<Stack<GuardLayer, Stack<CallLayer, Identity>>> {
    let bounds = Bounds { message_bytes: config.limits.message_bytes };
    let (quota, costs, subjects) = handlers.services(bounds);
    let (rate_limit, processor) = handlers.envoy_services(bounds);
    let (v1, v1alpha) = reflection();
    let server = bounded(config.limits.streams_per_connection, config);
    let server = match config.limits.connection_age {
        // With a grace, tonic 0.14 tells the client nothing and cuts its calls off when that is over: so without one.
        Some(age) => server.max_connection_age(age),
        None => server,
    };
    server
        .layer(CallLayer::new(telemetry.clone(), methods()))
        .layer(guard.clone())
        .add_service(quota)
        .add_service(costs)
        .add_service(subjects)
        .add_service(rate_limit)
        .add_service(processor)
        .add_service(health_service(health))
        .add_service(v1)
        .add_service(v1alpha)
}

/// Health alone.
pub(super) fn probes(health: &Health, config: &Config) -> Router {
    bounded(PROBE_STREAMS_MAX, config).max_connection_age(PROBE_CONNECTION_AGE).add_service(health_service(health))
}

/// A server whose every connection is bounded.
fn bounded(streams_max: u32, config: &Config) -> Server {
    Server::builder()
        .max_concurrent_streams(streams_max)
        .timeout(config.request_timeout)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_PENDING_MAX))
        .http2_max_local_error_reset_streams(Some(ERROR_RESETS_MAX))
}

/// gRPC health, which says what the probes of HTTP say.
fn health_service(health: &Health) -> HealthServer<impl HealthService> {
    let (reporter, service) = tonic_health::server::health_reporter();
    tokio::spawn(mirror(reporter, health.clone()));
    service.max_decoding_message_size(PROBE_BYTES_MAX)
}

/// Every method of the contract, as `genquota.v1.QuotaService/Reserve`, and those of Envoy.
fn methods() -> Vec<String> {
    let pool = prost_reflect::DescriptorPool::decode(proto::DESCRIPTORS).expect("the descriptors are compiled in and valid");
    let named = |method: prost_reflect::MethodDescriptor| format!("{}/{}", method.parent_service().full_name(), method.name());
    pool.services().flat_map(|service| service.methods().map(named).collect::<Vec<_>>()).chain(envoy::methods()).collect()
}

/// Tells gRPC health what the probes of HTTP say: `liveness` is `/livez`, and every other name is `/readyz`.
async fn mirror(reporter: HealthReporter, health: Health) {
    // Serving for as long as anybody can ask: to end the process because its store is away would mend no store.
    reporter.set_service_status("liveness", ServingStatus::Serving).await;
    const SERVICES: [&str; 4] = ["", "genquota.v1.QuotaService", "genquota.v1.CostService", "genquota.v1.SubjectService"];
    let mut changes = health.subscribe();
    loop {
        let status = if changes.borrow_and_update().is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Reflection in both versions: older clients only ask for the alpha. The error details are described too, so that generic clients can
/// print them.
fn reflection() -> (
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
    tonic_reflection::server::v1alpha::ServerReflectionServer<impl tonic_reflection::server::v1alpha::ServerReflection>,
) {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().expect("the descriptors are compiled in and valid");
    let v1alpha = builder().build_v1alpha().expect("the descriptors are compiled in and valid");
    // A question names a file or a symbol.
    (v1.max_decoding_message_size(REFLECTION_BYTES_MAX), v1alpha.max_decoding_message_size(REFLECTION_BYTES_MAX))
}
