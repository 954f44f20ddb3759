//! Which attempts a command is about: the flags of watch and summary.

use clap::Args;

use crate::proto::v1::{CostFilters, Outcome};

/// Conditions that must all hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filters {
    /// Only this subject
    #[arg(long)]
    subject: Option<String>,
    /// Only attempts run by this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only attempts run by this model
    #[arg(long)]
    model: Option<String>,
    /// Only attempts run in this tier
    #[arg(long)]
    tier: Option<String>,
    /// Only this action
    #[arg(long)]
    action: Option<String>,
    /// Only this outcome, such as `failed`; repeatable
    #[arg(long, value_parser = outcome)]
    outcome: Vec<Outcome>,
    /// Only attempts that ran on another target than the planned one
    #[arg(long)]
    failover_only: bool,
}

impl Filters {
    pub(super) fn message(&self) -> CostFilters {
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        CostFilters {
            subject: text(&self.subject),
            provider: text(&self.provider),
            model: text(&self.model),
            tier: text(&self.tier),
            action: text(&self.action),
            outcomes: self.outcome.iter().map(|outcome| i32::from(*outcome)).collect(),
            failover_only: self.failover_only,
        }
    }
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let known = Outcome::from_str_name(&format!("OUTCOME_{}", text.to_ascii_uppercase()));
    let known = known.filter(|outcome| *outcome != Outcome::Unspecified);
    known.ok_or_else(|| "one of accepted, rejected, failed, blocked, cancelled, unknown, expired".to_owned())
}
