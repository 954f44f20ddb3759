//! Files that are put in force again when they change: the catalog, the access file, what TLS is spoken by.
//!
//! Files are read every few seconds and compared as a whole, rather than watched through the system's events: a swapped link as of a
//! ConfigMap, a rename, a write in place, a deletion and a network's file system are all alike then, and no event can be missed. A change
//! that nobody announced is judged when two looks in a row find the same, so that a file which is being written is left alone.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

/// How often what could not be put in force yet is tried again where files are not watched.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Requests for a reload that may wait; each reads the files anew.
const ASKED_MAX: usize = 16;

/// What some files say, and putting it in force.
pub(super) trait Watched: Send + 'static {
    /// What they say, or why nobody knows.
    type Seen: Clone + PartialEq + Send + Sync;
    /// What came of it.
    type Outcome: Clone + Send + Sync;

    fn read(&self) -> impl Future<Output = Self::Seen> + Send;

    fn is_in_force(&self, seen: &Self::Seen) -> bool;

    /// Puts in force what may be.
    fn judge(&mut self, seen: &Self::Seen) -> impl Future<Output = Self::Outcome> + Send;

    /// Says what came of it, in log, health and metrics.
    fn tell(&self, outcome: &Self::Outcome);

    fn verdict(outcome: &Self::Outcome) -> Verdict;
}

/// What becomes of something that was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    InForce,
    /// It is judged again when the files say something else.
    Refused,
    /// It is tried again as it is.
    Later,
}

/// Asks for reloads of the same files. Clones ask the same.
#[derive(Debug)]
pub struct Asks<O>(mpsc::Sender<oneshot::Sender<O>>);

/// Reloads files when they change, and when it is asked to.
pub(super) struct Watcher<W: Watched> {
    watched: W,
    /// None: the files are not looked at by themselves.
    every: Option<Duration>,
    asked: mpsc::Receiver<oneshot::Sender<W::Outcome>>,
    /// Found by the last look, and not judged yet.
    glimpsed: Option<W::Seen>,
    /// What was judged last and not put in force, and what came of it.
    refused: Option<(W::Seen, W::Outcome)>,
}

impl<O> Asks<O> {
    /// Reads the files now and puts in force what may be. None: the process is ending.
    pub async fn reload(&self) -> Option<O> {
        let (sender, answer) = oneshot::channel();
        self.0.send(sender).await.ok()?;
        answer.await.ok()
    }
}

impl<O> Clone for Asks<O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Watched> Watcher<W> {
    /// For files whose present content is in force.
    pub(super) fn new(watched: W, every: Option<Duration>) -> (Self, Asks<W::Outcome>) {
        let (sender, asked) = mpsc::channel(ASKED_MAX);
        (Self { watched, every, asked, glimpsed: None, refused: None }, Asks(sender))
    }

    /// Reloads for as long as it is polled.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.every.unwrap_or(RETRY_INTERVAL));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looks = self.every.is_some() || self.waits();
            tokio::select! {
                Some(answer) = self.asked.recv() => {
                    let outcome = self.reload().await;
                    // Whoever asked may not want to know.
                    let _ = answer.send(outcome);
                }
                _ = ticks.tick(), if looks => self.look().await,
                else => return,
            }
        }
    }

    fn waits(&self) -> bool {
        self.refused.as_ref().is_some_and(|(_, outcome)| W::verdict(outcome) == Verdict::Later)
    }

    /// Judges what the files say now.
    async fn reload(&mut self) -> W::Outcome {
        let seen = self.watched.read().await;
        let outcome = self.watched.judge(&seen).await;
        self.tell(seen, &outcome);
        outcome
    }

    /// Judges what the files say if that is new, and not about to change.
    async fn look(&mut self) {
        let seen = self.watched.read().await;
        let is_in_force = self.watched.is_in_force(&seen);
        let is_known = self.refused.as_ref().is_some_and(|(known, _)| *known == seen);
        if is_in_force && self.refused.is_none() || is_known && !self.waits() {
            self.glimpsed = None;
        } else if is_known || self.glimpsed.as_ref() == Some(&seen) {
            let outcome = self.watched.judge(&seen).await;
            // That it still waits was told.
            if !(is_known && W::verdict(&outcome) == Verdict::Later) {
                self.tell(seen, &outcome);
            }
        } else {
            self.glimpsed = Some(seen);
        }
    }

    fn tell(&mut self, seen: W::Seen, outcome: &W::Outcome) {
        self.watched.tell(outcome);
        self.glimpsed = None;
        self.refused = (W::verdict(outcome) != Verdict::InForce).then(|| (seen, outcome.clone()));
    }
}
