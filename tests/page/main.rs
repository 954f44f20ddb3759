//! The operations page: what it answers as such, and what a real browser makes of it while gateways are at work.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod answers;
mod browser;
mod gateway;
mod http;
#[path = "../lab/mod.rs"]
mod lab;
mod numbers;
mod outage;
mod people;
mod plans;
mod played;
#[expect(dead_code, reason = "each crate uses its own part of it")]
#[path = "../served/mod.rs"]
mod served;
mod sidecar;
