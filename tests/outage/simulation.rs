//! Months of bad weather in a second: random calls, storms, restarts and administrators against two sidecars of one store, from a seed.
//!
//! At the end the store is back and the journals are empty. Then what was acknowledged is in the ledger, each thing once; nothing else is
//! charged; nothing is held for ever; and what administrators did is still there. `OUTAGE_SEED=N` plays one run again.

use std::collections::BTreeMap;

use fastrand::Rng;
use genquota::domain::ledger::{EventKind, State};
use genquota::domain::reservation::Outcome;
use genquota::domain::settlement::Billing;
use genquota::service::ServiceError;
use genquota::store::StoreError;
use jiff::SignedDuration;

use crate::bench::{AT_ONCE, Bench, commit, grant, images, release, subject, units, usage};
use crate::shaky::Weather;

const RUNS: u64 = 12;
const STEPS: usize = 160;
const SUBJECTS: [(&str, &str); 4] = [("a", "open"), ("b", "open"), ("c", "shut"), ("d", "roomy")];

/// What a caller has been told of one id.
#[derive(Debug, Clone)]
struct Told {
    subject: &'static str,
    sidecar: usize,
    held: u32,
    ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Committed(u32),
    Released,
    Recorded(u32),
}

struct Run {
    random: Rng,
    sidecars: Vec<Bench>,
    told: BTreeMap<String, Told>,
    grants: Vec<(&'static str, String)>,
    next: usize,
    queued: usize,
    unenforced: usize,
    restarts: usize,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let mut first = Bench::with(1000, seed).await;
        for (name, plan) in SUBJECTS {
            first.customer(name, plan).await;
        }
        let mut second = first.beside().await;
        for (name, _) in SUBJECTS {
            second.held(name, "seen", 1).await;
            second.release(name, "seen").await.unwrap();
        }
        first.start_replayer(AT_ONCE);
        second.start_replayer(AT_ONCE);
        Self {
            random: Rng::with_seed(seed),
            sidecars: vec![first, second],
            told: BTreeMap::new(),
            grants: Vec::new(),
            next: 0,
            queued: 0,
            unenforced: 0,
            restarts: 0,
        }
    }

    fn fresh(&mut self) -> (&'static str, usize, String) {
        self.next += 1;
        let (name, _) = SUBJECTS[self.random.usize(0..SUBJECTS.len())];
        (name, self.random.usize(0..self.sidecars.len()), format!("r{:04}", self.next))
    }

    fn known(&mut self, wanted: impl Fn(&Told) -> bool) -> Option<(String, Told)> {
        let known: Vec<_> = self.told.iter().filter(|(_, told)| wanted(told)).collect();
        (!known.is_empty()).then(|| known[self.random.usize(0..known.len())]).map(|(id, told)| (id.clone(), told.clone()))
    }

    async fn step(&mut self) {
        match self.random.u8(0..100) {
            0..30 => self.reserve().await,
            30..55 => self.settle().await,
            55..62 => self.record().await,
            62..70 => self.repeat().await,
            70..75 => self.contradict().await,
            75..80 => self.administrate().await,
            80..93 => self.change_weather(),
            93..97 => {
                let by = SignedDuration::from_secs(self.random.i64(1..300));
                self.sidecars[0].advance(by);
            }
            _ => self.restart().await,
        }
        // The replayers have a chance, or none.
        for _ in 0..self.random.usize(0..40) {
            tokio::task::yield_now().await;
        }
    }

    async fn reserve(&mut self) {
        let (name, sidecar, id) = self.fresh();
        let count = self.random.u32(1..=3);
        match self.sidecars[sidecar].reserve(images(name, &id, count)).await {
            Ok(reserved) => {
                if let Ok(reservation) = reserved.outcome {
                    self.unenforced += usize::from(reservation.row.detail.unenforced);
                    self.told.insert(id, Told { subject: name, sidecar, held: count, ending: None });
                }
            }
            Err(ServiceError::Store(StoreError::Unavailable { .. })) => {}
            Err(other) => panic!("a reserve failed: {other}"),
        }
    }

    async fn settle(&mut self) {
        let Some((id, told)) = self.known(|told| told.ending.is_none()) else { return };
        let count = self.random.u32(0..=told.held + 1);
        let commits = self.random.bool();
        let command = if commits && count > 0 {
            commit(told.subject, &id, Some(count))
        } else {
            release(told.subject, &id, Outcome::Failed, Billing::default())
        };
        let ending = if commits && count > 0 { Ending::Committed(count) } else { Ending::Released };
        match self.sidecars[told.sidecar].service.settle(command).await {
            Ok(settled) => {
                self.queued += usize::from(settled.queued);
                self.told.get_mut(&id).unwrap().ending = Some(ending);
            }
            // It expired before, and its units are back.
            Err(ServiceError::ReservationSettled(State::Expired)) if ending == Ending::Released => drop(self.told.remove(&id)),
            Err(other) => panic!("a settlement of {id} failed: {other}"),
        }
    }

    async fn record(&mut self) {
        let (name, sidecar, id) = self.fresh();
        let count = self.random.u32(1..=3);
        let settled = self.sidecars[sidecar].service.record_usage(usage(name, &id, count)).await.unwrap();
        self.queued += usize::from(settled.queued);
        self.told.insert(id, Told { subject: name, sidecar, held: 0, ending: Some(Ending::Recorded(count)) });
    }

