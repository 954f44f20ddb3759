//! Moving a ledger from one store to another, as JSON lines that any store can write and any store can read.
//!
//! A [`Source`] writes everything it holds through a [`Writer`]; [`import`] checks what a [`Reader`] reads and hands it to a [`Target`]. A
//! target takes each line whole, and one that it holds already, exactly so, it leaves alone: an import that was cut off is run again. What is
//! half imported decides nothing. Files of this kind are described in `transfer.proto`.

mod number;
mod read;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

pub(in crate::store) use self::number::{Numbers, Unnumbered};
pub use self::read::Reader;
pub(in crate::store) use self::write::Extent;
pub use self::write::{Description, Writer};
use super::record::RecordError;
use crate::domain::ids::{CatalogVersion, SubjectId};
use crate::domain::ledger::{Account, AccountKey, Event, Row, State};
use crate::domain::subject::Document;
use crate::domain::summary::{CostSum, Tally, TallyKey};

/// Version of the format.
pub const FORMAT: u32 = 2;

/// What is handed to a target at once: enough to keep a connection busy, little enough to hold in memory.
const BATCH_LINES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 4 << 20;

/// One line of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Header(Header),
    Catalog { version: CatalogVersion, text: Arc<str> },
    Subject(SubjectState),
    Costs(CostSum),
    Event(Event),
    Footer(Footer),
}

/// What is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub format: u32,
    /// Of this export: a target knows by it what it holds part of.
    pub export: Uuid,
    /// Version of the program that wrote it.
    pub program: Box<str>,
    /// Kind and id of the store that was read.
    pub source: Box<str>,
    /// Name of the ledger.
    pub instance: Box<str>,
    pub time: Timestamp,
    /// Number of the last event.
    pub last_sequence: u64,
    /// The latest time the ledger has seen; `None` if nothing ever happened.
    pub last_time: Option<Timestamp>,
    /// Header and footer among them.
    pub lines: u64,
}

/// Everything of one subject. Accounts in the order of their keys, reservations in that of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectState {
    pub subject: SubjectId,
    pub document: Option<Arc<Document>>,
    pub accounts: Vec<(AccountKey, Account)>,
    pub reservations: Vec<Arc<Row>>,
}

/// Sums by hour and key.
pub(in crate::store) type Sums = BTreeMap<(i64, TallyKey), Tally>;

/// The end of a file that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    pub counts: Counts,
    /// Of all bytes before this line.
    pub sha256: [u8; 32],
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub catalogs: u64,
    pub subjects: u64,
    pub accounts: u64,
    pub reservations: u64,
    pub costs: u64,
    pub events: u64,
}

/// Why a ledger was not moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("cannot read or write the file: {0}")]
    File(io::Error),
    #[error("line {line}: {problem}")]
    Line { line: u64, problem: String },
    #[error("the file has format {found}, and this program knows {FORMAT}\nhint: run the version of the program that wrote it")]
    Format { found: u64 },
    #[error("the file is cut off after line {lines}\nhint: export it again, or copy it again")]
    CutOff { lines: u64 },
    #[error("the file is not what was exported: its checksum is another\nhint: export it again, or copy it again")]
    Checksum,
    #[error("the file is of instance `{file}`, and `{asked}` is asked for\nhint: `--instance {file}`")]
    Instance { file: String, asked: String },
    #[error(
        "line {line}: the target holds something else: {what}\nhint: what is there already was left as it is; import into an empty store"
    )]
    Conflict { line: u64, what: String },
    #[error("the target holds another ledger: {what}\nhint: import into an empty store, or under another `--instance`")]
    NotEmpty { what: String },
    #[error("the target holds part of another import: {export}\nhint: finish that one with its file, or import into an empty store")]
    OtherImport { export: String },
    #[error("the ledger changed while it was read: {what}\nhint: stop every sidecar first, or take what is there with `--allow-changes`")]
    Changed { what: String },
    #[error("there is no ledger to export: {0}")]
    Nothing(String),
    #[error("the store is damaged: {0}")]
    Damaged(String),
    #[error("the store gives no answer: {0}")]
    Store(String),
}

impl TransferError {
    pub(super) fn line(line: u64, problem: impl ToString) -> Self {
        Self::Line { line, problem: problem.to_string() }
    }

    pub(super) fn record(what: &str, problem: &RecordError) -> Self {
        Self::Damaged(format!("{what}: {problem}"))
    }
}

/// Hears how far a transfer has come.
pub trait Progress {
    /// What is done now, and of how many lines, where that is known.
    fn begin(&self, what: &str, lines: Option<u64>);
    /// So many lines more.
    fn advance(&self, lines: u64);
}

