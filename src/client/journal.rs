//! The journal of a gateway: settlements that no sidecar has heard of yet, on the gateway's own disk.
//!
//! The queue on disk is [`crate::journal`]'s. An entry is the request itself, so that a replay has the id and the payload that the first try
//! had, and the ledger carries it out once whatever was heard of that.

use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use prost::Message;

use crate::clock::{Clock, SystemClock};
use crate::journal::{Appended, DeadEntry, JournalError, Number, OpenError};
use crate::proto::v1;

/// Most entries, the dead ones among them: some hundred bytes each, so a few dozen megabytes at the worst.
const ENTRIES_MAX: usize = 100_000;

type Queue = crate::journal::Journal<Entry>;
type Told = Arc<dyn Fn(&DeadLetter) + Send + Sync>;

/// A directory of this process alone, for settlements that could not be sent. The client replays them when the sidecar is back.
pub struct Journal {
    queue: Queue,
    told: Option<Told>,
}

/// How a reservation is to end: the request, as it is sent.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Ending {
    #[prost(message, tag = "2")]
    Commit(v1::CommitRequest),
    #[prost(message, tag = "3")]
    Release(v1::ReleaseRequest),
}

/// A settlement that the sidecar refuses for good. It stays in the journal until somebody takes it out.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    pub number: Number,
    pub ending: Ending,
    /// When it was written down, by this gateway's clock.
    pub accept_time: Timestamp,
    /// What the sidecar said.
    pub reason: String,
}

/// A settlement that waits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) ending: Ending,
    accept_time: Timestamp,
    subject: String,
}

/// As it is written down. It may only grow.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(message, optional, tag = "1")]
    accept_time: Option<prost_types::Timestamp>,
    #[prost(oneof = "Ending", tags = "2, 3")]
    ending: Option<Ending>,
    /// Of the dead alone.
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(message, optional, tag = "5")]
    dead_since: Option<prost_types::Timestamp>,
}

