//! A reservation's row and an account as texts, the way the script writes them: readable in a terminal, and taken apart by one match.
//!
//! A row is a line of its state, at whose end stand when its generation began and which it is, unless that is the reservation itself; a line for each leg, then the tally that its expiry adds, then its detail as a record. Whatever is not as
//! the script writes it is a [`RecordError`], never a default.

use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::amount::Micros;
use crate::domain::ids::{GenerationId, ReservationId};
use crate::domain::ledger::{Account, AccountKey, Fingerprint, Leg, Row, State};
use crate::domain::reservation::Detail;
use crate::store::record::{self, RecordError};

/// Stands for nothing.
pub(super) const NOTHING: &str = "-";

/// Parts of a row's first line before its tail.
const PARTS: usize = 11;
/// The latest instant the script can compute with, in microseconds: about the year 2255.
const MICROS_MAX: i64 = 9_000_000_000_000_000;

/// The first whole microsecond that is not before a time: comparing it with whole microseconds is comparing the time itself.
pub(super) fn time_text(time: Timestamp) -> i64 {
    let nanos = time.as_nanosecond();
    let micros = nanos.div_euclid(1000) + i128::from(nanos.rem_euclid(1000) != 0);
    i64::try_from(micros).unwrap_or(MICROS_MAX).clamp(0, MICROS_MAX)
}

pub(super) fn time(text: &str) -> Result<Timestamp, RecordError> {
    let micros = number(text)?;
    Timestamp::from_microsecond(micros).map_err(|problem| RecordError::new("time", problem))
}

pub(super) fn number<N: std::str::FromStr>(text: &str) -> Result<N, RecordError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| RecordError::new("number", format!("is none: `{text}`")))
}

/// A whole number that may be below zero.
pub(super) fn signed(text: &str) -> Result<i64, RecordError> {
    match text.strip_prefix('-') {
        Some(digits) => Ok(-number::<i64>(digits)?),
        None => number(text),
    }
}

fn micros(text: &str) -> Result<Micros, RecordError> {
    Micros::new(number(text)?).ok_or_else(|| RecordError::new("amount", format!("is none: `{text}`")))
}

pub(super) fn account(text: &str) -> Result<Account, RecordError> {
    let mut parts = text.split(' ');
    let mut amount = || parts.next().ok_or_else(|| RecordError::new("account", format!("is none: `{text}`"))).and_then(micros);
    let (reserved, committed) = (amount()?, amount()?);
    let lapses = parts.next().map(time).transpose()?;
    Ok(Account { reserved, committed, lapses })
}

pub(super) fn fingerprint_text(fingerprint: Fingerprint) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(32);
    for byte in fingerprint.0 {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

fn fingerprint(text: &str) -> Result<Fingerprint, RecordError> {
    let wrong = || RecordError::new("fingerprint", format!("is none: `{text}`"));
    let mut bytes = [0; 16];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return Err(wrong());
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| wrong())?;
    }
    Ok(Fingerprint(bytes))
}

/// What stands at the end of a row's first line: when its generation began, and which it is, unless the generation is the reservation.
pub(super) fn tail_text(row: &Row) -> String {
    let generation = &row.detail.generation;
    if generation.as_str() == row.id.as_str() && row.began == row.create_time {
        return String::new();
    }
    format!(" {} {generation}", time_text(row.began))
}

pub(super) const fn state_letter(state: State) -> char {
    match state {
        State::Held => 'h',
        State::Committed => 'c',
        State::Released => 'l',
        State::Expired => 'e',
    }
}

fn state(letter: &str) -> Result<State, RecordError> {
    let all = [State::Held, State::Committed, State::Released, State::Expired];
    let known = all.into_iter().find(|state| letter.chars().eq([state_letter(*state)]));
    known.ok_or_else(|| RecordError::new("state", format!("is none: `{letter}`")))
}