/// A store that can tell everything it holds.
#[async_trait::async_trait(?Send)]
pub trait Source {
    /// Writes all lines. Says what changed meanwhile, if something did and that was allowed.
    async fn export(&mut self, writer: &mut Writer<'_>) -> Result<Option<String>, TransferError>;
}

/// A store that can be told everything.
#[async_trait::async_trait(?Send)]
pub trait Target {
    /// Makes sure that it is empty, or holds what this very file gave it.
    async fn begin(&mut self, header: &Header) -> Result<(), TransferError>;

    /// Takes lines, in their order; each whole or not at all.
    async fn put(&mut self, lines: &[(u64, Line)]) -> Result<Put, TransferError>;

    /// Everything was taken: from now on the ledger can be served.
    async fn finish(&mut self) -> Result<(), TransferError>;
}

/// What became of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Put {
    pub written: u64,
    /// There already, exactly so.
    pub known: u64,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub header: Header,
    pub counts: Counts,
    pub put: Put,
}

/// Reads a whole file and checks it, without keeping it. Tells how many lines it has.
pub fn verify(reader: &mut Reader<'_>, instance: &str, progress: &dyn Progress) -> Result<u64, TransferError> {
    let header = reader.header(instance)?;
    progress.begin("checking", Some(header.lines));
    while reader.next_line()?.is_some() {
        progress.advance(1);
    }
    Ok(header.lines)
}

/// Hands everything a file says to a target.
pub async fn import(
    target: &mut dyn Target,
    reader: &mut Reader<'_>,
    instance: &str,
    progress: &dyn Progress,
) -> Result<Imported, TransferError> {
    let header = reader.header(instance)?;
    target.begin(&header).await?;
    progress.begin("importing", Some(header.lines));
    let mut total = Put::default();
    let mut batch = Vec::new();
    let mut bytes = 0;
    let counts = loop {
        let line = reader.next_line()?;
        bytes += reader.line_bytes();
        let counts = match line {
            Some((number, line)) => {
                batch.push((number, line));
                None
            }
            None => Some(reader.counts()),
        };
        if counts.is_some() || batch.len() >= BATCH_LINES_MAX || bytes >= BATCH_BYTES_MAX {
            let Put { written, known } = target.put(&batch).await?;
            total = Put { written: total.written + written, known: total.known + known };
            progress.advance(batch.len() as u64);
            batch.clear();
            bytes = 0;
        }
        if let Some(counts) = counts {
            break counts;
        }
    };
    target.finish().await?;
    Ok(Imported { header, counts, put: total })
}

/// Adds a sum to those of its hour and key.
pub(in crate::store) fn merge(sums: &mut Sums, sum: &CostSum) -> Result<(), TransferError> {
    let known = sums.entry((sum.hour, sum.key.clone())).or_default();
    let total = known.checked_add(sum.tally);
    *known = total.ok_or_else(|| TransferError::Damaged(format!("the costs of {} are beyond all numbers", sum.key)))?;
    Ok(())
}

impl SubjectState {
    pub(in crate::store) fn nothing(subject: SubjectId) -> Self {
        Self { subject, document: None, accounts: Vec::new(), reservations: Vec::new() }
    }

    /// Whether every account holds what the subject's held reservations set aside there (proof.md I2), and everything is in order.
    pub fn check(&self) -> Result<(), String> {
        if self.document.as_ref().is_some_and(|document| document.subject != self.subject) {
            return Err("the document is another subject's".to_owned());
        }
        if self.document.is_none() && self.accounts.is_empty() && self.reservations.is_empty() {
            return Err("nothing is said of the subject".to_owned());
        }
        if !self.accounts.is_sorted_by(|(a, _), (b, _)| a < b) || !self.reservations.is_sorted_by(|a, b| a.id < b.id) {
            return Err("accounts or reservations are out of order".to_owned());
        }
        let mut held: HashMap<&AccountKey, i128> = HashMap::new();
        for row in &self.reservations {
            if (row.state == State::Held) == row.settle_time.is_some() {
                return Err(format!("reservation {} has ended or it has not: it has no time of its end, or one too many", row.id));
            }
            for leg in row.legs.iter().filter(|_| row.state == State::Held) {
                *held.entry(&leg.account).or_default() += i128::from(leg.held.get());
            }
        }
        for (key, account) in &self.accounts {
            let (reserved, held) = (i128::from(account.reserved.get()), held.remove(key).unwrap_or_default());
            if account.is_empty() || account.total().is_none() {
                return Err(format!("account {key} holds nothing, or more than an account can"));
            }
            if reserved != held {
                return Err(format!("account {key} has {reserved} micro-units reserved, its reservations hold {held}"));
            }
        }
        match held.into_iter().find(|(_, held)| *held != 0) {
            Some((key, held)) => Err(format!("account {key} has 0 micro-units reserved, its reservations hold {held}")),
            None => Ok(()),
        }
    }
}
