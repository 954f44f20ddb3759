//! The rules of the product through the real gRPC API: a whole server in the process, on a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop at the first thing that is not as they say")]

mod administrator;
mod ask;
mod caller;
mod catalogs;
mod harness;
#[path = "../lab/mod.rs"]
mod lab;
mod stores;

mod caps;
mod costs;
mod errors;
mod history;
mod lifecycle;
mod plans;
mod process;
mod products;
mod reloads;
