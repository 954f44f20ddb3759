//! Faults of real servers, and what the Redis store makes of them: no unit granted twice, no acknowledged commit lost without a word, no hold
//! kept beyond its time. The lab's own pieces are shown to do what they say as well.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first thing that is not as it says")]

#[path = "../lab/mod.rs"]
mod lab;

#[expect(dead_code, reason = "each crate uses its own part of it")]
#[path = "../served/mod.rs"]
mod served;

#[expect(dead_code, reason = "the store's tests use more of it")]
#[path = "../store/fixtures.rs"]
mod fixtures;

mod books;
mod history;
mod load;
mod logs;
mod sidecars;

mod contention;
mod cuts;
mod failover;
mod process;
mod proxy;
mod refusals;
mod restarts;
mod servers;
mod sweeping;
mod takeover;
mod tls;
