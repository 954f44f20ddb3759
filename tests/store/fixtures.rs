//! The smallest transactions that show a behaviour.

use std::collections::BTreeMap;
use std::sync::Arc;

use genquota::domain::amount::Micros;
use genquota::domain::ids::{ActionId, AllowanceId, CapId, CatalogVersion, GenerationId, MeterId, RequestId, ReservationId, SubjectId};
use genquota::domain::ledger::{
    AccountKey, AccountKind, Answer, CapLeg, Correction, Done, EventKind, Expected, Fingerprint, Movement, Next, Refunding, Row, Share,
    Side, Source, State, Step, Take, Transaction,
};
use genquota::domain::price_book::CostBasis;
use genquota::domain::reservation::{Attempt, AttemptReason, Detail, Labels, Refund};
use genquota::domain::subject::Document;
use genquota::domain::work::{Item, Work};
use genquota::store::embedded::Options;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub const RETENTION: SignedDuration = SignedDuration::from_hours(24);
pub const OPTIONS: Options = Options {
    queue_capacity: 4096,
    retention: RETENTION,
    event_retention: SignedDuration::from_hours(48),
    cost_retention: SignedDuration::from_hours(72),
    events_max: 1_000_000,
    observer: None,
    batches: None,
};
pub const TTL: SignedDuration = SignedDuration::from_mins(15);

pub fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn micros(value: i64) -> Micros {
    Micros::new(value).unwrap()
}

pub fn subject(name: &str) -> SubjectId {
    SubjectId::new(name).unwrap()
}

pub fn reservation(name: &str) -> ReservationId {
    ReservationId::new(name).unwrap()
}

pub fn allowance() -> AccountKey {
    AccountKey::allowance(&AllowanceId::new("credits").unwrap(), Date::constant(2026, 3, 1), None)
}

pub fn overage() -> AccountKey {
    AccountKey::overage(&MeterId::new("generations").unwrap(), Some(Date::constant(2026, 3, 1)))
}

pub fn cap(name: &str, limit: i64) -> CapLeg {
    let account = AccountKey::cap(AccountKind::FlowCap, &CapId::new(name).unwrap(), Some(start()), std::iter::empty());
    let lapses = start().checked_add(SignedDuration::from_hours(1)).unwrap();
    CapLeg { account, amount: micros(1), limit: Some(micros(limit)), enforced: true, booked: false, lapses: Some(lapses) }
}

/// Different payloads have different fingerprints.
pub fn fingerprint(payload: u8) -> Fingerprint {
    Fingerprint([payload; 16])
}

pub fn detail(now: Timestamp) -> Arc<Detail> {
    let attempt = Attempt {
        number: 1,
        reason: AttemptReason::First,
        target: None,
        tier: None,
        outcome: None,
        outcome_unknown: false,
        units: Micros::ZERO,
        cost: Micros::ZERO,
        planned_cost: Some(Micros::ZERO),
        basis: CostBasis::None,
        price_from: None,
        start_time: now,
        end_time: None,
        asked: None,
        delivered: None,
        billed: None,
        closed_by: None,
        trace: None,
    };
    Arc::new(Detail {
        user: None,
        generation: GenerationId::new("generation").unwrap(),
        action: ActionId::new("image.generate").unwrap(),
        meter: Some(MeterId::new("generations").unwrap()),
        plan: None,
        catalog: CatalogVersion::new("v1").unwrap(),
        judged_at: now,
        planned_target: None,
        fallbacks: Vec::new(),
        work: Work { items: vec![Item { count: 1, measures: BTreeMap::new(), attributes: BTreeMap::new() }] },
        attempts: vec![attempt],
        labels: Labels::new(),
        currency: "USD".into(),
        cost_reserved: Micros::ZERO,
        note: "".into(),
        unenforced: false,
        refunds: Vec::new(),
    })
}

fn transaction(of: &str, id: &str, payload: u8, expected: Expected, movement: Movement, state: State, event: EventKind) -> Transaction {
    let ttl = (state == State::Held).then_some(TTL);
    let next = Next { state, ttl, detail: detail(start()), event };
    Transaction {
        subject: subject(of),
        judged_by: None,
        valid: None,
        dry_run: false,
        document: None,
        correction: None,
        step: Some(Step { id: reservation(id), fingerprint: fingerprint(payload), expected, movement, next }),
    }
}

/// A take of `units` from the allowance, which gives `limit`.
pub fn take(units: i64, limit: i64) -> Take {
    Take { units: micros(units), sources: vec![Source::limited(allowance(), Some(micros(limit)))], ..Take::default() }
}

pub fn reserve(of: &str, id: &str, take: Take) -> Transaction {
    transaction(of, id, 1, Expected::Absent, Movement::Move { take, into: Side::Reserved }, State::Held, EventKind::Reserved)
}

pub fn commit(of: &str, id: &str, version: u64, take: Take) -> Transaction {
    let movement = Movement::Move { take, into: Side::Committed };
    transaction(of, id, 2, Expected::Version(version), movement, State::Committed, EventKind::Committed)
}

pub fn release(of: &str, id: &str, version: u64) -> Transaction {
    let movement = Movement::Move { take: Take::default(), into: Side::Committed };
    transaction(of, id, 3, Expected::Version(version), movement, State::Released, EventKind::Released)
}

/// A change of the subject's document that stands on version `judged_by`.
pub fn describe(of: &str, judged_by: u64) -> Transaction {
    let document = Document::new(subject(of), fingerprint(9), start(), TimeZone::get("Europe/Berlin").unwrap());
    Transaction {
        subject: subject(of),
        judged_by: Some(judged_by),
        valid: None,
        dry_run: false,
        document: Some(Arc::new(document)),
        step: None,
        correction: None,
    }
}

/// Gives so much back to each account, of a reservation as it was last seen.
pub fn refund(of: &str, row: &Row, request: &str, shares: Vec<(AccountKey, i64)>, watched: Vec<AccountKey>) -> Transaction {
    let shares: Vec<Share> = shares.into_iter().map(|(account, amount)| Share { account, amount: micros(amount) }).collect();
    let sum = |of: fn(AccountKind) -> bool| micros(shares.iter().filter(|s| of(s.account.kind())).map(|s| s.amount.get()).sum());
    let mut detail = (*row.detail).clone();
    detail.refunds.push(Refund {
        request: RequestId::new(request).unwrap(),
        fingerprint: fingerprint(5),
        units: sum(AccountKind::pays),
        overage: sum(|kind| kind == AccountKind::Overage),
        time: start(),
        note: "why".into(),
    });
    let movement = Movement::Refund(Refunding { shares, watched });
    let mut refund = transaction(of, row.id.as_str(), 5, Expected::Version(row.version), movement, row.state, EventKind::Refunded);
    if let Some(step) = &mut refund.step {
        step.next.detail = Arc::new(detail);
    }
    refund
}

/// A correction that stands on version `judged_by` of the document.
pub fn correct(of: &str, judged_by: u64, correction: Correction) -> Transaction {
    Transaction { correction: Some(correction), ..describe(of, judged_by) }
}

#[track_caller]
pub fn done(answer: Answer) -> Done {
    match answer {
        Answer::Done(done) => done,
        other => panic!("expected `Done`, got {other:?}"),
    }
}

#[track_caller]
pub fn row(answer: Answer) -> Arc<Row> {
    done(answer).row.expect("a step leaves a row")
}
