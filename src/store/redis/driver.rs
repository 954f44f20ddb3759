//! Takes what waits in the queue and keeps a bounded number of calls in flight on the shared connection.
//!
//! One transaction travels in a call, or several of one partition where that is asked for and they wait together; each is decided by
//! itself either way.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;

use super::caller::{Caller, Trouble};
use super::reply::Reply;
use super::request::Operation;
use super::script::Flavour;
use crate::store::metered::Batches;
use crate::store::queue::{Driver, Taken};

/// One operation on its way.
pub(super) struct Job {
    pub(super) partition: usize,
    pub(super) flavour: Flavour,
    pub(super) operation: Operation,
    pub(super) reply: oneshot::Sender<Result<Reply, Trouble>>,
}

/// How much is in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) calls: usize,
    pub(super) operations_per_call: usize,
}

/// Serves until the queue is closed and every call has ended.
pub(super) async fn drive(driver: Driver<Job>, caller: Arc<Caller>, bounds: Bounds, batches: Option<Batches>) {
    let mut flying = FuturesUnordered::new();
    let mut jobs = Vec::new();
    let mut open = true;
    while open || !flying.is_empty() {
        let free = bounds.calls.saturating_sub(flying.len());
        tokio::select! {
            biased;
            Some(()) = flying.next(), if !flying.is_empty() => {}
            taken = driver.taken(free.saturating_mul(bounds.operations_per_call), &mut jobs), if open && free > 0 => {
                open = taken != Taken::Closed;
                if let Some(batches) = batches.as_ref().filter(|_| !jobs.is_empty()) {
                    batches.tell(jobs.len());
                }
                for group in grouped(jobs.drain(..), bounds.operations_per_call) {
                    flying.push(carry(&caller, group));
                }
            }
        }
    }
}

/// Jobs that can share a call, in their order, at most `most` to a call.
fn grouped(jobs: impl Iterator<Item = Job>, most: usize) -> Vec<Vec<Job>> {
    let mut groups: Vec<Vec<Job>> = Vec::new();
    for job in jobs {
        let fits = |group: &&mut Vec<Job>| {
            group.len() < most && group.first().is_some_and(|first| first.partition == job.partition && first.flavour == job.flavour)
        };
        match groups.iter_mut().rev().find(fits) {
            Some(group) if most > 1 => group.push(job),
            _ => groups.push(vec![job]),
        }
    }
    groups
}

/// Carries jobs to the store, and each answer to who waits for it. A caller that went away has lost its answer, and nothing else.
async fn carry(caller: &Caller, mut jobs: Vec<Job>) {
    if jobs.len() > 1 {
        let partition = jobs[0].partition;
        let operations: Vec<&Operation> = jobs.iter().map(|job| &job.operation).collect();
        if let Ok(replies) = caller.call(partition, jobs[0].flavour, &operations, false).await {
            let mut undecided = Vec::new();
            for (job, reply) in jobs.into_iter().zip(replies) {
                if reply.letter() == "S" {
                    undecided.push(job);
                } else {
                    let _ = job.reply.send(Ok(reply));
                }
            }
            jobs = undecided;
        }
    }
    for Job { partition, flavour, operation, reply } in jobs {
        // A hold that nobody waits for any more would only keep others waiting, and units from those who still want them.
        if flavour == Flavour::Bounded && reply.is_closed() {
            continue;
        }
        let _ = reply.send(caller.ask(partition, flavour, &operation).await);
    }
}
