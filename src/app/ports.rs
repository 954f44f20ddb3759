//! Everything that is served, on the ports that were bound: calls, pages, and health alone for probes.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::listener::{Door, Listener, Speaks};
use super::server;
use super::tls::Tls;
use crate::access::Gate;
use crate::config::{Config, HttpAddress};
use crate::grpc::{GuardLayer, Handlers, Load};
use crate::http::{self, Health, Operations, PageGuard, Protection};
use crate::service::Service;
use crate::telemetry::{Telemetry, names};

/// Most connections to the HTTP port, and to that of gRPC health: scrapers, probes and a few people.
const PAGE_CONNECTIONS_MAX: usize = 256;

/// What is served, and to whom.
pub(super) struct Ports<'a> {
    pub(super) gate: Gate,
    pub(super) tls: Option<Tls>,
    pub(super) service: &'a Arc<Service>,
    pub(super) health: &'a Health,
    pub(super) telemetry: &'a Arc<Telemetry>,
    pub(super) config: &'a Config,
}

/// Binds the port of a setting.
pub(super) async fn bind(address: &HttpAddress, setting: &str) -> anyhow::Result<Option<Listener>> {
    match address {
        HttpAddress::Off => Ok(None),
        HttpAddress::At(address) => Listener::bind_tcp(address, setting).await.map(Some),
    }
}

impl Ports<'_> {
    /// Serves calls until `stop` is cancelled and those in flight have been answered.
    pub(super) fn serve_calls(
        &self,
        listeners: Vec<Listener>,
        handlers: &Handlers,
        stop: &CancellationToken,
    ) -> JoinSet<anyhow::Result<()>> {
        let load = Load::new(self.config.limits.calls);
        let shown = load.clone();
        self.telemetry.metrics().watch(&names::CALLS_IN_FLIGHT, move || Some(shown.in_flight()));
        let guard = GuardLayer::new(self.gate.clone(), load, self.telemetry.clone());
        let connections = Arc::new(Semaphore::new(self.config.limits.connections));
        let mut servers = JoinSet::new();
        for listener in listeners {
            let router = server::router(handlers, self.health, self.telemetry, &guard, self.config);
            let incoming = listener.connections(connections.clone(), self.door(Speaks::Grpc, self.tls.clone()), stop.clone());
            let stopped = stop.clone().cancelled_owned();
            servers.spawn(async move { Ok(router.serve_with_incoming_shutdown(incoming, stopped).await?) });
        }
        servers
    }

    /// Serves the HTTP port and that of gRPC health. Cancel `stop` last: while the rest drains, both must still say so.
    pub(super) fn serve_pages(&self, http: Option<Listener>, probes: Option<Listener>, stop: &CancellationToken) -> JoinSet<()> {
        let mut servers = JoinSet::new();
        let places = || Arc::new(Semaphore::new(PAGE_CONNECTIONS_MAX));
        if let Some(listener) = http {
            let gate = if self.config.http.is_loopback() { Gate::open() } else { self.gate.clone() };
            let guard = PageGuard::new(gate, self.telemetry.clone());
            let (store, health, telemetry) = (self.config.store.to_string(), self.health.clone(), self.telemetry.clone());
            let operations = Operations::new(self.service.clone(), health.clone(), telemetry.clone(), &store, guard.clone());
            let protection = Protection { guard, metrics_public: self.config.metrics_public };
            let routes = http::router(health, telemetry, operations, &protection);
            let incoming = listener.connections(places(), self.door(Speaks::Http, self.tls.clone()), stop.clone());
            servers.spawn(http::serve(incoming.filter_map(Result::ok), routes, self.config.limits.opening, stop.clone()));
        }
        if let Some(listener) = probes {
            let router = server::probes(self.health, self.config);
            let incoming = listener.connections(places(), self.door(Speaks::Grpc, None), stop.clone());
            let stopped = stop.clone().cancelled_owned();
            servers.spawn(async move {
                if let Err(error) = router.serve_with_incoming_shutdown(incoming, stopped).await {
                    tracing::error!(%error, "gRPC health is not served any more");
                }
            });
        }
        servers
    }

    fn door(&self, speaks: Speaks, tls: Option<Tls>) -> Door {
        Door { speaks, tls, deadline: self.config.limits.opening, telemetry: self.telemetry.clone() }
    }
}
