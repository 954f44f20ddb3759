//! What export and import share: which store, which file, and how far it has come.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::config::{Config, StoreAddress};
use crate::store::redis::{Link, LinkOptions, RedisArchive};
use crate::store::transfer::{Counts, Progress, TransferError};

/// Stands for stdin or stdout.
pub(super) const STANDARD: &str = "-";
/// The longest that one command may take here: reading or writing all of a large subject takes longer than a decision may.
const COMMAND_TIMEOUT_MIN: Duration = Duration::from_secs(60);
/// How often a bar is drawn, in times a second.
const REDRAWS: u8 = 10;
/// Without a terminal, a line is printed each time that so many more lines are done.
const LINES_TOLD: u64 = 100_000;

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            // What was asked makes no sense; nothing was tried.
            TransferError::Instance { .. } | TransferError::Format { .. } => Self::Usage(anyhow::Error::new(error)),
            error => Self::Other(anyhow::Error::new(error)),
        }
    }
}

/// A store that keeps nothing has nothing to move.
pub(super) fn refuse_memory(config: &Config) -> Result<(), Failure> {
    match config.store {
        StoreAddress::Memory => Err(Failure::Usage(anyhow!("`memory:` keeps nothing\nhint: name a directory or a Redis"))),
        StoreAddress::Embedded(_) | StoreAddress::Redis(_) => Ok(()),
    }
}

/// A connection on which a command may take its time.
pub(super) async fn link(address: &crate::store::redis::Address, config: &Config) -> Result<Arc<Link>, Failure> {
    let options = config.redis.link();
    let command_timeout = options.command_timeout.max(COMMAND_TIMEOUT_MIN);
    Ok(Link::open(address.clone(), LinkOptions { command_timeout, ..options }).await.map_err(anyhow::Error::new)?)
}

pub(super) fn archive(link: Arc<Link>, config: &Config) -> RedisArchive {
    RedisArchive::new(link, &config.instance).with_partitions(config.redis.partitions)
}

/// A bar on stderr where that is a terminal, lines where it is not.
pub(super) struct Told {
    bar: Option<ProgressBar>,
    done: AtomicU64,
}

impl Told {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAWS)));
        Self { bar, done: AtomicU64::new(0) }
    }

    /// Nothing is drawn any more.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Told {
    fn begin(&self, what: &str, lines: Option<u64>) {
        self.done.store(0, Ordering::Relaxed);
        let Some(bar) = &self.bar else {
            let of = lines.map(|lines| format!(": {lines} lines")).unwrap_or_default();
            eprintln!("{what}{of}");
            return;
        };
        let colours = console::colors_enabled_stderr();
        let template = match (lines.is_some(), colours) {
            (true, true) => "{msg}  {wide_bar:.cyan}  {pos}/{len} lines, {eta} left",
            (true, false) => "{msg}  {wide_bar}  {pos}/{len} lines, {eta} left",
            (false, _) => "{msg}  {spinner}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.reset();
        bar.set_length(lines.unwrap_or(0));
        bar.set_message(what.to_owned());
        bar.tick();
    }

    fn advance(&self, lines: u64) {
        match &self.bar {
            Some(bar) => bar.inc(lines),
            None => {
                let before = self.done.fetch_add(lines, Ordering::Relaxed);
                if before / LINES_TOLD != (before + lines) / LINES_TOLD {
                    eprintln!("  {} lines", before + lines);
                }
            }
        }
    }
}

/// How much there is of each, for people.
pub(super) fn in_words(counts: &Counts) -> String {
    let Counts { catalogs, subjects, accounts, reservations, costs, events } = counts;
    format!(
        "{catalogs} catalogs, {subjects} subjects with {accounts} accounts and {reservations} reservations, {costs} sums of costs, {events} events"
    )
}

pub(super) fn as_json(counts: &Counts) -> Value {
    let Counts { catalogs, subjects, accounts, reservations, costs, events } = counts;
    json!({
        "catalogs": catalogs,
        "subjects": subjects,
        "accounts": accounts,
        "reservations": reservations,
        "costs": costs,
        "events": events,
    })
}
