//! TLS of the TCP listeners: what its files say, put in force for new handshakes whenever they change.
//!
//! Sessions are never resumed: a connection lasts for many calls, and each handshake is judged by the authorities that are in force then.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::anyhow;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::files::Loaded;
use super::watched::{Verdict, Watched};
use crate::clock::Clock;
use crate::config::TlsConfig;
use crate::http::Health;

/// Longest file: a chain, or the authorities of a company.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most names of a client's certificate that are looked at.
const NAMES_MAX: usize = 16;

/// By what TLS is spoken now. Clones are the same.
#[derive(Clone)]
pub(super) struct Tls(Arc<RwLock<Arc<InForce>>>);

struct InForce {
    /// HTTP/2, with a certificate of the client where authorities are given.
    grpc: TlsAcceptor,
    /// HTTP/1.1, without one.
    http: TlsAcceptor,
    expires: Timestamp,
}

/// The files, and where what they say goes.
pub(super) struct TlsFiles {
    config: TlsConfig,
    in_force: Pem,
    tls: Tls,
    clock: Arc<dyn Clock>,
    health: Health,
}

/// What the files say.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem {
    certificate: Arc<[u8]>,
    key: Arc<[u8]>,
    client_authorities: Option<Arc<[u8]>>,
}

impl Tls {
    /// The handshake of a client of gRPC.
    pub(super) async fn accept_grpc(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = self.in_force().grpc.clone();
        acceptor.accept(stream).await
    }

    /// The handshake of a client of the HTTP port.
    pub(super) async fn accept_http(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = self.in_force().http.clone();
        acceptor.accept(stream).await
    }

    /// When the certificate in force expires.
    pub(super) fn expires(&self) -> Timestamp {
        self.in_force().expires
    }

