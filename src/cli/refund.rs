//! `genquota refund`.

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::{Failure, output, render, values};
use crate::proto::v1::RefundRequest;

const EXAMPLES: &str = "\
Examples:
  genquota refund acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e
  genquota refund acme 0199c0de-7a3e-7c1b-9f00-3b5a5b6c7d8e --units 2 --request-id ticket-4711 --detail 'blurred faces'";

/// Give committed units back to the accounts and periods that paid them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Refund {
    /// Who was charged
    subject: String,
    /// The reservation, or recorded usage
    reservation_id: String,
    /// How many units [default: all that is left]
    #[arg(long, value_name = "DECIMAL")]
    units: Option<String>,
    /// Why, for the audit
    #[arg(long, default_value = "", hide_default_value = true)]
    detail: String,
    /// The request's id, with which a repeat is safe [default: a new UUIDv7]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Refund {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request_id = self.request_id.clone().unwrap_or_else(values::new_id);
        let request = RefundRequest {
            subject: self.subject.clone(),
            reservation_id: self.reservation_id.clone(),
            units: self.units.clone(),
            request_id: request_id.clone(),
            detail: self.detail.clone(),
        };
        let made_id = self.request_id.is_none().then_some(request_id.as_str());
        let sent = self.server.quota().await?.refund(self.server.request(request)).await;
        let response = sent.map_err(|status| Failure::from(status).with_made_id("--request-id", made_id))?.into_inner();
        output::answer(self.server.json, &response, |response| {
            render::reservation(response.reservation.as_ref(), &render::settled_notes(response.replayed, false), &response.balances)
        })?;
        Ok(exit::DONE)
    }
}
