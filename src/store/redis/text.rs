//! A subject's fields and an event's text as the script keeps them (`script.lua`), made from the domain's types and read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::request::{event_letter, expiry_text};
use super::row::{NOTHING, account, fingerprint_text, number, state_letter, stored_row, tail_text, time_text};
use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::ledger::{Account, AccountKey, Event, EventKind, Row};
use crate::domain::subject::Document;
use crate::store::record::{self, RecordError};
use crate::store::transfer::SubjectState;

const KINDS: [EventKind; 9] = [
    EventKind::Reserved,
    EventKind::Retried,
    EventKind::Extended,
    EventKind::Committed,
    EventKind::Released,
    EventKind::Expired,
    EventKind::Recorded,
    EventKind::Refunded,
    EventKind::SubjectChanged,
];

/// The fields of a subject's hash.
pub(super) fn fields(subject: &SubjectState) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::with_capacity(2 + subject.accounts.len() + subject.reservations.len());
    if let Some(document) = &subject.document {
        fields.push(("v".to_owned(), document.version.to_string().into_bytes()));
        fields.push(("d".to_owned(), record::encode_document(document)));
    }
    fields.extend(subject.accounts.iter().map(|(key, account)| (format!("a:{key}"), account_text(account).into_bytes())));
    fields.extend(subject.reservations.iter().map(|row| (format!("r:{}", row.id), row_text(row))));
    let mut generations = BTreeMap::<_, (Timestamp, usize)>::new();
    for row in subject.reservations.iter().filter(|row| row.id.as_str() != row.detail.generation.as_str()) {
        generations.entry(row.detail.generation.as_str()).or_insert((row.began, 0)).1 += 1;
    }
    let entry = |(generation, (began, count))| (format!("g:{generation}"), format!("{} {count}", time_text(began)).into_bytes());
    fields.extend(generations.into_iter().map(entry));
    fields
}

/// The members of a subject's history, with their scores.
pub(super) fn history(subject: &SubjectState) -> impl Iterator<Item = (i64, String)> {
    subject.reservations.iter().map(|row| {
        let (id, generation) = (&row.id, &row.detail.generation);
        let member = if id.as_str() == generation.as_str() { id.to_string() } else { format!("{generation} {id}") };
        (time_text(row.began), member)
    })
}

/// A subject, from all fields of its hash. One that no version of this program writes is an error.
pub(super) fn subject(id: &SubjectId, fields: Vec<(Vec<u8>, Vec<u8>)>) -> Result<SubjectState, RecordError> {
    let mut state = SubjectState::nothing(id.clone());
    let (mut version, mut text) = (None, None);
    for (name, value) in fields {
        let name = String::from_utf8(name).map_err(|problem| RecordError::new("field", problem))?;
        match name.split_once(':') {
            None if name == "v" => version = Some(number::<u64>(utf8(&value)?)?),
            None if name == "d" => text = Some(record::decode_document(&value)?),
            Some(("a", key)) => {
                let key = AccountKey::parse(key).ok_or_else(|| RecordError::new("field", format!("names no account: `{key}`")))?;
                state.accounts.push((key, account(utf8(&value)?)?));
            }
            Some(("r", id)) => {
                let id = ReservationId::new(id).map_err(|problem| RecordError::new("field", problem))?;
                state.reservations.push(Arc::new(stored_row(&id, &value)?));
            }
            // What the index says follows from the rows.
            Some(("g", _)) => {}
            _ => return Err(RecordError::new("field", format!("is unknown: `{name}`"))),
        }
    }
    state.document = match (version, text) {
        (Some(version), Some(document)) => Some(Arc::new(Document { version, ..document })),
        (None, None) => None,
        _ => return Err(RecordError::new("document", "has no version, or a version and no document")),
    };
    state.accounts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    state.reservations.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(state)
}

