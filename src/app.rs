//! From a configuration to a running process: bind, build, serve, drain. The only room that knows everyone.
//!
//! Nothing is served before every listener is bound and the store is open, so a process that says where it listens is ready. A drain
//! goes the other way: no new connections, what is in flight finishes, the store closes, and the probes answer to the last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::SignedDuration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::access::AccessFile;
use self::files::Loaded;
use self::listener::{Door, Listener, Speaks};
use self::reloader::{Parts, Reloader};
pub use self::reloader::{Reloaded, Reloads};
use self::tls::{Tls, TlsFiles};
use self::watched::{Asks, Watcher};
use crate::access::Gate;
use crate::catalog;
use crate::clock::{Clock, SystemClock};
use crate::config::{CatalogSource, Config, HttpAddress, ListenAddress, StoreAddress};
use crate::domain::catalog::Catalog;
use crate::grpc::{GuardLayer, Handlers, Load};
use crate::http::{self, CatalogHealth, FilesHealth, Health, MetricsFor, Operations, PageGuard, Phase};
use crate::service::{Catalogs, OutageRules, Pace, Rules, Service};
use crate::shutdown;
use crate::store::embedded::{EmbeddedStore, Options};
use crate::store::journal::Journal;
use crate::store::metered::{Batches, Metered};
use crate::store::redis::{Link, Options as RedisOptions, RedisStore, Replicas};
use crate::store::{Observer, Store};
use crate::telemetry::{Environment, Telemetry, names};

mod access;
mod files;
mod hangup;
mod keeper;
mod listener;
mod open_files;
mod reloader;
mod server;
mod tls;
mod watched;

/// A caller waits this part of what a request may take for a store that gives no answer: the rest is for the journal's disk and the way
/// back.
const PATIENCE_PART: u32 = 4;

/// Most connections to the HTTP port, and to that of gRPC health: scrapers, probes and a few people.
const PAGE_CONNECTIONS_MAX: usize = 256;
/// Files that are open beside connections: the store's, the journal's, logs, and what is read for a moment.
const OTHER_FILES: u64 = 128;

/// What may still take time once the drain is over or its deadline has passed.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Where a started process listens: the addresses as bound, with real ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// In the order of the configuration.
    pub listen: Vec<ListenAddress>,
    /// None: off.
    pub http: Option<SocketAddr>,
    /// Where gRPC health alone is served. None: off.
    pub health: Option<SocketAddr>,
}

/// A process that is bound and built, and serves nothing yet.
pub struct App {
    listeners: Vec<Listener>,
    http: Option<Listener>,
    probes: Option<Listener>,
    bound: Bound,
    health: Health,
    store: Arc<dyn Store>,
    journal: Option<Arc<Journal>>,
    service: Arc<Service>,
    telemetry: Arc<Telemetry>,
    guarded: Guarded,
    catalog: Watcher<Reloader>,
    reloads: AllReloads,
    config: Config,
}

/// Who may call, and over which TLS.
struct Guarded {
    gate: Gate,
    access: Option<Watcher<AccessFile>>,
    tls: Option<Tls>,
    certificates: Option<Watcher<TlsFiles>>,
}

/// By which all files are reloaded.
#[derive(Clone)]
struct AllReloads {
    catalog: Reloads,
    access: Option<Asks<Loaded>>,
    certificates: Option<Asks<Loaded>>,
}

