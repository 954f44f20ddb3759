//! What the script is asked: operations as texts, and which keys each needs beside its partition's own.
//!
//! The grammar is the script's (the folder `script`). Amounts and times are checked types here and digits there; nothing that a caller wrote stands
//! in a key or in a line of its own.

use std::fmt::Write as _;

use super::row::{NOTHING, fingerprint_text, state_letter, time_text};
use super::sweeper::Sweeper;
use crate::domain::amount::Micros;
use crate::domain::event::expired_attempt;
use crate::domain::ids::SubjectId;
use crate::domain::ledger::{CapLeg, EventKind, Expected, Movement, Next, Side, Source, State, Step, Take, Transaction};
use crate::domain::reservation::{Attempt, Detail};
use crate::domain::summary::{Tally, TallyKey};
use crate::store::feed::Place;
use crate::store::record;

/// One operation on one subject, or on a partition as a whole.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    letter: char,
    /// Where the operation names its subject's key by place.
    pub(super) subject: Option<SubjectId>,
    /// What follows the letter and the place.
    rest: Vec<u8>,
    pub(super) needs: Needs,
}

/// Keys that only some operations touch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    pub(super) costs: bool,
    pub(super) lapses: bool,
    pub(super) subjects: bool,
}

impl Needs {
    pub(super) fn or(self, other: Self) -> Self {
        Self { costs: self.costs || other.costs, lapses: self.lapses || other.lapses, subjects: self.subjects || other.subjects }
    }
}

impl Operation {
    /// The argument, with the place of the subject's key among the keys of the call.
    pub(super) fn argument(&self, place: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.rest.len() + 8);
        bytes.extend(self.letter.to_string().bytes());
        if self.subject.is_some() {
            bytes.push(b' ');
            bytes.extend(place.to_string().bytes());
        }
        bytes.push(b' ');
        bytes.extend(&self.rest);
        bytes
    }

    pub(super) fn transact(transaction: &Transaction) -> Self {
        let mut needs = Needs { subjects: transaction.document.is_some(), ..Needs::default() };
        let document = transaction.document.as_deref().map(record::encode_document);
        let (from, before) = transaction.valid.map_or((0, i64::MAX), |(from, before)| (time_text(from), time_text(before)));
        let judged_by = or_nothing(transaction.judged_by);
        let bytes = or_nothing(document.as_ref().map(Vec::len));
        let mut head = format!("{} {} {judged_by} {from} {before} {bytes} ", transaction.subject, u8::from(transaction.dry_run));
        let mut tail = Vec::new();
        match &transaction.step {
            None => head.push_str("-\n"),
            Some(step) => {
                let detail = record::encode_detail(&step.next.detail);
                let tally = tally_of(&step.next);
                write_step(&mut head, step, tally.len(), detail.len());
                tail.extend(tally.into_bytes());
                tail.extend(detail);
                needs.costs = step.next.state != State::Held;
                needs.lapses = match &step.movement {
                    Movement::Keep => false,
                    Movement::Move { take, .. } => take.caps.iter().any(|cap| cap.lapses.is_some()),
                };
            }
        }
        let mut rest = head.into_bytes();
        rest.extend(document.unwrap_or_default());
        rest.extend(tail);
        Self { letter: 'T', subject: Some(transaction.subject.clone()), rest, needs }
    }

    /// Reads fields of a subject's hash.
    pub(super) fn read(subject: &SubjectId, fields: &[String]) -> Self {
        let rest = format!("{subject} {}", fields.join(" ")).into_bytes();
        Self { letter: 'R', subject: Some(subject.clone()), rest, needs: Needs::default() }
    }

    /// Documented subjects in order, those after one.
    pub(super) fn list(after: Option<&SubjectId>, count: usize) -> Self {
        let rest = format!("{} {count}", after.map_or(NOTHING, SubjectId::as_str)).into_bytes();
        Self { letter: 'L', subject: None, rest, needs: Needs { subjects: true, ..Needs::default() } }
    }

    /// What is due in a partition, unless another sweeper is at it. Times are in microseconds.
    pub(super) fn peek(sweeper: &Sweeper, lease: i64, count: usize) -> Self {
        let Sweeper { id, event_retention, events_max, .. } = sweeper;
        let rest = format!("{id} {lease} {count} {event_retention} {events_max}").into_bytes();
        Self { letter: 'P', subject: None, rest, needs: Needs { lapses: true, ..Needs::default() } }
    }

    /// Sweeps members, each with the place of its subject's key. `reached`: up to which event ended reservations were looked for.
    pub(super) fn sweep(reached: Option<&str>, members: &[(Due, usize, &str)]) -> Self {
        let mut rest = format!("{}\n", reached.unwrap_or(NOTHING));
        for (due, place, member) in members {
            let letter = match due {
                Due::Hold => 'd',
                Due::Lapse => 'l',
                Due::Forget => 'f',
            };
            writeln!(rest, "{letter} {place} {member}").expect("writing to a string cannot fail");
        }
        Self { letter: 'S', subject: None, rest: rest.into_bytes(), needs: Needs { costs: true, lapses: true, subjects: false } }
    }

    /// Events after a place, at most so many.
    pub(super) fn events(after: Place, count: usize) -> Self {
        let rest = format!("{} {} {count}", after.generation, after.number).into_bytes();
        Self { letter: 'Q', subject: None, rest, needs: Needs::default() }
    }

    /// Whether the change of a number is still the one that was seen at this time.
    pub(super) fn verify(sequence: u64, time: i64) -> Self {
        Self { letter: 'V', subject: None, rest: format!("{sequence} {time}").into_bytes(), needs: Needs::default() }
    }
}

