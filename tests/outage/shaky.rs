//! A store that is the ledger in memory, with weather of the test's making in front of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use genquota::clock::{Clock, ManualClock};
use genquota::domain::ids::{CatalogVersion, ReservationId, SubjectId};
use genquota::domain::ledger::{Account, AccountKey, Answer, Changes, Event, HistoryPlace, Ledger, Row, Transaction};
use genquota::domain::subject::Document;
use genquota::domain::summary::CostSum;
use genquota::store::{CostsOf, Feed, HourRange, Store, StoreError, Urgency};
use jiff::SignedDuration;

use crate::audit::{Contents, Spent, check_step};

pub const RETENTION: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Nothing is done.
    Away,
    /// Everything is done, and nobody hears of it.
    LosesReplies,
    /// Nothing is done, and no call comes back.
    Hangs,
    LostData,
    Overloaded,
    /// Of each hundred calls so many are not done, and of the others so many not heard of.
    Stormy {
        away: u8,
        lost: u8,
    },
}

pub struct Shaky {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

struct State {
    ledger: Ledger,
    contents: Contents,
    spent: Spent,
    events: Vec<Event>,
    catalogs: HashMap<CatalogVersion, Arc<str>>,
    weather: Weather,
    /// Away for these alone.
    away_for: BTreeSet<SubjectId>,
    /// Loses replies for this one alone.
    deaf_to: Option<SubjectId>,
    panics_for: Option<SubjectId>,
    random: fastrand::Rng,
    executed: usize,
    /// Held at the same time, and the most there ever were.
    running: usize,
    running_max: usize,
}

enum Fate {
    Done,
    NotDone(StoreError),
    NotHeard(StoreError),
    Never,
    Panic,
}

impl Shaky {
    pub fn new(clock: Arc<ManualClock>, seed: u64) -> Self {
        let state = State {
            ledger: Ledger::new(RETENTION),
            contents: Contents::default(),
            spent: Spent::default(),
            events: Vec::new(),
            catalogs: HashMap::new(),
            weather: Weather::Fair,
            away_for: BTreeSet::new(),
            deaf_to: None,
            panics_for: None,
            random: fastrand::Rng::with_seed(seed),
            executed: 0,
            running: 0,
            running_max: 0,
        };
        Self { clock, state: Mutex::new(state) }
    }

    pub fn set(&self, weather: Weather) {
        self.state.lock().unwrap().weather = weather;
    }

    /// Shuts the door on one subject alone.
    pub fn set_away_for(&self, subject: &SubjectId, away: bool) {
        let mut state = self.state.lock().unwrap();
        if away {
            state.away_for.insert(subject.clone());
        } else {
            state.away_for.remove(subject);
        }
    }

    /// What is changed for this subject, nobody hears of.
    pub fn set_deaf_to(&self, subject: Option<&SubjectId>) {
        self.state.lock().unwrap().deaf_to = subject.cloned();
    }

    /// Calls for this subject end in a panic.
    pub fn set_panics_for(&self, subject: Option<&SubjectId>) {
        self.state.lock().unwrap().panics_for = subject.cloned();
    }

    pub fn weather(&self) -> Weather {
        self.state.lock().unwrap().weather
    }

    /// Empties the ledger, as a restart without persistence does. Catalogs and all.
    pub fn lose_everything(&self) {
        let mut state = self.state.lock().unwrap();
        state.ledger = Ledger::new(RETENTION);
        (state.contents, state.spent, state.events) = (Contents::default(), Spent::default(), Vec::new());
        state.catalogs.clear();
    }

    /// Transactions that were asked for, done or not.
    pub fn executed(&self) -> usize {
        self.state.lock().unwrap().executed
    }

    pub fn running_max(&self) -> usize {
        self.state.lock().unwrap().running_max
    }

    /// Every change of a reservation, in the ledger's order.
    pub fn events(&self) -> Vec<Event> {
        self.state.lock().unwrap().events.clone()
    }

    pub fn row(&self, subject: &SubjectId, id: &str) -> Option<Arc<Row>> {
        let key = (subject.clone(), ReservationId::new(id).unwrap());
        self.state.lock().unwrap().contents.rows.get(&key).cloned()
    }

    pub fn contents(&self) -> Contents {
        self.state.lock().unwrap().contents.clone()
    }

    /// Units committed, and held, on all accounts of a subject that pay; and of these on its overage.
    pub fn paid(&self, subject: &SubjectId) -> (i64, i64, i64) {
        let contents = self.contents();
        let paying = contents.of_subject(subject).filter(|(key, _)| key.kind().pays());
        paying.fold((0, 0, 0), |(committed, held, overage), (key, account)| {
            let of_overage = if key.as_str().starts_with("ov|") { account.committed.get() } else { 0 };
            (committed + account.committed.get(), held + account.reserved.get(), overage + of_overage)
        })
    }

    /// Lets time do its work.
    pub fn sweep(&self) {
        let now = self.clock.now();
        self.state.lock().unwrap().step(|ledger, changes| while ledger.sweep(now, changes) {});
    }

