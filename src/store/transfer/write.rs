//! Writing a transfer: lines, how many there are, and the checksum of them all.

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{CostSum, Counts, FORMAT, Footer, Header, Line, Progress, SubjectState, TransferError};
use crate::domain::ids::CatalogVersion;
use crate::domain::ledger::{Event, Row};
use crate::store::record;

/// What an exporter says of itself.
#[derive(Debug, Clone)]
pub struct Description {
    /// Name of the ledger.
    pub instance: String,
    /// Version of the program.
    pub program: String,
    pub time: Timestamp,
}

/// Writes lines in their order.
pub struct Writer<'w> {
    out: &'w mut dyn Write,
    description: Description,
    progress: &'w dyn Progress,
    sum: Sha256,
    counts: Counts,
}

/// What is about to be written.
#[derive(Debug, Clone)]
pub(in crate::store) struct Extent {
    /// Kind and id of the store.
    pub(in crate::store) source: String,
    pub(in crate::store) last_sequence: u64,
    pub(in crate::store) last_time: Option<Timestamp>,
    /// Without header and footer.
    pub(in crate::store) lines: u64,
}

impl<'w> Writer<'w> {
    pub fn new(out: &'w mut dyn Write, description: Description, progress: &'w dyn Progress) -> Self {
        Self { out, description, progress, sum: Sha256::new(), counts: Counts::default() }
    }

    /// Tells what is done before anything can be written.
    pub(in crate::store) fn begin(&self, what: &str) {
        self.progress.begin(what, None);
    }

    pub(in crate::store) fn header(&mut self, extent: Extent) -> Result<(), TransferError> {
        let Description { instance, program, time } = self.description.clone();
        let Extent { source, last_sequence, last_time, lines } = extent;
        let lines = lines + 2;
        self.progress.begin("exporting", Some(lines));
        let last_time = last_time.map(whole_micros);
        let (program, source, instance) = (program.into(), source.into(), instance.into());
        let export = Uuid::now_v7();
        self.line(&Line::Header(Header { format: FORMAT, export, program, source, instance, time, last_sequence, last_time, lines }))
    }

    pub(in crate::store) fn catalog(&mut self, version: CatalogVersion, text: Arc<str>) -> Result<(), TransferError> {
        self.counts.catalogs += 1;
        self.line(&Line::Catalog { version, text })
    }

    pub(in crate::store) fn subject(&mut self, mut subject: SubjectState) -> Result<(), TransferError> {
        subject.check().map_err(|problem| TransferError::Damaged(format!("subject {}: {problem}", subject.subject)))?;
        for (_, account) in &mut subject.accounts {
            account.lapses = account.lapses.map(whole_micros);
        }
        for row in &mut subject.reservations {
            *row = row_in_whole_micros(row);
        }
        self.counts.subjects += 1;
        self.counts.accounts += subject.accounts.len() as u64;
        self.counts.reservations += subject.reservations.len() as u64;
        self.line(&Line::Subject(subject))
    }

    pub(in crate::store) fn costs(&mut self, sum: CostSum) -> Result<(), TransferError> {
        self.counts.costs += 1;
        self.line(&Line::Costs(sum))
    }

    pub(in crate::store) fn event(&mut self, mut event: Event) -> Result<(), TransferError> {
        event.time = whole_micros(event.time);
        event.row = event.row.as_ref().map(row_in_whole_micros);
        self.counts.events += 1;
        self.line(&Line::Event(event))
    }

    /// The last line. Tells how much was written.
    pub fn finish(&mut self) -> Result<Counts, TransferError> {
        let sha256 = self.sum.clone().finalize().into();
        self.line(&Line::Footer(Footer { counts: self.counts, sha256 }))?;
        self.out.flush().map_err(TransferError::File)?;
        Ok(self.counts)
    }

    fn line(&mut self, line: &Line) -> Result<(), TransferError> {
        let mut text = record::line_to_json(line);
        text.push('\n');
        self.sum.update(&text);
        self.out.write_all(text.as_bytes()).map_err(TransferError::File)?;
        self.progress.advance(1);
        Ok(())
    }
}

fn row_in_whole_micros(row: &Arc<Row>) -> Arc<Row> {
    let (create_time, deadline) = (whole_micros(row.create_time), whole_micros(row.deadline));
    let (began, settle_time) = (whole_micros(row.began), row.settle_time.map(whole_micros));
    Arc::new(Row { create_time, began, deadline, settle_time, ..(**row).clone() })
}

/// The first whole microsecond that is not before a time: the grain of every store, so that one ledger is the same in all of them.
fn whole_micros(time: Timestamp) -> Timestamp {
    let nanos = time.as_nanosecond();
    let micros = nanos.div_euclid(1000) + i128::from(nanos.rem_euclid(1000) != 0);
    Timestamp::from_nanosecond(micros * 1000).unwrap_or(Timestamp::MAX)
}
