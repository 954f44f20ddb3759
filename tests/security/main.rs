//! Who may call the real binary, and what strangers can do to it: TLS, tokens, JWTs, unix users, and every kind of flood.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod admission;
mod caller;
mod certificates;
mod clients;
mod floods;
mod frames;
mod jwt;
#[path = "../lab/mod.rs"]
mod lab;
mod methods;
mod oversize;
mod pages;
mod peers;
mod places;
#[expect(dead_code, reason = "each crate uses its own part of it")]
#[path = "../served/mod.rs"]
mod served;
mod shedding;
mod sidecar;
mod start;
