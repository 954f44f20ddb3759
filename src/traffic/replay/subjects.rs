//! Who the subjects were: as a ledger tells, or as their events let assume.
//!
//! From cost events alone, a subject is on the plan its events name, since the first day of the month of its first event, in UTC, with a seat
//! for each of its users and without grants.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::FINGERPRINT;
use crate::domain::ids::{PlanId, SubjectId, UserId};
use crate::domain::period::Cadence;
use crate::domain::subject::Document;
use crate::domain::subscription::Subscription;
use crate::domain::timeline::Timeline;
use crate::traffic::read::LedgerFile;
use crate::traffic::{Attempted, Traffic};

/// What is known of all subjects.
pub(super) struct Subjects {
    plans: BTreeMap<PlanId, PlanId>,
    /// Documents at the beginning; `None` where there is no ledger to tell.
    first: Option<Vec<Document>>,
    /// Who used a subject, where nothing else tells how many seats it has.
    seats: HashMap<SubjectId, u32>,
}

impl Subjects {
    pub(super) fn of(traffic: &Traffic, plans: BTreeMap<PlanId, PlanId>) -> Self {
        let mut subjects = Self { plans, first: None, seats: HashMap::new() };
        match &traffic.ledger {
            Some(ledger) => {
                let began = traffic.attempts.iter().map(|attempt| attempt.start).min().unwrap_or(Timestamp::MAX);
                subjects.first = Some(before(ledger, began).into_iter().map(|document| subjects.planned(document)).collect());
            }
            None => subjects.seats = seats(&traffic.attempts),
        }
        subjects
    }

    /// The documents to begin with.
    pub(super) fn at_first(&mut self) -> Vec<Document> {
        self.first.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A document that an administrator changed. Who sits is the replay's own doing, as long as the subscription is the same.
    pub(super) fn changed(&self, document: &Arc<Document>, current: Option<&Document>) -> Document {
        let mut next = self.planned((**document).clone());
        if let Some(subscription) = &mut next.subscription {
            let same =
                current.and_then(|current| current.subscription.as_ref()).filter(|known| known.start_time == subscription.start_time);
            let (occupied, vacated) = same.map(|known| (known.occupied.clone(), known.vacated.clone())).unwrap_or_default();
            (subscription.occupied, subscription.vacated) = (occupied, vacated);
        }
        next
    }

    /// The document an attempt lets assume, where it is another than the present one. `None` too where a ledger tells.
    pub(super) fn assumed(&self, attempt: &Attempted, current: Option<&Document>) -> Option<Document> {
        let plan = attempt.plan.as_ref().filter(|_| self.first.is_none())?;
        let plan = self.plans.get(plan).unwrap_or(plan);
        let subscribed = current.and_then(|current| current.subscription.as_ref());
        if subscribed.is_some_and(|subscription| subscription.plan(attempt.start) == Some(plan)) {
            return None;
        }
        let mut document =
            current.cloned().unwrap_or_else(|| Document::new(attempt.subject.clone(), FINGERPRINT, attempt.start, TimeZone::UTC));
        document.subscription = Some(match subscribed {
            // Events do not tell whether it was changed within a period: it is taken for the plan of all of it.
            Some(known) => Subscription { plans: Timeline::from(known.start_time, Some(plan.clone())), ..known.clone() },
            None => {
                let seats = self.seats.get(&attempt.subject).copied().unwrap_or(1);
                Subscription::new(plan.clone(), Cadence::Month, month_of(attempt.start), TimeZone::UTC, seats)
            }
        });
        Some(document)
    }

    /// With the plan that takes the place of the one it names.
    fn planned(&self, mut document: Document) -> Document {
        let earlier = document.earlier.as_deref_mut();
        for subscription in document.subscription.as_mut().into_iter().chain(earlier) {
            subscription.plans.map(|plan| plan.map(|plan| self.plans.get(&plan).cloned().unwrap_or(plan)));
        }
        document
    }
}

/// Every plan that traffic depends on.
pub(super) fn plans_of(traffic: &Traffic) -> BTreeSet<PlanId> {
    let of = |document: &Arc<Document>| -> Vec<PlanId> {
        let subscriptions = document.subscription.iter().chain(document.earlier.as_deref());
        subscriptions.flat_map(|known| known.plans.steps()).filter_map(|(_, plan)| plan.clone()).collect()
    };
    match &traffic.ledger {
        Some(ledger) => ledger.documents.values().chain(ledger.changes.iter().map(|(_, document)| document)).flat_map(of).collect(),
        None => traffic.attempts.iter().filter_map(|attempt| attempt.plan.clone()).collect(),
    }
}

/// The documents as they were before anything happened that the file tells of.
fn before(ledger: &LedgerFile, began: Timestamp) -> Vec<Document> {
    let mut documents: BTreeMap<&SubjectId, Document> =
        ledger.documents.iter().map(|(subject, document)| (subject, (**document).clone())).collect();
    // The first change of each is the last one that is looked at.
    for (time, document) in ledger.changes.iter().rev() {
        match without_later(document, *time) {
            Some(document_before) => documents.insert(&document.subject, document_before),
            None => documents.remove(&document.subject),
        };
    }
    for document in documents.values_mut() {
        if let Some(subscription) = &mut document.subscription {
            subscription.occupied.retain(|_, seat| seat.since < began);
        }
    }
    documents.into_values().collect()
}

/// A document less what was added at an instant or later; `None` if that is all of it.
fn without_later(document: &Document, time: Timestamp) -> Option<Document> {
    (document.create_time < time).then(|| {
        let mut before = document.clone();
        before.grants.retain(|grant| grant.create_time < time);
        before.subscription = before.subscription.filter(|subscription| subscription.start_time < time);
        before.earlier = before.earlier.filter(|subscription| subscription.start_time < time);
        before
    })
}

fn seats(attempts: &[Attempted]) -> HashMap<SubjectId, u32> {
    let mut users: HashMap<&SubjectId, BTreeSet<&UserId>> = HashMap::new();
    for attempt in attempts {
        users.entry(&attempt.subject).or_default().extend(&attempt.user);
    }
    users.into_iter().map(|(subject, users)| (subject.clone(), u32::try_from(users.len()).unwrap_or(u32::MAX).max(1))).collect()
}

/// 00:00 UTC on the first day of the month.
fn month_of(time: Timestamp) -> Timestamp {
    let day = time.to_zoned(TimeZone::UTC).date().first_of_month();
    day.to_zoned(TimeZone::UTC).map_or(time, |midnight| midnight.timestamp())
}
