//! The link: one shared, pipelined connection to whatever holds the ledger, and the task that keeps it.
//!
//! A connection that fails, that answers nothing twice in a row, or that turns out to lead to a replica is replaced; until another one
//! works, calls fail at once instead of waiting behind it (a circuit that is open). A call is tried once: whether to ask again is for those
//! to say who know that it is safe. Each new connection has a number of its own, so that its user can make sure where it leads.

mod connect;
mod failure;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use self::connect::Connection;
pub use self::connect::LinkError;
pub(super) use self::failure::Failure;
use super::Address;

/// Calls in a row without an answer after which a connection is taken for dead.
const SILENT_MAX: u32 = 2;
/// Pauses between two attempts to connect: doubled up to the longest, each shortened by chance so that sidecars do not come all at once.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How often it is asked whether the connection still leads to the same processes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What may be set of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOptions {
    pub connect_timeout: Duration,
    pub command_timeout: Duration,
    pub tls: TlsFiles,
    /// Of the servers, before what the address says.
    pub credentials: Credentials,
    /// Of the sentinels, which have users of their own.
    pub sentinel_credentials: Credentials,
}

/// Files in PEM format. Without `ca`, the roots of the Web are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub user: Option<String>,
    pub password: Option<Password>,
}

/// Never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    Value(String),
    /// Read anew for each connection, so that it can be changed. A line end is not part of it.
    File(PathBuf),
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            command_timeout: Duration::from_millis(750),
            tls: TlsFiles::default(),
            credentials: Credentials::default(),
            sentinel_credentials: Credentials::default(),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("***"),
            Self::File(path) => path.fmt(f),
        }
    }
}

/// Where the circuit stands.
#[derive(Debug, Clone)]
pub enum LinkState {
    /// Calls are sent. The number rises with every new connection, and when another process is found behind the same one.
    Up { epoch: u64 },
    /// Calls fail at once.
    Down { reason: Arc<str> },
}

/// See the module.
pub struct Link {
    shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    address: Address,
    options: LinkOptions,
    current: RwLock<Option<Current>>,
    state: watch::Sender<LinkState>,
    /// Wakes the supervisor.
    broken: Notify,
}

#[derive(Clone)]
struct Current {
    epoch: u64,
    connection: Connection,
    silent: Arc<AtomicU32>,
}

impl Link {
    /// Connects, and keeps connected from then on.
    pub async fn open(address: Address, options: LinkOptions) -> Result<Arc<Self>, LinkError> {
        let connection = connect::connect(&address, &options).await?;
        let shared = Arc::new(Shared {
            address,
            options,
            current: RwLock::new(Some(Current { epoch: 1, connection, silent: Arc::default() })),
            state: watch::Sender::new(LinkState::Up { epoch: 1 }),
            broken: Notify::new(),
        });
        let supervisor = tokio::spawn(supervise(shared.clone()));
        Ok(Arc::new(Self { shared, supervisor: Mutex::new(Some(supervisor)) }))
    }

    /// The address, its login masked.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Sends one command, once, and waits for its answer no longer than a command may take. In a cluster it goes where its key is.
    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        let mut current = self.shared.current()?;
        let answer = tokio::time::timeout(self.shared.options.command_timeout, current.connection.query(command)).await;
        self.shared.judge(&current, answer)
    }

    /// Sends one command to every primary: its name and its answer.
    pub(super) async fn call_every_primary(&self, command: &Cmd) -> Result<Vec<(String, Value)>, Failure> {
        let mut current = self.shared.current()?;
        let answer = tokio::time::timeout(self.shared.options.command_timeout, current.connection.query_every_primary(command)).await;
        self.shared.judge(&current, answer)
    }

    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.shared.state.subscribe()
    }

    /// Ends the connection. Calls fail from then on.
    pub async fn close(&self) {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor {
            supervisor.abort();
            let _ = supervisor.await;
        }
        self.shared.put(None);
        self.shared.state.send_replace(LinkState::Down { reason: Arc::from("it is closed") });
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.shared.address)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take() {
            supervisor.abort();
        }
    }
}

