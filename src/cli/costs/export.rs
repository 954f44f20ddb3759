//! `genquota costs export`: every cost event that is kept, in a format of other tools.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use super::columns::csv_line;
use super::follow::Follower;
use super::out::{Out, Reader};
use super::{cloudevents, focus};
use crate::cli::connection::Server;
use crate::cli::exit::{self, Exit};
use crate::cli::{Failure, values};
use crate::proto::v1::watch_costs_response::Update;
use crate::proto::v1::{CostEvent, CostFilters};

const EXAMPLES: &str = "\
Examples:
  genquota costs export --format cloudevents > events.jsonl
  genquota costs export --format focus --since 2026-02-01 --until 2026-03-01 --out february.csv

It reads from the oldest event that is kept to now. Nothing is written to the file of `--out` before all of it is there.";

/// Tries in a row to go on after the stream was cut off.
const TRIES_MAX: u32 = 6;

/// Write every cost event that is kept as CloudEvents or as a FOCUS table
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Export {
    /// The format: CloudEvents 1.0 as JSON lines, or a CSV table in the shape of FOCUS 1.2
    #[arg(long)]
    format: Format,
    /// Only what happened at or after this instant or day
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    since: Option<Timestamp>,
    /// Only what happened before this instant or day
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    until: Option<Timestamp>,
    /// A file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Name of the ledger, as the server has it: part of `source`, and the billing account
    #[arg(long, default_value = "default", value_name = "NAME")]
    instance: String,
    #[command(flatten)]
    pub(super) server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Cloudevents,
    Focus,
}

impl Export {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let mut events = Follower::start(&self.server, "0".to_owned(), CostFilters::default()).await?.with_tries_max(TRIES_MAX);
        let mut out = Out::to(self.out.as_deref())?;
        if self.format == Format::Focus && out.write(&csv_line(focus::HEADER)?)? == Reader::Gone {
            return Ok(exit::DONE);
        }
        loop {
            let text = match events.next().await? {
                Update::Event(event) if self.wants(&event) => self.text(&event)?,
                Update::Checkpoint(checkpoint) if checkpoint.caught_up => break,
                Update::Event(_) | Update::Change(_) | Update::Checkpoint(_) => continue,
            };
            if out.write(&text)? == Reader::Gone {
                return Ok(exit::DONE);
            }
        }
        out.finish()?;
        Ok(exit::DONE)
    }

    fn wants(&self, event: &CostEvent) -> bool {
        let moment = |time: &Timestamp| (time.seconds, time.nanos);
        let at = event.event_time.as_ref().map(moment);
        self.since.as_ref().is_none_or(|since| at >= Some(moment(since)))
            && self.until.as_ref().is_none_or(|until| at < Some(moment(until)))
    }

    fn text(&self, event: &CostEvent) -> Result<String, Failure> {
        match self.format {
            Format::Cloudevents => cloudevents::line(event, &self.instance),
            Format::Focus => csv_line(focus::row(event, &self.instance)?),
        }
    }
}
