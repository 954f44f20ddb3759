//! Judging anew: what a call does when the store says that its judgement was stale.

use jiff::Timestamp;
use tokio::sync::MutexGuard;

use super::{Service, ServiceError};
use crate::domain::ids::SubjectId;
use crate::domain::ledger::Answer;

/// One call's judgements of one subject.
pub(super) struct Judging<'s> {
    service: &'s Service,
    subject: &'s SubjectId,
    /// The instant to judge at.
    pub(super) now: Timestamp,
    turn: Option<MutexGuard<'s, ()>>,
}

impl<'s> Judging<'s> {
    pub(super) fn new(service: &'s Service, subject: &'s SubjectId) -> Self {
        Self { service, subject, now: service.clock.now(), turn: None }
    }

    /// Waits for one's turn with the subject's document, for the rest of the call. Says whether it had to be taken: then the document may
    /// have changed meanwhile.
    pub(super) async fn take_turn(&mut self) -> bool {
        let is_first = self.turn.is_none();
        if is_first {
            self.turn = Some(self.service.turn(self.subject).await);
        }
        is_first
    }

    /// Prepares the next judgement, if the answer asks for one. Anything else that a caller does not know what to do with is an error.
    pub(super) async fn anew(&mut self, answer: Answer) -> Result<(), ServiceError> {
        match answer {
            Answer::StaleDocument => {
                self.service.documents.invalidate(self.subject);
                self.take_turn().await;
                Ok(())
            }
            Answer::StalePeriod { now } => {
                self.now = now;
                Ok(())
            }
            Answer::AccountFull(account) => Err(ServiceError::account_full(&account)),
            answer @ (Answer::Replayed(_) | Answer::IdReused(_) | Answer::StaleReservation(_) | Answer::Denied(_) | Answer::Done(_)) => {
                Err(ServiceError::unexpected(&answer))
            }
        }
    }
}
