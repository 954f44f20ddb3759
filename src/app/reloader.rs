//! The catalog's reload: what its file says is put in force, if it may follow what is (R9, P14). Whatever is wrong, the catalog in force
//! stays, and log, health and metrics say so.
//!
//! The file is read every few seconds and compared as a whole, rather than watched through the system's events: a swapped link as of a
//! ConfigMap, a rename, a write in place, a deletion and a network's file system are all alike then, and no event can be missed. A change
//! that nobody announced is judged when two looks in a row find the same, so that a file which is being written is left alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::catalog::{self, Problems};
use crate::clock::Clock;
use crate::config::CatalogSource;
use crate::domain::catalog::Catalog;
use crate::domain::ids::CatalogVersion;
use crate::http::{CatalogHealth, Health};
use crate::service::Service;
use crate::store::StoreError;
use crate::telemetry::{ReloadResult, Telemetry};
use crate::yaml::Problem;

/// How often a catalog that the store did not keep is tried again where the file is not watched.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Requests for a reload that may wait; each reads the file anew.
const ASKED_MAX: usize = 16;

/// Asks for reloads. Clones ask the same.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<oneshot::Sender<Reloaded>>);

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

pub(super) struct Reloader {
    /// None: there is nothing that could be read again.
    path: Option<PathBuf>,
    /// None: the file is not watched.
    every: Option<Duration>,
    asked: mpsc::Receiver<oneshot::Sender<Reloaded>>,
    /// The text in force.
    in_force: Arc<str>,
    /// Found by the last look, and not judged yet.
    glimpsed: Option<Seen>,
    /// What was judged last and not put in force, and why not.
    refused: Option<(Seen, Reloaded)>,
    parts: Parts,
}

/// What a reload touches.
pub(super) struct Parts {
    pub service: Arc<Service>,
    pub clock: Arc<dyn Clock>,
    pub health: Health,
    pub telemetry: Arc<Telemetry>,
}

impl Reloads {
    /// Reads the file now and puts in force what may follow. None: the process is ending.
    pub async fn reload(&self) -> Option<Reloaded> {
        let (sender, answer) = oneshot::channel();
        self.0.send(sender).await.ok()?;
        answer.await.ok()
    }
}

impl Reloader {
    /// For the catalog whose text is in force.
    pub(super) fn new(source: &CatalogSource, every: Option<Duration>, in_force: Arc<str>, parts: Parts) -> (Self, Reloads) {
        let path = match source {
            // What came through a pipe is gone.
            CatalogSource::File(path) if !is_special(path) => Some(path.clone()),
            CatalogSource::File(_) | CatalogSource::Bundled => None,
        };
        let (sender, asked) = mpsc::channel(ASKED_MAX);
        let every = every.filter(|_| path.is_some());
        (Self { path, every, asked, in_force, glimpsed: None, refused: None, parts }, Reloads(sender))
    }

    /// Reloads when it is asked to, and when the file has changed, for as long as it is polled.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.every.unwrap_or(RETRY_INTERVAL));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looks = self.every.is_some() || self.waits_for_store();
            tokio::select! {
                Some(answer) = self.asked.recv() => {
                    let reloaded = self.reload().await;
                    // Whoever asked may not want to know.
                    let _ = answer.send(reloaded);
                }
                _ = ticks.tick(), if looks => self.look().await,
                else => return,
            }
        }
    }

    fn waits_for_store(&self) -> bool {
        matches!(self.refused, Some((_, Reloaded::NotKept(_))))
    }

    /// Judges what the file says now.
    async fn reload(&mut self) -> Reloaded {
        let Some(path) = self.path.clone() else {
            tracing::info!("the catalog came from no file: there is nothing to reload");
            return Reloaded::Unchanged;
        };
        let seen = read(path).await;
        let reloaded = self.judge(&seen).await;
        self.tell(seen, &reloaded);
        reloaded
    }

    /// Judges what the file says if that is new, and not about to change.
    async fn look(&mut self) {
        let Some(path) = self.path.clone() else { return };
        let seen = read(path).await;
        let is_in_force = seen.as_ref().is_ok_and(|text| *text == self.in_force);
        let is_known = self.refused.as_ref().is_some_and(|(known, _)| *known == seen);
        if is_in_force && self.refused.is_none() || is_known && !self.waits_for_store() {
            self.glimpsed = None;
        } else if is_known || self.glimpsed.as_ref() == Some(&seen) {
            let reloaded = self.judge(&seen).await;
            // A store that is still away was told of.
            if !(is_known && matches!(reloaded, Reloaded::NotKept(_))) {
                self.tell(seen, &reloaded);
            }
        } else {
            self.glimpsed = Some(seen);
        }
    }

    /// Puts in force what may be.
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

    /// Says what came of it, in log, health and metrics.
    fn tell(&mut self, seen: Seen, reloaded: &Reloaded) {
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
        self.glimpsed = None;
        self.refused = (health != CatalogHealth::InForce).then(|| (seen, reloaded.clone()));
        self.parts.telemetry.metrics().reloaded(result);
        self.parts.health.set_catalog(health);
    }

    /// The file, as it was named.
    fn name(&self) -> String {
        self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
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
            return Err(problem(path.display().to_string(), "cannot be read: not a regular file"));
        }
        catalog::read_text(&path).map(Arc::from)
    });
    reading.await.unwrap_or_else(|_| Err(problem(name, "cannot be read: reading it ended early")))
}

/// Whether something is there that is no regular file.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Checks a text that is to follow a catalog, away from the threads that serve: a large one takes its time.
async fn check(name: String, text: Arc<str>, in_force: Arc<Catalog>, now: Timestamp) -> (Option<Catalog>, Problems) {
    let file = name.clone();
    let checking = tokio::task::spawn_blocking(move || catalog::check_after(&file, &text, &in_force, now));
    checking.await.unwrap_or_else(|_| (None, problem(name, "cannot be checked: the check ended early")))
}

fn problem(name: String, message: &str) -> Problems {
    Problems { name, problems: vec![Problem::of_text(message)] }
}