/// Bytes that no client has written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error(transparent)]
    Record(#[from] prost::DecodeError),
    #[error("`{0}` is missing or out of range")]
    Field(&'static str),
}

impl Journal {
    /// Opens the journal in a directory, and creates either if it does not exist. Blocks until all of it is read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with_room(directory, ENTRIES_MAX)
    }

    /// The same for at most so many entries, the dead ones among them.
    pub fn open_with_room(directory: impl AsRef<Path>, entries_max: usize) -> Result<Self, OpenError> {
        Ok(Self { queue: Queue::open(directory.as_ref(), entries_max)?, told: None })
    }

    /// Tells of every settlement that is refused for good from now on, once it is among the dead. It is called in the task that replays: it
    /// should hand on what takes long. A panic in it is caught, and the replay goes on.
    pub fn on_dead_letter(self, told: impl Fn(&DeadLetter) + Send + Sync + 'static) -> Self {
        Self { told: Some(Arc::new(told)), ..self }
    }

    /// Settlements that wait for the sidecar.
    pub fn waiting(&self) -> usize {
        self.queue.queued()
    }

    /// What was refused for good, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.queue.dead().into_iter().map(|(number, dead)| DeadLetter::of(number, &dead)).collect()
    }

    /// Has a dead letter sent again. `false`: there is none of this number.
    pub async fn revive(&self, number: Number) -> Result<bool, JournalError> {
        self.queue.revive(number).await
    }

    /// Forgets a dead letter. `false`: there is none of this number.
    pub async fn discard(&self, number: Number) -> Result<bool, JournalError> {
        self.queue.discard(number).await
    }

    /// Writes a settlement down; it is on the disk when this returns. `false`: another settlement of the reservation waits already.
    pub(super) async fn append(&self, ending: Ending) -> Result<bool, JournalError> {
        let entry = Entry { subject: ending.subject().to_owned(), accept_time: SystemClock.now(), ending };
        match self.queue.append(entry).await? {
            Appended::New | Appended::Repeated(_) => Ok(true),
            Appended::Conflict(_) => Ok(false),
        }
    }

    /// Waits until something waits. `false`: never again.
    pub(super) async fn filled(&self) -> bool {
        self.queue.filled().await
    }

    pub(super) fn entries(&self) -> Vec<(Number, Arc<Entry>)> {
        self.queue.entries()
    }

    /// Strikes out what the sidecar has taken.
    pub(super) async fn remove(&self, number: Number) {
        self.queue.remove(number).await;
    }

    /// Moves an entry to the dead, and tells.
    pub(super) async fn bury(&self, number: Number, reason: &str) -> Result<(), JournalError> {
        self.queue.bury(number, reason, SystemClock.now()).await?;
        let dead = self.queue.dead().into_iter().find(|(found, _)| *found == number);
        if let (Some((number, dead)), Some(told)) = (dead, &self.told) {
            let letter = DeadLetter::of(number, &dead);
            if catch_unwind(AssertUnwindSafe(|| told(&letter))).is_err() {
                tracing::error!(number, "whoever is told of dead letters panicked; the letter is kept");
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("place", &self.queue.place()).field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Ending {
    pub fn subject(&self) -> &str {
        match self {
            Self::Commit(v1::CommitRequest { subject, .. }) | Self::Release(v1::ReleaseRequest { subject, .. }) => subject,
        }
    }

    pub fn reservation_id(&self) -> &str {
        match self {
            Self::Commit(v1::CommitRequest { reservation_id, .. }) | Self::Release(v1::ReleaseRequest { reservation_id, .. }) => {
                reservation_id
            }
        }
    }

    /// What it is called in logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit",
            Self::Release(_) => "release",
        }
    }
}

impl DeadLetter {
    fn of(number: Number, dead: &DeadEntry<Entry>) -> Self {
        let Entry { ending, accept_time, .. } = &*dead.entry;
        Self { number, ending: ending.clone(), accept_time: *accept_time, reason: dead.reason.clone() }
    }
}

impl Entry {
    fn record(&self) -> Record {
        Record { accept_time: Some(time_out(self.accept_time)), ending: Some(self.ending.clone()), ..Record::default() }
    }
}

impl TryFrom<Record> for Entry {
    type Error = Malformed;

    fn try_from(record: Record) -> Result<Self, Malformed> {
        let ending = record.ending.ok_or(Malformed::Field("ending"))?;
        Ok(Self { accept_time: time("accept_time", record.accept_time)?, subject: ending.subject().to_owned(), ending })
    }
}

impl crate::journal::Entry for Entry {
    const FILE: &'static str = "settlements.redb";
    type Line = String;
    type Place = (String, String);
    type Malformed = Malformed;

    fn line(&self) -> &String {
        &self.subject
    }

    fn place(&self) -> Self::Place {
        (self.subject.clone(), self.ending.reservation_id().to_owned())
    }

    fn title(&self) -> impl Display {
        format!("{} of `{}`", self.ending.name(), self.ending.reservation_id())
    }

    fn repeats(&self, other: &Self) -> bool {
        self.ending == other.ending
    }

    fn encode(&self) -> Vec<u8> {
        self.record().encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        Record::decode(bytes)?.try_into()
    }

    fn encode_dead(dead: &DeadEntry<Self>) -> Vec<u8> {
        Record { reason: dead.reason.clone(), dead_since: Some(time_out(dead.time)), ..dead.entry.record() }.encode_to_vec()
    }

    fn decode_dead(bytes: &[u8]) -> Result<DeadEntry<Self>, Malformed> {
        let record = Record::decode(bytes)?;
        let (reason, time) = (record.reason.clone(), time("dead_since", record.dead_since)?);
        Ok(DeadEntry { entry: Arc::new(record.try_into()?), reason, time })
    }
}

fn time_out(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

fn time(field: &'static str, time: Option<prost_types::Timestamp>) -> Result<Timestamp, Malformed> {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()).ok_or(Malformed::Field(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Entry as _;

    #[test]
    fn entries_and_dead_letters_come_back_as_they_were_written() {
        let release = v1::ReleaseRequest { subject: "acme".to_owned(), reservation_id: "r".to_owned(), ..Default::default() };
        let entry = Entry { ending: Ending::Release(release), accept_time: Timestamp::UNIX_EPOCH, subject: "acme".to_owned() };
        assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        let dead = DeadEntry { entry: Arc::new(entry), reason: "settled".to_owned(), time: "2026-03-01T12:00:00.5Z".parse().unwrap() };
        assert_eq!(Entry::decode_dead(&Entry::encode_dead(&dead)).unwrap(), dead);
        Entry::decode(b"").unwrap_err();
        Entry::decode(b"\xff").unwrap_err();
    }
}
