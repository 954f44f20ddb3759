//! Events as readers find them in Redis: one stream for each partition. A page is one call of the script, which reads it and how the
//! stream stands in one step, so that whether anything is missing before it is never a guess.
//!
//! It goes past the queue: readers are few, ask one after the other, and must not take the places of those who decide.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use redis::Value;
use tokio::sync::watch;
use uuid::Uuid;

use super::broken;
use super::caller::{Caller, Trouble};
use super::reply::{Reply, ReplyError};
use super::request::Operation;
use super::row::{number, time};
use super::script::Flavour;
use super::text::EventHead;
use crate::domain::ledger::{Answer, Event, EventKind, Transaction};
use crate::store::feed::{self, Ends, Feed, Place, Reading, Standing};
use crate::store::record::RecordError;
use crate::store::{Observer, StoreError};

/// How often to look for what other sidecars have changed: soon enough for an eye, and a call for each partition ten times a second is
/// little beside decisions.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Most events that are read back at once for the observer.
const READ_BACK_MAX: usize = 256;

/// What one call tells of a stream.
struct Told {
    standing: Standing,
    events: Vec<(Place, Event)>,
    time: Timestamp,
}

pub(super) struct RedisFeed(pub(super) Arc<Caller>);

#[async_trait::async_trait]
impl Feed for RedisFeed {
    fn streams(&self) -> usize {
        self.0.keys.count()
    }

    fn ledger(&self) -> Uuid {
        self.0.lineage.identity().id
    }

    async fn ends(&self, stream: usize) -> Result<Ends, StoreError> {
        let Told { standing, time, .. } = read(&self.0, stream, Place::default(), 0).await?;
        Ok(Ends { oldest: standing.oldest(), newest: standing.end, time })
    }

    async fn events(&self, stream: usize, after: Place, limit: usize) -> Result<Reading, StoreError> {
        let Told { standing, events, time } = read(&self.0, stream, after, limit.max(1)).await?;
        Ok(feed::reading(&standing, after, events, time))
    }

    fn stirred(&self) -> watch::Receiver<u64> {
        self.0.stirred.subscribe()
    }

    fn look_interval(&self) -> Option<Duration> {
        Some(LOOK_INTERVAL)
    }
}

async fn read(caller: &Caller, partition: usize, after: Place, limit: usize) -> Result<Told, StoreError> {
    let reply = caller.ask(partition, Flavour::Always, &Operation::events(after, limit)).await?;
    told(&reply).map_err(broken)
}

/// Tells the observer what a sweep has changed: the last so many changes up to a number. They were made in one step, so they are there.
pub(super) async fn tell_swept(caller: &Caller, observer: &Observer, partition: usize, sequence: u64, count: u64) -> Result<(), Trouble> {
    let mut after = Place::new(caller.lineage.identity().generation, sequence.saturating_sub(count));
    while after.number < sequence {
        let limit = usize::try_from(sequence - after.number).unwrap_or(READ_BACK_MAX).min(READ_BACK_MAX);
        let Told { events, .. } = told(&caller.one(partition, Flavour::Always, &Operation::events(after, limit), true).await?)?;
        let Some((last, _)) = events.last() else { return Ok(()) };
        after = *last;
        events.iter().for_each(|(_, event)| observer.tell(event));
    }
    Ok(())
}

/// The event of a transaction that was carried out, as its answer tells it.
pub(super) fn event_of(transaction: &Transaction, answer: &Answer) -> Option<Event> {
    let Answer::Done(done) = answer else { return None };
    (!transaction.dry_run).then(|| Event {
        sequence: done.sequence,
        time: done.now,
        kind: transaction.step.as_ref().map_or(EventKind::SubjectChanged, |step| step.next.event),
        subject: transaction.subject.clone(),
        row: done.row.clone(),
        document: done.document.clone(),
    })
}

fn told(reply: &Reply) -> Result<Told, ReplyError> {
    if reply.letter() != "Q" {
        return Err(reply.wrong());
    }
    let end = Place::new(reply.number(2)?, reply.number(3)?);
    let first = Some(reply.text(5)?).filter(|id| !id.is_empty()).map(place).transpose()?;
    let standing = Standing { end, began: reply.number(4)?, first };
    let Some(Value::Array(entries)) = reply.0.get(6) else { return Err(reply.wrong()) };
    let events = entries.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Told { standing, events, time: reply.time(1)? })
}

fn place(id: &str) -> Result<Place, RecordError> {
    let (generation, at) = id.split_once('-').ok_or_else(|| RecordError::new("event", format!("has no place: `{id}`")))?;
    Ok(Place::new(number(generation)?, number(at)?))
}

/// One entry of a stream. The version of a document is not in it.
fn entry(value: &Value) -> Result<(Place, Event), RecordError> {
    let wrong = || RecordError::new("event", "is no entry of a stream");
    let (id, fields): (String, Vec<Vec<u8>>) = redis::from_redis_value_ref(value).map_err(|_| wrong())?;
    let [_, at, _, text] = <[Vec<u8>; 4]>::try_from(fields).map_err(|_| wrong())?;
    let place = place(&id)?;
    let at = time(std::str::from_utf8(&at).map_err(|_| wrong())?)?;
    Ok((place, EventHead::read(&text)?.event(place.number, at, 0)?))
}
