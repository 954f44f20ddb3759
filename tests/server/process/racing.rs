//! An administrator changes a subject while 64 gateways reserve and commit for it: nothing is given twice, and each change acts on the
//! very next call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use genquota::proto::v1::{DenialReason, Reservation, SourceKind, State, reserve_response};
use jiff::Timestamp;
use tokio::task::{JoinSet, LocalSet};
use tonic::{Code, Status};

use super::NOON;
use crate::administrator::Change;
use crate::ask::images;
use crate::caller::Caller;
use crate::catalogs::catalog;
use crate::harness::{Server, Setup, eventually};
use crate::lab::{self, Kind, Settings};

const GATEWAYS: usize = 64;
/// Answers between two changes: half of the gateways had one, more or less.
const BETWEEN: usize = 32;

/// A seat gives 5 units of its own and the pot 40 to all; on the larger plan they are 8 and 120.
fn offers() -> String {
    catalog(
        "plans:
  team:
    rank: 1
    allowances: [{id: own, meter: units, amount: 5, per: seat}, {id: pot, meter: units, amount: 40, per: subject}]
    add_ons: {more: {meter: units, amount: 30, per: subject}}
  large:
    rank: 2
    proration: full
    allowances: [{id: own, meter: units, amount: 8, per: seat}, {id: pot, meter: units, amount: 120, per: subject}]
    add_ons: {more: {meter: units, amount: 30, per: subject}}
caps: {day: {of: units, meter: units, limit: 100000, per: day}}",
    )
}

/// One step of the administrator.
#[derive(Debug, Clone, Copy)]
enum Step {
    Change(Change<'static>),
    Grant(&'static str, i64),
}

/// What there is to draw on, as the administrator has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offer {
    seats: i64,
    own: i64,
    pot: i64,
    more: i64,
    first_grant: i64,
    second_grant: i64,
    is_suspended: bool,
    is_capped: bool,
}

/// A reserve between two counts of changes: those answered before it began, and those begun before it was answered.
#[derive(Debug)]
struct Asked {
    user: String,
    answered: usize,
    begun: usize,
    outcome: Result<Reservation, DenialReason>,
}

/// What gateways and the administrator tell each other.
#[derive(Default)]
struct Race {
    begun: AtomicUsize,
    answered: AtomicUsize,
    asked: AtomicUsize,
    /// Units of reservations that were granted and are not being given back: at most what is set aside or used.
    taken: AtomicI64,
    is_over: AtomicBool,
}

const STEPS: [Step; 20] = [
    Step::Change(Change::Seats(16)),
    Step::Change(Change::AddOn("more", 1)),
    Step::Grant("first", 50),
    Step::Change(Change::Suspend),
    Step::Change(Change::Resume),
    Step::Change(Change::Plan("large")),
    Step::Change(Change::Allowance("pot", "200")),
    Step::Grant("second", 500),
    Step::Change(Change::Cap("day", "0")),
    Step::Change(Change::Cap("day", "")),
    Step::Change(Change::Void("first")),
    Step::Change(Change::AddOn("more", 4)),
    Step::Change(Change::Suspend),
    Step::Change(Change::Seats(40)),
    Step::Change(Change::Resume),
    // These wait for the period's end.
    Step::Change(Change::Seats(10)),
    Step::Change(Change::AddOn("more", 0)),
    Step::Change(Change::Void("second")),
    Step::Change(Change::Plan("team")),
    Step::Change(Change::Allowance("pot", "300")),
];

impl Offer {
    const BEGINNING: Self =
        Self { seats: 8, own: 5, pot: 40, more: 0, first_grant: 0, second_grant: 0, is_suspended: false, is_capped: false };

    /// What there is after a step. Fewer of anything waits for the period's end; what a void grant has paid it has paid.
    fn after(self, step: Step) -> Self {
        match step {
            Step::Grant("first", units) => Self { first_grant: units, ..self },
            Step::Grant(_, units) => Self { second_grant: units, ..self },
            Step::Change(Change::Seats(seats)) => Self { seats: self.seats.max(seats.into()), ..self },
            Step::Change(Change::AddOn(_, units)) => Self { more: self.more.max(30 * i64::from(units)), ..self },
            Step::Change(Change::Plan("large")) => Self { own: 8, pot: 120, ..self },
            Step::Change(Change::Allowance(_, amount)) => Self { pot: amount.parse().unwrap(), ..self },
            Step::Change(Change::Suspend) => Self { is_suspended: true, ..self },
            Step::Change(Change::Resume) => Self { is_suspended: false, ..self },
            Step::Change(Change::Cap(_, limit)) => Self { is_capped: limit == "0", ..self },
            Step::Change(_) => self,
        }
    }

