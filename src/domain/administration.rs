//! Administration: what changes a subject's document, as pure functions from one version to the next.
//!
//! Every change is known by an id its caller made: a repeat changes nothing, the same id with another payload is an error.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::amount::Micros;
use super::catalog::Catalog;
use super::charge::InvalidField;
use super::ids::{GrantId, MeterId, PlanId, RequestId, SubjectId};
use super::ledger::Fingerprint;
use super::period::{Anchor, Cadence};
use super::plan::{Allowance, AllowancePer, Plan};
use super::reservation::Labels;
use super::subject::{Document, GRANTS_MAX, Grant, GrantKind, Subscription};

/// Most seats of one subscription.
pub const SEATS_MAX: u32 = 1_000_000;

/// A change and the id it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub id: RequestId,
    pub fingerprint: Fingerprint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Administration {
    Create {
        zone: TimeZone,
        labels: Labels,
        fingerprint: Fingerprint,
    },
    Subscribe {
        request: Request,
        plan: PlanId,
        billing: Cadence,
        start_time: Option<Timestamp>,
        zone: Option<TimeZone>,
        seats: Option<u32>,
    },
    Grant(NewGrant),
    VoidGrant {
        request: Request,
        grant: GrantId,
    },
    Suspend {
        request: Request,
    },
    Resume {
        request: Request,
    },
}

