//! `genquota reservation`.

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::{Failure, output, render};
use crate::proto::v1::GetReservationRequest;

const EXAMPLES: &str = "\
Example:
  genquota reservation acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --json";

/// Show one reservation as it is now
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Reservation {
    /// Who is charged
    subject: String,
    /// The reservation, or the recorded usage
    reservation_id: String,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Reservation {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = GetReservationRequest { subject: self.subject.clone(), reservation_id: self.reservation_id.clone() };
        let response = self.server.quota().await?.get_reservation(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, |response| render::reservation(response.reservation.as_ref(), &[], &[]))?;
        Ok(exit::DONE)
    }
}
