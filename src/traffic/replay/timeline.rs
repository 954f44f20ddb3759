//! What happened in which order: documents that change, attempts that begin and end.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::subject::Document;
use crate::traffic::{Attempted, Traffic};

/// What happens at one instant.
#[derive(Debug, Clone)]
pub(super) enum Moment<'t> {
    Document(&'t Arc<Document>),
    Close(&'t Attempted),
    Open(&'t Attempted),
    /// Begins and ends at once.
    Whole(&'t Attempted),
}

impl Moment<'_> {
    /// The order within one instant: an attempt that ends makes room for the next one of its generation.
    fn rank(&self) -> u8 {
        match self {
            Moment::Document(_) => 0,
            Moment::Close(_) => 1,
            Moment::Open(_) | Moment::Whole(_) => 2,
        }
    }
}

/// Everything in the order of time; within one instant, in that of the file.
pub(super) fn timeline(traffic: &Traffic) -> Vec<(Timestamp, Moment<'_>)> {
    let mut moments: Vec<(Timestamp, Moment<'_>)> = Vec::with_capacity(2 * traffic.attempts.len());
    let changes = traffic.ledger.iter().flat_map(|ledger| &ledger.changes);
    moments.extend(changes.map(|(time, document)| (*time, Moment::Document(document))));
    // One that expired and was committed late ends twice and begins once: at the earlier of its events.
    let mut by_end: Vec<&Attempted> = traffic.attempts.iter().collect();
    by_end.sort_by_key(|attempt| attempt.end);
    let mut begun = HashSet::new();
    for attempt in by_end {
        let is_new = begun.insert((&attempt.subject, &attempt.reservation, attempt.number));
        match (is_new, attempt.recorded || attempt.start >= attempt.end) {
            (true, true) => moments.push((attempt.end, Moment::Whole(attempt))),
            (true, false) => {
                moments.push((attempt.start, Moment::Open(attempt)));
                moments.push((attempt.end, Moment::Close(attempt)));
            }
            (false, _) => moments.push((attempt.end, Moment::Close(attempt))),
        }
    }
    moments.sort_by_key(|(time, moment)| (*time, moment.rank()));
    moments
}
