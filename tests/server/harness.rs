//! A server in the process: given a catalog and an instant, it listens on a port of its own and is told when to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genquota::app::{App, Reloaded, Reloads};
use genquota::client::{self, ServerAddress};
use genquota::clock::{Clock, ManualClock};
use genquota::config::{self, Config, Given, Layers, ListenAddress, Origin};
use genquota::proto::v1;
use genquota::store::Store;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::caller::Caller;

/// Longest wait for anything: far beyond what a busy machine needs, far below what a person bears.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that stands until it is moved, and knows how often it was asked.
pub struct TestClock {
    clock: ManualClock,
    reads: AtomicU64,
}

/// A running server, its clock, and a connection to it. The directory goes with it.
pub struct Server {
    pub clock: Arc<TestClock>,
    pub channel: Channel,
    pub listen: Vec<ListenAddress>,
    catalog: PathBuf,
    reloads: Reloads,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
    dir: Arc<TempDir>,
}

/// What a server is started with.
pub struct Setup {
    catalog: PathBuf,
    settings: Vec<(String, Vec<String>)>,
    now: Timestamp,
    dir: Arc<TempDir>,
}

impl TestClock {
    pub fn set(&self, now: &str) {
        self.clock.set(now.parse().unwrap());
    }

    pub fn advance(&self, by: SignedDuration) {
        self.clock.advance(by);
    }

    pub fn time(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits until somebody has asked the time twice more: whoever asks it before each round of work has finished one by then.
    pub async fn asked_twice(&self) {
        let before = self.reads.load(Ordering::SeqCst);
        eventually("the time is asked", async || (self.reads.load(Ordering::SeqCst) >= before + 2).then_some(())).await;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }
}

impl Setup {
    /// In memory, on a port of its own, without HTTP, and with a catalog that is reloaded when the test says so.
    pub fn new(catalog: &str, now: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let path = dir.path().join("catalog.yaml");
        std::fs::write(&path, catalog).unwrap();
        Self::on(dir, path, now)
    }

    /// The same with one of the example catalogs.
    pub fn example(name: &str, now: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/catalogs/{name}.yaml"));
        Self::on(Arc::new(tempfile::tempdir().unwrap()), path, now)
    }

    fn on(dir: Arc<TempDir>, catalog: PathBuf, now: &str) -> Self {
        let setup = Self { catalog, settings: Vec::new(), now: now.parse().unwrap(), dir };
        setup
            .with("listen", &["127.0.0.1:0"])
            .with("http", &["off"])
            .with("store", &["memory:"])
            .with("log.filter", &["off"])
            .with("catalog_reload", &["off"])
    }

    pub fn with(mut self, key: &str, values: &[&str]) -> Self {
        self.settings.push((key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect()));
        self
    }

    /// Keeps the ledger in the directory of this setup.
    pub fn embedded(self) -> Self {
        let store = format!("embedded:{}", self.dir.path().join("store").display());
        self.with("store", &[&store])
    }

    /// A path in the directory of this setup.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> Config {
        let given = |(key, values): &(String, Vec<String>)| Given {
            key: key.clone(),
            values: values.clone(),
            origin: Origin::Flag(format!("--{key}")),
        };
        let mut flags: Vec<Given> = self.settings.iter().map(given).collect();
        flags.push(given(&("catalog".to_owned(), vec![self.catalog.display().to_string()])));
        config::load(&Layers { flags, ..Layers::default() }).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    pub async fn start(&self) -> Server {
        let clock = self.clock();
        let app = App::build(self.config(), clock.clone()).await.unwrap();
        self.serve(app, clock).await
    }

    /// On a store of the test's, with a journal in the directory of this setup.
    pub async fn start_on(&self, store: Arc<dyn Store>) -> Server {
        let clock = self.clock();
        let config = Config { journal: Some(self.path("journal")), ..self.config() };
        let app = App::build_on(config, clock.clone(), store).await.unwrap();
        self.serve(app, clock).await
    }

