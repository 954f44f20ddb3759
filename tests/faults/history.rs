//! Is what clients saw linearizable? The events' own numbers are the witness: the model, taken through the calls in that order, must answer
//! each as the store did, and nobody's call may stand before one that was answered before it was sent (I10).

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use genquota::domain::ids::{ReservationId, SubjectId};
use genquota::domain::ledger::{Answer, Changes, Event as LedgerEvent, EventKind, Ledger, State};
use jiff::Timestamp;

use crate::books::{Books, Event};
use crate::load::Call;
use crate::sidecars::RETENTION;

/// What came of the comparison: a history without contention would prove little.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) changes: usize,
    /// Answers that changed nothing: denials and repeats.
    pub(crate) looks: usize,
}

/// # Panics
/// At the first answer that has no place in the order.
pub(crate) fn check(books: &Books, calls: &[Call]) -> Seen {
    let mut seen = Seen::default();
    let mut placed = 0;
    for (number, partition) in &books.partitions {
        let own: Vec<&Call> = calls.iter().filter(|call| books.partition_of(call.transaction.subject.as_str()) == Some(*number)).collect();
        placed += own.len();
        let found = Order::new(&partition.events, &own).replay();
        seen.changes += found.changes;
        seen.looks += found.looks;
    }
    assert_eq!(placed, calls.len(), "a subject of which nothing was ever granted");
    seen
}

/// The calls of one partition in the order of its events.
struct Order<'a> {
    events: &'a [Event],
    /// The call of each event; none for an expiry.
    makers: Vec<Option<&'a Call>>,
    /// What changed nothing, with the numbers after which it may have happened.
    looks: Vec<(&'a Call, std::ops::RangeInclusive<usize>)>,
}

impl<'a> Order<'a> {
    fn new(events: &'a [Event], calls: &[&'a Call]) -> Self {
        let mut by_change: HashMap<(char, &str, &str), &'a Call> = HashMap::new();
        for call in calls {
            let state = call.state();
            let kind = if state == State::Held { 'r' } else { letter(state) };
            let known = by_change.insert((kind, call.transaction.subject.as_str(), call.id()), call);
            assert!(known.is_none(), "two calls that cannot be told apart: {call:?}");
        }
        let makers: Vec<Option<&Call>> = events
            .iter()
            .map(|event| {
                let maker = by_change.get(&(event.kind, event.subject.as_str(), event.id.as_str())).copied();
                assert!(event.kind == 'e' || maker.is_some(), "nobody asked for {event:?}");
                maker
            })
            .collect();
        let windows = Windows::new(&makers);
        let is_look = |call: &&&Call| matches!(call.answer(), Some(answer) if !matches!(answer, Answer::Done(_)));
        let looks = calls.iter().filter(is_look).map(|call| (*call, windows.of(call))).collect();
        Self { events, makers, looks }
    }

    fn replay(mut self) -> Seen {
        self.check_real_time();
        let mut seen = Seen { changes: self.events.len(), looks: self.looks.len() };
        let mut ledger = Ledger::new(RETENTION);
        for position in 0..=self.events.len() {
            if let Some(before) = position.checked_sub(1) {
                self.change(&mut ledger, before);
            }
            let time = position.checked_sub(1).map_or(Timestamp::UNIX_EPOCH, |before| time(&self.events[before]));
            self.looks.retain(|(call, window)| {
                let fits = window.contains(&position) && looks_like(&mut ledger, call, time);
                assert!(fits || *window.end() > position, "at no moment between its sending and its answer: {call:?}");
                !fits
            });
        }
        assert!(self.looks.is_empty());
        seen.looks -= self.looks.len();
        seen
    }

    /// What was answered before another call was sent comes before it.
    fn check_real_time(&self) {
        let mut latest_sent: Option<(Instant, &Call)> = None;
        for call in self.makers.iter().flatten() {
            if let (Some((sent, before)), Some((answered, _))) = (latest_sent, &call.answered) {
                assert!(sent <= *answered, "{before:?} was sent after the answer to what it stands before: {call:?}");
            }
            if latest_sent.is_none_or(|(sent, _)| sent < call.sent) {
                latest_sent = Some((call.sent, call));
            }
        }
    }

    fn change(&self, ledger: &mut Ledger, at: usize) {
        let (event, mut changes) = (&self.events[at], Changes::default());
        match self.makers[at] {
            None => {
                let (subject, id) = (SubjectId::new(&event.subject).unwrap(), ReservationId::new(&event.id).unwrap());
                let row = ledger.reservation(&subject, &id, time(event), &mut changes);
                assert_eq!(row.map(|row| row.state), Some(State::Expired), "it was not due: {event:?}");
            }
            Some(call) => {
                let expected = ledger.execute(time(event), &call.transaction, &mut changes);
                match call.answer() {
                    Some(answer @ Answer::Done(_)) => assert_eq!(*answer, expected, "{call:?}"),
                    _ => assert!(matches!(expected, Answer::Done(_)), "{expected:?} for {call:?}"),
                }
            }
        }
        let [LedgerEvent { sequence, kind, .. }] = &changes.events[..] else { panic!("{event:?}: {changes:?}") };
        assert_eq!((*sequence, kind_letter(*kind)), (event.number, event.kind));
    }
}