/// Serves until told to stop and everything in flight is finished. `ready` is called once, when every listener is bound and serves.
pub fn run(config: Config, ready: impl FnOnce(&Bound)) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let stop = shutdown::listen().context("cannot listen for signals")?;
        let hangups = hangup::listen().context("cannot listen for signals")?;
        let app = App::build(config, Arc::new(SystemClock)).await?;
        tokio::spawn(hangups.forward(app.reloads.clone()));
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
        // First the cheap check of the catalog: nothing is opened for one that is wrong.
        let (text, catalog) = catalog_text(&config.catalog)?;
        let telemetry = Telemetry::start(&Environment::of_process(), config.telemetry)?;
        telemetry.metrics().knows(&catalog, clock.now());
        let journal = match &config.store {
            // A store in this process is never away while the process lives.
            StoreAddress::Memory | StoreAddress::Embedded(_) => None,
            StoreAddress::Redis(_) => open_journal(&config).await?,
        };
        let store = open_store(&config, clock.clone(), journal.as_deref(), &telemetry).await?;
        Self::assemble(config, clock, text, (store, journal), telemetry).await
    }

    /// The same on a store that is open already, with the journal of the configuration.
    pub async fn build_on(config: Config, clock: Arc<dyn Clock>, store: Arc<dyn Store>) -> anyhow::Result<Self> {
        let (text, catalog) = catalog_text(&config.catalog)?;
        let telemetry = Telemetry::local();
        telemetry.metrics().knows(&catalog, clock.now());
        let journal = open_journal(&config).await?;
        Self::assemble(config, clock, text, (store, journal), telemetry).await
    }

    async fn assemble(
        config: Config,
        clock: Arc<dyn Clock>,
        text: String,
        (store, journal): (Arc<dyn Store>, Option<Arc<Journal>>),
        telemetry: Arc<Telemetry>,
    ) -> anyhow::Result<Self> {
        let store: Arc<dyn Store> = Arc::new(Metered::new(store, telemetry.clone()));
        if let Some(journal) = &journal {
            watch_journal(&telemetry, journal);
        }
        let read = |text: &str| catalog::parse("catalog", text).map_err(|problems| problems.to_string());
        let text: Arc<str> = Arc::from(text);
        let catalogs = Catalogs::start(&*store, text.clone(), read).await?;
        tracing::info!(catalog = %catalogs.current().version, "catalog loaded");
        let rules = Rules { ttl: signed(config.reservation.ttl), ttl_max: signed(config.reservation.ttl_max) };
        let service = Service::new(store.clone(), catalogs, clock.clone(), rules);
        let service = Arc::new(match &journal {
            Some(journal) => {
                let patience = config.request_timeout / PATIENCE_PART;
                service.journalled(journal.clone(), OutageRules { patience, retention: signed(config.retention) })
            }
            None => service,
        });
        let watched = Arc::downgrade(&service);
        telemetry.metrics().watch_seconds(&names::STREAM_LAG, move || watched.upgrade()?.stream_lag());
        let health = Health::starting();
        watch_files(&telemetry, &health);
        let (guarded, access, certificates) = guard(&config, &clock, &health, &telemetry).await?;
        let mut listeners = Vec::with_capacity(config.listen.len());
        for address in &config.listen {
            listeners.push(Listener::bind(address).await?);
        }
        let http = bind_port(&config.http, "http").await?;
        let probes = bind_port(&config.health, "health").await?;
        let bound = Bound {
            listen: listeners.iter().map(Listener::address).collect::<Result<_, _>>()?,
            http: http.as_ref().and_then(Listener::socket_address),
            health: probes.as_ref().and_then(Listener::socket_address),
        };
        warn_of_exposure(&config);
        let parts = Parts { service: service.clone(), clock, health: health.clone(), telemetry: telemetry.clone() };
        let reloader = Reloader::new(&config.catalog, text, parts);
        let every = config.catalog_reload.filter(|_| reloader.has_file());
        let (catalog, reloads) = Watcher::new(reloader, every);
        let reloads = AllReloads { catalog: reloads, access, certificates };
        Ok(Self { listeners, http, probes, bound, health, store, journal, service, telemetry, guarded, catalog, reloads, config })
    }

    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// By which the catalog is reloaded while this serves.
    pub fn reloads(&self) -> Reloads {
        self.reloads.catalog.clone()
    }

    /// Serves until `stop` is cancelled, then drains.
    pub async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let tasks = TaskTracker::new();
        let handlers =
            Handlers::new(self.service.clone(), self.telemetry.clone(), tasks.clone(), stop.clone(), self.config.events.patience);
        let mut servers: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let Guarded { gate, access, tls, certificates } = self.guarded;
        let door = Door { speaks: Speaks::Grpc, tls, deadline: self.config.limits.opening, telemetry: self.telemetry.clone() };
        let load = Load::new(self.config.limits.calls);
        watch_load(&self.telemetry, &load);
        let guard = GuardLayer::new(gate.clone(), load, self.telemetry.clone());
        let connections = Arc::new(Semaphore::new(self.config.limits.connections));
        for listener in self.listeners {
            let router = server::router(&handlers, &self.health, &self.telemetry, &guard, &self.config);
            let incoming = listener.connections(connections.clone(), door.clone(), stop.clone());
            let stopped = stop.clone().cancelled_owned();
            servers.spawn(async move { Ok(router.serve_with_incoming_shutdown(incoming, stopped).await?) });
        }
        let probes_stop = CancellationToken::new();
        let mut probes: JoinSet<()> = JoinSet::new();
        if let Some(listener) = self.http {
            let page = PageGuard::new(if self.config.http.is_loopback() { Gate::open() } else { gate }, self.telemetry.clone());
            let metrics_for = if self.config.metrics_public { MetricsFor::Anybody } else { MetricsFor::Observers };
            let store = self.config.store.to_string();
            let operations = Operations::new(self.service.clone(), self.health.clone(), self.telemetry.clone(), &store);
            let routes = http::router(self.health.clone(), self.telemetry.clone(), operations, &page, metrics_for);
            let door = Door { speaks: Speaks::Http, ..door.clone() };
            let incoming = listener.connections(Arc::new(Semaphore::new(PAGE_CONNECTIONS_MAX)), door, probes_stop.clone());
            let head_max = self.config.limits.opening;
            probes.spawn(http::serve(incoming.filter_map(Result::ok), routes, head_max, probes_stop.clone()));
        }
        if let Some(listener) = self.probes {
            let router = server::probes(&self.health, &self.config);
            let door = Door { tls: None, ..door };
            let incoming = listener.connections(Arc::new(Semaphore::new(PAGE_CONNECTIONS_MAX)), door, probes_stop.clone());
            let stopped = probes_stop.clone().cancelled_owned();
            probes.spawn(async move {
                if let Err(error) = router.serve_with_incoming_shutdown(incoming, stopped).await {
                    tracing::error!(%error, "gRPC health is not served any more");
                }
            });
        }
        let keeper = tokio::spawn(keeper::keep(self.store.clone(), self.service.clone(), self.health.clone()));
        let replayer = tokio::spawn(self.service.clone().replay(Pace::default()));
        let mut reloaders: JoinSet<()> = JoinSet::new();
        reloaders.spawn(self.catalog.run());
        access.map(|access| reloaders.spawn(access.run()));
        certificates.map(|certificates| reloaders.spawn(certificates.run()));
        self.health.set_phase(Phase::Serving);

        stop.cancelled().await;
        self.health.set_phase(Phase::Draining);
        keeper.abort();
        reloaders.abort_all();
        // What it has not replayed is durable, and the next start goes on with it.
        replayer.abort();
        let drain = async {
            while let Some(served) = servers.join_next().await {
                served??;
            }
            tasks.close();
            tasks.wait().await;
            self.store.close().await;
            if let Some(journal) = &self.journal {
                journal.close().await;
            }
            anyhow::Ok(())
        };
        let deadline = self.config.drain_deadline;
        let drained = tokio::time::timeout(deadline, drain).await;
        probes_stop.cancel();
        let _ = tokio::time::timeout(LAST_MOMENT, async { while probes.join_next().await.is_some() {} }).await;
        let drained = match drained {
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
                if let Some(journal) = &self.journal
                    && tokio::time::timeout(LAST_MOMENT, journal.close()).await.is_err()
                {
                    std::mem::forget(journal.clone());
                }
                Ok(())
            }
        };
        self.telemetry.finish(LAST_MOMENT).await;
        drained
    }
}

