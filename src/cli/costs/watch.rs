//! `genquota costs watch`: a live table in a terminal, lines in a pipe; on from its last cursor whatever happens to the server.

use std::path::PathBuf;

use clap::Args;

use super::columns::{HEADER, csv_line, row};
use super::filters::Filters;
use super::follow::{Follower, cursor_of};
use super::out::{Out, Reader};
use super::place::Place;
use super::screen::{Board, Live, line};
use crate::cli::connection::Server;
use crate::cli::exit::{self, Exit};
use crate::cli::{Failure, output};
use crate::proto::v1::CostEvent;
use crate::proto::v1::watch_costs_response::Update;

const EXAMPLES: &str = "\
Examples:
  genquota costs watch
  genquota costs watch --subject acme --provider fal --json
  genquota costs watch --failover-only --csv > failovers.csv
  genquota costs watch --from-start --cursor-file costs.cursor --json >> costs.jsonl

It ends when it is interrupted. With `--cursor-file` the next start goes on where this one ended: each event is
written at least once, and a repeat has the same `eventId`.";

/// Show costs as they happen
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Watch {
    /// Where to begin: the cursor of an event or checkpoint; without one, now
    #[arg(long, value_name = "CURSOR", conflicts_with = "from_start")]
    cursor: Option<String>,
    /// Begin with the oldest event that is kept
    #[arg(long)]
    from_start: bool,
    /// File that keeps the cursor from one start to the next; where it has one, it goes before the other two
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    pub(super) server: Server,
}

/// How events are shown.
enum View {
    Json,
    Csv,
    Lines,
    Live(Box<Live>),
}

impl Watch {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let mut place = self.cursor_file.as_deref().map(Place::new);
        let kept = place.as_ref().map(Place::read).transpose()?.flatten();
        let start = || if self.from_start { "0".to_owned() } else { self.cursor.clone().unwrap_or_default() };
        let mut events = Follower::start(&self.server, kept.unwrap_or_else(start), self.filters.message()).await?;
        let (mut view, mut out) = (self.view()?, Out::Stdout);
        if matches!(view, View::Csv) {
            out.write(&csv_line(HEADER)?)?;
        }
        loop {
            let update = tokio::select! {
                update = events.next() => update?,
                _ = tokio::signal::ctrl_c() => break,
            };
            if let Update::Event(event) = &update
                && view.tell(event, &mut out)? == Reader::Gone
            {
                break;
            }
            // What is written out now need not be told again.
            if let Some(place) = &mut place {
                place.reached(cursor_of(&update))?;
            }
        }
        if let Some(place) = &mut place {
            place.write()?;
        }
        view.end(&mut out)?;
        Ok(exit::DONE)
    }

    fn view(&self) -> Result<View, Failure> {
        Ok(match (self.server.json, self.csv, console::Term::stdout().is_term()) {
            (true, ..) => View::Json,
            (_, true, _) => View::Csv,
            (false, false, true) => View::Live(Box::new(Live::new()?)),
            (false, false, false) => View::Lines,
        })
    }
}

impl View {
    fn tell(&mut self, event: &CostEvent, out: &mut Out) -> Result<Reader, Failure> {
        match self {
            Self::Json => out.write(&format!("{}\n", output::json(event)?)),
            Self::Csv => out.write(&csv_line(row(event))?),
            Self::Lines => out.write(&format!("{}\n", line(event))),
            Self::Live(live) => {
                live.tell(event)?;
                Ok(Reader::There)
            }
        }
    }

    /// What a live table came to stays in the terminal.
    fn end(self, out: &mut Out) -> Result<(), Failure> {
        if let Self::Live(live) = self {
            let board: Board = live.end();
            out.write(&format!("{}\n", board.table()))?;
        }
        Ok(())
    }
}
