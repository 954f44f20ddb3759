//! The client side of a command: which server, how long, and one call.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tonic::Request;
use tonic::transport::Channel;

use super::exit::Exit;
use super::{Failure, values};
use crate::client::{self, ServerAddress};
use crate::proto::v1::cost_service_client::CostServiceClient;
use crate::proto::v1::quota_service_client::QuotaServiceClient;
use crate::proto::v1::subject_service_client::SubjectServiceClient;

/// What every client command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Server {
    /// The server: `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`
    #[arg(long, env = "GENQUOTA_SERVER", default_value = "http://127.0.0.1:7070", value_name = "ADDRESS")]
    server: ServerAddress,
    /// The longest to wait for an answer
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = values::duration)]
    timeout: Duration,
    /// Print the answer as one line of canonical proto3 JSON, and errors as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Server {
    pub(super) async fn quota(&self) -> Result<QuotaServiceClient<Channel>, Failure> {
        Ok(QuotaServiceClient::new(client::connect(&self.server, self.timeout).await?))
    }

    pub(super) async fn costs(&self) -> Result<CostServiceClient<Channel>, Failure> {
        Ok(CostServiceClient::new(client::connect(&self.server, self.timeout).await?))
    }

    pub(super) async fn subjects(&self) -> Result<SubjectServiceClient<Channel>, Failure> {
        Ok(SubjectServiceClient::new(client::connect(&self.server, self.timeout).await?))
    }

    /// A request that tells the server how long it is waited for.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// Runs a client command on a runtime of its own.
pub(super) fn run(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    run_with(command)
}

/// The same for what ends in more than an exit code.
pub(super) fn run_with<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(command)
}