    /// The same command again: the same answer, and no change.
    async fn repeat(&mut self) {
        let Some((id, told)) = self.known(|told| told.ending.is_some()) else { return };
        let service = &self.sidecars[told.sidecar].service;
        let settled = match told.ending.unwrap() {
            Ending::Committed(count) => service.settle(commit(told.subject, &id, Some(count))).await,
            Ending::Released => service.settle(release(told.subject, &id, Outcome::Failed, Billing::default())).await,
            Ending::Recorded(count) => service.record_usage(usage(told.subject, &id, count)).await,
        };
        match settled {
            Ok(settled) => assert!(settled.replayed || settled.queued, "{id}: {settled:?}"),
            // The release was queued, and by the time it was replayed the hold had expired: its units were back already.
            Err(ServiceError::ReservationSettled(State::Expired)) if told.ending == Some(Ending::Released) => {}
            Err(other) => panic!("a repeat of {id} failed: {other}"),
        }
    }

    /// Another command for an id that has ended: refused, or queued where nobody can know that it has.
    async fn contradict(&mut self) {
        let Some((id, told)) = self.known(|told| matches!(told.ending, Some(Ending::Committed(_)))) else { return };
        if self.sidecars[told.sidecar].store.weather() != Weather::Fair || self.sidecars[told.sidecar].journal.has(&subject(told.subject)) {
            return;
        }
        let answered = self.sidecars[told.sidecar].service.settle(commit(told.subject, &id, Some(77))).await;
        assert!(matches!(answered, Err(ServiceError::ReservationSettled(State::Committed))), "{id}: {answered:?}");
    }

    /// From a sidecar that can reach the store when this one cannot.
    async fn administrate(&mut self) {
        let (name, sidecar, id) = self.fresh();
        let store = self.sidecars[0].store.clone();
        let weather = store.weather();
        store.set(Weather::Fair);
        let gift = format!("gift-{id}");
        self.sidecars[sidecar].administrate(&subject(name), grant(&gift, 1)).await;
        self.grants.push((name, gift));
        store.set(weather);
    }

    fn change_weather(&mut self) {
        let weather = match self.random.u8(0..6) {
            0 => Weather::Fair,
            1 | 2 => Weather::Away,
            3 => Weather::LosesReplies,
            _ => Weather::Stormy { away: self.random.u8(0..60), lost: self.random.u8(0..60) },
        };
        self.sidecars[0].store.set(weather);
    }

    async fn restart(&mut self) {
        let at = self.random.usize(0..self.sidecars.len());
        let bench = self.sidecars.remove(at);
        let store = bench.store.clone();
        let weather = store.weather();
        store.set(Weather::Fair);
        let mut bench = bench.restarted().await;
        store.set(weather);
        bench.start_replayer(AT_ONCE);
        self.sidecars.insert(at, bench);
        self.restarts += 1;
    }

    /// The store is back for good.
    async fn calm(&mut self) {
        self.sidecars[0].store.set(Weather::Fair);
        for sidecar in &mut self.sidecars {
            sidecar.replay().await;
            assert!(sidecar.journal.dead().is_empty(), "{:?}", sidecar.journal.dead());
        }
        self.sidecars[0].advance(SignedDuration::from_hours(3));
    }

    fn check(&self) {
        let store = &self.sidecars[0].store;
        let mut charged: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, told) in &self.told {
            let row = store.row(&subject(told.subject), id).unwrap_or_else(|| panic!("{id} was granted or recorded: {told:?}"));
            match told.ending {
                None => assert_eq!(row.state, State::Expired, "{id}: nobody settled it"),
                Some(Ending::Released) => assert!(matches!(row.state, State::Released | State::Expired), "{id}: {row:?}"),
                Some(Ending::Committed(count) | Ending::Recorded(count)) => {
                    assert_eq!((row.state, row.units_used().get()), (State::Committed, units(count.into())), "{id}: {told:?}");
                    *charged.entry(told.subject).or_default() += units(count.into());
                }
            }
        }
        for (name, _) in SUBJECTS {
            let (committed, held, _) = store.paid(&subject(name));
            assert_eq!((committed, held), (charged.get(name).copied().unwrap_or_default(), 0), "{name} was charged what was acknowledged");
        }
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for event in store.events() {
            if let (EventKind::Committed | EventKind::Recorded | EventKind::Released, Some(row)) = (event.kind, &event.row) {
                *ends.entry(format!("{} {}", event.subject, row.id)).or_default() += 1;
            }
        }
        assert!(ends.values().all(|count| *count == 1), "something ended twice: {ends:?}");
        for (name, gift) in &self.grants {
            let documents = store.contents().documents;
            let grants = &documents[&subject(name)].grants;
            assert!(grants.iter().any(|grant| grant.id.as_str() == gift), "{gift} was undone");
        }
    }
}

#[tokio::test]
async fn everything_acknowledged_in_bad_weather_is_in_the_ledger_exactly_once() {
    let seeds: Vec<u64> = match std::env::var("OUTAGE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..RUNS).map(|_| fastrand::u64(..)).collect(),
    };
    let (mut queued, mut unenforced, mut restarts) = (0, 0, 0);
    for seed in seeds {
        println!("OUTAGE_SEED={seed}");
        let mut run = Run::new(seed).await;
        for _ in 0..STEPS {
            run.step().await;
        }
        run.calm().await;
        run.check();
        queued += run.queued;
        unenforced += run.unenforced;
        restarts += run.restarts;
    }
    println!("{queued} queued, {unenforced} let pass, {restarts} restarts");
    assert!(queued > 0 && unenforced > 0 && restarts > 0);
}
