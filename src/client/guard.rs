//! A hold as a value: whoever has it settles it, and what nobody settles is released.
//!
//! An ending consumes the guard, so there is one. It has begun when the method returns, whether or not its future is awaited. Dropping never
//! blocks and never panics; where the runtime is gone, nobody is left to tell the sidecar, and the hold comes back at its deadline.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::ask::{Delivered, Retry, Undelivered, duration};
use super::error::{Again, Error};
use super::journal::Ending;
use super::quota::Shared;
use super::settler::Settled;
use super::v1;
use crate::proto::v1::retry_response::Outcome;

/// Which part of an extension passes before the next: two more tries fit before the end.
const EXTENDED_AFTER: u32 = 3;
/// The longest extension: the contract's own, which every sidecar allows. A hold that was made for longer is not cut short by it.
const EXTENSION_MAX: Duration = Duration::from_secs(15 * 60);
/// The least time between two extensions.
const EXTENSION_PAUSE_MIN: Duration = Duration::from_millis(100);

/// A hold. Dropped without an ending, it is released in the background as CANCELLED, or as FAILED while a panic unwinds.
///
/// There is no second ending:
///
/// ```compile_fail,E0382
/// use genquota::client::{Delivered, Guard, v1::Outcome};
///
/// fn settle(guard: Guard) {
///     let _committed = guard.commit(Delivered::as_reserved());
///     let _released = guard.release(Outcome::Failed);
/// }
/// ```
#[must_use = "what is held is released when the guard is dropped"]
pub struct Guard {
    shared: Arc<Shared>,
    reservation: v1::Reservation,
    /// Nobody has settled it.
    open: bool,
    /// A retry was sent, and its answer never heard: which attempt is open must be asked.
    unsure: bool,
    keeper: Option<AbortOnDropHandle<()>>,
}

/// The answer to a [`Guard::retry`].
#[derive(Debug, Clone, PartialEq)]
pub enum Retried {
    /// The next attempt may begin.
    Held,
    /// The failover policy, or the quota, says no. The hold and the attempt stay as they were: retry elsewhere, or end it.
    Denied(v1::Denial),
}

/// A settlement on its way. It goes on when this is dropped.
#[derive(Debug)]
pub struct Settling(oneshot::Receiver<Result<Settled, Error>>);

impl Guard {
    pub(super) fn new(shared: Arc<Shared>, reservation: v1::Reservation, keep_alive: Option<Duration>) -> Result<Self, Error> {
        if reservation.state() != v1::State::Held {
            let state = reservation.state();
            return Err(Error::NotHeld { reservation_id: reservation.reservation_id, state });
        }
        let mut guard = Self { shared, reservation, open: true, unsure: false, keeper: None };
        guard.keeper = keep_alive.map(|longest| guard.keep_alive(longest));
        Ok(guard)
    }

    /// As last heard of: what is held, under which ids, and until when.
    pub fn reservation(&self) -> &v1::Reservation {
        &self.reservation
    }

    /// Charges what was delivered and gives the rest back.
    pub fn commit(mut self, delivered: impl Into<Delivered>) -> Settling {
        let (subject, id) = self.ids();
        self.end(Ending::Commit(delivered.into().message(subject, id)))
    }

    /// Gives everything back.
    pub fn release(mut self, undelivered: impl Into<Undelivered>) -> Settling {
        let (subject, id) = self.ids();
        self.end(Ending::Release(undelivered.into().message(subject, id)))
    }

    /// Closes the attempt that ended and asks for the next one under the same hold, on the same target or another.
    pub async fn retry(&mut self, retry: Retry) -> Result<Retried, Error> {
        let (subject, id) = self.ids();
        if self.unsure {
            self.reservation = self.shared.look_up(subject.clone(), id.clone()).await?;
        }
        let attempt = self.reservation.attempts.last().map(|attempt| attempt.number).ok_or(Error::Malformed { call: "Reserve" })?;
        self.unsure = true;
        let answer = self.shared.retry(retry.message(subject, id, attempt)).await?;
        self.unsure = false;
        match answer.outcome.ok_or(Error::Malformed { call: "Retry" })? {
            Outcome::Reservation(reservation) => {
                self.reservation = reservation;
                Ok(Retried::Held)
            }
            Outcome::Denial(denial) => Ok(Retried::Denied(denial)),
        }
    }

