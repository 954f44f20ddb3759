//! TLS: what the files say, as the handshake wants it. Servers are always verified, by name and by who signed them.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::TlsFiles;
use super::error::Obstacle;

/// Reads the files and makes a connector of them. It blocks for as long as that takes.
pub(super) fn connector(files: &TlsFiles) -> Result<TlsConnector, Obstacle> {
    let roots = match &files.ca {
        Some(path) => authorities(path)?,
        None => authorities_of_the_system()?,
    };
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Obstacle::Identity(error.to_string()))?
        .with_root_certificates(roots);
    let config = match (&files.certificate, &files.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("the key", key, &error))?;
            config.with_client_auth_cert(chain, key).map_err(|error| Obstacle::Identity(error.to_string()))?
        }
        _ => config.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn authorities(path: &Path) -> Result<RootCertStore, Obstacle> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let wrong = |error: &dyn ToString| Obstacle::File { what: "a certificate", path: path.to_owned(), reason: error.to_string() };
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    Ok(roots)
}

fn authorities_of_the_system() -> Result<RootCertStore, Obstacle> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read or used takes nothing from the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(Obstacle::NoAuthorities) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Obstacle> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| wrong("a certificate", path, &error))?;
    if certificates.is_empty() { Err(Obstacle::EmptyFile { what: "certificate", path: path.to_owned() }) } else { Ok(certificates) }
}

fn wrong(what: &'static str, path: &Path, error: &PemError) -> Obstacle {
    Obstacle::File { what, path: path.to_owned(), reason: error.to_string() }
}
