//! `genquota journal ...`: what waits in a sidecar's journal, and what to do with what could not be carried out. The sidecar must be stopped:
//! a journal is one process's at a time.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::{self, Exit};
use super::render::Columns;
use super::{Failure, output};
use crate::store::journal::{Entry, Journal, Number};

const EXAMPLES: &str = "\
Examples:
  genquota journal list /var/lib/genquota/journal
  genquota journal retry /var/lib/genquota/journal 17 18
  genquota journal drop /var/lib/genquota/journal 19";

/// Bound of a journal that is only looked at: nothing is appended to it.
const ENTRIES_MAX: usize = usize::MAX;

/// Look into the journal of a sidecar that is stopped
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct JournalCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Retry(Retry),
    Drop(Drop),
}

/// Show what waits for the store, and what could not be carried out
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota journal list /var/lib/genquota/journal --json")]
struct List {
    /// The directory of the journal
    directory: PathBuf,
    /// Print one line of JSON for each entry
    #[arg(long)]
    json: bool,
}

/// Queue what could not be carried out once more, behind all else
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota journal retry /var/lib/genquota/journal 17 18")]
struct Retry {
    #[command(flatten)]
    which: Which,
}

/// Forget what could not be carried out, for good
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota journal drop /var/lib/genquota/journal 19\n\n\
                        What was acknowledged is then in no ledger: settle it by hand first, such as with `genquota record`.")]
struct Drop {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// The directory of the journal
    directory: PathBuf,
    /// Numbers of dead entries, as `journal list` shows them
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<Number>,
}

impl JournalCommand {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            Action::List(list) => list.run(),
            Action::Retry(retry) => retry.which.each("queued again", async |journal, number| journal.revive(number).await).await,
            Action::Drop(drop) => drop.which.each("dropped", async |journal, number| journal.discard(number).await).await,
        }
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            Action::List(list) => list.json,
            Action::Retry(_) | Action::Drop(_) => false,
        }
    }
}

impl List {
    fn run(&self) -> Result<Exit, Failure> {
        let journal = open(&self.directory)?;
        let queued = journal.entries().into_iter().map(|(number, entry)| (number, entry, None));
        let dead = journal.dead().into_iter().map(|(number, dead)| (number, dead.entry.clone(), Some(dead)));
        let mut table = Columns::new(&["NUMBER", "STATE", "WHAT", "SUBJECT", "RESERVATION", "ACCEPTED", "REASON"]);
        for (number, entry, dead) in queued.chain(dead) {
            let reason = dead.as_ref().map_or("", |dead| dead.reason.as_str());
            let state = if dead.is_some() { "dead" } else { "queued" };
            if self.json {
                output::line(&as_json(number, state, &entry, reason).to_string())?;
            } else {
                let (subject, id, accepted) = (entry.subject.to_string(), entry.id().to_string(), entry.accept_time.to_string());
                table.row(vec![number.to_string(), state.to_owned(), entry.name().to_owned(), subject, id, accepted, reason.to_owned()]);
            }
        }
        if !self.json {
            output::line(&table.into_text())?;
        }
        Ok(exit::DONE)
    }
}

impl Which {
    /// Does the same with each entry that was named. One that is not there makes the command fail, after the others.
    async fn each<E: std::error::Error + Send + Sync + 'static>(
        &self,
        done: &str,
        act: impl AsyncFn(&Journal, Number) -> Result<bool, E>,
    ) -> Result<Exit, Failure> {
        let journal = open(&self.directory)?;
        let mut missing = Vec::new();
        for number in &self.numbers {
            if act(&journal, *number).await.map_err(anyhow::Error::new)? {
                output::line(&format!("{done}: {number}"))?;
            } else {
                missing.push(number.to_string());
            }
        }
        journal.close().await;
        if missing.is_empty() {
            return Ok(exit::DONE);
        }
        let what = "no dead entry with this number, or what it is about is queued";
        Err(anyhow!("{what}: {}\nhint: `genquota journal list` shows them", missing.join(", ")).into())
    }
}

/// Opens a journal that is there. A wrong path must not make one.
fn open(directory: &std::path::Path) -> Result<Journal, Failure> {
    if !Journal::is_in(directory) {
        return Err(Failure::Usage(anyhow!("no journal in `{}`", directory.display())));
    }
    Ok(Journal::open(directory, ENTRIES_MAX).map_err(anyhow::Error::new)?)
}

fn as_json(number: Number, state: &str, entry: &Entry, reason: &str) -> Value {
    let mut value = json!({
        "number": number,
        "state": state,
        "what": entry.name(),
        "subject": entry.subject.as_str(),
        "reservation": entry.id().as_str(),
        "accepted": entry.accept_time.to_string(),
    });
    if !reason.is_empty() {
        value["reason"] = json!(reason);
    }
    value
}
