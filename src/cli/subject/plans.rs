//! `genquota subject subscribe`, `change-plan`, `preview-change` and `cancel`.

use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use super::super::connection::Server;
use super::super::exit::{self, Exit};
use super::super::{Failure, output, render, values};
use super::Asked;
use crate::proto::v1;

/// Subscribe a subject to a plan, or resume what was cancelled
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  genquota subject subscribe acme --plan independent --seats 5\n  \
    genquota subject subscribe acme --plan hollywood --billing-interval year --start 2026-01-18")]
pub(super) struct Subscribe {
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
    /// How many seats [default: 1 where the plan counts by seat]
    #[arg(long, value_name = "N")]
    seats: Option<i32>,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// Change the plan: a higher one at once, a lower one when the billing period ends
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject change-plan acme --plan hollywood")]
pub(super) struct ChangePlan {
    /// The plan, as the catalog names it; the present one drops a change that waits
    #[arg(long)]
    plan: String,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// Show what a change of plan would do to allowances and price
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject preview-change acme --plan hollywood")]
pub(super) struct PreviewChange {
    /// The subject
    subject: String,
    /// The plan, as the catalog names it
    #[arg(long)]
    plan: String,
    /// When the change would be asked for, within the present period [default: now]
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    at: Option<Timestamp>,
    #[command(flatten)]
    pub(super) server: Server,
}

/// End a subscription when its billing period ends, or now
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  genquota subject cancel acme\n  genquota subject cancel acme --now --detail 'charged back'")]
pub(super) struct Cancel {
    /// End it at once
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// How often a subscription is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Interval {
    Month,
    Year,
}

impl Subscribe {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let id = self.asked.id();
        let billing_interval = match self.billing_interval {
            Interval::Month => v1::BillingInterval::Month,
            Interval::Year => v1::BillingInterval::Year,
        };
        let request = v1::SubscribeRequest {
            subject: self.asked.subject.clone(),
            request_id: id.clone(),
            plan: self.plan.clone(),
            billing_interval: billing_interval.into(),
            start_time: self.start,
            time_zone: self.time_zone.clone().unwrap_or_default(),
            seats: self.seats,
            detail: self.asked.detail.clone(),
        };
        let server = &self.asked.server;
        let sent = server.subjects().await?.subscribe(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}

impl ChangePlan {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let id = self.asked.id();
        let request = v1::ChangePlanRequest {
            subject: self.asked.subject.clone(),
            request_id: id.clone(),
            plan: self.plan.clone(),
            detail: self.asked.detail.clone(),
        };
        let server = &self.asked.server;
        let sent = server.subjects().await?.change_plan(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}

impl PreviewChange {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let request = v1::PreviewChangeRequest { subject: self.subject.clone(), plan: self.plan.clone(), at: self.at };
        let response = self.server.subjects().await?.preview_change(self.server.request(request)).await?.into_inner();
        output::answer(self.server.json, &response, render::preview)?;
        Ok(exit::DONE)
    }
}

impl Cancel {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let id = self.asked.id();
        let request = v1::CancelSubscriptionRequest {
            subject: self.asked.subject.clone(),
            request_id: id.clone(),
            now: self.now,
            detail: self.asked.detail.clone(),
        };
        let server = &self.asked.server;
        let sent = server.subjects().await?.cancel_subscription(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}
