//! Requests for changes of a subject, as commands.

use super::show::UNLIMITED;
use crate::domain::administration::{LimitOf, NewGrant, NewSubscription, Request, Requested};
use crate::domain::ids::{AddOnId, AllowanceId, CapId, GrantId, MeterId, PlanId, RequestId, UserId};
use crate::domain::overrides::Limit;
use crate::domain::period::Cadence;
use crate::domain::subject::GrantKind;
use crate::grpc::read::{Reader, fingerprint};
use crate::proto::v1;

/// Most users whose seats one call frees.
const VACATE_MAX: usize = 100;

/// The id by which a change is known, and why it is made.
pub(super) fn request(reader: &mut Reader, rpc: &str, id: &str, detail: &str, message: &impl prost::Message) -> Option<Request> {
    let id = reader.id("request_id", id, RequestId::new);
    let detail = reader.detail(detail);
    Some(Request { id: id?, fingerprint: fingerprint(rpc, message), detail: detail? })
}

pub(super) fn subscribe(reader: &mut Reader, request: &v1::SubscribeRequest) -> Option<Requested> {
    let plan = reader.id("plan", &request.plan, PlanId::new);
    let billing = match v1::BillingInterval::try_from(request.billing_interval) {
        Ok(v1::BillingInterval::Unspecified | v1::BillingInterval::Month) => Some(Cadence::Month),
        Ok(v1::BillingInterval::Year) => Some(Cadence::Year),
        Err(_) => reader.problem("billing_interval", "must be `BILLING_INTERVAL_MONTH` or `BILLING_INTERVAL_YEAR`"),
    };
    let start_time = reader.time("start_time", request.start_time.as_ref());
    let zone = reader.zone("time_zone", &request.time_zone);
    let seats = seats(reader, request.seats);
    Some(Requested::Subscribe(NewSubscription { plan: plan?, billing: billing?, start_time: start_time?, zone: zone?, seats: seats? }))
}

pub(super) fn set_seats(reader: &mut Reader, request: &v1::SetSeatsRequest) -> Option<Requested> {
    let seats = seats(reader, request.seats);
    let vacate = match request.vacate_users.len() {
        ..=VACATE_MAX => {
            let users = request.vacate_users.iter().enumerate();
            let users: Vec<_> = users.map(|(index, user)| reader.id(&format!("vacate_users[{index}]"), user, UserId::new)).collect();
            users.into_iter().collect::<Option<Vec<_>>>()
        }
        many => reader.problem("vacate_users", format!("has {many} users; at most {VACATE_MAX} are allowed")),
    };
    Some(Requested::SetSeats { seats: seats?, vacate: vacate? })
}

pub(super) fn set_add_on(reader: &mut Reader, request: &v1::SetAddOnRequest) -> Option<Requested> {
    let add_on = reader.id("add_on", &request.add_on, AddOnId::new);
    let units = match u32::try_from(request.units) {
        Ok(units) => Some(units),
        Err(_) => reader.problem("units", "must not be negative"),
    };
    Some(Requested::SetAddOn { add_on: add_on?, units: units? })
}

pub(super) fn set_override(reader: &mut Reader, request: &v1::SetOverrideRequest) -> Option<Requested> {
    use v1::set_override_request::Limit as Named;
    let of = match &request.limit {
        Some(Named::Allowance(id)) => reader.id("allowance", id, AllowanceId::new).map(LimitOf::Allowance),
        Some(Named::Cap(id)) => reader.id("cap", id, CapId::new).map(LimitOf::Cap),
        None => reader.problem("limit", "is missing: name an `allowance` or a `cap`"),
    };
    let limit = match request.value.as_str() {
        "" => Some(None),
        UNLIMITED => Some(Some(Limit::Unlimited)),
        amount => reader.amount("value", amount).map(|amount| Some(Limit::Amount(amount))),
    };
    Some(Requested::SetOverride { of: of?, limit: limit? })
}

pub(super) fn grant(reader: &mut Reader, request: &v1::GrantCreditsRequest) -> Option<NewGrant> {
    let id = reader.id("grant_id", &request.grant_id, GrantId::new);
    let meter = reader.id("meter", &request.meter, MeterId::new);
    let units = reader.positive_amount("units", &request.units);
    let kind = match v1::GrantKind::try_from(request.kind) {
        Ok(v1::GrantKind::Unspecified | v1::GrantKind::Manual) => Some(GrantKind::Manual),
        Ok(v1::GrantKind::Promotional) => Some(GrantKind::Promotional),
        Ok(v1::GrantKind::Purchased) => Some(GrantKind::Purchased),
        Err(_) => reader.problem("kind", "must be `GRANT_KIND_PROMOTIONAL`, `GRANT_KIND_PURCHASED` or `GRANT_KIND_MANUAL`"),
    };
    let effective_time = reader.time("effective_time", request.effective_time.as_ref());
    let expire_time = reader.time("expire_time", request.expire_time.as_ref());
    let detail = reader.detail(&request.detail);
    Some(NewGrant {
        id: id?,
        detail: detail?,
        fingerprint: fingerprint("GrantCredits", request),
        meter: meter?,
        units: units?,
        kind: kind?,
        effective_time: effective_time?,
        expire_time: expire_time?,
        priority: request.priority,
        requires_subscription: request.requires_subscription,
    })
}

fn seats(reader: &mut Reader, seats: Option<i32>) -> Option<Option<u32>> {
    match seats.map(u32::try_from).transpose() {
        Ok(seats) => Some(seats),
        Err(_) => reader.problem("seats", "must not be negative"),
    }
}
