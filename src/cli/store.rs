//! `genquota store ...`: what an operator does with a store itself, without a server.
//!
//! Every command takes the store's address, or works on the configured one, and reads how to reach it from the same settings as `serve`.

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::Failure;
use super::exit::Exit;
use crate::config::{Config, StoreAddress};
use crate::store::redis::Address;

mod accept_loss;
mod check;
mod export;
mod import;
mod moving;

const EXAMPLES: &str = "\
Examples:
  genquota store check redis://cache:6379
  genquota store check redis-cluster://a:7000,b:7000 --redis-username app --redis-password-file password
  genquota store accept-loss redis://cache:6379 --instance default
  genquota store export embedded:/var/lib/genquota --to ledger.jsonl
  genquota store import redis://cache:6379 --from ledger.jsonl";

/// Examine a store, accept that it has lost data, or move what it holds to another
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Store {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    Check(check::Check),
    AcceptLoss(accept_loss::AcceptLoss),
    Export(export::Export),
    Import(import::Import),
}

impl Store {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            StoreCommand::Check(command) => command.run(),
            StoreCommand::AcceptLoss(command) => command.run(),
            StoreCommand::Export(command) => command.run(),
            StoreCommand::Import(command) => command.run(),
        }
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            StoreCommand::Check(command) => command.json,
            StoreCommand::AcceptLoss(command) => command.json,
            StoreCommand::Export(command) => command.json,
            StoreCommand::Import(command) => command.json,
        }
    }
}

/// The address of a store that processes share; others have nothing to examine.
fn redis_address(config: &Config) -> Result<Address, Failure> {
    match &config.store {
        StoreAddress::Redis(address) => Ok(address.clone()),
        other => Err(Failure::Usage(anyhow!("not a Redis or Valkey: `{other}`\nhint: name one, such as `redis://HOST:PORT`"))),
    }
}
