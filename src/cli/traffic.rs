//! Files of events, as commands take them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::progress::Told;
use super::{Failure, values};
use crate::catalog;
use crate::domain::catalog::Catalog;
use crate::traffic::{self, Attempted, ReadError, Traffic};

/// Which part of the traffic counts, by when attempts ended.
#[derive(Debug, Args)]
pub(super) struct SpanFlags {
    /// Only attempts that ended at this instant or later: `2026-02-25T12:00:00Z`, or a day
    #[arg(long, value_name = "INSTANT", value_parser = values::instant)]
    since: Option<prost_types::Timestamp>,
    /// Only attempts that ended before this instant
    #[arg(long, value_name = "INSTANT", value_parser = values::instant)]
    until: Option<prost_types::Timestamp>,
}

/// A span of time, where it has bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

impl SpanFlags {
    pub(super) fn span(&self) -> Result<Span, Failure> {
        Ok(Span { since: self.since.as_ref().map(instant).transpose()?, until: self.until.as_ref().map(instant).transpose()? })
    }
}

impl Span {
    /// The same, from `length` before the end on where no beginning is told. An end that is not told is the last of the attempts.
    pub(super) fn of_last(self, length: SignedDuration, attempts: &[Attempted]) -> Self {
        let end = self.until.or_else(|| attempts.iter().map(|attempt| attempt.end).max());
        let since = self.since.or_else(|| end.map(|end| end.checked_sub(length).unwrap_or(Timestamp::MIN)));
        Self { since, ..self }
    }

    pub(super) fn has(self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }
}

fn instant(time: &prost_types::Timestamp) -> Result<Timestamp, Failure> {
    Timestamp::new(time.seconds, time.nanos).map_err(|error| Failure::Usage(anyhow!("not an instant: {error}")))
}

/// Reads all events of a file, or of stdin.
pub(super) fn read(path: &Path) -> Result<Traffic, Failure> {
    let told = Told::new();
    let read = if path == Path::new(values::STANDARD) {
        traffic::read(&mut BufReader::new(std::io::stdin().lock()), &told)
    } else {
        let file = File::open(path).map_err(|error| Failure::Usage(anyhow!("cannot read `{}`: {error}", path.display())))?;
        traffic::read(&mut BufReader::new(file), &told)
    };
    told.end();
    let name = path.display();
    read.map_err(|error| match error {
        ReadError::Lines { .. } => Failure::Usage(anyhow!("`{name}` has lines that are no events\n{error}")),
        ReadError::File(_) => Failure::Other(anyhow!("`{name}` {error}")),
        ReadError::Ledger(error) => Failure::Usage(anyhow!("`{name}`: {error}")),
    })
}

pub(super) fn catalog(path: &Path) -> Result<Catalog, Failure> {
    catalog::load(path).map_err(|problems| Failure::Usage(anyhow::Error::new(problems)))
}
