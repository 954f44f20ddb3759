//! Where a process listens or is reached, as text and as types: a host with a port, or the path of a unix socket.
//!
//! What both ends of a connection write alike. Nothing is resolved, bound or opened here.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest path of a unix socket: the kernel's 108 bytes with the final zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Why a text names no place. Secrets inside it are masked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("not an address: `{0}`; write `HOST:PORT`")]
    NotHostPort(String),
    #[error("not a port: `{0}`; ports are 0 to 65535")]
    Port(String),
    #[error("no path: `{0}`; write `unix:PATH`")]
    NoSocketPath(String),
    #[error("too long for the path of a socket: {bytes} bytes; at most {UNIX_PATH_BYTES_MAX} are possible")]
    SocketPathTooLong { bytes: usize },
}

/// A host, by name or number, and a port; 0 lets the system choose one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
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

impl FromStr for HostPort {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let wrong = || PlaceError::NotHostPort(masked(text));
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
            return Err(PlaceError::Port(masked(port)));
        }
        let port = port.parse().map_err(|_| PlaceError::Port(port.to_owned()))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// The path of a unix socket, after its `unix:`.
pub(crate) fn socket_path(path: &str) -> Result<PathBuf, PlaceError> {
    match path.len() {
        0 => Err(PlaceError::NoSocketPath(format!("unix:{path}"))),
        bytes if bytes > UNIX_PATH_BYTES_MAX => Err(PlaceError::SocketPathTooLong { bytes }),
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

#[cfg(test)]
mod tests {
    use super::*;

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
