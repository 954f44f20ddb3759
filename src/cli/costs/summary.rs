//! `genquota costs summary`: what a span of time has cost, by provider, model and tier.

use std::time::Duration;

use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use super::columns::csv_line;
use super::filters::Filters;
use super::out::Out;
use crate::cli::connection::Server;
use crate::cli::exit::{self, Exit};
use crate::cli::render::{Columns, target, time};
use crate::cli::{Failure, output, values};
use crate::proto::v1::{CostRow, SummarizeCostsRequest, SummarizeCostsResponse, Target};

const EXAMPLES: &str = "\
Examples:
  genquota costs summary
  genquota costs summary --since 2026-02-01 --until 2026-03-01 --step 1d --by plan
  genquota costs summary --failover-only --by subject --csv";

/// Sum what was spent, by provider, model and tier
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Summary {
    /// Start of the span, an instant or a day, rounded down to the hour [default: 24 hours before its end]
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    since: Option<Timestamp>,
    /// End of the span, not part of it, rounded up to the hour [default: the end of the present hour]
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    until: Option<Timestamp>,
    /// Split the span into steps of whole hours, such as `1h` or `1d`
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    step: Option<Duration>,
    /// What splits the sums further; repeatable
    #[arg(long, value_enum)]
    by: Vec<By>,
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    pub(super) server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Subject,
    User,
    Plan,
    Action,
}

/// One of the figures of a row.
type Figure = fn(&CostRow) -> String;

/// The columns that every row has after those of the groups; those of `--csv` have these names too.
const FIGURES: [(&str, Figure); 11] = [
    ("attempts", |row| row.attempts.to_string()),
    ("accepted_attempts", |row| row.accepted_attempts.to_string()),
    ("accepted_outputs", |row| row.accepted_outputs.to_string()),
    ("generations", |row| row.generations.to_string()),
    ("failovers", |row| row.failovers.to_string()),
    ("units", |row| row.units.clone()),
    ("cost", |row| row.cost.clone()),
    ("cost_shift", |row| row.cost_shift.clone()),
    ("cost_per_generation", |row| row.cost_per_generation.clone()),
    ("cost_per_accepted_output", |row| row.cost_per_accepted_output.clone()),
    ("retry_multiplier", |row| row.retry_multiplier.clone()),
];

impl Summary {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = SummarizeCostsRequest {
            start_time: self.since,
            end_time: self.until,
            step: self.step.map(values::proto_duration),
            filters: Some(self.filters.message()),
            group_by: self.by.iter().map(|by| by.name().to_owned()).collect(),
        };
        let response = self.server.costs().await?.summarize_costs(self.server.request(request)).await?.into_inner();
        if self.csv {
            let mut text = csv_line(self.header())?;
            for row in &response.rows {
                text.push_str(&csv_line(self.cells(row))?);
            }
            Out::Stdout.write(&text)?;
        } else {
            output::answer(self.server.json, &response, |response| self.table(response))?;
        }
        Ok(exit::DONE)
    }

    fn header(&self) -> Vec<&'static str> {
        let groups = self.by.iter().map(|by| by.name());
        let places = ["time", "provider", "model", "tier", "currency"];
        places.into_iter().chain(groups).chain(FIGURES.iter().map(|(name, _)| *name)).collect()
    }

    fn cells(&self, row: &CostRow) -> Vec<String> {
        let places = [time(row.time.as_ref()), row.provider.clone(), row.model.clone(), row.tier.clone(), row.currency.clone()];
        let groups = self.by.iter().map(|by| row.group.get(by.name()).cloned().unwrap_or_default());
        places.into_iter().chain(groups).chain(FIGURES.iter().map(|(_, figure)| figure(row))).collect()
    }

    fn table(&self, response: &SummarizeCostsResponse) -> String {
        if response.rows.is_empty() {
            return "nothing was tried in this span".to_owned();
        }
        let mut header = if self.step.is_some() { vec!["TIME"] } else { Vec::new() };
        header.extend(["TARGET", "TIER"]);
        header.extend(self.by.iter().map(|by| by.heading()));
        header.extend(["ATTEMPTS", "OUTPUTS", "COST", "", "PER OUTPUT", "TRIES", "FAILOVERS", "COST SHIFT"]);
        let mut table = Columns::new(&header);
        for row in &response.rows {
            let mut cells = if self.step.is_some() { vec![time(row.time.as_ref())] } else { Vec::new() };
            let at = Target { provider: row.provider.clone(), model: row.model.clone() };
            cells.extend([target(Some(&at).filter(|at| !at.provider.is_empty())), row.tier.clone()]);
            cells.extend(self.by.iter().map(|by| row.group.get(by.name()).cloned().unwrap_or_default()));
            cells.extend([row.attempts.to_string(), row.accepted_outputs.to_string(), row.cost.clone(), row.currency.clone()]);
            cells.extend([row.cost_per_accepted_output.clone(), row.retry_multiplier.clone()]);
            cells.extend([row.failovers.to_string(), row.cost_shift.clone()]);
            table.row(cells);
        }
        table.into_text()
    }
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::User => "user",
            Self::Plan => "plan",
            Self::Action => "action",
        }
    }

    const fn heading(self) -> &'static str {
        match self {
            Self::Subject => "SUBJECT",
            Self::User => "USER",
            Self::Plan => "PLAN",
            Self::Action => "ACTION",
        }
    }
}
