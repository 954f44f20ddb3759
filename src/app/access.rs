//! The access file: read at the start, and again whenever it or the key set that it names changes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;

use super::files::Loaded;
use super::watched::{Verdict, Watched};
use crate::access::{self, Files, Gate};
use crate::clock::Clock;
use crate::http::Health;
use crate::yaml::Problems;

/// The access file, and the gate that it says who may pass.
pub(super) struct AccessFile {
    path: PathBuf,
    in_force: Files,
    gate: Gate,
    clock: Arc<dyn Clock>,
    health: Health,
}

impl AccessFile {
    /// Reads it for the first time: without it nobody is served.
    pub(super) async fn open(path: PathBuf, clock: Arc<dyn Clock>, health: Health) -> anyhow::Result<(Self, Gate)> {
        let files =
            read(path.clone()).await.map_err(|problems| anyhow!(problems).context("cannot read who may call (setting `access`)"))?;
        let (access, problems) = access::check(&path.display().to_string(), &files, clock.now());
        let Some(access) = access else { return Err(anyhow!(problems).context("cannot tell who may call (setting `access`)")) };
        warn(&problems);
        let (tokens, certificates, peers, jwt) = access.counts();
        tracing::info!(file = %path.display(), tokens, certificates, peers, jwt, "access file loaded");
        let gate = Gate::guarded(access, clock.clone());
        Ok((Self { path, in_force: files, gate: gate.clone(), clock, health }, gate))
    }
}

impl Watched for AccessFile {
    type Seen = Result<Files, Problems>;
    type Outcome = Loaded;

    async fn read(&self) -> Self::Seen {
        read(self.path.clone()).await
    }

    fn is_in_force(&self, seen: &Self::Seen) -> bool {
        seen.as_ref() == Ok(&self.in_force)
    }

    async fn judge(&mut self, seen: &Self::Seen) -> Loaded {
        let files = match seen {
            Ok(files) if *files == self.in_force => return Loaded::Unchanged,
            Ok(files) => files,
            Err(problems) => return Loaded::Unreadable(problems.in_one_line()),
        };
        match access::check(&self.path.display().to_string(), files, self.clock.now()) {
            (Some(access), problems) => {
                warn(&problems);
                self.gate.replace(access);
                self.in_force = files.clone();
                Loaded::InForce
            }
            (None, problems) => Loaded::Rejected(problems.in_one_line()),
        }
    }

    fn tell(&self, loaded: &Loaded) {
        self.health.set_access(loaded.tell("access file", &self.path.display().to_string()));
    }

    fn verdict(loaded: &Loaded) -> Verdict {
        loaded.verdict()
    }
}

/// Reads away from the threads that serve.
async fn read(path: PathBuf) -> Result<Files, Problems> {
    let name = path.display().to_string();
    let reading = tokio::task::spawn_blocking(move || access::read(&path));
    reading.await.unwrap_or_else(|_| Err(Problems::of_file(name, "cannot be read: reading it ended early")))
}

fn warn(problems: &Problems) {
    for problem in &problems.problems {
        tracing::warn!(file = problems.name, line = problem.line, problem = problem.message, "access file");
    }
}