impl AllReloads {
    /// Reads all files now. The catalog last: it may have to wait for the store.
    async fn reload(&self) {
        for files in [&self.access, &self.certificates].into_iter().flatten() {
            files.reload().await;
        }
        self.catalog.reload().await;
    }
}

/// What says who may call and over which TLS, and how it is reloaded.
async fn guard(
    config: &Config,
    clock: &Arc<dyn Clock>,
    health: &Health,
    telemetry: &Telemetry,
) -> anyhow::Result<(Guarded, Option<Asks<Loaded>>, Option<Asks<Loaded>>)> {
    let every = config.catalog_reload;
    let (gate, access) = match &config.access {
        None => (Gate::open(), None),
        Some(path) => {
            let (file, gate) = AccessFile::open(path.clone(), clock.clone(), health.clone()).await?;
            (gate, Some(Watcher::new(file, every)))
        }
    };
    let (tls, certificates) = match TlsFiles::open(&config.tls, clock.clone(), health.clone()).await? {
        None => (None, None),
        Some((files, tls)) => {
            let expiring = tls.clone();
            telemetry.metrics().watch(&names::CERTIFICATE_EXPIRY, move || usize::try_from(expiring.expires().as_second()).ok());
            (Some(tls), Some(Watcher::new(files, every)))
        }
    };
    let (access, asks_access) = access.unzip();
    let (certificates, asks_certificates) = certificates.unzip();
    Ok((Guarded { gate, access, tls, certificates }, asks_access, asks_certificates))
}

