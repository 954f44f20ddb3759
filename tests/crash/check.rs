//! What must be true after a restart: every answer that was given still holds, and every call without one happened wholly or not at all.

use std::time::{Duration, Instant};

use genquota::proto::v1::{self, Reservation, SourceKind, State};
use rust_decimal::Decimal;
use tokio::task::JoinSet;
use tonic::Code;

use crate::load::{self, ACTION, Accounts, Ending, Entry, Fate, Opening, Quota, SUBJECTS, images, reserve};
use crate::server::{PATIENCE, Server};

const CHECKERS: usize = 16;
/// Between two looks at something that is going to change.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Of the plan `wide`, in the catalog of these tests.
const RUNNING_MAX: usize = 64;

/// Checks every entry, by looking and by sending each call again. After it no fate is unknown.
pub(crate) async fn every_answer_holds(server: &Server, entries: Vec<Entry>) -> Vec<Entry> {
    let channel = server.connect().await;
    let mut tasks = JoinSet::new();
    let share = entries.len().div_ceil(CHECKERS).max(1);
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        let mut quota = Quota::new(channel.clone());
        let mut mine: Vec<Entry> = entries.by_ref().take(share).collect();
        tasks.spawn(async move {
            for entry in &mut mine {
                check(&mut quota, entry).await;
            }
            mine
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

async fn check(quota: &mut Quota, entry: &mut Entry) {
    let shown = look(quota, &entry.subject, &entry.id).await;
    match &entry.opened {
        Fate::Answered(None) => assert_eq!(shown, None, "a denied reservation is there"),
        Fate::Answered(Some(told)) => {
            let shown = shown.unwrap_or_else(|| panic!("an acknowledged call is lost: {entry:?}"));
            match entry.ending.clone() {
                None => assert_same(told, &shown, entry),
                Some((_, Fate::Answered(settled))) => assert_eq!(shown, settled, "an acknowledged end is lost"),
                Some((ending, Fate::Unknown)) => {
                    if shown.state() == State::Held {
                        assert_same(told, &shown, entry);
                    } else {
                        assert_whole(&shown, &ending, entry);
                    }
                }
            }
            repeat(quota, entry, Some(&shown)).await;
        }
        Fate::Unknown => {
            if let Some(shown) = &shown {
                let units = if shown.state() == State::Committed { &shown.units_committed } else { &shown.units_reserved };
                assert_eq!(units.parse::<Decimal>().unwrap(), units_asked(entry), "half of a call: {entry:?}");
            }
            repeat(quota, entry, shown.as_ref()).await;
        }
    }
}

/// Sends the entry's calls again: what happened before is replayed and changes nothing; what did not happens now.
async fn repeat(quota: &mut Quota, entry: &mut Entry, before: Option<&Reservation>) {
    let (opened, replayed) = load::open(quota, &entry.opening).await.unwrap();
    assert_eq!(replayed, before.is_some(), "{entry:?}");
    if let (Some(before), Some(now)) = (before, &opened) {
        assert_same(before, now, entry);
    }
    entry.opened = Fate::Answered(opened);
    let Some((ending, fate)) = entry.ending.take() else { return };
    let was_settled = before.is_some_and(|before| before.state() != State::Held);
    let (settled, replayed) = load::end(quota, &ending).await.unwrap();
    assert_eq!(replayed, was_settled, "{entry:?}");
    if let Fate::Answered(told) = &fate {
        assert_eq!(&settled, told, "a repeated end is answered otherwise");
    }
    assert_whole(&settled, &ending, entry);
    entry.ending = Some((ending, Fate::Answered(settled)));
}

/// The same reservation, unless its time has come in between.
fn assert_same(told: &Reservation, shown: &Reservation, entry: &Entry) {
    if shown.state() == State::Expired && entry.is_short() {
        assert_eq!((&told.reservation_id, &told.units_reserved), (&shown.reservation_id, &shown.units_reserved));
    } else if told.state() == State::Held && shown.state() != State::Held && entry.ending.is_some() {
        // The answer to its end says how it ended.
    } else {
        assert_eq!(told, shown, "an acknowledged answer has changed");
    }
}

/// Settled as a whole: by what was asked, in every field that counts.
fn assert_whole(settled: &Reservation, ending: &Ending, entry: &Entry) {
    let (state, units) = match ending {
        Ending::Commit(request) => {
            (State::Committed, request.work.as_ref().map_or_else(|| units_asked(entry), |work| units_of(work.items[0].count())))
        }
        Ending::Release(_) => (State::Released, Decimal::ZERO),
    };
    assert_eq!((settled.state(), settled.units_committed.parse().unwrap()), (state, units), "half of an end: {entry:?}");
    let paid: Decimal = paying_legs(settled).map(|leg| leg.units.parse::<Decimal>().unwrap()).sum();
    assert_eq!(paid, units, "the legs do not pay what was charged: {settled:?}");
    assert!(settled.attempts.iter().all(|attempt| attempt.end_time.is_some()), "an attempt is left open: {settled:?}");
}

fn units_asked(entry: &Entry) -> Decimal {
    let work = match &entry.opening {
        Opening::Reserve(request) => &request.work,
        Opening::Record(request) => &request.work,
    };
    units_of(work.as_ref().unwrap().items[0].count())
}

/// Half a credit each, as the catalog says.
fn units_of(count: i64) -> Decimal {
    Decimal::new(count * 5, 1)
}

fn paying_legs(reservation: &Reservation) -> impl Iterator<Item = &v1::Leg> {
    reservation.legs.iter().filter(|leg| leg.kind() != SourceKind::Cap)
}

async fn look(quota: &mut Quota, subject: &str, id: &str) -> Option<Reservation> {
    let request = v1::GetReservationRequest { subject: subject.to_owned(), reservation_id: id.to_owned() };
    match quota.get_reservation(request).await {
        Ok(answer) => Some(answer.into_inner().reservation.unwrap()),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => panic!("{status}"),
    }
}

/// Waits until every short hold has come back by itself.
pub(crate) async fn short_holds_expire(server: &Server, entries: &[Entry]) -> usize {
    let mut quota = Quota::new(server.connect().await);
    let mut count = 0;
    for entry in granted(entries).filter(|entry| entry.is_short()) {
        let deadline = Instant::now() + PATIENCE;
        while look(&mut quota, &entry.subject, &entry.id).await.unwrap().state() == State::Held {
            assert!(Instant::now() < deadline, "a hold does not expire: {entry:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        count += 1;
    }
    count
}

fn granted(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| !matches!(entry.opened, Fate::Answered(None)))
}

/// For every subject, what its accounts hold is the sum over its reservations, to the last half credit.
pub(crate) async fn accounts_are_the_sum_of_reservations(server: &Server, entries: &[Entry]) {
    let mut quota = Quota::new(server.connect().await);
    for (subject, _) in SUBJECTS {
        let mut sums = Accounts::new();
        for entry in granted(entries).filter(|entry| entry.subject == subject) {
            let reservation = look(&mut quota, subject, &entry.id).await.unwrap();
            for leg in paying_legs(&reservation) {
                let sum = sums.entry((leg.kind, leg.source_id.clone())).or_default();
                let units: Decimal = leg.units.parse().unwrap();
                match reservation.state() {
                    State::Held => sum.0 += units,
                    State::Committed => sum.1 += units,
                    state => panic!("{state:?} holds units: {reservation:?}"),
                }
            }
        }
        let answer = quota.get_balance(v1::GetBalanceRequest { subject: subject.to_owned(), ..Default::default() }).await.unwrap();
        let balances = answer.into_inner().balances;
        let mut accounts = Accounts::new();
        for source in &balances[0].sources {
            let units = (source.reserved.parse().unwrap(), source.committed.parse().unwrap());
            accounts.insert((source.kind, source.id.clone()), units);
        }
        sums.retain(|_, units| !units.0.is_zero() || !units.1.is_zero());
        accounts.retain(|_, units| !units.0.is_zero() || !units.1.is_zero());
        assert_eq!(accounts, sums, "the accounts of `{subject}` are not the sum of its reservations");
    }
}

/// Settles every hold that is left, commits and releases in turn, and says how many there were.
pub(crate) async fn settle_what_is_held(server: &Server, entries: &mut [Entry]) -> usize {
    let mut quota = Quota::new(server.connect().await);
    let mut count = 0;
    for entry in entries {
        let is_held = matches!(&entry.opened, Fate::Answered(Some(opened)) if opened.state() == State::Held);
        if !is_held || entry.is_short() || entry.ending.is_some() {
            continue;
        }
        let ending = match count % 2 {
            0 => Ending::Commit(load::commit_of(entry)),
            _ => Ending::Release(load::release_of(entry)),
        };
        let (settled, replayed) = load::end(&mut quota, &ending).await.unwrap();
        assert!(!replayed);
        assert_whole(&settled, &ending, entry);
        entry.ending = Some((ending, Fate::Answered(settled)));
        count += 1;
    }
    count
}

/// Where nothing is held, exactly as many fit at once as the cap says: no crash has left a place taken, or freed one twice.
pub(crate) async fn no_place_is_lost_or_gained(server: &Server, seed: u64) {
    let channel = server.connect().await;
    for (subject, _) in SUBJECTS.iter().filter(|(_, plan)| *plan == "wide") {
        let mut tasks = JoinSet::new();
        for number in 0..RUNNING_MAX + 8 {
            let mut quota = Quota::new(channel.clone());
            let request = reserve(subject, &format!("probe-{seed}-{number}"), Some(images(1)));
            assert_eq!(request.action, ACTION);
            tasks.spawn(async move { load::open(&mut quota, &Opening::Reserve(request)).await.unwrap().0.is_some() });
        }
        let granted = tasks.join_all().await.into_iter().filter(|granted| *granted).count();
        assert_eq!(granted, RUNNING_MAX, "places of `{subject}`");
    }
}

/// A commit that comes after its hold has expired is charged all the same, once.
pub(crate) async fn late_commit_is_charged(server: &Server, entries: &mut [Entry]) {
    let mut quota = Quota::new(server.connect().await);
    let Some(entry) = entries.iter_mut().find(|entry| entry.is_short() && !matches!(entry.opened, Fate::Answered(None))) else { return };
    let ending = Ending::Commit(load::commit_of(entry));
    let (settled, _) = load::end(&mut quota, &ending).await.unwrap();
    assert!(settled.late, "{settled:?}");
    assert_whole(&settled, &ending, entry);
    let (again, replayed) = load::end(&mut quota, &ending).await.unwrap();
    assert_eq!((again, replayed), (settled.clone(), true));
    entry.ending = Some((ending, Fate::Answered(settled)));
}
