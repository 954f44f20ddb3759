//! Reading every key of a ledger.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{CALLS_MAX, RedisArchive};
use crate::domain::ids::{CatalogVersion, SubjectId};
use crate::domain::ledger::Row;
use crate::domain::summary::CostSum;
use crate::store::redis::address::Place;
use crate::store::redis::caller::position;
use crate::store::redis::keys::Keys;
use crate::store::redis::row::time;
use crate::store::redis::{sums, text};
use crate::store::transfer::{Extent, Numbers, Source, SubjectState, Sums, TransferError, Unnumbered, Writer, merge};

/// Entries of a stream that one command reads.
const PAGE: usize = 500;
/// Keys that one step of a scan looks at.
const SCAN_COUNT: usize = 1000;

/// One event as the stream has it.
struct Entry {
    generation: u64,
    number: u64,
    /// In microseconds.
    time: jiff::Timestamp,
    text: Vec<u8>,
}

/// The streams of all partitions as they were found.
struct Index {
    numbers: Numbers,
    order: VecDeque<Unnumbered>,
    /// How many events tell each subject's document.
    documents: HashMap<SubjectId, u64>,
}

/// What lies in a ledger beside events.
#[derive(Default)]
struct Names {
    subjects: Vec<(SubjectId, usize)>,
    /// Keys.
    costs: Vec<String>,
}

impl RedisArchive {
    /// Who has each partition, and how far it has come. Every change of a partition changes this.
    async fn marks(&self, keys: &Keys) -> Result<Vec<String>, TransferError> {
        let read = |partition: usize| async move {
            let found: (Option<String>, Option<String>) =
                self.ask(redis::cmd("HMGET").arg(&keys.partition(partition).meta).arg("genesis").arg("position")).await?;
            match found {
                (Some(genesis), Some(position)) => Ok(format!("{genesis} {position}")),
                _ => Err(TransferError::Damaged(format!("partition {partition} is not there"))),
            }
        };
        stream::iter((0..keys.count()).map(read)).buffered(CALLS_MAX).try_collect().await
    }

    /// A page of events after an entry.
    async fn page(&self, keys: &Keys, partition: usize, after: &str) -> Result<Vec<(String, Entry)>, TransferError> {
        let stream = &keys.partition(partition).events;
        let after = if after.is_empty() { "-".to_owned() } else { format!("({after}") };
        let value = self.value(redis::cmd("XRANGE").arg(stream).arg(after).arg("+").arg("COUNT").arg(PAGE)).await?;
        let entries: Vec<(String, Vec<Vec<u8>>)> = redis::from_redis_value(value)
            .map_err(|problem| TransferError::Damaged(format!("events of partition {partition}: {problem}")))?;
        let entry = |(id, fields): (String, Vec<Vec<u8>>)| {
            let damaged = || TransferError::Damaged(format!("event {id} of partition {partition}"));
            let (generation, number) = id.split_once('-').ok_or_else(damaged)?;
            let [_, at, _, text] = <[Vec<u8>; 4]>::try_from(fields).map_err(|_| damaged())?;
            let at = std::str::from_utf8(&at).ok().and_then(|at| time(at).ok());
            let entry = Entry {
                generation: generation.parse().map_err(|_| damaged())?,
                number: number.parse().map_err(|_| damaged())?,
                time: at.ok_or_else(damaged)?,
                text,
            };
            Ok((id, entry))
        };
        entries.into_iter().map(entry).collect()
    }

    /// Looks at every event once.
    async fn index(&self, keys: &Keys, furthest: u64) -> Result<Index, TransferError> {
        let look = |partition: usize| async move {
            let (mut events, mut documents, mut after) = (Vec::new(), Vec::new(), String::new());
            loop {
                let page = self.page(keys, partition, &after).await?;
                let Some((last, _)) = page.last() else { return Ok::<_, TransferError>((events, documents)) };
                after.clone_from(last);
                for (id, Entry { generation, number, time, text }) in page {
                    let head = text::EventHead::read(&text).map_err(|problem| TransferError::record(&format!("event {id}"), &problem))?;
                    if head.has_document() {
                        documents.push(head.subject);
                    }
                    events.push((time, generation, number, partition));
                }
            }
        };
        let found: Vec<_> = stream::iter((0..keys.count()).map(look)).buffer_unordered(CALLS_MAX).try_collect().await?;
        let (mut events, mut documents) = (Vec::new(), HashMap::new());
        for (of_partition, documented) in found {
            events.extend(of_partition);
            for subject in documented {
                *documents.entry(subject).or_default() += 1;
            }
        }
        let (numbers, order) = Numbers::new(events, furthest);
        Ok(Index { numbers, order: order.into(), documents })
    }

