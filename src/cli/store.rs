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

const EXAMPLES: &str = "\
Examples:
  genquota store check redis://cache:6379
  genquota store check redis-cluster://a:7000,b:7000 --redis-username app --redis-password-file password
  genquota store accept-loss redis://cache:6379 --instance default";

/// Examine a store, and accept that it has lost data
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
}

impl Store {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            StoreCommand::Check(command) => command.run(),
            StoreCommand::AcceptLoss(command) => command.run(),
        }
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            StoreCommand::Check(command) => command.json,
            StoreCommand::AcceptLoss(command) => command.json,
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
