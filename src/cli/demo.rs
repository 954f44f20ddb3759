//! `genquota demo`: its flags.

use std::io::IsTerminal;

use clap::Args;

use super::Failure;
use super::exit::{self, Exit};
use crate::demo::{self, Ending, Options, Show};

const EXAMPLES: &str = "\
Examples:
  genquota demo
  genquota demo --seed 7 --speed 3
  genquota demo --plain > day.txt
  genquota demo --json

Exit codes: 0 the cost events add up to the balances; 1 they do not; 130 stopped by a signal.";

/// Play a day of generations against a server inside this process, and watch balances and costs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {
    /// Print lines instead of a live table, as is done where stdout is no terminal
    #[arg(long, conflicts_with = "json")]
    pub plain: bool,
    /// Print nothing but the closing summary, as one line of JSON
    #[arg(long)]
    pub json: bool,
    /// Which day to play: the same number plays the same day
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many times faster than usual to play, a day in 24 s; 0: without any pause, as is done where stdout is no terminal
    #[arg(long, value_name = "N")]
    pub speed: Option<u32>,
}

impl Demo {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let terminal = std::io::stdout().is_terminal();
        let show = match (self.json, self.plain || !terminal) {
            (true, _) => Show::Json,
            (false, true) => Show::Plain,
            (false, false) => Show::Live,
        };
        let usual = u32::from(terminal && show != Show::Json);
        let ending = demo::run(Options { seed: self.seed, show, speed: self.speed.unwrap_or(usual) })?;
        Ok(match ending {
            Ending::Agrees => exit::DONE,
            Ending::Disagrees => exit::FAILED,
            Ending::Stopped => exit::INTERRUPTED,
        })
    }
}
