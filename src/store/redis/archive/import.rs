//! Filling an empty ledger, step by step (`import.lua`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use redis::{Script, Value};
use uuid::Uuid;

use super::{CALLS_MAX, RedisArchive};
use crate::domain::ids::{CatalogVersion, SubjectId};
use crate::domain::ledger::{Event, State};
use crate::domain::summary::CostSum;
use crate::store::redis::caller::Caller;
use crate::store::redis::keys::Keys;
use crate::store::redis::lineage::{Identity, LAYOUT};
use crate::store::redis::link::Failure;
use crate::store::redis::row::{NOTHING, time_text};
use crate::store::redis::{sums, text};
use crate::store::transfer::{Header, Line, Put, SubjectState, Target, TransferError};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("import.lua")));

/// Field of the genesis: which import fills the ledger, under which generation, and whether it is done.
pub(in crate::store::redis) const IMPORT: &str = "import";
const OPEN: &str = "open";
const DONE: &str = "done";

/// The partition whose sums take those of everybody: they are of all partitions, and are added up over all of them when they are read.
const COSTS_PARTITION: usize = 0;

/// An import that has begun.
pub(super) struct Filling {
    export: Uuid,
    keys: Keys,
    /// Whose partitions they are; the genesis says so when all is done.
    identity: Identity,
    /// Of the entries of events.
    generation: u64,
    /// Everything must be there already.
    compare: bool,
    position: (u64, i64),
}

/// The mark of an import in the genesis.
struct Mark {
    export: Uuid,
    generation: u64,
    done: bool,
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let mark = Self { export: parts.next()?.parse().ok()?, generation: parts.next()?.parse().ok()?, done: parts.next()? == DONE };
        parts.next().is_none().then_some(mark)
    }

    fn text(export: Uuid, generation: u64, state: &str) -> String {
        format!("{export} {generation} {state}")
    }
}

/// Whether the mark says that an import has not come to its end.
pub(in crate::store::redis) fn is_unfinished(mark: &str) -> bool {
    !mark.ends_with(DONE)
}

/// One step: its keys after the first, and its arguments after the mode.
struct Step<'a> {
    partition: usize,
    letter: &'static str,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
    /// Line and name of what is said, for a conflict.
    of: (u64, &'a str),
}

impl RedisArchive {
    fn filling(&self) -> Result<&Filling, TransferError> {
        self.filling.as_ref().ok_or_else(|| TransferError::Store("the import has not begun".to_owned()))
    }

    /// The ledger's identity and the mark of an import, whether or not that has ended. Makes an identity where there is none.
    async fn genesis(&self) -> Result<(Identity, Option<Mark>), TransferError> {
        let keys = self.outer_keys();
        let read = redis::cmd("HMGET").arg(keys.genesis()).arg("identity").arg(IMPORT).to_owned();
        let mut found: (Option<String>, Option<String>) = self.ask(&read).await?;
        if found.0.is_none() {
            let new = Identity::new(self.partitions).to_string();
            // Somebody else may be first.
            let _: i64 = self.ask(redis::cmd("HSETNX").arg(keys.genesis()).arg("identity").arg(new)).await?;
            found = self.ask(&read).await?;
        }
        let (identity, mark) = found;
        let identity = identity.unwrap_or_default();
        let identity: Identity = identity.parse().map_err(|problem| TransferError::Damaged(format!("{problem}")))?;
        if identity.layout != LAYOUT {
            return Err(TransferError::Store(crate::store::redis::OpenError::Layout { found: identity.layout }.to_string()));
        }
        let mark = mark.map(|text| Mark::parse(&text).ok_or_else(|| TransferError::Damaged(format!("the mark of an import: `{text}`"))));
        Ok((identity, mark.transpose()?))
    }

