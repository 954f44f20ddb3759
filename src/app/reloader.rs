//! The catalog's reload: what its file says is put in force, if it may follow what is (R9, P14). Whatever is wrong, the catalog in force
//! stays, and log, health and metrics say so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::watched::{Asks, Verdict, Watched};
use crate::catalog::{self, Problems};
use crate::clock::Clock;
use crate::config::CatalogSource;
use crate::domain::catalog::Catalog;
use crate::domain::ids::CatalogVersion;
use crate::http::{CatalogHealth, Health};
use crate::service::Service;
use crate::store::StoreError;
use crate::telemetry::{ReloadResult, Telemetry};

/// Asks for reloads of the catalog.
pub type Reloads = Asks<Reloaded>;

/// What came of a reload.
#[derive(Debug, Clone)]
pub enum Reloaded {
    /// What the file says was in force already, or there is no file.
    Unchanged,
    InForce(CatalogVersion),
    /// It has problems, or would take away what was issued.
    Rejected(Problems),
    Unreadable(Problems),
    /// The store did not keep it. It is tried again.
    NotKept(StoreError),
}

/// What the file says, or why nobody knows.
type Seen = Result<Arc<str>, Problems>;

/// The catalog's file.
pub(super) struct Reloader {
    /// None: there is nothing that could be read again.
    path: Option<PathBuf>,
    /// The text in force.
    in_force: Arc<str>,
    parts: Parts,
}

/// What a reload touches.
pub(super) struct Parts {
    pub service: Arc<Service>,
    pub clock: Arc<dyn Clock>,
    pub health: Health,
    pub telemetry: Arc<Telemetry>,
}

impl Reloader {
    /// For the catalog whose text is in force.
    pub(super) fn new(source: &CatalogSource, in_force: Arc<str>, parts: Parts) -> Self {
        let path = match source {
            // What came through a pipe is gone.
            CatalogSource::File(path) if !is_special(path) => Some(path.clone()),
            CatalogSource::File(_) | CatalogSource::Bundled => None,
        };
        Self { path, in_force, parts }
    }

    /// Whether there is a file to look at.
    pub(super) fn has_file(&self) -> bool {
        self.path.is_some()
    }

    /// The file, as it was named.
    fn name(&self) -> String {
        self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

impl Watched for Reloader {
    type Seen = Seen;
    type Outcome = Reloaded;

    async fn read(&self) -> Seen {
        match self.path.clone() {
            Some(path) => read(path).await,
            None => Ok(self.in_force.clone()),
        }
    }

    fn is_in_force(&self, seen: &Seen) -> bool {
        seen.as_ref().is_ok_and(|text| *text == self.in_force)
    }

    async fn judge(&mut self, seen: &Seen) -> Reloaded {
        let text = match seen {
            Ok(text) if *text == self.in_force => return Reloaded::Unchanged,
            Ok(text) => text,
            Err(problems) => return Reloaded::Unreadable(problems.clone()),
        };
        let Parts { service, clock, telemetry, .. } = &self.parts;
        let now = clock.now();
        let (catalog, warnings) = match check(self.name(), text.clone(), service.catalog(), now).await {
            (Some(catalog), warnings) => (catalog, warnings),
            (None, problems) => return Reloaded::Rejected(problems),
        };
        if let Err(error) = service.replace_catalog(text.clone(), catalog).await {
            return Reloaded::NotKept(error);
        }
        self.in_force = text.clone();
        let catalog = service.catalog();
        telemetry.metrics().knows(&catalog, now);
        warn(&warnings);
        Reloaded::InForce(catalog.version.clone())
    }

    fn tell(&self, reloaded: &Reloaded) {
        if !self.has_file() {
            tracing::info!("the catalog came from no file: there is nothing to reload");
            return;
        }
        let (file, in_force) = (self.name(), self.parts.service.catalog().version.clone());
        let (result, health) = match reloaded {
            Reloaded::Unchanged => {
                tracing::info!(file, catalog = %in_force, "what the catalog's file says is in force");
                (ReloadResult::Ok, CatalogHealth::InForce)
            }
            Reloaded::InForce(version) => {
                tracing::info!(file, catalog = %version, "catalog reloaded");
                (ReloadResult::Ok, CatalogHealth::InForce)
            }
            Reloaded::Rejected(problems) => {
                let problems = problems.in_one_line();
                tracing::error!(file, %in_force, problems, "the catalog's file is rejected: the catalog before it stays in force");
                (ReloadResult::Rejected, CatalogHealth::Rejected)
            }
            Reloaded::Unreadable(problems) => {
                let problems = problems.in_one_line();
                tracing::error!(file, %in_force, problems, "the catalog's file cannot be read: the catalog before it stays in force");
                (ReloadResult::Unreadable, CatalogHealth::Unreadable)
            }
            Reloaded::NotKept(error) => {
                tracing::warn!(file, %in_force, %error, "a new catalog waits for the store to keep it");
                (ReloadResult::NotKept, CatalogHealth::NotKept)
            }
        };
        self.parts.telemetry.metrics().reloaded(result);
        self.parts.health.set_catalog(health);
    }

    fn verdict(reloaded: &Reloaded) -> Verdict {
        match reloaded {
            Reloaded::Unchanged | Reloaded::InForce(_) => Verdict::InForce,
            Reloaded::Rejected(_) | Reloaded::Unreadable(_) => Verdict::Refused,
            Reloaded::NotKept(_) => Verdict::Later,
        }
    }
}

/// What a valid catalog is warned of.
pub(super) fn warn(warnings: &Problems) {
    for problem in &warnings.problems {
        tracing::warn!(catalog = warnings.name, line = problem.line, problem = problem.message, "catalog");
    }
}

/// Reads the file, links followed, away from the threads that serve.
async fn read(path: PathBuf) -> Seen {
    let name = path.display().to_string();
    let reading = tokio::task::spawn_blocking(move || {
        if is_special(&path) {
            // A pipe would keep its reader waiting.
            return Err(Problems::of_file(path.display().to_string(), "cannot be read: not a regular file"));
        }
        catalog::read_text(&path).map(Arc::from)
    });
    reading.await.unwrap_or_else(|_| Err(Problems::of_file(name, "cannot be read: reading it ended early")))
}

/// Whether something is there that is no regular file.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Checks a text that is to follow a catalog, away from the threads that serve: a large one takes its time.
async fn check(name: String, text: Arc<str>, in_force: Arc<Catalog>, now: Timestamp) -> (Option<Catalog>, Problems) {
    let file = name.clone();
    let checking = tokio::task::spawn_blocking(move || catalog::check_after(&file, &text, &in_force, now));
    checking.await.unwrap_or_else(|_| (None, Problems::of_file(name, "cannot be checked: the check ended early")))
}
