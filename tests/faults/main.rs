//! Faults of real servers. For now each piece of the lab is shown to do what it says.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

#[path = "../lab/mod.rs"]
mod lab;

mod failover;
mod proxy;
mod servers;
mod tls;
