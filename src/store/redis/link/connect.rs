//! Making one connection: logging in, finding the primary, making sure that it is one and that it answers.

use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, TlsCertificates, Value,
};

use super::{Credentials, LinkOptions, Password};
use crate::store::redis::address::{Address, Node, Place};

/// How often a cluster's client asks again by itself: often enough to follow a slot that moves.
const CLUSTER_RETRIES: u32 = 3;
/// Its pauses between two of them, in milliseconds.
const CLUSTER_PAUSE_MAX_MS: u64 = 100;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("cannot reach {place}: {problem}{}", hint(.problem))]
    Unreachable { place: String, problem: String },
    #[error("{place} does not answer within {within:?}")]
    Silent { place: String, within: Duration },
    #[error(
        "{place} is a {role}, and only a primary can keep the ledger\nhint: name the primary, or the sentinels with `redis+sentinel://`"
    )]
    NotPrimary { place: String, role: String },
    #[error("no sentinel names a primary of `{service}`: {problem}\nhint: `redis-cli -p 26379 SENTINEL MASTERS` lists what one knows")]
    NoPrimary { service: String, problem: String },
    #[error("cannot read {path}: {source}")]
    File { path: String, source: std::io::Error },
}

fn hint(problem: &str) -> &'static str {
    if problem.contains("NOAUTH") || problem.contains("WRONGPASS") || problem.contains("AuthenticationFailed") {
        "\nhint: see `redis.username`, `redis.password` and `redis.password_file`"
    } else if problem.contains("ertificate") {
        "\nhint: see `redis.tls_ca`"
    } else {
        ""
    }
}

