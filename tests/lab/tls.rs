//! Certificates for servers and clients on loopback, made anew for each test.
//!
//! One that signs itself would not do: rustls refuses a certificate that is its own authority.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tempfile::TempDir;

/// What a certificate holds for.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// An authority that only one test knows, and all that it has issued. Clones are the same authority.
#[derive(Clone, Debug)]
pub(crate) struct Authority(Arc<Issued>);

#[derive(Debug)]
struct Issued {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate for `localhost` and `127.0.0.1`, with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::Builder::new().prefix("lab-tls-").tempdir().unwrap();
        std::fs::write(dir.path().join("authority.pem"), issuer.pem()).unwrap();
        Self(Arc::new(Issued { dir, issuer }))
    }

    /// PEM, for who is to trust this authority. It lives as long as the authority.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.dir.path().join("authority.pem")
    }

    /// Issues a certificate into files of this name: PEM, which live as long as the authority. An older one of the name is replaced.
    pub(crate) fn issue(&self, name: &str) -> Certificate {
        self.sign(name, CertificateParams::new(NAMES.map(str::to_owned)).unwrap())
    }

    /// The same for a client that is known by a URI.
    pub(crate) fn issue_to(&self, name: &str, uri: &str) -> Certificate {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        self.sign(name, params)
    }

    fn sign(&self, name: &str, mut params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0.issuer).unwrap();
        let file = |kind: &str| self.0.dir.path().join(format!("{name}.{kind}.pem"));
        let issued = Certificate { certificate: file("certificate"), key: file("key") };
        std::fs::write(&issued.certificate, certificate.pem()).unwrap();
        std::fs::write(&issued.key, key.serialize_pem()).unwrap();
        issued
    }
}
