//! What can go wrong between a gateway and its sidecar. A denial is an answer and not among it.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::ConnectError;
use crate::journal::{JournalError, OpenError};
use crate::proto::v1::{ErrorReason, State};

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The sidecar gave a status instead of an answer, or none within the client's patience.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The reservation exists and nothing is held under it: it was asked for before, and has ended since.
    #[error("reservation `{reservation_id}` is not held any more: {}\nhint: ask under a new reservation id", state.as_str_name())]
    NotHeld { reservation_id: String, state: State },
    /// The settlement is neither with the sidecar nor on this gateway's disk: the hold comes back at its deadline.
    #[error(
        "not settled: {refusal}; and not written down: {journal}\nhint: settle again with the same payload: a repeat is never counted twice"
    )]
    Unsettled { refusal: Refusal, journal: JournalError },
    /// The journal holds another settlement of this reservation.
    #[error("another settlement of reservation `{reservation_id}` waits in the journal\nhint: settle a reservation in one place only")]
    SettledOtherwise { reservation_id: String },
    #[error("the answer to `{call}` lacks what it must have\nhint: compare the versions of client and sidecar")]
    Malformed { call: &'static str },
    #[error("the runtime of the client has shut down: what is held comes back at its deadline")]
    Shutdown,
}

/// A status, with the details that came with it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {message}", self.title())]
pub struct Refusal {
    pub code: Code,
    /// UNSPECIFIED: the sidecar gave none, or one that this client does not know. Then the code alone counts.
    pub reason: ErrorReason,
    pub message: String,
    /// Every field that is wrong, by its path.
    pub fields: BTreeMap<String, String>,
    /// Such as `state`, with RESERVATION_SETTLED.
    pub metadata: BTreeMap<String, String>,
    /// When to ask again, where the sidecar said so.
    pub retry_after: Option<Duration>,
}

/// When the same call, with the same ids, may have another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// In a moment: nobody was there, or too busy.
    Soon,
    /// When a person has done something: about a token, or a store that lost its data.
    Later,
    Never,
}

impl Error {
    /// The refusal behind it, if there is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::Unsettled { refusal, .. } => Some(refusal),
            Self::Connect(_)
            | Self::Journal(_)
            | Self::NotHeld { .. }
            | Self::SettledOtherwise { .. }
            | Self::Malformed { .. }
            | Self::Shutdown => None,
        }
    }
}

impl Refusal {
    /// Nothing was heard for as long as the client would wait.
    pub(super) fn silence(patience: Duration) -> Self {
        let message = format!("no answer within {patience:?}");
        Self { message, ..Self::from(&Status::deadline_exceeded("")) }
    }

    /// When the same call may have another answer.
    pub fn again(&self) -> Again {
        match (self.code, self.reason) {
            (_, ErrorReason::StoreDataLost) | (Code::Unauthenticated | Code::PermissionDenied, _) => Again::Later,
            (
                Code::Ok
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::Unimplemented,
                _,
            ) => Again::Never,
            (
                Code::Unavailable
                | Code::ResourceExhausted
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Aborted
                | Code::Unknown
                | Code::Internal
                | Code::DataLoss,
                _,
            ) => Again::Soon,
        }
    }

    /// Whether it stands in the way of this call alone, and lets others through: who may act is asked for each subject, and what is lost lies in
    /// one partition.
    pub(super) fn is_its_own(&self) -> bool {
        self.code == Code::PermissionDenied || self.reason == ErrorReason::StoreDataLost
    }

    /// How the reservation has ended, where that is why a settlement is refused.
    pub fn state(&self) -> Option<State> {
        State::from_str_name(&format!("STATE_{}", self.metadata.get("state")?))
    }

    fn title(&self) -> String {
        match self.reason {
            ErrorReason::Unspecified => format!("{:?}", self.code),
            reason => reason.as_str_name().trim_start_matches("ERROR_REASON_").to_owned(),
        }
    }
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let violations = details.bad_request().map(|request| request.field_violations.clone()).unwrap_or_default();
        let message = if status.message().is_empty() { status.code().description() } else { status.message() };
        Self {
            code: status.code(),
            reason: info.map_or(ErrorReason::Unspecified, |info| reason_named(&info.reason)),
            message: message.to_owned(),
            fields: violations.into_iter().map(|violation| (violation.field, violation.description)).collect(),
            metadata: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        }
    }
}

/// A reason as `ErrorInfo` names it.
pub(crate) fn reason_named(reason: &str) -> ErrorReason {
    ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}")).unwrap_or(ErrorReason::Unspecified)
}

/// An error with everything below it, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        text.push_str(&format!(": {below}"));
        cause = below.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refusal(code: Code, reason: &str) -> Refusal {
        let mut details = ErrorDetails::with_error_info(reason, "genquota", [("state".to_owned(), "EXPIRED".to_owned())]);
        details.add_bad_request_violation("work.items[0].count", "must be at least 1");
        details.set_retry_info(Some(Duration::from_millis(500)));
        Refusal::from(&Status::with_error_details(code, "no", details))
    }

    #[test]
    fn a_status_is_read_with_all_its_details() {
        let refusal = refusal(Code::FailedPrecondition, "RESERVATION_SETTLED");
        assert_eq!((refusal.reason, refusal.state()), (ErrorReason::ReservationSettled, Some(State::Expired)));
        assert_eq!(refusal.fields["work.items[0].count"], "must be at least 1");
        assert_eq!((refusal.retry_after, refusal.to_string().as_str()), (Some(Duration::from_millis(500)), "RESERVATION_SETTLED: no"));
    }

    #[test]
    fn a_reason_that_is_not_known_leaves_the_code_to_decide() {
        assert_eq!(refusal(Code::Unavailable, "NEWS_OF_TOMORROW").again(), Again::Soon);
        assert_eq!(Refusal::from(&Status::not_found("")).again(), Again::Never);
    }

    #[test]
    fn what_a_person_must_see_to_is_not_asked_again_at_once() {
        assert_eq!(refusal(Code::Unavailable, "STORE_DATA_LOST").again(), Again::Later);
        assert_eq!(Refusal::from(&Status::unauthenticated("")).again(), Again::Later);
    }
}
