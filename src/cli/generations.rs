//! `genquota generations`: what a subject asked for, page by page.

use clap::Args;
use prost_types::Timestamp;

use super::connection::Server;
use super::exit::{self, Exit};
use super::render::{self, Columns};
use super::{Failure, output, values};
use crate::proto::v1::{Attempt, Generation, ListGenerationsRequest, ListGenerationsResponse};

const EXAMPLES: &str = "\
Examples:
  genquota generations acme
  genquota generations acme --user ann --since 2026-02-25 --page-size 20
  genquota generations acme --json";

/// List what a subject asked for, the newest first, with every attempt
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Generations {
    /// Whose generations
    subject: String,
    /// Only those of this person inside the subject
    #[arg(long)]
    user: Option<String>,
    /// Only those begun at this instant or day, or later
    #[arg(long, visible_alias = "from", value_name = "TIME", value_parser = values::instant)]
    since: Option<Timestamp>,
    /// Only those begun before this instant or day
    #[arg(long, visible_alias = "to", value_name = "TIME", value_parser = values::instant)]
    until: Option<Timestamp>,
    /// The most to list, at most 1000 [default: 100]
    #[arg(long, value_name = "COUNT")]
    page_size: Option<i32>,
    /// Where the page before has ended, as it says; the other flags must be as they were
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Generations {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = ListGenerationsRequest {
            subject: self.subject.clone(),
            user: self.user.clone().unwrap_or_default(),
            start_time: self.since,
            end_time: self.until,
            page_size: self.page_size.unwrap_or_default(),
            page_token: self.page_token.clone().unwrap_or_default(),
        };
        let response = self.server.quota().await?.list_generations(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, table)?;
        Ok(exit::DONE)
    }
}

fn table(response: &ListGenerationsResponse) -> String {
    let mut text = if response.generations.is_empty() {
        "no generations\n".to_owned()
    } else {
        let mut table = Columns::new(&["BEGUN", "GENERATION", "USER", "ACTION", "STATE", "UNITS", "COST", "ATTEMPTS"]);
        for generation in &response.generations {
            table.row(row(generation));
        }
        table.into_text() + "\n"
    };
    if !response.next_page_token.is_empty() {
        text.push_str(&format!("\nmore with --page-token {}\n", response.next_page_token));
    }
    text
}

fn row(generation: &Generation) -> Vec<String> {
    let attempts: Vec<String> = generation.attempts.iter().map(attempt).collect();
    vec![
        render::time(generation.create_time.as_ref()),
        generation.generation_id.clone(),
        generation.user.clone(),
        generation.action.clone(),
        render::word(generation.state().as_str_name(), "STATE_").to_lowercase(),
        if generation.meter.is_empty() { String::new() } else { render::amount(&generation.units, &generation.meter) },
        render::amount(&generation.cost, &generation.currency),
        attempts.join(", "),
    ]
}

/// `fal/wan-2.2 rejected`; without a target, how it ended.
fn attempt(attempt: &Attempt) -> String {
    let outcome = render::word(attempt.outcome().as_str_name(), "OUTCOME_").to_lowercase();
    let outcome = if outcome.is_empty() { "open" } else { &outcome };
    format!("{} {outcome}", render::target(attempt.target.as_ref())).trim_start().to_owned()
}
