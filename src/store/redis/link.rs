//! The link to a Redis or Valkey: one server, the primary that sentinels name, or the primaries of a cluster, behind one interface.
//!
//! Owns every connection and the tasks that keep them. A command is sent once, never queued for a server that is away, and what is known of
//! its fate is told exactly ([`Failure`]). It knows nothing of ledgers; whoever asks decides what to repeat.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::watch;

use self::cluster::Cluster;
use self::dial::{Dialer, Target};
use self::finder::Finder;
use self::line::Line;
use super::address::{Address, Place};

mod cluster;
mod dial;
mod error;
mod failure;
mod finder;
mod key;
mod line;
mod live;
mod sentinel;
mod tls;

pub use self::error::{LinkError, Obstacle};
pub use self::failure::Failure;

/// What may be set of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOptions {
    /// The longest that connecting may take, with TLS and the login.
    pub connect_timeout: Duration,
    /// The longest that one command may take, redirections included.
    pub command_timeout: Duration,
    pub tls: TlsFiles,
    /// Of the servers, before what the address says.
    pub credentials: Credentials,
    /// Of the sentinels, which have users of their own.
    pub sentinel_credentials: Credentials,
}

/// Files in PEM format, read anew for each connection, so that they can be replaced. Without `ca`, the system's authorities are trusted.
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

/// Where the circuit stands.
#[derive(Debug, Clone)]
pub enum LinkState {
    /// Something can be asked. `epoch` rises with every new connection, and when a server may have other data, so that whoever asks can look
    /// where it leads.
    Up { epoch: u64 },
    /// Calls fail at once.
    Down { reason: Arc<str> },
}

/// A link that keeps itself.
pub struct Link {
    address: Address,
    topology: Topology,
}

enum Topology {
    Single(Line),
    Cluster(Arc<Cluster>),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("***"),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.address)
    }
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

impl Link {
    /// Connects, makes sure that it is a primary, and keeps the connection from then on. Fails if nothing usable answers now.
    ///
    /// Of a cluster all slots must be somebody's, and one of the primaries must answer.
    pub async fn open(address: Address, options: LinkOptions) -> Result<Arc<Self>, LinkError> {
        Ok(Self::reach(address, options).await?)
    }

    async fn reach(address: Address, options: LinkOptions) -> Result<Arc<Self>, Obstacle> {
        let dialer = Dialer::new(&address, options);
        let epochs = Arc::new(AtomicU64::new(0));
        let topology = match &address.place {
            Place::Cluster(seeds) => Topology::Cluster(Cluster::open(dialer, seeds.clone(), epochs).await?),
            Place::Server(server) => Topology::Single(Self::line(Finder::Fixed(Target::Host(server.clone())), dialer, epochs).await?),
            Place::Socket(path) => Topology::Single(Self::line(Finder::Fixed(Target::Socket(path.clone())), dialer, epochs).await?),
            Place::Sentinels { nodes: sentinels, service } => {
                let finder = Finder::Sentinel { sentinels: sentinels.clone(), service: service.clone() };
                Topology::Single(Self::line(finder, dialer, epochs).await?)
            }
        };
        Ok(Arc::new(Self { address, topology }))
    }

    async fn line(finder: Finder, dialer: Dialer, epochs: Arc<AtomicU64>) -> Result<Line, Obstacle> {
        let first = finder.find(&dialer).await?;
        Ok(Line::start(finder, dialer, epochs, Some(first), Box::new(|| {})))
    }

    /// Sends one command; in a cluster, to the node that serves its key, or to any if it has none. One try, at most `command_timeout`.
    pub async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        match &self.topology {
            Topology::Single(line) => line.call(command).await,
            Topology::Cluster(cluster) => cluster.call(command).await,
        }
    }

    /// Asks every primary: its address, and what it answered. In a cluster a part may answer while another is away.
    pub async fn call_each_primary(&self, command: &Cmd) -> Vec<(String, Result<Value, Failure>)> {
        match &self.topology {
            Topology::Single(line) => vec![(line.name(), line.call(command).await)],
            Topology::Cluster(cluster) => cluster.call_each(command).await,
        }
    }

    /// The same where all must answer.
    pub async fn call_every_primary(&self, command: &Cmd) -> Result<Vec<(String, Value)>, Failure> {
        self.call_each_primary(command).await.into_iter().map(|(name, reply)| Ok((name, reply?))).collect()
    }

    /// Where the circuit stands, now and after every change. The one of a cluster is up as long as any primary answers.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        match &self.topology {
            Topology::Single(line) => line.state(),
            Topology::Cluster(cluster) => cluster.state(),
        }
    }

    /// Waits until who serves a key can be asked. False: the link is gone.
    pub async fn wait_until_up(&self, key: &[u8]) -> bool {
        match &self.topology {
            Topology::Single(line) => line.state().wait_for(|state| matches!(state, LinkState::Up { .. })).await.is_ok(),
            Topology::Cluster(cluster) => cluster.wait_until_up(key).await,
        }
    }

    /// Where it leads, without the login.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// In a cluster, which node serves a key.
    pub fn node_of(&self, key: &[u8]) -> Option<String> {
        match &self.topology {
            Topology::Single(_) => None,
            Topology::Cluster(cluster) => cluster.node_of(key).map(|node| node.to_string()),
        }
    }

    /// Closes every connection and ends the tasks that keep them. What is called afterwards is refused.
    pub async fn close(&self) {
        match &self.topology {
            Topology::Single(line) => line.close().await,
            Topology::Cluster(cluster) => cluster.close().await,
        }
    }
}

/// A string of a reply, as text for people and comparisons.
fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Okay => "OK".to_owned(),
        _ => String::new(),
    }
}
