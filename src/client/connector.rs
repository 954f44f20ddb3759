//! How a server is reached: its address, whom to trust, what to show, and how long to wait.
//!
//! Files are named here and read by the connection, at its start and whenever they change. A token is never shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::ServerAddress;
use super::connection::Connection;

/// Longest wait for a connection. The sidecar stands on the same host: what takes longer than this is not there.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an answer where nobody says otherwise: as long as the server itself gives a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the other end of a connection with calls in flight is asked whether it lives, and how long it may take to say so.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A server, and everything that connecting to it takes.
///
/// ```
/// use genquota::client::{Connector, Token};
///
/// let connector = Connector::new("https://quota.internal:7070".parse()?)
///     .tls_ca("/etc/genquota/ca.pem")
///     .token(Token::File("/var/run/secrets/genquota/token".into()));
/// # Ok::<(), genquota::client::ServerAddressError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Connector {
    server: ServerAddress,
    timeout: Duration,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    token: Option<Token>,
    token_in_clear: bool,
}

/// What proves to the server who calls.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    Value(String),
    /// A file with nothing else in it, read anew when it changes: what a secret store mounts, and rotates.
    File(PathBuf),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no server at `{server}`")]
    Unreachable {
        server: ServerAddress,
        #[source]
        source: tonic::transport::Error,
    },
    #[error(
        "the token would go to `{server}` for everybody on the way to read\nhint: write `https://HOST:PORT` or `unix:PATH`; `--insecure`, \
         in code `token_in_clear`, sends it all the same"
    )]
    TokenInClear { server: ServerAddress },
    #[error("files for TLS are named, and `{server}` does not speak it\nhint: write `https://HOST:PORT`")]
    TlsUnused { server: ServerAddress },
    #[error("a certificate and its key come together\nhint: name both, `--tls-cert` and `--tls-key`, or none")]
    CertificateWithoutKey,
    #[error("cannot read `{}`: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{from} holds no token: it must be one word of visible ASCII characters")]
    Token { from: String },
    #[error("what the files for TLS hold cannot be used\nhint: they are PEM: certificates, and a key that belongs to the first of them")]
    Tls(#[source] tonic::transport::Error),
}

/// What the named files hold.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Held {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Ready to be sent; it does not print.
    pub(super) authorization: Option<HeaderValue>,
}

impl Connector {
    pub fn new(server: ServerAddress) -> Self {
        Self { server, timeout: TIMEOUT, tls_ca: None, tls_cert: None, tls_key: None, token: None, token_in_clear: false }
    }

    /// The longest to wait for an answer, 10 seconds by default.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// PEM file with the authorities to trust instead of the system's.
    pub fn tls_ca(self, file: impl Into<PathBuf>) -> Self {
        Self { tls_ca: Some(file.into()), ..self }
    }

    /// PEM file with the certificate to show to a server that asks for one.
    pub fn tls_cert(self, file: impl Into<PathBuf>) -> Self {
        Self { tls_cert: Some(file.into()), ..self }
    }

    /// PEM file with the key of that certificate.
    pub fn tls_key(self, file: impl Into<PathBuf>) -> Self {
        Self { tls_key: Some(file.into()), ..self }
    }

    pub fn token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Sends a token over `http://` to another host too. Only where something else keeps the way between them private.
    pub fn token_in_clear(self) -> Self {
        Self { token_in_clear: true, ..self }
    }