/// What a client may have seen, by its own clock.
struct Windows {
    /// The highest number whose answer had come by then.
    answered: BTreeMap<Instant, usize>,
    /// The lowest number that was sent from then on.
    sent: BTreeMap<Instant, usize>,
}

impl Windows {
    fn new(makers: &[Option<&Call>]) -> Self {
        let (mut answered, mut sent) = (BTreeMap::new(), BTreeMap::new());
        for (at, call) in makers.iter().enumerate().filter_map(|(at, call)| Some((at, (*call)?))) {
            if let Some((when, _)) = call.answered {
                answered.insert(when, at + 1);
            }
            sent.insert(call.sent, at + 1);
        }
        let mut highest = 0;
        for number in answered.values_mut() {
            highest = highest.max(*number);
            *number = highest;
        }
        let mut lowest = makers.len() + 1;
        for number in sent.values_mut().rev() {
            lowest = lowest.min(*number);
            *number = lowest;
        }
        sent.insert(Instant::now(), makers.len() + 1);
        Self { answered, sent }
    }

    fn of(&self, call: &Call) -> std::ops::RangeInclusive<usize> {
        let first = self.answered.range(..call.sent).next_back().map_or(0, |(_, number)| *number);
        let (answered, _) = call.answered.as_ref().expect("it looked at something");
        let last = self.sent.range(answered..).next().map_or(usize::MAX, |(_, number)| number - 1);
        first..=last
    }
}

/// Whether the model, as it stands, gives this very answer.
fn looks_like(ledger: &mut Ledger, call: &Call, last: Timestamp) -> bool {
    let answer = call.answer().expect("it looked at something");
    let now = if let Answer::Denied(denied) = answer { denied.now } else { last };
    let mut transaction = call.transaction.clone();
    // A wrong guess must change nothing. A hold whose time is over expires in a dry run too, and the store did that before it answered.
    transaction.dry_run = true;
    let step = transaction.step.as_ref().expect("every call has a step");
    let is_own = |subject: &SubjectId| *subject == transaction.subject;
    let row = ledger.contents().find(|(subject, _, _)| is_own(subject)).and_then(|(_, _, rows)| rows.get(&step.id));
    if row.is_some_and(|row| row.state == State::Held && row.deadline <= now) {
        return false;
    }
    ledger.execute(now, &transaction, &mut Changes::default()) == *answer
}

fn time(event: &Event) -> Timestamp {
    Timestamp::from_microsecond(event.time).unwrap()
}

const fn letter(state: State) -> char {
    match state {
        State::Held => 'h',
        State::Committed => 'c',
        State::Released => 'l',
        State::Expired => 'e',
    }
}

const fn kind_letter(kind: EventKind) -> char {
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
