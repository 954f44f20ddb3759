//! The link to real servers: what it does when they die, freeze, lie about their role, change their password or move.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

#[path = "../lab/mod.rs"]
mod lab;

mod access;
mod cluster;
mod fate;
mod harness;
mod lone;
mod sentinel;
mod store;
