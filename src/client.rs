//! Connecting to a sidecar, over TCP or a unix socket.
//!
//! Owns the address of a server as users write it, and the deadlines of connecting and calling. It retries nothing: whoever calls knows
//! which ids make a repeat safe.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::config::{AddressError, HostPort, masked, socket_path};

/// Longest wait for a connection. The sidecar stands on the same host: what takes longer than this is not there.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// Where a server is: `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAddress {
    Tcp(HostPort),
    Unix(PathBuf),
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerAddressError {
    #[error("no such scheme: `{0}`; write `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`")]
    Scheme(String),
    #[error("nothing may follow the port: `{0}`; write `http://HOST:PORT`")]
    Path(String),
    #[error("port 0 is only for listeners: `{0}`")]
    PortZero(String),
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// The server gives no answer.
#[derive(Debug, thiserror::Error)]
#[error("no server at `{server}`")]
pub struct ConnectError {
    pub server: ServerAddress,
    #[source]
    pub source: tonic::transport::Error,
}

/// Connects. Every call on the channel that takes longer than `timeout` is given up.
pub async fn connect(server: &ServerAddress, timeout: Duration) -> Result<Channel, ConnectError> {
    let failed = |source| ConnectError { server: server.clone(), source };
    let uri = match server {
        ServerAddress::Tcp(address) => format!("http://{address}"),
        ServerAddress::Unix(path) => format!("unix:{}", path.display()),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(failed)?;
    let endpoint = endpoint.connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX)).timeout(timeout);
    endpoint.connect().await.map_err(failed)
}

impl FromStr for ServerAddress {
    type Err = ServerAddressError;

    fn from_str(text: &str) -> Result<Self, ServerAddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(socket_path(path.strip_prefix("//").unwrap_or(path))?));
        }
        let rest = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(ServerAddressError::Scheme(masked(text))),
        };
        if rest.contains('/') {
            return Err(ServerAddressError::Path(masked(text)));
        }
        let address: HostPort = rest.parse()?;
        if address.port() == 0 { Err(ServerAddressError::PortZero(text.to_owned())) } else { Ok(Self::Tcp(address)) }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_url_address_or_socket() {
        for (text, shown) in [
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("http://127.0.0.1:7070/", "http://127.0.0.1:7070"),
            ("localhost:7070", "http://localhost:7070"),
            ("[::1]:7070", "http://[::1]:7070"),
            ("unix:/run/q.sock", "unix:/run/q.sock"),
            ("unix:///run/q.sock", "unix:/run/q.sock"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), shown);
        }
        for text in ["", "localhost", "https://h:1", "http://h:1/x", "h:1/x", "h:0", "unix:", "http://u:p@h:1"] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn absent_server_is_an_error_and_not_a_wait() {
        let dir = tempfile::tempdir().unwrap();
        let server = ServerAddress::Unix(dir.path().join("absent.sock"));
        assert_eq!(connect(&server, Duration::from_secs(60)).await.unwrap_err().server, server);
    }
}
