//! `genquota costs ...`: what generations cost, as it happens and as files for other tools.

use clap::{Args, Subcommand};

use super::Failure;
use super::exit::Exit;

mod cloudevents;
mod columns;
mod export;
mod focus;
mod follow;
mod out;
mod place;
mod screen;
mod watch;

const EXAMPLES: &str = "\
Examples:
  genquota costs watch
  genquota costs watch --failover-only --json
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
    Export(export::Export),
}

impl Costs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            Action::Watch(command) => command.run().await,
            Action::Export(command) => command.run().await,
        }
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            Action::Watch(command) => command.server.json,
            Action::Export(command) => command.server.json,
        }
    }
}
