//! Where a Redis or Valkey is: the URL of a store, taken apart and checked. Nothing is resolved or connected here.
//!
//! `redis://[user[:password]@]host[:port][/db]`, `redis+unix:///path[?db=N]`, `redis+sentinel://host[:port],…/service[/db]` and
//! `redis-cluster://host[:port],…`; with `rediss` for `redis` the same over TLS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The servers' usual port, and that of sentinels.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// Longest path of a unix socket: the kernel's 108 bytes with the final zero.
const SOCKET_BYTES_MAX: usize = 107;

/// Why a text is no address. Secrets inside it are not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "no such scheme: `{0}`; write `redis`, `rediss`, `redis+unix`, `redis+sentinel`, `rediss+sentinel`, `redis-cluster` or `rediss-cluster`"
    )]
    Scheme(String),
    #[error("no host in the address")]
    NoHost,
    #[error("not a host and port: `{0}`")]
    Host(String),
    #[error("one host is possible here: several need `redis+sentinel` or `redis-cluster`")]
    ManyHosts,
    #[error("not a number of a database: `{0}`; write a whole number such as `0`")]
    Database(String),
    #[error("a cluster has no numbered databases")]
    ClusterDatabase,
    #[error("no name of a service: write `redis+sentinel://host,…/SERVICE`")]
    NoService,
    #[error("what follows is not understood: `{0}`")]
    Rest(String),
    #[error("a user or password has a broken percent sign")]
    Percent,
    #[error("not the path of a socket: it has {0} bytes, and must begin with `/` and have at most {SOCKET_BYTES_MAX}")]
    Socket(usize),
}

/// One or more servers that hold one ledger.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) place: Place,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Server(Node),
    Socket(PathBuf),
    /// The primary that the sentinels name.
    Sentinels {
        nodes: Vec<Node>,
        service: String,
    },
    /// Nodes to ask for the others.
    Cluster(Vec<Node>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Whether a text has one of the schemes read here.
    pub fn is_scheme(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| scheme_of(scheme).is_some())
    }

    /// Whether it leads to a cluster.
    pub const fn is_cluster(&self) -> bool {
        matches!(self.place, Place::Cluster(_))
    }

    /// Whether it is reached over TLS.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Socket,
    Sentinels,
    Cluster,
}

fn scheme_of(scheme: &str) -> Option<(Kind, bool)> {
    Some(match scheme {
        "redis" => (Kind::Server, false),
        "rediss" => (Kind::Server, true),
        "redis+unix" => (Kind::Socket, false),
        "redis+sentinel" => (Kind::Sentinels, false),
        "rediss+sentinel" => (Kind::Sentinels, true),
        "redis-cluster" => (Kind::Cluster, false),
        "rediss-cluster" => (Kind::Cluster, true),
        _ => return None,
    })
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| AddressError::Scheme(head(text)))?;
        let (kind, tls) = scheme_of(scheme).ok_or_else(|| AddressError::Scheme(scheme.to_owned()))?;
        let (user, password, rest) = match rest.rsplit_once('@') {
            None => (None, None, rest),
            Some((login, rest)) => {
                let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
                let user = Some(unescaped(user)?).filter(|user| !user.is_empty());
                (user, password.map(unescaped).transpose()?, rest)
            }
        };
        let (place, database) = match kind {
            Kind::Socket => socket(rest)?,
            Kind::Server | Kind::Sentinels | Kind::Cluster => network(kind, rest)?,
        };
        Ok(Self { place, tls, user, password, database })
    }
}

fn socket(rest: &str) -> Result<(Place, u32), AddressError> {
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    if !path.starts_with('/') || path.len() > SOCKET_BYTES_MAX {
        return Err(AddressError::Socket(path.len()));
    }
    let database = match query.map(|query| query.strip_prefix("db=").ok_or_else(|| AddressError::Rest(query.to_owned()))).transpose()? {
        Some(text) => number(text)?,
        None => 0,
    };
    Ok((Place::Socket(path.into()), database))
}

fn network(kind: Kind, rest: &str) -> Result<(Place, u32), AddressError> {
    let mut parts = rest.trim_end_matches('/').split('/');
    let hosts = parts.next().unwrap_or_default();
    let port = if kind == Kind::Sentinels { SENTINEL_PORT } else { PORT };
    let nodes: Vec<Node> = hosts.split(',').map(|host| node(host, port)).collect::<Result<_, _>>()?;
    let service = if kind == Kind::Sentinels { parts.next() } else { None };
    let database = parts.next().map(number).transpose()?.unwrap_or(0);
    if let Some(more) = parts.next() {
        return Err(AddressError::Rest(more.to_owned()));
    }
    let place = match kind {
        Kind::Server | Kind::Socket => match <[Node; 1]>::try_from(nodes) {
            Ok([node]) => Place::Server(node),
            Err(_) => return Err(AddressError::ManyHosts),
        },
        Kind::Sentinels => {
            let service = service.filter(|service| !service.is_empty()).ok_or(AddressError::NoService)?.to_owned();
            Place::Sentinels { nodes, service }
        }
        Kind::Cluster if database != 0 => return Err(AddressError::ClusterDatabase),
        Kind::Cluster => Place::Cluster(nodes),
    };
    Ok((place, database))
}

