//! A ledger that is moved between stores is the same ledger: what was held, used, remembered and told, on every kind of server.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod commands;
#[path = "../store/fixtures.rs"]
mod fixtures;
#[path = "../lab/mod.rs"]
mod lab;
mod life;
mod moves;
mod refusals;
mod resuming;
mod shelf;
