//! `genquota catalog ...`: what can be told of a catalog without a server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::{self, Exit};
use super::{Failure, output, traffic};
use crate::catalog::{self, Problems};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::catalog::Catalog as CheckedCatalog;
use crate::yaml::Severity;

mod explain;

const EXAMPLES: &str = "\
Examples:
  genquota catalog check catalog.yaml
  genquota catalog check new.yaml --after catalog.yaml
  genquota catalog explain --action image.generate --target fal/flux-schnell --count 4
  genquota catalog schema > catalog.schema.json
  genquota catalog reference | less";

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
    Explain(explain::Explain),
    Schema(Schema),
    Reference(Reference),
}

const CHECK_EXAMPLES: &str = "\
Examples:
  genquota catalog check examples/catalogs/*.yaml
  genquota catalog check new.yaml --after catalog.yaml

Exit code 64: some file has problems.";

/// Report every problem of catalog files
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
struct Check {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The catalog in force: report, too, what the files would take away from those who have it. A running server refuses the same
    #[arg(long, value_name = "OLD")]
    after: Option<PathBuf>,
    /// Print one line of JSON for each file
    #[arg(long)]
    json: bool,
}

/// Print the JSON Schema of catalogs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota catalog schema > catalog.schema.json")]
struct Schema {}

/// Print every key of catalogs with its meaning, in Markdown
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota catalog reference > catalog-reference.md")]
struct Reference {}

impl Catalog {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            CatalogCommand::Check(command) => command.run(),
            CatalogCommand::Explain(command) => command.run(),
            CatalogCommand::Schema(_) => {
                let schema = serde_json::to_string_pretty(&catalog::json_schema()).map_err(anyhow::Error::new)?;
                output::line(&schema)?;
                Ok(exit::DONE)
            }
            CatalogCommand::Reference(_) => {
                output::line(catalog::reference().trim_end())?;
                Ok(exit::DONE)
            }
        }
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            CatalogCommand::Check(command) => command.json,
            CatalogCommand::Explain(command) => command.json,
            CatalogCommand::Schema(_) | CatalogCommand::Reference(_) => false,
        }
    }
}

impl Check {
    fn run(&self) -> Result<Exit, Failure> {
        let (before, now) = (self.after.as_deref().map(traffic::catalog).transpose()?, SystemClock.now());
        let mut exit = exit::DONE;
        for file in &self.files {
            let name = file.display().to_string();
            let (checked, problems) = match (catalog::read_text(file), &before) {
                (Ok(text), Some(before)) => catalog::check_after(&name, &text, before, now),
                (Ok(text), None) => catalog::check(&name, &text),
                (Err(problems), _) => (None, problems),
            };
            if checked.is_none() {
                exit = exit::USAGE;
            }
            let report = if self.json { as_json(checked.as_ref(), &problems).to_string() } else { as_text(checked.as_ref(), &problems) };
            output::line(&report)?;
        }
        Ok(exit)
    }
}

pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn as_text(checked: Option<&CheckedCatalog>, problems: &Problems) -> String {
    let told = if problems.problems.is_empty() { String::new() } else { format!("{problems}\n") };
    match checked {
        Some(catalog) => {
            let parts = [
                count(catalog.actions.len(), "action"),
                count(catalog.plans.len(), "plan"),
                count(catalog.price_book.targets.len(), "priced target"),
                count(problems.warnings(), "warning"),
            ];
            format!("{told}{}: ok: version {}, {}", problems.name, catalog.version, parts.join(", "))
        }
        None => format!("{told}{}: wrong: {}, {}", problems.name, count(problems.errors(), "error"), count(problems.warnings(), "warning")),
    }
}

fn as_json(checked: Option<&CheckedCatalog>, problems: &Problems) -> Value {
    json!({
        "file": problems.name,
        "ok": checked.is_some(),
        "version": checked.map(|catalog| catalog.version.to_string()),
        "problems": problems_as_json(problems),
    })
}

/// Every problem of a file, with its place.
pub(super) fn problems_as_json(problems: &Problems) -> Vec<Value> {
    let told = problems.problems.iter().map(|problem| {
        json!({
            "severity": match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "line": problem.line,
            "column": problem.column,
            "path": problem.path,
            "message": problem.message,
            "hint": problem.hint,
        })
    });
    told.collect()
}
