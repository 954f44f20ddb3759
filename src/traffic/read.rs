//! Files of events, read line by line: cost events in any of their forms, or the export of a ledger.
//!
//! A line may be a CloudEvent with a cost event in it, a message of the stream of events, or a bare cost event; a ledger's export is known
//! by its first line. Events that come twice count once. A line that cannot be read is an error with its number, for sums without it would be wrong.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead, Cursor, Read as _};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use prost::Name as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor};
use serde_json::Value;

use super::{Attempted, wire};
use crate::domain::event::CostEvent;
use crate::domain::ids::SubjectId;
use crate::domain::ledger::{Event, EventKind, State};
use crate::domain::subject::Document;
use crate::proto::{self, v1};
use crate::store::transfer::{Line, Progress, Reader, TransferError};

/// The type of CloudEvents that tell of an attempt; its version rises when the data changes its meaning.
pub const CLOUD_EVENT_TYPE: &str = "dev.genquota.attempt.closed.v1";
/// Longest line of events in bytes. A call has at most 64 KiB, and an event repeats its work twice.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Most bad lines that are named. Nobody reads more at once.
const PROBLEMS_MAX: usize = 20;
/// How often progress is told, in lines.
const LINES_TOLD: u64 = 1000;

/// What a file tells.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// In the order of the file.
    pub attempts: Vec<Attempted>,
    /// Only from a ledger's export.
    pub ledger: Option<LedgerFile>,
    /// Events that came twice.
    pub repeats: u64,
}

/// What only the export of a ledger tells.
#[derive(Debug, Clone, Default)]
pub struct LedgerFile {
    /// Documents as administrators changed them, in their order.
    pub changes: Vec<(Timestamp, Arc<Document>)>,
    /// Documents at the end.
    pub documents: BTreeMap<SubjectId, Arc<Document>>,
    /// Reservations that are held at the end.
    pub held: u64,
    /// Number of the first event that was kept.
    pub first_sequence: Option<u64>,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot be read: {0}")]
    File(io::Error),
    /// The first of them, with how many there are.
    #[error("{}", lines(.problems, *.count))]
    Lines { problems: Vec<(u64, String)>, count: usize },
    #[error(transparent)]
    Ledger(#[from] TransferError),
}

fn lines(problems: &[(u64, String)], count: usize) -> String {
    let mut text = problems.iter().map(|(line, problem)| format!("line {line}: {problem}")).collect::<Vec<_>>().join("\n");
    if count > problems.len() {
        text.push_str(&format!("\nand {} lines more", count - problems.len()));
    }
    text
}

/// Gathers cost events, each once.
#[derive(Debug, Default)]
struct Gather {
    attempts: Vec<Attempted>,
    known: HashSet<String>,
    repeats: u64,
}

impl Gather {
    /// Takes an event; the error names the first field that is wrong.
    fn add(&mut self, event: &v1::CostEvent) -> Result<(), String> {
        if event.event_id.is_empty() {
            return Err("`event_id`: is missing".to_owned());
        }
        let attempted = wire::attempted(event)?;
        if self.known.insert(event.event_id.clone()) {
            self.attempts.push(attempted);
        } else {
            self.repeats += 1;
        }
        Ok(())
    }

    fn finish(self) -> Traffic {
        Traffic { attempts: self.attempts, ledger: None, repeats: self.repeats }
    }
}

/// Reads a whole file.
pub fn read(input: &mut dyn BufRead, progress: &dyn Progress) -> Result<Traffic, ReadError> {
    let mut first = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut first).map_err(ReadError::File)?;
    let is_ledger = serde_json::from_slice::<Value>(&first).is_ok_and(|value| value.get("header").is_some());
    let mut whole = Cursor::new(first).chain(input);
    if is_ledger { read_ledger(&mut whole, progress) } else { read_events(&mut whole, progress) }
}

