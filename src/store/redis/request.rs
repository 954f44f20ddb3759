//! What the script is asked: operations as texts, and which keys each needs beside its partition's own.
//!
//! The grammar is the script's (the folder `script`). Amounts and times are checked types here and digits there; nothing that a caller wrote stands
//! in a key or in a line of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::keys::PartitionKeys;
use super::row::{NOTHING, fingerprint_text, state_letter, time_text};
use super::sweeper::Sweeper;
use crate::domain::amount::Micros;
use crate::domain::event::expired_attempt;
use crate::domain::ids::{SubjectId, UserId};
use crate::domain::ledger::{
    CapLeg, Correction, EventKind, Expected, Movement, Refunding, Share, Side, Source, State, Step, Take, Transaction,
};
use crate::domain::reservation::{Attempt, Detail};
use crate::domain::summary::{Tally, added, dimensions};
use crate::store::feed::Place;
use crate::store::record;

/// The letter of a sweep.
const SWEEP: char = 'S';
/// Stands for nobody in particular, and for all subjects together.
const EVERYBODY: &str = "*";

/// One operation on one subject, or on a partition as a whole.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    letter: char,
    /// Keys of its own, which it names by place: all but a sweep by that of the first.
    pub(super) keys: Vec<Key>,
    /// What follows the letter and the place.
    rest: Vec<u8>,
    pub(super) needs: Needs,
}

/// A key of a partition that depends on what is asked.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Subject(Box<str>),
    /// Two keys: the sums of a subject on the day of the call, and on the next.
    CostsAhead(Box<str>),
    /// A subject's history.
    History(Box<str>),
    /// The sums of one day, of a subject or of everybody.
    Costs {
        day: i64,
        subject: Option<Box<str>>,
    },
}

/// Keys that only some operations touch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    pub(super) costs: bool,
    pub(super) lapses: bool,
    pub(super) subjects: bool,
    pub(super) spent: bool,
}

impl Key {
    /// Its names in a partition, on the day of the call.
    pub(super) fn names(&self, partition: &PartitionKeys, today: i64) -> Vec<String> {
        match self {
            Self::Subject(subject) => vec![partition.subject(subject)],
            Self::CostsAhead(subject) => vec![partition.costs(today, Some(subject)), partition.costs(today + 1, Some(subject))],
            Self::History(subject) => vec![partition.history(subject)],
            Self::Costs { day, subject } => vec![partition.costs(*day, subject.as_deref())],
        }
    }

    pub(super) const fn count(&self) -> usize {
        match self {
            Self::Subject(_) | Self::History(_) | Self::Costs { .. } => 1,
            Self::CostsAhead(_) => 2,
        }
    }

    fn of(subject: &SubjectId) -> Self {
        Self::Subject(subject.as_str().into())
    }
}

impl Needs {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            costs: self.costs || other.costs,
            lapses: self.lapses || other.lapses,
            subjects: self.subjects || other.subjects,
            spent: self.spent || other.spent,
        }
    }
}

impl Operation {
    /// The argument, with the place of its first key among the keys of the call.
    pub(super) fn argument(&self, place: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.rest.len() + 8);
        bytes.extend(self.letter.to_string().bytes());
        if !self.keys.is_empty() && self.letter != SWEEP {
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
        let lapse = |take: &Take| take.caps.iter().any(|cap| cap.lapses.is_some());
        match (&transaction.step, &transaction.correction) {
            (None, None) => head.push_str("-\n"),
            (None, Some(correction)) => {
                needs.lapses = matches!(correction, Correction::Raise(take) if lapse(take));
                write_correction(&mut head, correction);
            }
            (Some(step), _) => {
                let detail = record::encode_detail(&step.next.detail);
                let sums = added(step.next.event, &step.next.detail);
                let sums = sums.map(|(attempt, tally)| tally_text(&step.next.detail, attempt, &tally)).unwrap_or_default();
                let expiry = expiry_text(step.next.state, &step.next.detail);
                write_step(&mut head, step, (sums.len(), expiry.len(), detail.len()));
                (needs.costs, needs.spent) = (!sums.is_empty(), !sums.is_empty());
                tail.extend(sums.into_bytes());
                tail.extend(expiry.into_bytes());
                tail.extend(detail);
                needs.lapses = matches!(&step.movement, Movement::Move { take, .. } if lapse(take));
            }
        }
        let mut rest = head.into_bytes();
        rest.extend(document.unwrap_or_default());
        rest.extend(tail);
        let mut keys = vec![Key::of(&transaction.subject)];
        if needs.costs {
            keys.push(Key::CostsAhead(transaction.subject.as_str().into()));
        }
        if transaction.step.as_ref().is_some_and(|step| step.expected == Expected::Absent) {
            keys.push(Key::History(transaction.subject.as_str().into()));
        }
        Self { letter: 'T', keys, rest, needs }
    }