/// What time alone brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Hold,
    Lapse,
    Forget,
}

fn write_step(out: &mut String, step: &Step, tally_bytes: usize, detail_bytes: usize) {
    let kind = match &step.movement {
        Movement::Keep => 'K',
        Movement::Move { into: Side::Reserved, .. } => 'R',
        Movement::Move { into: Side::Committed, .. } => 'C',
    };
    let expected = match step.expected {
        Expected::Absent => "A".to_owned(),
        Expected::Version(version) => version.to_string(),
    };
    let ttl = or_nothing(step.next.ttl.map(|ttl| ttl.as_micros().max(0)));
    let fingerprint = fingerprint_text(step.fingerprint);
    let (state, event) = (state_letter(step.next.state), event_letter(step.next.event));
    let written = writeln!(out, "{kind}\n{} {fingerprint} {expected} {state} {ttl} {event} {tally_bytes} {detail_bytes}", step.id)
        .and_then(|()| match &step.movement {
            Movement::Keep => Ok(()),
            Movement::Move { take, .. } => write_take(out, take),
        });
    written.expect("writing to a string cannot fail");
}

fn write_take(out: &mut String, take: &Take) -> std::fmt::Result {
    let overage = take.overage.as_ref().map_or(NOTHING, |account| account.as_str());
    writeln!(out, "{} {} {overage} {} {}", take.units.get(), u8::from(take.whole), take.sources.len(), take.caps.len())?;
    for Source { account, limit, at_most, carry } in &take.sources {
        write!(out, "{account} {} {} ", or_nothing(limit.map(Micros::get)), or_nothing(at_most.map(Micros::get)))?;
        match carry {
            Some(carry) => writeln!(out, "{} {} {}", carry.account, carry.limit.get(), carry.cap.get())?,
            None => writeln!(out, "{NOTHING} 0 0")?,
        }
    }
    for CapLeg { account, amount, limit, enforced, lapses } in &take.caps {
        let (limit, lapses) = (or_nothing(limit.map(Micros::get)), or_nothing(lapses.map(time_text)));
        writeln!(out, "{account} {} {limit} {} {lapses}", amount.get(), u8::from(*enforced))?;
    }
    Ok(())
}

fn or_nothing(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

/// What the end adds to the sums. Of a held reservation, what its expiry would add.
fn tally_of(next: &Next) -> String {
    let detail = &*next.detail;
    if next.state == State::Held {
        tally_text(detail, &expired_attempt(detail.last_attempt(), None))
    } else {
        tally_text(detail, detail.last_attempt())
    }
}

/// One line of sums of an ended attempt.
pub(super) fn tally_text(detail: &Detail, attempt: &Attempt) -> String {
    let Tally { generations, attempts, outputs, failovers, units, cost, cost_shift_micros } = Tally::of(detail, attempt);
    let (key, units, cost) = (TallyKey::of(detail, attempt), units.get(), cost.get());
    format!("{key} {generations} {attempts} {outputs} {failovers} {units} {cost} {cost_shift_micros}")
}

pub(super) const fn event_letter(kind: EventKind) -> char {
    match kind {
        EventKind::Reserved => 'r',
        EventKind::Extended => 'x',
        EventKind::Committed => 'c',
        EventKind::Released => 'l',
        EventKind::Expired => 'e',
        EventKind::Recorded => 'u',
        EventKind::SubjectChanged => 's',
    }
}
