//! `genquota access ...`: what can be told of an access file without a server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::catalog::{count, problems_as_json};
use super::exit::{self, Exit};
use super::{Failure, output};
use crate::access;
use crate::clock::{Clock as _, SystemClock};

const EXAMPLES: &str = "Example:\n  genquota access check access.yaml\n\nExit code 64: the file has problems.";

/// Check the file that says who may call; needs no server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Access {
    #[command(subcommand)]
    command: AccessCommand,
}

#[derive(Debug, Subcommand)]
enum AccessCommand {
    Check(Check),
}

/// Report every problem of an access file, and of the key set that it names
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct Check {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Access {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let AccessCommand::Check(check) = &self.command;
        check.run()
    }

    pub(super) fn json(&self) -> bool {
        let AccessCommand::Check(check) = &self.command;
        check.json
    }
}

impl Check {
    fn run(&self) -> Result<Exit, Failure> {
        let name = self.file.display().to_string();
        let (checked, problems) = match access::read(&self.file) {
            Ok(files) => access::check(&name, &files, SystemClock.now()),
            Err(problems) => (None, problems),
        };
        if self.json {
            let told = json!({"file": name, "ok": checked.is_some(), "problems": problems_as_json(&problems)});
            output::line(&told.to_string())?;
        } else {
            let told = if problems.problems.is_empty() { String::new() } else { format!("{problems}\n") };
            let verdict = match &checked {
                Some(access) => {
                    let (tokens, certificates, peers, jwt) = access.counts();
                    let jwt = if jwt { "JWTs" } else { "no JWTs" };
                    let counts = [count(tokens, "token"), count(certificates, "certificate"), count(peers, "peer")];
                    format!("ok: {}, {jwt}", counts.join(", "))
                }
                None => format!("wrong: {}", count(problems.errors(), "error")),
            };
            output::line(&format!("{told}{name}: {verdict}"))?;
        }
        Ok(if checked.is_some() { exit::DONE } else { exit::USAGE })
    }
}
