//! The real service on a store of its own, by a clock that stands until it is moved.

use std::sync::Arc;

use genquota::clock::{Clock as _, ManualClock};
use genquota::domain::administration::{Administration, LimitOf, NewGrant, NewSubscription, Request, Requested};
use genquota::domain::amount::Micros;
use genquota::domain::catalog::Catalog;
use genquota::domain::denial::DenialReason;
use genquota::domain::ids::{
    ActionId, AddOnId, AllowanceId, GenerationId, GrantId, MeterId, ModelId, PlanId, ProviderId, RequestId, ReservationId, SubjectId,
    Target, UserId,
};
use genquota::domain::ledger::{AccountKind, Fingerprint, Row};
use genquota::domain::overrides::Limit;
use genquota::domain::period::Cadence;
use genquota::domain::plan::SourceKind;
use genquota::domain::reservation::{Labels, Outcome};
use genquota::domain::settlement::{Billing, Ending};
use genquota::domain::standing::Standing;
use genquota::domain::subject::GrantKind;
use genquota::domain::work::{Item, Work};
use genquota::service::{Catalogs, RecordCommand, RefundCommand, ReserveCommand, Rules, Service, ServiceError, SettleCommand};
use genquota::store::Store;
use genquota::store::redis::RedisStore;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::life::{Deed, Refusal};
use crate::plans::{Every, Plans};
use crate::reference::{Denied, Kind, Shown};

pub const TTL: SignedDuration = SignedDuration::from_mins(15);

pub struct Bench {
    pub clock: Arc<ManualClock>,
    service: Service,
    /// A store that gives back only when it is swept what is due.
    swept: Option<Arc<RedisStore>>,
    requests: u64,
}

impl Bench {
    /// A subject without a subscription.
    pub async fn open(store: Arc<dyn Store>, clock: Arc<ManualClock>, plans: &Plans, zone: &TimeZone) -> Self {
        let catalogs = Catalogs::start(&*store, Arc::from(plans.yaml()), read).await.unwrap();
        let rules = Rules { ttl: TTL, ttl_max: SignedDuration::from_hours(2) };
        let service = Service::new(store, catalogs, clock.clone(), rules);
        let created = Administration::Create { zone: zone.clone(), labels: Labels::new(), fingerprint: Fingerprint([0; 16]) };
        service.administrate(subject(), created).await.unwrap();
        Self { clock, service, swept: None, requests: 0 }
    }

    /// Puts other plans in force.
    pub async fn reload(&self, plans: &Plans) {
        let text = plans.yaml();
        let catalog = read(&text).unwrap();
        self.service.replace_catalog(Arc::from(text), catalog).await.unwrap();
    }

    /// The same on a Redis.
    pub async fn open_on_redis(store: Arc<RedisStore>, clock: Arc<ManualClock>, plans: &Plans, zone: &TimeZone) -> Self {
        Self { swept: Some(store.clone()), ..Self::open(store, clock, plans, zone).await }
    }

