//! Clients at work on several sidecars: they reserve, commit and release, repeat what was not answered under the same id, and remember what
//! they sent, when, and what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use genquota::domain::ids::CapId;
use genquota::domain::ledger::{AccountKey, AccountKind, Answer, CapLeg, Row, State, Take, Transaction};
use genquota::store::redis::RedisStore;
use genquota::store::{Store, StoreError, Urgency};
use jiff::SignedDuration;
use tokio::task::JoinSet;

use crate::books::Books;
use crate::fixtures::{self, micros};
use crate::sidecars::until;

/// Between two deliveries of one call: a client that hurries helps nobody.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a client goes on about a call that nobody answers once the test is over.
const GIVE_UP_AFTER: Duration = Duration::from_secs(20);

/// What the clients do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    pub(crate) subjects: usize,
    /// Of each subject's allowance.
    pub(crate) limit: i64,
    /// Units held by a subject at one time.
    pub(crate) in_flight: i64,
    /// Of each hold. Some are never settled.
    pub(crate) ttl: SignedDuration,
    pub(crate) seed: u64,
}

impl Plan {
    /// Much contention for what may be held at a time, and enough to go on with for as long as the test lasts.
    pub(crate) fn new(seed: u64) -> Self {
        Self { clients: 16, subjects: 4, limit: 1_000_000_000, in_flight: 16, ttl: SignedDuration::from_mins(15), seed }
    }

    /// What an account may come to, for [`Books::audit`].
    pub(crate) fn limit_of(&self) -> impl Fn(&str) -> Option<i64> {
        let (in_flight, allowance) = (level(0, 0).account, fixtures::allowance());
        let limits = [(in_flight, self.in_flight), (allowance, self.limit)];
        move |account| limits.iter().find(|(key, _)| key.as_str() == account).map(|(_, limit)| *limit)
    }
}

/// What a subject may hold at a time.
fn level(amount: i64, limit: i64) -> CapLeg {
    let account = AccountKey::cap(AccountKind::LevelCap, &CapId::new("in-flight").unwrap(), None, std::iter::empty());
    CapLeg { account, amount: micros(amount), limit: Some(micros(limit)), enforced: true, booked: false, lapses: None }
}

/// One call with all its deliveries.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Through which sidecar.
    pub(crate) store: usize,
    pub(crate) transaction: Transaction,
    pub(crate) sent: Instant,
    /// `None`: nobody knows what became of it.
    pub(crate) answered: Option<(Instant, Answer)>,
    pub(crate) errors: Vec<StoreError>,
    /// The longest that one delivery took to be answered or given up.
    pub(crate) slowest: Duration,
}

impl Call {
    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.answered.as_ref().map(|(_, answer)| answer)
    }

    pub(crate) fn id(&self) -> &str {
        self.transaction.step.as_ref().unwrap().id.as_str()
    }

    /// The state that it asks for.
    pub(crate) fn state(&self) -> State {
        self.transaction.step.as_ref().unwrap().next.state
    }

    /// The row, if the answer says that what was asked has been done, now or by an earlier delivery.
    pub(crate) fn accepted(&self) -> Option<Arc<Row>> {
        let fingerprint = self.transaction.step.as_ref().unwrap().fingerprint;
        match self.answer()? {
            Answer::Done(done) => done.row.clone(),
            Answer::Replayed(row) => Some(row.clone()),
            Answer::StaleReservation(Some(row)) => Some(row.clone()).filter(|row| row.settled_by == Some(fingerprint)),
            _ => None,
        }
    }

    pub(crate) fn was_lost(&self) -> bool {
        self.errors.iter().any(|error| matches!(error, StoreError::DataLost { .. }))
    }
}

/// How far the clients of a test are. Clones are of the same test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// Nothing new is to be begun.
    over: Arc<AtomicBool>,
    /// Deliveries, answered or not.
    delivered: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

