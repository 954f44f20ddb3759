use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use proptest::array::uniform3;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rust_decimal::Decimal;

use super::*;
use crate::domain::amount::{MICROS_MAX, Micros};
use crate::domain::ids::{
    ActionId, AddOnId, AllowanceId, AttributeId, CapId, CatalogVersion, GenerationId, GrantId, IdError, MeasureId, MeterId, ModelId,
    PlanId, ProviderId, RequestId, ReservationId, SubjectId, Target, TierId, TraceId, UserId,
};
use crate::domain::ledger::{AccountKey, AccountKind, EventKind, Fingerprint, Leg, State};
use crate::domain::overrides::{Limit, Overrides};
use crate::domain::period::Cadence;
use crate::domain::price_book::CostBasis;
use crate::domain::reservation::{Attempt, AttemptReason, Detail, Labels, Outcome, Refund};
use crate::domain::settlement::{Billing, Ending};
use crate::domain::subject::{Change, Grant, GrantKind};
use crate::domain::subscription::{Occupancy, Subscription};
use crate::domain::timeline::Timeline;
use crate::domain::work::{Item, Work};
use crate::store::journal::{Command, DeadEntry, Entry, QueuedHold, QueuedSettlement, QueuedUsage};

fn id<T: std::fmt::Debug>(new: fn(&str) -> Result<T, IdError>) -> impl Strategy<Value = T> {
    "[A-Za-z0-9._:@/-]{1,128}".prop_map(move |text| new(&text).unwrap())
}

fn micros() -> impl Strategy<Value = Micros> {
    (0..=MICROS_MAX).prop_map(|value| Micros::new(value).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    let whole = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
    prop_oneof![whole.prop_map(|nanos| Timestamp::from_nanosecond(nanos).unwrap()), Just(Timestamp::MIN), Just(Timestamp::MAX)]
}

fn zone() -> impl Strategy<Value = TimeZone> {
    let named = select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]);
    prop_oneof![
        named.prop_map(|name| TimeZone::get(name).unwrap()),
        (-93_599_i32..=93_599).prop_map(|seconds| TimeZone::fixed(Offset::from_seconds(seconds).unwrap())),
        Just(TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap()),
        Just(TimeZone::UTC),
    ]
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    any::<[u8; 16]>().prop_map(Fingerprint)
}

fn text() -> impl Strategy<Value = Box<str>> {
    any::<String>().prop_map(String::into_boxed_str)
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map(text(), text(), 0..4)
}

fn account_key() -> impl Strategy<Value = AccountKey> {
    let cap = (id(CapId::new), option::of(time()), vec(any::<String>(), 0..3))
        .prop_map(|(id, window, values)| AccountKey::cap(AccountKind::FlowCap, &id, window, values.iter().map(String::as_str)));
    let overage = id(MeterId::new).prop_map(|id| AccountKey::overage(&id, Some(Date::constant(2026, 1, 31))));
    prop_oneof![cap, overage, id(GrantId::new).prop_map(|id| AccountKey::grant(&id))]
}

fn work() -> impl Strategy<Value = Work> {
    let decimal = (any::<i64>(), 0_u32..=12).prop_map(|(number, scale)| Decimal::new(number, scale));
    let item = (any::<u32>(), btree_map(id(MeasureId::new), decimal, 0..3), btree_map(id(AttributeId::new), text(), 0..3))
        .prop_map(|(count, measures, attributes)| Item { count, measures, attributes });
    vec(item, 0..3).prop_map(|items| Work { items })
}

fn target() -> impl Strategy<Value = Target> {
    (id(ProviderId::new), id(ModelId::new)).prop_map(|(provider, model)| Target { provider, model })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    select(vec![
        Outcome::Accepted,
        Outcome::Rejected,
        Outcome::Failed,
        Outcome::Blocked,
        Outcome::Cancelled,
        Outcome::Unknown,
        Outcome::Expired,
    ])
}

fn trace() -> impl Strategy<Value = TraceId> {
    (1..=u128::MAX).prop_map(|id| TraceId::new(id.to_be_bytes()).unwrap())
}

