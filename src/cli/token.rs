//! `genquota token ...`: bearer tokens for the access file.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::exit::{self, Exit};
use super::{Failure, output};
use crate::access::{self, NewToken, Scope};
use crate::domain::ids::check_id;

const EXAMPLES: &str = "\
Examples:
  genquota token new --name gateway-a --scope gateway
  genquota token new --name finance --scope observer --expires 2027-01-01T00:00:00Z
  genquota token new --name gateway-a --scope gateway --out gateway-a.token >> access.yaml";

/// Make bearer tokens for callers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    New(New),
}

/// Make a token, and the entry that lets its bearer call
///
/// The token is shown this once: the entry holds only its hash. The entry belongs below `tokens:` of the access file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct New {
    /// What the caller is called in logs
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What the caller may do; repeatable
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<ScopeName>,
    /// Only for this subject, or those whose ids begin so: `acme`, `studio-*`; repeatable
    #[arg(long = "subject", value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// From then on the token is not valid any more
    #[arg(long, value_name = "INSTANT")]
    expires: Option<Timestamp>,
    /// Write the token into this new file, which only its owner can read, instead of showing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// A scope as a flag.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeName {
    Gateway,
    Observer,
    Admin,
}

impl Token {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let TokenCommand::New(new) = &self.command;
        new.run()
    }

    pub(super) fn json(&self) -> bool {
        let TokenCommand::New(new) = &self.command;
        new.json
    }
}

impl New {
    fn run(&self) -> Result<Exit, Failure> {
        check_id(&self.name).map_err(|error| Failure::Usage(anyhow!("`--name`: {error}")))?;
        for subject in &self.subjects {
            access::check_pattern(subject).map_err(|error| Failure::Usage(anyhow!("`--subject`: {error}")))?;
        }
        let token = NewToken::make().map_err(|error| anyhow!("the system gives no random numbers: {error}"))?;
        let scopes = self.scopes.iter().map(|scope| scope.scope()).collect();
        let entry = access::entry(&self.name, &token.hash(), scopes, &self.subjects, self.expires);
        if let Some(path) = &self.out {
            write_secret(path, token.expose()).with_context(|| format!("cannot write the token to `{}`", path.display()))?;
        }
        let shown = self.out.is_none().then(|| token.expose());
        if self.json {
            let told = json!({"name": self.name, "token": shown, "sha256": token.hash().hex(), "entry": entry});
            output::line(&told.to_string())?;
        } else if let Some(token) = shown {
            output::line(&format!(
                "token, shown this once:\n  {token}\n\nentry, below `tokens:` of the access file:\n{}",
                entry.trim_end()
            ))?;
        } else {
            output::line(entry.trim_end())?;
        }
        Ok(exit::DONE)
    }
}

impl ScopeName {
    fn scope(self) -> Scope {
        match self {
            Self::Gateway => Scope::Gateway,
            Self::Observer => Scope::Observer,
            Self::Admin => Scope::Admin,
        }
    }
}

/// A file that was not there, and that nobody else can read.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")
}
