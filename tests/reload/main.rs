//! A catalog that changes under the real binary: every way a file can be replaced, everything that can be wrong with it, and SIGHUP.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod changes;
mod refusals;
#[expect(dead_code, reason = "each crate uses its own part of it")]
#[path = "../served/mod.rs"]
mod served;
mod sidecar;
mod signal;
