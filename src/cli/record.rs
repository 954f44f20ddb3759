//! `genquota record`.

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::outcome::Outcome;
use super::values::{self, Pair};
use super::work::{BilledFlags, WorkFlags};
use super::{Failure, output, render};
use crate::proto::v1::{RecordUsageRequest, Target};

const EXAMPLES: &str = "\
Examples:
  genquota record acme --action image.generate --target fal/flux-schnell --count 2
  genquota record acme --id job-4711 --action video.generate --target google/veo-3 \\
      --measure seconds=8 --billed-cost 3.20";

/// Book usage that has already happened, without a hold
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Record {
    /// Who is charged
    subject: String,
    /// The person inside the subject
    #[arg(long)]
    user: Option<String>,
    /// The usage's id, with which a repeat is safe [default: a new UUIDv7]
    #[arg(long, value_name = "USAGE_ID")]
    id: Option<String>,
    /// The generation this belongs to [default: the usage's id]
    #[arg(long, value_name = "GENERATION_ID")]
    generation: Option<String>,
    /// What was done, as the catalog names it
    #[arg(long)]
    action: String,
    /// What ran it
    #[arg(long, value_name = "PROVIDER/MODEL", value_parser = values::target)]
    target: Target,
    /// How it ended; units are charged only if accepted
    #[arg(long, value_enum, default_value = "accepted")]
    outcome: Outcome,
    /// A tag that is copied to the events; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    label: Vec<Pair>,
    #[command(flatten)]
    work: WorkFlags,
    #[command(flatten)]
    billed: BilledFlags,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Record {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let usage_id = self.id.clone().unwrap_or_else(values::new_id);
        let request = RecordUsageRequest {
            subject: self.subject.clone(),
            user: self.user.clone().unwrap_or_default(),
            usage_id: usage_id.clone(),
            generation_id: self.generation.clone().unwrap_or_default(),
            action: self.action.clone(),
            target: Some(self.target.clone()),
            work: Some(self.work.required()?),
            billed_work: self.billed.work(),
            billed_cost: self.billed.billed_cost.clone(),
            outcome: self.outcome.wire().into(),
            labels: values::map(&self.label)?,
        };
        let made_id = self.id.is_none().then_some(usage_id.as_str());
        let sent = self.server.quota().await?.record_usage(self.server.request(request)).await;
        let response = sent.map_err(|status| Failure::from(status).with_made_id("--id", made_id))?.into_inner();
        output::answer(self.server.json, &response, |response| {
            render::reservation(
                response.reservation.as_ref(),
                &render::settled_notes(response.replayed, response.queued),
                &response.balances,
            )
        })?;
        Ok(exit::DONE)
    }
}
