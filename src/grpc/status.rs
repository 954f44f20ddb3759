//! The one map from what can go wrong to `tonic::Status` (api.md's table). A denial is an answer and never comes here.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::access::{Forbidden, Unknown};
use crate::domain::charge::InvalidField;
use crate::proto::v1::ErrorReason;
use crate::service::{ServiceError, state_name};
use crate::store::StoreError;

/// `ErrorInfo.domain` of every error.
const DOMAIN: &str = "genquota";
/// When to ask again after the store gave no answer: long enough for a failover to get on, short enough for a caller that waits.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// When to ask again after losing to others eight times in a row.
const CONTENDED_RETRY: Duration = Duration::from_millis(50);
/// When to ask again after too many calls were in flight: about the time in which many of them end.
const LOAD_RETRY: Duration = Duration::from_millis(100);
/// When to try again to watch, where too many do.
const WATCH_RETRY: Duration = Duration::from_secs(5);

/// The status of a failed call.
pub fn of(error: ServiceError) -> Status {
    let text = error.to_string();
    match error {
        ServiceError::Invalid(fields) => invalid(&fields),
        ServiceError::ReservationNotFound(_) => with(Code::NotFound, ErrorReason::ReservationNotFound, text, &[]),
        ServiceError::SubjectNotFound(_) => with(Code::NotFound, ErrorReason::SubjectNotFound, text, &[]),
        ServiceError::GrantNotFound(_) => with(Code::NotFound, ErrorReason::GrantNotFound, text, &[]),
        ServiceError::SubscriptionNotFound(_) => with(Code::NotFound, ErrorReason::SubscriptionNotFound, text, &[]),
        ServiceError::ReservationSettled(state) => {
            with(Code::FailedPrecondition, ErrorReason::ReservationSettled, text, &[("state", state_name(state))])
        }
        ServiceError::ReservationNotCommitted(state) => {
            with(Code::FailedPrecondition, ErrorReason::ReservationNotCommitted, text, &[("state", state_name(state))])
        }
        ServiceError::IdReused(_) => with(Code::AlreadyExists, ErrorReason::IdReused, text, &[]),
        ServiceError::SubscriptionExists => with(Code::AlreadyExists, ErrorReason::SubscriptionExists, text, &[]),
        ServiceError::Store(error) => of_store(&error),
        ServiceError::Contended => later(Code::Unavailable, ErrorReason::StoreUnavailable, text, CONTENDED_RETRY),
        ServiceError::CursorExpired { oldest } => with(Code::OutOfRange, ErrorReason::CursorExpired, text, &[("oldest_cursor", &oldest)]),
        ServiceError::ConsumerLagged { last } => with(Code::Aborted, ErrorReason::ConsumerLagged, text, &[("last_cursor", &last)]),
        ServiceError::TooManyWatchers => later(Code::ResourceExhausted, ErrorReason::ServerOverloaded, text, WATCH_RETRY),
        ServiceError::Internal(what) => {
            tracing::error!(what, "internal error");
            internal()
        }
    }
}

/// Every bad field, with its path.
pub fn invalid(fields: &[InvalidField]) -> Status {
    let mut details = info(ErrorReason::InvalidField, &[]);
    for field in fields {
        details.add_bad_request_violation(field.field.clone(), field.problem.clone());
    }
    let text = fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Status::with_error_details(Code::InvalidArgument, text, details)
}

/// Bytes that are no such message, such as text that is not UTF-8.
pub fn undecodable(error: &prost::DecodeError) -> Status {
    invalid(&[InvalidField::new("request", format!("cannot be decoded: {error}"))])
}

/// A handler that panicked. Whether the call took effect is unknown.
pub fn panicked() -> Status {
    tracing::error!("a handler panicked");
    internal()
}

/// The end of a stream because the server shuts down: another one goes on from the last cursor.
pub fn draining() -> Status {
    Status::unavailable("the server is shutting down: watch again from the last cursor")
}

/// Nobody knows who calls. The text is the same for every token that is not valid.
pub fn unknown_caller(unknown: Unknown) -> Status {
    Status::unauthenticated(unknown.to_string())
}

/// Somebody calls who may not.
pub fn forbidden(forbidden: &Forbidden) -> Status {
    Status::permission_denied(forbidden.to_string())
}

/// The end of a stream because its caller may not go on: the token has expired, or the access file has changed.
pub fn stay_over() -> Status {
    Status::unauthenticated("the token has expired or the access file has changed: watch again from the last cursor")
}

/// Nothing is served under this name.
pub fn no_such_method() -> Status {
    Status::unimplemented("no such method")
}

/// Too many calls are in flight for one more of this kind.
pub fn overloaded() -> Status {
    later(Code::ResourceExhausted, ErrorReason::ServerOverloaded, "too many calls are in flight".to_owned(), LOAD_RETRY)
}

fn of_store(error: &StoreError) -> Status {
    let text = error.to_string();
    match error {
        StoreError::Overloaded { retry_after } => later(Code::ResourceExhausted, ErrorReason::ServerOverloaded, text, *retry_after),
        // The reasons may name files and hosts: the store has told them to the log, once.
        StoreError::Unavailable { .. } => {
            later(Code::Unavailable, ErrorReason::StoreUnavailable, "the store gives no answer".to_owned(), STORE_RETRY)
        }
        StoreError::DataLost { .. } => {
            with(Code::Unavailable, ErrorReason::StoreDataLost, "the store has lost data; an operator must act".to_owned(), &[])
        }
        StoreError::Closing => later(Code::Unavailable, ErrorReason::StoreUnavailable, text, STORE_RETRY),
    }
}

fn internal() -> Status {
    with(Code::Internal, ErrorReason::Internal, "internal error; see the log of the sidecar".to_owned(), &[])
}

fn with(code: Code, reason: ErrorReason, text: String, metadata: &[(&str, &str)]) -> Status {
    Status::with_error_details(code, text, info(reason, metadata))
}

fn later(code: Code, reason: ErrorReason, text: String, after: Duration) -> Status {
    let mut details = info(reason, &[]);
    details.set_retry_info(Some(after));
    Status::with_error_details(code, text, details)
}

fn info(reason: ErrorReason, metadata: &[(&str, &str)]) -> ErrorDetails {
    let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
    let metadata: HashMap<String, String> = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ErrorDetails::with_error_info(name, DOMAIN, metadata)
}