    fn units(self) -> i64 {
        self.seats * self.own + self.pot + self.more + self.first_grant + self.second_grant
    }

    fn lets_through(self) -> bool {
        !self.is_suspended && !self.is_capped
    }
}

impl Step {
    /// Carries it out, again where the store was contended: under the same id.
    async fn carry_out(self, acme: &Caller, number: usize) {
        let id = format!("step-{number}");
        let version = patiently(async || match self {
            Self::Change(change) => acme.change_as(&id, change).await.map(|changed| changed.subject.version),
            Self::Grant(grant, units) => acme.grant(grant, &units.to_string(), |_| {}).await.map(|given| given.subject.unwrap().version),
        });
        assert!(version.await > 0, "{self:?}");
    }

    fn voids(self, grant: &str) -> bool {
        matches!(self, Self::Change(Change::Void(void)) if void == grant)
    }
}

/// Asks until there is an answer: a store that others keep busy says so.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Status>) -> T {
    eventually("an answer", async || match ask().await {
        Ok(answer) => Some(answer),
        Err(status) if status.code() == Code::Unavailable => None,
        Err(status) => panic!("{status}"),
    })
    .await
}

/// Reserves one unit after the other, and commits two of three.
async fn gateway(acme: Caller, user: String, race: Arc<Race>) -> Vec<Asked> {
    let mut asked = Vec::new();
    while !race.is_over.load(Ordering::SeqCst) {
        let ask = images(1).user(&user);
        let answered = race.answered.load(Ordering::SeqCst);
        let outcome = patiently(async || acme.reserve(&ask).await).await.outcome.unwrap();
        let outcome = match outcome {
            reserve_response::Outcome::Reservation(held) => {
                race.taken.fetch_add(1, Ordering::SeqCst);
                Ok(held)
            }
            reserve_response::Outcome::Denial(denial) => Err(denial.reason()),
        };
        let begun = race.begun.load(Ordering::SeqCst);
        race.asked.fetch_add(1, Ordering::SeqCst);
        let outcome = match outcome {
            Ok(_) if asked.len() % 3 == 2 => {
                race.taken.fetch_sub(1, Ordering::SeqCst);
                let released = patiently(async || acme.release(ask.key(), |_| {}).await).await;
                Ok(released.reservation.unwrap())
            }
            Ok(_) => Ok(patiently(async || acme.commit(ask.key(), |_| {}).await).await.reservation.unwrap()),
            denied => denied,
        };
        asked.push(Asked { user: user.clone(), answered, begun, outcome });
    }
    asked
}

/// Lets gateways call at several servers of one ledger, while its subject is changed at one after the other.
async fn run(servers: &[Server]) {
    let at = |number: usize| servers[number % servers.len()].stranger("acme");
    let acme = at(0);
    acme.create("").await.unwrap();
    acme.subscribe("team", |request| request.seats = Some(8)).await.unwrap();
    let race = Arc::new(Race::default());
    let mut gateways = JoinSet::new();
    for number in 0..GATEWAYS {
        gateways.spawn_local(gateway(at(number), format!("u{number}"), race.clone()));
    }
    let mut offers = vec![Offer::BEGINNING];
    for (number, step) in STEPS.into_iter().enumerate() {
        let before = race.asked.load(Ordering::SeqCst);
        eventually("the gateways go on", async || (race.asked.load(Ordering::SeqCst) >= before + BETWEEN).then_some(())).await;
        let (taken, offer) = (race.taken.load(Ordering::SeqCst), offers[number]);
        assert!(taken <= offer.units(), "{taken} of {offer:?} before {step:?}");
        race.begun.store(number + 1, Ordering::SeqCst);
        step.carry_out(&at(number), number).await;
        race.answered.store(number + 1, Ordering::SeqCst);
        offers.push(offer.after(step));
        acts_at_once(&at(number + 1), offers[number + 1]).await;
    }
    race.is_over.store(true, Ordering::SeqCst);
    let asked: Vec<Asked> = gateways.join_all().await.into_iter().flatten().collect();
    each_was_judged_by_what_held(&asked, &offers);
    for server in servers {
        the_books_add_up(&server.stranger("acme"), &asked, offers[STEPS.len()]).await;
    }
}

