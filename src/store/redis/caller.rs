//! One call of the script on one partition: its keys, its head, and what may become of it.
//!
//! Every call is safe to repeat: a transaction is known again by its id and expected version. So what may have run and was not heard of is
//! asked again, under the same id, when the connection is back; if that takes too long, the caller is told that nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use redis::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Time;
use super::feed::tell_swept;
use super::keys::Keys;
use super::lineage::{Identity, Lineage};
use super::link::{Failure, Link, LinkState};
use super::replication::Replication;
use super::reply::{Reply, ReplyError};
use super::request::{Due, Needs, Operation};
use super::row::{NOTHING, time_text};
use super::script::Flavour;
use crate::store::{Observer, StoreError};

const DAY_MICROS: i64 = 86_400_000_000;
/// Most rounds of sweeping before a decision. Each takes the holds that are due first, 128 of them; a subject with more waits no longer.
const SWEEPS_MAX: usize = 16;
/// Between two tries of a call: short beside what a caller waits, long beside what the server needs to refuse all that are in flight.
const REPEAT_AFTER: Duration = Duration::from_millis(25);
/// Keys of a partition that every call has.
const FIXED_KEYS: usize = 3;

/// Asks the partitions of one ledger.
pub(super) struct Caller {
    pub(super) link: Arc<Link>,
    pub(super) keys: Keys,
    pub(super) lineage: Lineage,
    pub(super) replication: Option<Replication>,
    /// The connection under which the partitions were last found to be those that were seen.
    pub(super) verified: watch::Sender<u64>,
    /// Why nothing may be left to the server as it is set up now.
    pub(super) unfit: watch::Sender<Option<Arc<str>>>,
    pub(super) time: Time,
    /// How long an ended reservation is remembered, in microseconds.
    pub(super) retention: i64,
    /// How long a call may wait for a lost connection to come back.
    pub(super) patience: Duration,
    /// Since when each partition has given no answer, in milliseconds since `opened`; 0 where it does.
    pub(super) silent: Vec<AtomicU64>,
    pub(super) opened: Instant,
    pub(super) observer: Option<Observer>,
    /// Counts the changes that this process brings about.
    pub(super) stirred: watch::Sender<u64>,
    /// The store's day since 1970, as last heard.
    pub(super) day: AtomicI64,
}

/// Why there is no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Trouble {
    /// Certainly not carried out; a repeat may help.
    #[error("{0}")]
    NotApplied(String),
    /// Nothing was sent, because who keeps this partition is not reached. The connection to it will be a new one.
    #[error("{0}")]
    Away(String),
    /// Certainly not carried out, and a repeat will not help before somebody acts.
    #[error("{0}")]
    Refused(String),
    /// It may have been carried out.
    #[error("no answer: {0}")]
    Unknown(String),
    #[error("{0}")]
    Lost(Arc<str>),
    /// A defect of the program, or damage.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost(reason) => Self::DataLost { reason },
            trouble => Self::Unavailable { reason: Arc::from(trouble.to_string()) },
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotApplied { ref code, .. } if code == Failure::DOWN => Self::Away(failure.to_string()),
            Failure::NotApplied { retry: true, .. } => Self::NotApplied(failure.to_string()),
            Failure::NotApplied { .. } | Failure::NoScript => Self::Refused(failure.to_string()),
            Failure::Unknown { .. } => Self::Unknown(failure.to_string()),
            Failure::Script { .. } => Self::Reply(ReplyError::Shape(failure.to_string())),
        }
    }
}

