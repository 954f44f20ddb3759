//! The replayer: waits until the store answers, then empties the journal into it, at a bounded rate.
//!
//! Entries of one subject go strictly one after the other, several subjects side by side. It is one task with lanes of its own, which end
//! with it; aborted anywhere, it loses nothing. It never gives an entry up: what the store refuses for good is moved to the dead, loudly.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Unreplayed;
use crate::domain::ids::SubjectId;
use crate::service::Service;
use crate::service::outage::Fallback;
use crate::store::StoreError;
use crate::store::journal::{Entry, Number};

/// Entries of one subject before the next has its turn.
const TURN: usize = 64;
/// Subjects in a row without an answer after which a round is given up: the store is away again, or most of it.
const SILENT_MAX: usize = 8;

/// How fast the journal is emptied.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Entries a second, those that come meanwhile not counted: so a backlog shrinks whatever comes.
    pub rate: u64,
    /// Subjects side by side.
    pub lanes: usize,
    /// A store that is back is left alone for a random part of this, so that many sidecars do not come all at once.
    pub spread: Duration,
    /// How long to wait before the store is asked again: at first, and at most.
    pub pause: (Duration, Duration),
}

impl Default for Pace {
    fn default() -> Self {
        // A hundred sidecars at this rate are 100,000 scripts a second in the worst case, about what one Redis does, spread over the
        // seconds of `spread`; one sidecar empties a full journal in about a minute.
        Self { rate: 1000, lanes: 8, spread: Duration::from_secs(2), pause: (Duration::from_millis(100), Duration::from_secs(2)) }
    }
}

/// What became of a subject's turn.
enum Lane {
    Gone,
    NoAnswer,
}

/// Spreads the entries of one drain over time.
struct Limiter {
    pace: Pace,
    begun: Instant,
    /// The last entry there was when it began.
    backlog: Number,
    taken: AtomicU64,
}

impl Service {
    /// Replays the journal whenever the store answers, until the journal is closed. There must be one of it. Returns at once where there
    /// is no journal.
    pub async fn replay(self: Arc<Self>, pace: Pace) {
        let Some(fallback) = &self.fallback else { return };
        let (first, longest) = pace.pause;
        while fallback.journal.filled().await {
            let mut pause = first;
            while !self.answers(fallback).await {
                tokio::time::sleep(part_of(pause)).await;
                pause = (pause * 2).min(longest);
            }
            tokio::time::sleep(part_of(pace.spread)).await;
            let began = Instant::now();
            let limiter = Arc::new(Limiter { pace, begun: began, backlog: fallback.journal.last(), taken: AtomicU64::new(0) });
            tracing::info!(entries = fallback.journal.queued(), "the store answers: replaying the journal");
            let mut pause = first;
            loop {
                let all_answered = self.clone().round(&limiter).await;
                if fallback.journal.is_drained() {
                    break;
                }
                if !all_answered {
                    tokio::time::sleep(part_of(pause)).await;
                    pause = (pause * 2).min(longest);
                    if !self.answers(fallback).await {
                        break;
                    }
                }
            }
            fallback.outage.end_if(|| fallback.journal.is_drained());
            if fallback.journal.is_drained() {
                let entries = limiter.taken.load(Ordering::Relaxed);
                tracing::info!(entries, dead = fallback.journal.dead().len(), "the journal is drained");
            }
        }
    }

    /// Whether the store answers, with whatever it may be.
    async fn answers(&self, fallback: &Fallback) -> bool {
        match tokio::time::timeout(fallback.rules.patience, self.store.documents(None, 0)).await {
            Ok(Ok(_) | Err(StoreError::Overloaded { .. } | StoreError::DataLost { .. })) => true,
            Ok(Err(StoreError::Unavailable { .. } | StoreError::Closing)) | Err(_) => false,
        }
    }