    /// Lets time pass.
    pub async fn wait_until(&self, now: Timestamp) {
        self.clock.set(now);
        if let Some(store) = &self.swept {
            store.sweep().await.unwrap();
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Asks for a change, each time with an id of its own.
    pub async fn administrate(&mut self, deed: &Deed) -> Result<(), Refusal> {
        self.requests += 1;
        let change = change(deed, self.requests);
        match self.service.administrate(subject(), change).await {
            Ok(subject) => {
                assert!(!subject.replayed);
                Ok(())
            }
            Err(ServiceError::Invalid(_)) => Err(Refusal::Invalid),
            Err(ServiceError::SubscriptionExists) => Err(Refusal::Exists),
            Err(ServiceError::SubscriptionNotFound(_) | ServiceError::GrantNotFound(_)) => Err(Refusal::NotFound),
            Err(error) => panic!("{deed:?}: {error:?}"),
        }
    }

    pub async fn standing(&self) -> Option<Standing> {
        self.service.subject(&subject()).await.unwrap().standing
    }

    /// What a user has of the one meter there is; without any source, nothing.
    pub async fn balance(&self, user: Option<&str>) -> Vec<Shown> {
        let user = user.map(|user| UserId::new(user).unwrap());
        let balances = self.service.subject_balance(&subject(), user.as_ref()).await.unwrap().balances;
        assert!(balances.len() <= 1);
        let Some(balance) = balances.first() else { return Vec::new() };
        let sum = |is_grant: bool| -> i64 {
            balance
                .sources
                .iter()
                .filter(|source| (source.kind == SourceKind::Grant) == is_grant)
                .map(|source| source.available.get())
                .sum()
        };
        if !balance.unlimited {
            let sums = (balance.available.get(), balance.allowance_available.get(), balance.credits_available.get());
            assert_eq!(sums, (sum(false) + sum(true), sum(false), sum(true)));
        }
        let shown = |source: &genquota::domain::balance::SourceBalance| Shown {
            kind: match source.kind {
                SourceKind::Allowance => Kind::Allowance,
                SourceKind::AddOn => Kind::AddOn,
                SourceKind::Grant => Kind::Grant,
            },
            id: source.account.source().to_owned(),
            is_own: source.account.user().is_some(),
            limit: source.limit.map(Micros::get),
            reserved: source.reserved.get(),
            committed: source.committed.get(),
            available: source.limit.map(|_| source.available.get()),
        };
        balance.sources.iter().map(shown).collect()
    }

    pub async fn reserve(&self, number: usize, user: Option<&str>, quarters: u32) -> Result<(), Denied> {
        let (action, work) = work(quarters);
        let command = ReserveCommand {
            subject: subject(),
            user: user.map(|user| UserId::new(user).unwrap()),
            id: reservation(number),
            generation: GenerationId::new("generation").unwrap(),
            action,
            target: Some(target()),
            planned_target: None,
            fallbacks: Vec::new(),
            work,
            ttl: Some(TTL),
            accept_fewer: false,
            validate_only: false,
            labels: Labels::new(),
            fingerprint: Fingerprint([1; 16]),
        };
        match self.service.reserve(command).await.unwrap().outcome {
            Ok(_) => Ok(()),
            Err(denial) if denial.reason() == DenialReason::SeatsExhausted => Err(Denied::Seats),
            Err(denial) => {
                assert!(matches!(denial.reason(), DenialReason::NoSubscription | DenialReason::QuotaExhausted), "{denial:?}");
                Err(Denied::Units)
            }
        }
    }

    pub async fn record(&self, number: usize, user: Option<&str>, quarters: u32) {
        let (action, work) = work(quarters);
        let command = RecordCommand {
            subject: subject(),
            user: user.map(|user| UserId::new(user).unwrap()),
            id: reservation(number),
            generation: GenerationId::new("generation").unwrap(),
            action,
            target: Some(target()),
            work,
            billing: Billing::default(),
            outcome: Outcome::Accepted,
            labels: Labels::new(),
            fingerprint: Fingerprint([1; 16]),
            trace: None,
        };
        self.service.record_usage(command).await.unwrap();
    }

    /// Ends a reservation; `None` gives everything back. A commit is of the same action as the hold was.
    pub async fn settle(&self, number: usize, made: Option<(u32, u32)>) {
        let ending = match made {
            Some((asked, quarters)) => Ending::Commit { delivered: Some(Work { items: work_like(asked, quarters) }) },
            None => Ending::Release { outcome: Outcome::Failed, note: "".into() },
        };
        let command = SettleCommand {
            subject: subject(),
            id: reservation(number),
            ending,
            billing: Billing::default(),
            fingerprint: Fingerprint([2; 16]),
            trace: None,
        };
        self.service.settle(command).await.unwrap();
    }

    /// Gives units back, each time with an id of its own; `None`: all that is left.
    pub async fn refund(&mut self, number: usize, units: Option<i64>) -> Result<(), Refusal> {
        self.requests += 1;
        let command = RefundCommand {
            subject: subject(),
            id: reservation(number),
            units: units.map(|units| Micros::new(units).unwrap()),
            request: RequestId::new(&format!("q{}", self.requests)).unwrap(),
            note: Box::default(),
            fingerprint: Fingerprint([5; 16]),
        };
        match self.service.refund(command).await {
            Ok(refunded) => {
                assert!(!refunded.replayed);
                Ok(())
            }
            Err(ServiceError::Invalid(_)) => Err(Refusal::Invalid),
            Err(error) => panic!("{error:?}"),
        }
    }

    pub async fn row(&self, number: usize) -> Arc<Row> {
        self.service.reservation(subject(), &reservation(number)).await.unwrap().row
    }
}

/// What an account paid of a reservation, or holds for it.
#[derive(Debug, Clone)]
pub struct Paid {
    pub kind: Kind,
    pub id: String,
    /// The first day of the period.
    pub day: Option<String>,
    pub who: Option<String>,
    pub amount: i64,
}

/// What a reservation was paid by, and what of it no source paid.
pub fn paid(row: &Row) -> impl Iterator<Item = Paid> + '_ {
    row.legs.iter().filter_map(|leg| {
        let kind = match leg.account.kind() {
            AccountKind::Allowance => Kind::Allowance,
            AccountKind::AddOn => Kind::AddOn,
            AccountKind::Grant => Kind::Grant,
            AccountKind::Overage => Kind::Overage,
            AccountKind::FlowCap | AccountKind::LevelCap => return None,
        };
        let amount = if row.state == genquota::domain::ledger::State::Held { leg.held.get() + leg.used.get() } else { leg.used.get() };
        let text = |part: Option<&str>| part.map(str::to_owned);
        let (day, who) = (text(leg.account.period()), text(leg.account.user()));
        Some(Paid { kind, id: leg.account.source().to_owned(), day, who, amount })
    })
}

fn read(text: &str) -> Result<Catalog, String> {
    genquota::catalog::parse("catalog", text).map_err(|problems| problems.to_string())
}

fn subject() -> SubjectId {
    SubjectId::new("acme").unwrap()
}

fn reservation(number: usize) -> ReservationId {
    ReservationId::new(&format!("r{number}")).unwrap()
}

fn target() -> Target {
    Target { provider: ProviderId::new("lab").unwrap(), model: ModelId::new("small").unwrap() }
}

/// Whole units are images, anything else is sketches of a quarter each.
fn work(quarters: u32) -> (ActionId, Work) {
    let action = if quarters.is_multiple_of(4) { "image" } else { "sketch" };
    (ActionId::new(action).unwrap(), Work { items: work_like(quarters, quarters) })
}

fn work_like(asked: u32, quarters: u32) -> Vec<Item> {
    let count = if asked.is_multiple_of(4) { quarters / 4 } else { quarters };
    vec![Item { count, measures: [].into(), attributes: [].into() }]
}

/// The millionths that so many quarters count where the hold was of `asked`.
pub fn counted(asked: u32, quarters: u32) -> i64 {
    let whole = if asked.is_multiple_of(4) { quarters / 4 * 4 } else { quarters };
    i64::from(whole) * crate::plans::UNIT / 4
}

fn change(deed: &Deed, number: u64) -> Administration {
    let cadence = |every: Every| if every == Every::Year { Cadence::Year } else { Cadence::Month };
    let plan = |rank: usize| PlanId::new(&Plans::name(rank)).unwrap();
    let requested = match deed {
        Deed::Subscribe { plan: rank, billed, start, zone, seats } => Requested::Subscribe(NewSubscription {
            plan: plan(*rank),
            billing: cadence(*billed),
            start_time: *start,
            zone: zone.clone(),
            seats: *seats,
        }),
        Deed::Change(rank) => Requested::ChangePlan { plan: plan(*rank) },
        Deed::Cancel { now } => Requested::Cancel { now: *now },
        Deed::Seats { seats, vacate } => {
            Requested::SetSeats { seats: *seats, vacate: vacate.iter().map(|user| UserId::new(user).unwrap()).collect() }
        }
        Deed::AddOn { id, units } => Requested::SetAddOn { add_on: AddOnId::new(id).unwrap(), units: *units },
        Deed::Void(id) => Requested::VoidGrant { grant: GrantId::new(id).unwrap() },
        Deed::Override { id, limit } => Requested::SetOverride {
            of: LimitOf::Allowance(AllowanceId::new(id).unwrap()),
            limit: limit.map(|limit| limit.map_or(Limit::Unlimited, |limit| Limit::Amount(Micros::new(limit).unwrap()))),
        },
        Deed::Grant(grant) => {
            return Administration::Grant(NewGrant {
                id: GrantId::new(&grant.id).unwrap(),
                fingerprint: Fingerprint([3; 16]),
                detail: Box::default(),
                meter: MeterId::new("units").unwrap(),
                units: Micros::new(grant.units).unwrap(),
                kind: GrantKind::Purchased,
                effective_time: Some(grant.from),
                expire_time: grant.until,
                priority: grant.priority,
                requires_subscription: Some(grant.requires_subscription),
            });
        }
        Deed::Sit(_) => unreachable!("a seat is taken by its first use"),
    };
    let request = Request { id: RequestId::new(&format!("q{number}")).unwrap(), fingerprint: Fingerprint([4; 16]), detail: Box::default() };
    Administration::Requested(request, requested)
}