prop_compose! {
    fn attempt()(
        (number, target, tier, start_time) in (any::<u32>(), option::of(target()), option::of(id(TierId::new)), time()),
        reason in select(vec![AttemptReason::First, AttemptReason::Retry, AttemptReason::Failover, AttemptReason::RejectedOutput]),
        outcome in option::of(outcome()),
        basis in select(vec![CostBasis::Priced, CostBasis::Billed, CostBasis::Estimated, CostBasis::None]),
        (units, cost, planned_cost) in (micros(), micros(), option::of(micros())),
        (price_from, end_time, delivered, billed) in (option::of(time()), option::of(time()), option::of(work()), option::of(work())),
        (asked, closed_by, trace, outcome_unknown) in (option::of(work()), option::of(fingerprint()), option::of(trace()), any::<bool>()),
    ) -> Attempt {
        Attempt {
            number, reason, target, tier, outcome, units, cost, planned_cost, basis, price_from, start_time, end_time, delivered, billed,
            asked, closed_by, trace, outcome_unknown,
        }
    }
}

prop_compose! {
    fn refund()(
        (request, fingerprint, units, overage, time, note) in
            (id(RequestId::new), fingerprint(), micros(), micros(), time(), text()),
    ) -> Refund {
        Refund { request, fingerprint, units, overage, time, note }
    }
}

prop_compose! {
    fn detail()(
        (user, generation, action, meter) in
            (option::of(id(UserId::new)), id(GenerationId::new), id(ActionId::new), option::of(id(MeterId::new))),
        (plan, catalog, judged_at, planned_target) in
            (option::of(id(PlanId::new)), id(CatalogVersion::new), time(), option::of(target())),
        (work, attempts, labels, fallbacks) in (work(), vec(attempt(), 1..3), labels(), vec(target(), 0..3)),
        (currency, cost_reserved, note, unenforced, refunds) in (text(), micros(), text(), any::<bool>(), vec(refund(), 0..3)),
    ) -> Detail {
        Detail {
            user, generation, action, meter, plan, catalog, judged_at, planned_target, fallbacks, work, attempts, labels, currency, cost_reserved, note,
            unenforced, refunds,
        }
    }
}

prop_compose! {
    fn row()(
        (id, version, sequence) in (id(ReservationId::new), any::<u64>(), any::<u64>()),
        state in select(vec![State::Held, State::Committed, State::Released, State::Expired]),
        (opened_by, settled_by) in (fingerprint(), option::of(fingerprint())),
        ([create_time, began, deadline], settle_time) in (uniform3(time()), option::of(time())),
        legs in vec((account_key(), micros(), micros()), 0..4),
        (late, detail) in (any::<bool>(), detail()),
    ) -> Row {
        let legs = legs.into_iter().map(|(account, held, used)| Leg { account, held, used }).collect();
        Row {
            id, version, sequence, state, opened_by, settled_by, create_time, began, deadline, settle_time, legs, late,
            detail: Arc::new(detail),
        }
    }
}

prop_compose! {
    fn grant()(
        (id, created_by, meter, units) in (id(GrantId::new), fingerprint(), id(MeterId::new), micros()),
        kind in select(vec![GrantKind::Promotional, GrantKind::Purchased, GrantKind::Manual]),
        (effective_time, expire_time, create_time, void_time) in (time(), option::of(time()), time(), option::of(time())),
        (priority, requires_subscription) in (any::<i32>(), any::<bool>()),
    ) -> Grant {
        Grant {
            id, created_by, meter, units, kind, effective_time, expire_time, priority, requires_subscription, create_time, void_time,
        }
    }
}

prop_compose! {
    fn subscription()(
        (plans, billing) in (timeline(option::of(id(PlanId::new)), 1..4), select(vec![Cadence::Month, Cadence::Year])),
        (start_time, zone, seats) in (time(), zone(), timeline(any::<u32>(), 0..3)),
        add_ons in btree_map(id(AddOnId::new), timeline(any::<u32>(), 0..3), 0..3),
        (occupied, vacated) in (btree_map(id(UserId::new), seat(), 0..3), vec(id(UserId::new), 0..3)),
    ) -> Subscription {
        Subscription { billing, start_time, zone, plans, seats, add_ons, occupied, vacated }
    }
}

prop_compose! {
    fn seat()((since, account) in (time(), id(UserId::new))) -> Occupancy {
        Occupancy { since, account }
    }
}

