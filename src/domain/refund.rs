//! Refunds: units that go back after a commit, to the very accounts and periods that paid them (L9).
//!
//! What goes back first is what was taken last: overage, then the sources against their burn order. Caps that count units get their count
//! back too; what the provider was paid, the number of requests and the events stay as they are.

use std::sync::Arc;

use jiff::Timestamp;

use super::amount::Micros;
use super::cap::CapOf;
use super::catalog::Catalog;
use super::charge::InvalidField;
use super::ids::{RequestId, SubjectId};
use super::ledger::{
    AccountKey, AccountKind, EventKind, Expected, Fingerprint, Leg, Movement, Next, Refunding, Row, Share, Step, Transaction,
};
use super::reservation::{Detail, REFUNDS_MAX, Refund};

/// A refund of a committed reservation, as it was last seen.
#[derive(Debug, Clone, Copy)]
pub struct RefundRequest<'a> {
    pub subject: &'a SubjectId,
    pub row: &'a Row,
    /// `None`: all that is left, which may be none.
    pub units: Option<Micros>,
    pub request: &'a RequestId,
    pub fingerprint: Fingerprint,
    pub note: &'a str,
}

impl RefundRequest<'_> {
    /// The refund that was made under this id, if there is one.
    pub fn known(&self) -> Option<&Refund> {
        self.row.detail.refunds.iter().find(|refund| refund.request == *self.request)
    }

    /// Works out the transaction; `None` where there is nothing to give back. `pinned` is the catalog the reservation was made under,
    /// `watched` are accounts that the answer is to tell of.
    pub fn work_out(&self, pinned: &Catalog, now: Timestamp, watched: Vec<AccountKey>) -> Result<Option<Transaction>, InvalidField> {
        let left = self.row.units_used();
        let units = self.units.unwrap_or(left);
        if units > left {
            return Err(InvalidField::new("units", format!("is more than is left to refund: {left}")));
        }
        if units.is_zero() {
            return Ok(None);
        }
        if self.row.detail.refunds.len() >= REFUNDS_MAX {
            return Err(InvalidField::new("request_id", format!("the reservation has {REFUNDS_MAX} refunds, which is the most")));
        }
        let (mut shares, overage) = paid(self.row, units);
        shares.extend(self.counted(pinned, units));
        Ok(Some(Transaction {
            subject: self.subject.clone(),
            judged_by: None,
            valid: None,
            dry_run: false,
            document: None,
            correction: None,
            step: Some(Step {
                id: self.row.id.clone(),
                fingerprint: self.fingerprint,
                expected: Expected::Version(self.row.version),
                movement: Movement::Refund(Refunding { shares, watched }),
                next: Next { state: self.row.state, ttl: None, detail: self.detail(units, overage, now), event: EventKind::Refunded },
            }),
        }))
    }

    /// What the caps of the receipt that count these units get back.
    fn counted(&self, pinned: &Catalog, units: Micros) -> impl Iterator<Item = Share> {
        let detail = &self.row.detail;
        let plan = detail.plan.as_ref().and_then(|plan| pinned.plans.get(plan));
        let counts = move |leg: &&Leg| {
            let of_plan = plan.iter().flat_map(|plan| &plan.terms).flat_map(|terms| &terms.caps);
            let mut caps = pinned.caps.iter().chain(of_plan).filter(|cap| cap.id.as_str() == leg.account.source()).peekable();
            caps.peek().is_some() && caps.all(|cap| matches!(&cap.of, CapOf::Units(meter) if Some(meter) == detail.meter.as_ref()))
        };
        let used = self.row.legs.iter().filter(|leg| leg.account.kind() == AccountKind::FlowCap && !leg.used.is_zero());
        used.filter(counts).map(move |leg| Share { account: leg.account.clone(), amount: leg.used.min(units) })
    }

    fn detail(&self, units: Micros, overage: Micros, now: Timestamp) -> Arc<Detail> {
        let mut detail = (*self.row.detail).clone();
        detail.refunds.push(Refund {
            request: self.request.clone(),
            fingerprint: self.fingerprint,
            units,
            overage,
            time: now,
            note: self.note.into(),
        });
        Arc::new(detail)
    }
}

/// What goes back to the accounts that paid, and the part of it that is overage.
fn paid(row: &Row, units: Micros) -> (Vec<Share>, Micros) {
    let paid = || row.legs.iter().rev().filter(|leg| leg.account.kind().pays() && !leg.used.is_zero());
    let is_overage = |leg: &&Leg| leg.account.kind() == AccountKind::Overage;
    let (mut left, mut overage, mut shares) = (units, Micros::ZERO, Vec::new());
    for leg in paid().filter(is_overage).chain(paid().filter(|leg| !is_overage(leg))) {
        let amount = leg.used.min(left);
        if amount.is_zero() {
            break;
        }
        left = left.less(amount);
        if is_overage(&leg) {
            overage = overage.checked_add(amount).unwrap_or(Micros::MAX);
        }
        shares.push(Share { account: leg.account.clone(), amount });
    }
    (shares, overage)
}
