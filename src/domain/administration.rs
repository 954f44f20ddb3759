//! Administration: what changes a subject's document, as pure functions from one version to the next.
//!
//! Every change is known by an id its caller made: a repeat changes nothing, the same id with another payload is an error. What gives
//! more acts at once; what gives less waits for the end of what was bought, and stands in the document until then (P11, P12).

mod grants;
mod limits;
mod plans;
mod seats;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::catalog::Catalog;
use super::charge::InvalidField;
use super::ids::{AddOnId, GrantId, PlanId, RequestId, SubjectId, UserId};
use super::ledger::Fingerprint;
use super::overrides::Limit;
use super::period::OutOfCalendar;
use super::reservation::Labels;
use super::subject::{Change, Document};
use super::subscription::Subscription;

pub use self::grants::NewGrant;
pub use self::limits::LimitOf;
pub use self::plans::NewSubscription;
pub(super) use self::plans::change as change_plan;

/// Most seats of one subscription.
pub const SEATS_MAX: u32 = 1_000_000;
/// Most units of one add-on.
pub const UNITS_MAX: u32 = 1_000_000;

/// A change and the id it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub id: RequestId,
    pub fingerprint: Fingerprint,
    /// Why, in the caller's words.
    pub detail: Box<str>,
}

/// One change that an administrator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Administration {
    Create {
        zone: TimeZone,
        labels: Labels,
        fingerprint: Fingerprint,
    },
    Grant(NewGrant),
    /// Everything else is known by its request.
    Requested(Request, Requested),
}

/// A change that is known by the id of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    Subscribe(NewSubscription),
    ChangePlan {
        plan: PlanId,
    },
    Cancel {
        now: bool,
    },
    /// How many seats, where that is said, and whose seats become free.
    SetSeats {
        seats: Option<u32>,
        vacate: Vec<UserId>,
    },
    SetAddOn {
        add_on: AddOnId,
        units: u32,
    },
    VoidGrant {
        grant: GrantId,
    },
    Suspend,
    Resume,
    /// `None`: the plan's own limit again.
    SetOverride {
        of: LimitOf,
        limit: Option<Limit>,
    },
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It took effect before.
    Before,
    Now(Box<Document>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdministrationError {
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    #[error("the subject is not known")]
    SubjectNotFound,
    #[error("the subject has no running subscription")]
    SubscriptionNotFound,
    #[error("grant `{0}` is not known")]
    GrantNotFound(GrantId),
    #[error("{0} was used before with another payload")]
    IdReused(&'static str),
    #[error("the subject has a subscription already")]
    SubscriptionExists,
    #[error("the time {0}")]
    Calendar(#[from] OutOfCalendar),
}

use AdministrationError as Error;

impl Administration {
    /// The next version of a subject's document.
    pub fn apply(&self, catalog: &Catalog, subject: &SubjectId, document: Option<&Document>, now: Timestamp) -> Result<Applied, Error> {
        match self {
            Self::Create { zone, labels, fingerprint } => create(subject, document, zone, labels, *fingerprint, now),
            Self::Grant(new) => {
                let (next, now) = begun(document.ok_or(Error::SubjectNotFound)?, now);
                new.give(catalog, next, now)
            }
            Self::Requested(request, requested) => {
                let document = document.ok_or(Error::SubjectNotFound)?;
                match document.request(&request.id) {
                    Some(known) if known == request.fingerprint => Ok(Applied::Before),
                    Some(_) => Err(Error::IdReused("request_id")),
                    None => {
                        let (mut next, now) = begun(document, now);
                        let about = requested.carry_out(catalog, &mut next, now)?;
                        next.remember(request.id.clone(), request.fingerprint);
                        next.changed(Change::new(requested.name(), Some(request.id.clone()), &about, &request.detail), now);
                        Ok(Applied::Now(Box::new(next)))
                    }
                }
            }
        }
    }
}

impl Requested {
    /// The method that asks for it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Subscribe(_) => "Subscribe",
            Self::ChangePlan { .. } => "ChangePlan",
            Self::Cancel { .. } => "CancelSubscription",
            Self::SetSeats { .. } => "SetSeats",
            Self::SetAddOn { .. } => "SetAddOn",
            Self::VoidGrant { .. } => "VoidGrant",
            Self::Suspend => "SuspendSubject",
            Self::Resume => "ResumeSubject",
            Self::SetOverride { .. } => "SetOverride",
        }
    }

    /// Changes the document, and says what the change was about.
    fn carry_out(&self, catalog: &Catalog, document: &mut Document, now: Timestamp) -> Result<String, Error> {
        match self {
            Self::Subscribe(new) => new.subscribe(catalog, document, now),
            Self::ChangePlan { plan } => plans::change(catalog, running(document, now)?, plan, now),
            Self::Cancel { now: at_once } => plans::cancel(running(document, now)?, *at_once, now),
            Self::SetSeats { seats, vacate } => seats::set(catalog, running(document, now)?, *seats, vacate, now),
            Self::SetAddOn { add_on, units } => limits::set_add_on(catalog, running(document, now)?, add_on, *units, now),
            Self::VoidGrant { grant } => grants::void(document, grant, now),
            Self::Suspend => {
                document.suspended = true;
                Ok(String::new())
            }
            Self::Resume => {
                document.suspended = false;
                Ok(String::new())
            }
            Self::SetOverride { of, limit } => limits::set_override(catalog, document, of, *limit, now),
        }
    }
}

/// The subscription of a subject that is subscribed now.
pub fn running(document: &mut Document, now: Timestamp) -> Result<&mut Subscription, Error> {
    let known = document.subscription.as_mut().filter(|known| known.start_time <= now && known.plan(now).is_some());
    known.ok_or(Error::SubscriptionNotFound)
}

/// A document as time has left it, to be changed now. No change comes before the one before it, whatever a clock says.
pub(super) fn begun(document: &Document, now: Timestamp) -> (Document, Timestamp) {
    let now = now.max(document.update_time);
    let mut next = document.clone();
    if let Some(subscription) = &mut next.subscription {
        subscription.close_seats(now);
        subscription.forget(now);
    }
    (next, now)
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

/// That a catalog has no such name, and which it has.
fn unknown<'a>(field: &str, name: &str, known: impl Iterator<Item = &'a str>) -> InvalidField {
    let known: Vec<_> = known.map(|known| format!("`{known}`")).collect();
    let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    InvalidField::new(field, format!("`{name}` is not in the catalog; it has {has}"))
}