fn timeline<T: Clone + PartialEq + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
    size: std::ops::Range<usize>,
) -> impl Strategy<Value = Timeline<T>> {
    btree_map(time(), value, size).prop_map(|steps| Timeline::of_steps(steps.into_iter().collect()).unwrap())
}

fn limit() -> impl Strategy<Value = Limit> {
    option::of(micros()).prop_map(|amount| amount.map_or(Limit::Unlimited, Limit::Amount))
}

prop_compose! {
    fn overrides()(
        allowances in btree_map(id(AllowanceId::new), timeline(option::of(limit()), 1..3), 0..3),
        caps in btree_map(id(CapId::new), limit(), 0..3),
    ) -> Overrides {
        Overrides { allowances, caps }
    }
}

prop_compose! {
    fn change()((operation, about, detail) in ("[A-Za-z]{0,9}", ".{0,9}", ".{0,9}"), request in option::of(id(RequestId::new))) -> Change {
        Change::new(&operation, request, &about, &detail)
    }
}

prop_compose! {
    fn document()(
        (subject, version, created_by, create_time) in (id(SubjectId::new), any::<u64>(), fingerprint(), time()),
        (suspended, zone, labels, subscription) in (any::<bool>(), zone(), labels(), option::of(subscription())),
        (grants, requests) in (vec(grant(), 0..3), vec((id(RequestId::new), fingerprint()), 0..3)),
        (change, update_time, overrides, earlier) in (change(), time(), overrides(), option::of(subscription().prop_map(Box::new))),
    ) -> Document {
        Document {
            subject, version, created_by, create_time, change, update_time, suspended, zone, labels, subscription, earlier, grants,
            overrides, requests,
        }
    }
}

prop_compose! {
    fn event()(
        (sequence, time, subject) in (any::<u64>(), time(), id(SubjectId::new)),
        kind in select(vec![
            EventKind::Reserved, EventKind::Retried, EventKind::Extended, EventKind::Committed, EventKind::Released, EventKind::Expired,
            EventKind::Recorded, EventKind::Refunded, EventKind::SubjectChanged,
        ]),
        (row, document) in (option::of(row()), option::of(document())),
    ) -> Event {
        Event { sequence, time, kind, subject, row: row.map(Arc::new), document: document.map(Arc::new) }
    }
}

fn billing() -> impl Strategy<Value = Billing> {
    (option::of(work()), option::of(micros())).prop_map(|(work, cost)| Billing { work, cost })
}

prop_compose! {
    fn settlement()(
        (id, billing, fingerprint, row, trace) in
            (id(ReservationId::new), billing(), fingerprint(), option::of(row().boxed()), option::of(trace())),
        ending in prop_oneof![
            option::of(work()).prop_map(|delivered| Ending::Commit { delivered }),
            (outcome(), text()).prop_map(|(outcome, note)| Ending::Release { outcome, note }),
        ],
    ) -> QueuedSettlement {
        QueuedSettlement { id, ending, billing, fingerprint, trace, row: row.map(Arc::new) }
    }
}

prop_compose! {
    fn usage()(
        (user, id, generation, action) in
            (option::of(id(UserId::new)), id(ReservationId::new), id(GenerationId::new), id(ActionId::new)),
        (target, work, billing, outcome) in (option::of(target()), work(), billing(), outcome()),
        (labels, fingerprint, trace) in (labels(), fingerprint(), option::of(trace())),
    ) -> QueuedUsage {
        QueuedUsage { user, id, generation, action, target, work, billing, outcome, labels, fingerprint, trace }
    }
}

prop_compose! {
    fn entry()(
        (subject, accept_time) in (id(SubjectId::new), time()),
        command in prop_oneof![
            settlement().prop_map(Command::Settlement),
            (row().boxed(), any::<i32>(), 0..1_000_000_000_i32).prop_map(|(row, seconds, nanos)| {
                let nanos = if seconds < 0 { -nanos } else { nanos };
                Command::Hold(QueuedHold { row: Arc::new(row), ttl: SignedDuration::new(seconds.into(), nanos) })
            }),
            usage().prop_map(Command::Usage),
        ],
    ) -> Entry {
        Entry { subject, accept_time, command }
    }
}