    /// Nothing must ever have happened in any partition.
    async fn must_be_empty(&self, keys: &Keys) -> Result<(), TransferError> {
        for partition in 0..keys.count() {
            let position: Option<String> = self.ask(redis::cmd("HGET").arg(&keys.partition(partition).meta).arg("position")).await?;
            if let Some(position) = position.filter(|position| !position.starts_with("0 ")) {
                let number = position.split(' ').next().unwrap_or_default();
                return Err(TransferError::NotEmpty { what: format!("partition {partition} has come to number {number}") });
            }
        }
        Ok(())
    }

    /// Claims an empty ledger for an import, and begins its generation in every partition.
    async fn claim(&self, keys: &Keys, identity: Identity, header: &Header, known: bool) -> Result<(), TransferError> {
        let open = Mark::text(header.export, identity.generation, OPEN);
        if !known {
            let genesis = keys.genesis();
            // The end of an earlier import, of a ledger in which nothing ever happened, is no claim.
            let _: i64 = self.ask(redis::cmd("HDEL").arg(&genesis).arg(IMPORT)).await?;
            let _: i64 = self.ask(redis::cmd("HSETNX").arg(&genesis).arg(IMPORT).arg(&open)).await?;
            let claimed: Option<String> = self.ask(redis::cmd("HGET").arg(&genesis).arg(IMPORT)).await?;
            if claimed.as_deref() != Some(&*open) {
                return Err(TransferError::OtherImport { export: claimed.unwrap_or_default() });
            }
        }
        for partition in 0..keys.count() {
            let (found, _) = Caller::lay_out(&self.link, keys, partition, identity)
                .await
                .map_err(|trouble| TransferError::Store(trouble.to_string()))?;
            if found != identity.to_string() {
                return Err(TransferError::NotEmpty { what: format!("partition {partition} is of {found}") });
            }
        }
        Ok(())
    }

    /// Carries out one step. Tells how many were written, and how many were there.
    async fn step(&self, step: Step<'_>) -> Result<Put, TransferError> {
        let Filling { keys, identity, compare, .. } = self.filling()?;
        let (line, what) = step.of;
        let command = |by_hash: bool| {
            let mut command = redis::cmd(if by_hash { "EVALSHA" } else { "EVAL" });
            command.arg(if by_hash { SCRIPT.get_hash() } else { include_str!("import.lua") });
            command.arg(step.keys.len() + 1).arg(&keys.partition(step.partition).meta).arg(&step.keys);
            command.arg(identity.to_string()).arg(step.letter).arg(if *compare { "c" } else { "w" }).arg(&step.arguments);
            command
        };
        let (by_hash, in_full) = (command(true), command(false));
        let call = || async {
            match self.link.call(&by_hash).await {
                Err(Failure::NoScript) => self.link.call(&in_full).await,
                answer => answer,
            }
        };
        let reply = self.try_often(call).await.map_err(|failure| TransferError::Store(failure.to_string()))?;
        let broken = || TransferError::Store(format!("the script replied what it cannot: {reply:?}"));
        let Value::Array(parts) = &reply else { return Err(broken()) };
        let text = |place: usize| parts.get(place).and_then(|part| redis::from_redis_value_ref::<String>(part).ok()).ok_or_else(broken);
        let count = |place: usize| parts.get(place).and_then(|part| redis::from_redis_value_ref::<u64>(part).ok()).ok_or_else(broken);
        match &*text(0)? {
            "K" => Ok(Put { written: count(1)?, known: count(2)? }),
            "X" => Err(TransferError::Conflict { line, what: format!("{what} {}", text(1)?).trim_end().to_owned() }),
            "G" => Err(TransferError::Store(format!("partition {} became another ledger's: `{}`", step.partition, text(1)?))),
            _ => Err(broken()),
        }
    }

    /// The first text of a version stays: one that is there must be the same.
    async fn put_catalog(&self, line: u64, version: &CatalogVersion, text: &str) -> Result<Put, TransferError> {
        let Filling { keys, compare, .. } = self.filling()?;
        let mut written = 0;
        if !compare {
            written = self.ask(redis::cmd("HSETNX").arg(keys.catalogs()).arg(version.as_str()).arg(text)).await?;
        }
        let found: Option<String> = self.ask(redis::cmd("HGET").arg(keys.catalogs()).arg(version.as_str())).await?;
        if found.as_deref() == Some(text) {
            Ok(Put { written, known: 1 - written })
        } else {
            Err(TransferError::Conflict { line, what: format!("catalog {version}") })
        }
    }

