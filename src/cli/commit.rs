//! `genquota commit`.

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::work::{BilledFlags, WorkFlags};
use super::{Failure, output, render};
use crate::proto::v1::{CommitRequest, Work};

const EXAMPLES: &str = "\
Examples:
  genquota commit acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e
  genquota commit acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --count 3
  genquota commit acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --measure seconds=6 --billed-cost 0.48";

/// Charge what was delivered and give the rest back
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Commit {
    /// Who is charged
    subject: String,
    /// The reservation
    reservation_id: String,
    /// Nothing was delivered [default without any work: what was reserved was delivered]
    #[arg(long, conflicts_with_all = ["count", "measure", "attribute", "item"])]
    delivered_nothing: bool,
    #[command(flatten)]
    work: WorkFlags,
    #[command(flatten)]
    billed: BilledFlags,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Commit {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = CommitRequest {
            subject: self.subject.clone(),
            reservation_id: self.reservation_id.clone(),
            work: if self.delivered_nothing { Some(Work::default()) } else { self.work.given()? },
            billed_work: self.billed.work(),
            billed_cost: self.billed.billed_cost.clone(),
        };
        let response = self.server.quota().await?.commit(self.server.request(request)).await?.into_inner();
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