    /// Holds until so long from now, if that is later than it is.
    pub async fn extend(&mut self, ttl: Duration) -> Result<(), Error> {
        self.reservation = self.shared.extend(self.extension(ttl)).await?;
        Ok(())
    }

    /// Says that nobody knows how the attempt ended, as after a timeout of the provider, and leaves the hold open for so long: until then it
    /// is [resumed](super::Client::resume) or settled by whoever finds out. If this fails, the hold is left as it is.
    pub async fn leave_unknown(self, ttl: Duration) -> Result<v1::Reservation, Error> {
        let extension = v1::ExtendRequest { outcome_unknown: true, ..self.extension(ttl) };
        let shared = self.shared.clone();
        drop(self.leave());
        shared.extend(extension).await
    }

    /// Lets go of the hold without ending it. It stays until its deadline, for whoever [resumes](super::Client::resume) it by its ids.
    pub fn leave(mut self) -> v1::Reservation {
        self.open = false;
        std::mem::take(&mut self.reservation)
    }

    fn end(&mut self, ending: Ending) -> Settling {
        self.open = false;
        self.keeper = None;
        self.shared.settle(ending)
    }

    fn ids(&self) -> (String, String) {
        (self.reservation.subject.clone(), self.reservation.reservation_id.clone())
    }

    fn extension(&self, ttl: Duration) -> v1::ExtendRequest {
        let (subject, reservation_id) = self.ids();
        v1::ExtendRequest { subject, reservation_id, ttl: Some(duration(ttl)), outcome_unknown: false }
    }

    fn keep_alive(&self, longest: Duration) -> AbortOnDropHandle<()> {
        let ttl = ttl(&self.reservation).unwrap_or(EXTENSION_MAX).min(EXTENSION_MAX);
        let extension = self.extension(ttl);
        let pause = (ttl / EXTENDED_AFTER).max(EXTENSION_PAUSE_MIN);
        // Without the guard's own count of the client, which would keep the client alive for a guard that is gone.
        let (shared, end) = (Arc::downgrade(&self.shared), Instant::now().checked_add(longest));
        self.shared.spawn_owned(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(shared) = shared.upgrade().filter(|_| end.is_none_or(|end| Instant::now() < end)) else { return };
                if let Err(error) = shared.extend(extension.clone()).await {
                    let (subject, reservation) = (&extension.subject, &extension.reservation_id);
                    tracing::warn!(subject, reservation, %error, "a hold was not extended");
                    if error.refusal().is_none_or(|refusal| refusal.again() == Again::Never) {
                        return;
                    }
                }
            }
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.open {
            let outcome = if std::thread::panicking() { v1::Outcome::Failed } else { v1::Outcome::Cancelled };
            let (subject, id) = self.ids();
            drop(self.end(Ending::Release(Undelivered::new(outcome).message(subject, id))));
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("reservation", &self.reservation).field("open", &self.open).finish_non_exhaustive()
    }
}

impl Settling {
    pub(super) fn new(answer: oneshot::Receiver<Result<Settled, Error>>) -> Self {
        Self(answer)
    }
}

impl Future for Settling {
    type Output = Result<Settled, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(context)).unwrap_or(Err(Error::Shutdown)))
    }
}

/// How long the hold was made for.
fn ttl(reservation: &v1::Reservation) -> Option<Duration> {
    let instant = |time: prost_types::Timestamp| jiff::Timestamp::new(time.seconds, time.nanos).ok();
    let ttl = instant(reservation.expire_time?)?.duration_since(instant(reservation.create_time?)?);
    Duration::try_from(ttl).ok().filter(|ttl| !ttl.is_zero())
}
