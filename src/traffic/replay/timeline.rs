//! What happened in which order: documents that change, attempts that begin, follow each other and end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::reservation::Outcome;
use crate::domain::subject::Document;
use crate::traffic::{Attempted, Traffic};

/// What a hold lasts beyond the end that is known to come.
const SPARE: SignedDuration = SignedDuration::from_hours(1);

/// What happens at one instant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment<'t> {
    Document(&'t Arc<Document>),
    Close(Close<'t>),
    Open(Open<'t>),
    /// Begins and ends at once.
    Whole(Open<'t>, Close<'t>),
    /// Was never held.
    Record(&'t Attempted),
}

/// The first attempt of a reservation begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open<'t> {
    pub(super) attempt: &'t Attempted,
    /// When the reservation expires.
    pub(super) deadline: Timestamp,
}

/// An attempt ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Close<'t> {
    pub(super) attempt: &'t Attempted,
    /// The one that takes its place.
    pub(super) next: Option<&'t Attempted>,
}

type Key<'t> = (&'t SubjectId, &'t ReservationId);

/// What is known of a reservation as a whole.
#[derive(Default)]
struct Course<'t> {
    /// The event of each attempt; the earlier one of an attempt that expired and was committed late.
    attempts: HashMap<u32, &'t Attempted>,
    expired: Option<Timestamp>,
    end: Timestamp,
}

/// Everything in the order of time.
pub(super) fn timeline(traffic: &Traffic) -> Vec<(Timestamp, Moment<'_>)> {
    let mut by_end: Vec<&Attempted> = traffic.attempts.iter().collect();
    by_end.sort_by_key(|attempt| (attempt.end, attempt.number));
    let courses = courses(&by_end);
    let changes = traffic.ledger.iter().flat_map(|ledger| &ledger.changes);
    // Within one instant: documents; ends, which make room; beginnings; ends of attempts that were over as soon as they followed another.
    let mut moments: Vec<(Timestamp, u8, Moment<'_>)> = changes.map(|(time, document)| (*time, 0, Moment::Document(document))).collect();
    let mut begun: HashSet<Key<'_>> = HashSet::new();
    for attempt in by_end {
        let key = (&attempt.subject, &attempt.reservation);
        if attempt.recorded {
            moments.push((attempt.end, 2, Moment::Record(attempt)));
            continue;
        }
        let course = &courses[&key];
        let fails = !matches!(attempt.outcome, Outcome::Accepted | Outcome::Expired);
        let next = course.attempts.get(&attempt.number.saturating_add(1)).copied().filter(|_| fails);
        let (open, close) = (Open { attempt, deadline: course.deadline() }, Close { attempt, next });
        let at_once = attempt.start >= attempt.end;
        match (begun.insert(key), at_once) {
            (true, true) => moments.push((attempt.end, 2, Moment::Whole(open, close))),
            (true, false) => {
                moments.push((attempt.start, 2, Moment::Open(open)));
                moments.push((attempt.end, 1, Moment::Close(close)));
            }
            (false, true) => moments.push((attempt.end, 3, Moment::Close(close))),
            (false, false) => moments.push((attempt.end, 1, Moment::Close(close))),
        }
    }
    // Stable: what is alike stays in the order of the attempts.
    moments.sort_by_key(|(time, rank, _)| (*time, *rank));
    moments.into_iter().map(|(time, _, moment)| (time, moment)).collect()
}

fn courses<'t>(by_end: &[&'t Attempted]) -> HashMap<Key<'t>, Course<'t>> {
    let mut courses: HashMap<Key<'t>, Course<'t>> = HashMap::new();
    for attempt in by_end {
        let course = courses.entry((&attempt.subject, &attempt.reservation)).or_default();
        course.attempts.entry(attempt.number).or_insert(attempt);
        course.end = course.end.max(attempt.end);
        if attempt.outcome == Outcome::Expired {
            course.expired.get_or_insert(attempt.end);
        }
    }
    courses
}

impl Course<'_> {
    /// When the reservation expired, or a time that it never comes to.
    fn deadline(&self) -> Timestamp {
        self.expired.unwrap_or_else(|| self.end.checked_add(SPARE).unwrap_or(Timestamp::MAX))
    }
}