    /// Reads fields of a subject's hash.
    pub(super) fn read(subject: &SubjectId, fields: &[String]) -> Self {
        let rest = format!("{subject} {}", fields.join(" ")).into_bytes();
        Self { letter: 'R', keys: vec![Key::of(subject)], rest, needs: Needs::default() }
    }

    /// Reservations of a subject's history whose generations began at a time or before it, the last first, after so many of them.
    pub(super) fn history(subject: &SubjectId, from: Timestamp, skip: usize, count: usize) -> Self {
        let rest = format!("{subject} {} {skip} {count}", time_text(from)).into_bytes();
        Self { letter: 'J', keys: vec![Key::of(subject), Key::History(subject.as_str().into())], rest, needs: Needs::default() }
    }

    /// Documented subjects in order, those after one.
    pub(super) fn list(after: Option<&SubjectId>, count: usize) -> Self {
        let rest = format!("{} {count}", after.map_or(NOTHING, SubjectId::as_str)).into_bytes();
        Self { letter: 'L', keys: Vec::new(), rest, needs: Needs { subjects: true, ..Needs::default() } }
    }

    /// Sums of one day, of a subject or of everybody.
    pub(super) fn costs(day: i64, subject: Option<&SubjectId>) -> Self {
        let key = Key::Costs { day, subject: subject.map(|subject| subject.as_str().into()) };
        Self { letter: 'K', keys: vec![key], rest: Vec::new(), needs: Needs::default() }
    }

    /// Who has sums on the days from one to another.
    pub(super) fn spenders(from: i64, to: i64) -> Self {
        let rest = format!("{from} {to}").into_bytes();
        Self { letter: 'I', keys: Vec::new(), rest, needs: Needs { spent: true, ..Needs::default() } }
    }

    /// What is due in a partition, unless another sweeper is at it. Times are in microseconds.
    pub(super) fn peek(sweeper: &Sweeper, lease: i64, count: usize) -> Self {
        let Sweeper { id, event_retention, events_max, cost_retention, .. } = sweeper;
        let rest = format!("{id} {lease} {count} {event_retention} {events_max} {cost_retention}").into_bytes();
        Self { letter: 'P', keys: Vec::new(), rest, needs: Needs { lapses: true, spent: true, ..Needs::default() } }
    }

    /// Sweeps members. `reached`: up to which event ended reservations were looked for. It is alone in its call, and the places of its keys
    /// begin with `first`.
    pub(super) fn sweep(reached: Option<&str>, members: &[(Due, String)], first: usize) -> Self {
        let mut rest = format!("{}\n", reached.unwrap_or(NOTHING));
        let mut keys: Vec<Key> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut next = first;
        let mut line = |letter, place, member: &str| writeln!(rest, "{letter} {place} {member}").expect("writing to a string cannot fail");
        for (due, member) in members {
            let (head, tail) = member.split_once(' ').unwrap_or((member, ""));
            if *due == Due::Sums {
                let subject = (tail != EVERYBODY).then(|| tail.into());
                // A day that is no number was never written: the script finds no such member.
                keys.push(Key::Costs { day: head.parse().unwrap_or(i64::MIN), subject });
                line('o', next, member);
                next += 1;
                continue;
            }
            let place = *places.entry(head).or_insert_with(|| {
                let own = [Key::Subject(head.into()), Key::CostsAhead(head.into()), Key::History(head.into())];
                let place = next;
                next += own.iter().map(Key::count).sum::<usize>();
                keys.extend(own);
                place
            });
            let letter = match due {
                Due::Hold => 'd',
                Due::Lapse => 'l',
                Due::Forget | Due::Sums => 'f',
            };
            line(letter, place, member);
        }
        let needs = Needs { costs: true, lapses: true, spent: true, subjects: false };
        Self { letter: SWEEP, keys, rest: rest.into_bytes(), needs }
    }

    /// Events after a place, at most so many.
    pub(super) fn events(after: Place, count: usize) -> Self {
        let rest = format!("{} {} {count}", after.generation, after.number).into_bytes();
        Self { letter: 'Q', keys: Vec::new(), rest, needs: Needs::default() }
    }