    /// On a store that goes by the server's own clock.
    pub async fn start_by_clock(&self, store: impl AsyncFnOnce(Arc<TestClock>) -> Arc<dyn Store>) -> Server {
        let clock = self.clock();
        let store = store(clock.clone()).await;
        let app = App::build_on(self.config(), clock.clone(), store).await.unwrap();
        self.serve(app, clock).await
    }

    fn clock(&self) -> Arc<TestClock> {
        Arc::new(TestClock { clock: ManualClock::at(self.now), reads: AtomicU64::new(0) })
    }

    async fn serve(&self, app: App, clock: Arc<TestClock>) -> Server {
        let listen = app.bound().listen.clone();
        let reloads = app.reloads();
        let stop = CancellationToken::new();
        let served = tokio::spawn(app.serve(stop.clone()));
        let channel = connect(&listen[0]).await;
        let server = Server { clock, channel, listen, catalog: self.catalog.clone(), reloads, stop, served, dir: self.dir.clone() };
        server.is_serving().await;
        server
    }
}

impl Server {
    pub async fn start(catalog: &str, now: &str) -> Self {
        Setup::new(catalog, now).start().await
    }

    pub async fn example(name: &str, now: &str) -> Self {
        Setup::example(name, now).start().await
    }

    /// A subject that nobody has created.
    pub fn stranger(&self, name: &str) -> Caller {
        Caller::new(self.channel.clone(), name)
    }

    /// A subject, created in UTC.
    pub async fn subject(&self, name: &str) -> Caller {
        self.subject_in(name, "").await
    }

    pub async fn subject_in(&self, name: &str, zone: &str) -> Caller {
        let caller = self.stranger(name);
        caller.create(zone).await.unwrap();
        caller
    }

    /// A subject on a plan, from now on.
    pub async fn customer(&self, name: &str, plan: &str) -> Caller {
        let caller = self.subject(name).await;
        caller.subscribe(plan, |_| {}).await.unwrap();
        caller
    }

    /// Writes another text into the catalog's file.
    pub fn edit(&self, catalog: &str) {
        std::fs::write(&self.catalog, catalog).unwrap();
    }

    /// Writes it, and asks for a reload.
    pub async fn reload(&self, catalog: &str) -> Reloaded {
        self.edit(catalog);
        self.reloads.reload().await.unwrap()
    }

    /// A reload that must be taken; the version that is in force since.
    pub async fn reloaded(&self, catalog: &str) -> String {
        match self.reload(catalog).await {
            Reloaded::InForce(version) => version.to_string(),
            other => panic!("in force: {other:?}"),
        }
    }

    /// Tells the server to stop, without waiting.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Waits until everything is finished.
    pub async fn stopped(self) -> anyhow::Result<()> {
        drop(self.channel);
        tokio::time::timeout(PATIENCE, self.served).await.expect("a server stops within its deadline").unwrap()
    }

    /// Stops, and starts anew on the same directory with another catalog, at the same time.
    pub async fn restart(self, catalog: &str) -> Self {
        let path = self.dir.path().join("next.yaml");
        std::fs::write(&path, catalog).unwrap();
        let now = self.clock.time().to_string();
        let setup = Setup::on(self.dir.clone(), path, &now).embedded();
        self.begin_stop();
        self.stopped().await.unwrap();
        setup.start().await
    }

    async fn is_serving(&self) {
        let health = tonic_health::pb::health_client::HealthClient::new(self.channel.clone());
        eventually("the server serves", async || {
            let answer = health.clone().check(tonic_health::pb::HealthCheckRequest::default()).await.ok()?;
            (answer.get_ref().status == 1).then_some(())
        })
        .await;
    }
}

/// Every subject there is.
pub async fn subjects(channel: &Channel) -> Vec<v1::Subject> {
    let mut client = v1::subject_service_client::SubjectServiceClient::new(channel.clone());
    client.list_subjects(v1::ListSubjectsRequest::default()).await.unwrap().into_inner().subjects
}

pub async fn connect(address: &ListenAddress) -> Channel {
    let server: ServerAddress = address.to_string().parse().unwrap();
    client::connect(&server, PATIENCE).await.unwrap()
}

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        loop {
            if let Some(found) = look().await {
                return found;
            }
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("in time: {what}"))
}
