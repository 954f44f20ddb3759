//! The script against its specification: random transactions put to a real server and to `domain/ledger`, which must answer alike, write
//! the same events, and end with the same accounts, reservations and sums.
//!
//! One seed is one run, printed first. `GENQUOTA_TEST_SEED` repeats one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use genquota::clock::{Clock, ManualClock};
use genquota::domain::ids::{
    CapId, GenerationId, GrantId, ModelId, ProviderId, RequestId, ReservationId, SubjectId, Target, TierId, UserId,
};
use genquota::domain::ledger::{
    AccountKey, AccountKind, Answer, CapLeg, Carry, Changes, Correction, EventKind, Expected, Fingerprint, HistoryPlace, Ledger, Movement,
    Next, Refunding, Row, Share, Side, Source, State, Step, Take, Transaction,
};
use genquota::domain::reservation::{Detail, Outcome, Refund};
use genquota::domain::subject::Document;
use genquota::domain::summary::{CostSum, Tally};
use genquota::store::redis::{Options, RedisStore, Time};
use genquota::store::{CostsOf, Store, Urgency};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::fixtures::{detail, fingerprint, micros, overage, start, subject};
use crate::lab::{Kind, Server};
use crate::shared;

const OPERATIONS: usize = 10_000;
const SUBJECTS: [&str; 3] = ["one", "two", "one-more"];
const IDS: usize = 12;
const RETENTION: SignedDuration = SignedDuration::from_hours(1);

struct Twins {
    random: Rng,
    server: Server,
    clock: Arc<ManualClock>,
    ledger: Ledger,
    changes: Changes,
    store: RedisStore,
}

impl Twins {
    async fn new(kind: Kind, seed: u64) -> Self {
        let server = shared::server(kind);
        let clock = Arc::new(ManualClock::at(start()));
        let options = Options {
            partitions: 1,
            retention: RETENTION,
            event_retention: SignedDuration::from_hours(24 * 365),
            sweep_interval: Duration::from_secs(3600),
            transactions_per_call: 4,
            time: Time::Given(clock.clone()),
            ..Options::new("twin")
        };
        let store = RedisStore::open(shared::link(&server.url()).await, options).await.unwrap();
        Self { random: Rng::with_seed(seed), server, clock, ledger: Ledger::new(RETENTION), changes: Changes::default(), store }
    }

    /// Some operations at once, put to both. They are sent together, and travel in their order. Returns how many.
    async fn step(&mut self, number: usize) -> usize {
        self.pass_time();
        // What time alone does is done first, on both sides.
        while self.ledger.sweep(self.clock.now(), &mut self.changes) {}
        self.store.sweep().await.unwrap();
        let count = if self.random.bool() { 1 } else { self.random.usize(1..9) };
        let asked: Vec<(Transaction, Answer)> = (number..number + count)
            .map(|number| {
                let transaction = self.transaction(number);
                let expected = self.ledger.execute(self.clock.now(), &transaction, &mut self.changes);
                (transaction, expected)
            })
            .collect();
        let sent = asked.iter().map(|(transaction, _)| self.store.execute(transaction.clone(), Urgency::Settle));
        for ((transaction, expected), found) in asked.iter().zip(futures_util::future::join_all(sent).await) {
            assert_eq!(found.unwrap(), *expected, "after {number} operations: {transaction:#?}");
        }
        count
    }

    fn pass_time(&mut self) {
        let step = match self.random.u32(..20) {
            0 => SignedDuration::from_mins(self.random.i64(1..90)),
            1 => -SignedDuration::from_secs(self.random.i64(1..600)),
            2..8 => SignedDuration::from_millis(self.random.i64(0..20_000)),
            _ => SignedDuration::ZERO,
        };
        self.clock.advance(step);
    }

    fn transaction(&mut self, number: usize) -> Transaction {
        let subject = subject(self.pick(&SUBJECTS));
        let id = ReservationId::new(&format!("r{}", self.random.usize(..IDS))).unwrap();
        let document = self.ledger.document(&subject);
        let version = document.as_ref().map_or(0, |document| document.version);
        let now = self.clock.now();
        let row = self.ledger.reservation(&subject, &id, now, &mut self.changes);
        let writes = self.random.u32(..8) == 0;
        let written = writes.then(|| Arc::new(Document::new(subject.clone(), fingerprint(9), now, TimeZone::UTC)));
        let step = (!writes || self.random.bool()).then(|| self.reservation_step(number, id, row.as_deref()));
        let corrects = step.is_none() && self.random.bool();
        Transaction {
            subject: subject.clone(),
            correction: corrects.then(|| self.correction()),
            judged_by: match self.random.u32(..10) {
                0 => Some(version + 1),
                1..4 => None,
                _ => Some(version),
            },
            valid: match self.random.u32(..10) {
                0 => Some((now - SignedDuration::from_secs(9), now)),
                1..4 => None,
                _ => Some((now - SignedDuration::from_secs(9), now + SignedDuration::from_secs(3600))),
            },
            dry_run: self.random.u32(..12) == 0,
            step,
            document: written,
        }
    }

