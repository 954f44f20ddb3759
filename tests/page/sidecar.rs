//! A real `genquota serve` with its admin port.

use crate::gateway::Gateway;
use crate::http::{self, Answer};
use crate::served::Served;

/// Ended with its test.
pub(crate) struct Sidecar {
    served: Served,
    pub(crate) http: String,
}

impl Sidecar {
    /// In memory, on the bundled catalog.
    pub(crate) fn start() -> Self {
        Self::with(&["--store", "memory:"])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut command = Served::command();
        command.args(["--http", "127.0.0.1:0"]).args(arguments).env("GENQUOTA_LOG_FILTER", "off");
        let served = Served::start(command);
        let http = served.http.clone().unwrap();
        Self { served, http }
    }

    pub(crate) async fn gateway(&self) -> Gateway {
        Gateway::connect(&self.served.grpc).await
    }

    pub(crate) fn get(&self, address: &str) -> Answer {
        http::get(&self.http, address)
    }
}
