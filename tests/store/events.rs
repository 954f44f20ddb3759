//! How every store tells the events of its changes: to an observer, and to readers of its streams.

use std::sync::Arc;

use genquota::clock::ManualClock;
use genquota::domain::ledger::{Event, EventKind};
use genquota::domain::subject::Document;
use genquota::store::embedded::{EmbeddedStore, Options};
use genquota::store::{Feed, Page, Place, Reading, Store, Urgency};
use jiff::SignedDuration;

use crate::fixtures::{OPTIONS, commit, describe, done, release, reserve, row, start, take};
use crate::lab::Kind;
use crate::{Bench, shared};

/// Subjects of more than one partition.
const SUBJECTS: [&str; 3] = ["s", "t", "u"];

async fn changed(store: &dyn Store, subject: &str) {
    done(store.execute(describe(subject, 0), Urgency::Settle).await.unwrap());
    done(store.execute(reserve(subject, "r", take(4, 100)), Urgency::Reserve).await.unwrap());
    done(store.execute(commit(subject, "r", 1, take(3, 100)), Urgency::Settle).await.unwrap());
    done(store.execute(reserve(subject, "q", take(1, 100)), Urgency::Reserve).await.unwrap());
    done(store.execute(release(subject, "q", 1), Urgency::Settle).await.unwrap());
}

async fn page(feed: &dyn Feed, stream: usize, after: Place, limit: usize) -> Page {
    match feed.events(stream, after, limit).await.unwrap() {
        Reading::Page(page) => page,
        Reading::Trimmed { oldest } => panic!("{after:?} of stream {stream} is trimmed; the oldest is {oldest:?}"),
    }
}

/// The oldest place of each stream.
async fn oldest(feed: &dyn Feed) -> Vec<Place> {
    let mut places = Vec::new();
    for stream in 0..feed.streams() {
        places.push(feed.ends(stream).await.unwrap().oldest);
    }
    places
}

async fn newest(feed: &dyn Feed) -> Vec<Place> {
    let mut places = Vec::new();
    for stream in 0..feed.streams() {
        places.push(feed.ends(stream).await.unwrap().newest);
    }
    places
}

/// All events after some places, stream by stream.
async fn all_after(feed: &dyn Feed, places: &[Place], limit: usize) -> Vec<(Place, Event)> {
    let mut events = Vec::new();
    for (stream, after) in places.iter().enumerate() {
        let mut after = *after;
        loop {
            let page = page(feed, stream, after, limit).await;
            assert!(page.events.len() <= limit);
            events.extend(page.events);
            after = page.reached;
            if !page.more {
                break;
            }
        }
    }
    events
}

fn of<'e>(events: &'e [(Place, Event)], subject: &str) -> Vec<&'e Event> {
    events.iter().map(|(_, event)| event).filter(|event| event.subject.as_str() == subject).collect()
}

/// Without what a reader may not be told: the version of a document.
fn told(event: &Event) -> Event {
    let document = event.document.as_ref().map(|document| Arc::new(Document { version: 0, ..(**document).clone() }));
    Event { document, ..event.clone() }
}

pub async fn each_change_leaves_one_event_in_the_order_of_its_subject(bench: Bench) {
    let store = &*bench.store;
    for subject in SUBJECTS {
        changed(store, subject).await;
    }
    let feed = store.feed();
    let events = all_after(&*feed, &oldest(&*feed).await, 1000).await;
    assert_eq!(events.len(), 5 * SUBJECTS.len());
    for subject in SUBJECTS {
        let own = of(&events, subject);
        let kinds: Vec<_> = own.iter().map(|event| event.kind).collect();
        use EventKind::{Committed, Released, Reserved, SubjectChanged};
        assert_eq!(kinds, [SubjectChanged, Reserved, Committed, Reserved, Released]);
        assert!(own[0].document.is_some() && own[0].row.is_none());
        for event in &own[1..] {
            let row = event.row.as_ref().unwrap();
            assert_eq!((row.sequence, event.time), (event.sequence, start()));
        }
        let stored = store.reservation(&own[2].subject, &own[2].row.as_ref().unwrap().id, Urgency::Read).await.unwrap();
        assert_eq!(own[2].row, stored);
    }
}

pub async fn events_are_read_page_by_page_from_any_place(bench: Bench) {
    let store = &*bench.store;
    for subject in SUBJECTS {
        changed(store, subject).await;
    }
    let feed = store.feed();
    let from = oldest(&*feed).await;
    let events = all_after(&*feed, &from, 1000).await;
    assert_eq!(all_after(&*feed, &from, 2).await, events);
    for (stream, after) in from.into_iter().enumerate() {
        let all = page(&*feed, stream, after, 1000).await.events;
        for (skipped, (place, _)) in all.iter().enumerate() {
            assert_eq!(page(&*feed, stream, *place, 1000).await.events, all[skipped + 1..]);
        }
    }
}

