//! One connection: reached, encrypted and logged in, or an error that says at which of these it failed.
//!
//! Passwords and certificates are read anew each time, so that they can be replaced while the process runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value, cmd};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use super::error::Obstacle;
use super::finder::Standing;
use super::{Credentials, LinkOptions, Password, TlsFiles, tls};
use crate::store::redis::address::{Address, Node};

/// Commands that may wait to be written. More than are ever in flight, so that no caller waits where no deadline sees it.
const BUFFER: usize = 1024;

/// What can be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Host(Node),
    Socket(PathBuf),
}

/// Who answers: one that keeps data, or one that watches those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Server,
    Sentinel,
}

/// Dials with what the configuration says.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    encrypted: bool,
    tls: TlsFiles,
    database: u32,
    server: Credentials,
    sentinel: Credentials,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
}

/// A connection and the future that drives it: without being polled it does nothing, and it ends when the connection does.
pub(super) struct Dialled {
    pub(super) host: String,
    encrypted: bool,
    pub(super) standing: Standing,
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
}

pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection for a few questions; dropped, it closes.
pub(super) struct Brief {
    pub(super) host: String,
    connection: MultiplexedConnection,
    driver: tokio::task::JoinHandle<()>,
    within: Duration,
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl Dialer {
    /// What the options name wins over the address.
    pub(super) fn new(address: &Address, options: LinkOptions) -> Self {
        let LinkOptions { connect_timeout, command_timeout, tls, credentials, sentinel_credentials: sentinel } = options;
        let server = Credentials {
            user: credentials.user.or_else(|| address.user.clone()),
            password: credentials.password.or_else(|| address.password.clone().map(Password::Value)),
        };
        Self { encrypted: address.tls, tls, database: address.database, server, sentinel, connect_timeout, command_timeout }
    }

    /// Connects and logs in, within the time for connecting.
    pub(super) async fn dial(&self, target: &Target, party: Party) -> Result<Dialled, Obstacle> {
        let host = target.to_string();
        let silent = Obstacle::Silent { host: host.clone(), within: self.connect_timeout };
        timeout(self.connect_timeout, self.dial_slowly(target, party, host)).await.map_err(|_| silent)?
    }

    /// The same for a few questions.
    pub(super) async fn dial_briefly(&self, target: &Target, party: Party) -> Result<Brief, Obstacle> {
        let Dialled { host, connection, driver, .. } = self.dial(target, party).await?;
        Ok(Brief { host, connection, driver: tokio::spawn(driver), within: self.command_timeout })
    }

    async fn dial_slowly(&self, target: &Target, party: Party, host: String) -> Result<Dialled, Obstacle> {
        let wire = self.connect(target).await?;
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        // Deadlines are ours: a client's own would not say what became of the command.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None).set_pipeline_buffer_size(BUFFER);
        let opened = MultiplexedConnection::new_with_config(&info, wire, config).await;
        let (connection, driver) = opened.map_err(|error| Obstacle::Protocol { host: host.clone(), reason: error.to_string() })?;
        let encrypted = self.encrypted && matches!(target, Target::Host(_));
        let mut dialled = Dialled { host, encrypted, standing: Standing::default(), connection, driver: Box::pin(driver) };
        let (connection, host) = (dialled.connection.clone(), dialled.host.clone());
        dialled.drive(self.log_in(connection, party, &host)).await?;
        Ok(dialled)
    }

    async fn connect(&self, target: &Target) -> Result<Box<dyn Wire>, Obstacle> {
        let unreachable = |error: std::io::Error| Obstacle::Connect { host: target.to_string(), reason: error.to_string() };
        let endpoint = match target {
            Target::Socket(path) => return Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?)),
            Target::Host(endpoint) => endpoint,
        };
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(unreachable)?;
        // A command waits for nothing that may follow it.
        stream.set_nodelay(true).map_err(unreachable)?;
        if !self.encrypted {
            return Ok(Box::new(stream));
        }
        let files = self.tls.clone();
        let failed = |reason: String| Obstacle::Tls { host: target.to_string(), reason };
        let connector = tokio::task::spawn_blocking(move || tls::connector(&files)).await.map_err(|error| failed(error.to_string()))??;
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| failed(error.to_string()))?;
        Ok(Box::new(connector.connect(name, stream).await.map_err(|error| failed(error.to_string()))?))
    }

    async fn log_in(&self, mut connection: MultiplexedConnection, party: Party, host: &str) -> Result<(), Obstacle> {
        let (identity, database) = match party {
            Party::Server => (&self.server, self.database),
            Party::Sentinel => (&self.sentinel, 0),
        };
        if let Some(password) = &identity.password {
            let mut auth = cmd("AUTH");
            if let Some(user) = &identity.user {
                auth.arg(user);
            }
            auth.arg(password.read().await?);
            ask(&mut connection, host, "AUTH", &auth).await?;
        }
        if database != 0 {
            ask(&mut connection, host, "SELECT", cmd("SELECT").arg(database)).await?;
        }
        Ok(())
    }
}

impl Dialled {
    /// Does some work on the connection, which moves only meanwhile.
    pub(super) async fn drive<T>(&mut self, work: impl Future<Output = Result<T, Obstacle>>) -> Result<T, Obstacle> {
        tokio::select! {
            done = work => done,
            () = &mut self.driver => Err(Obstacle::HungUp { host: self.host.clone(), encrypted: self.encrypted }),
        }
    }
}

impl Brief {
    /// The reply to one question.
    pub(super) async fn ask(&mut self, name: &'static str, command: &Cmd) -> Result<Value, Obstacle> {
        let silent = Obstacle::Silent { host: self.host.clone(), within: self.within };
        timeout(self.within, ask(&mut self.connection, &self.host, name, command)).await.map_err(|_| silent)?
    }
}

impl Drop for Brief {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Password {
    async fn read(&self) -> Result<String, Obstacle> {
        match self {
            Self::Value(password) => Ok(password.clone()),
            Self::File(path) => read_password(path).await,
        }
    }
}

async fn read_password(path: &Path) -> Result<String, Obstacle> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|error| Obstacle::File { what: "the password", path: path.to_owned(), reason: error.to_string() })?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Obstacle::EmptyFile { what: "password", path: path.to_owned() });
    }
    Ok(password.to_owned())
}

/// One question on a connection that somebody drives. An error that the server sends says what it refuses.
pub(super) async fn ask(connection: &mut MultiplexedConnection, host: &str, name: &'static str, command: &Cmd) -> Result<Value, Obstacle> {
    let refused = |code: &str, message: &str| {
        let (host, code, message) = (host.to_owned(), code.to_owned(), message.to_owned());
        if name == "AUTH" { Obstacle::Login { host, code, message } } else { Obstacle::Refused { host, command: name, code, message } }
    };
    match connection.send_packed_command(command).await {
        Ok(Value::ServerError(error)) => Err(refused(error.code(), error.details().unwrap_or_default())),
        Ok(value) => Ok(value),
        Err(error) => Err(match error.code() {
            Some(code) => refused(code, error.detail().unwrap_or_default()),
            None if error.is_io_error() => Obstacle::Connect { host: host.to_owned(), reason: error.to_string() },
            None => Obstacle::Protocol { host: host.to_owned(), reason: error.to_string() },
        }),
    }
}