    fn reservation_step(&mut self, number: usize, id: ReservationId, row: Option<&Row>) -> Step {
        let print = fingerprint(u8::try_from(number % 7).unwrap());
        let expected = match row {
            Some(_) if self.random.u32(..6) == 0 => Expected::Absent,
            Some(row) if self.random.u32(..8) == 0 => Expected::Version(row.version + 1),
            Some(row) => Expected::Version(row.version),
            None if self.random.u32(..10) == 0 => Expected::Version(1),
            None => Expected::Absent,
        };
        if let Some(row) = row.filter(|row| row.state == State::Committed)
            && self.random.bool()
        {
            return self.refund(row, print, expected);
        }
        let held = row.is_some_and(|row| row.state == State::Held);
        let (state, event, into) = match self.random.u32(..12) {
            10.. => (State::Held, EventKind::Retried, Side::Reserved),
            0..4 => (State::Held, EventKind::Reserved, Side::Reserved),
            4..7 => (State::Committed, EventKind::Committed, Side::Committed),
            7 => (State::Committed, EventKind::Recorded, Side::Committed),
            8 => (State::Released, EventKind::Released, Side::Committed),
            _ => (State::Held, EventKind::Extended, Side::Reserved),
        };
        let movement = if event == EventKind::Extended && held { Movement::Keep } else { Movement::Move { take: self.take(row), into } };
        let ttl = (state == State::Held).then(|| SignedDuration::from_secs(self.random.i64(1..900)));
        let detail = self.detail(&id, row, state, event);
        Step { id, fingerprint: print, expected, movement, next: Next { state, ttl, detail, event } }
    }

    /// Some of what the legs used and more, and of accounts that the row never saw.
    fn refund(&mut self, row: &Row, print: Fingerprint, expected: Expected) -> Step {
        let others = ["a", "b"].map(|name| AccountKey::grant(&GrantId::new(name).unwrap()));
        let named: Vec<_> = row.legs.iter().map(|leg| leg.account.clone()).chain(others).filter(|_| self.random.bool()).collect();
        let shares = named.iter().map(|account| Share { account: account.clone(), amount: micros(self.random.i64(0..20)) }).collect();
        let watched = (0..self.random.usize(..3)).filter_map(|_| named.first().cloned()).collect();
        let mut detail = (*self.detail(&row.id, Some(row), row.state, EventKind::Refunded)).clone();
        detail.refunds.push(Refund {
            request: RequestId::new("refund").unwrap(),
            fingerprint: print,
            units: micros(self.random.i64(1..50)),
            overage: micros(0),
            time: self.clock.now(),
            note: "why".into(),
        });
        let movement = Movement::Refund(Refunding { shares, watched });
        let next = Next { state: row.state, ttl: None, detail: Arc::new(detail), event: EventKind::Refunded };
        Step { id: row.id.clone(), fingerprint: print, expected, movement, next }
    }

    fn correction(&mut self) -> Correction {
        if self.random.bool() {
            return Correction::Raise(self.take(None));
        }
        let account = match self.random.u32(..4) {
            0 => overage(),
            1 => self.cap().account,
            _ => AccountKey::grant(&GrantId::new(self.pick(&["a", "b"])).unwrap()),
        };
        Correction::Lower(Share { account, amount: micros(self.random.i64(0..20)) })
    }

