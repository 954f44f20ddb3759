//! The client side of a command: which server, how long, and one call.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tonic::Request;

use super::exit::Exit;
use super::{Failure, values};
use crate::client::{Connection, Connector, ServerAddress, Token};
use crate::proto::v1::cost_service_client::CostServiceClient;
use crate::proto::v1::quota_service_client::QuotaServiceClient;
use crate::proto::v1::subject_service_client::SubjectServiceClient;

/// Holds a token where no file is named.
const TOKEN_VARIABLE: &str = "GENQUOTA_TOKEN";

/// What every client command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Server {
    /// The server: `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT` or `unix:PATH`
    #[arg(long, env = "GENQUOTA_SERVER", default_value = "http://127.0.0.1:7070", value_name = "ADDRESS")]
    server: ServerAddress,
    /// The longest to wait for an answer
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = values::duration)]
    timeout: Duration,
    /// PEM file with the authorities to trust over `https://`, instead of the system's
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// PEM file with the certificate to show
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// File with the token to show; without it, the variable `GENQUOTA_TOKEN` holds the token, if there is one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Send the token to another host over `http://` too, for everybody on the way to read
    #[arg(long)]
    insecure: bool,
    /// Print the answer as one line of canonical proto3 JSON, and errors as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Server {
    pub(super) async fn quota(&self) -> Result<QuotaServiceClient<Connection>, Failure> {
        Ok(QuotaServiceClient::new(self.connect().await?))
    }

    pub(super) async fn costs(&self) -> Result<CostServiceClient<Connection>, Failure> {
        Ok(CostServiceClient::new(self.connect().await?))
    }

    pub(super) async fn subjects(&self) -> Result<SubjectServiceClient<Connection>, Failure> {
        Ok(SubjectServiceClient::new(self.connect().await?))
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let mut connector = Connector::new(self.server.clone()).timeout(self.timeout);
        if let Some(file) = &self.tls_ca {
            connector = connector.tls_ca(file);
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            connector = connector.tls_cert(certificate).tls_key(key);
        }
        if let Some(token) = self.token() {
            connector = connector.token(token);
        }
        if self.insecure {
            connector = connector.token_in_clear();
        }
        Ok(connector.connect().await?)
    }

    /// A token has no flag of its own: arguments are for every process of the host to read.
    fn token(&self) -> Option<Token> {
        let variable = || std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        self.token_file.clone().map(Token::File).or_else(|| variable().map(Token::Value))
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
