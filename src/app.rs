//! From a configuration to a running process: bind, build, serve, drain. The only room that knows everyone.
//!
//! Nothing is served before every listener is bound and the store is open, so a process that says where it listens is ready. A drain
//! goes the other way: no new connections, what is in flight finishes, the store closes, and the probes answer to the last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::SignedDuration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::listener::Listener;
use crate::catalog;
use crate::clock::{Clock, SystemClock};
use crate::config::{CatalogSource, Config, HttpAddress, ListenAddress, StoreAddress};
use crate::grpc::Handlers;
use crate::http::{self, Health, Phase};
use crate::service::{Catalogs, Rules, Service};
use crate::shutdown;
use crate::store::Store;
use crate::store::embedded::{EmbeddedStore, Options};

mod keeper;
mod listener;
mod server;

/// How long events are kept in the embedded store.
const EVENT_RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What may still take time once the drain is over or its deadline has passed.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Where a started process listens: the addresses as bound, with real ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// In the order of the configuration.
    pub listen: Vec<ListenAddress>,
    /// None: off.
    pub http: Option<SocketAddr>,
}

/// A process that is bound and built, and serves nothing yet.
pub struct App {
    listeners: Vec<Listener>,
    http: Option<tokio::net::TcpListener>,
    bound: Bound,
    health: Health,
    store: Arc<dyn Store>,
    service: Arc<Service>,
    config: Config,
}

/// Serves until told to stop and everything in flight is finished. `ready` is called once, when every listener is bound and serves.
pub fn run(config: Config, ready: impl FnOnce(&Bound)) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let stop = shutdown::listen().context("cannot listen for signals")?;
        let app = App::build(config, Arc::new(SystemClock)).await?;
        ready(&app.bound);
        app.serve(stop).await
    });
    // A task that outlived the drain's deadline is not waited for again.
    runtime.shutdown_background();
    served
}

impl App {
    /// Reads the catalog, opens the store and binds every listener.
    pub async fn build(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let text = catalog_text(&config.catalog)?;
        let store = open_store(&config, clock.clone()).await?;
        let read = |text: &str| catalog::parse("catalog", text).map_err(|problems| problems.to_string());
        let catalogs = Catalogs::start(&*store, Arc::from(text), read).await?;
        tracing::info!(catalog = %catalogs.current().version, "catalog loaded");
        let rules = Rules { ttl: signed(config.reservation.ttl), ttl_max: signed(config.reservation.ttl_max) };
        let service = Arc::new(Service::new(store.clone(), catalogs, clock, rules));
        let mut listeners = Vec::with_capacity(config.listen.len());
        for address in &config.listen {
            listeners.push(Listener::bind(address).await?);
        }
        let http = match &config.http {
            HttpAddress::Off => None,
            HttpAddress::At(address) => {
                let bound = tokio::net::TcpListener::bind(address.pair()).await;
                Some(bound.with_context(|| format!("cannot listen on {address} (setting `http`)"))?)
            }
        };
        let bound = Bound {
            listen: listeners.iter().map(Listener::address).collect::<Result<_, _>>()?,
            http: http.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?,
        };
        Ok(Self { listeners, http, bound, health: Health::starting(), store, service, config })
    }

    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Serves until `stop` is cancelled, then drains.
    pub async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let tasks = TaskTracker::new();
        let handlers = Handlers::new(self.service, tasks.clone());
        let mut servers: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let connections = Arc::new(tokio::sync::Semaphore::new(self.config.limits.connections));
        for listener in self.listeners {
            let router = server::router(&handlers, &self.health, &self.config);
            let incoming = listener.connections(connections.clone(), stop.clone());
            let stopped = stop.clone().cancelled_owned();
            servers.spawn(async move { Ok(router.serve_with_incoming_shutdown(incoming, stopped).await?) });
        }
        let probes_stop = CancellationToken::new();
        let probes = self.http.map(|listener| tokio::spawn(http::serve(listener, self.health.clone(), probes_stop.clone())));
        let keeper = tokio::spawn(keeper::keep(self.store.clone(), self.health.clone()));
        self.health.set_phase(Phase::Serving);

        stop.cancelled().await;
        self.health.set_phase(Phase::Draining);
        keeper.abort();
        let drain = async {
            while let Some(served) = servers.join_next().await {
                served??;
            }
            tasks.close();
            tasks.wait().await;
            self.store.close().await;
            anyhow::Ok(())
        };
        let deadline = self.config.drain_deadline;
        let drained = tokio::time::timeout(deadline, drain).await;
        probes_stop.cancel();
        if let Some(probes) = probes {
            let _ = tokio::time::timeout(LAST_MOMENT, probes).await;
        }
        match drained {
            Ok(drained) => drained,
            Err(_) => {
                // Streams and idle clients may never end by themselves; what was acknowledged is durable all the same.
                tracing::warn!(deadline_s = deadline.as_secs(), "the drain's deadline has passed; what is still open is cut off");
                servers.abort_all();
                tasks.close();
                let _ = tokio::time::timeout(LAST_MOMENT, tasks.wait()).await;
                if tokio::time::timeout(LAST_MOMENT, self.store.close()).await.is_err() {
                    // A disk that hangs must not keep the process: dropped, the store would wait for it.
                    std::mem::forget(self.store.clone());
                }
                Ok(())
            }
        }
    }
}

fn catalog_text(source: &CatalogSource) -> anyhow::Result<String> {
    let (name, text) = match source {
        CatalogSource::Bundled => (catalog::BUNDLED_NAME.to_owned(), catalog::BUNDLED.to_owned()),
        CatalogSource::File(path) => (path.display().to_string(), catalog::read_text(path)?),
    };
    let (checked, problems) = catalog::check(&name, &text);
    if checked.is_none() {
        return Err(problems.into());
    }
    for problem in &problems.problems {
        tracing::warn!(catalog = name, line = problem.line, problem = problem.message, "catalog");
    }
    Ok(text)
}

async fn open_store(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Store>> {
    let options = Options { queue_capacity: config.limits.queue, retention: signed(config.retention), event_retention: EVENT_RETENTION };
    match config.store.clone() {
        StoreAddress::Memory => Ok(Arc::new(EmbeddedStore::in_memory(options, clock)?)),
        StoreAddress::Embedded(directory) => {
            let open = move || EmbeddedStore::open(&directory, options, clock);
            let store = tokio::task::spawn_blocking(open).await.map_err(|_| anyhow!("the store's start panicked"))??;
            Ok(Arc::new(store))
        }
    }
}

/// A duration of the configuration, which bounds it far below what either type holds.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
