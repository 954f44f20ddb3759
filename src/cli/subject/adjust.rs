//! `genquota subject adjust`.

use clap::{Args, ValueEnum};

use super::Asked;
use crate::cli::exit::{self, Exit};
use crate::cli::values::{self, Pair};
use crate::cli::{Failure, output, render};
use crate::proto::v1;

const EXAMPLES: &str = "\
Examples:
  genquota subject adjust acme --kind allowance --id credits --units -3 --detail 'counted twice'
  genquota subject adjust acme --kind allowance --id generations --user ann --period 2026-01-18 --units 12
  genquota subject adjust acme --kind cap --id spend-per-model --dimension model=flux-schnell --units 0.04";

/// Correct what an account has committed
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Adjust {
    /// The kind of the account
    #[arg(long, value_enum)]
    kind: Kind,
    /// Which one: the allowance, add-on or cap as the catalog names it, the grant's id, or for overage the meter
    #[arg(long, value_name = "SOURCE_ID")]
    id: String,
    /// The user whose own account it is [default: shared by the subject]
    #[arg(long, default_value = "", hide_default_value = true)]
    user: String,
    /// A value of what splits a cap, such as `model=flux-schnell`; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    dimension: Vec<Pair>,
    /// The period, as a reservation's accounts show it [default: the current one]
    #[arg(long, default_value = "", hide_default_value = true)]
    period: String,
    /// What to add, or with a leading `-` to take off
    #[arg(long, value_name = "DECIMAL", allow_hyphen_values = true)]
    units: String,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// The kind of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Allowance,
    AddOn,
    Grant,
    Overage,
    Cap,
}

impl Adjust {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request_id = self.asked.id();
        let kind = match self.kind {
            Kind::Allowance => v1::SourceKind::Allowance,
            Kind::AddOn => v1::SourceKind::AddOn,
            Kind::Grant => v1::SourceKind::Grant,
            Kind::Overage => v1::SourceKind::Overage,
            Kind::Cap => v1::SourceKind::Cap,
        };
        let account = v1::Account {
            kind: kind.into(),
            source_id: self.id.clone(),
            user: self.user.clone(),
            dimensions: values::map(&self.dimension)?,
            period: self.period.clone(),
        };
        let request = v1::AdjustUsageRequest {
            subject: self.asked.subject.clone(),
            account: Some(account),
            units: self.units.clone(),
            request_id: request_id.clone(),
            detail: self.asked.detail.clone(),
        };
        let server = &self.asked.server;
        let sent = server.subjects().await?.adjust_usage(server.request(request)).await;
        let made_id = self.asked.request_id.is_none().then_some(request_id.as_str());
        let response = sent.map_err(|status| Failure::from(status).with_made_id("--request-id", made_id))?.into_inner();
        output::answer(server.json, &response, |response| {
            let left = response.balances.iter().map(|balance| format!("  {:<12} {}\n", "left", render::balance_line(balance)));
            render::subject(response.subject.as_ref(), response.replayed) + &left.collect::<String>()
        })?;
        Ok(exit::DONE)
    }
}
