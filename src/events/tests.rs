//! Subscriptions over a store that the test moves by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::domain::amount::Micros;
use crate::domain::filter::CostFilters;
use crate::domain::ids::{ActionId, CatalogVersion, GenerationId, ReservationId, SubjectId};
use crate::domain::ledger::{Event, EventKind, Fingerprint, Row, State};
use crate::domain::price_book::CostBasis;
use crate::domain::reservation::{Attempt, AttemptReason, Detail, Labels, Outcome};
use crate::domain::work::Work;
use crate::store::{Page, Place, Reading};

const STREAMS: usize = 3;

/// Streams in memory, each with the number of its first event.
struct Script {
    streams: Mutex<Vec<(u64, Vec<Event>)>>,
    problem: Mutex<Option<StoreError>>,
    stirred: watch::Sender<u64>,
    reads: watch::Sender<usize>,
}

impl Script {
    fn new() -> Arc<Self> {
        let streams = Mutex::new(vec![(1, Vec::new()); STREAMS]);
        Arc::new(Self { streams, problem: Mutex::default(), stirred: watch::Sender::default(), reads: watch::Sender::default() })
    }

    /// Adds a cost event to a stream. Its number is the amount of events there were.
    fn put(&self, stream: usize, outcome: Outcome) {
        self.put_quietly(stream, outcome);
        self.stirred.send_modify(|count| *count += 1);
    }

    /// Another process does.
    fn put_quietly(&self, stream: usize, outcome: Outcome) {
        let mut streams = self.streams.lock().unwrap();
        let (first, events) = &mut streams[stream];
        let number = *first + events.len() as u64;
        events.push(event(stream, number, outcome));
    }

    /// The oldest events of a stream go.
    fn trim(&self, stream: usize, count: usize) {
        let mut streams = self.streams.lock().unwrap();
        let (first, events) = &mut streams[stream];
        events.drain(..count);
        *first += count as u64;
    }

    fn set_problem(&self, problem: Option<StoreError>) {
        *self.problem.lock().unwrap() = problem;
    }

    fn check(&self) -> Result<(), StoreError> {
        self.reads.send_modify(|count| *count += 1);
        self.problem.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    /// Waits until so many more reads were made.
    async fn read(&self, more: usize) {
        let until = *self.reads.borrow() + more;
        self.reads.subscribe().wait_for(|count| *count >= until).await.unwrap();
    }
}

#[async_trait::async_trait]
impl Feed for Script {
    fn streams(&self) -> usize {
        STREAMS
    }

    fn ledger(&self) -> Uuid {
        Uuid::from_u128(1)
    }

    async fn ends(&self, stream: usize) -> Result<Ends, StoreError> {
        self.check()?;
        let (first, events) = &self.streams.lock().unwrap()[stream];
        let newest = Place::new(1, first + events.len() as u64 - 1);
        Ok(Ends { oldest: Place::new(1, first - 1), newest, time: Timestamp::UNIX_EPOCH })
    }

    async fn events(&self, stream: usize, after: Place, limit: usize) -> Result<Reading, StoreError> {
        self.check()?;
        let Ends { oldest, newest, time } = self.ends(stream).await?;
        if after < oldest || after > newest {
            return Ok(Reading::Trimmed { oldest });
        }
        let (_, events) = &self.streams.lock().unwrap()[stream];
        let found = events.iter().filter(|event| event.sequence > after.number).take(limit);
        let events: Vec<_> = found.map(|event| (Place::new(1, event.sequence), event.clone())).collect();
        let reached = events.last().map_or(newest, |(place, _)| *place);
        Ok(Reading::Page(Page { more: reached < newest, events, reached, time }))
    }

    fn stirred(&self) -> watch::Receiver<u64> {
        self.stirred.subscribe()
    }

    fn look_interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(10))
    }
}

