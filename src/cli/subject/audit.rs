//! `genquota subject audit`: every change of subjects that is kept, oldest first.

use clap::Args;

use super::super::connection::Server;
use super::super::costs::follow::Follower;
use super::super::exit::{self, Exit};
use super::super::{Failure, output, render};
use crate::proto::v1::CostFilters;
use crate::proto::v1::watch_costs_response::Update;

const EXAMPLES: &str = "\
Examples:
  genquota subject audit acme
  genquota subject audit --follow --json >> audit.jsonl";

/// Show who changed what of a subject, when and why
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Audit {
    /// The subject [default: all]
    subject: Option<String>,
    /// Go on with what happens, until it is interrupted
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Audit {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let filters = CostFilters { subject: self.subject.clone().unwrap_or_default(), ..CostFilters::default() };
        let mut events = Follower::start_with_changes(&self.server, "0".to_owned(), filters).await?;
        loop {
            let update = tokio::select! {
                update = events.next() => update?,
                _ = tokio::signal::ctrl_c() => return Ok(exit::DONE),
            };
            match update {
                Update::Change(change) => output::answer(self.server.json, &change, render::subject_change)?,
                Update::Checkpoint(checkpoint) if checkpoint.caught_up && !self.follow => return Ok(exit::DONE),
                Update::Event(_) | Update::Checkpoint(_) => {}
            }
        }
    }
}