/// What the next server tells of the subject, right after a change elsewhere.
async fn acts_at_once(acme: &Caller, offer: Offer) {
    let limits: BTreeMap<String, String> = acme.balance().await.sources.into_iter().map(|source| (source.id, source.limit)).collect();
    assert_eq!(limits["pot"], offer.pot.to_string(), "{offer:?}");
    assert_eq!(limits.get("more").map_or("0", String::as_str), offer.more.to_string(), "{offer:?}");
    assert_eq!(i64::from(acme.subscription().await.seats), offer.seats, "{offer:?}");
}

/// A call that began after a change was answered is judged by it or by a later one.
fn each_was_judged_by_what_held(asked: &[Asked], offers: &[Offer]) {
    let mut granted = 0;
    for call in asked {
        let held = &offers[call.answered..=call.begun];
        match &call.outcome {
            Ok(reservation) => {
                granted += 1;
                assert!(held.iter().any(|offer| offer.lets_through()), "{call:?}");
                for leg in reservation.legs.iter().filter(|leg| leg.kind() == SourceKind::Grant) {
                    let voided = STEPS.iter().position(|step| step.voids(&leg.source_id)).unwrap();
                    assert!(call.answered <= voided, "{call:?}");
                }
            }
            Err(DenialReason::SubjectSuspended) => assert!(held.iter().any(|offer| offer.is_suspended), "{call:?}"),
            Err(DenialReason::CapReached) => assert!(held.iter().any(|offer| offer.is_capped), "{call:?}"),
            Err(_) => {}
        }
    }
    assert!(granted > 100, "there was a race: {granted} of {} were granted", asked.len());
}

/// What the accounts hold is what the reservations took, and no more than there ever was of each.
async fn the_books_add_up(acme: &Caller, asked: &[Asked], offer: Offer) {
    let committed =
        asked.iter().filter_map(|call| Some((call, call.outcome.as_ref().ok().filter(|held| held.state() == State::Committed)?)));
    let mut paid: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (call, reservation) in committed {
        for leg in reservation.legs.iter().filter(|leg| leg.kind() != SourceKind::Cap) {
            assert_ne!(leg.kind(), SourceKind::Overage, "{call:?}");
            let user = if leg.source_id == "own" { call.user.clone() } else { String::new() };
            *paid.entry((leg.source_id.clone(), user)).or_default() += leg.units.parse::<i64>().unwrap();
        }
    }
    let of = |source: &str, user: &str| paid.get(&(source.to_owned(), user.to_owned())).copied().unwrap_or_default();
    let seated: Vec<String> = acme.subscription().await.occupied_seats.into_iter().map(|seat| seat.user).collect();
    assert!(i64::try_from(seated.len()).unwrap() <= offer.seats, "{} sit on {} seats", seated.len(), offer.seats);
    for (source, most) in [("pot", offer.pot), ("more", offer.more), ("first", offer.first_grant), ("second", offer.second_grant)] {
        assert!(of(source, "") <= most, "{source}: {} of {most}", of(source, ""));
    }
    for (source, user) in paid.keys().filter(|(source, _)| source == "own") {
        assert!(seated.contains(user) && of(source, user) <= offer.own, "{user}: {}", of(source, user));
    }
    for user in seated.iter().map(String::as_str) {
        let balance = acme.balance_of(user).await;
        assert_eq!((balance.reserved.as_str(), balance.overage.as_str()), ("0", "0"));
        let shown: BTreeMap<&str, &str> = balance.sources.iter().map(|source| (source.id.as_str(), source.committed.as_str())).collect();
        assert_eq!(shown["own"], of("own", user).to_string(), "{user}");
        for source in ["pot", "more"] {
            assert_eq!(shown[source], of(source, "").to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_administrator_races_with_64_gateways_in_memory() {
    LocalSet::new().run_until(run(&[Server::start(&offers(), NOON).await])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_administrator_races_with_64_gateways_at_two_sidecars() {
    let redis = lab::Server::start(Kind::Redis7, Settings::default());
    let now = Timestamp::now().to_string();
    let setup = || Setup::new(&offers(), &now).with("store", &[&redis.url()]).with("journal", &["off"]);
    LocalSet::new().run_until(run(&[setup().start().await, setup().start().await])).await;
}
