//! What the script replies, as the ledger's answers. Anything else is a [`ReplyError`]: nothing is guessed.

use std::sync::Arc;

use jiff::Timestamp;
use redis::Value;

use super::row::{account, number, stored_row, time, told_row};
use crate::domain::ids::ReservationId;
use crate::domain::ledger::{Account, AccountKey, Answer, Denied, Done, Row, Step, Transaction};
use crate::domain::subject::Document;
use crate::store::record::{self, RecordError};

/// Why a reply says nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ReplyError {
    #[error("the store's script replied what it cannot: {0}")]
    Shape(String),
    #[error("the store holds what it cannot: {0}")]
    Record(#[from] RecordError),
    /// The script found a row or account that is not as it was written.
    #[error("the store's `{0}` is damaged")]
    Damaged(String),
}

/// One operation's reply: a letter, then its parts.
#[derive(Debug)]
pub(super) struct Reply(pub(super) Vec<Value>);

impl Reply {
    pub(super) fn letter(&self) -> &str {
        self.text(0).unwrap_or_default()
    }

    /// The text at a place; an error if there is none.
    pub(super) fn text(&self, place: usize) -> Result<&str, ReplyError> {
        let bytes = self.bytes(place)?.ok_or_else(|| self.wrong())?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong())
    }

    /// The bytes at a place, `None` for nothing.
    pub(super) fn bytes(&self, place: usize) -> Result<Option<&[u8]>, ReplyError> {
        match self.0.get(place) {
            Some(Value::BulkString(bytes)) => Ok(Some(bytes)),
            Some(Value::SimpleString(text)) => Ok(Some(text.as_bytes())),
            Some(Value::Nil) | None => Ok(None),
            Some(_) => Err(self.wrong()),
        }
    }

    /// The list of texts at a place.
    pub(super) fn texts(&self, place: usize) -> Result<Vec<String>, ReplyError> {
        let Some(Value::Array(items)) = self.0.get(place) else { return Err(self.wrong()) };
        items.iter().map(|item| redis::from_redis_value_ref(item).map_err(|_| self.wrong())).collect()
    }

    pub(super) fn time(&self, place: usize) -> Result<Timestamp, ReplyError> {
        Ok(time(self.text(place)?)?)
    }

    pub(super) fn number<N: std::str::FromStr>(&self, place: usize) -> Result<N, ReplyError> {
        Ok(number(self.text(place)?)?)
    }

    pub(super) fn wrong(&self) -> ReplyError {
        match self.0.first() {
            Some(Value::BulkString(letter)) if letter == b"C" && self.0.len() > 1 => {
                ReplyError::Damaged(self.0.get(1).and_then(|name| redis::from_redis_value_ref(name).ok()).unwrap_or_default())
            }
            _ => ReplyError::Shape(format!("{:?}", self.0).chars().take(200).collect()),
        }
    }

    /// The number and time of the change that was made, if one was: `E` is of a dry run.
    pub(super) fn position(&self) -> Option<(u64, i64)> {
        if self.letter() != "D" {
            return None;
        }
        Some((self.number(2).ok()?, self.number(1).ok()?))
    }

    /// Whether it speaks of something that was written, now or before.
    pub(super) fn tells_a_change(&self) -> bool {
        let has_events = || matches!(self.0.get(6), Some(Value::Array(entries)) if !entries.is_empty());
        matches!(self.letter(), "D" | "Y" | "U" | "O" | "W") || self.letter() == "Q" && has_events()
    }

    /// How many changes were made.
    pub(super) fn changes(&self) -> u64 {
        match self.letter() {
            "D" => 1,
            "W" => self.number(2).unwrap_or(0),
            _ => 0,
        }
    }

    /// The ledger's answer to a transaction.
    pub(super) fn answer(&self, transaction: &Transaction) -> Result<Answer, ReplyError> {
        match (self.letter(), &transaction.step) {
            ("Y", Some(step)) => Ok(Answer::Replayed(self.row(1, &step.id)?.ok_or_else(|| self.wrong())?)),
            ("U", Some(step)) => Ok(Answer::IdReused(self.row(1, &step.id)?.ok_or_else(|| self.wrong())?)),
            ("O", Some(step)) => Ok(Answer::StaleReservation(self.row(1, &step.id)?)),
            ("M", _) => Ok(Answer::StaleDocument),
            ("Z", _) => Ok(Answer::StalePeriod { now: self.time(1)? }),
            ("F", _) => Ok(Answer::AccountFull(AccountKey::parse(self.text(1)?).ok_or_else(|| self.wrong())?)),
            ("N", _) => Ok(Answer::Denied(Denied {
                short: self.text(2)? == "1",
                caps_reached: indexes(self.text(3)?)?,
                accounts: accounts(self.text(4)?)?,
                now: self.time(1)?,
            })),
            ("D" | "E", step) => Ok(Answer::Done(self.done(transaction, step.as_ref())?)),
            _ => Err(self.wrong()),
        }
    }

    fn done(&self, transaction: &Transaction, step: Option<&Step>) -> Result<Done, ReplyError> {
        let row = match (step, self.bytes(4)?) {
            (Some(step), Some(head)) => Some(Arc::new(told_row(&step.id, step.next.detail.clone(), head)?)),
            _ => None,
        };
        let document = match (&transaction.document, self.text(3)?) {
            (Some(document), "") => Some(document.clone()),
            (Some(document), version) => Some(Arc::new(Document { version: number(version)?, ..(**document).clone() })),
            (None, _) => None,
        };
        Ok(Done {
            row,
            document,
            accounts: accounts(self.text(5)?)?,
            caps_warned: indexes(self.text(6)?)?,
            sequence: self.number(2)?,
            now: self.time(1)?,
        })
    }

    /// A stored row at a place.
    pub(super) fn row(&self, place: usize, id: &ReservationId) -> Result<Option<Arc<Row>>, ReplyError> {
        let row = self.bytes(place)?.map(|bytes| stored_row(id, bytes)).transpose()?;
        Ok(row.map(Arc::new))
    }

    /// Stored rows at a place, each after a name that tells its id; `None` for a name without one.
    pub(super) fn rows(&self, place: usize, id: impl Fn(&str) -> Option<ReservationId>) -> Result<Vec<Option<Row>>, ReplyError> {
        let Some(Value::Array(items)) = self.0.get(place) else { return Err(self.wrong()) };
        let row = |pair: &[Value]| match pair {
            [Value::BulkString(_), Value::Nil] => Ok(None),
            [Value::BulkString(name), Value::BulkString(bytes)] => {
                let id = std::str::from_utf8(name).ok().and_then(&id).ok_or_else(|| self.wrong())?;
                Ok(Some(stored_row(&id, bytes)?))
            }
            _ => Err(self.wrong()),
        };
        items.chunks(2).map(row).collect()
    }

    /// A document, from its version and its record at two places.
    pub(super) fn document(&self, version: usize, text: usize) -> Result<Option<Arc<Document>>, ReplyError> {
        let (Some(_), Some(bytes)) = (self.bytes(version)?, self.bytes(text)?) else { return Ok(None) };
        Ok(Some(Arc::new(Document { version: self.number(version)?, ..record::decode_document(bytes)? })))
    }

    /// An account at a place; one that is not there is empty.
    pub(super) fn account(&self, place: usize) -> Result<Account, ReplyError> {
        match self.bytes(place)? {
            None => Ok(Account::default()),
            Some(_) => Ok(account(self.text(place)?)?),
        }
    }
}

fn accounts(text: &str) -> Result<Vec<Account>, RecordError> {
    text.split(';').filter(|one| !one.is_empty()).map(account).collect()
}

fn indexes(text: &str) -> Result<Vec<usize>, RecordError> {
    text.split(' ').filter(|one| !one.is_empty()).map(number).collect()
}
