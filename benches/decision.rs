//! What one decision costs without a network or a disk: counting, pricing and filling in the transaction; the ledger's step; both.
//!
//! Prints the allocations of a judgement too: they are the part that a busy allocator makes slower than a bench shows.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use genquota::catalog;
use genquota::domain::catalog::Catalog;
use genquota::domain::charge::{Ask, Charge, Opening};
use genquota::domain::ids::{ActionId, GenerationId, MeasureId, ModelId, ProviderId, ReservationId, SubjectId, Target, UserId};
use genquota::domain::ledger::{Changes, Fingerprint, Ledger, Transaction};
use genquota::domain::reservation::Labels;
use genquota::domain::view::View;
use genquota::domain::work::{Item, Work};
use jiff::{SignedDuration, Timestamp};

/// Counts what is asked of the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be counted otherwise, and this one only forwards")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Request {
    subject: SubjectId,
    user: UserId,
    action: ActionId,
    target: Target,
    work: Work,
    labels: Labels,
}

impl Request {
    fn new() -> Self {
        let measures = [(MeasureId::new("seconds").expect("an id"), "5".parse().expect("a decimal"))].into();
        Self {
            subject: SubjectId::new("workspace-42").expect("an id"),
            user: UserId::new("ann").expect("an id"),
            action: ActionId::new("video.generate").expect("an id"),
            target: Target { provider: ProviderId::new("fal").expect("an id"), model: ModelId::new("wan-2.2").expect("an id") },
            work: Work { items: vec![Item { count: 1, measures, attributes: [].into() }] },
            labels: Labels::new(),
        }
    }

    fn judge(&self, catalog: &Catalog, now: Timestamp, id: &ReservationId) -> Transaction {
        let ask = Ask {
            user: Some(&self.user),
            action: &self.action,
            target: Some(&self.target),
            planned_target: None,
            fallbacks: &[],
            work: &self.work,
            labels: &self.labels,
        };
        let view = View::new(catalog, None, now).expect("an instant of the calendar");
        let charge = Charge::judge(catalog, &view, &ask).expect("a charge");
        assert!(charge.violations.is_empty(), "{:?}", charge.violations);
        let opening = Opening {
            subject: self.subject.clone(),
            user: Some(self.user.clone()),
            id: id.clone(),
            fingerprint: Fingerprint([0; 16]),
            detail: charge.detail(catalog, &ask, GenerationId::new(id.as_str()).expect("an id")),
            trace: None,
            dry_run: false,
        };
        charge.hold(opening, &view, SignedDuration::from_mins(15))
    }
}

fn decision(criterion: &mut Criterion) {
    let catalog = Arc::new(catalog::parse("bundled", catalog::BUNDLED).expect("the bundled catalog is valid"));
    let request = Request::new();
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().expect("an instant");
    let id = ReservationId::new("0198f0c2-7a4e-7cc1-8000-0123456789ab").expect("an id");

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    black_box(request.judge(&catalog, now, &id));
    println!("judge: {} allocations", ALLOCATIONS.load(Ordering::Relaxed) - before);

    criterion.bench_function("judge", |bench| bench.iter(|| request.judge(black_box(&catalog), now, &id)));

    let transaction = request.judge(&catalog, now, &id);
    let empty = || Ledger::new(SignedDuration::from_hours(1));
    criterion.bench_function("ledger step", |bench| {
        bench.iter_batched_ref(empty, |ledger| ledger.execute(now, &transaction, &mut Changes::default()), BatchSize::SmallInput);
    });
    criterion.bench_function("judge and ledger step", |bench| {
        bench.iter_batched_ref(
            empty,
            |ledger| ledger.execute(now, &request.judge(&catalog, now, &id), &mut Changes::default()),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, decision);
criterion_main!(benches);