/// One server, or a cluster of them.
#[derive(Clone)]
pub(super) enum Connection {
    Server(String, MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    pub(super) async fn query(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(_, connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }

    pub(super) async fn query_every_primary(&mut self, command: &Cmd) -> RedisResult<Vec<(String, Value)>> {
        match self {
            Self::Server(place, connection) => Ok(vec![(place.clone(), command.query_async(connection).await?)]),
            Self::Cluster(connection) => {
                let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                match connection.route_command(command.clone(), everywhere).await?.extract_error()? {
                    Value::Map(answers) => {
                        answers.into_iter().map(|(place, value)| Ok((redis::from_redis_value(place)?, value.extract_error()?))).collect()
                    }
                    other => Ok(vec![(String::new(), other)]),
                }
            }
        }
    }
}

/// Connects to the primary that an address leads to.
pub(super) async fn connect(address: &Address, options: &LinkOptions) -> Result<Connection, LinkError> {
    if address.tls {
        // Another part of the process may have chosen one already; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let login = login(&options.credentials, address)?;
    match &address.place {
        Place::Server(node) => primary(address, options, login, tcp(node, address.tls), &node.to_string()).await,
        Place::Socket(path) => primary(address, options, login, ConnectionAddr::Unix(path.clone()), &path.display().to_string()).await,
        Place::Sentinels { nodes, service } => {
            let mut problem = "none is named".to_owned();
            for sentinel in nodes {
                match named_primary(sentinel, service, address, options).await {
                    Ok(node) => match primary(address, options, login.clone(), tcp(&node, address.tls), &node.to_string()).await {
                        Ok(connection) => return Ok(connection),
                        // A sentinel may know less than another.
                        Err(error) => problem = error.to_string(),
                    },
                    Err(error) => problem = error.to_string(),
                }
            }
            Err(LinkError::NoPrimary { service: service.clone(), problem })
        }
        Place::Cluster(nodes) => cluster(nodes, address, options, login).await,
    }
}

async fn cluster(nodes: &[Node], address: &Address, options: &LinkOptions, login: RedisConnectionInfo) -> Result<Connection, LinkError> {
    let place = address.to_string();
    let info = |node| tcp(node, address.tls).into_connection_info().map(|info| info.set_redis_settings(login.clone()));
    let build = || -> RedisResult<ClusterClientBuilder> {
        let infos = nodes.iter().map(info).collect::<RedisResult<Vec<ConnectionInfo>>>()?;
        Ok(ClusterClient::builder(infos)
            .retries(CLUSTER_RETRIES)
            .max_retry_wait(CLUSTER_PAUSE_MAX_MS)
            .connection_timeout(options.connect_timeout)
            .response_timeout(options.command_timeout)
            .overall_response_timeout(Some(options.command_timeout)))
    };
    let unreachable = |error: RedisError| LinkError::Unreachable { place: place.clone(), problem: error.to_string() };
    let mut builder = build().map_err(unreachable)?;
    if let Some(certificates) = certificates(address, options)? {
        builder = builder.certs(certificates);
    }
    let client = builder.build().map_err(unreachable)?;
    let within = options.connect_timeout;
    let silent = |_| LinkError::Silent { place: place.clone(), within };
    let connection = tokio::time::timeout(within, client.get_async_connection()).await.map_err(silent)?.map_err(unreachable)?;
    let mut connection = Connection::Cluster(connection);
    let answers = tokio::time::timeout(within, connection.query_every_primary(&redis::cmd("PING"))).await.map_err(silent)?;
    answers.map_err(unreachable)?;
    Ok(connection)
}

/// Connects to one server, which must be a primary and answer.
async fn primary(
    address: &Address,
    options: &LinkOptions,
    login: RedisConnectionInfo,
    to: ConnectionAddr,
    place: &str,
) -> Result<Connection, LinkError> {
    let mut connection = server(to, login, address, options, place).await?;
    let unreachable = |error: RedisError| LinkError::Unreachable { place: place.to_owned(), problem: error.to_string() };
    let role: Vec<Value> =
        within(options.command_timeout, place, redis::cmd("ROLE").query_async(&mut connection)).await?.map_err(unreachable)?;
    let role: String = role.into_iter().next().map(redis::from_redis_value).transpose().ok().flatten().unwrap_or_default();
    if role == "master" {
        Ok(Connection::Server(place.to_owned(), connection))
    } else {
        Err(LinkError::NotPrimary { place: place.to_owned(), role: if role == "slave" { "replica".to_owned() } else { role } })
    }
}

/// The primary that a sentinel names.
async fn named_primary(sentinel: &Node, service: &str, address: &Address, options: &LinkOptions) -> Result<Node, LinkError> {
    let place = format!("sentinel {sentinel}");
    let credentials = &options.sentinel_credentials;
    let login = with_credentials(RedisConnectionInfo::default(), credentials.user.as_deref(), password(credentials)?.as_deref());
    let mut connection = server(tcp(sentinel, address.tls), login, address, options, &place).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
    let found = within(options.command_timeout, &place, command.query_async(&mut connection)).await?;
    let found: Option<(String, u16)> =
        found.map_err(|error: RedisError| LinkError::Unreachable { place: place.clone(), problem: error.to_string() })?;
    let (host, port) =
        found.ok_or_else(|| LinkError::NoPrimary { service: service.to_owned(), problem: format!("{place} does not know it") })?;
    Ok(Node { host, port })
}

async fn server(
    to: ConnectionAddr,
    login: RedisConnectionInfo,
    address: &Address,
    options: &LinkOptions,
    place: &str,
) -> Result<MultiplexedConnection, LinkError> {
    let unreachable = |error: RedisError| LinkError::Unreachable { place: place.to_owned(), problem: error.to_string() };
    let info = to.into_connection_info().map_err(unreachable)?.set_redis_settings(login);
    let client = match certificates(address, options)? {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    };
    // How long a command may take is counted where it is called.
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(options.connect_timeout)).set_response_timeout(None);
    let client = client.map_err(unreachable)?;
    within(options.connect_timeout * 2, place, client.get_multiplexed_async_connection_with_config(&config)).await?.map_err(unreachable)
}

async fn within<T>(limit: Duration, place: &str, work: impl Future<Output = T>) -> Result<T, LinkError> {
    tokio::time::timeout(limit, work).await.map_err(|_| LinkError::Silent { place: place.to_owned(), within: limit })
}

fn tcp(node: &Node, tls: bool) -> ConnectionAddr {
    if tls {
        ConnectionAddr::TcpTls { host: node.host.clone(), port: node.port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(node.host.clone(), node.port)
    }
}

/// Who to log in as: the settings first, then the address.
fn login(credentials: &Credentials, address: &Address) -> Result<RedisConnectionInfo, LinkError> {
    let user = credentials.user.as_deref().or(address.user.as_deref());
    let password = password(credentials)?.or_else(|| address.password.clone());
    let info = RedisConnectionInfo::default().set_db(i64::from(address.database));
    Ok(with_credentials(info, user, password.as_deref()))
}

fn with_credentials(mut info: RedisConnectionInfo, user: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    if let Some(user) = user {
        info = info.set_username(user);
    }
    if let Some(password) = password {
        info = info.set_password(password);
    }
    info
}

fn password(credentials: &Credentials) -> Result<Option<String>, LinkError> {
    match &credentials.password {
        None => Ok(None),
        Some(Password::Value(value)) => Ok(Some(value.clone())),
        Some(Password::File(path)) => {
            let text = String::from_utf8(read(path)?).map_err(|_| LinkError::File {
                path: path.display().to_string(),
                source: std::io::Error::new(std::io::ErrorKind::InvalidData, "not UTF-8"),
            })?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
    }
}

fn certificates(address: &Address, options: &LinkOptions) -> Result<Option<TlsCertificates>, LinkError> {
    if !address.tls {
        return Ok(None);
    }
    let file = |path: &Option<std::path::PathBuf>| path.as_deref().map(read).transpose();
    let client_tls = match (file(&options.tls.certificate)?, file(&options.tls.key)?) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
        _ => None,
    };
    Ok(Some(TlsCertificates { client_tls, root_cert: file(&options.tls.ca)? }))
}

fn read(path: &Path) -> Result<Vec<u8>, LinkError> {
    std::fs::read(path).map_err(|source| LinkError::File { path: path.display().to_string(), source })
}