fn read_events(input: &mut dyn BufRead, progress: &dyn Progress) -> Result<Traffic, ReadError> {
    progress.begin("reading events", None);
    let mut gather = Gather::default();
    let mut problems = Vec::new();
    let mut count = 0;
    let mut number = 0_u64;
    let mut line = Vec::new();
    loop {
        line.clear();
        input.take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).map_err(ReadError::File)?;
        if line.is_empty() {
            break;
        }
        number += 1;
        if line.len() as u64 > LINE_BYTES_MAX {
            // What follows is the rest of this line.
            problems.push((number, format!("is longer than {LINE_BYTES_MAX} bytes")));
            return Err(ReadError::Lines { count: count + 1, problems });
        }
        if let Err(problem) = read_line(&line, &mut gather) {
            count += 1;
            if problems.len() < PROBLEMS_MAX {
                problems.push((number, problem));
            }
        }
        if number.is_multiple_of(LINES_TOLD) {
            progress.advance(LINES_TOLD);
        }
    }
    if count > 0 { Err(ReadError::Lines { problems, count }) } else { Ok(gather.finish()) }
}

fn read_line(line: &[u8], gather: &mut Gather) -> Result<(), String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let mut value: Value = serde_json::from_slice(line).map_err(|problem| problem.to_string())?;
    if value.get("specversion").is_some() {
        match value["type"].as_str() {
            Some(CLOUD_EVENT_TYPE) => value = value["data"].take(),
            // Other events of ours may stand in the same feed.
            Some(other) if other.starts_with("dev.genquota.") => return Ok(()),
            other => return Err(format!("a CloudEvent of another kind: `{}`", other.unwrap_or_default())),
        }
    } else if value.get("checkpoint").is_some() {
        return Ok(());
    } else if value.get("event").is_some_and(Value::is_object) {
        value = value["event"].take();
    }
    if value.get("eventId").or_else(|| value.get("event_id")).is_none() {
        return Err("no cost event: there is no `eventId`".to_owned());
    }
    gather.add(&cost_event(value)?)
}

/// A cost event from canonical JSON. A newer server may tell more than this program knows.
fn cost_event(value: Value) -> Result<v1::CostEvent, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor(), value, &options).map_err(|problem| problem.to_string())?;
    dynamic.transcode_to().map_err(|problem| problem.to_string())
}

fn descriptor() -> MessageDescriptor {
    static EVENT: OnceLock<MessageDescriptor> = OnceLock::new();
    let read = || {
        let pool = DescriptorPool::decode(proto::DESCRIPTORS).expect("the build wrote it");
        pool.get_message_by_name(&v1::CostEvent::full_name()).expect("the build knows the message")
    };
    EVENT.get_or_init(read).clone()
}

fn read_ledger(input: &mut dyn BufRead, progress: &dyn Progress) -> Result<Traffic, ReadError> {
    let mut reader = Reader::new(input);
    let header = reader.begin()?;
    progress.begin("reading the ledger", Some(header.lines));
    let mut traffic = Traffic::default();
    let mut ledger = LedgerFile::default();
    while let Some((_, line)) = reader.next_line()? {
        progress.advance(1);
        match line {
            Line::Subject(subject) => {
                let held = subject.reservations.iter().filter(|row| row.state == State::Held).count();
                ledger.held += u64::try_from(held).unwrap_or(u64::MAX);
                ledger.documents.extend(subject.document.map(|document| (subject.subject, document)));
            }
            Line::Event(event) => take_event(event, &mut traffic, &mut ledger),
            Line::Header(_) | Line::Catalog { .. } | Line::Costs(_) | Line::Footer(_) => {}
        }
    }
    traffic.ledger = Some(ledger);
    Ok(traffic)
}

fn take_event(event: Event, traffic: &mut Traffic, ledger: &mut LedgerFile) {
    ledger.first_sequence.get_or_insert(event.sequence);
    if let Some(closed) = CostEvent::of(&event) {
        traffic.attempts.push(Attempted::of(&closed, event.kind == EventKind::Recorded));
    }
    // A call that seats a user changes the document too; that is no administrator's doing.
    if event.kind == EventKind::SubjectChanged
        && let Some(document) = event.document
    {
        ledger.changes.push((event.time, document));
    }
}
