//! `genquota subject ...`.

use clap::{Args, Subcommand, ValueEnum};
use prost_types::Timestamp;

use super::connection::Server;
use super::exit::{self, Exit};
use super::values::{self, Pair};
use super::{Failure, output, render};
use crate::proto::v1;

const EXAMPLES: &str = "\
Examples:
  genquota subject create acme --time-zone Europe/Berlin
  genquota subject subscribe acme --plan independent --seats 5
  genquota subject grant acme --meter credits --units 100 --kind purchased
  genquota subject show acme";

/// Manage who is charged: subjects, subscriptions, grants
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Subject {
    #[command(subcommand)]
    command: SubjectCommand,
}

#[derive(Debug, Subcommand)]
enum SubjectCommand {
    Create(Create),
    Subscribe(Subscribe),
    Grant(Grant),
    VoidGrant(VoidGrant),
    Show(Show),
    List(List),
}

/// Create a subject
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject create acme --time-zone Europe/Berlin --label region=eu")]
struct Create {
    /// Its name
    subject: String,
    /// Its IANA time zone [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// A tag; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    label: Vec<Pair>,
    #[command(flatten)]
    server: Server,
}

/// Subscribe a subject to a plan
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  genquota subject subscribe acme --plan independent --seats 5\n  \
    genquota subject subscribe acme --plan hollywood --billing-interval year --start 2026-01-18")]
struct Subscribe {
    /// The subject
    subject: String,
    /// The plan, as the catalog names it
    #[arg(long)]
    plan: String,
    /// How often it is paid
    #[arg(long, value_enum, default_value = "month")]
    billing_interval: Interval,
    /// When it begins: an instant or a day (midnight UTC) [default: now]
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    start: Option<Timestamp>,
    /// IANA time zone of its periods [default: the subject's]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// How many seats
    #[arg(long, value_name = "N")]
    seats: Option<i32>,
    /// The request's id, with which a repeat is safe [default: a new UUIDv7]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Grant credits
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  genquota subject grant acme --meter credits --units 100\n  \
    genquota subject grant acme --id welcome --meter credits --units 25 --kind promotional --expires 2026-12-31")]
struct Grant {
    /// The subject
    subject: String,
    /// The meter they pay
    #[arg(long)]
    meter: String,
    /// How many units
    #[arg(long, value_name = "DECIMAL")]
    units: String,
    /// The grant's id, with which a repeat is safe [default: a new UUIDv7]
    #[arg(long, value_name = "GRANT_ID")]
    id: Option<String>,
    /// Where they come from
    #[arg(long, value_enum, default_value = "manual")]
    kind: Kind,
    /// From when on they pay: an instant or a day (midnight UTC) [default: now]
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    effective: Option<Timestamp>,
    /// From when on they pay no more [default: never, or as the catalog says]
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    expires: Option<Timestamp>,
    /// Their place among grants: lower burns first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// They pay only while a subscription runs [default: as the catalog says]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    requires_subscription: Option<bool>,
    #[command(flatten)]
    server: Server,
}

/// Void a grant: what is left of it pays no more
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject void-grant acme welcome --detail 'paid back'")]
struct VoidGrant {
    /// The subject
    subject: String,
    /// The grant
    grant_id: String,
    /// Why, for the audit
    #[arg(long, default_value = "", hide_default_value = true)]
    detail: String,
    /// The request's id, with which a repeat is safe [default: a new UUIDv7]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Show a subject with its subscription and grants
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject show acme --json")]
struct Show {
    /// The subject
    subject: String,
    #[command(flatten)]
    server: Server,
}

/// List subjects by name, page by page
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject list --page-size 20")]
struct List {
    /// The most to show [default: 100]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    page_size: i32,
    /// Where to go on, as the page before said
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page_token: String,
    #[command(flatten)]
    server: Server,
}

/// How often a subscription is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Interval {
    Month,
    Year,
}

/// Where granted credits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Promotional,
    Purchased,
    Manual,
}

impl Subject {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            SubjectCommand::Create(command) => command.run().await,
            SubjectCommand::Subscribe(command) => command.run().await,
            SubjectCommand::Grant(command) => command.run().await,
            SubjectCommand::VoidGrant(command) => command.run().await,
            SubjectCommand::Show(command) => command.run().await,
            SubjectCommand::List(command) => command.run().await,
        }
    }

    pub(super) fn json(&self) -> bool {
        match &self.command {
            SubjectCommand::Create(command) => command.server.json,
            SubjectCommand::Subscribe(command) => command.server.json,
            SubjectCommand::Grant(command) => command.server.json,
            SubjectCommand::VoidGrant(command) => command.server.json,
            SubjectCommand::Show(command) => command.server.json,
            SubjectCommand::List(command) => command.server.json,
        }
    }
}