fn event(stream: usize, number: u64, outcome: Outcome) -> Event {
    let time = Timestamp::UNIX_EPOCH;
    let attempt = Attempt {
        number: 1,
        reason: AttemptReason::First,
        target: None,
        tier: None,
        outcome: Some(outcome),
        outcome_unknown: false,
        units: Micros::ZERO,
        cost: Micros::ZERO,
        planned_cost: None,
        basis: CostBasis::None,
        price_from: None,
        start_time: time,
        end_time: Some(time),
        asked: None,
        delivered: None,
        billed: None,
        closed_by: None,
        trace: None,
    };
    let detail = Detail {
        user: None,
        generation: GenerationId::new("g").unwrap(),
        action: ActionId::new("image.generate").unwrap(),
        meter: None,
        plan: None,
        catalog: CatalogVersion::new("v1").unwrap(),
        judged_at: time,
        planned_target: None,
        fallbacks: Vec::new(),
        work: Work::default(),
        attempts: vec![attempt],
        labels: Labels::new(),
        currency: "USD".into(),
        cost_reserved: Micros::ZERO,
        note: "".into(),
        unenforced: false,
        refunds: Vec::new(),
    };
    let row = Row {
        id: ReservationId::new(&format!("r{number}")).unwrap(),
        version: 2,
        sequence: number,
        state: State::Committed,
        opened_by: Fingerprint([0; 16]),
        settled_by: None,
        create_time: time,
        began: time,
        deadline: time,
        settle_time: Some(time),
        legs: Vec::new(),
        late: false,
        detail: Arc::new(detail),
    };
    let subject = SubjectId::new(&format!("s{stream}")).unwrap();
    Event { sequence: number, time, kind: EventKind::Committed, subject, row: Some(Arc::new(row)), document: None }
}

/// In which the tail looks again at once.
fn hub(script: &Arc<Script>) -> Hub {
    Hub::with_pace(script.clone(), Duration::from_millis(1))
}

/// Nothing comes: long beside the time in which something would.
const NOTHING: Duration = Duration::from_millis(300);

async fn watching(script: &Arc<Script>, cursor: &str) -> Subscription {
    hub(script).watch(cursor, CostFilters::default(), false).await.unwrap()
}

/// The next event, by its subject and its number.
async fn told(subscription: &mut Subscription) -> (String, u64) {
    loop {
        if let Next::Event(event) = subscription.next().await.unwrap() {
            return (event.subject.to_string(), event.sequence);
        }
    }
}

/// Why it ends.
async fn problem(subscription: &mut Subscription) -> WatchError {
    loop {
        match subscription.next().await {
            Ok(Next::CaughtUp) => {}
            Ok(told @ (Next::Event(_) | Next::Change(_))) => panic!("{told:?}"),
            Err(problem) => return problem,
        }
    }
}

async fn caught_up(subscription: &mut Subscription) -> usize {
    let mut events = 0;
    while let Next::Event(_) = subscription.next().await.unwrap() {
        events += 1;
    }
    events
}

#[tokio::test]
async fn what_happens_is_told_to_all_who_watch_in_the_order_of_its_stream() {
    let script = Script::new();
    let hub = hub(&script);
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(hub.watch("", CostFilters::default(), false).await.unwrap());
    }
    for _ in 0..5 {
        script.put(1, Outcome::Accepted);
    }
    for subscription in &mut all {
        for number in 1..=5 {
            assert_eq!(told(subscription).await, ("s1".to_owned(), number));
        }
    }
    // What another process does is found by looking.
    script.put_quietly(2, Outcome::Accepted);
    for subscription in &mut all {
        assert_eq!(told(subscription).await, ("s2".to_owned(), 1));
    }
}

#[tokio::test]
async fn history_is_told_before_what_happens_and_nothing_is_told_twice() {
    let script = Script::new();
    for stream in 0..STREAMS {
        for _ in 0..300 {
            script.put(stream, Outcome::Accepted);
        }
    }
    let mut subscription = watching(&script, "0").await;
    script.put(0, Outcome::Accepted);
    let mut next = [1; STREAMS];
    for told_so_far in 0..901 {
        if told_so_far == 500 {
            script.put(2, Outcome::Accepted);
        }
        let (subject, number) = told(&mut subscription).await;
        let stream = usize::from(subject.as_bytes()[1] - b'0');
        assert_eq!(number, next[stream], "{subject}");
        next[stream] += 1;
    }
    told(&mut subscription).await;
    assert_eq!(caught_up(&mut subscription).await, 0);
}