fn node(text: &str, default_port: u16) -> Result<Node, AddressError> {
    // What stands where a port should may be a password whose host was forgotten.
    let shown = match text.rsplit_once(':') {
        Some((host, port)) if !port.bytes().all(|byte| byte.is_ascii_digit()) => format!("{host}:***"),
        _ => text.to_owned(),
    };
    let wrong = || AddressError::Host(shown.clone());
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or_else(wrong)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(wrong)?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
    let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| wrong()))?;
    if is_name { Ok(Node { host: host.to_owned(), port }) } else { Err(wrong()) }
}

fn number(text: &str) -> Result<u32, AddressError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| AddressError::Database(text.to_owned()))
}

/// A text with its `%xx` read.
fn unescaped(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).filter(|digits| !digits.starts_with('+'));
        bytes.push(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(AddressError::Percent)?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| AddressError::Percent)
}

/// As much of a text as cannot hold a secret.
fn head(text: &str) -> String {
    text.split([':', '@', '/']).next().unwrap_or_default().to_owned()
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// With `***` for a login.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let login = if self.user.is_some() || self.password.is_some() { "***@" } else { "" };
        let list = |nodes: &[Node]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match &self.place {
            Place::Server(node) => write!(f, "{scheme}://{login}{node}")?,
            Place::Socket(path) => write!(f, "{scheme}+unix://{login}{}", path.display())?,
            Place::Sentinels { nodes, service } => write!(f, "{scheme}+sentinel://{login}{}/{service}", list(nodes))?,
            Place::Cluster(nodes) => write!(f, "{scheme}-cluster://{login}{}", list(nodes))?,
        }
        match (&self.place, self.database) {
            (_, 0) => Ok(()),
            (Place::Socket(_), database) => write!(f, "?db={database}"),
            (_, database) => write!(f, "/{database}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for (text, written) in [
            ("redis://cache", "redis://cache:6379"),
            ("rediss://cache:7000/3", "rediss://cache:7000/3"),
            ("redis://[::1]:7000/", "redis://[::1]:7000"),
            ("redis://:secret@cache", "redis://***@cache:6379"),
            ("redis+unix:///run/redis.sock?db=2", "redis+unix:///run/redis.sock?db=2"),
            ("redis+sentinel://a,b:7000/main/1", "redis+sentinel://a:26379,b:7000/main/1"),
            ("rediss+sentinel://u:p@a/main", "rediss+sentinel://***@a:26379/main"),
            ("redis-cluster://a,b:7001", "redis-cluster://a:6379,b:7001"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
            if !written.contains('*') {
                assert_eq!(written.parse(), Ok(address));
            }
        }
    }

    #[test]
    fn a_login_is_read_with_its_escapes_and_never_shown() {
        let address: Address = "redis://app:p%40ss%2fw%3Ard@cache".parse().unwrap();
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("app"), Some("p@ss/w:rd")));
        assert_eq!(format!("{address} {address:?}"), "redis://***@cache:6379 redis://***@cache:6379");
        for text in ["redis://app:p%4@cache", "redis://app:p%zz@cache", "redis://app:%ff@cache"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Percent));
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        use AddressError as E;
        for (text, problem) in [
            ("cache", E::Scheme("cache".to_owned())),
            ("user:secret@cache", E::Scheme("user".to_owned())),
            ("http://cache", E::Scheme("http".to_owned())),
            ("redis://", E::NoHost),
            ("redis://a,b", E::ManyHosts),
            ("redis://cache:99999", E::Host("cache:99999".to_owned())),
            ("redis://[zz]", E::Host("[zz]".to_owned())),
            ("redis://user:secret", E::Host("user:***".to_owned())),
            ("redis://ca che", E::Host("ca che".to_owned())),
            ("redis://cache/x", E::Database("x".to_owned())),
            ("redis://cache/1/2", E::Rest("2".to_owned())),
            ("redis-cluster://a/1", E::ClusterDatabase),
            ("redis+sentinel://a", E::NoService),
            ("redis+unix://run/redis.sock", E::Socket(14)),
            ("redis+unix:///run/redis.sock?x=1", E::Rest("x=1".to_owned())),
        ] {
            assert_eq!(text.parse::<Address>(), Err(problem), "{text}");
        }
    }
}
