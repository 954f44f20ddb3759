//! One-off credits: given and voided (P8).

use jiff::Timestamp;

use super::{AdministrationError as Error, Applied, unknown};
use crate::domain::amount::Micros;
use crate::domain::catalog::Catalog;
use crate::domain::charge::InvalidField;
use crate::domain::ids::{GrantId, MeterId};
use crate::domain::ledger::Fingerprint;
use crate::domain::period::Cadence;
use crate::domain::subject::{Change, Document, GRANTS_MAX, Grant, GrantKind};

/// One-off credits to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    pub id: GrantId,
    pub fingerprint: Fingerprint,
    /// Why, in the caller's words.
    pub detail: Box<str>,
    pub meter: MeterId,
    pub units: Micros,
    pub kind: GrantKind,
    pub effective_time: Option<Timestamp>,
    pub expire_time: Option<Timestamp>,
    pub priority: i32,
    pub requires_subscription: Option<bool>,
}

impl NewGrant {
    pub(super) fn give(&self, catalog: &Catalog, mut document: Document, now: Timestamp) -> Result<Applied, Error> {
        if let Some(known) = document.grants.iter().find(|known| known.id == self.id) {
            return if known.created_by == self.fingerprint { Ok(Applied::Before) } else { Err(Error::IdReused("grant_id")) };
        }
        if !catalog.meters.contains_key(&self.meter) {
            return Err(unknown("meter", self.meter.as_str(), catalog.meters.keys().map(MeterId::as_str)).into());
        }
        if document.grants.len() >= GRANTS_MAX {
            return Err(InvalidField::new("grant_id", format!("the subject has {GRANTS_MAX} grants, which is the most")).into());
        }
        let effective_time = self.effective_time.unwrap_or(now);
        let expire_time = self.expire_time.or_else(|| period_end(catalog, &document, effective_time));
        if expire_time.is_some_and(|expires| expires <= effective_time) {
            return Err(InvalidField::new("expire_time", format!("must be after the effective time: {effective_time}")).into());
        }
        document.grants.push(Grant {
            id: self.id.clone(),
            created_by: self.fingerprint,
            meter: self.meter.clone(),
            units: self.units,
            kind: self.kind,
            effective_time,
            expire_time,
            priority: self.priority,
            requires_subscription: self.requires_subscription.unwrap_or(catalog.credits.requires_subscription),
            create_time: now,
            void_time: None,
        });
        document.changed(Change::new("GrantCredits", None, self.id.as_str(), &self.detail), now);
        Ok(Applied::Now(Box::new(document)))
    }
}

/// Takes what is left of a grant out of use.
pub(super) fn void(document: &mut Document, grant: &GrantId, now: Timestamp) -> Result<String, Error> {
    let known = document.grants.iter_mut().find(|known| known.id == *grant).ok_or_else(|| Error::GrantNotFound(grant.clone()))?;
    known.void_time = known.void_time.or(Some(now));
    Ok(grant.to_string())
}

/// When credits end that the catalog ties to the period (P8).
fn period_end(catalog: &Catalog, document: &Document, at: Timestamp) -> Option<Timestamp> {
    let subscription = document.subscription.as_ref().filter(|_| catalog.credits.end_with_period)?;
    subscription.plan(at)?;
    subscription.anchor().period(Cadence::Month, at).ok().map(|period| period.end)
}
