//! `genquota costs ...`: what generations cost, as it happens, in sums, ahead of time, and as files for other tools.

use clap::{Args, Subcommand};

use super::Failure;
use super::exit::Exit;

mod cloudevents;
mod columns;
mod export;
mod filters;
mod focus;
pub(super) mod follow;
mod forecast;
mod out;
mod place;
mod screen;
mod summary;
mod watch;

const EXAMPLES: &str = "\
Examples:
  genquota costs watch
  genquota costs watch --failover-only --json
  genquota costs summary --since 2026-02-01 --by plan
  genquota costs forecast --action image.generate --target openai/gpt-image-1 --actions 50000
  genquota costs export --format focus --since 2026-02-01 --until 2026-03-01 --out february.csv";

/// Show what generations cost
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Costs {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Watch(watch::Watch),
    Summary(summary::Summary),
    Forecast(forecast::Forecast),
    Export(export::Export),
}

impl Costs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            Action::Watch(command) => command.run().await,
            Action::Summary(command) => command.run().await,
            Action::Forecast(command) => command.run().await,
            Action::Export(command) => command.run().await,
        }
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            Action::Watch(command) => command.server.json,
            Action::Summary(command) => command.server.json,
            Action::Forecast(command) => command.server.json,
            Action::Export(command) => command.server.json,
        }
    }
}