pub async fn a_reader_from_the_end_finds_what_comes_and_nothing_else(bench: Bench) {
    let store = &*bench.store;
    changed(store, "s").await;
    let feed = store.feed();
    let end = newest(&*feed).await;
    assert_eq!(all_after(&*feed, &end, 10).await, []);
    done(store.execute(reserve("s", "new", take(1, 100)), Urgency::Reserve).await.unwrap());
    done(store.execute(reserve("t", "new", take(1, 100)), Urgency::Reserve).await.unwrap());
    let found = all_after(&*feed, &end, 10).await;
    assert_eq!((of(&found, "s").len(), of(&found, "t").len(), found.len()), (1, 1, 2));
}

pub async fn an_observer_is_told_each_change_once_and_no_dry_run_or_repeat(bench: Bench) {
    let store = &*bench.store;
    changed(store, "s").await;
    let hold = reserve("s", "h", take(2, 100));
    let held = row(store.execute(hold.clone(), Urgency::Reserve).await.unwrap());
    store.execute(hold, Urgency::Reserve).await.unwrap();
    store.execute(reserve("s", "denied", take(200, 100)), Urgency::Reserve).await.unwrap();
    let mut trial = reserve("s", "trial", take(1, 100));
    trial.dry_run = true;
    done(store.execute(trial, Urgency::Reserve).await.unwrap());
    // What time alone does here is told too.
    bench.clock.set(held.deadline);
    (bench.sweep)().await;
    let feed = store.feed();
    let events = all_after(&*feed, &oldest(&*feed).await, 1000).await;
    assert_eq!(events.last().unwrap().1.kind, EventKind::Expired);
    let seen: Vec<Event> = bench.seen.lock().unwrap().iter().map(told).collect();
    assert_eq!(seen.len(), 7);
    assert_eq!(seen, of(&events, "s").into_iter().map(told).collect::<Vec<_>>());
}

pub async fn a_reader_is_told_when_something_was_changed_here(bench: Bench) {
    let store = &*bench.store;
    let mut stirred = store.feed().stirred();
    let before = *stirred.borrow_and_update();
    done(store.execute(reserve("s", "r", take(1, 100)), Urgency::Reserve).await.unwrap());
    stirred.changed().await.unwrap();
    assert_eq!(*stirred.borrow_and_update(), before + 1);
    assert!(store.execute(reserve("s", "r", take(1, 100)), Urgency::Reserve).await.is_ok());
    assert!(!stirred.has_changed().unwrap(), "a repeat changes nothing");
}

pub async fn events_have_the_same_places_after_reopening(bench: Bench) {
    let Some(reopen) = &bench.reopen else { return };
    for subject in SUBJECTS {
        changed(&*bench.store, subject).await;
    }
    let (feed, ledger) = (bench.store.feed(), bench.store.feed().ledger());
    let from = oldest(&*feed).await;
    let events = all_after(&*feed, &from, 1000).await;
    let store = reopen().await;
    let feed = store.feed();
    assert_eq!(feed.ledger(), ledger);
    assert_eq!(all_after(&*feed, &from, 3).await, events);
    done(store.execute(reserve("s", "new", take(1, 100)), Urgency::Reserve).await.unwrap());
    assert_eq!(all_after(&*feed, &from, 3).await.len(), events.len() + 1);
}

pub async fn events_that_are_outdated_are_gone_and_a_reader_behind_them_is_told_so(bench: Bench) {
    let store = &*bench.store;
    changed(store, "s").await;
    let feed = store.feed();
    let from = oldest(&*feed).await;
    let stream = all_streams(&*feed, &from).await;
    bench.clock.advance(OPTIONS.event_retention - SignedDuration::from_secs(1));
    done(store.execute(reserve("s", "late", take(1, 100)), Urgency::Reserve).await.unwrap());
    assert!(matches!(feed.events(stream, from[stream], 9).await.unwrap(), Reading::Page(_)));

    bench.clock.advance(SignedDuration::from_secs(1));
    (bench.sweep)().await;
    (bench.sweep)().await;
    let Reading::Trimmed { oldest } = feed.events(stream, from[stream], 9).await.unwrap() else { panic!("it was not trimmed") };
    assert_eq!(oldest, feed.ends(stream).await.unwrap().oldest);
    let kept = page(&*feed, stream, oldest, 9).await.events;
    assert_eq!(kept.iter().map(|(_, event)| event.kind).collect::<Vec<_>>().first(), Some(&EventKind::Reserved));
    assert!(kept.iter().all(|(_, event)| event.time > start()));
}