    /// Gives every subject one turn. Says whether the store answered all of them.
    async fn round(self: Arc<Self>, limiter: &Arc<Limiter>) -> bool {
        let Some(fallback) = &self.fallback else { return true };
        let mut subjects = fallback.journal.subjects();
        // In no order: subjects whose part of the store is away must not stand in front of the others each time.
        fastrand::shuffle(&mut subjects);
        let mut subjects = subjects.into_iter();
        let mut lanes: JoinSet<Lane> = JoinSet::new();
        let mut running: HashMap<tokio::task::Id, SubjectId> = HashMap::new();
        let (mut all_answered, mut silent) = (true, 0);
        loop {
            while lanes.len() < limiter.pace.lanes.max(1)
                && silent < SILENT_MAX
                && let Some(subject) = subjects.next()
            {
                let lane = self.clone().lane(subject.clone(), limiter.clone());
                running.insert(lanes.spawn(lane).id(), subject);
            }
            let (id, ended) = match lanes.join_next_with_id().await {
                None => return all_answered,
                Some(Ok((id, lane))) => (id, Some(lane)),
                Some(Err(panicked)) => (panicked.id(), None),
            };
            let subject = running.remove(&id);
            match ended {
                Some(Lane::Gone) => silent = 0,
                Some(Lane::NoAnswer) => (all_answered, silent) = (false, silent + 1),
                // The next of this subject must not wait for ever for one that cannot be read.
                None => {
                    if let Some((number, entry)) = subject.and_then(|subject| fallback.journal.first(&subject)) {
                        self.give_up(fallback, number, &entry, "internal error: its replay panicked").await;
                    }
                }
            }
        }
    }

    /// Replays what is queued for a subject, one after the other.
    async fn lane(self: Arc<Self>, subject: SubjectId, limiter: Arc<Limiter>) -> Lane {
        let Some(fallback) = &self.fallback else { return Lane::Gone };
        for _ in 0..TURN {
            let Some((number, entry)) = fallback.journal.first(&subject) else { break };
            limiter.wait(fallback).await;
            match tokio::time::timeout(fallback.rules.patience, self.replay_entry(fallback, &entry)).await {
                Ok(Ok(())) => fallback.journal.remove(number).await,
                Ok(Err(Unreplayed::Never(reason))) => {
                    if !self.give_up(fallback, number, &entry, &reason).await {
                        return Lane::NoAnswer;
                    }
                }
                Ok(Err(Unreplayed::NotNow(reason))) => {
                    tracing::debug!(%subject, reservation = %entry.id(), reason, "not replayed yet");
                    return Lane::NoAnswer;
                }
                Err(_) => return Lane::NoAnswer,
            }
        }
        Lane::Gone
    }

    /// Moves an entry to the dead, for a person to look at. Says whether that is written down; if not, it stays where it is.
    async fn give_up(&self, fallback: &Fallback, number: Number, entry: &Entry, reason: &str) -> bool {
        let (subject, reservation, what) = (&entry.subject, entry.id(), entry.name());
        tracing::error!(%subject, %reservation, what, number, reason, "a queued command cannot be carried out; the journal keeps it");
        fallback.journal.bury(number, reason, self.clock.now()).await.is_ok()
    }
}

impl Limiter {
    /// Waits for the turn of one more entry. Each that came since the beginning brings its own.
    async fn wait(&self, fallback: &Fallback) {
        let turn = self.taken.fetch_add(1, Ordering::Relaxed);
        let rate = self.pace.rate.max(1);
        loop {
            let newcomers = fallback.journal.last() - self.backlog;
            let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let allowed = (millis.saturating_mul(rate) / 1000).saturating_add(newcomers);
            if turn <= allowed {
                return;
            }
            tokio::time::sleep(Duration::from_millis(((turn - allowed) * 1000 / rate).max(1))).await;
        }
    }
}

/// A random part, at least half of a short one, so that those who wait for the same do not wait alike.
fn part_of(duration: Duration) -> Duration {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(fastrand::u64(micros / 2..=micros))
}
