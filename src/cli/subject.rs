//! `genquota subject ...`.

mod adjust;
mod audit;
mod changes;
mod grants;
mod plans;

use clap::{Args, Subcommand};

use self::adjust::Adjust;
use self::audit::Audit;
use self::changes::{AddOn, Override, Resume, Seats, Suspend};
use self::grants::{Grant, VoidGrant};
use self::plans::{Cancel, ChangePlan, PreviewChange, Subscribe};
use super::connection::Server;
use super::exit::{self, Exit};
use super::values::{self, Pair};
use super::{Failure, output, render};
use crate::proto::v1;

const EXAMPLES: &str = "\
Examples:
  genquota subject create acme --time-zone Europe/Berlin
  genquota subject subscribe acme --plan independent --seats 5
  genquota subject preview-change acme --plan hollywood
  genquota subject change-plan acme --plan hollywood
  genquota subject grant acme --meter credits --units 100 --kind purchased
  genquota subject show acme";

/// Manage who is charged: subjects, subscriptions, seats, add-ons, grants and limits
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
    ChangePlan(ChangePlan),
    PreviewChange(PreviewChange),
    Cancel(Cancel),
    Seats(Seats),
    AddOn(AddOn),
    Grant(Grant),
    VoidGrant(VoidGrant),
    Adjust(Adjust),
    Override(Override),
    Suspend(Suspend),
    Resume(Resume),
    Show(Show),
    List(List),
    Audit(Audit),
}

/// What every change of a subject has.
#[derive(Debug, Args)]
struct Asked {
    /// The subject
    #[arg(index = 1)]
    subject: String,
    /// Why, for the audit
    #[arg(long, default_value = "", hide_default_value = true)]
    detail: String,
    /// The request's id, with which a repeat is safe [default: a new UUIDv7]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    server: Server,
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

impl Subject {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            SubjectCommand::Create(command) => command.run().await,
            SubjectCommand::Subscribe(command) => command.run().await,
            SubjectCommand::ChangePlan(command) => command.run().await,
            SubjectCommand::PreviewChange(command) => command.run().await,
            SubjectCommand::Cancel(command) => command.run().await,
            SubjectCommand::Seats(command) => command.run().await,
            SubjectCommand::AddOn(command) => command.run().await,
            SubjectCommand::Grant(command) => command.run().await,
            SubjectCommand::VoidGrant(command) => command.run().await,
            SubjectCommand::Adjust(command) => command.run().await,
            SubjectCommand::Override(command) => command.run().await,
            SubjectCommand::Suspend(command) => command.run().await,
            SubjectCommand::Resume(command) => command.run().await,
            SubjectCommand::Show(command) => command.run().await,
            SubjectCommand::List(command) => command.run().await,
            SubjectCommand::Audit(command) => command.run().await,
        }
    }

    pub(super) fn json(&self) -> bool {
        let server = match &self.command {
            SubjectCommand::Create(command) => &command.server,
            SubjectCommand::Subscribe(command) => &command.asked.server,
            SubjectCommand::ChangePlan(command) => &command.asked.server,
            SubjectCommand::PreviewChange(command) => &command.server,
            SubjectCommand::Cancel(command) => &command.asked.server,
            SubjectCommand::Seats(command) => &command.asked.server,
            SubjectCommand::AddOn(command) => &command.asked.server,
            SubjectCommand::Grant(command) => &command.server,
            SubjectCommand::VoidGrant(command) => &command.asked.server,
            SubjectCommand::Adjust(command) => &command.asked.server,
            SubjectCommand::Override(command) => &command.asked.server,
            SubjectCommand::Suspend(command) => &command.asked.server,
            SubjectCommand::Resume(command) => &command.asked.server,
            SubjectCommand::Show(command) => &command.server,
            SubjectCommand::List(command) => &command.server,
            SubjectCommand::Audit(command) => &command.server,
        };
        server.json
    }
}

impl Asked {
    /// The request's id: the caller's, or one made for this call.
    fn id(&self) -> String {
        self.request_id.clone().unwrap_or_else(values::new_id)
    }

    /// Shows the subject after a change; where its effect is unknown, names the id that was made for it.
    fn shown<M: prost::Message + prost::Name>(
        &self,
        id: &str,
        sent: Result<tonic::Response<M>, Failure>,
        of: impl FnOnce(&M) -> (Option<&v1::Subject>, bool),
    ) -> Result<Exit, Failure> {
        let made_id = self.request_id.is_none().then_some(id);
        let response = sent.map_err(|failure| failure.with_made_id("--request-id", made_id))?.into_inner();
        output::answer(self.server.json, &response, |response| {
            let (subject, replayed) = of(response);
            render::subject(subject, replayed)
        })?;
        Ok(exit::DONE)
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
