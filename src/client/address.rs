//! The address of a server, as users write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::address::{HostPort, PlaceError, masked, socket_path};

/// Where a server is: `http://HOST:PORT`, `HOST:PORT`, `https://HOST:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAddress {
    /// In clear.
    Tcp(HostPort),
    Tls(HostPort),
    Unix(PathBuf),
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerAddressError {
    #[error("no such scheme: `{0}`; write `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT` or `unix:PATH`")]
    Scheme(String),
    #[error("nothing may follow the port: `{0}`; write `http://HOST:PORT`")]
    Path(String),
    #[error("port 0 is only for listeners: `{0}`")]
    PortZero(String),
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl ServerAddress {
    /// True: nobody beside the two ends can read or change what is said.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Tcp(address) => address.is_loopback(),
            Self::Tls(_) | Self::Unix(_) => true,
        }
    }
}

impl FromStr for ServerAddress {
    type Err = ServerAddressError;

    fn from_str(text: &str) -> Result<Self, ServerAddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(socket_path(path.strip_prefix("//").unwrap_or(path))?));
        }
        let (at, rest): (fn(HostPort) -> Self, &str) = match text.split_once("://") {
            None => (Self::Tcp, text),
            Some(("http", rest)) => (Self::Tcp, rest.strip_suffix('/').unwrap_or(rest)),
            Some(("https", rest)) => (Self::Tls, rest.strip_suffix('/').unwrap_or(rest)),
            Some(_) => return Err(ServerAddressError::Scheme(masked(text))),
        };
        if rest.contains('/') {
            return Err(ServerAddressError::Path(masked(text)));
        }
        let address: HostPort = rest.parse()?;
        if address.port() == 0 { Err(ServerAddressError::PortZero(text.to_owned())) } else { Ok(at(address)) }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Tls(address) => write!(f, "https://{address}"),
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
            ("https://quota.example:443/", "https://quota.example:443"),
            ("localhost:7070", "http://localhost:7070"),
            ("[::1]:7070", "http://[::1]:7070"),
            ("unix:/run/q.sock", "unix:/run/q.sock"),
            ("unix:///run/q.sock", "unix:/run/q.sock"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), shown);
        }
        for text in ["", "localhost", "https://h", "ftp://h:1", "http://h:1/x", "h:1/x", "h:0", "unix:", "http://u:p@h:1"] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_way_that_nobody_else_can_read_is_private() {
        for (text, private) in
            [("http://localhost:1", true), ("unix:q", true), ("https://quota.example:1", true), ("http://quota.example:1", false)]
        {
            assert_eq!(text.parse::<ServerAddress>().unwrap().is_private(), private, "{text}");
        }
    }
}