/// One-off credits to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    pub id: GrantId,
    pub fingerprint: Fingerprint,
    pub meter: MeterId,
    pub units: Micros,
    pub kind: GrantKind,
    pub effective_time: Option<Timestamp>,
    pub expire_time: Option<Timestamp>,
    pub priority: i32,
    pub requires_subscription: Option<bool>,
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It took effect before, or there is nothing to change.
    Before,
    Now(Box<Document>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdministrationError {
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    #[error("the subject is not known")]
    SubjectNotFound,
    #[error("grant `{0}` is not known")]
    GrantNotFound(GrantId),
    #[error("{0} was used before with another payload")]
    IdReused(&'static str),
    #[error("the subject has a subscription already")]
    SubscriptionExists,
}

use AdministrationError as Error;

impl Administration {
    /// The next version of a subject's document.
    pub fn apply(&self, catalog: &Catalog, subject: &SubjectId, document: Option<&Document>, now: Timestamp) -> Result<Applied, Error> {
        if let Self::Create { zone, labels, fingerprint } = self {
            return create(subject, document, zone, labels, *fingerprint, now);
        }
        let document = document.ok_or(Error::SubjectNotFound)?;
        if let Some(request) = self.request()
            && let Some(known) = document.request(&request.id)
        {
            return if known == request.fingerprint { Ok(Applied::Before) } else { Err(Error::IdReused("request_id")) };
        }
        let mut next = document.clone();
        if let Some(request) = self.request() {
            next.remember(request.id.clone(), request.fingerprint);
        }
        match self {
            Self::Create { .. } => {}
            Self::Subscribe { plan, billing, start_time, zone, seats, .. } => {
                if next.subscription.is_some() {
                    return Err(Error::SubscriptionExists);
                }
                let zone = zone.clone().unwrap_or_else(|| document.zone.clone());
                let start_time = start_time.unwrap_or(now);
                next.subscription = Some(subscription(catalog, plan, *billing, start_time, zone, *seats, now)?);
            }
            Self::Grant(new) => return grant(catalog, next, new, now),
            Self::VoidGrant { grant, .. } => {
                let known = next.grants.iter_mut().find(|known| known.id == *grant).ok_or_else(|| Error::GrantNotFound(grant.clone()))?;
                known.void_time = known.void_time.or(Some(now));
            }
            Self::Suspend { .. } => next.suspended = true,
            Self::Resume { .. } => next.suspended = false,
        }
        Ok(Applied::Now(Box::new(next)))
    }

    fn request(&self) -> Option<&Request> {
        match self {
            Self::Create { .. } | Self::Grant(_) => None,
            Self::Subscribe { request, .. } | Self::VoidGrant { request, .. } | Self::Suspend { request } | Self::Resume { request } => {
                Some(request)
            }
        }
    }
}

fn create(
    subject: &SubjectId,
    document: Option<&Document>,
    zone: &TimeZone,
    labels: &Labels,
    fingerprint: Fingerprint,
    now: Timestamp,
) -> Result<Applied, Error> {
    match document {
        Some(document) if document.created_by == fingerprint => Ok(Applied::Before),
        Some(_) => Err(Error::IdReused("subject")),
        None => {
            let mut document = Document::new(subject.clone(), fingerprint, now, zone.clone());
            document.labels = labels.clone();
            Ok(Applied::Now(Box::new(document)))
        }
    }
}

fn subscription(
    catalog: &Catalog,
    plan: &PlanId,
    billing: Cadence,
    start_time: Timestamp,
    zone: TimeZone,
    seats: Option<u32>,
    now: Timestamp,
) -> Result<Subscription, InvalidField> {
    let known = || catalog.plans.keys().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    let terms =
        catalog.plans.get(plan).ok_or_else(|| InvalidField::new("plan", format!("`{plan}` is not in the catalog; it has {}", known())))?;
    if start_time > now {
        return Err(InvalidField::new("start_time", format!("lies in the future: {start_time}")));
    }
    let anchor = Anchor::at(start_time, zone.clone());
    if let Some(from) = terms.terms[0].from.filter(|from| anchor.day < *from) {
        return Err(InvalidField::new(
            "start_time",
            format!("plan `{plan}` is offered from {from} on; the subscription would start on {}", anchor.day),
        ));
    }
    let seats = match (counts_by_seat(terms), seats) {
        (true, None) => 1,
        (true, Some(0)) => return Err(InvalidField::new("seats", format!("plan `{plan}` counts by seat and needs at least 1"))),
        (_, Some(seats)) if seats > SEATS_MAX => {
            return Err(InvalidField::new("seats", format!("must be at most {SEATS_MAX}; got {seats}")));
        }
        (_, seats) => seats.unwrap_or(0),
    };
    Ok(Subscription { plan: plan.clone(), billing, start_time, zone, seats, occupied: std::collections::BTreeMap::new() })
}

fn counts_by_seat(plan: &Plan) -> bool {
    let by_seat = |allowance: &Allowance| matches!(allowance.per, AllowancePer::Seat | AllowancePer::SeatsPooled);
    plan.terms.iter().any(|terms| terms.allowances.iter().any(by_seat))
}

fn grant(catalog: &Catalog, mut document: Document, new: &NewGrant, now: Timestamp) -> Result<Applied, Error> {
    if let Some(known) = document.grants.iter().find(|known| known.id == new.id) {
        return if known.created_by == new.fingerprint { Ok(Applied::Before) } else { Err(Error::IdReused("grant_id")) };
    }
    if !catalog.meters.contains_key(&new.meter) {
        let known: Vec<_> = catalog.meters.keys().map(|known| format!("`{known}`")).collect();
        return Err(InvalidField::new("meter", format!("`{}` is not in the catalog; it has {}", new.meter, known.join(", "))).into());
    }
    if document.grants.len() >= GRANTS_MAX {
        return Err(InvalidField::new("grant_id", format!("the subject has {GRANTS_MAX} grants, which is the most")).into());
    }
    let effective_time = new.effective_time.unwrap_or(now);
    let expire_time = new.expire_time.or_else(|| period_end(catalog, &document, effective_time));
    if expire_time.is_some_and(|expires| expires <= effective_time) {
        return Err(InvalidField::new("expire_time", format!("must be after the effective time: {effective_time}")).into());
    }
    document.grants.push(Grant {
        id: new.id.clone(),
        created_by: new.fingerprint,
        meter: new.meter.clone(),
        units: new.units,
        kind: new.kind,
        effective_time,
        expire_time,
        priority: new.priority,
        requires_subscription: new.requires_subscription.unwrap_or(catalog.credits.requires_subscription),
        create_time: now,
        void_time: None,
    });
    Ok(Applied::Now(Box::new(document)))
}

/// When credits end that the catalog ties to the period (P8).
fn period_end(catalog: &Catalog, document: &Document, at: Timestamp) -> Option<Timestamp> {
    let subscription = document.subscription.as_ref().filter(|_| catalog.credits.end_with_period)?;
    let anchor = Anchor::at(subscription.start_time, subscription.zone.clone());
    anchor.period(Cadence::Month, at).ok().map(|period| period.end)
}
