//! `WatchCosts` over real connections: live, filtered, resumed, cut off; across sidecars, failovers, and kills of the real binary.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first thing that is not as it says")]

#[expect(dead_code, reason = "shared with the tests of the server")]
#[path = "../server/ask.rs"]
mod ask;
#[expect(dead_code, reason = "shared with the tests of the server")]
#[path = "../server/caller.rs"]
mod caller;
#[path = "../server/catalogs.rs"]
mod catalogs;
mod commands;
mod crash;
mod failover;
#[expect(dead_code, reason = "shared with the tests of the server")]
#[path = "../server/harness.rs"]
mod harness;
#[path = "../lab/mod.rs"]
mod lab;
mod ledger;
mod live;
mod load;
mod refusals;
#[expect(dead_code, reason = "each crate uses its own part of it")]
#[path = "../served/mod.rs"]
mod served;
mod sidecars;
mod slow;
mod watcher;
