//! `genquota usage`: what a subject used in a span of time.

use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use super::connection::Server;
use super::exit::{self, Exit};
use super::render::{self, Columns};
use super::{Failure, output, values};
use crate::proto::v1::{GetUsageRequest, GetUsageResponse};

const EXAMPLES: &str = "\
Examples:
  genquota usage acme
  genquota usage acme --by user,action
  genquota usage acme --since 2026-02-01 --until 2026-03-01 --by provider --by model --json";

/// Sum what a subject used
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Usage {
    /// Whose usage
    subject: String,
    /// Start of the span, an instant or a day, rounded down to the hour [default: the start of the subject's period]
    #[arg(long, visible_alias = "from", value_name = "TIME", value_parser = values::instant)]
    since: Option<Timestamp>,
    /// End of the span, not part of it, rounded up to the hour [default: the end of the present hour]
    #[arg(long, visible_alias = "to", value_name = "TIME", value_parser = values::instant)]
    until: Option<Timestamp>,
    /// What splits the sums; repeatable
    #[arg(long, value_enum, value_delimiter = ',')]
    by: Vec<By>,
    #[command(flatten)]
    pub(super) server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    User,
    Action,
    Provider,
    Model,
    Tier,
}

impl Usage {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = GetUsageRequest {
            subject: self.subject.clone(),
            start_time: self.since,
            end_time: self.until,
            group_by: self.by.iter().map(|by| by.name().to_owned()).collect(),
        };
        let response = self.server.quota().await?.get_usage(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, |response| self.table(response))?;
        Ok(exit::DONE)
    }

    fn table(&self, response: &GetUsageResponse) -> String {
        if response.rows.is_empty() {
            return "nothing was used in this span".to_owned();
        }
        let groups = self.by.iter().map(|by| by.heading());
        let header: Vec<&'static str> = groups.chain(["GENERATIONS", "UNITS", "COST"]).collect();
        let mut table = Columns::new(&header);
        for row in &response.rows {
            let groups = self.by.iter().map(|by| row.group.get(by.name()).cloned().unwrap_or_default());
            let units = if row.meter.is_empty() { String::new() } else { render::amount(&row.units, &row.meter) };
            let figures = [row.generations.to_string(), units, render::amount(&row.cost, &response.currency)];
            table.row(groups.chain(figures).collect());
        }
        table.into_text()
    }
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Action => "action",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Tier => "tier",
        }
    }

    const fn heading(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Action => "ACTION",
            Self::Provider => "PROVIDER",
            Self::Model => "MODEL",
            Self::Tier => "TIER",
        }
    }
}
