//! Random stories over three years: the same ones on every run, so that a change is judged by what it changed. `PROPTEST_RNG_SEED` tells
//! others and `PROPTEST_CASES` more of them. Failing ones are kept beside this file.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use genquota::clock::ManualClock;
use genquota::store::Store as _;
use genquota::store::redis::{Link, LinkOptions, Options, RedisStore, Time};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestRunner};

use crate::bench::Bench;
use crate::lab::{Kind, Server, Settings};
use crate::memory::Memory;
use crate::plans::{Plans, plans};
use crate::reference::Reference;
use crate::steps::{Step, ZONES, steps, subscribes};
use crate::story::Story;

/// Where stories begin: days on which months are long, short, or a day longer than usual.
const DAYS: [(i16, i8, i8); 8] =
    [(2026, 1, 1), (2026, 1, 15), (2027, 2, 28), (2028, 2, 29), (2026, 1, 29), (2026, 8, 30), (2026, 1, 31), (2027, 12, 31)];

#[derive(Clone)]
struct Told {
    start: Timestamp,
    zone: usize,
    plans: Plans,
    steps: Vec<Step>,
}

/// Longer than any story: receipts are looked at until its end.
pub const RETENTION: SignedDuration = SignedDuration::from_hours(24 * 366 * 5);

impl fmt::Debug for Told {
    /// One line for each plan and step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from {} in {}\n{}", self.start, ZONES[self.zone], self.plans.yaml())?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step:?}"))
    }
}

fn stories(length: usize) -> impl Strategy<Value = Told> {
    let starts = (prop::sample::select(&DAYS[..]), 0..ZONES.len(), 0_i64..24 * 60).prop_map(|((year, month, day), zone, minute)| {
        let day = Date::new(year, month, day).unwrap();
        let midnight = day.to_zoned(TimeZone::get(ZONES[zone]).unwrap()).unwrap().timestamp();
        (day, zone, midnight.checked_add(SignedDuration::from_mins(minute)).unwrap())
    });
    starts.prop_flat_map(move |(day, zone, start)| {
        let told = (plans(day), subscribes(), prop::collection::vec(steps(), 1..length));
        told.prop_map(move |(plans, first, steps)| Told { start, zone, plans, steps: std::iter::once(first).chain(steps).collect() })
    })
}

fn run(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story);
}

async fn tell(told: &Told) {
    let clock = Arc::new(ManualClock::at(told.start));
    let zone = TimeZone::get(ZONES[told.zone]).unwrap();
    let bench = Bench::open(Arc::new(Memory::new(clock.clone())), clock, &told.plans, &zone).await;
    Story::new(bench, Reference::new(told.plans.clone(), zone)).tell(&told.steps).await;
}

async fn tell_on_redis(told: &Told, url: &str, instance: &str) {
    let clock = Arc::new(ManualClock::at(told.start));
    let zone = TimeZone::get(ZONES[told.zone]).unwrap();
    let options = Options {
        partitions: 4,
        retention: RETENTION,
        sweep_interval: Duration::from_secs(3600),
        time: Time::Given(clock.clone()),
        ..Options::new(instance)
    };
    let link = Link::open(url.parse().unwrap(), LinkOptions::default()).await.unwrap();
    let store = Arc::new(RedisStore::open(link, options).await.unwrap());
    let bench = Bench::open_on_redis(store.clone(), clock, &told.plans, &zone).await;
    Story::new(bench, Reference::new(told.plans.clone(), zone)).tell(&told.steps).await;
    store.close().await;
}

fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(20_260_118),
        given @ RngSeed::Fixed(_) => given,
    };
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases },
        rng_seed,
        max_shrink_time: 15_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/subscriptions/proptest-regressions/random.txt"))),
        ..default
    }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn every_story_ends_as_its_reference_says(told in stories(40)) {
        run(tell(&told));
    }

    #[test]
    fn every_short_story_ends_as_its_reference_says(told in stories(8)) {
        run(tell(&told));
    }
}

#[test]
fn a_story_on_redis_ends_as_its_reference_says() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let (url, count) = (server.url(), Cell::new(0));
    let told = TestRunner::new(config(4)).run(&stories(20), |told| {
        count.set(count.get() + 1);
        run(tell_on_redis(&told, &url, &format!("story{}", count.get())));
        Ok(())
    });
    told.unwrap();
}