fn read_all(bytes: &[u8]) {
    // None of them may panic; what they say is theirs.
    let _ = (decode_row(bytes), decode_document(bytes), decode_event(bytes), decode_event_time(bytes));
    let _ = (decode_account(bytes), decode_genesis(bytes), decode_position(bytes));
    let _ = (decode_entry(bytes), decode_dead_entry(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_reservation_reads_back_as_it_was_written(row in row()) {
        prop_assert_eq!(decode_row(&encode_row(&row)), Ok(row));
    }

    #[test]
    fn a_document_reads_back_as_it_was_written(document in document()) {
        prop_assert_eq!(decode_document(&encode_document(&document)), Ok(document));
    }

    #[test]
    fn an_event_reads_back_as_it_was_written_and_its_time_alone_too(event in event()) {
        let bytes = encode_event(&event);
        prop_assert_eq!(decode_event_time(&bytes), Ok(event.time));
        prop_assert_eq!(decode_event(&bytes), Ok(event));
    }

    #[test]
    fn an_account_and_a_position_read_back_as_they_were_written(
        (reserved, committed, lapses) in (micros(), micros(), option::of(time())), sequence in any::<u64>(), last_time in time(),
    ) {
        let account = Account { reserved, committed, lapses };
        prop_assert_eq!(decode_account(&encode_account(&account)), Ok(account));
        prop_assert_eq!(decode_position(&encode_position((sequence, last_time))), Ok((sequence, last_time)));
    }

    #[test]
    fn a_journals_entry_reads_back_as_it_was_written_dead_or_alive(entry in entry(), reason in any::<String>(), time in time()) {
        prop_assert_eq!(&decode_entry(&encode_entry(&entry)), &Ok(entry.clone()));
        let dead = DeadEntry { entry: Arc::new(entry), reason, time };
        prop_assert_eq!(decode_dead_entry(&encode_dead_entry(&dead)), Ok(dead));
    }

    #[test]
    fn an_entry_with_one_byte_turned_or_its_end_cut_never_panics(entry in entry(), at in any::<prop::sample::Index>(), mask in 1..=255_u8) {
        let mut bytes = encode_entry(&entry);
        let at = at.index(bytes.len());
        read_all(&bytes[..at]);
        bytes[at] ^= mask;
        read_all(&bytes);
    }

    #[test]
    fn equal_rows_have_equal_bytes(row in row()) {
        prop_assert_eq!(encode_row(&row), encode_row(&row.clone()));
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn a_row_with_one_byte_turned_or_its_end_cut_never_panics(event in event(), at in any::<prop::sample::Index>(), mask in 1..=255_u8) {
        let mut bytes = encode_event(&event);
        let at = at.index(bytes.len());
        read_all(&bytes[..at]);
        bytes[at] ^= mask;
        read_all(&bytes);
    }
}

#[test]
fn what_is_missing_or_out_of_range_is_named() {
    let problem = |record: wire::AccountRow| decode_account(&record.encode_to_vec()).unwrap_err();
    let negative = problem(wire::AccountRow { reserved: -1, committed: 0, lapses: None });
    assert_eq!(negative.to_string(), "reserved: is no amount: -1");
    let too_much = problem(wire::AccountRow { reserved: 0, committed: MICROS_MAX + 1, lapses: None });
    assert_eq!(too_much.what, "committed");
    let never = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    assert_eq!(problem(wire::AccountRow { reserved: 1, committed: 1, lapses: never }).what, "lapses");
    assert_eq!(decode_row(b"").unwrap_err().what, "id");
    let row = wire::ReservationRow { id: "r".to_owned(), ..Default::default() };
    assert_eq!(decode_row(&row.encode_to_vec()).unwrap_err().to_string(), "state: is missing");
    let unknown_state = wire::ReservationRow { state: 77, ..row };
    assert_eq!(decode_row(&unknown_state.encode_to_vec()).unwrap_err().what, "state");
    assert_eq!(decode_position(b"").unwrap_err().what, "last_time");
    assert_eq!(decode_genesis(b"").unwrap_err().what, "id");
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let account = Account { reserved: Micros::ONE_UNIT, ..Account::default() };
    let mut bytes = encode_account(&account);
    // Field 1000, a text.
    bytes.extend([0xc2, 0x3e, 3, b'n', b'e', b'w']);
    assert_eq!(decode_account(&bytes), Ok(account));
}