/// A row that the script kept, with its detail.
pub(super) fn stored_row(id: &ReservationId, bytes: &[u8]) -> Result<Row, RecordError> {
    let (head, tally_bytes, rest) = Head::read(bytes)?;
    let detail = rest.get(tally_bytes..).ok_or_else(|| RecordError::new("row", "ends within its tally"))?;
    let detail = record::decode_detail(detail)?;
    if head.generation.as_ref().is_some_and(|generation| *generation != detail.generation) {
        return Err(RecordError::new("row", "is of another generation than it says"));
    }
    Ok(head.row(id, Arc::new(detail)))
}

/// A row of which the script told the head alone: its detail is the one it was sent.
pub(super) fn told_row(id: &ReservationId, detail: Arc<Detail>, bytes: &[u8]) -> Result<Row, RecordError> {
    Ok(Head::read(bytes)?.0.row(id, detail))
}

/// What the script itself reads of a row.
struct Head {
    version: u64,
    sequence: u64,
    state: State,
    create_time: Timestamp,
    began: Timestamp,
    /// `None` where the line does not say.
    generation: Option<GenerationId>,
    deadline: Timestamp,
    settle_time: Option<Timestamp>,
    late: bool,
    opened_by: Fingerprint,
    settled_by: Option<Fingerprint>,
    legs: Vec<Leg>,
}

impl Head {
    /// The head, the length of the tally, and what follows.
    fn read(bytes: &[u8]) -> Result<(Self, usize, &[u8]), RecordError> {
        let (first, mut rest) = line(bytes)?;
        let mut parts: Vec<&str> = first.split(' ').collect();
        let tail: Vec<&str> = parts.split_off(PARTS.min(parts.len()));
        let Ok([version, sequence, state_letter, create, deadline, settle, late, opened, settled, legs, tally]) =
            <[&str; PARTS]>::try_from(parts)
        else {
            return Err(RecordError::new("row", format!("has another first line: `{first}`")));
        };
        let create_time = time(create)?;
        let (began, generation) = match tail.as_slice() {
            [] => (create_time, None),
            [began, generation] => {
                let generation = GenerationId::new(generation).map_err(|problem| RecordError::new("row.generation", problem))?;
                (time(began)?, Some(generation))
            }
            _ => return Err(RecordError::new("row", format!("has another first line: `{first}`"))),
        };
        let mut head = Self {
            version: number(version)?,
            sequence: number(sequence)?,
            state: state(state_letter)?,
            create_time,
            began,
            generation,
            deadline: time(deadline)?,
            settle_time: present(settle).map(time).transpose()?,
            late: late == "1",
            opened_by: fingerprint(opened)?,
            settled_by: present(settled).map(fingerprint).transpose()?,
            legs: Vec::new(),
        };
        for _ in 0..number::<usize>(legs)? {
            let (leg, after) = line(rest)?;
            head.legs.push(leg_of(leg)?);
            rest = after;
        }
        Ok((head, number(tally)?, rest))
    }

    fn row(self, id: &ReservationId, detail: Arc<Detail>) -> Row {
        let Self { version, sequence, state, create_time, began, deadline, settle_time, late, opened_by, settled_by, legs, .. } = self;
        Row {
            id: id.clone(),
            version,
            sequence,
            state,
            opened_by,
            settled_by,
            create_time,
            began,
            deadline,
            settle_time,
            legs,
            late,
            detail,
        }
    }
}

fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| *text != NOTHING)
}

fn leg_of(line: &str) -> Result<Leg, RecordError> {
    let wrong = || RecordError::new("leg", format!("is none: `{line}`"));
    let mut parts = line.split(' ');
    let (Some(account), Some(held), Some(used), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    Ok(Leg { account: AccountKey::parse(account).ok_or_else(wrong)?, held: micros(held)?, used: micros(used)? })
}

/// The first line, and what follows it.
fn line(bytes: &[u8]) -> Result<(&str, &[u8]), RecordError> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| RecordError::new("row", "ends within a line"))?;
    let text = std::str::from_utf8(&bytes[..end]).map_err(|problem| RecordError::new("row", problem))?;
    Ok((text, &bytes[end + 1..]))
}
