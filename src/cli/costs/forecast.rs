//! `genquota costs forecast`: what planned actions will cost per month.

use std::time::Duration;

use clap::Args;

use crate::cli::connection::Server;
use crate::cli::exit::{self, Exit};
use crate::cli::render::Fields;
use crate::cli::work::WorkFlags;
use crate::cli::{Failure, output, values};
use crate::proto::v1::{ForecastCostsRequest, ForecastCostsResponse, Target};

const EXAMPLES: &str = "\
Examples:
  genquota costs forecast --action image.generate --target openai/gpt-image-1 --count 2 --actions 50000
  genquota costs forecast --action video.generate --target fal/wan-2.2 --measure seconds=5 --attribute resolution=720p --actions 1000 --lookback 7d";

/// Estimate what an action will cost per month, by the tries it took so far
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Forecast {
    /// What will be done, as named in the catalog
    #[arg(long)]
    action: String,
    /// The target that will run it, `PROVIDER/MODEL`
    #[arg(long, value_name = "TARGET", value_parser = values::target)]
    target: Target,
    /// How many actions are expected in a month
    #[arg(long, value_name = "N")]
    actions: i64,
    /// How far back to look for what it took, in whole hours [default: 30d]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    lookback: Option<Duration>,
    #[command(flatten)]
    work: WorkFlags,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Forecast {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = ForecastCostsRequest {
            action: self.action.clone(),
            target: Some(self.target.clone()),
            work: Some(self.work.required()?),
            actions_per_month: self.actions,
            lookback: self.lookback.map(values::proto_duration),
        };
        let response = self.server.costs().await?.forecast_costs(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, in_words)?;
        Ok(exit::DONE)
    }
}

fn in_words(answer: &ForecastCostsResponse) -> String {
    let money = |amount: &str| if amount.is_empty() { String::new() } else { format!("{amount} {}", answer.currency) };
    let mut fields = Fields::titled(&format!("{} {} per month", answer.monthly_cost, answer.currency));
    fields.add("likely", &format!("{} to {}", answer.monthly_cost_low, money(&answer.monthly_cost_high)));
    fields.add("per action", &money(&answer.cost_per_action));
    fields.add("tries", &answer.expected_attempts);
    fields.add("observed", &format!("{} attempts", answer.attempts_observed));
    fields.add("per output", &money(&answer.cost_per_accepted_output));
    fields.into_text()
}
