//! The one queue in front of a store: bounded, first in first out, and the only place that sheds.
//!
//! Callers push jobs from any task; the store's single driver takes everything that waits as one batch, so that what arrives while one
//! write is in flight travels together in the next. It knows nothing of what a job is. When there is more than fits, new holds are turned
//! away first, then reads; a settlement waits for room and is never turned away (W4). What was accepted is always handed to the driver.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::{StoreError, Urgency};

/// When a caller that was turned away may come again: about the time in which a store empties a full queue.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Where callers put jobs.
#[derive(Debug)]
pub struct Queue<J>(Arc<Shared<J>>);

/// Where the store takes them. There is one, and it must take until [`Taken::Closed`].
#[derive(Debug)]
pub struct Driver<J>(Arc<Shared<J>>);

/// What a driver finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Jobs,
    /// Nothing came in time.
    Nothing,
    /// Nothing waits, and nothing will come any more.
    Closed,
}

#[derive(Debug)]
struct Shared<J> {
    capacity: usize,
    waiting: Mutex<Waiting<J>>,
    /// One permit for each free place.
    room: Semaphore,
    /// Wakes a driver that is a thread, and one that is a task.
    thread: Condvar,
    task: Notify,
}

#[derive(Debug)]
struct Waiting<J> {
    jobs: VecDeque<J>,
    closed: bool,
    /// A thread sleeps on `thread`: only then is waking it worth a system call.
    asleep: bool,
}

/// A queue with room for `capacity` jobs that wait, at least one.
pub fn queue<J>(capacity: usize) -> (Queue<J>, Driver<J>) {
    let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
    let shared = Arc::new(Shared {
        capacity,
        waiting: Mutex::new(Waiting { jobs: VecDeque::new(), closed: false, asleep: false }),
        room: Semaphore::new(capacity),
        thread: Condvar::new(),
        task: Notify::new(),
    });
    (Queue(shared.clone()), Driver(shared))
}

impl<J> Queue<J> {
    /// Hands a job to the driver. An error says that the driver will never see it.
    pub async fn push(&self, job: J, urgency: Urgency) -> Result<(), StoreError> {
        let shared = &*self.0;
        let permit = match urgency {
            Urgency::Settle => shared.room.acquire().await.map_err(|_| StoreError::Closing)?,
            Urgency::Reserve | Urgency::Read => shared.room.try_acquire().map_err(|problem| match problem {
                tokio::sync::TryAcquireError::Closed => StoreError::Closing,
                tokio::sync::TryAcquireError::NoPermits => overloaded(),
            })?,
        };
        let asleep = {
            let mut waiting = shared.lock();
            if waiting.closed {
                return Err(StoreError::Closing);
            }
            if waiting.jobs.len() >= shared.limit(urgency) {
                return Err(overloaded());
            }
            waiting.jobs.push_back(job);
            std::mem::take(&mut waiting.asleep)
        };
        // The driver gives it back when it takes the job.
        permit.forget();
        if asleep {
            shared.thread.notify_one();
        }
        shared.task.notify_one();
        Ok(())
    }

    /// Jobs that wait.
    pub fn depth(&self) -> usize {
        self.0.lock().jobs.len()
    }

    /// Accepts nothing more. The driver still gets what was accepted.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.room.close();
        self.0.thread.notify_all();
        self.0.task.notify_one();
    }
}

impl<J> Drop for Queue<J> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<J> Driver<J> {
    /// Moves what waits to `batch`, at most `max` jobs, blocking until there is something or `patience` is over.
    pub fn take(&self, max: usize, patience: Duration, batch: &mut Vec<J>) -> Taken {
        let mut waiting = self.0.lock();
        if waiting.jobs.is_empty() && !waiting.closed {
            waiting.asleep = true;
            let still_empty = |waiting: &mut Waiting<J>| waiting.jobs.is_empty() && !waiting.closed;
            let slept = self.0.thread.wait_timeout_while(waiting, patience, still_empty);
            waiting = slept.unwrap_or_else(PoisonError::into_inner).0;
            waiting.asleep = false;
        }
        self.0.hand_over(waiting, max, batch)
    }

    /// The same for a driver that is a task: waits until there is something.
    pub async fn taken(&self, max: usize, batch: &mut Vec<J>) -> Taken {
        loop {
            match self.0.hand_over(self.0.lock(), max, batch) {
                Taken::Nothing => self.0.task.notified().await,
                taken => return taken,
            }
        }
    }
}

impl<J> Shared<J> {
    /// How many jobs may wait for one more of this urgency to be accepted.
    fn limit(&self, urgency: Urgency) -> usize {
        let of_eighths = |eighths: usize| (self.capacity.saturating_mul(eighths) / 8).max(1);
        match urgency {
            Urgency::Reserve => of_eighths(6),
            Urgency::Read => of_eighths(7),
            Urgency::Settle => usize::MAX,
        }
    }