#[tokio::test]
async fn each_cursor_goes_on_right_after_its_event() {
    let script = Script::new();
    for number in 0..20 {
        script.put(number % STREAMS, Outcome::Accepted);
    }
    let mut subscription = watching(&script, "0").await;
    for left in (0..20).rev() {
        told(&mut subscription).await;
        assert_eq!(caught_up(&mut watching(&script, &subscription.cursor()).await).await, left);
    }
}

#[tokio::test]
async fn one_that_falls_out_of_what_is_shared_reads_the_store_and_misses_nothing() {
    let script = Script::new();
    let mut slow = watching(&script, "").await;
    assert_eq!(caught_up(&mut slow).await, 0);
    for _ in 0..2 * SHARED_MAX {
        script.put(0, Outcome::Accepted);
        // One batch each.
        script.read(2 * STREAMS).await;
    }
    for number in 1..=2 * SHARED_MAX as u64 {
        assert_eq!(told(&mut slow).await.1, number);
    }
    script.put(0, Outcome::Accepted);
    assert_eq!(told(&mut slow).await.1, 2 * SHARED_MAX as u64 + 1);
}

#[tokio::test]
async fn only_what_passes_the_filter_is_told_and_the_cursor_moves_past_the_rest() {
    let script = Script::new();
    for outcome in [Outcome::Accepted, Outcome::Failed, Outcome::Accepted, Outcome::Failed] {
        script.put(0, outcome);
    }
    let filter = CostFilters { outcomes: vec![Outcome::Failed], ..CostFilters::default() };
    let mut subscription = hub(&script).watch("0", filter.clone(), false).await.unwrap();
    assert_eq!(told(&mut subscription).await.1, 2);
    assert_eq!(told(&mut subscription).await.1, 4);
    script.put(0, Outcome::Accepted);
    assert_eq!(caught_up(&mut subscription).await, 0);
    // It is read, and not told.
    script.read(2 * STREAMS).await;
    let given_up = tokio::time::timeout(NOTHING, told(&mut subscription)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    assert_eq!(caught_up(&mut watching(&script, &subscription.cursor()).await).await, 0);
}

#[tokio::test]
async fn a_place_that_is_not_kept_any_more_is_an_error_with_the_oldest_cursor() {
    let script = Script::new();
    for _ in 0..9 {
        script.put(1, Outcome::Accepted);
    }
    let mut subscription = watching(&script, "0").await;
    told(&mut subscription).await;
    let cursor = subscription.cursor();
    script.trim(1, 4);
    let WatchError::Expired { oldest: expired } = problem(&mut watching(&script, &cursor).await).await else { panic!("it goes on") };
    let mut again = watching(&script, &expired).await;
    assert_eq!(told(&mut again).await.1, 5);
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for_and_one_that_lost_data_ends_it() {
    let script = Script::new();
    let mut subscription = watching(&script, "").await;
    assert_eq!(caught_up(&mut subscription).await, 0);
    script.set_problem(Some(StoreError::Unavailable { reason: Arc::from("away") }));
    script.put(0, Outcome::Accepted);
    script.read(3 * STREAMS).await;
    let given_up = tokio::time::timeout(NOTHING, told(&mut subscription)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    script.set_problem(None);
    assert_eq!(told(&mut subscription).await.1, 1);
    script.set_problem(Some(StoreError::DataLost { reason: Arc::from("gone") }));
    assert!(matches!(problem(&mut subscription).await, WatchError::Store(StoreError::DataLost { .. })));
}

#[tokio::test]
async fn the_tail_runs_only_while_somebody_watches() {
    let script = Script::new();
    let hub = hub(&script);
    let mut first = hub.watch("", CostFilters::default(), false).await.unwrap();
    script.put(0, Outcome::Accepted);
    told(&mut first).await;
    let cursor = first.cursor();
    drop(first);
    while *hub.shared.tail.lock().unwrap() {
        tokio::task::yield_now().await;
    }
    script.put(0, Outcome::Accepted);
    let mut second = hub.watch(&cursor, CostFilters::default(), false).await.unwrap();
    assert_eq!(told(&mut second).await.1, 2);
    script.put(0, Outcome::Accepted);
    assert_eq!(told(&mut second).await.1, 3);
}

#[tokio::test]
async fn there_are_so_many_seats_and_one_that_leaves_makes_room() {
    let script = Script::new();
    let hub = hub(&script);
    let mut all = Vec::new();
    for _ in 0..WATCHERS_MAX {
        all.push(hub.watch("", CostFilters::default(), false).await.unwrap());
    }
    assert!(matches!(hub.watch("", CostFilters::default(), false).await, Err(WatchError::TooMany)));
    all.pop();
    assert!(hub.watch("", CostFilters::default(), false).await.is_ok());
}

#[tokio::test]
async fn the_slowest_is_behind_from_when_it_last_was_at_the_end() {
    let script = Script::new();
    let hub = hub(&script);
    assert_eq!(hub.lag(), None);
    let mut quick = hub.watch("", CostFilters::default(), false).await.unwrap();
    let mut slow = hub.watch("", CostFilters::default(), false).await.unwrap();
    assert_eq!(caught_up(&mut quick).await + caught_up(&mut slow).await, 0);
    let quick = tokio::spawn(async move { told(&mut quick).await });
    // One waits at the end, the other does nothing.
    tokio::time::sleep(NOTHING).await;
    assert!(hub.lag().unwrap() >= NOTHING, "{:?}", hub.lag());
    // Waiting at the end it is not behind; given up, it is.
    let given_up = tokio::time::timeout(NOTHING, told(&mut slow)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    assert!(hub.lag().unwrap() < NOTHING, "{:?}", hub.lag());
    script.put(0, Outcome::Accepted);
    quick.await.unwrap();
    // What waits for it keeps it behind, until the last of it was told.
    script.put(0, Outcome::Accepted);
    script.read(2 * STREAMS).await;
    tokio::time::sleep(NOTHING).await;
    told(&mut slow).await;
    assert!(hub.lag().unwrap() >= NOTHING, "{:?}", hub.lag());
    told(&mut slow).await;
    let slow = tokio::spawn(async move { told(&mut slow).await });
    while hub.lag() != Some(Duration::ZERO) {
        tokio::task::yield_now().await;
    }
    slow.abort();
    let _ = slow.await;
    assert_eq!(hub.lag(), None);
}

#[tokio::test]
async fn a_look_back_tells_the_last_that_pass_newest_first_and_goes_no_further_than_it_may() {
    let script = Script::new();
    let each = CHANGES_LOOKED_AT_MAX.div_ceil(STREAMS);
    // In one stream an old rejection lies beyond what is looked at; in another the last is one.
    script.put(0, Outcome::Rejected);
    (0..each).for_each(|_| script.put(0, Outcome::Accepted));
    for outcome in [Outcome::Rejected, Outcome::Accepted, Outcome::Rejected] {
        script.put(1, outcome);
    }
    let rejected = CostFilters { outcomes: vec![Outcome::Rejected], ..CostFilters::default() };
    let sequences = async |limit| {
        let found = recent(&*script, &rejected, limit).await.unwrap();
        found.iter().map(|event| event.sequence).collect::<Vec<_>>()
    };
    assert_eq!(sequences(10).await, [3, 1]);
    assert_eq!(sequences(1).await, [3]);
    // What is gone is not missed.
    script.trim(1, 2);
    assert_eq!(sequences(10).await, [3]);
    script.set_problem(Some(StoreError::Closing));
    assert!(matches!(recent(&*script, &rejected, 1).await, Err(StoreError::Closing)));
}
