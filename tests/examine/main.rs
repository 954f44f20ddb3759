//! A shared store as an operator meets it, on real servers: settings, the check, a server that is set up wrongly, and the loss of data.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first thing that is not as it says")]

#[path = "../lab/mod.rs"]
mod lab;

mod check;
mod fence;
mod harness;
mod loss;
mod serve;