async fn bind_port(address: &HttpAddress, setting: &str) -> anyhow::Result<Option<Listener>> {
    match address {
        HttpAddress::Off => Ok(None),
        HttpAddress::At(address) => Listener::bind_tcp(address, setting).await.map(Some),
    }
}

/// Says once what is accepted by `insecure`, and what the system does not let through.
fn warn_of_exposure(config: &Config) {
    let open = config.listen.iter().filter(|address| !address.is_local()).map(ToString::to_string);
    let open: Vec<String> = open.chain(Some(config.http.to_string()).filter(|_| !config.http.is_loopback())).collect();
    if config.insecure && !open.is_empty() && (config.access.is_none() || config.tls.certificate.is_none()) {
        let (access, tls) = (config.access.is_some(), config.tls.certificate.is_some());
        tracing::warn!(addresses = open.join(", "), access, tls, "`insecure`: other hosts can reach what is not protected");
    }
    let files = open_files::raise_limit();
    let needed = (config.limits.connections as u64).saturating_add(OTHER_FILES);
    if let Some(files) = files.filter(|files| *files < needed) {
        tracing::warn!(files, needed, "the system lets the process open fewer files than `limits.connections` needs; raise `ulimit -n`");
    }
}

/// The catalog's text, and what it says.
fn catalog_text(source: &CatalogSource) -> anyhow::Result<(String, Catalog)> {
    let (name, text) = match source {
        CatalogSource::Bundled => (catalog::BUNDLED_NAME.to_owned(), catalog::BUNDLED.to_owned()),
        CatalogSource::File(path) => (path.display().to_string(), catalog::read_text(path)?),
    };
    let (checked, problems) = catalog::check(&name, &text);
    let Some(catalog) = checked else { return Err(problems.into()) };
    reloader::warn(&problems);
    Ok((text, catalog))
}

/// Shows what waits in the journal. A gauge that is looked at must not keep the journal open.
fn watch_journal(telemetry: &Telemetry, journal: &Arc<Journal>) {
    let (queued, dead) = (Arc::downgrade(journal), Arc::downgrade(journal));
    telemetry.metrics().watch(&names::JOURNAL_QUEUED, move || queued.upgrade().map(|journal| journal.queued()));
    telemetry.metrics().watch(&names::JOURNAL_DEAD, move || dead.upgrade().map(|journal| journal.dead().len()));
}

/// Shows whether files say something else than what is in force.
fn watch_files(telemetry: &Telemetry, health: &Health) {
    let (catalog, access, certificates) = (health.clone(), health.clone(), health.clone());
    let metrics = telemetry.metrics();
    metrics.watch(&names::CATALOG_STALE, move || Some(usize::from(catalog.state().catalog != CatalogHealth::InForce)));
    metrics.watch(&names::ACCESS_STALE, move || Some(usize::from(access.state().access != FilesHealth::InForce)));
    metrics.watch(&names::CERTIFICATE_STALE, move || Some(usize::from(certificates.state().certificates != FilesHealth::InForce)));
}

