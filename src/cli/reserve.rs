//! `genquota reserve`.

use std::time::Duration;

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::values::{self, Pair};
use super::work::WorkFlags;
use super::{Failure, output, render};
use crate::proto::v1::reserve_response::Outcome;
use crate::proto::v1::{ReserveRequest, ReserveResponse, Target};

const EXAMPLES: &str = "\
Examples:
  genquota reserve acme --action image.generate --target fal/flux-schnell --count 4
  genquota reserve acme --user ann --action video.generate --target google/veo-3 \\
      --measure seconds=8 --attribute resolution=1080p --fallback runway/gen4 --ttl 30m
  genquota reserve acme --action image.generate --target fal/flux-schnell --count 20 --accept-fewer

Exit code 0: held. 3: denied, and nothing is held.";

/// Hold units and cost for one generation, all or nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Reserve {
    /// Who is charged
    subject: String,
    /// The person inside the subject
    #[arg(long)]
    user: Option<String>,
    /// The reservation's id, with which a repeat is safe [default: a new UUIDv7]
    #[arg(long, value_name = "RESERVATION_ID")]
    id: Option<String>,
    /// The generation this belongs to [default: the reservation's id]
    #[arg(long, value_name = "GENERATION_ID")]
    generation: Option<String>,
    /// What is being done, as the catalog names it
    #[arg(long)]
    action: String,
    /// What will run it
    #[arg(long, value_name = "PROVIDER/MODEL", value_parser = values::target)]
    target: Target,
    /// What was planned to run it, against which cost shift is measured [default: the target]
    #[arg(long, value_name = "PROVIDER/MODEL", value_parser = values::target)]
    planned_target: Option<Target>,
    /// A target that a later retry may go to, for which the hold is large enough; repeatable
    #[arg(long, value_name = "PROVIDER/MODEL", value_parser = values::target)]
    fallback: Vec<Target>,
    /// How long to hold [default: as the server is configured]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    ttl: Option<Duration>,
    /// Hold the largest count that fits, if not all does
    #[arg(long)]
    accept_fewer: bool,
    /// Only tell the decision: hold and remember nothing
    #[arg(long)]
    validate_only: bool,
    /// A tag that is copied to the events; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    label: Vec<Pair>,
    #[command(flatten)]
    work: WorkFlags,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Reserve {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let reservation_id = self.id.clone().unwrap_or_else(values::new_id);
        let request = ReserveRequest {
            subject: self.subject.clone(),
            user: self.user.clone().unwrap_or_default(),
            reservation_id: reservation_id.clone(),
            generation_id: self.generation.clone().unwrap_or_default(),
            action: self.action.clone(),
            target: Some(self.target.clone()),
            planned_target: self.planned_target.clone(),
            fallbacks: self.fallback.clone(),
            work: Some(self.work.required()?),
            ttl: self.ttl.map(values::proto_duration),
            accept_fewer: self.accept_fewer,
            validate_only: self.validate_only,
            labels: values::map(&self.label)?,
        };
        let made_id = self.id.is_none().then_some(reservation_id.as_str());
        let sent = self.server.quota().await?.reserve(self.server.request(request)).await;
        let response = sent.map_err(|status| Failure::from(status).with_made_id("--id", made_id))?.into_inner();
        output::answer(self.server.json, &response, |response| self.human(response))?;
        Ok(if matches!(response.outcome, Some(Outcome::Denial(_))) { exit::DENIED } else { exit::DONE })
    }

    fn human(&self, response: &ReserveResponse) -> String {
        match &response.outcome {
            Some(Outcome::Denial(denial)) => render::denial(denial),
            Some(Outcome::Reservation(reservation)) => {
                let notes = [(response.replayed, "replayed"), (self.validate_only, "only validated: nothing is held")];
                let notes: Vec<&str> = notes.iter().filter(|(is, _)| *is).map(|(_, note)| *note).collect();
                render::reservation(Some(reservation), &notes, &response.balances)
            }
            None => "the server gave no decision".to_owned(),
        }
    }
}