    async fn put_subject(&self, line: u64, subject: &SubjectState) -> Result<Put, TransferError> {
        let Filling { keys, .. } = self.filling()?;
        let id = &subject.subject;
        let partition = keys.partition_of(id);
        let names = keys.partition(partition);
        let mut fields = Vec::new();
        for (name, value) in text::fields(subject) {
            push_field(&mut fields, &name, &value);
        }
        let held = subject.reservations.iter().filter(|row| row.state == State::Held);
        let due: String = held.map(|row| format!("{} {id} {}\n", time_text(row.deadline), row.id)).collect();
        let lapsing = subject.accounts.iter().filter_map(|(key, account)| Some((key, account.lapses?)));
        let lapses: String = lapsing.map(|(key, at)| format!("{} {id} {key}\n", time_text(at))).collect();
        let history: String = text::history(subject).map(|(began, member)| format!("{began} {member}\n")).collect();
        let documented = if subject.document.is_some() { id.as_str() } else { NOTHING };
        let step = Step {
            partition,
            letter: "S",
            keys: vec![
                names.subject(id.as_str()),
                names.due.clone(),
                names.lapses.clone(),
                names.history(id.as_str()),
                names.subjects.clone(),
            ],
            arguments: vec![fields, due.into_bytes(), lapses.into_bytes(), history.into_bytes(), documented.as_bytes().to_vec()],
            of: (line, &format!("subject {id}")),
        };
        self.step(step).await
    }

    /// Events of one partition, in order.
    async fn put_events(&self, partition: usize, events: &[(u64, &Event)]) -> Result<Put, TransferError> {
        let Filling { keys, generation, .. } = self.filling()?;
        let mut fields = Vec::new();
        for (_, event) in events {
            push_field(&mut fields, &format!("{}:{}", event.sequence, time_text(event.time)), &text::event_text(event));
        }
        let step = Step {
            partition,
            letter: "E",
            keys: vec![keys.partition(partition).events.clone()],
            arguments: vec![generation.to_string().into_bytes(), fields],
            of: (events.first().map_or(0, |(line, _)| *line), "event"),
        };
        self.step(step).await
    }

    /// Sums of one partition.
    async fn put_costs(&self, partition: usize, sums: &[(u64, &CostSum)]) -> Result<Put, TransferError> {
        let Filling { keys, .. } = self.filling()?;
        let Some((line, _)) = sums.first() else { return Ok(Put::default()) };
        let names = keys.partition(partition);
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut step_keys = vec![names.spent.clone()];
        let (mut lines, mut fields) = (String::new(), 0);
        for (_, sum) in sums {
            let (day, subject) = (sums::day_of(sum.hour), sum.key.subject());
            let key = names.costs(day, subject);
            // The first key is that of the partition itself.
            let place = *places.entry(key.clone()).or_insert_with(|| {
                step_keys.push(key);
                step_keys.len() + 1
            });
            for (name, numbers) in sums::fields(sum) {
                lines.push_str(&format!("{place} {day} {} {name} {numbers}\n", subject.unwrap_or("*")));
                fields += 1;
            }
        }
        let step = Step { partition, letter: "C", keys: step_keys, arguments: vec![lines.into_bytes()], of: (*line, "costs of") };
        let put = self.step(step).await?;
        // A line may be several fields: it is there if all of them were.
        let known = if put.known == fields { sums.len() as u64 } else { put.known.min(sums.len() as u64) };
        Ok(Put { written: sums.len() as u64 - known, known })
    }
}

fn push_field(fields: &mut Vec<u8>, name: &str, value: &[u8]) {
    fields.extend(format!("{name} {}\n", value.len()).into_bytes());
    fields.extend(value);
}

