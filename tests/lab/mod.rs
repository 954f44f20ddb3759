//! Real servers for tests: each is a process that the test started on a port of its own, and that ends with the test.
//!
//! A test crate takes it in with `#[path = "../lab/mod.rs"] mod lab;`. What starts or ends something blocks for the moment it takes and panics
//! with the server's log when it fails; what has to be waited for while a test's load runs is `async`. Nothing here knows genquota, sleeps
//! for a fixed time or uses a fixed port. A server that is not installed fails the test: `tests/run.sh servers` installs all of them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first thing that is not as it says")]
#![allow(dead_code, unused_imports, reason = "each crate uses its own part of the lab")]

use std::time::{Duration, Instant};

mod cluster;
pub(crate) mod frames;
mod process;
mod proxy;
mod resp;
mod sentinels;
mod server;
mod tls;
mod tools;

pub(crate) use cluster::{Cluster, SLOTS, slot_of};
pub(crate) use process::Process;
pub(crate) use proxy::{Counts, Direction, Fault, Proxy};
pub(crate) use resp::{Connection, Reply};
pub(crate) use sentinels::Sentinels;
pub(crate) use server::{Aof, Clients, Server, Settings};
pub(crate) use tls::{Authority, Certificate};
pub(crate) use tools::{Kind, Tool, browser_driver};

/// Longer than anything takes that works, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a condition: short beside what a server takes to start, long beside what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until there is something, and panics if there is nothing within [`PATIENCE`]. `what` ends the sentence "waited for". It blocks.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The same without blocking a runtime, for what is waited for while a test's load runs.
async fn wait_for_async<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