/// Delivers a call until it is answered, until its data are lost, or until `over` and some time more.
pub(crate) async fn deliver(
    stores: &[Arc<RedisStore>],
    at: usize,
    transaction: Transaction,
    urgency: Urgency,
    progress: &Progress,
) -> Call {
    let mut call = Call { store: at, transaction, sent: Instant::now(), answered: None, errors: Vec::new(), slowest: Duration::ZERO };
    let mut over_since = None;
    loop {
        let began = Instant::now();
        let result = stores[at].execute(call.transaction.clone(), urgency).await;
        call.slowest = call.slowest.max(began.elapsed());
        progress.delivered.fetch_add(1, Ordering::SeqCst);
        match result {
            Ok(answer) => {
                progress.answered.fetch_add(1, Ordering::SeqCst);
                call.answered = Some((Instant::now(), answer));
                return call;
            }
            Err(error) => call.errors.push(error),
        }
        if progress.over.load(Ordering::SeqCst) {
            over_since.get_or_insert_with(Instant::now);
        }
        if call.was_lost() || over_since.is_some_and(|since| since.elapsed() > GIVE_UP_AFTER) {
            return call;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Clients at work.
pub(crate) struct Load {
    tasks: JoinSet<Vec<Call>>,
    progress: Progress,
}

impl Load {
    pub(crate) fn start(stores: &[Arc<RedisStore>], plan: &Plan) -> Self {
        let mut tasks = JoinSet::new();
        let progress = Progress::default();
        for number in 0..plan.clients {
            let client = Client {
                number,
                stores: stores.to_vec(),
                random: Rng::with_seed(plan.seed.wrapping_add(number as u64)),
                plan: plan.clone(),
                calls: Vec::new(),
                progress: progress.clone(),
            };
            tasks.spawn(client.work());
        }
        Self { tasks, progress }
    }

    /// Waits for so many answers more, or until every client has stopped, because the data are lost.
    pub(crate) async fn answered(&self, more: usize) {
        self.wait("answers", &self.progress.answered, more).await;
    }

    /// Waits for so many deliveries more, also of what is refused all the time.
    pub(crate) async fn delivered(&self, more: usize) {
        self.wait("deliveries", &self.progress.delivered, more).await;
    }

    async fn wait(&self, what: &str, count: &AtomicUsize, more: usize) {
        let target = count.load(Ordering::SeqCst) + more;
        let have_stopped = || Arc::strong_count(&self.progress.over) == 1;
        until(what, async || (count.load(Ordering::SeqCst) >= target || have_stopped()).then_some(())).await;
    }

    /// Waits until all calls have ended, after the one that each client is at.
    pub(crate) async fn end(mut self) -> Vec<Call> {
        self.progress.over.store(true, Ordering::SeqCst);
        let mut calls = Vec::new();
        while let Some(done) = self.tasks.join_next().await {
            calls.extend(done.unwrap());
        }
        calls
    }

    /// Waits until every client has stopped by itself, because the data are lost.
    pub(crate) async fn stopped(mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        while let Some(done) = tokio::time::timeout(crate::lab::PATIENCE, self.tasks.join_next()).await.expect("clients go on") {
            calls.extend(done.unwrap());
        }
        calls
    }
}

struct Client {
    number: usize,
    stores: Vec<Arc<RedisStore>>,
    random: Rng,
    plan: Plan,
    calls: Vec<Call>,
    progress: Progress,
}

impl Client {
    async fn work(mut self) -> Vec<Call> {
        for number in 0.. {
            if self.progress.over.load(Ordering::SeqCst) || !self.play(number).await {
                break;
            }
        }
        self.calls
    }

    /// A hold and what becomes of it. False: its data are lost.
    async fn play(&mut self, number: usize) -> bool {
        let subject = format!("s{}", self.random.usize(..self.plan.subjects));
        let id = format!("r{}-{number}", self.number);
        let units = self.random.i64(1..5);
        let take = Take { caps: vec![level(units, self.plan.in_flight)], ..fixtures::take(units, self.plan.limit) };
        let mut hold = fixtures::reserve(&subject, &id, take);
        hold.step.as_mut().unwrap().next.ttl = Some(self.plan.ttl);
        let Some(held) = self.call(hold, Urgency::Reserve).await else { return false };
        let Some(held) = held.accepted() else { return true };
        let ending = match self.random.u32(..20) {
            0 => return true,
            1..12 => fixtures::commit(&subject, &id, held.version, fixtures::take(self.random.i64(0..5), self.plan.limit)),
            _ => fixtures::release(&subject, &id, held.version),
        };
        self.call(ending, Urgency::Settle).await.is_some()
    }

    /// `None`: its data are lost.
    async fn call(&mut self, transaction: Transaction, urgency: Urgency) -> Option<Call> {
        let store = (self.number + self.calls.len()) % self.stores.len();
        let call = deliver(&self.stores, store, transaction, urgency, &self.progress).await;
        self.calls.push(call.clone());
        (!call.was_lost()).then_some(call)
    }
}

/// I6, I7, I8: every answer is borne out by the books, and nobody was told that a settlement is not what it is.
pub(crate) fn check_answers(books: &Books, calls: &[Call]) {
    for call in calls {
        let Some(told) = call.accepted() else { continue };
        let subject = call.transaction.subject.as_str();
        let row = books.row(subject, call.id()).unwrap_or_else(|| panic!("acknowledged and gone: {call:?}"));
        assert!(row.version >= told.version, "{row:?}: acknowledged and undone: {call:?}");
        match call.state() {
            State::Committed => assert_eq!((row.state, row.version), ('c', told.version), "{call:?}"),
            State::Released => assert_eq!((row.state, row.version), ('l', told.version), "{call:?}"),
            State::Held | State::Expired => {}
        }
    }
}

/// I7, and what is said where it cannot hold: what was acknowledged is in the books, or the sidecar that was told so knows of a loss. Tells
/// how many are lost.
pub(crate) async fn check_or_lost(books: &Books, calls: &[Call], stores: &[Arc<RedisStore>]) -> usize {
    let mut lost = 0;
    for call in calls {
        let Some(told) = call.accepted() else { continue };
        let row = books.row(call.transaction.subject.as_str(), call.id());
        if row.is_some_and(|row| row.version >= told.version) {
            continue;
        }
        lost += 1;
        // A look at the link, and a verification, may still be to come.
        until("a loss to be told", async || {
            let asked = stores[call.store].document(&call.transaction.subject).await;
            matches!(asked, Err(StoreError::DataLost { .. })).then_some(())
        })
        .await;
    }
    lost
}

/// How many calls met an error before they were answered.
pub(crate) fn troubled(calls: &[Call]) -> usize {
    calls.iter().filter(|call| !call.errors.is_empty()).count()
}
