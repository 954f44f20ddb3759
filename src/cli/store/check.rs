//! `genquota store check`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::{self, Exit};
use crate::cli::render::Columns;
use crate::cli::settings::StoreFlags;
use crate::cli::{Failure, config, connection, output};
use crate::config::Config;
use crate::store::redis::examine::{Examined, Finding, Verdict, examine};
use crate::store::redis::{Address, Link};

const EXAMPLES: &str = "\
Examples:
  genquota store check redis://cache:6379
  genquota store check --config genquota.yaml --json

Exit codes: 0 nothing fails, though there may be warnings; 1 something fails: a sidecar would not start, or not keep its word;
64 wrong usage or configuration; 69 the store is not reached, or is no primary.";

/// Examine a Redis or Valkey and say what to fix before a ledger is kept there
///
/// Nothing is changed. Reached and answering, version, eviction, memory, persistence, replicas, slots of a cluster, scripts, rights of the
/// user, clock, and whether the ledger is there and whole.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The store, such as `redis://HOST:PORT` [default: the configured one]
    #[arg(value_name = "STORE")]
    store: Option<String>,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    settings: StoreFlags,
}

impl Check {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let loaded = self.settings.load(self.store.as_deref())?;
        config::warn(&loaded);
        let config = loaded.config;
        let address = super::redis_address(&config)?;
        let (findings, exit) = connection::run_with(found(address.clone(), &config))?;
        let text = if self.json { as_json(&address, &config, &findings).to_string() } else { as_text(&address, &config, &findings) };
        output::line(&text)?;
        Ok(exit)
    }
}

async fn found(address: Address, config: &Config) -> Result<(Vec<Finding>, Exit), Failure> {
    const WHY: &str = "a store that is not reached decides nothing";
    let link = match Link::open(address.clone(), config.redis.link()).await {
        Ok(link) => link,
        Err(error) => {
            let text = error.to_string();
            let (found, hint) = text.split_once("\nhint: ").map_or((text.as_str(), None), |(found, hint)| (found, Some(hint.to_owned())));
            let finding = Finding { check: "reach", verdict: Verdict::Fail, found: found.to_owned(), why: WHY, hint };
            return Ok((vec![finding], exit::UNAVAILABLE));
        }
    };
    let mut findings = vec![Finding { check: "reach", verdict: Verdict::Ok, found: "connected".to_owned(), why: WHY, hint: None }];
    let examined = Examined {
        instance: config.instance.clone(),
        partitions: config.redis.partitions,
        replicas: config.redis.replicas,
        command_timeout: config.redis.command_timeout,
    };
    findings.extend(examine(&link, &examined).await);
    link.close().await;
    let fails = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok((findings, if fails { exit::FAILED } else { exit::DONE }))
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    }
}

/// A table of everything, then each thing that is not well with its reason and the next step.
fn as_text(address: &Address, config: &Config, findings: &[Finding]) -> String {
    let mut text = format!("store {address}, instance {}\n\n", config.instance);
    let mut table = Columns::new(&["CHECK", "VERDICT", "FOUND"]);
    for finding in findings {
        table.row(vec![finding.check.to_owned(), word(finding.verdict).to_owned(), finding.found.clone()]);
    }
    text.push_str(&table.into_text());
    text.push('\n');
    for finding in findings.iter().filter(|finding| finding.verdict != Verdict::Ok) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{} {}: {}\n", word(finding.verdict), finding.check, finding.why);
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let _ = write!(text, "\n{} ok, {} warn, {} fail", count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Fail));
    text
}

fn as_json(address: &Address, config: &Config, findings: &[Finding]) -> Value {
    let told = findings.iter().map(|finding| {
        json!({
            "check": finding.check,
            "verdict": word(finding.verdict),
            "found": finding.found,
            "why": finding.why,
            "hint": finding.hint,
        })
    });
    json!({
        "store": address.to_string(),
        "instance": config.instance,
        "ok": findings.iter().all(|finding| finding.verdict != Verdict::Fail),
        "findings": told.collect::<Vec<_>>(),
    })
}
