//! `genquota release`.

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::outcome::Undelivered;
use super::work::BilledFlags;
use super::{Failure, output, render};
use crate::proto::v1::ReleaseRequest;

const EXAMPLES: &str = "\
Examples:
  genquota release acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e
  genquota release acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --outcome blocked --detail content_policy
  genquota release acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --outcome rejected --billed-cost 0.04";

/// Give everything held back, and book what was billed
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Release {
    /// Who is charged
    subject: String,
    /// The reservation
    reservation_id: String,
    /// How the attempt ended
    #[arg(long, value_enum, default_value = "failed")]
    outcome: Undelivered,
    /// What is worth keeping with the event, such as the provider's error code
    #[arg(long, default_value = "", hide_default_value = true)]
    detail: String,
    #[command(flatten)]
    billed: BilledFlags,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Release {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = ReleaseRequest {
            subject: self.subject.clone(),
            reservation_id: self.reservation_id.clone(),
            outcome: self.outcome.wire().into(),
            detail: self.detail.clone(),
            billed_work: self.billed.work(),
            billed_cost: self.billed.billed_cost.clone(),
        };
        let response = self.server.quota().await?.release(self.server.request(request)).await?.into_inner();
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
