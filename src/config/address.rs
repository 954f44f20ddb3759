//! Addresses of listeners and stores, as text and as types.
//!
//! Nothing is resolved, bound or opened here.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::store::redis::{Address as RedisAddress, AddressError as RedisAddressError};

/// Longest path of a unix socket: the kernel's 108 bytes with the final zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Schemes of stores, as told to whoever names another.
const STORE_FORMS: &str = "`embedded:DIR`, `memory:`, `redis://`, `rediss://`, `redis+unix://`, `redis+sentinel://`, `rediss+sentinel://`, \
                           `redis-cluster://`, `rediss-cluster://`";

/// Why a text is not an address. Secrets inside it are masked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("not an address: `{0}`; write `HOST:PORT`")]
    NotHostPort(String),
    #[error("not a port: `{0}`; ports are 0 to 65535")]
    Port(String),
    #[error("no path: `{0}`; write `unix:PATH`")]
    NoSocketPath(String),
    #[error("too long for the path of a socket: {bytes} bytes; at most {UNIX_PATH_BYTES_MAX} are possible")]
    SocketPathTooLong { bytes: usize },
    #[error("no such store: `{0}`; supported are {STORE_FORMS}")]
    StoreScheme(String),
    #[error("no directory: `{0}`; write `embedded:DIR`")]
    NoStoreDirectory(String),
    #[error("takes nothing after the colon: `{0}`; write `memory:`")]
    MemoryStorePath(String),
    #[error(transparent)]
    Redis(#[from] RedisAddressError),
}

/// A host, by name or number, and a port; 0 lets the system choose one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Where gRPC is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(HostPort),
    Unix(PathBuf),
}

/// Where the admin port is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAddress {
    Off,
    At(HostPort),
}

/// Which store keeps the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// The embedded database in this directory.
    Embedded(PathBuf),
    /// Nothing survives the process.
    Memory,
    /// Redis or Valkey, shared by many processes.
    Redis(RedisAddress),
}

impl HostPort {
    pub fn loopback(port: u16) -> Self {
        Self { host: "127.0.0.1".to_owned(), port }
    }

    /// Without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the standard library resolves them.
    pub fn pair(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// True: only this host can reach it. A name other than `localhost` is not looked up and counts as reachable.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl HttpAddress {
    /// True: only this host can reach it, or nobody.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Off => true,
            Self::At(address) => address.is_loopback(),
        }
    }
}

impl ListenAddress {
    /// True: only this host can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::NotHostPort(masked(text));
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(wrong()),
            None => host,
        };
        let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        let is_bracketed = host.len() != text.len() - port.len() - 1;
        if !is_name && !is_bracketed {
            return Err(wrong());
        }
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::Port(masked(port)));
        }
        let port = port.parse().map_err(|_| AddressError::Port(port.to_owned()))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix("unix:") {
            None => text.parse().map(Self::Tcp),
            Some(path) => socket_path(path).map(Self::Unix),
        }
    }
}

impl FromStr for HttpAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

impl FromStr for StoreAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if RedisAddress::is_scheme(text) {
            return Ok(Self::Redis(text.parse()?));
        }
        match text.split_once(':') {
            Some(("embedded", "")) => Err(AddressError::NoStoreDirectory(text.to_owned())),
            Some(("embedded", dir)) => Ok(Self::Embedded(dir.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => Err(AddressError::MemoryStorePath(text.to_owned())),
            _ => Err(AddressError::StoreScheme(masked(text))),
        }
    }
}

/// The path of a unix socket, after its `unix:`.
pub(crate) fn socket_path(path: &str) -> Result<PathBuf, AddressError> {
    match path.len() {
        0 => Err(AddressError::NoSocketPath(format!("unix:{path}"))),
        bytes if bytes > UNIX_PATH_BYTES_MAX => Err(AddressError::SocketPathTooLong { bytes }),
        _ => Ok(path.into()),
    }
}

/// A text with what stands before the `@` of a URL's host replaced by `***`.
pub fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let host_start = rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())].rfind('@');
    // A password may hold a bare `/`: what looks like a secret is masked up to the last `@`.
    match host_start.or_else(|| rest.rfind('@')) {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "embedded:{}", dir.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Redis(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["127.0.0.1:7070", "[::1]:0", "localhost:65535", "a-b.example_c:1", "unix:/run/q.sock", "unix:q"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in ["off", "127.0.0.1:7071"] {
            assert_eq!(text.parse::<HttpAddress>().unwrap().to_string(), text);
        }
        for text in ["embedded:data", "embedded:/var/lib/genquota", "memory:", "redis://cache:6379", "rediss-cluster://a:1,b:2"] {
            assert_eq!(text.parse::<StoreAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let wrong = [
            "",
            "7070",
            ":7070",
            "::1:7070",
            "[::1]",
            "[x]:1",
            "host:",
            "host:http",
            "host:65536",
            "host:+1",
            "a b:1",
            "http://h:1",
            "unix:",
        ];
        for text in wrong {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
        assert!(format!("unix:{}", "x".repeat(108)).parse::<ListenAddress>().is_err());
        for text in ["", "memory", "memory:x", "embedded:", "embedded", "redis:h", "redis://", "http://h", "/var/lib"] {
            assert!(text.parse::<StoreAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_this_host_is_loopback() {
        for (text, loopback) in [
            ("127.0.0.1:1", true),
            ("127.255.0.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("LocalHost:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
            ("localhost.example:1", false),
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().is_loopback(), loopback, "{text}");
        }
    }

    #[test]
    fn passwords_are_masked() {
        for (text, shown) in [
            ("redis://user:secret@cache:6379/0", "redis://***@cache:6379/0"),
            ("redis://:se/cr@t@cache", "redis://***@cache"),
            ("redis://:se/cret@cache", "redis://***@cache"),
            ("redis://cache:6379", "redis://cache:6379"),
            ("embedded:a@b", "embedded:a@b"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