/// The one stream with events.
async fn all_streams(feed: &dyn Feed, from: &[Place]) -> usize {
    for (stream, place) in from.iter().enumerate() {
        if !page(feed, stream, *place, 1).await.events.is_empty() {
            return stream;
        }
    }
    panic!("no stream has an event");
}

pub async fn a_reader_at_the_end_of_an_idle_stream_misses_nothing_when_all_is_outdated(bench: Bench) {
    let store = &*bench.store;
    changed(store, "s").await;
    let feed = store.feed();
    let (from, end) = (oldest(&*feed).await, newest(&*feed).await);
    let stream = all_streams(&*feed, &from).await;
    bench.clock.advance(OPTIONS.event_retention * 2);
    (bench.sweep)().await;
    (bench.sweep)().await;
    assert_eq!(oldest(&*feed).await, end);
    assert_eq!(all_after(&*feed, &end, 9).await, []);
    assert_eq!(feed.events(stream, from[stream], 9).await.unwrap(), Reading::Trimmed { oldest: end[stream] });
    done(store.execute(reserve("s", "new", take(1, 100)), Urgency::Reserve).await.unwrap());
    assert_eq!(all_after(&*feed, &end, 9).await.len(), 1);
    let behind = Place { number: end[stream].number - 1, ..end[stream] };
    assert_eq!(feed.events(stream, behind, 9).await.unwrap(), Reading::Trimmed { oldest: end[stream] });
}

pub async fn a_place_that_the_ledger_never_reached_is_none_to_go_on_from(bench: Bench) {
    let store = &*bench.store;
    changed(store, "s").await;
    let feed = store.feed();
    for (stream, end) in newest(&*feed).await.into_iter().enumerate() {
        for ahead in [Place { number: end.number + 1, ..end }, Place { generation: end.generation + 1, number: 0 }] {
            assert!(matches!(feed.events(stream, ahead, 9).await.unwrap(), Reading::Trimmed { .. }), "{ahead:?}");
        }
    }
}

/// A store keeps no more than it is told to, whatever their age.
async fn keeps_the_newest(store: &dyn Store, sweep: impl AsyncFn(), most: usize) {
    for number in 0..9 {
        done(store.execute(reserve("s", &format!("r{number}"), take(1, 100)), Urgency::Reserve).await.unwrap());
    }
    for _ in 0..2 {
        sweep().await;
    }
    let feed = store.feed();
    let from = oldest(&*feed).await;
    let kept = all_after(&*feed, &from, 100).await;
    assert_eq!(kept.iter().map(|(_, event)| event.sequence).collect::<Vec<_>>(), (10 - most as u64..10).collect::<Vec<_>>());
}

const FEW: Options = Options { events_max: 4, ..OPTIONS };

#[tokio::test]
async fn a_store_in_memory_keeps_so_many_events() {
    let store = EmbeddedStore::in_memory(FEW, Arc::new(ManualClock::at(start()))).unwrap();
    keeps_the_newest(&store, async || {}, 4).await;
}

#[tokio::test]
async fn an_embedded_store_keeps_so_many_events() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), FEW, Arc::new(ManualClock::at(start()))).unwrap();
    keeps_the_newest(&store, async || {}, 4).await;
    store.close().await;
    // Fewer from now on: what is too much goes without a change.
    let fewer = Options { events_max: 2, ..OPTIONS };
    let store = EmbeddedStore::open(directory.path(), fewer, Arc::new(ManualClock::at(start()))).unwrap();
    store.documents(None, 0).await.unwrap();
    assert_eq!(store.feed().ends(0).await.unwrap().oldest.number, 7);
}

/// Ended reservations are found by walking the events, so those of the retention stay.
#[tokio::test]
async fn a_store_in_redis_keeps_so_many_events_beyond_its_retention() {
    let server = shared::server(Kind::Redis7);
    let clock = Arc::new(ManualClock::at(start()));
    let few = Options { events_max: 16, retention: SignedDuration::from_hours(1), ..OPTIONS };
    let store = shared::open(&server.url(), "few", clock.clone(), few).await;
    keeps_the_newest(&store, async || store.sweep().await.unwrap(), 9).await;
    clock.advance(SignedDuration::from_mins(20));
    store.sweep().await.unwrap();
    // The holds have expired meanwhile: nine more events.
    let feed = store.feed();
    let count = async || all_after(&*feed, &oldest(&*feed).await, 100).await.len();
    assert_eq!(count().await, 18);
    clock.advance(SignedDuration::from_mins(41));
    store.sweep().await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(count().await, 9);
    clock.advance(SignedDuration::from_hours(1));
    store.sweep().await.unwrap();
    store.sweep().await.unwrap();
    // Four for each of four partitions.
    assert_eq!(count().await, 4);
}