impl Create {
    async fn run(&self) -> Result<Exit, Failure> {
        let request = v1::CreateSubjectRequest {
            subject: self.subject.clone(),
            time_zone: self.time_zone.clone().unwrap_or_default(),
            labels: values::map(&self.label)?,
        };
        let response = self.server.subjects().await?.create_subject(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, |response| render::subject(response.subject.as_ref(), response.replayed))?;
        Ok(exit::DONE)
    }
}

impl Subscribe {
    async fn run(&self) -> Result<Exit, Failure> {
        let request_id = self.request_id.clone().unwrap_or_else(values::new_id);
        let billing_interval = match self.billing_interval {
            Interval::Month => v1::BillingInterval::Month,
            Interval::Year => v1::BillingInterval::Year,
        };
        let request = v1::SubscribeRequest {
            subject: self.subject.clone(),
            request_id: request_id.clone(),
            plan: self.plan.clone(),
            billing_interval: billing_interval.into(),
            start_time: self.start,
            time_zone: self.time_zone.clone().unwrap_or_default(),
            seats: self.seats,
            detail: String::new(),
        };
        let made_id = self.request_id.is_none().then_some(request_id.as_str());
        let sent = self.server.subjects().await?.subscribe(self.server.request(request)).await;
        let response = sent.map_err(|status| Failure::from(status).with_made_id("--request-id", made_id))?.into_inner();
        output::answer(self.server.json, &response, |response| render::subject(response.subject.as_ref(), response.replayed))?;
        Ok(exit::DONE)
    }
}

impl Grant {
    async fn run(&self) -> Result<Exit, Failure> {
        let grant_id = self.id.clone().unwrap_or_else(values::new_id);
        let kind = match self.kind {
            Kind::Promotional => v1::GrantKind::Promotional,
            Kind::Purchased => v1::GrantKind::Purchased,
            Kind::Manual => v1::GrantKind::Manual,
        };
        let request = v1::GrantCreditsRequest {
            subject: self.subject.clone(),
            grant_id: grant_id.clone(),
            meter: self.meter.clone(),
            units: self.units.clone(),
            kind: kind.into(),
            effective_time: self.effective,
            expire_time: self.expires,
            priority: self.priority,
            requires_subscription: self.requires_subscription,
            detail: String::new(),
        };
        let made_id = self.id.is_none().then_some(grant_id.as_str());
        let sent = self.server.subjects().await?.grant_credits(self.server.request(request)).await;
        let response = sent.map_err(|status| Failure::from(status).with_made_id("--id", made_id))?.into_inner();
        output::answer(self.server.json, &response, |response| render::subject(response.subject.as_ref(), response.replayed))?;
        Ok(exit::DONE)
    }
}

impl VoidGrant {
    async fn run(&self) -> Result<Exit, Failure> {
        let request_id = self.request_id.clone().unwrap_or_else(values::new_id);
        let request = v1::VoidGrantRequest {
            subject: self.subject.clone(),
            request_id: request_id.clone(),
            grant_id: self.grant_id.clone(),
            detail: self.detail.clone(),
        };
        let made_id = self.request_id.is_none().then_some(request_id.as_str());
        let sent = self.server.subjects().await?.void_grant(self.server.request(request)).await;
        let response = sent.map_err(|status| Failure::from(status).with_made_id("--request-id", made_id))?.into_inner();
        output::answer(self.server.json, &response, |response| render::subject(response.subject.as_ref(), response.replayed))?;
        Ok(exit::DONE)
    }
}

impl Show {
    async fn run(&self) -> Result<Exit, Failure> {
        let request = v1::GetSubjectRequest { subject: self.subject.clone() };
        let response = self.server.subjects().await?.get_subject(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, |response| render::subject(response.subject.as_ref(), false))?;
        Ok(exit::DONE)
    }
}

impl List {
    async fn run(&self) -> Result<Exit, Failure> {
        let request = v1::ListSubjectsRequest { page_size: self.page_size, page_token: self.page_token.clone() };
        let response = self.server.subjects().await?.list_subjects(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, render::subjects)?;
        Ok(exit::DONE)
    }
}