    fn take(&mut self, row: Option<&Row>) -> Take {
        let grants = ["a", "b", "c", "d"].map(|name| AccountKey::grant(&GrantId::new(name).unwrap()));
        let mut sources = Vec::new();
        if let Some(row) = row.filter(|_| self.random.bool()) {
            let own = row.legs.iter().filter(|leg| leg.account.kind().pays() && !leg.held.is_zero());
            sources.extend(own.map(|leg| Source { at_most: Some(leg.held), ..Source::limited(leg.account.clone(), None) }));
        }
        for _ in 0..self.random.usize(..4) {
            let account = self.pick(&grants);
            let limit = (self.random.u32(..8) > 0).then(|| micros(self.random.i64(0..60)));
            let at_most = (self.random.u32(..5) == 0).then(|| micros(self.random.i64(0..20)));
            let carry = (self.random.u32(..5) == 0).then(|| Carry {
                account: self.pick(&grants),
                limit: micros(self.random.i64(0..40)),
                cap: micros(self.random.i64(0..20)),
            });
            sources.push(Source { account, limit, at_most, carry });
        }
        let caps = (0..self.random.usize(..4)).map(|_| self.cap()).collect();
        let units = match self.random.u32(..60) {
            0 => 1_000_000_000_000_000,
            1 => 999_999_999_999_000,
            _ => self.random.i64(0..30),
        };
        Take { units: micros(units), sources, whole: self.random.u32(..5) == 0, overage: self.random.bool().then(overage), caps }
    }

    fn cap(&mut self) -> CapLeg {
        let kind = if self.random.bool() { AccountKind::FlowCap } else { AccountKind::LevelCap };
        let windowed = self.random.bool();
        let hour = self.clock.now().as_second().div_euclid(1800) * 1800;
        let window = windowed.then(|| Timestamp::from_second(hour).unwrap());
        let name = CapId::new(self.pick(&["hourly", "spend"])).unwrap();
        let value = self.pick(&["x|y", "z z"]);
        CapLeg {
            account: AccountKey::cap(kind, &name, window, [value].into_iter()),
            amount: micros(self.random.i64(0..4)),
            limit: (self.random.u32(..4) > 0).then(|| micros(self.random.i64(0..30))),
            enforced: self.random.bool(),
            booked: self.random.u32(..4) == 0,
            lapses: window.map(|window| window + SignedDuration::from_secs(1800 + 600 * self.random.i64(0..2))),
        }
    }

