//! Records: what the stores write down, and the conversions to the domain's types and back.
//!
//! Encoding is exact and never fails, save for a time zone that has no text ([`has_text`] tells before). Decoding trusts nothing: a row
//! that is not as this program would have written it is a [`RecordError`] that names the field, never a panic and never a default.

use prost::Message;

use crate::domain::ledger::{Account, Event, Row};
use crate::domain::reservation::Detail;
use crate::domain::subject::Document;
use crate::domain::summary::Tally;
use crate::store::journal::{DeadEntry, Entry};

mod document;
mod journal;
mod reservation;
mod scalar;
mod subscription;
#[cfg(test)]
mod tests;
mod transfer;

pub use scalar::has_text;
pub use transfer::{line_from_json, line_to_json};

/// The generated messages.
#[expect(clippy::all, reason = "generated code is as the generator writes it")]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/genquota.store.v1.rs"));
}

/// Why a stored row cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {problem}")]
pub struct RecordError {
    /// The field.
    pub what: &'static str,
    pub problem: String,
}

impl RecordError {
    pub(super) fn new(what: &'static str, problem: impl ToString) -> Self {
        Self { what, problem: problem.to_string() }
    }

    fn missing(what: &'static str) -> Self {
        Self::new(what, "is missing")
    }

    /// A row whose key is wrong.
    pub(super) fn key(problem: &str) -> Self {
        Self::new("key", problem)
    }
}

/// Who a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genesis {
    pub schema_version: u32,
    pub id: uuid::Uuid,
}

/// The number of the last event, and the latest time the ledger has seen.
pub type Position = (u64, jiff::Timestamp);

pub fn encode_genesis(genesis: Genesis) -> Vec<u8> {
    wire::Genesis { schema_version: genesis.schema_version, id: genesis.id.as_bytes().to_vec() }.encode_to_vec()
}

pub fn decode_genesis(bytes: &[u8]) -> Result<Genesis, RecordError> {
    let record: wire::Genesis = message(bytes)?;
    let id = uuid::Uuid::from_slice(&record.id).map_err(|problem| RecordError::new("id", problem))?;
    Ok(Genesis { schema_version: record.schema_version, id })
}

pub fn encode_position((sequence, last_time): Position) -> Vec<u8> {
    wire::Position { sequence, last_time: Some(scalar::time_out(last_time)) }.encode_to_vec()
}

pub fn decode_position(bytes: &[u8]) -> Result<Position, RecordError> {
    let record: wire::Position = message(bytes)?;
    Ok((record.sequence, scalar::time("last_time", record.last_time)?))
}

pub fn encode_account(account: &Account) -> Vec<u8> {
    let lapses = account.lapses.map(scalar::time_out);
    wire::AccountRow { reserved: account.reserved.get(), committed: account.committed.get(), lapses }.encode_to_vec()
}

pub fn decode_account(bytes: &[u8]) -> Result<Account, RecordError> {
    let record: wire::AccountRow = message(bytes)?;
    Ok(Account {
        reserved: scalar::micros("reserved", record.reserved)?,
        committed: scalar::micros("committed", record.committed)?,
        lapses: scalar::time_if("lapses", record.lapses)?,
    })
}

pub fn encode_row(row: &Row) -> Vec<u8> {
    reservation::row_out(row).encode_to_vec()
}

pub fn decode_row(bytes: &[u8]) -> Result<Row, RecordError> {
    reservation::row(message(bytes)?)
}

pub fn encode_detail(detail: &Detail) -> Vec<u8> {
    reservation::detail_out(detail).encode_to_vec()
}

pub fn decode_detail(bytes: &[u8]) -> Result<Detail, RecordError> {
    reservation::detail(message(bytes)?)
}

pub fn encode_document(document: &Document) -> Vec<u8> {
    document::document_out(document).encode_to_vec()
}

pub fn decode_document(bytes: &[u8]) -> Result<Document, RecordError> {
    document::document(message(bytes)?)
}

pub fn encode_event(event: &Event) -> Vec<u8> {
    document::event_out(event).encode_to_vec()
}

pub fn decode_event(bytes: &[u8]) -> Result<Event, RecordError> {
    document::event(message(bytes)?)
}

/// When an event happened, without reading what did.
pub fn decode_event_time(bytes: &[u8]) -> Result<jiff::Timestamp, RecordError> {
    let record: wire::EventTime = message(bytes)?;
    scalar::time("time", record.time)
}

pub fn encode_tally(tally: &Tally) -> Vec<u8> {
    transfer::tally_out(tally).encode_to_vec()
}

pub fn decode_tally(bytes: &[u8]) -> Result<Tally, RecordError> {
    transfer::tally(message(bytes)?)
}

pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    journal::entry_out(entry).encode_to_vec()
}

pub fn decode_entry(bytes: &[u8]) -> Result<Entry, RecordError> {
    journal::entry(message(bytes)?)
}

pub fn encode_dead_entry(dead: &DeadEntry) -> Vec<u8> {
    journal::dead_out(dead).encode_to_vec()
}

pub fn decode_dead_entry(bytes: &[u8]) -> Result<DeadEntry, RecordError> {
    journal::dead(message(bytes)?)
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, RecordError> {
    M::decode(bytes).map_err(|problem| RecordError::new("row", problem))
}
