//! Subjects: what administrators set down of one (product.md chapter 3).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::amount::Micros;
use super::ids::{GrantId, MeterId, RequestId, SubjectId};
use super::ledger::Fingerprint;
use super::overrides::Overrides;
use super::reservation::Labels;
use super::subscription::Subscription;

/// Administrative requests remembered per subject, so that a repeat is known. A caller that retries after 64 later changes is lost.
pub const REQUESTS_REMEMBERED: usize = 64;
/// Most grants of one subject. Bounds a document, and the sources of one decision.
pub const GRANTS_MAX: usize = 1000;

/// A subject's row, as administrators wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub subject: SubjectId,
    /// Rises by one with every change; the first is 1.
    pub version: u64,
    pub created_by: Fingerprint,
    pub create_time: Timestamp,
    /// What the last change was, and when: the audit of the event that holds this version.
    pub change: Change,
    pub update_time: Timestamp,
    pub suspended: bool,
    pub zone: TimeZone,
    pub labels: Labels,
    /// The latest; it may have ended.
    pub subscription: Option<Subscription>,
    /// The one before, for what was held under it.
    pub earlier: Option<Box<Subscription>>,
    pub grants: Vec<Grant>,
    pub overrides: Overrides,
    /// Oldest first, at most [`REQUESTS_REMEMBERED`].
    pub requests: Vec<(RequestId, Fingerprint)>,
}

/// One change of a document, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The method that made it, such as `ChangePlan`, or `TakeSeat` where a call of the user was the first.
    pub operation: Box<str>,
    /// The caller's id; `None` where the change is known by another one, such as a grant's.
    pub request: Option<RequestId>,
    /// What it was about: a plan, a user, a grant.
    pub about: Box<str>,
    /// Why, in the caller's words.
    pub detail: Box<str>,
}

/// One-off credits. Never deleted: voided (P8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub id: GrantId,
    pub created_by: Fingerprint,
    pub meter: MeterId,
    pub units: Micros,
    pub kind: GrantKind,
    pub effective_time: Timestamp,
    pub expire_time: Option<Timestamp>,
    /// Lower burns first.
    pub priority: i32,
    pub requires_subscription: bool,
    pub create_time: Timestamp,
    pub void_time: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantKind {
    Promotional,
    Purchased,
    Manual,
}

impl Document {
    /// A subject nobody has set anything for.
    pub fn new(subject: SubjectId, created_by: Fingerprint, create_time: Timestamp, zone: TimeZone) -> Self {
        Self {
            subject,
            version: 0,
            created_by,
            create_time,
            change: Change::new("CreateSubject", None, "", ""),
            update_time: create_time,
            suspended: false,
            zone,
            labels: Labels::new(),
            subscription: None,
            earlier: None,
            grants: Vec::new(),
            overrides: Overrides::default(),
            requests: Vec::new(),
        }
    }

    /// The subscription that is or was the subject's at an instant; it may have ended by then.
    pub fn subscription_at(&self, at: Timestamp) -> Option<&Subscription> {
        let earlier = self.earlier.as_deref();
        self.subscription.iter().chain(earlier).find(|subscription| subscription.start_time <= at)
    }

    /// Notes what is changed now. Time does not run back behind a change.
    pub fn changed(&mut self, change: Change, now: Timestamp) {
        self.change = change;
        self.update_time = self.update_time.max(now);
    }

    /// What an administrative request with this id was, if it is still remembered.
    pub fn request(&self, id: &RequestId) -> Option<Fingerprint> {
        self.requests.iter().find(|(known, _)| known == id).map(|(_, fingerprint)| *fingerprint)
    }

    pub fn remember(&mut self, id: RequestId, fingerprint: Fingerprint) {
        self.requests.push((id, fingerprint));
        if self.requests.len() > REQUESTS_REMEMBERED {
            self.requests.remove(0);
        }
    }
}

impl Change {
    pub fn new(operation: &str, request: Option<RequestId>, about: &str, detail: &str) -> Self {
        Self { operation: operation.into(), request, about: about.into(), detail: detail.into() }
    }
}
