//! `genquota subject seats`, `add-on`, `override`, `suspend` and `resume`.

use clap::Args;

use super::super::Failure;
use super::super::exit::Exit;
use super::Asked;
use crate::proto::v1;

/// Set how many seats there are: more at once, fewer when the billing period ends
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  genquota subject seats acme --count 10\n  genquota subject seats acme --vacate ann --vacate bob")]
pub(super) struct Seats {
    /// How many [default: as now]
    #[arg(long, value_name = "N", required_unless_present = "vacate")]
    count: Option<i32>,
    /// A user whose seat becomes free at once; repeatable
    #[arg(long, value_name = "USER")]
    vacate: Vec<String>,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// Set how many units of an add-on there are: more at once, fewer when its period ends
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  genquota subject add-on acme --add-on extra_reel --units 2\n  \
    genquota subject add-on acme --add-on extra_reel --units 0")]
pub(super) struct AddOn {
    /// The add-on, as the catalog names it
    #[arg(long, value_name = "ADD_ON")]
    add_on: String,
    /// How many units in all; 0 ends it
    #[arg(long, value_name = "N")]
    units: i32,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// Put another limit in place of the plan's, at once
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  genquota subject override acme --allowance credits --value 5000\n  \
    genquota subject override acme --cap daily_cost --value unlimited\n  genquota subject override acme --cap daily_cost --reset")]
pub(super) struct Override {
    /// The allowance, as the catalog names it
    #[arg(long, required_unless_present = "cap", conflicts_with = "cap")]
    allowance: Option<String>,
    /// The cap, as the catalog names it
    #[arg(long)]
    cap: Option<String>,
    /// A decimal, or `unlimited`
    #[arg(long, value_name = "DECIMAL", required_unless_present = "reset", conflicts_with = "reset")]
    value: Option<String>,
    /// The plan's own limit again
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// Deny every new hold of a subject, until it is resumed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject suspend acme --detail 'payment failed'")]
pub(super) struct Suspend {
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// End a suspension
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  genquota subject resume acme")]
pub(super) struct Resume {
    #[command(flatten)]
    pub(super) asked: Asked,
}

impl Seats {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let id = self.asked.id();
        let request = v1::SetSeatsRequest {
            subject: self.asked.subject.clone(),
            request_id: id.clone(),
            seats: self.count,
            vacate_users: self.vacate.clone(),
            detail: self.asked.detail.clone(),
        };
        let server = &self.asked.server;
        let sent = server.subjects().await?.set_seats(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}

impl AddOn {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let id = self.asked.id();
        let request = v1::SetAddOnRequest {
            subject: self.asked.subject.clone(),
            request_id: id.clone(),
            add_on: self.add_on.clone(),
            units: self.units,
            detail: self.asked.detail.clone(),
        };
        let server = &self.asked.server;
        let sent = server.subjects().await?.set_add_on(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}

impl Override {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        use v1::set_override_request::Limit;
        let id = self.asked.id();
        let allowance = self.allowance.clone().map(Limit::Allowance);
        let request = v1::SetOverrideRequest {
            subject: self.asked.subject.clone(),
            request_id: id.clone(),
            limit: allowance.or_else(|| self.cap.clone().map(Limit::Cap)),
            value: self.value.clone().unwrap_or_default(),
            detail: self.asked.detail.clone(),
        };
        let server = &self.asked.server;
        let sent = server.subjects().await?.set_override(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}

impl Suspend {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let id = self.asked.id();
        let (subject, detail) = (self.asked.subject.clone(), self.asked.detail.clone());
        let request = v1::SuspendSubjectRequest { subject, request_id: id.clone(), detail };
        let server = &self.asked.server;
        let sent = server.subjects().await?.suspend_subject(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}

impl Resume {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let id = self.asked.id();
        let (subject, detail) = (self.asked.subject.clone(), self.asked.detail.clone());
        let request = v1::ResumeSubjectRequest { subject, request_id: id.clone(), detail };
        let server = &self.asked.server;
        let sent = server.subjects().await?.resume_subject(server.request(request)).await;
        self.asked.shown(&id, sent.map_err(Failure::from), |response| (response.subject.as_ref(), response.replayed))
    }
}
