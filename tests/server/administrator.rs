//! The changes that an administrator makes of a subject, in few words.

use genquota::proto::v1;
use tonic::Status;

use crate::ask::fresh_id;
use crate::caller::Caller;

/// A change that is known by the id of its request.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    Subscribe(&'a str),
    Plan(&'a str),
    Cancel,
    CancelNow,
    Seats(i32),
    /// Frees the seats of these users.
    Vacate(&'a [&'a str]),
    AddOn(&'a str, i32),
    /// The amount of an allowance.
    Allowance(&'a str, &'a str),
    /// The limit of a cap.
    Cap(&'a str, &'a str),
    Void(&'a str),
    Suspend,
    Resume,
}

/// What a change came to.
#[derive(Debug)]
pub struct Changed {
    pub subject: v1::Subject,
    pub replayed: bool,
}

impl Caller {
    /// A change under an id of its own, which must go through.
    pub async fn changed(&self, change: Change<'_>) -> v1::Subject {
        let changed = self.change(change).await.unwrap();
        assert!(!changed.replayed, "{change:?}");
        changed.subject
    }

    /// A change under an id of its own.
    pub async fn change(&self, change: Change<'_>) -> Result<Changed, Status> {
        self.change_as(&fresh_id("change"), change).await
    }

    /// A change under a given id.
    pub async fn change_as(&self, id: &str, change: Change<'_>) -> Result<Changed, Status> {
        macro_rules! ask {
            ($rpc:ident, $request:ident { $($field:ident: $value:expr),* }) => {{
                let request = v1::$request { subject: self.subject.clone(), request_id: id.to_owned(), $($field: $value,)* ..Default::default() };
                let answer = self.admin().$rpc(request).await?.into_inner();
                Ok(Changed { subject: answer.subject.unwrap(), replayed: answer.replayed })
            }};
        }
        use v1::set_override_request::Limit;
        let named = |name: &str| name.to_owned();
        match change {
            Change::Subscribe(plan) => ask!(subscribe, SubscribeRequest { plan: named(plan) }),
            Change::Plan(plan) => ask!(change_plan, ChangePlanRequest { plan: named(plan) }),
            Change::Cancel => ask!(cancel_subscription, CancelSubscriptionRequest {}),
            Change::CancelNow => ask!(cancel_subscription, CancelSubscriptionRequest { now: true }),
            Change::Seats(seats) => ask!(set_seats, SetSeatsRequest { seats: Some(seats) }),
            Change::Vacate(users) => ask!(set_seats, SetSeatsRequest { vacate_users: users.iter().map(|user| named(user)).collect() }),
            Change::AddOn(add_on, units) => ask!(set_add_on, SetAddOnRequest { add_on: named(add_on), units: units }),
            Change::Allowance(id, value) => {
                ask!(set_override, SetOverrideRequest { limit: Some(Limit::Allowance(named(id))), value: named(value) })
            }
            Change::Cap(id, value) => ask!(set_override, SetOverrideRequest { limit: Some(Limit::Cap(named(id))), value: named(value) }),
            Change::Void(grant) => ask!(void_grant, VoidGrantRequest { grant_id: named(grant) }),
            Change::Suspend => ask!(suspend_subject, SuspendSubjectRequest {}),
            Change::Resume => ask!(resume_subject, ResumeSubjectRequest {}),
        }
    }

    /// What another plan would mean, now or at an instant.
    pub async fn preview(&self, plan: &str, at: &str) -> Result<v1::PreviewChangeResponse, Status> {
        let at = (!at.is_empty()).then(|| crate::ask::time(at));
        let request = v1::PreviewChangeRequest { subject: self.subject.clone(), plan: plan.to_owned(), at };
        Ok(self.admin().preview_change(request).await?.into_inner())
    }

    /// The subscription, which must run.
    pub async fn subscription(&self) -> v1::Subscription {
        self.shown().await.unwrap().subscription.unwrap()
    }
}
