//! `genquota subject grant` and `void-grant`.

use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use super::super::connection::Server;
use super::super::exit::{self, Exit};
use super::super::{Failure, output, render, values};
use super::Asked;
use crate::proto::v1;

/// Grant credits
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  genquota subject grant acme --meter credits --units 100\n  \
    genquota subject grant acme --id welcome --meter credits --units 25 --kind promotional --expires 2026-12-31")]
pub(super) struct Grant {
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
    /// Why, for the audit
    #[arg(long, default_value = "", hide_default_value = true)]
    detail: String,
    #[command(flatten)]
    pub(super) server: Server,
}

/// Void a grant: what is left of it pays no more
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject void-grant acme welcome --detail 'paid back'")]
pub(super) struct VoidGrant {
    /// The grant
    #[arg(index = 2)]
    grant_id: String,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// Where granted credits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Promotional,
    Purchased,
    Manual,
}

impl Grant {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
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
            detail: self.detail.clone(),
        };
        let made_id = self.id.is_none().then_some(grant_id.as_str());
        let sent = self.server.subjects().await?.grant_credits(self.server.request(request)).await;
        let response = sent.map_err(|status| Failure::from(status).with_made_id("--id", made_id))?.into_inner();
        output::answer(self.server.json, &response, |response| render::subject(response.subject.as_ref(), response.replayed))?;
        Ok(exit::DONE)
    }
}

impl VoidGrant {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let id = self.asked.id();
        let request = v1::VoidGrantRequest {
            subject: self.asked.subject.clone(),
            request_id: id.clone(),
            grant_id: self.grant_id.clone(),
            detail: self.asked.detail.clone(),
        };
        let server = &self.asked.server;
        let sent = server.subjects().await?.void_grant(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}
