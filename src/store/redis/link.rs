//! Stub.
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
#[derive(Debug, Clone, Default)]
pub struct Credentials;
#[derive(Debug, Clone, Default)]
pub struct TlsFiles;
#[derive(Debug, Clone)]
pub struct LinkOptions {
    pub connect_timeout: Duration,
    pub command_timeout: Duration,
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(String);
#[derive(Debug, Clone)]
pub enum LinkState {
    Up { epoch: u64 },
    Down { reason: Arc<str> },
}
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    #[error("{code}: {message}")]
    NotApplied { code: String, message: String, retry: bool },
    #[error("{reason}")]
    Unknown { reason: String },
    #[error("noscript")]
    NoScript,
    #[error("{message}")]
    Script { message: String },
}
pub struct Link {
    connection: redis::aio::MultiplexedConnection,
    state: watch::Sender<LinkState>,
}
impl Link {
    pub async fn open(address: Address, _options: LinkOptions) -> Result<Arc<Self>, LinkError> {
        let client = redis::Client::open(address.0).map_err(|e| LinkError(e.to_string()))?;
        let connection = client.get_multiplexed_async_connection().await.map_err(|e| LinkError(e.to_string()))?;
        Ok(Arc::new(Self { connection, state: watch::Sender::new(LinkState::Up { epoch: 1 }) }))
    }
    pub async fn call(&self, command: &redis::Cmd) -> Result<redis::Value, Failure> {
        let mut connection = self.connection.clone();
        match command.query_async(&mut connection).await {
            Ok(value) => Ok(value),
            Err(error) if error.code() == Some("NOSCRIPT") => Err(Failure::NoScript),
            Err(error) => Err(Failure::Script { message: error.to_string() }),
        }
    }
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }
    pub async fn close(&self) {}
}
use super::Address;
