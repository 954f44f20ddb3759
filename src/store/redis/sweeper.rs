//! The sweeper: gives back holds whose time is over, and forgets what is old, in every sidecar and with no leader.
//!
//! It goes through the partitions in turn, in bounded steps. A lease of seconds in the partition's own record keeps two sweepers from doing
//! the same work; one that dies loses it by itself. A subject that somebody asks about does not wait for it: its own holds are swept first.

use std::sync::Arc;
use std::time::Duration;

use super::caller::{Caller, Trouble};
use super::request::{Due, Operation};
use super::script::Flavour;

/// Most of each kind that one step deals with, so that it never delays a decision for long.
const STEP_MAX: usize = 128;
/// How long a sweeper has a partition for itself: some steps, and not long for others to wait when it dies.
const LEASE: Duration = Duration::from_secs(2);

/// What one sweeper is told.
#[derive(Debug, Clone)]
pub(super) struct Sweeper {
    /// Names it among others.
    pub(super) id: String,
    /// In microseconds.
    pub(super) event_retention: i64,
    pub(super) cost_retention: i64,
    /// Most events that one partition keeps.
    pub(super) events_max: u64,
    /// The time for all partitions.
    pub(super) interval: Duration,
}

impl Sweeper {
    /// Sweeps for as long as it is polled.
    pub(super) async fn run(self, caller: Arc<Caller>) {
        let count = caller.keys.count();
        let pause = self.interval / u32::try_from(count).unwrap_or(u32::MAX);
        let mut ticks = tokio::time::interval(pause.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            for partition in 0..count {
                ticks.tick().await;
                // What cannot be done now is still due later; who asks is told by the call itself.
                if let Err(trouble) = self.sweep(&caller, partition).await {
                    tracing::debug!(partition, %trouble, "not swept");
                }
            }
        }
    }

    /// Sweeps a partition until nothing is due there, or somebody else is at it.
    pub(super) async fn sweep(&self, caller: &Caller, partition: usize) -> Result<(), Trouble> {
        while self.step(caller, partition).await? {}
        Ok(())
    }

    /// One bounded step. Says whether there may be more to do.
    async fn step(&self, caller: &Caller, partition: usize) -> Result<bool, Trouble> {
        let lease = i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX);
        let peek = Operation::peek(self, lease, STEP_MAX);
        let reply = caller.one(partition, Flavour::Always, &peek, true).await?;
        if reply.letter() != "P" {
            return Err(reply.wrong().into());
        }
        let reached = Some(reply.text(2)?).filter(|reached| *reached != "-");
        let mut members = Vec::new();
        let mut full = reply.number::<usize>(6)? == STEP_MAX;
        for (place, due) in [(3, Due::Hold), (4, Due::Lapse), (5, Due::Forget), (7, Due::Sums)] {
            let found = reply.texts(place)?;
            full |= found.len() == STEP_MAX;
            members.extend(found.into_iter().map(|member| (due, member)));
        }
        if members.is_empty() && reached.is_none() {
            return Ok(full);
        }
        caller.sweep(partition, reached, &members).await?;
        Ok(full || reached.is_some())
    }
}
