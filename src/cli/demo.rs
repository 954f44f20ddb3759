//! `genquota demo`: its flags.

use clap::Args;

use super::Failure;
use super::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  genquota demo
  genquota demo --plain --seed 7 --speed 10 > day.txt";

/// Play a day of generations against a server inside this process, and watch balances and costs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Demo {
    /// Print lines instead of a live table, as is done where stdout is no terminal
    #[arg(long)]
    pub plain: bool,
    /// Which day to play: the same number plays the same day
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many times faster than usual to play; 0: without any pause
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub speed: u32,
}

impl Demo {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        Err(anyhow::anyhow!("this build has no demo").into())
    }
}