    pub fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// Connects now, and again by itself whenever the connection is lost.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let held = self.read()?;
        let channel = self.endpoint(&held)?.connect().await.map_err(|source| self.unreachable(source))?;
        Ok(Connection::new(self.clone(), held, channel))
    }

    /// Connects at the first call: for who may start before the server does. Must be called within a Tokio runtime.
    pub fn connect_lazy(&self) -> Result<Connection, ConnectError> {
        let held = self.read()?;
        let channel = self.endpoint(&held)?.connect_lazy();
        Ok(Connection::new(self.clone(), held, channel))
    }

    /// Whether anything comes from files, which may change.
    pub(super) fn has_files(&self) -> bool {
        self.tls_ca.is_some() || self.tls_cert.is_some() || matches!(self.token, Some(Token::File(_)))
    }

    /// Reads what the files hold now, and refuses what must not be.
    pub(super) fn read(&self) -> Result<Held, ConnectError> {
        let tls = [&self.tls_ca, &self.tls_cert, &self.tls_key].into_iter().any(Option::is_some);
        if tls && !matches!(self.server, ServerAddress::Tls(_)) {
            return Err(ConnectError::TlsUnused { server: self.server.clone() });
        }
        if self.token.is_some() && !self.server.is_private() && !self.token_in_clear {
            return Err(ConnectError::TokenInClear { server: self.server.clone() });
        }
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConnectError::CertificateWithoutKey),
        };
        let authorization = self.token.as_ref().map(Token::authorization).transpose()?;
        Ok(Held { ca: self.tls_ca.as_ref().map(read).transpose()?, identity, authorization })
    }

    /// The same server, with what the files hold.
    pub(super) fn endpoint(&self, held: &Held) -> Result<Endpoint, ConnectError> {
        let uri = match &self.server {
            ServerAddress::Unix(path) => format!("unix:{}", path.display()),
            ServerAddress::Tcp(_) | ServerAddress::Tls(_) => self.server.to_string(),
        };
        let endpoint = Endpoint::from_shared(uri).map_err(|source| self.unreachable(source))?;
        let endpoint = endpoint
            .connect_timeout(self.timeout.min(CONNECT_TIMEOUT_MAX))
            .timeout(self.timeout)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        match self.server {
            ServerAddress::Tls(_) => endpoint.tls_config(held.tls()).map_err(ConnectError::Tls),
            ServerAddress::Tcp(_) | ServerAddress::Unix(_) => Ok(endpoint),
        }
    }

    fn unreachable(&self, source: tonic::transport::Error) -> ConnectError {
        ConnectError::Unreachable { server: self.server.clone(), source }
    }
}

/// Connects to a server that asks for neither certificate nor token. Every call that takes longer than `timeout` is given up.
pub async fn connect(server: &ServerAddress, timeout: Duration) -> Result<Channel, ConnectError> {
    let connector = Connector::new(server.clone()).timeout(timeout);
    connector.endpoint(&Held::default())?.connect().await.map_err(|source| connector.unreachable(source))
}

impl Token {
    fn authorization(&self) -> Result<HeaderValue, ConnectError> {
        let read;
        let (text, from) = match self {
            Self::Value(text) => (text.as_str(), "what was given".to_owned()),
            Self::File(path) => {
                read = String::from_utf8_lossy(&self::read(path)?).into_owned();
                (read.as_str(), format!("`{}`", path.display()))
            }
        };
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConnectError::Token { from });
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ConnectError::Token { from })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("***"),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl Held {
    fn tls(&self) -> ClientTlsConfig {
        let config = match &self.ca {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match &self.identity {
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
            None => config,
        }
    }

    /// Whether another connection is needed, and not only another token.
    pub(super) fn other_tls(&self, before: &Self) -> bool {
        self.ca != before.ca || self.identity != before.identity
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|source| ConnectError::File { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(server: &str) -> Connector {
        Connector::new(server.parse().unwrap())
    }

    #[tokio::test]
    async fn absent_server_is_an_error_and_not_a_wait() {
        let dir = tempfile::tempdir().unwrap();
        let server = ServerAddress::Unix(dir.path().join("absent.sock"));
        let error = connect(&server, Duration::from_secs(60)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { server: named, .. } if named == server));
    }

    #[test]
    fn a_token_goes_to_another_host_in_clear_only_where_that_is_asked_for() {
        let with_token = |server: &str| connector(server).token(Token::Value("secret".to_owned()));
        for server in ["http://127.0.0.1:1", "https://quota.example:1", "unix:q"] {
            assert!(with_token(server).read().is_ok(), "{server}");
        }
        let refused = with_token("http://quota.example:1").read().unwrap_err();
        assert!(matches!(refused, ConnectError::TokenInClear { .. }) && !refused.to_string().contains("secret"), "{refused}");
        assert!(with_token("http://quota.example:1").token_in_clear().read().is_ok());
    }

    #[test]
    fn what_belongs_together_is_asked_for_and_what_is_unused_is_refused() {
        assert!(matches!(connector("http://localhost:1").tls_ca("ca").read().unwrap_err(), ConnectError::TlsUnused { .. }));
        assert!(matches!(connector("https://localhost:1").tls_key("key").read().unwrap_err(), ConnectError::CertificateWithoutKey));
        assert!(matches!(connector("https://localhost:1").tls_ca("absent").read().unwrap_err(), ConnectError::File { .. }));
    }

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        for wrong in ["", " \n", "two words", "ö"] {
            assert!(matches!(Token::Value(wrong.to_owned()).authorization(), Err(ConnectError::Token { .. })), "{wrong:?}");
        }
        let token = Token::Value(" secret\n".to_owned());
        assert_eq!(token.authorization().unwrap(), "Bearer secret");
        let held = connector("unix:q").token(token.clone()).read().unwrap();
        assert_eq!(format!("{token:?} {held:?} {:?}", held.authorization), "*** *** Some(Sensitive)");
    }
}
