//! `genquota prices ...`: price tables of elsewhere, and what another catalog's prices would change. Needs no server.

use clap::{Args, Subcommand};

use super::Failure;
use super::exit::Exit;

mod diff;
mod import;

const EXAMPLES: &str = "\
Examples:
  genquota prices import model_prices_and_context_window.json --mode image_generation,video_generation --out prices.yaml
  genquota prices diff catalog.yaml new.yaml
  genquota prices diff catalog.yaml new.yaml --events events.jsonl";

/// Import prices, and tell what changed prices mean; needs no server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Prices {
    #[command(subcommand)]
    command: PricesCommand,
}

#[derive(Debug, Subcommand)]
enum PricesCommand {
    Import(import::Import),
    Diff(diff::Diff),
}

impl Prices {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            PricesCommand::Import(command) => command.run(),
            PricesCommand::Diff(command) => command.run(),
        }
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            PricesCommand::Import(command) => command.json,
            PricesCommand::Diff(command) => command.json,
        }
    }
}
