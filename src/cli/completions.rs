//! `genquota completions`.

use clap::Args;
use clap_complete::{Shell, generate};

use super::exit::{self, Exit};
use super::{Failure, output};

const EXAMPLES: &str = "\
Examples:
  source <(genquota completions bash)
  genquota completions zsh > ~/.zfunc/_genquota
  genquota completions fish > ~/.config/fish/completions/genquota.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, command: &mut clap::Command) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, command, "genquota", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end())?;
        Ok(exit::DONE)
    }
}
