//! The small parts of records: ids, amounts, times, zones, digests, labels.
//!
//! Each reader names its field in the error. An empty text stands for an absent id, which no id can be.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter};
use jiff::tz::TimeZone;

use super::{RecordError, wire};
use crate::domain::amount::Micros;
use crate::domain::ids::{IdError, Target, TraceId};
use crate::domain::ledger::Fingerprint;
use crate::domain::reservation::Labels;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Whether a zone can be written down. One that was taken from a nameless system file cannot.
pub fn has_text(zone: &TimeZone) -> bool {
    DateTimePrinter::new().time_zone_to_string(zone).is_ok()
}

pub(super) fn zone_out(zone: &TimeZone) -> String {
    // A nameless zone is refused before it gets here; were one missed, an empty text is refused when it is read, and never another zone.
    DateTimePrinter::new().time_zone_to_string(zone).unwrap_or_default()
}

pub(super) fn zone(what: &'static str, text: &str) -> Result<TimeZone, RecordError> {
    DateTimeParser::new().parse_time_zone(text).map_err(|problem| RecordError::new(what, problem))
}

/// An id, which must be there.
pub(super) fn id<T>(what: &'static str, text: &str, new: fn(&str) -> Result<T, IdError>) -> Result<T, RecordError> {
    new(text).map_err(|problem| RecordError::new(what, problem))
}

pub(super) fn id_if<T>(what: &'static str, text: &str, new: fn(&str) -> Result<T, IdError>) -> Result<Option<T>, RecordError> {
    if text.is_empty() { Ok(None) } else { id(what, text, new).map(Some) }
}

/// The text of an id that may be absent.
pub(super) fn text_out<T>(id: Option<&T>, text: fn(&T) -> &str) -> String {
    id.map(text).unwrap_or_default().to_owned()
}

pub(super) fn micros(what: &'static str, value: i64) -> Result<Micros, RecordError> {
    Micros::new(value).ok_or_else(|| RecordError::new(what, format!("is no amount: {value}")))
}

pub(super) fn time_out(time: Timestamp) -> prost_types::Timestamp {
    let nanos = time.as_nanosecond();
    prost_types::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).expect("the calendar's seconds are within i64"),
        nanos: i32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).expect("less than a billion"),
    }
}

pub(super) fn time(what: &'static str, record: Option<prost_types::Timestamp>) -> Result<Timestamp, RecordError> {
    time_if(what, record)?.ok_or_else(|| RecordError::missing(what))
}

pub(super) fn time_if(what: &'static str, record: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, RecordError> {
    let Some(record) = record else { return Ok(None) };
    let nanos = i128::from(record.seconds) * NANOS_PER_SECOND + i128::from(record.nanos);
    Timestamp::from_nanosecond(nanos).map(Some).map_err(|problem| RecordError::new(what, problem))
}

pub(super) fn fingerprint_out(fingerprint: Fingerprint) -> Vec<u8> {
    fingerprint.0.to_vec()
}

pub(super) fn fingerprint(what: &'static str, bytes: &[u8]) -> Result<Fingerprint, RecordError> {
    bytes.try_into().map(Fingerprint).map_err(|_| RecordError::new(what, format!("has {} bytes instead of 16", bytes.len())))
}

pub(super) fn fingerprint_if(what: &'static str, bytes: &[u8]) -> Result<Option<Fingerprint>, RecordError> {
    if bytes.is_empty() { Ok(None) } else { fingerprint(what, bytes).map(Some) }
}

pub(super) fn trace_out(trace: Option<TraceId>) -> Vec<u8> {
    trace.map(|trace| trace.bytes().to_vec()).unwrap_or_default()
}

pub(super) fn trace(what: &'static str, bytes: &[u8]) -> Result<Option<TraceId>, RecordError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let wrong = || RecordError::new(what, "names no trace");
    <[u8; 16]>::try_from(bytes).ok().and_then(TraceId::new).map(Some).ok_or_else(wrong)
}

pub(super) fn labels_out(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

pub(super) fn labels(record: BTreeMap<String, String>) -> Labels {
    record.into_iter().map(|(key, value)| (key.into_boxed_str(), value.into_boxed_str())).collect()
}

pub(super) fn target_out(target: &Target) -> wire::Target {
    wire::Target { provider: target.provider.as_str().to_owned(), model: target.model.as_str().to_owned() }
}
