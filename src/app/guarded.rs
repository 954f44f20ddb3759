//! Who may call, over which TLS, and the files that say so.

use std::sync::Arc;

use super::access::AccessFile;
use super::files::Loaded;
use super::open_files;
use super::reloader::Reloads;
use super::tls::{Tls, TlsFiles};
use super::watched::{Asks, Watcher};
use crate::access::Gate;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::Health;
use crate::telemetry::{Telemetry, names};

/// Files that are open beside connections: the store's, the journal's, logs, and what is read for a moment.
const OTHER_FILES: u64 = 128;

/// A gate, TLS, and what keeps both as their files say.
pub(super) struct Guarded {
    pub(super) gate: Gate,
    pub(super) access: Option<(Watcher<AccessFile>, Asks<Loaded>)>,
    /// None: no listener speaks it.
    pub(super) tls: Option<Tls>,
    pub(super) certificates: Option<(Watcher<TlsFiles>, Asks<Loaded>)>,
    /// Of the process: it tells how these files are, too.
    pub(super) health: Health,
}

/// By which all files are reloaded.
#[derive(Clone)]
pub(super) struct AllReloads {
    pub(super) catalog: Reloads,
    access: Option<Asks<Loaded>>,
    certificates: Option<Asks<Loaded>>,
}

impl Guarded {
    /// Reads the files that say so.
    pub(super) async fn open(config: &Config, clock: &Arc<dyn Clock>, telemetry: &Telemetry) -> anyhow::Result<Self> {
        let health = Health::starting();
        let every = config.catalog_reload;
        let (gate, access) = match &config.access {
            None => (Gate::open(), None),
            Some(path) => {
                let (file, gate) = AccessFile::open(path.clone(), clock.clone(), health.clone()).await?;
                (gate, Some(Watcher::new(file, every)))
            }
        };
        let (tls, certificates) = match TlsFiles::open(&config.tls, clock.clone(), health.clone()).await? {
            None => (None, None),
            Some((files, tls)) => {
                let expiring = tls.clone();
                telemetry.metrics().watch(&names::CERTIFICATE_EXPIRY, move || usize::try_from(expiring.expires().as_second()).ok());
                (Some(tls), Some(Watcher::new(files, every)))
            }
        };
        Ok(Self { gate, access, tls, certificates, health })
    }

    /// What reloads these, and the catalog.
    pub(super) fn reloads(&self, catalog: Reloads) -> AllReloads {
        let access = self.access.as_ref().map(|(_, asks)| asks.clone());
        AllReloads { catalog, access, certificates: self.certificates.as_ref().map(|(_, asks)| asks.clone()) }
    }
}

impl AllReloads {
    /// Reads all files now. The catalog last: it may have to wait for the store.
    pub(super) async fn reload(&self) {
        for files in [&self.access, &self.certificates].into_iter().flatten() {
            files.reload().await;
        }
        self.catalog.reload().await;
    }
}

/// Says once what is accepted by `insecure`, and what the system does not let through.
pub(super) fn warn_of_exposure(config: &Config) {
    let open = config.listen.iter().filter(|address| !address.is_local()).map(ToString::to_string);
    let open: Vec<String> = open.chain(Some(config.http.to_string()).filter(|_| !config.http.is_loopback())).collect();
    if config.insecure && !open.is_empty() && (config.access.is_none() || config.tls.certificate.is_none()) {
        let (access, tls) = (config.access.is_some(), config.tls.certificate.is_some());
        tracing::warn!(addresses = open.join(", "), access, tls, "`insecure`: other hosts can reach what is not protected");
    }
    let files = open_files::raise_limit();
    let needed = (config.limits.connections as u64).saturating_add(OTHER_FILES);
    if let Some(files) = files.filter(|files| *files < needed) {
        tracing::warn!(files, needed, "the system lets the process open fewer files than `limits.connections` needs; raise `ulimit -n`");
    }
}