#[async_trait::async_trait(?Send)]
impl Target for RedisArchive {
    async fn begin(&mut self, header: &Header) -> Result<(), TransferError> {
        let (identity, mark) = self.genesis().await?;
        let keys = Keys::new(&self.instance, identity.partitions);
        let (generation, compare) = match &mark {
            Some(mark) if mark.export == header.export => (mark.generation, mark.done),
            Some(mark) if !mark.done => return Err(TransferError::OtherImport { export: mark.export.to_string() }),
            _ => {
                self.must_be_empty(&keys).await?;
                (identity.generation + 1, false)
            }
        };
        let identity = if compare { identity } else { Identity { generation, ..identity } };
        if !compare {
            self.claim(&keys, identity, header, mark.is_some_and(|mark| mark.export == header.export)).await?;
        }
        let position = (header.last_sequence, header.last_time.map_or(0, time_text));
        self.filling = Some(Filling { export: header.export, keys, identity, generation, compare, position });
        Ok(())
    }

    async fn put(&mut self, lines: &[(u64, Line)]) -> Result<Put, TransferError> {
        let archive = &*self;
        let mut total = Put::default();
        let mut add = |put: Put| {
            total.written += put.written;
            total.known += put.known;
        };
        let mut subjects = Vec::new();
        let mut costs: BTreeMap<usize, Vec<(u64, &CostSum)>> = BTreeMap::new();
        let mut events: BTreeMap<usize, Vec<(u64, &Event)>> = BTreeMap::new();
        for (number, line) in lines {
            match line {
                Line::Catalog { version, text } => add(archive.put_catalog(*number, version, text).await?),
                Line::Subject(subject) => subjects.push((*number, subject)),
                Line::Costs(sum) => {
                    let subject = sum.key.subject().and_then(|subject| SubjectId::new(subject).ok());
                    let keys = &archive.filling()?.keys;
                    let partition = subject.map_or(COSTS_PARTITION, |subject| keys.partition_of(&subject));
                    costs.entry(partition).or_default().push((*number, sum));
                }
                Line::Event(event) => {
                    let partition = archive.filling()?.keys.partition_of(&event.subject);
                    events.entry(partition).or_default().push((*number, event));
                }
                Line::Header(_) | Line::Footer(_) => {}
            }
        }
        let puts = subjects.into_iter().map(|(number, subject)| archive.put_subject(number, subject));
        let puts: Vec<Put> = stream::iter(puts).buffer_unordered(CALLS_MAX).try_collect().await?;
        puts.into_iter().for_each(&mut add);
        let puts = costs.iter().map(|(partition, sums)| archive.put_costs(*partition, sums));
        let puts: Vec<Put> = stream::iter(puts).buffer_unordered(CALLS_MAX).try_collect().await?;
        puts.into_iter().for_each(&mut add);
        let puts = events.iter().map(|(partition, events)| archive.put_events(*partition, events));
        let puts: Vec<Put> = stream::iter(puts).buffer_unordered(CALLS_MAX).try_collect().await?;
        puts.into_iter().for_each(&mut add);
        Ok(total)
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        let filling = self.filling()?;
        if !filling.compare {
            let (number, time) = filling.position;
            for partition in 0..filling.keys.count() {
                let arguments = vec![number.to_string().into_bytes(), time.to_string().into_bytes()];
                self.step(Step { partition, letter: "P", keys: Vec::new(), arguments, of: (0, "position") }).await?;
            }
            let done = Mark::text(filling.export, filling.generation, DONE);
            let mut announce = redis::cmd("HSET");
            announce
                .arg(filling.keys.genesis())
                .arg("identity")
                .arg(filling.identity.to_string())
                .arg("ready")
                .arg(1)
                .arg(IMPORT)
                .arg(done);
            let _: i64 = self.ask(&announce).await?;
        }
        self.filling = None;
        Ok(())
    }
}