fn account_text(account: &Account) -> String {
    let lapses = account.lapses.map(|lapses| format!(" {}", time_text(lapses))).unwrap_or_default();
    format!("{} {}{lapses}", account.reserved.get(), account.committed.get())
}

fn row_text(row: &Row) -> Vec<u8> {
    let tally = expiry_text(row.state, &row.detail);
    let settle = row.settle_time.map_or_else(|| NOTHING.to_owned(), |time| time_text(time).to_string());
    let settled = row.settled_by.map_or_else(|| NOTHING.to_owned(), fingerprint_text);
    let mut text = format!(
        "{} {} {} {} {} {settle} {} {} {settled} {} {}{}\n",
        row.version,
        row.sequence,
        state_letter(row.state),
        time_text(row.create_time),
        time_text(row.deadline),
        u8::from(row.late),
        fingerprint_text(row.opened_by),
        row.legs.len(),
        tally.len(),
        tail_text(row),
    );
    for leg in &row.legs {
        text.push_str(&format!("{} {} {}\n", leg.account, leg.held.get(), leg.used.get()));
    }
    text.push_str(&tally);
    let mut bytes = text.into_bytes();
    bytes.extend(record::encode_detail(&row.detail));
    bytes
}

/// What an event's entry says beside its time.
pub(super) fn event_text(event: &Event) -> Vec<u8> {
    let document = event.document.as_deref().map(record::encode_document).unwrap_or_default();
    let id = event.row.as_ref().map_or(NOTHING, |row| row.id.as_str());
    let mut text = format!("{} {} {id} {}\n", event_letter(event.kind), event.subject, document.len()).into_bytes();
    text.extend(document);
    text.extend(event.row.as_deref().map(row_text).unwrap_or_default());
    text
}

/// The first line of an event: its kind, its subject, its reservation, the length of its document, and what follows.
pub(super) struct EventHead<'t> {
    kind: EventKind,
    pub(super) subject: SubjectId,
    id: Option<ReservationId>,
    document: &'t [u8],
    row: &'t [u8],
}

impl<'t> EventHead<'t> {
    pub(super) fn read(text: &'t [u8]) -> Result<Self, RecordError> {
        let wrong = || RecordError::new("event", "has another first line");
        let end = text.iter().position(|byte| *byte == b'\n').ok_or_else(wrong)?;
        let parts: Vec<&str> = utf8(&text[..end])?.split(' ').collect();
        let [kind, subject, id, bytes] = <[&str; 4]>::try_from(parts).map_err(|_| wrong())?;
        let kind = KINDS.into_iter().find(|known| kind.chars().eq([event_letter(*known)])).ok_or_else(wrong)?;
        let id = Some(id).filter(|id| *id != NOTHING).map(ReservationId::new).transpose();
        let (document, row) = text[end + 1..].split_at_checked(number(bytes)?).ok_or_else(wrong)?;
        Ok(Self {
            kind,
            subject: SubjectId::new(subject).map_err(|problem| RecordError::new("event.subject", problem))?,
            id: id.map_err(|problem| RecordError::new("event.id", problem))?,
            document,
            row,
        })
    }

    pub(super) const fn has_document(&self) -> bool {
        !self.document.is_empty()
    }

    /// The whole event. `version`: of the document it tells, which the entry itself does not.
    pub(super) fn event(&self, sequence: u64, time: Timestamp, version: u64) -> Result<Event, RecordError> {
        let document = self.has_document().then(|| record::decode_document(self.document)).transpose()?;
        let row = self.id.as_ref().map(|id| stored_row(id, self.row)).transpose()?;
        Ok(Event {
            sequence,
            time,
            kind: self.kind,
            subject: self.subject.clone(),
            row: row.map(Arc::new),
            document: document.map(|document| Arc::new(Document { version, ..document })),
        })
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, RecordError> {
    std::str::from_utf8(bytes).map_err(|problem| RecordError::new("value", problem))
}
