//! `genquota catalog ...`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use super::exit::Exit;
use super::values;
use super::work::WorkFlags;
use crate::proto::v1::Target;

const EXAMPLES: &str = "\
Examples:
  genquota catalog check catalog.yaml
  genquota catalog explain --plan core --action image.generate --target openai/gpt-image --count 4
  genquota catalog schema > catalog.schema.json";

/// Check and explain catalogs; needs no server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Catalog {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    Check(Check),
    Explain(Explain),
    Schema(Schema),
}

/// Report every problem of catalog files
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota catalog check examples/catalogs/*.yaml\n\nExit code 64: some file has problems.")]
struct Check {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one line of JSON for each file
    #[arg(long)]
    json: bool,
}

/// Tell what work would count and cost, rule by rule
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota catalog explain --action video.generate --target google/veo-3 --measure seconds=5")]
struct Explain {
    /// The catalog [default: the bundled one]
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// The plan [default: the catalog's default plan]
    #[arg(long)]
    plan: Option<String>,
    /// What would be done, as the catalog names it
    #[arg(long)]
    action: String,
    /// What would run it
    #[arg(long, value_name = "PROVIDER/MODEL", value_parser = values::target)]
    target: Target,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    work: WorkFlags,
}

/// Print the JSON Schema of catalogs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota catalog schema > catalog.schema.json")]
struct Schema {}

impl Catalog {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        Err(anyhow::anyhow!("this build has no catalog").into())
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            CatalogCommand::Check(command) => command.json,
            CatalogCommand::Explain(command) => command.json,
            CatalogCommand::Schema(_) => false,
        }
    }
}
