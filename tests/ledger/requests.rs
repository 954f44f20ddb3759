//! Requests as a service makes them: every operation of the API as the one transaction the ledger knows.
//!
//! Amounts are single micro-units, so that tables stay short. Names of accounts tell their kind: `jan` and `feb` are two periods of one
//! allowance, `over` is the overage, what begins with `flight` is a level cap, what begins with `cap` a flow cap, all else is a grant.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use genquota::domain::amount::Micros;
use genquota::domain::ids::{
    ActionId, AllowanceId, CapId, CatalogVersion, GenerationId, GrantId, MeterId, RequestId, ReservationId, SubjectId,
};
use genquota::domain::ledger::{
    AccountKey, AccountKind, CapLeg, Correction, EventKind, Expected, Fingerprint, Movement, Next, Refunding, Row, Share, Side, Source,
    State, Step, Take, Transaction,
};
use genquota::domain::reservation::{Detail, Labels, Refund};
use genquota::domain::work::Work;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

/// When every test begins.
pub fn start() -> Timestamp {
    "2026-01-31T23:00:00Z".parse().expect("a timestamp")
}

pub fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

pub fn micros(count: i64) -> Micros {
    Micros::new(count).expect("an amount in range")
}

pub fn subject(name: &str) -> SubjectId {
    SubjectId::new(name).expect("an id")
}

pub fn reservation(name: &str) -> ReservationId {
    ReservationId::new(name).expect("an id")
}

/// What tells one request from another.
pub fn fingerprint(request: &str) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    request.hash(&mut hasher);
    Fingerprint(u128::from(hasher.finish()).to_be_bytes())
}

pub fn account(name: &str) -> AccountKey {
    let credits = AllowanceId::new("credits").expect("an id");
    let cap = |kind| AccountKey::cap(kind, &CapId::new(name).expect("an id"), None, std::iter::empty());
    match name {
        "jan" => AccountKey::allowance(&credits, Date::constant(2026, 1, 1), None),
        "feb" => AccountKey::allowance(&credits, Date::constant(2026, 2, 1), None),
        "over" => AccountKey::overage(&MeterId::new("over").expect("an id"), None),
        _ if name.starts_with("flight") => cap(AccountKind::LevelCap),
        _ if name.starts_with("cap") => cap(AccountKind::FlowCap),
        _ => AccountKey::grant(&GrantId::new(name).expect("an id")),
    }
}

/// The name [`account`] takes.
pub fn name_of(key: &AccountKey) -> String {
    match key.period() {
        Some("2026-01-01") => "jan".to_owned(),
        Some("2026-02-01") => "feb".to_owned(),
        _ => key.source().to_owned(),
    }
}

pub fn source(name: &str, limit: i64) -> Source {
    Source::limited(account(name), Some(micros(limit)))
}

pub fn cap(name: &str, amount: i64, limit: Option<i64>) -> CapLeg {
    CapLeg { account: account(name), amount: micros(amount), limit: limit.map(micros), enforced: true, booked: false, lapses: None }
}

pub fn take(units: i64, sources: Vec<Source>, caps: Vec<CapLeg>) -> Take {
    Take { units: micros(units), sources, whole: false, overage: None, caps }
}

pub fn detail() -> Arc<Detail> {
    Arc::new(Detail {
        user: None,
        generation: GenerationId::new("generation").expect("an id"),
        action: ActionId::new("image.generate").expect("an id"),
        meter: None,
        plan: None,
        catalog: CatalogVersion::new("1").expect("an id"),
        judged_at: start(),
        planned_target: None,
        fallbacks: Vec::new(),
        work: Work::default(),
        attempts: Vec::new(),
        labels: Labels::new(),
        currency: "USD".into(),
        cost_reserved: Micros::ZERO,
        note: "".into(),
        unenforced: false,
        refunds: Vec::new(),
    })
}

/// A hold of a new id.
pub fn reserve(who: &SubjectId, id: &ReservationId, print: Fingerprint, take: Take, ttl: SignedDuration) -> Transaction {
    let movement = Movement::Move { take, into: Side::Reserved };
    let next = Next { state: State::Held, ttl: Some(ttl), detail: detail(), event: EventKind::Reserved };
    step(who, Step { id: id.clone(), fingerprint: print, expected: Expected::Absent, movement, next })
}

/// Usage that had no hold.
pub fn record(who: &SubjectId, id: &ReservationId, print: Fingerprint, take: Take) -> Transaction {
    let movement = Movement::Move { take: Take { overage: Some(account("over")), ..take }, into: Side::Committed };
    let next = Next { state: State::Committed, ttl: None, detail: detail(), event: EventKind::Recorded };
    step(who, Step { id: id.clone(), fingerprint: print, expected: Expected::Absent, movement, next })
}