    fn hand_over(&self, mut waiting: MutexGuard<'_, Waiting<J>>, max: usize, batch: &mut Vec<J>) -> Taken {
        let count = waiting.jobs.len().min(max);
        if count == 0 {
            return if waiting.closed { Taken::Closed } else { Taken::Nothing };
        }
        batch.extend(waiting.jobs.drain(..count));
        drop(waiting);
        self.room.add_permits(count);
        Taken::Jobs
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<J>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overloaded() -> StoreError {
    StoreError::Overloaded { retry_after: RETRY_AFTER }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A push that must not have to wait.
    fn push(queue: &Queue<u32>, job: u32, urgency: Urgency) -> Result<(), StoreError> {
        match pin!(queue.push(job, urgency)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("the push waits for room"),
        }
    }

    fn take(driver: &Driver<u32>, max: usize) -> (Taken, Vec<u32>) {
        let mut batch = Vec::new();
        (driver.take(max, Duration::ZERO, &mut batch), batch)
    }

    #[test]
    fn jobs_come_out_in_the_order_they_went_in_and_at_most_so_many_at_once() {
        let (queue, driver) = queue(8);
        for job in 0..5 {
            push(&queue, job, Urgency::Reserve).unwrap();
        }
        assert_eq!(take(&driver, 3), (Taken::Jobs, vec![0, 1, 2]));
        assert_eq!(take(&driver, 3), (Taken::Jobs, vec![3, 4]));
        assert_eq!(take(&driver, 3), (Taken::Nothing, vec![]));
    }

    #[test]
    fn holds_are_shed_before_reads_and_reads_before_settlements() {
        let (queue, driver) = queue(8);
        for job in 0..6 {
            push(&queue, job, Urgency::Reserve).unwrap();
        }
        assert!(matches!(push(&queue, 6, Urgency::Reserve), Err(StoreError::Overloaded { .. })));
        push(&queue, 6, Urgency::Read).unwrap();
        assert!(matches!(push(&queue, 7, Urgency::Read), Err(StoreError::Overloaded { .. })));
        push(&queue, 7, Urgency::Settle).unwrap();
        assert!(matches!(push(&queue, 8, Urgency::Read), Err(StoreError::Overloaded { .. })));

        let mut settlement = pin!(queue.push(8, Urgency::Settle));
        let mut context = Context::from_waker(Waker::noop());
        assert!(settlement.as_mut().poll(&mut context).is_pending());
        assert_eq!(take(&driver, 1), (Taken::Jobs, vec![0]));
        assert!(matches!(settlement.as_mut().poll(&mut context), Poll::Ready(Ok(()))));
        assert_eq!(queue.depth(), 8);
        assert_eq!(take(&driver, 9).1, [1, 2, 3, 4, 5, 6, 7, 8]);
        for job in 0..6 {
            push(&queue, job, Urgency::Reserve).unwrap();
        }
    }

    #[test]
    fn a_refused_job_takes_no_room() {
        let (queue, driver) = queue(4);
        for job in 0..3 {
            push(&queue, job, Urgency::Reserve).unwrap();
        }
        for _ in 0..100 {
            assert!(push(&queue, 9, Urgency::Reserve).is_err());
        }
        assert_eq!(take(&driver, 9).1, [0, 1, 2]);
        for job in 0..4 {
            push(&queue, job, Urgency::Settle).unwrap();
        }
    }

    #[test]
    fn closing_refuses_what_comes_and_hands_over_what_was_accepted() {
        let (queue, driver) = queue(1);
        push(&queue, 1, Urgency::Reserve).unwrap();
        let mut late = pin!(queue.push(2, Urgency::Settle));
        let mut context = Context::from_waker(Waker::noop());
        assert!(late.as_mut().poll(&mut context).is_pending());
        queue.close();
        assert!(matches!(late.as_mut().poll(&mut context), Poll::Ready(Err(StoreError::Closing))));
        assert!(matches!(push(&queue, 3, Urgency::Settle), Err(StoreError::Closing)));
        assert_eq!(take(&driver, 9), (Taken::Jobs, vec![1]));
        assert_eq!(take(&driver, 9), (Taken::Closed, vec![]));
    }

    #[test]
    fn a_driver_that_sleeps_is_woken_by_a_job_and_by_the_end() {
        let (queue, driver) = queue::<u32>(4);
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let mut batch = Vec::new();
                let first = driver.take(9, Duration::MAX, &mut batch);
                (first, batch, driver.take(9, Duration::MAX, &mut Vec::new()))
            });
            push(&queue, 7, Urgency::Read).unwrap();
            while queue.depth() > 0 {
                std::thread::yield_now();
            }
            queue.close();
            assert_eq!(thread.join().unwrap(), (Taken::Jobs, vec![7], Taken::Closed));
        });
    }

    #[tokio::test]
    async fn a_driver_that_is_a_task_is_woken_too() {
        let (queue, driver) = queue::<u32>(4);
        let task = tokio::spawn(async move {
            let mut batch = Vec::new();
            while driver.taken(1, &mut batch).await == Taken::Jobs {}
            batch
        });
        for job in 0..40 {
            queue.push(job, Urgency::Settle).await.unwrap();
        }
        queue.close();
        assert_eq!(task.await.unwrap(), (0..40).collect::<Vec<_>>());
    }
}