    /// The names of all keys of the partitions.
    async fn keys_found(&self, keys: &Keys) -> Result<Vec<String>, TransferError> {
        let mut found: Vec<String> = Vec::new();
        if matches!(self.link.address().place, Place::Cluster(_)) {
            // All of a partition lies in one slot, of which its node knows the names.
            for partition in 0..keys.count() {
                let meta = &keys.partition(partition).meta;
                let slot: u64 = self.ask(redis::cmd("CLUSTER").arg("KEYSLOT").arg(meta)).await?;
                let count: u64 = self.ask_owner(meta, redis::cmd("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot)).await?;
                let names: Vec<String> = self.ask_owner(meta, redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(count)).await?;
                if !names.contains(meta) {
                    return Err(TransferError::Changed { what: format!("slot {slot} is moved to another node") });
                }
                found.extend(names);
            }
        } else {
            let pattern = keys.pattern();
            let mut cursor = "0".to_owned();
            loop {
                let scan = redis::cmd("SCAN").arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT).to_owned();
                let (next, names): (String, Vec<String>) = self.ask(&scan).await?;
                found.extend(names);
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// What there is, sorted out. Every documented subject must be among it.
    async fn names(&self, keys: &Keys) -> Result<Names, TransferError> {
        let mut names = Names::default();
        for key in self.keys_found(keys).await? {
            let Some((partition, rest)) = keys.taken_apart(&key) else { continue };
            if let Some(subject) = rest.strip_prefix("s:") {
                let id = SubjectId::new(subject).ok().filter(|id| keys.partition_of(id) == partition);
                names.subjects.push((id.ok_or_else(|| TransferError::Damaged(format!("no subject belongs to key `{key}`")))?, partition));
            } else if rest.starts_with("costs:") {
                names.costs.push(key);
            }
        }
        // A scan may name a key twice.
        names.subjects.sort_unstable();
        names.subjects.dedup();
        names.costs.sort_unstable();
        names.costs.dedup();
        for partition in 0..keys.count() {
            let documented: Vec<String> = self.ask(redis::cmd("ZRANGE").arg(&keys.partition(partition).subjects).arg(0).arg(-1)).await?;
            for subject in documented {
                if names.subjects.binary_search_by(|(id, _)| id.as_str().cmp(&subject)).is_err() {
                    return Err(TransferError::Changed {
                        what: format!("subject {subject} was not found: its slot is moved, or its key is lost"),
                    });
                }
            }
        }
        Ok(names)
    }

    /// A subject, read at one moment, its numbers as they are in the file. `None`: it is gone meanwhile.
    async fn subject(
        &self,
        keys: &Keys,
        numbers: &Numbers,
        id: &SubjectId,
        partition: usize,
    ) -> Result<Option<SubjectState>, TransferError> {
        let value = self.value(redis::cmd("HGETALL").arg(keys.partition(partition).subject(id.as_str()))).await?;
        let damaged = |problem: &dyn std::fmt::Display| TransferError::Damaged(format!("subject {id}: {problem}"));
        let fields: Vec<(Vec<u8>, Vec<u8>)> = redis::from_redis_value(value).map_err(|problem| damaged(&problem))?;
        if fields.is_empty() {
            return Ok(None);
        }
        let mut state = text::subject(id, fields).map_err(|problem| damaged(&problem))?;
        for row in &mut state.reservations {
            *row = Arc::new(Row { sequence: numbers.of(partition, row.sequence), ..(**row).clone() });
        }
        Ok(Some(state))
    }

    /// The sums of all partitions.
    async fn costs(&self, names: &Names) -> Result<Sums, TransferError> {
        let mut sums = Sums::new();
        for key in &names.costs {
            let fields: Vec<(String, String)> = self.ask(redis::cmd("HGETALL").arg(key)).await?;
            for (field, text) in fields {
                let sum = sums::read(&field, &text).map_err(|problem| TransferError::record(&format!("key `{key}`"), &problem))?;
                merge(&mut sums, &sum)?;
            }
        }
        Ok(sums)
    }

    /// All events, as they are numbered.
    async fn events(
        &self,
        keys: &Keys,
        index: &mut Index,
        versions: &HashMap<SubjectId, u64>,
        writer: &mut Writer<'_>,
    ) -> Result<(), TransferError> {
        let mut pages: HashMap<usize, (String, VecDeque<(String, Entry)>)> = HashMap::new();
        for (at, generation, old, partition) in std::mem::take(&mut index.order) {
            let (after, page) = pages.entry(partition).or_default();
            if page.is_empty() {
                *page = self.page(keys, partition, after).await?.into();
            }
            let entry = page.pop_front().filter(|(_, entry)| (entry.time, entry.generation, entry.number) == (at, generation, old));
            let Some((id, entry)) = entry else {
                return Err(TransferError::Changed { what: format!("event {generation}-{old} of partition {partition} was deleted") });
            };
            let damaged = |problem| TransferError::record(&format!("event {id}"), &problem);
            let head = text::EventHead::read(&entry.text).map_err(damaged)?;
            let mut version = 0;
            if head.has_document() {
                // Each change of a document raised its version by one: it is told by how many follow.
                let left = index.documents.get_mut(&head.subject).filter(|left| **left > 0);
                let left = left.ok_or_else(|| TransferError::Changed { what: format!("subject {}", head.subject) })?;
                *left -= 1;
                version = versions.get(&head.subject).and_then(|last| last.checked_sub(*left)).unwrap_or_default();
                if version == 0 {
                    return Err(TransferError::Damaged(format!("event {id} tells a document that subject {} never had", head.subject)));
                }
            }
            let mut event = head.event(index.numbers.of(partition, old), at, version).map_err(damaged)?;
            event.row = event.row.map(|row| Arc::new(Row { sequence: event.sequence, ..(*row).clone() }));
            writer.event(event)?;
            *after = id;
        }
        Ok(())
    }
}

#[async_trait::async_trait(?Send)]
impl Source for RedisArchive {
    async fn export(&mut self, writer: &mut Writer<'_>) -> Result<Option<String>, TransferError> {
        let identity = self.identity().await?;
        let identity =
            identity.ok_or_else(|| TransferError::Nothing(format!("no instance `{}` is at {}", self.instance, self.link.address())))?;
        let keys = Keys::new(&self.instance, identity.partitions);
        let before = self.marks(&keys).await?;
        let positions: Vec<(u64, i64)> =
            before.iter().filter_map(|mark| mark.split_once(' ')).filter_map(|(_, text)| position(text)).collect();
        let furthest = positions.iter().map(|(number, _)| *number).max().unwrap_or(0);
        let latest = positions.iter().map(|(_, time)| *time).max().filter(|time| *time > 0);

        writer.begin("reading events");
        let mut index = self.index(&keys, furthest).await?;
        writer.begin("looking for subjects");
        let names = self.names(&keys).await?;
        let costs = self.costs(&names).await?;
        let catalogs: BTreeMap<String, String> = self.ask(redis::cmd("HGETALL").arg(keys.catalogs())).await?;
        let lines = catalogs.len() + names.subjects.len() + costs.len() + index.order.len();
        writer.header(Extent {
            source: format!("redis:{}", identity.id),
            last_sequence: index.numbers.last(),
            last_time: latest.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()),
            lines: lines as u64,
        })?;
        for (version, text) in catalogs {
            let version = CatalogVersion::new(&version).map_err(|_| TransferError::Damaged(format!("`{version}` names no catalog")))?;
            writer.catalog(version, Arc::from(text))?;
        }
        let mut versions = HashMap::new();
        {
            let read = names.subjects.iter().map(|(id, partition)| self.subject(&keys, &index.numbers, id, *partition));
            let mut read = stream::iter(read).buffered(CALLS_MAX);
            while let Some(state) = read.next().await {
                let state = state?.ok_or_else(|| TransferError::Changed { what: "a subject is gone".to_owned() })?;
                versions.extend(state.document.as_ref().map(|document| (state.subject.clone(), document.version)));
                writer.subject(state)?;
            }
        }
        for ((hour, key), tally) in costs {
            writer.costs(CostSum { hour, key, tally })?;
        }
        self.events(&keys, &mut index, &versions, writer).await?;

        let after = self.marks(&keys).await?;
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let what = (changed > 0).then(|| format!("{changed} of {} partitions", before.len()));
        match what {
            Some(what) if !self.allow_changes => Err(TransferError::Changed { what }),
            what => Ok(what),
        }
    }
}