/// A settlement takes from the receipt's own accounts first, from `take.sources` then, and what none can pay as overage.
pub fn commit(who: &SubjectId, row: &Row, print: Fingerprint, mut take: Take) -> Transaction {
    take.sources.splice(0..0, own_sources(row, &take.sources.clone()));
    take.overage = Some(account("over"));
    settle(who, row, print, take, State::Committed, EventKind::Committed)
}

/// Gives everything back, and books `caps`.
pub fn release(who: &SubjectId, row: &Row, print: Fingerprint, caps: Vec<CapLeg>) -> Transaction {
    settle(who, row, print, take(0, Vec::new(), caps), State::Released, EventKind::Released)
}

pub fn extend(who: &SubjectId, row: &Row, print: Fingerprint, ttl: SignedDuration) -> Transaction {
    let next = Next { state: State::Held, ttl: Some(ttl), detail: row.detail.clone(), event: EventKind::Extended };
    let expected = Expected::Version(row.version);
    step(who, Step { id: row.id.clone(), fingerprint: print, expected, movement: Movement::Keep, next })
}

/// Another size of the same hold, as a retry on another target needs it.
pub fn resize(who: &SubjectId, row: &Row, print: Fingerprint, take: Take, ttl: SignedDuration) -> Transaction {
    let movement = Movement::Move { take, into: Side::Reserved };
    let next = Next { state: State::Held, ttl: Some(ttl), detail: row.detail.clone(), event: EventKind::Reserved };
    step(who, Step { id: row.id.clone(), fingerprint: print, expected: Expected::Version(row.version), movement, next })
}

/// Gives back what a committed reservation used.
pub fn refund(who: &SubjectId, row: &Row, print: Fingerprint, shares: Vec<Share>) -> Transaction {
    let paying = shares.iter().filter(|share| share.account.kind().pays());
    let request = RequestId::new(&format!("{:x}", u128::from_be_bytes(print.0))).expect("an id");
    let units = Micros::new(paying.map(|share| share.amount.get()).sum()).expect("an amount in range");
    let mut detail = (*row.detail).clone();
    detail.refunds.push(Refund { request, fingerprint: print, units, overage: Micros::ZERO, time: start(), note: "".into() });
    let movement = Movement::Refund(Refunding { watched: shares.iter().map(|share| share.account.clone()).collect(), shares });
    let next = Next { state: row.state, ttl: None, detail: Arc::new(detail), event: EventKind::Refunded };
    step(who, Step { id: row.id.clone(), fingerprint: print, expected: Expected::Version(row.version), movement, next })
}

pub fn share(name: &str, amount: i64) -> Share {
    Share { account: account(name), amount: micros(amount) }
}

/// Books more, beside any reservation.
pub fn raise(who: &SubjectId, take: Take) -> Transaction {
    correct(who, Correction::Raise(Take { overage: Some(account("over")), ..take }))
}

/// Takes off what is committed.
pub fn lower(who: &SubjectId, name: &str, amount: i64) -> Transaction {
    correct(who, Correction::Lower(share(name, amount)))
}

fn correct(who: &SubjectId, correction: Correction) -> Transaction {
    Transaction {
        subject: who.clone(),
        judged_by: None,
        valid: None,
        dry_run: false,
        document: None,
        step: None,
        correction: Some(correction),
    }
}

fn settle(who: &SubjectId, row: &Row, print: Fingerprint, take: Take, state: State, event: EventKind) -> Transaction {
    let movement = Movement::Move { take, into: Side::Committed };
    let next = Next { state, ttl: None, detail: row.detail.clone(), event };
    step(who, Step { id: row.id.clone(), fingerprint: print, expected: Expected::Version(row.version), movement, next })
}

/// What is held is promised, so no limit is asked. What an expiry gave back is not: then the limits of today decide.
fn own_sources(row: &Row, today: &[Source]) -> Vec<Source> {
    let gave = row.legs.iter().filter(|leg| leg.account.kind().pays() && !leg.held.is_zero());
    gave.filter_map(|leg| {
        let known = today.iter().find(|source| source.account == leg.account);
        let source = match row.state {
            State::Held => Source::limited(leg.account.clone(), None),
            _ => known?.clone(),
        };
        Some(Source { at_most: Some(leg.held), ..source })
    })
    .collect()
}

fn step(who: &SubjectId, step: Step) -> Transaction {
    Transaction { subject: who.clone(), judged_by: None, valid: None, dry_run: false, document: None, step: Some(step), correction: None }
}
