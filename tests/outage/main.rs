//! What a sidecar does while its store is away, and what the ledger holds when the store is back.
//!
//! The store is the ledger itself behind a door that can be shut, lose replies or never answer; after each of its steps the invariants of
//! the ledger are checked. The journal is a real one, in a directory of the test.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

#[path = "../ledger/audit.rs"]
#[expect(dead_code, reason = "the ledger's own tests use all of it")]
mod audit;
mod bench;
mod holds;
mod inspection;
#[path = "../lab/mod.rs"]
mod lab;
mod redis;
mod replays;
mod settlements;
mod shaky;
mod simulation;
