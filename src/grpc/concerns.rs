//! Which subject a request is about: the one place that says so of every message that a method takes.

use crate::proto::v1;

/// A request, and whom it concerns.
pub(super) trait Concerns {
    /// The method's name, where it changes a subject on behalf of an administrator.
    const CHANGE: Option<&'static str> = None;

    /// None: all subjects together.
    fn subject(&self) -> Option<&str>;
}

macro_rules! of_one {
    ($($message:ident)+) => {$(
        impl Concerns for v1::$message {
            fn subject(&self) -> Option<&str> {
                Some(&self.subject)
            }
        }
    )+};
}

macro_rules! changes {
    ($($message:ident $method:literal)+) => {$(
        impl Concerns for v1::$message {
            const CHANGE: Option<&'static str> = Some($method);

            fn subject(&self) -> Option<&str> {
                Some(&self.subject)
            }
        }
    )+};
}

macro_rules! of_all_unless_filtered {
    ($($message:ident)+) => {$(
        impl Concerns for v1::$message {
            fn subject(&self) -> Option<&str> {
                self.filters.as_ref().map(|filters| &*filters.subject).filter(|subject| !subject.is_empty())
            }
        }
    )+};
}

macro_rules! of_all {
    ($($message:ident)+) => {$(
        impl Concerns for v1::$message {
            fn subject(&self) -> Option<&str> {
                None
            }
        }
    )+};
}

of_one! {
    ReserveRequest RetryRequest CommitRequest ReleaseRequest ExtendRequest RefundRequest RecordUsageRequest QuoteRequest
    GetReservationRequest GetBalanceRequest GetUsageRequest ListGenerationsRequest GetSubjectRequest PreviewChangeRequest
}

changes! {
    CreateSubjectRequest "CreateSubject"
    SuspendSubjectRequest "SuspendSubject"
    ResumeSubjectRequest "ResumeSubject"
    SubscribeRequest "Subscribe"
    ChangePlanRequest "ChangePlan"
    CancelSubscriptionRequest "CancelSubscription"
    SetSeatsRequest "SetSeats"
    SetAddOnRequest "SetAddOn"
    GrantCreditsRequest "GrantCredits"
    VoidGrantRequest "VoidGrant"
    SetOverrideRequest "SetOverride"
    AdjustUsageRequest "AdjustUsage"
}

of_all_unless_filtered! { WatchCostsRequest SummarizeCostsRequest }

// A page's token names the subject it ended with, and a forecast is made from what everybody's attempts came to.
of_all! { ListSubjectsRequest ForecastCostsRequest }
