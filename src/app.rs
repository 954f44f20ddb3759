//! From a configuration to a running process: bind, build, serve, drain.

use std::net::SocketAddr;

use crate::config::{Config, ListenAddress};

/// Where a started process listens: the addresses as bound, with real ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// In the order of the configuration.
    pub listen: Vec<ListenAddress>,
    /// None: off.
    pub http: Option<SocketAddr>,
}

/// Serves until told to stop and everything in flight is finished. `ready` is called once, when every listener is bound and serves.
pub fn run(_config: Config, _ready: impl FnOnce(&Bound)) -> anyhow::Result<()> {
    anyhow::bail!("this build has no server")
}