    fn detail(&mut self, id: &ReservationId, row: Option<&Row>, state: State, event: EventKind) -> Arc<Detail> {
        let mut detail = (*detail(start())).clone();
        // That of the reservation itself, that of another one, or one that has no reservation's id.
        let generation = match self.random.u32(..4) {
            0 => format!("r{}", self.random.usize(..IDS)),
            1 => format!("g{}", self.random.u32(..5)),
            _ => id.to_string(),
        };
        // A reservation stays with its generation.
        detail.generation = row.map_or_else(|| GenerationId::new(&generation).unwrap(), |row| row.detail.generation.clone());
        let target = |name| Target { provider: ProviderId::new("acme").unwrap(), model: ModelId::new(name).unwrap() };
        detail.planned_target = Some(target("fast"));
        let attempt = &mut detail.attempts[0];
        attempt.target = Some(target(if self.random.bool() { "fast" } else { "fine" }));
        attempt.tier = self.random.bool().then(|| TierId::new("premium").unwrap());
        attempt.planned_cost = self.random.bool().then(|| micros(self.random.i64(0..50)));
        attempt.cost = micros(self.random.i64(0..50));
        if state != State::Held {
            attempt.outcome = Some(if state == State::Committed { Outcome::Accepted } else { Outcome::Failed });
            attempt.units = micros(self.random.i64(0..50));
            attempt.delivered = (state == State::Committed).then(|| detail.work.clone());
        }
        detail.user = self.random.bool().then(|| UserId::new("ann").unwrap());
        // Where there are two, a retry has closed the first.
        if event == EventKind::Retried || self.random.u32(..4) == 0 {
            let mut closed = detail.attempts[0].clone();
            closed.outcome = Some(Outcome::Rejected);
            closed.target = Some(target(if self.random.bool() { "fast" } else { "fine" }));
            detail.attempts.insert(0, closed);
            detail.attempts[1].number = 2;
        }
        Arc::new(detail)
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())].clone()
    }

    /// Everything both have come to.
    async fn compare_all(&mut self) {
        while self.ledger.sweep(self.clock.now(), &mut self.changes) {}
        self.store.sweep().await.unwrap();
        for (subject, accounts, rows) in self.ledger.contents() {
            let keys: Vec<_> = accounts.keys().cloned().collect();
            let expected: Vec<_> = keys.iter().map(|key| accounts[key]).collect();
            assert_eq!(self.store.accounts(subject, keys).await.unwrap(), expected, "{subject}");
            for (id, row) in rows {
                assert_eq!(self.store.reservation(subject, id, Urgency::Read).await.unwrap().as_ref(), Some(row));
            }
            assert_eq!(self.store.document(subject).await.unwrap(), self.ledger.document(subject));
            self.compare_fields(subject, accounts.len() + rows.len());
        }
        self.compare_histories().await;
        self.compare_events();
        self.compare_sums().await;
    }

    /// Both tell the same reservations in the same order, and the index holds nothing else.
    async fn compare_histories(&mut self) {
        for name in SUBJECTS {
            let subject = subject(name);
            let expected = self.ledger.history(&subject, &HistoryPlace::END, usize::MAX, self.clock.now(), &mut self.changes);
            let found = self.store.history(&subject, &HistoryPlace::END, 1000).await.unwrap();
            assert_eq!(found, expected, "{subject}");
            let mut others = BTreeMap::<String, (i64, usize)>::new();
            for row in expected.iter().filter(|row| row.id.as_str() != row.detail.generation.as_str()) {
                others.entry(format!("g:{}", row.detail.generation)).or_insert((row.began.as_microsecond(), 0)).1 += 1;
            }
            assert_eq!(self.lines(&["ZRANGE", &format!("{{gqtwin:0}}h:{subject}"), "0", "-1"]).len(), expected.len());
            let names = self.lines(&["HKEYS", &format!("{{gqtwin:0}}s:{subject}")]);
            assert_eq!(names.iter().filter(|name| name.starts_with("g:")).count(), others.len(), "{subject}: {names:?}");
            for (field, (began, count)) in others {
                let stored = self.server.command(&["HGET", &format!("{{gqtwin:0}}s:{subject}"), &field]);
                assert_eq!(stored, format!("{began} {count}"), "{subject} {field}");
            }
        }
    }

    /// Nothing is kept that the ledger has not.
    fn compare_fields(&self, subject: &SubjectId, expected: usize) {
        let names = self.lines(&["HKEYS", &format!("{{gqtwin:0}}s:{subject}")]);
        let own = names.iter().filter(|name| name.starts_with("a:") || name.starts_with("r:")).count();
        assert_eq!(own, expected, "{subject}: {names:?}");
        let held = self.ledger.contents().flat_map(|(_, _, rows)| rows.values()).filter(|row| row.state == State::Held).count();
        assert_eq!(self.lines(&["ZRANGE", "{gqtwin:0}due", "0", "-1"]).len(), held);
    }

    /// One event for each change, in order, under the ledger's own number and time (I11, I12).
    fn compare_events(&self) {
        let events = self.server.ask(&["XRANGE", "{gqtwin:0}events", "-", "+"]).unwrap();
        let found: Vec<(String, String, String)> = shared::entries(&events)
            .into_iter()
            .map(|(id, fields)| (id, fields["t"].clone(), fields["e"].lines().next().unwrap().to_owned()))
            .collect();
        let expected: Vec<_> = self
            .changes
            .events
            .iter()
            .map(|event| {
                let kind = match event.kind {
                    EventKind::Reserved => 'r',
                    EventKind::Retried => 't',
                    EventKind::Extended => 'x',
                    EventKind::Committed => 'c',
                    EventKind::Released => 'l',
                    EventKind::Expired => 'e',
                    EventKind::Recorded => 'u',
                    EventKind::Refunded => 'b',
                    EventKind::SubjectChanged => 's',
                };
                let id = event.row.as_ref().map_or("-", |row| row.id.as_str());
                (format!("1-{}", event.sequence), event.time.as_microsecond().to_string(), format!("{kind} {} {id}", event.subject))
            })
            .collect();
        assert_eq!(found.len(), expected.len());
        for ((id, time, head), expected) in found.iter().zip(&expected) {
            let (head, _document) = head.rsplit_once(' ').unwrap();
            assert_eq!((id, time, head), (&expected.0, &expected.1, &*expected.2));
        }
    }

    /// The sums of each hour, of everybody and of each subject, are those of the events; and the index names who has some.
    async fn compare_sums(&self) {
        let mut expected = BTreeMap::<(i64, String), Tally>::new();
        for sum in self.changes.events.iter().flat_map(CostSum::of) {
            let known = expected.entry((sum.hour, sum.key.to_string())).or_default();
            *known = known.checked_add(sum.tally).unwrap();
        }
        let hours = expected.keys().map(|(hour, _)| *hour);
        let hours = hours.clone().min().unwrap()..hours.max().unwrap() + 1;
        let mut found = BTreeMap::<(i64, String), Tally>::new();
        for of in [CostsOf::Everybody, CostsOf::EachSubject] {
            for sum in self.store.costs(hours.clone(), of).await.unwrap() {
                let known = found.entry((sum.hour, sum.key.to_string())).or_default();
                *known = known.checked_add(sum.tally).unwrap();
            }
        }
        assert_eq!(found, expected);
    }

    fn lines(&self, command: &[&str]) -> Vec<String> {
        shared::texts(&self.server.ask(command).unwrap())
    }
}

