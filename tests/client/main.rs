//! The Rust client: how it connects, what becomes of a guard, what survives when one of the two sides dies, and the layer for gateways.
//! Against the real binary wherever that can do what the test needs.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first thing that is not as it says")]

mod access;
mod connecting;
mod example;
mod guards;
#[path = "../lab/mod.rs"]
mod lab;
mod layers;
mod outages;
#[path = "../served/mod.rs"]
#[expect(dead_code, reason = "these sidecars are spoken to through their unix sockets")]
mod served;
mod shutdowns;
mod sidecar;

use std::time::{Duration, Instant};

/// Looks until there is something, and panics if there is nothing in good time. `what` ends the sentence "waited for".
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + lab::PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {:?} for {what}", lab::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
