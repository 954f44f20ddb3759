//! What a service call can fail with. A denial is not among them: it is an answer.

use crate::domain::charge::{ChargeError, InvalidField};
use crate::domain::ids::{GrantId, ReservationId, SubjectId};
use crate::domain::ledger::{AccountKey, State};
use crate::domain::period::OutOfCalendar;
use crate::store::StoreError;

#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    /// The request says something impossible; every such field is named.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<InvalidField>),
    #[error("reservation `{0}` is not known: it was never made, or is forgotten")]
    ReservationNotFound(ReservationId),
    #[error("subject `{0}` is not known")]
    SubjectNotFound(SubjectId),
    #[error("grant `{0}` is not known")]
    GrantNotFound(GrantId),
    #[error("subject `{0}` has no running subscription")]
    SubscriptionNotFound(SubjectId),
    #[error("the reservation has ended otherwise: it is {}", state_name(*.0))]
    ReservationSettled(State),
    /// Only what was charged can be given back.
    #[error("the reservation is not committed: it is {}", state_name(*.0))]
    ReservationNotCommitted(State),
    /// The id of what was used for another request.
    #[error("{0} was used before with another payload")]
    IdReused(&'static str),
    #[error("the subject has a running subscription; change its plan, or cancel it and take the same one up again")]
    SubscriptionExists,
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others got through first, again and again. Nothing was changed.
    #[error("too many concurrent changes of one subject")]
    Contended,
    /// What comes after a cursor is not kept any more.
    #[error("events after the cursor are not kept any more")]
    CursorExpired {
        /// The cursor of the oldest event that is.
        oldest: String,
    },
    /// A watcher took nothing for too long.
    #[error("the stream is not read: watch again from the last cursor")]
    ConsumerLagged {
        /// Of the last message sent; empty where none was.
        last: String,
    },
    #[error("too many watch costs")]
    TooManyWatchers,
    #[error("{0}")]
    Internal(String),
}

impl ServiceError {
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![InvalidField::new(field, problem)])
    }

    /// Both results. Where both fail and both are about the request, so is the error.
    pub fn both<A, B>(first: Result<A, Self>, second: Result<B, Self>) -> Result<(A, B), Self> {
        match (first, second) {
            (Ok(first), Ok(second)) => Ok((first, second)),
            (Err(Self::Invalid(mut fields)), Err(Self::Invalid(more))) => {
                fields.extend(more);
                Err(Self::Invalid(fields))
            }
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        }
    }

    /// An account cannot hold more than the largest amount.
    pub fn account_full(account: &AccountKey) -> Self {
        Self::invalid("work", format!("would bring account `{account}` above 1000000000 units"))
    }

    /// The store gave an answer that does not fit what it was asked.
    pub fn unexpected(answer: &impl std::fmt::Debug) -> Self {
        Self::Internal(format!("the store gave an answer that cannot be: {answer:?}"))
    }
}

impl From<ChargeError> for ServiceError {
    fn from(error: ChargeError) -> Self {
        match error {
            ChargeError::Invalid(fields) => Self::Invalid(fields),
            ChargeError::Calendar(error) => error.into(),
        }
    }
}

impl From<InvalidField> for ServiceError {
    fn from(field: InvalidField) -> Self {
        Self::Invalid(vec![field])
    }
}

impl From<OutOfCalendar> for ServiceError {
    fn from(error: OutOfCalendar) -> Self {
        Self::Internal(format!("the time of a period {error}"))
    }
}

/// The name of a state as the wire has it.
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Held => "HELD",
        State::Committed => "COMMITTED",
        State::Released => "RELEASED",
        State::Expired => "EXPIRED",
    }
}