/// Shows how many calls are in flight.
fn watch_load(telemetry: &Telemetry, load: &Load) {
    let load = load.clone();
    telemetry.metrics().watch(&names::CALLS_IN_FLIGHT, move || Some(load.in_flight()));
}

/// Shows what waits for a store, without keeping that open either.
fn watch_queue<S: Store>(telemetry: &Telemetry, store: &Arc<S>, depth: fn(&S) -> usize) {
    let store = Arc::downgrade(store);
    telemetry.metrics().watch(&names::STORE_QUEUE, move || store.upgrade().map(|store| depth(&store)));
}

async fn open_journal(config: &Config) -> anyhow::Result<Option<Arc<Journal>>> {
    let Some(directory) = config.journal.clone() else { return Ok(None) };
    let entries_max = config.journal_max;
    let open = move || Journal::open(&directory, entries_max);
    let journal = tokio::task::spawn_blocking(open).await.map_err(|_| anyhow!("the journal's start panicked"))??;
    let (queued, dead) = (journal.queued(), journal.dead().len());
    if dead > 0 {
        tracing::error!(place = journal.place(), dead, "the journal holds commands that could not be carried out");
    }
    tracing::info!(place = journal.place(), queued, "journal opened");
    Ok(Some(Arc::new(journal)))
}

async fn open_store(
    config: &Config,
    clock: Arc<dyn Clock>,
    journal: Option<&Journal>,
    telemetry: &Arc<Telemetry>,
) -> anyhow::Result<Arc<dyn Store>> {
    let (observing, counting) = (telemetry.clone(), telemetry.clone());

    let options = Options {
        queue_capacity: config.limits.queue,
        retention: signed(config.retention),
        event_retention: signed(config.events.retention),
        events_max: config.events.max,
        cost_retention: signed(config.cost_retention),
        observer: Some(Observer::new(move |event| observing.observe(event))),
        batches: Some(Batches::new(move |operations| counting.metrics().batch(operations))),
    };
    match config.store.clone() {
        StoreAddress::Memory => {
            let store = Arc::new(EmbeddedStore::in_memory(options, clock)?);
            watch_queue(telemetry, &store, EmbeddedStore::depth);
            Ok(store)
        }
        StoreAddress::Embedded(directory) => {
            let open = move || EmbeddedStore::open(&directory, options, clock);
            let store = Arc::new(tokio::task::spawn_blocking(open).await.map_err(|_| anyhow!("the store's start panicked"))??);
            watch_queue(telemetry, &store, EmbeddedStore::depth);
            Ok(store)
        }
        StoreAddress::Redis(address) => {
            let reach = config.redis.link();
            let at = format!("cannot open the store at `{address}`");
            let link = Link::open(address.clone(), reach.clone()).await.context(at.clone())?;
            let replicas = match config.redis.replicas {
                0 => Replicas::None,
                // The rest of what a command may take is for the way there and back.
                count => Replicas::AtLeast {
                    count,
                    within: reach.command_timeout / 2,
                    link: Link::open(address, reach).await.context(at.clone())?,
                },
            };
            let options = RedisOptions {
                partitions: config.redis.partitions,
                queue_capacity: options.queue_capacity,
                calls_in_flight: config.redis.calls_in_flight,
                retention: options.retention,
                event_retention: options.event_retention,
                events_max: options.events_max,
                cost_retention: options.cost_retention,
                observer: options.observer,
                sweep_interval: config.redis.sweep_interval,
                on_loss: config.redis.on_loss,
                replicas,
                batches: options.batches,
                known: journal.and_then(Journal::store).map(|identity| identity.to_string()),
                ..RedisOptions::new(&config.instance)
            };
            let store = Arc::new(RedisStore::open(link, options).await.context(at)?);
            watch_queue(telemetry, &store, RedisStore::depth);
            if let Some(journal) = journal {
                journal.remember_store(&store.identity()).await?;
            }
            Ok(store)
        }
    }
}

/// A duration of the configuration, which bounds it far below what either type holds.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