    fn in_force(&self) -> Arc<InForce> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TlsFiles {
    /// Reads them for the first time. None: no listener speaks TLS.
    pub(super) async fn open(config: &TlsConfig, clock: Arc<dyn Clock>, health: Health) -> anyhow::Result<Option<(Self, Tls)>> {
        if config.certificate.is_none() {
            return Ok(None);
        }
        let pem = read(config.clone()).await.map_err(|problem| anyhow!("{problem} (settings `tls`)"))?;
        let in_force = build(&pem, config).map_err(|problem| anyhow!("{problem} (settings `tls`)"))?;
        warn_of_expiry(&in_force, &*clock);
        tracing::info!(expires = %in_force.expires, client_certificates = config.client_authorities.is_some(), "TLS certificate loaded");
        let tls = Tls(Arc::new(RwLock::new(Arc::new(in_force))));
        Ok(Some((Self { config: config.clone(), in_force: pem, tls: tls.clone(), clock, health }, tls)))
    }

    /// The files, as they were named.
    fn names(&self) -> String {
        let TlsConfig { certificate, key, client_authorities } = &self.config;
        let names = [certificate, key, client_authorities].into_iter().flatten();
        names.map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl Watched for TlsFiles {
    type Seen = Result<Pem, String>;
    type Outcome = Loaded;

    async fn read(&self) -> Self::Seen {
        read(self.config.clone()).await
    }

    fn is_in_force(&self, seen: &Self::Seen) -> bool {
        seen.as_ref() == Ok(&self.in_force)
    }

    async fn judge(&mut self, seen: &Self::Seen) -> Loaded {
        let pem = match seen {
            Ok(pem) if *pem == self.in_force => return Loaded::Unchanged,
            Ok(pem) => pem,
            Err(problem) => return Loaded::Unreadable(problem.clone()),
        };
        match build(pem, &self.config) {
            Ok(in_force) => {
                warn_of_expiry(&in_force, &*self.clock);
                *self.tls.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
                self.in_force = pem.clone();
                Loaded::InForce
            }
            Err(problem) => Loaded::Rejected(problem),
        }
    }

    fn tell(&self, loaded: &Loaded) {
        self.health.set_certificates(loaded.tell("TLS certificate", &self.names()));
    }

    fn verdict(loaded: &Loaded) -> Verdict {
        loaded.verdict()
    }
}

/// The names that a client has shown to be its own: DNS and URI names of its certificate, which has been verified.
pub(super) fn names(stream: &TlsStream<TcpStream>) -> Arc<[Box<str>]> {
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let parsed = certificate.and_then(|der| X509Certificate::from_der(der).ok());
    let names = parsed.as_ref().and_then(|(_, certificate)| certificate.subject_alternative_name().ok().flatten());
    let Some(names) = names else { return Arc::default() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(Box::from(*name)),
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).take(NAMES_MAX).collect()
}

/// Reads away from the threads that serve.
async fn read(config: TlsConfig) -> Result<Pem, String> {
    let reading = tokio::task::spawn_blocking(move || {
        let TlsConfig { certificate, key, client_authorities } = config;
        let needed = |path: Option<PathBuf>| path.ok_or_else(|| "a certificate and its key are needed".to_owned()).and_then(read_file);
        Ok(Pem { certificate: needed(certificate)?, key: needed(key)?, client_authorities: client_authorities.map(read_file).transpose()? })
    });
    reading.await.unwrap_or_else(|_| Err("reading the files ended early".to_owned()))
}

fn read_file(path: PathBuf) -> Result<Arc<[u8]>, String> {
    use std::io::Read as _;
    let read = || {
        // A pipe would keep its reader waiting.
        if !std::fs::metadata(&path)?.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(Arc::from).map_err(|error: std::io::Error| format!("cannot read `{}`: {error}", path.display()))
}

/// What both kinds of listener speak by.
fn build(pem: &Pem, config: &TlsConfig) -> Result<InForce, String> {
    let name = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let chain = certificates(&pem.certificate, &name(&config.certificate))?;
    let key = || PrivateKeyDer::from_pem_slice(&pem.key).map_err(|error| format!("no private key in `{}`: {error}", name(&config.key)));
    let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|error| format!("`{}`: {error}", name(&config.certificate)))?;
    let expires = Timestamp::from_second(leaf.validity().not_after.timestamp()).map_err(|error| error.to_string())?;
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = || {
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        builder.map_err(|error| error.to_string())
    };
    let grpc = match &pem.client_authorities {
        None => builder()?.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(authorities, &name(&config.client_authorities))? {
                roots.add(authority).map_err(|error| format!("`{}`: {error}", name(&config.client_authorities)))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            builder()?.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
        }
    };
    let acceptor = |mut config: ServerConfig, protocol: &[u8]| {
        config.alpn_protocols = vec![protocol.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        TlsAcceptor::from(Arc::new(config))
    };
    let unfit = |error: tokio_rustls::rustls::Error| {
        format!("`{}` and `{}` do not fit: {error}; hint: they are replaced together", name(&config.certificate), name(&config.key))
    };
    let grpc = grpc.with_single_cert(chain.clone(), key()?).map_err(unfit)?;
    let http = builder()?.with_no_client_auth().with_single_cert(chain.clone(), key()?).map_err(unfit)?;
    Ok(InForce { grpc: acceptor(grpc, b"h2"), http: acceptor(http, b"http/1.1"), expires })
}

/// At least one.
fn certificates(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = read.map_err(|error| format!("no certificate in `{name}`: {error}"))?;
    if certificates.is_empty() { Err(format!("no certificate in `{name}`")) } else { Ok(certificates) }
}

/// A clock that is wrong must not keep a sidecar from serving: whether a certificate is good is for its clients to say.
fn warn_of_expiry(in_force: &InForce, clock: &dyn Clock) {
    if in_force.expires <= clock.now() {
        tracing::error!(expires = %in_force.expires, "the TLS certificate has expired: clients will refuse it; replace its files");
    }
}
