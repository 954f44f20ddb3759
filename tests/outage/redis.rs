//! The same on a real Redis: killed, or stopped for seconds, under the load of two sidecars.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use genquota::clock::SystemClock;
use genquota::domain::ids::ReservationId;
use genquota::domain::ledger::State;
use genquota::service::{OutageRules, Service, ServiceError};
use genquota::store::journal::Journal;
use genquota::store::redis::{Link, LinkOptions, Options, RedisStore};
use genquota::store::{Store, StoreError};
use tokio_util::task::AbortOnDropHandle;

use crate::bench::{AT_ONCE, commit, customer, eventually, images, plain, subject, units};
use crate::lab::{Aof, Kind, Server, Settings};
use crate::shaky::RETENTION;

const CALLERS: usize = 16;
const SUBJECTS: [&str; 4] = ["a", "b", "c", "d"];
const PATIENCE: Duration = Duration::from_millis(1500);

struct Sidecar {
    service: Arc<Service>,
    journal: Arc<Journal>,
    _replayer: AbortOnDropHandle<()>,
    _directory: tempfile::TempDir,
}

impl Sidecar {
    async fn start(url: &str) -> Self {
        let reach = LinkOptions { command_timeout: Duration::from_millis(300), ..LinkOptions::default() };
        let link = Link::open(url.parse().unwrap(), reach).await.unwrap();
        let options = Options { partitions: 4, retention: RETENTION, event_retention: RETENTION, ..Options::new("outage") };
        let store: Arc<dyn Store> = Arc::new(RedisStore::open(link, options).await.unwrap());
        let directory = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(directory.path(), 10_000).unwrap());
        let rules = OutageRules { patience: PATIENCE, retention: RETENTION };
        let service = Arc::new(plain(store, Arc::new(SystemClock)).await.journalled(journal.clone(), rules));
        let replayer = AbortOnDropHandle::new(tokio::spawn(service.clone().replay(AT_ONCE)));
        Self { service, journal, _replayer: replayer, _directory: directory }
    }
}

/// What callers were told.
#[derive(Default)]
struct Told {
    /// Subject and units of each commit that was acknowledged, by id.
    committed: Mutex<BTreeMap<String, (&'static str, u32)>>,
    queued: Mutex<usize>,
    unenforced: Mutex<usize>,
    slowest: Mutex<Duration>,
}

/// Reserves and commits, again and again. A commit is acknowledged whatever the store does, and in time.
async fn call(service: Arc<Service>, name: String, told: Arc<Told>, stop: Arc<AtomicBool>) {
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let (subject, id) = (SUBJECTS[fastrand::usize(..SUBJECTS.len())], format!("{name}-{number}"));
        let count = fastrand::u32(1..=2);
        match service.reserve(images(subject, &id, count)).await {
            Ok(reserved) => {
                let row = reserved.outcome.unwrap().row;
                *told.unenforced.lock().unwrap() += usize::from(row.detail.unenforced);
            }
            Err(ServiceError::Store(StoreError::Unavailable { .. } | StoreError::Overloaded { .. })) => continue,
            Err(other) => panic!("{id}: {other}"),
        }
        let began = Instant::now();
        let settled = service.settle(commit(subject, &id, None)).await.unwrap_or_else(|error| panic!("{id}: {error}"));
        let mut slowest = told.slowest.lock().unwrap();
        *slowest = slowest.max(began.elapsed());
        *told.queued.lock().unwrap() += usize::from(settled.queued);
        told.committed.lock().unwrap().insert(id, (subject, count));
    }
}

/// Two sidecars and their callers; `fault` breaks the server and mends it when it is told to.
async fn survive(mut server: Server, fault: fn(&mut Server), mend: fn(&mut Server)) {
    let sidecars = [Sidecar::start(&server.url()).await, Sidecar::start(&server.url()).await];
    for name in SUBJECTS {
        customer(&sidecars[0].service, name, "wide").await;
        // The second has seen it too.
        sidecars[1].service.reserve(images(name, "seen", 1)).await.unwrap();
        sidecars[1].service.settle(commit(name, "seen", None)).await.unwrap();
    }
    let (told, stop) = (Arc::new(Told::default()), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let service = sidecars[number % 2].service.clone();
            tokio::spawn(call(service, format!("r{number}"), told.clone(), stop.clone()))
        })
        .collect();
    let commits = || told.committed.lock().unwrap().len();
    eventually("some commits", || commits() > 200).await;
    fault(&mut server);
    eventually("some commits are queued", || *told.queued.lock().unwrap() >= 20).await;
    let passed = *told.unenforced.lock().unwrap();
    mend(&mut server);
    let before = commits();
    eventually("commits go on", || commits() > before + 200).await;
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    for sidecar in &sidecars {
        eventually("the journal is drained", || sidecar.journal.is_drained()).await;
        assert!(sidecar.journal.dead().is_empty(), "{:?}", sidecar.journal.dead());
    }
    let (queued, slowest) = (*told.queued.lock().unwrap(), *told.slowest.lock().unwrap());
    println!("{} commits, {queued} queued, {passed} let pass, the slowest commit took {slowest:?}", commits());
    assert!(passed > 0, "the open plan let something pass");
    assert!(slowest < PATIENCE * 5, "{slowest:?}");

    let mut charged: BTreeMap<&str, i64> = SUBJECTS.iter().map(|name| (*name, units(1))).collect();
    let committed = told.committed.lock().unwrap().clone();
    for (id, (name, count)) in committed {
        let found = sidecars[0].service.reservation(subject(name), &ReservationId::new(&id).unwrap()).await.unwrap();
        assert_eq!((found.row.state, found.row.units_used().get()), (State::Committed, units(count.into())), "{id}");
        *charged.entry(name).or_default() += units(count.into());
    }
    for name in SUBJECTS {
        let balances = sidecars[0].service.subject_balance(&subject(name), None).await.unwrap().balances;
        assert_eq!(balances[0].committed.get() + balances[0].overage.get(), charged[name], "{name} was charged what was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_is_lost_or_doubled_when_redis_is_killed_and_comes_back() {
    let server = Server::start(Kind::Redis7, Settings::default().aof(Aof::Always));
    survive(server, Server::kill, Server::restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_is_lost_or_doubled_when_redis_stops_for_seconds_and_goes_on() {
    let server = Server::start(Kind::Redis7, Settings::default());
    survive(server, |server| server.pause(), |server| server.resume()).await;
}
