//! `genquota extend`.

use std::time::Duration;

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::{Failure, output, render, values};
use crate::proto::v1::ExtendRequest;

const EXAMPLES: &str = "\
Examples:
  genquota extend acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --ttl 30m
  genquota extend acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --ttl 2h --outcome-unknown";

/// Hold a reservation for longer
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Extend {
    /// Who is charged
    subject: String,
    /// The reservation
    reservation_id: String,
    /// How long to hold from now on; never shortens [default: as the server is configured]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    ttl: Option<Duration>,
    /// Nobody knows yet how the attempt ended: keep the units held until it is known
    #[arg(long)]
    outcome_unknown: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Extend {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = ExtendRequest {
            subject: self.subject.clone(),
            reservation_id: self.reservation_id.clone(),
            ttl: self.ttl.map(values::proto_duration),
            outcome_unknown: self.outcome_unknown,
        };
        let response = self.server.quota().await?.extend(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, |response| render::reservation(response.reservation.as_ref(), &[], &[]))?;
        Ok(exit::DONE)
    }
}
