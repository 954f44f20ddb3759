//! Bookings: holds that a sidecar knows of and the ledger does not, set down afterwards.
//!
//! What was let pass in an outage has happened, so like recorded usage it is always booked: from the sources of the instant it was judged
//! at, in burn order, and as overage what none of them can pay. From then on it is a hold like any other.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::amount::Micros;
use super::cap::CapAmounts;
use super::catalog::Catalog;
use super::charge::{Charge, ChargeError};
use super::ids::{ReservationId, SubjectId};
use super::ledger::{EventKind, Expected, Fingerprint, Leg, Movement, Next, Row, Side, State, Step, Take, Transaction};
use super::reservation::Detail;
use super::settlement::caps_of;
use super::view::{Seat, View};

/// A hold that is let pass without the ledger, as the sidecar keeps it until it is booked. Its version is one that no ledger gives, and
/// all its units stand on the overage account: nobody knows yet who pays.
pub fn unbooked(charge: &Charge<'_>, detail: Detail, id: ReservationId, fingerprint: Fingerprint, ttl: SignedDuration) -> Row {
    let overage = charge.overage.iter().filter(|_| !charge.units.is_zero());
    Row {
        id,
        version: 0,
        sequence: 0,
        state: State::Held,
        opened_by: fingerprint,
        settled_by: None,
        create_time: charge.now,
        began: charge.now,
        deadline: charge.now.checked_add(ttl).unwrap_or(Timestamp::MAX),
        settle_time: None,
        legs: overage.map(|account| Leg { account: account.clone(), held: charge.units, used: Micros::ZERO }).collect(),
        late: false,
        detail: Arc::new(Detail { unenforced: true, ..detail }),
    }
}

/// The transaction that books a hold. `pinned` is the catalog it was judged by, `then` the subject as it is now, at the instant it was
/// judged at. It lasts for `ttl` from the store's now; with none it expires at once, and whatever settles it is late.
pub fn book(pinned: &Catalog, then: &View<'_>, subject: &SubjectId, row: &Row, ttl: SignedDuration) -> Result<Transaction, ChargeError> {
    let detail = &row.detail;
    let units = row.units_held();
    let sources = match &detail.meter {
        Some(meter) => then.sources(meter, detail.user.as_ref())?.0,
        None => Vec::new(),
    };
    let amounts = CapAmounts { meter: detail.meter.as_ref(), units, cost: detail.cost_reserved, requests: Micros::ONE_UNIT };
    let take = Take {
        units,
        sources: sources.into_iter().map(|source| source.source).collect(),
        whole: false,
        overage: detail.meter.as_ref().map(|meter| then.overage(meter)),
        caps: caps_of(pinned, detail, then, &amounts)?,
    };
    let seat = detail.meter.as_ref().map_or(Seat::None, |meter| then.seat(meter, detail.user.as_ref()));
    let seated = detail.user.as_ref().filter(|_| seat == Seat::Taken && !units.is_zero());
    Ok(Transaction {
        subject: subject.clone(),
        judged_by: Some(then.version()),
        valid: None,
        dry_run: false,
        document: seated.and_then(|user| then.seated(user)),
        correction: None,
        step: Some(Step {
            id: row.id.clone(),
            fingerprint: row.opened_by,
            expected: Expected::Absent,
            movement: Movement::Move { take, into: Side::Reserved },
            next: Next { state: State::Held, ttl: Some(ttl), detail: detail.clone(), event: EventKind::Reserved },
        }),
    })
}
