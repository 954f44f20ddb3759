//! `genquota retry`.

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::outcome::Undelivered;
use super::work::{BilledFlags, WorkFlags};
use super::{Failure, output, render, values};
use crate::proto::v1::retry_response;
use crate::proto::v1::{RetryRequest, Target};

const EXAMPLES: &str = "\
Examples:
  genquota retry acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --attempt 1
  genquota retry acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --attempt 1 --outcome rejected
  genquota retry acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --attempt 2 --target runway/gen4

It exits with 3 when the next attempt is denied; the hold and its attempt are then as they were.";

/// Close an attempt and begin the next under the same hold
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Retry {
    /// Who is charged
    subject: String,
    /// The reservation
    reservation_id: String,
    /// The number of the attempt that is over
    #[arg(long, value_name = "N")]
    attempt: i32,
    /// How it ended
    #[arg(long, value_enum, default_value = "failed")]
    outcome: Undelivered,
    /// The target of the next attempt, `PROVIDER/MODEL` [default: the same again]
    #[arg(long, value_name = "TARGET", value_parser = values::target)]
    target: Option<Target>,
    #[command(flatten)]
    work: WorkFlags,
    #[command(flatten)]
    billed: BilledFlags,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Retry {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = RetryRequest {
            subject: self.subject.clone(),
            reservation_id: self.reservation_id.clone(),
            attempt: self.attempt,
            outcome: self.outcome.wire().into(),
            billed_work: self.billed.work(),
            billed_cost: self.billed.billed_cost.clone(),
            next_target: self.target.clone(),
            next_work: self.work.given()?,
            ..RetryRequest::default()
        };
        let response = self.server.quota().await?.retry(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, |response| match &response.outcome {
            Some(retry_response::Outcome::Denial(denial)) => render::denial(denial),
            Some(retry_response::Outcome::Reservation(reservation)) => {
                render::reservation(Some(reservation), &render::settled_notes(response.replayed, false), &response.balances)
            }
            None => "the server gave no decision".to_owned(),
        })?;
        let denied = matches!(response.outcome, Some(retry_response::Outcome::Denial(_)));
        Ok(if denied { exit::DENIED } else { exit::DONE })
    }
}