impl Caller {
    /// One operation, with whatever must be swept before it. It is asked again for as long as a caller may be kept waiting.
    pub(super) async fn ask(&self, partition: usize, flavour: Flavour, operation: &Operation) -> Result<Reply, Trouble> {
        let mut until = None;
        let mut sweeps = 0;
        loop {
            match self.one(partition, flavour, operation, sweeps >= SWEEPS_MAX).await {
                Ok(reply) if reply.letter() == "S" => {
                    let members: Vec<_> = reply.texts(2)?.into_iter().map(|member| (Due::Hold, member)).collect();
                    self.sweep(partition, None, &members).await?;
                    sweeps += 1;
                }
                Ok(reply) => {
                    self.silent[partition].store(0, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(trouble @ (Trouble::NotApplied(_) | Trouble::Away(_) | Trouble::Unknown(_))) => {
                    let until = *until.get_or_insert_with(|| Instant::now() + self.patience);
                    if self.is_silent_for_long(partition) || !self.is_back(partition, until).await {
                        return Err(trouble);
                    }
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Deals with what time has brought about. Says how many holds were given back.
    pub(super) async fn sweep(&self, partition: usize, reached: Option<&str>, members: &[(Due, String)]) -> Result<u64, Trouble> {
        let operation = Operation::sweep(reached, members, FIXED_KEYS + 1);
        let replies = self.call(partition, Flavour::Always, &[&operation], true).await?;
        let reply = single(replies)?;
        if reply.letter() != "W" {
            return Err(reply.wrong().into());
        }
        for member in reply.texts(3)? {
            tracing::error!(partition, member, "a row of the store is damaged; it is left as it is");
        }
        let count = reply.number(2)?;
        if let Some(observer) = self.observer.as_ref().filter(|_| count > 0)
            && let Err(trouble) = tell_swept(self, observer, partition, reply.number(4)?, count).await
        {
            // The change is made all the same, and readers of events will see it.
            tracing::warn!(partition, count, %trouble, "an observer misses holds that have expired");
        }
        Ok(count)
    }

    /// Lays out a partition, or begins a generation of it. Tells the identity it has then, and its last change.
    pub(super) async fn lay_out(link: &Link, keys: &Keys, partition: usize, identity: Identity) -> Result<(String, u64), Trouble> {
        let names = keys.partition(partition);
        let fixed = [names.meta.clone(), names.due.clone(), names.events.clone()];
        let reply = single(run(link, Flavour::Always, &fixed, &[format!("A {identity}").into_bytes()]).await?)?;
        let (sequence, _) = position(reply.text(2)?).ok_or_else(|| reply.wrong())?;
        Ok((reply.text(1)?.to_owned(), sequence))
    }

    /// One operation on its own subject or partition.
    pub(super) async fn one(&self, partition: usize, flavour: Flavour, operation: &Operation, swept: bool) -> Result<Reply, Trouble> {
        single(self.call(partition, flavour, &[operation], swept).await?)
    }

    /// Several operations in one call; their replies in order.
    pub(super) async fn call(
        &self,
        partition: usize,
        flavour: Flavour,
        operations: &[&Operation],
        swept: bool,
    ) -> Result<Vec<Reply>, Trouble> {
        self.wait_until_verified().await?;
        if let Some(reason) = &*self.unfit.borrow() {
            return Err(Trouble::Refused(reason.to_string()));
        }
        self.call_unverified(partition, flavour, operations, swept).await
    }

    /// The same on a connection that may lead anywhere.
    pub(super) async fn call_unverified(
        &self,
        partition: usize,
        flavour: Flavour,
        operations: &[&Operation],
        swept: bool,
    ) -> Result<Vec<Reply>, Trouble> {
        for _ in 0..3 {
            let mark = self.lineage.mark(partition);
            if let Some(reason) = mark.fenced {
                return Err(Trouble::Lost(reason));
            }
            let identity = self.lineage.identity();
            let (keys, arguments) = self.written(partition, (identity, mark.sequence), operations, swept);
            let replies = run(&self.link, flavour, &keys, &arguments).await?;
            match replies.first().map(Reply::letter) {
                Some("H") => self.heard(replies[0].number(1)?),
                Some("G") => return Err(self.foreign(partition, &replies[0], identity)),
                Some("B") => return Err(self.behind(partition, replies[0].number(1)?, mark.sequence, identity)),
                _ => {
                    for (sequence, time) in replies.iter().filter_map(Reply::position) {
                        // What came over a connection that is not verified yet is no measure for verifying it.
                        if self.is_verified() {
                            self.lineage.seen(partition, identity.generation, sequence, time);
                        }
                        self.heard(time);
                    }
                    // A repeat finds what an earlier call wrote, and that may not be there yet either.
                    if let Some(replication) = self.replication.as_ref().filter(|_| replies.iter().any(Reply::tells_a_change)) {
                        replication.confirm().await?;
                    }
                    self.stir(&replies);
                    return Ok(replies);
                }
            }
        }
        Err(Trouble::NotApplied("the store's clock jumps".to_owned()))
    }

    fn stir(&self, replies: &[Reply]) {
        let changes: u64 = replies.iter().map(Reply::changes).sum();
        if changes > 0 {
            self.stirred.send_modify(|count| *count += changes);
        }
    }

    /// The keys and arguments of a call.
    pub(super) fn written(
        &self,
        partition: usize,
        (identity, mark): (Identity, u64),
        operations: &[&Operation],
        swept: bool,
    ) -> (Vec<String>, Vec<Vec<u8>>) {
        let names = self.keys.partition(partition);
        let needs = operations.iter().fold(Needs::default(), |needs, operation| needs.or(operation.needs));
        let mut keys = vec![names.meta.clone(), names.due.clone(), names.events.clone()];
        let day = self.day();
        let mut places = Vec::with_capacity(operations.len());
        for operation in operations {
            places.push(keys.len() + 1);
            keys.extend(operation.keys.iter().flat_map(|key| key.names(names, day)));
        }
        let mut place = |needed: bool, names: &[String]| {
            if !needed {
                return 0;
            }
            keys.extend(names.iter().cloned());
            keys.len() - names.len() + 1
        };
        let costs = place(needs.costs, &[names.costs(day, None), names.costs(day + 1, None)]);
        let lapses = place(needs.lapses, std::slice::from_ref(&names.lapses));
        let documented = place(needs.subjects, std::slice::from_ref(&names.subjects));
        let spent = place(needs.spent, std::slice::from_ref(&names.spent));
        let given = match &self.time {
            Time::Server => NOTHING.to_owned(),
            Time::Given(clock) => time_text(clock.now()).to_string(),
        };
        let (retention, swept) = (self.retention, u8::from(swept));
        let head = format!("{identity} {mark} {given} {retention} {costs} {day} {lapses} {documented} {spent} {swept}");
        let mut arguments = vec![head.into_bytes()];
        arguments.extend(operations.iter().zip(places).map(|(operation, place)| operation.argument(place)));
        (keys, arguments)
    }

    /// Fences a partition, with a loud signal, once.
    pub(super) fn lost(&self, partition: usize, reason: &str) -> Trouble {
        if self.lineage.fence(partition, reason) {
            tracing::error!(partition, reason, "the store has lost data; nothing is decided on this partition until that is accepted");
        }
        Trouble::Lost(Arc::from(reason))
    }

    fn foreign(&self, partition: usize, reply: &Reply, asked_as: Identity) -> Trouble {
        if asked_as != self.lineage.identity() {
            return Trouble::NotApplied("the ledger begins a new generation".to_owned());
        }
        match reply.text(1).ok().map(str::parse::<Identity>) {
            // An administrator has begun a new generation, or this process has while the call was on its way.
            Some(Ok(found)) if found.id == asked_as.id && found.generation != asked_as.generation => {
                if found.generation > self.lineage.identity().generation {
                    return self.lost(partition, &format!("it is in generation {} now", found.generation));
                }
                Trouble::NotApplied("the ledger begins a new generation".to_owned())
            }
            Some(Ok(found)) => self.lost(partition, &format!("it is of another ledger: {found}")),
            Some(Err(_)) | None => self.lost(partition, "it came back empty"),
        }
    }

    fn behind(&self, partition: usize, found: u64, seen: u64, asked_as: Identity) -> Trouble {
        if asked_as != self.lineage.identity() {
            return Trouble::NotApplied("the ledger begins a new generation".to_owned());
        }
        self.lost(partition, &format!("its last change is number {found}, and number {seen} was seen"))
    }

    /// The store told its time, in microseconds.
    fn heard(&self, time: i64) {
        self.day.store(time.div_euclid(DAY_MICROS), Ordering::Relaxed);
    }

    fn day(&self) -> i64 {
        match &self.time {
            Time::Server => self.day.load(Ordering::Relaxed),
            Time::Given(clock) => time_text(clock.now()).div_euclid(DAY_MICROS),
        }
    }

    /// Whether a partition has given no answer for longer than a call may wait: then each call tries once, and nobody waits behind it.
    fn is_silent_for_long(&self, partition: usize) -> bool {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        match self.silent[partition].compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => false,
            Err(since) => Duration::from_millis(now.saturating_sub(since)) > self.patience,
        }
    }

    /// Waits for the connection to who keeps a partition, and a moment in any case: one that has just broken may still count as up, and a
    /// slot that moves or a server that loads needs one too.
    async fn is_back(&self, partition: usize, until: Instant) -> bool {
        let back = async {
            tokio::time::sleep(REPEAT_AFTER).await;
            self.link.wait_until_up(self.keys.partition(partition).meta.as_bytes()).await
        };
        tokio::time::timeout_at(until, back).await.unwrap_or(false)
    }

    /// Whether every connection that is up is known to lead to the ledger that was seen.
    fn is_verified(&self) -> bool {
        match *self.link.state().borrow() {
            LinkState::Up { epoch } => *self.verified.borrow() >= epoch,
            LinkState::Down { .. } => false,
        }
    }

    /// Nothing is asked on a new connection before it is known to lead to the ledger that was seen.
    async fn wait_until_verified(&self) -> Result<(), Trouble> {
        let LinkState::Up { epoch } = *self.link.state().borrow() else { return Ok(()) };
        if *self.verified.borrow() >= epoch {
            return Ok(());
        }
        let mut verified = self.verified.subscribe();
        let done = verified.wait_for(|verified| *verified >= epoch);
        match tokio::time::timeout(self.patience, done).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Trouble::NotApplied("the store is being verified".to_owned())),
        }
    }
}

/// Runs the script. A server that does not know it is sent the text.
pub(super) async fn run(link: &Link, flavour: Flavour, keys: &[String], arguments: &[Vec<u8>]) -> Result<Vec<Reply>, Trouble> {
    let value = match link.call(&flavour.command(true, keys, arguments)).await {
        Err(Failure::NoScript) => link.call(&flavour.command(false, keys, arguments)).await?,
        value => value?,
    };
    let Value::Array(replies) = value else { return Err(ReplyError::Shape(format!("{value:?}")).into()) };
    let reply = |value| match value {
        Value::Array(parts) => Ok(Reply(parts)),
        other => Err(ReplyError::Shape(format!("{other:?}")).into()),
    };
    replies.into_iter().map(reply).collect()
}

fn single(mut replies: Vec<Reply>) -> Result<Reply, Trouble> {
    match (replies.pop(), replies.pop()) {
        (Some(reply), None) => Ok(reply),
        _ => Err(ReplyError::Shape("another number of replies than of operations".to_owned()).into()),
    }
}

/// A position as the script writes it: a number and a time.
pub(super) fn position(text: &str) -> Option<(u64, i64)> {
    let (sequence, time) = text.split_once(' ')?;
    Some((sequence.parse().ok()?, time.parse().ok()?))
}
