//! Addresses of listeners and stores, as text and as types.
//!
//! Nothing is resolved, bound or opened here.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::address::{HostPort, PlaceError, masked, socket_path};
use crate::store::redis::{Address as RedisAddress, AddressError as RedisAddressError};

/// Schemes of stores, as told to whoever names another.
const STORE_FORMS: &str = "`embedded:DIR`, `memory:`, `redis://`, `rediss://`, `redis+unix://`, `redis+sentinel://`, `rediss+sentinel://`, \
                           `redis-cluster://`, `rediss-cluster://`";

/// Why a text is not an address. Secrets inside it are masked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("no such store: `{0}`; supported are {STORE_FORMS}")]
    StoreScheme(String),
    #[error("no directory: `{0}`; write `embedded:DIR`")]
    NoStoreDirectory(String),
    #[error("takes nothing after the colon: `{0}`; write `memory:`")]
    MemoryStorePath(String),
    #[error(transparent)]
    Redis(#[from] RedisAddressError),
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

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix("unix:") {
            None => Ok(Self::Tcp(text.parse()?)),
            Some(path) => Ok(Self::Unix(socket_path(path)?)),
        }
    }
}

impl FromStr for HttpAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text == "off" { Ok(Self::Off) } else { Ok(Self::At(text.parse()?)) }
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
}
