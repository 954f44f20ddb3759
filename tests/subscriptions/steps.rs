//! What may happen to a subject, one thing after another.

use jiff::{SignedDuration, Span, Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::calendar::Anchor;
use crate::plans::{Every, Reload, UNIT, reloads};
use crate::reference::Reference;

pub const USERS: [&str; 4] = ["ann", "bob", "cid", "dee"];
pub const ZONES: [&str; 4] = ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"];
/// How long a story may last.
const YEARS: i64 = 3;

#[derive(Debug, Clone)]
pub enum Step {
    Subscribe {
        plan: Index,
        billed: Every,
        seats: Option<u32>,
        zone: Option<usize>,
        /// How many days ago it began; `None`: it begins now.
        ago: Option<i64>,
    },
    Change(Index),
    Cancel {
        now: bool,
    },
    Seats {
        seats: Option<u32>,
        vacate: Option<&'static str>,
    },
    AddOn {
        id: &'static str,
        units: u32,
    },
    Grant {
        units: i64,
        /// In days from now.
        from: i64,
        until: Option<i64>,
        priority: i32,
        requires_subscription: bool,
    },
    Void(Index),
    Override {
        id: &'static str,
        limit: Option<Option<i64>>,
    },
    Reserve {
        user: Option<&'static str>,
        quarters: u32,
    },
    Record {
        user: Option<&'static str>,
        quarters: u32,
    },
    Commit {
        which: Index,
        quarters: u32,
    },
    Release(Index),
    Refund {
        which: Index,
        /// `None`: all that is left.
        quarters: Option<u32>,
    },
    Reload(Reload),
    Wait(Wait),
}

#[derive(Debug, Clone, Copy)]
pub enum Wait {
    Seconds(i64),
    /// To the next boundary of a month or a year, give or take.
    Boundary(Every, i64),
    Days(i64),
    Months(i64),
}

fn users() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::weighted(0.85, prop::sample::select(&USERS[..]))
}

fn quarters() -> impl Strategy<Value = u32> {
    prop_oneof![4 => (1_u32..15).prop_map(|units| units * 4), 2 => 1_u32..60, 1 => 60_u32..200]
}

fn everies() -> impl Strategy<Value = Every> {
    prop_oneof![3 => Just(Every::Month), 1 => Just(Every::Year)]
}

pub fn waits() -> impl Strategy<Value = Wait> {
    let near = prop::sample::select(vec![-1_i64, 0, 0, 1, 1000, -1000]);
    prop_oneof![
        2 => (1_i64..2000).prop_map(Wait::Seconds),
        4 => (everies(), near).prop_map(|(every, millis)| Wait::Boundary(every, millis)),
        3 => (1_i64..40).prop_map(Wait::Days),
        1 => (1_i64..14).prop_map(Wait::Months),
    ]
}

pub fn subscribes() -> impl Strategy<Value = Step> {
    let seats = prop_oneof![2 => Just(None), 6 => (1_u32..5).prop_map(Some), 1 => Just(Some(0))];
    let ago = prop::option::weighted(0.15, 0_i64..400);
    (any::<Index>(), everies(), seats, prop::option::of(0..ZONES.len()), ago).prop_map(|(plan, billed, seats, zone, ago)| Step::Subscribe {
        plan,
        billed,
        seats,
        zone,
        ago,
    })
}

fn grants() -> impl Strategy<Value = Step> {
    let until = prop::option::of(1_i64..90);
    let from = prop_oneof![3 => Just(0), 1 => 1_i64..20];
    (1_i64..15, from, until, -1..2, any::<bool>()).prop_map(|(units, from, until, priority, requires_subscription)| Step::Grant {
        units: units * UNIT,
        from,
        until: until.map(|days| from + days),
        priority,
        requires_subscription,
    })
}

fn overrides() -> impl Strategy<Value = Step> {
    let limits = prop_oneof![4 => (0_i64..40).prop_map(|units| Some(Some(units * UNIT))), 1 => Just(Some(None)), 3 => Just(None)];
    (prop::sample::select(vec!["units", "other"]), limits).prop_map(|(id, limit)| Step::Override { id, limit })
}

pub fn steps() -> impl Strategy<Value = Step> {
    let add_ons = prop::sample::select(vec!["pack", "boost", "chair"]);
    let seats = (prop::option::weighted(0.8, 1_u32..6), prop::option::weighted(0.3, prop::sample::select(&USERS[..])));
    prop_oneof![
        4 => subscribes(),
        6 => any::<Index>().prop_map(Step::Change),
        2 => any::<bool>().prop_map(|now| Step::Cancel { now }),
        3 => seats.prop_map(|(seats, vacate)| Step::Seats { seats, vacate }),
        3 => (add_ons, 0_u32..4).prop_map(|(id, units)| Step::AddOn { id, units }),
        1 => grants(),
        1 => any::<Index>().prop_map(Step::Void),
        1 => overrides(),
        10 => (users(), quarters()).prop_map(|(user, quarters)| Step::Reserve { user, quarters }),
        1 => (users(), quarters()).prop_map(|(user, quarters)| Step::Record { user, quarters }),
        5 => (any::<Index>(), quarters()).prop_map(|(which, quarters)| Step::Commit { which, quarters }),
        2 => any::<Index>().prop_map(Step::Release),
        2 => (any::<Index>(), prop::option::of(1_u32..40)).prop_map(|(which, quarters)| Step::Refund { which, quarters }),
        1 => reloads().prop_map(Step::Reload),
        10 => waits().prop_map(Step::Wait),
    ]
}

impl Wait {
    /// The instant it lasts to, never before now and never beyond the story's end.
    pub fn until(self, reference: &Reference, now: Timestamp, start: Timestamp) -> Timestamp {
        let life = reference.life(now);
        let anchor = match &life.subscription {
            Some(subscription) => subscription.anchor.clone(),
            None => Anchor::of_nobody(reference.zone.clone()),
        };
        let later = |span: Span| now.to_zoned(anchor.zone.clone()).checked_add(span).unwrap().timestamp();
        let to = match self {
            Self::Seconds(seconds) => later(seconds.seconds()),
            Self::Boundary(every, millis) => anchor.period(every, now).end.checked_add(SignedDuration::from_millis(millis)).unwrap(),
            Self::Days(days) => later(days.days()),
            Self::Months(months) => later(months.months()),
        };
        let end = start.checked_add(SignedDuration::from_hours(24 * 366 * YEARS)).unwrap();
        to.max(now).min(end.max(now))
    }
}
