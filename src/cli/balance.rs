//! `genquota balance`.

use clap::Args;

use super::connection::Server;
use super::exit::{self, Exit};
use super::{Failure, output, render};
use crate::proto::v1::GetBalanceRequest;

const EXAMPLES: &str = "\
Examples:
  genquota balance acme
  genquota balance acme --user ann --json";

/// Show what a subject has left, meter by meter and source by source
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Balance {
    /// Whose balance
    subject: String,
    /// The person inside the subject whose own accounts count too
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Balance {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = GetBalanceRequest { subject: self.subject.clone(), user: self.user.clone().unwrap_or_default() };
        let response = self.server.quota().await?.get_balance(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, render::balances)?;
        Ok(exit::DONE)
    }
}