impl Shared {
    fn current(&self) -> Result<Current, Failure> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        current.ok_or_else(|| match &*self.state.borrow() {
            LinkState::Down { reason } => Failure::down(reason),
            LinkState::Up { .. } => Failure::down("it is being connected"),
        })
    }

    fn put(&self, current: Option<Current>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// What an answer says, also of the connection it came on.
    fn judge<T>(&self, current: &Current, answer: Result<Result<T, redis::RedisError>, tokio::time::error::Elapsed>) -> Result<T, Failure> {
        let failure = match answer {
            Ok(Ok(value)) => {
                current.silent.store(0, Ordering::Relaxed);
                return Ok(value);
            }
            Ok(Err(error)) => Failure::of(&error),
            Err(_) => Failure::Unknown { reason: format!("no answer within {:?}", self.options.command_timeout), silent: true },
        };
        match &failure {
            Failure::Unknown { silent: true, .. } if current.silent.fetch_add(1, Ordering::Relaxed) + 1 < SILENT_MAX => {}
            // A cluster's client finds its own way; what fails on one node says nothing of the others.
            Failure::Unknown { silent: false, .. } if current.connection.is_cluster() => {}
            Failure::Unknown { reason, .. } => self.broke(current.epoch, reason),
            Failure::NotApplied { code, message, .. } if code == "READONLY" && !current.connection.is_cluster() => {
                self.broke(current.epoch, message);
            }
            Failure::NotApplied { .. } | Failure::NoScript | Failure::Script { .. } => {}
        }
        Err(failure)
    }

    /// A connection is not to be used again.
    fn broke(&self, epoch: u64, reason: &str) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.epoch == epoch) {
            *current = None;
            drop(current);
            tracing::warn!(store = %self.address, reason, "the store is not reached");
            self.state.send_replace(LinkState::Down { reason: Arc::from(reason) });
            self.broken.notify_one();
        }
    }

    fn came_up(&self, epoch: u64, connection: Connection) {
        self.put(Some(Current { epoch, connection, silent: Arc::default() }));
        self.state.send_replace(LinkState::Up { epoch });
    }
}

/// Connects again whenever the connection broke, and notices when another process answers on it.
async fn supervise(shared: Arc<Shared>) {
    let mut epoch = 1;
    let mut behind = who_answers(&shared).await;
    loop {
        let _ = tokio::time::timeout(LOOK_INTERVAL, shared.broken.notified()).await;
        if shared.current().is_ok() {
            let now = who_answers(&shared).await;
            if now.is_some() && behind.is_some() && now != behind {
                epoch += 1;
                tracing::warn!(store = %shared.address, epoch, "another process answers for the store");
                if let Ok(current) = shared.current() {
                    shared.came_up(epoch, current.connection);
                }
            }
            behind = now.or(behind);
            continue;
        }
        let connection = reconnect(&shared).await;
        epoch += 1;
        shared.came_up(epoch, connection);
        behind = who_answers(&shared).await;
        tracing::info!(store = %shared.address, epoch, "the store is reached again");
    }
}

async fn reconnect(shared: &Shared) -> Connection {
    let mut pause = BACKOFF_MIN;
    loop {
        match connect::connect(&shared.address, &shared.options).await {
            Ok(connection) => return connection,
            Err(error) => {
                tracing::debug!(store = %shared.address, %error, "cannot connect");
                shared.state.send_replace(LinkState::Down { reason: Arc::from(error.to_string()) });
            }
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(BACKOFF_MAX);
    }
}

/// The processes behind the connection: each has made up a name for itself when it started, and has one for the data it holds.
async fn who_answers(shared: &Shared) -> Option<Vec<String>> {
    let mut current = shared.current().ok()?;
    let mut who = Vec::new();
    for (section, field) in [("server", "run_id"), ("replication", "master_replid")] {
        let command = redis::cmd("INFO").arg(section).to_owned();
        let answer = tokio::time::timeout(shared.options.command_timeout, current.connection.query_every_primary(&command)).await;
        for (_, value) in shared.judge(&current, answer).ok()? {
            let text: String = redis::from_redis_value(value).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
            who.extend(line);
        }
    }
    who.sort_unstable();
    Some(who)
}