    /// Whether the change of a number is still the one that was seen at this time.
    pub(super) fn verify(sequence: u64, time: i64) -> Self {
        Self { letter: 'V', keys: Vec::new(), rest: format!("{sequence} {time}").into_bytes(), needs: Needs::default() }
    }
}

/// What time alone brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Hold,
    Lapse,
    Forget,
    /// Sums that are older than they are kept.
    Sums,
}

fn write_step(out: &mut String, step: &Step, (sums_bytes, expiry_bytes, detail_bytes): (usize, usize, usize)) {
    let kind = match &step.movement {
        Movement::Keep => 'K',
        Movement::Move { into: Side::Reserved, .. } => 'R',
        Movement::Move { into: Side::Committed, .. } => 'C',
        Movement::Refund(_) => 'B',
    };
    let expected = match step.expected {
        Expected::Absent => "A".to_owned(),
        Expected::Version(version) => version.to_string(),
    };
    let ttl = or_nothing(step.next.ttl.map(|ttl| ttl.as_micros().max(0)));
    let fingerprint = fingerprint_text(step.fingerprint);
    let (state, event) = (state_letter(step.next.state), event_letter(step.next.event));
    // Of a reservation that there is, the row tells.
    let generation = Some(&step.next.detail.generation).filter(|_| step.expected == Expected::Absent);
    let generation = or_nothing(generation.filter(|generation| generation.as_str() != step.id.as_str()));
    let lengths = format!("{sums_bytes} {expiry_bytes} {detail_bytes}");
    let written = writeln!(out, "{kind}\n{} {fingerprint} {expected} {state} {ttl} {event} {generation} {lengths}", step.id).and_then(
        |()| match &step.movement {
            Movement::Keep => Ok(()),
            Movement::Move { take, .. } => write_take(out, take),
            Movement::Refund(refunding) => write_refunding(out, refunding),
        },
    );
    written.expect("writing to a string cannot fail");
}

fn write_correction(out: &mut String, correction: &Correction) {
    let written = match correction {
        Correction::Raise(take) => writeln!(out, "A").and_then(|()| write_take(out, take)),
        Correction::Lower(share) => writeln!(out, "L").and_then(|()| write_share(out, share)),
    };
    written.expect("writing to a string cannot fail");
}

fn write_refunding(out: &mut String, Refunding { shares, watched }: &Refunding) -> std::fmt::Result {
    writeln!(out, "{} {}", shares.len(), watched.len())?;
    shares.iter().try_for_each(|share| write_share(out, share))?;
    watched.iter().try_for_each(|account| writeln!(out, "{account}"))
}

fn write_share(out: &mut String, Share { account, amount }: &Share) -> std::fmt::Result {
    writeln!(out, "{account} {}", amount.get())
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
    for CapLeg { account, amount, limit, enforced, booked, lapses } in &take.caps {
        let (limit, lapses) = (or_nothing(limit.map(Micros::get)), or_nothing(lapses.map(time_text)));
        writeln!(out, "{account} {} {limit} {}{} {lapses}", amount.get(), u8::from(*enforced), u8::from(*booked))?;
    }
    Ok(())
}

fn or_nothing(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

/// What the expiry of a reservation would add to the sums; nothing once it is settled.
pub(super) fn expiry_text(state: State, detail: &Detail) -> String {
    if state != State::Held {
        return String::new();
    }
    let expired = expired_attempt(detail.last_attempt(), None);
    tally_text(detail, &expired, &Tally::of(detail, &expired))
}

/// What is added to the sums of an attempt, in one line: its user, the parts of the key that all its sums share, and the numbers.
fn tally_text(detail: &Detail, attempt: &Attempt, tally: &Tally) -> String {
    let user = detail.user.as_ref().map_or(EVERYBODY, UserId::as_str);
    format!("{user} {} {}", dimensions(detail, attempt), numbers_text(tally))
}

/// The numbers of a sum, as the script keeps them.
pub(super) fn numbers_text(tally: &Tally) -> String {
    <[i64; 7]>::from(*tally).map(|number| number.to_string()).join(" ")
}

pub(super) const fn event_letter(kind: EventKind) -> char {
    match kind {
        EventKind::Reserved => 'r',
        EventKind::Retried => 't',
        EventKind::Extended => 'x',
        EventKind::Committed => 'c',
        EventKind::Released => 'l',
        EventKind::Expired => 'e',
        EventKind::Recorded => 'u',
        EventKind::Refunded => 'b',
        EventKind::SubjectChanged => 's',
    }
}
