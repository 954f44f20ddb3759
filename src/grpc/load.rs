//! The bound on calls in flight, all connections together (W4): memory and latency are kept before they run away.
//!
//! A call has its slot until everything it has set in motion is done: a change of the ledger goes on when its caller has gone, so a caller
//! that begins and cancels calls without end runs out of slots as one that waits does. What the store's queue sheds by is the store's; this
//! bounds what stands before it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::methods::Urgency;

/// Slots that are left when holds are shed, and when reads are, in eighths of all.
const HOLD_EIGHTHS: usize = 2;
const READ_EIGHTHS: usize = 1;

/// All slots. Clones share them.
#[derive(Debug, Clone)]
pub struct Load {
    slots: Arc<Semaphore>,
    calls_max: usize,
}

/// One call's place. It is free when the last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Slot(#[expect(dead_code, reason = "to be held is all that it is for")] Arc<OwnedSemaphorePermit>);

/// There is too much to do for a call of this urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overloaded;

tokio::task_local! {
    static SLOT: Slot;
}

impl Load {
    pub fn new(calls_max: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(calls_max)), calls_max }
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.calls_max - self.slots.available_permits()
    }

    /// A place for a call, at once or not at all; a settlement waits for one.
    pub(super) async fn slot(&self, urgency: Urgency) -> Result<Slot, Overloaded> {
        let kept_free = match urgency {
            Urgency::Hold => self.calls_max * HOLD_EIGHTHS / 8,
            Urgency::Read | Urgency::Watch => self.calls_max * READ_EIGHTHS / 8,
            Urgency::Settle => {
                let permit = self.slots.clone().acquire_owned().await.map_err(|_| Overloaded)?;
                return Ok(Slot(Arc::new(permit)));
            }
        };
        if self.slots.available_permits() <= kept_free {
            return Err(Overloaded);
        }
        self.slots.clone().try_acquire_owned().map(|permit| Slot(Arc::new(permit))).map_err(|_| Overloaded)
    }
}

/// A future that has this slot.
pub(super) fn within<F: Future>(slot: Slot, future: F) -> impl Future<Output = F::Output> {
    SLOT.scope(slot, future)
}

/// A future that keeps the slot of the call that sets it in motion, until it is done.
pub(super) fn kept<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let slot = current();
    async move {
        match slot {
            Some(slot) => within(slot, future).await,
            None => future.await,
        }
    }
}

/// The slot of the call whose future is being polled now, for what goes on without it.
fn current() -> Option<Slot> {
    SLOT.try_with(Slot::clone).ok()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn holds_are_shed_before_reads_and_settlements_wait() {
        let load = Load::new(8);
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(load.slot(Urgency::Hold).await.unwrap());
        }
        assert!(load.slot(Urgency::Hold).await.is_err());
        held.push(load.slot(Urgency::Read).await.unwrap());
        assert!(load.slot(Urgency::Read).await.is_err());
        assert!(load.slot(Urgency::Watch).await.is_err());
        held.push(load.slot(Urgency::Settle).await.unwrap());
        assert_eq!(load.in_flight(), 8);
        let mut waiting = pin!(load.slot(Urgency::Settle));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        held.pop();
        assert!(matches!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_))));
    }

    #[tokio::test]
    async fn what_a_call_has_set_in_motion_keeps_its_slot() {
        let load = Load::new(8);
        let slot = load.slot(Urgency::Hold).await.unwrap();
        let kept = within(slot, async { current() }).await;
        assert_eq!(load.in_flight(), 1);
        drop(kept);
        assert_eq!(load.in_flight(), 0);
        assert!(current().is_none());
    }
}
