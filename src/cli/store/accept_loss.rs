//! `genquota store accept-loss`.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use crate::cli::exit::{self, Exit};
use crate::cli::settings::StoreFlags;
use crate::cli::{Failure, config, connection, output};
use crate::config::Config;
use crate::store::redis::{Address, Link, Loss};

const EXAMPLES: &str = "\
Examples:
  genquota store accept-loss redis://cache:6379 --instance default
  genquota store accept-loss --config genquota.yaml --yes --json

Exit codes: 0 the loss is accepted; 1 it is not: the answer was no, or the store failed; 64 wrong usage or configuration.";

/// Accept that a Redis or Valkey has lost data, and go on from what is there
///
/// A sidecar that finds its ledger gone, or behind what it saw, decides nothing any more. Restoring the data is better than this. What was
/// counted and is lost stays lost: it can be granted again. Sidecars that wait go on within a second.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AcceptLoss {
    /// The store, such as `redis://HOST:PORT` [default: the configured one]
    #[arg(value_name = "STORE")]
    store: Option<String>,
    /// Id of the ledger to go on with when nothing is left of it and no sidecar runs: the one that a sidecar misses at its start
    #[arg(long, value_name = "ID")]
    ledger: Option<Uuid>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    settings: StoreFlags,
}

impl AcceptLoss {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let loaded = self.settings.load(self.store.as_deref())?;
        config::warn(&loaded);
        let address = super::redis_address(&loaded.config)?;
        if !self.yes && !std::io::stdin().is_terminal() {
            return Err(Failure::Usage(anyhow!("nobody can be asked\nhint: `--yes` accepts the loss without asking")));
        }
        connection::run(self.accept(address, &loaded.config))
    }

    async fn accept(&self, address: Address, config: &Config) -> Result<Exit, Failure> {
        let link = Link::open(address, config.redis.link()).await.map_err(anyhow::Error::new)?;
        let look = Loss::examine(&link, &config.instance, config.redis.partitions, self.ledger);
        let loss = look.await.map_err(anyhow::Error::new)?;
        eprintln!("store {}, instance {}", link.address(), config.instance);
        for fact in loss.facts() {
            eprintln!("  {fact}");
        }
        let (ledger, generation) = (loss.ledger(), loss.generation());
        eprintln!("to accept: what is lost can be granted again; counting goes on as ledger {ledger}, generation {generation}");
        if !self.yes && !agreed(&config.instance)? {
            return Err(anyhow!("nothing is changed").into());
        }
        loss.accept(&link).await.map_err(anyhow::Error::new)?;
        link.close().await;
        output::line(&if self.json {
            json!({"ledger": ledger, "generation": generation, "facts": loss.facts()}).to_string()
        } else {
            format!("accepted: ledger {ledger} goes on in generation {generation}")
        })?;
        Ok(exit::DONE)
    }
}

/// Asks for the name of the instance: a slip of the finger is no answer.
fn agreed(instance: &str) -> Result<bool, Failure> {
    eprint!("write the name of the instance to accept the loss: ");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the answer")?;
    Ok(line.trim() == instance)
}