async fn run(kind: Kind) {
    let seed = std::env::var("GENQUOTA_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut twins = Twins::new(kind, seed).await;
    let mut answers = BTreeMap::<&str, usize>::new();
    let mut number = 0;
    while number < OPERATIONS {
        number += twins.step(number).await;
    }
    for event in &twins.changes.events {
        if event.row.as_ref().is_some_and(|row| row.began < row.create_time) {
            *answers.entry("of a generation that had begun").or_default() += 1;
        }
        let name = match event.kind {
            EventKind::Expired => "expired",
            EventKind::Refunded => "refunded",
            _ => "done",
        };
        *answers.entry(name).or_default() += 1;
    }
    twins.compare_all().await;
    // A run that hardly changes anything would prove nothing.
    assert!(answers["done"] > OPERATIONS / 8 && answers["expired"] > 50 && answers["refunded"] > 50, "{answers:?}");
    assert!(answers["of a generation that had begun"] > 50, "{answers:?}");
}

#[tokio::test]
async fn the_script_does_what_the_ledger_does_on_redis_7() {
    run(Kind::Redis7).await;
}

#[tokio::test]
async fn the_script_does_what_the_ledger_does_on_redis_8() {
    run(Kind::Redis8).await;
}

#[tokio::test]
async fn the_script_does_what_the_ledger_does_on_valkey() {
    run(Kind::Valkey).await;
}

/// Nobody sweeps: what is due of the subject itself is given back before each decision.
#[tokio::test]
async fn a_subject_that_is_asked_about_needs_no_sweeper() {
    let seed = std::env::var("GENQUOTA_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut twins = Twins::new(Kind::Redis7, seed).await;
    let (mut expired, accounts) = (0, ["a", "b"].map(|name| AccountKey::grant(&GrantId::new(name).unwrap())));
    for number in 0..1000 {
        twins.clock.advance(SignedDuration::from_secs(twins.random.i64(0..60)));
        while twins.ledger.sweep(twins.clock.now(), &mut twins.changes) {}
        let take = Take {
            units: micros(twins.random.i64(1..9)),
            sources: accounts.iter().map(|account| Source::limited(account.clone(), Some(micros(20)))).collect(),
            ..Take::default()
        };
        let mut hold = crate::fixtures::reserve("one", &format!("r{number}"), take);
        hold.step.as_mut().unwrap().next.ttl = Some(SignedDuration::from_secs(twins.random.i64(1..300)));
        let expected = twins.ledger.execute(twins.clock.now(), &hold, &mut twins.changes);
        let found = twins.store.execute(hold, Urgency::Reserve).await.unwrap();
        expired += usize::from(matches!(expected, Answer::Done(_)));
        assert_eq!(found, expected, "{number}");
        let kept = twins.store.accounts(&subject("one"), accounts.to_vec()).await.unwrap();
        assert_eq!(kept, twins.ledger.accounts(&subject("one"), &accounts));
    }
    assert!(expired > 100, "{expired}");
}

/// An idle partition whose events have all been outdated is no partition that lost them.
#[tokio::test]
async fn a_connection_after_all_events_are_outdated_leads_to_the_same_ledger() {
    let server = shared::server(Kind::Redis7);
    let clock = Arc::new(ManualClock::at(start()));
    let options = Options {
        partitions: 1,
        retention: RETENTION,
        event_retention: RETENTION,
        sweep_interval: Duration::from_secs(3600),
        time: Time::Given(clock.clone()),
        ..Options::new("twin")
    };
    let store = RedisStore::open(shared::link(&server.url()).await, options).await.unwrap();
    store.execute(crate::fixtures::reserve("s", "r", crate::fixtures::take(4, 10)), Urgency::Reserve).await.unwrap();
    store.execute(crate::fixtures::release("s", "r", 1), Urgency::Settle).await.unwrap();
    clock.advance(RETENTION * 3);
    store.sweep().await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(server.command(&["XLEN", "{gqtwin:0}events"]), "0");
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let again = crate::fixtures::reserve("s", "again", crate::fixtures::take(4, 10));
    assert!(matches!(store.execute(again, Urgency::Reserve).await.unwrap(), Answer::Done(_)));
}