    async fn answer<T>(&self, subject: Option<&SubjectId>, call: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let fate = {
            let mut state = self.state.lock().unwrap();
            state.running += 1;
            state.running_max = state.running_max.max(state.running);
            state.fate(subject)
        };
        // Others may come in between, as over a network.
        tokio::task::yield_now().await;
        let answered = match fate {
            Fate::Done => Ok(call(&mut self.state.lock().unwrap())),
            Fate::NotDone(error) => Err(error),
            Fate::NotHeard(error) => {
                call(&mut self.state.lock().unwrap());
                Err(error)
            }
            Fate::Never => std::future::pending().await,
            Fate::Panic => panic!("the test says so"),
        };
        tokio::task::yield_now().await;
        self.state.lock().unwrap().running -= 1;
        answered
    }
}

impl State {
    fn fate(&mut self, subject: Option<&SubjectId>) -> Fate {
        let away = || StoreError::Unavailable { reason: Arc::from("the test says so") };
        if subject.is_some() && subject == self.panics_for.as_ref() {
            return Fate::Panic;
        }
        if subject.is_some_and(|subject| self.away_for.contains(subject)) {
            return Fate::NotDone(away());
        }
        match self.weather {
            Weather::Fair => Fate::Done,
            Weather::Away => Fate::NotDone(away()),
            Weather::LosesReplies => Fate::NotHeard(away()),
            Weather::Hangs => Fate::Never,
            Weather::LostData => Fate::NotDone(StoreError::DataLost { reason: Arc::from("the test says so") }),
            Weather::Overloaded => Fate::NotDone(StoreError::Overloaded { retry_after: std::time::Duration::from_millis(1) }),
            Weather::Stormy { away: percent, .. } if self.random.u8(0..100) < percent => Fate::NotDone(away()),
            Weather::Stormy { lost: percent, .. } if self.random.u8(0..100) < percent => Fate::NotHeard(away()),
            Weather::Stormy { .. } => Fate::Done,
        }
    }

    /// Takes one step of the ledger, and checks every invariant of it.
    fn step<T>(&mut self, step: impl FnOnce(&mut Ledger, &mut Changes) -> T) -> T {
        let (before, position) = (self.contents.clone(), self.ledger.position());
        let mut changes = Changes::default();
        let answer = step(&mut self.ledger, &mut changes);
        self.contents.apply(&changes);
        self.spent.note(&before, &changes);
        check_step(&before, &changes, &self.contents, position, 0);
        self.spent.check(&self.contents);
        self.events.extend(changes.events);
        answer
    }
}

#[async_trait::async_trait]
impl Store for Shaky {
    async fn execute(&self, transaction: Transaction, _: Urgency) -> Result<Answer, StoreError> {
        let now = self.clock.now();
        self.state.lock().unwrap().executed += 1;
        let subject = transaction.subject.clone();
        let answer = self.answer(Some(&subject), |state| state.step(|ledger, changes| ledger.execute(now, &transaction, changes))).await;
        if self.state.lock().unwrap().deaf_to.as_ref() == Some(&subject) {
            return Err(StoreError::Unavailable { reason: Arc::from("the test says so") });
        }
        answer
    }

    async fn document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
        self.answer(Some(subject), |state| state.ledger.document(subject)).await
    }

    async fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Arc<Document>>, StoreError> {
        self.answer(None, |state| state.ledger.documents(after, limit)).await
    }

    async fn reservation(&self, subject: &SubjectId, id: &ReservationId, _: Urgency) -> Result<Option<Arc<Row>>, StoreError> {
        let now = self.clock.now();
        self.answer(Some(subject), |state| state.step(|ledger, changes| ledger.reservation(subject, id, now, changes))).await
    }

    async fn history(&self, subject: &SubjectId, before: &HistoryPlace, limit: usize) -> Result<Vec<Arc<Row>>, StoreError> {
        let now = self.clock.now();
        self.answer(Some(subject), |state| state.step(|ledger, changes| ledger.history(subject, before, limit, now, changes))).await
    }

    async fn accounts(&self, subject: &SubjectId, keys: Vec<AccountKey>) -> Result<Vec<Account>, StoreError> {
        self.answer(Some(subject), |state| state.ledger.accounts(subject, &keys)).await
    }

    async fn costs(&self, _: HourRange, _: CostsOf) -> Result<Vec<CostSum>, StoreError> {
        self.answer(None, |_| Vec::new()).await
    }

    async fn keep_catalog(&self, version: &CatalogVersion, text: Arc<str>) -> Result<(), StoreError> {
        self.answer(None, |state| {
            state.catalogs.entry(version.clone()).or_insert(text);
        })
        .await
    }

    async fn catalog(&self, version: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError> {
        self.answer(None, |state| state.catalogs.get(version).cloned()).await
    }

    fn feed(&self) -> Arc<dyn Feed> {
        panic!("nobody watches costs in bad weather of this kind")
    }

    async fn close(&self) {}
}
