//! `genquota quote`.

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::work::WorkFlags;
use super::{Failure, output, render, values};
use crate::proto::v1::{QuoteRequest, Target};

const EXAMPLES: &str = "\
Examples:
  genquota quote acme --action image.generate --target fal/flux-schnell --target openai/gpt-image-1 --count 4
  genquota quote acme --action video.generate --target google/veo-3 --measure seconds=8 --json";

/// Price work on several targets and tell whether each fits; holds nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Quote {
    /// Who would be charged
    subject: String,
    /// The person inside the subject
    #[arg(long)]
    user: Option<String>,
    /// What would be done, as the catalog names it
    #[arg(long)]
    action: String,
    /// A candidate; repeatable
    #[arg(long, required = true, value_name = "PROVIDER/MODEL", value_parser = values::target)]
    target: Vec<Target>,
    /// What cost shift is measured against [default: the first target]
    #[arg(long, value_name = "PROVIDER/MODEL", value_parser = values::target)]
    planned_target: Option<Target>,
    #[command(flatten)]
    work: WorkFlags,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Quote {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = QuoteRequest {
            subject: self.subject.clone(),
            user: self.user.clone().unwrap_or_default(),
            action: self.action.clone(),
            work: Some(self.work.required()?),
            targets: self.target.clone(),
            planned_target: self.planned_target.clone(),
        };
        let response = self.server.quota().await?.quote(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, render::offers)?;
        Ok(exit::DONE)
    }
}
