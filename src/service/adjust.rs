//! `AdjustUsage`: an administrator corrects what an account has committed.

use std::sync::Arc;

use super::subjects::failed;
use super::{ROUNDS_MAX, Service, ServiceError, Subject};
use crate::domain::adjustment::{Adjusted, Adjustment};
use crate::domain::balance::Balance;
use crate::domain::ids::{SubjectId, UserId};
use crate::domain::ledger::Answer;
use crate::domain::subject::Document;
use crate::store::Urgency;

/// The answer to a correction.
#[derive(Debug, Clone)]
pub struct AdjustedSubject {
    pub subject: Subject,
    /// Those of the account's user, if it has one.
    pub balances: Vec<Balance>,
}

impl Service {
    /// Corrects an account, once. The document remembers the request in the very step that moves the account.
    pub async fn adjust(&self, subject: SubjectId, adjustment: Adjustment) -> Result<AdjustedSubject, ServiceError> {
        let mut now = self.clock.now();
        let _turn = self.turn(&subject).await;
        for _ in 0..ROUNDS_MAX {
            let catalog = self.catalogs.current();
            let document = self.store.document(&subject).await?;
            let worked_out = adjustment.work_out(&catalog, &subject, document.as_deref(), now);
            let transaction = match (worked_out.map_err(|error| failed(error, &subject))?, document) {
                (Adjusted::Now(transaction), _) => *transaction,
                (Adjusted::Before, Some(document)) => return self.adjusted(document, &adjustment, true).await,
                (Adjusted::Before, None) => return Err(ServiceError::SubjectNotFound(subject)),
            };
            match self.store.execute(transaction, Urgency::Settle).await? {
                Answer::Done(done) => {
                    let document = done.document.clone().ok_or_else(|| ServiceError::unexpected(&done))?;
                    self.keep(&subject, Some(document.clone()));
                    return self.adjusted(document, &adjustment, false).await;
                }
                Answer::Denied(denied) => {
                    let committed = denied.accounts.first().map(|account| account.committed).unwrap_or_default();
                    return Err(ServiceError::invalid("units", format!("takes off more than is committed: {committed}")));
                }
                Answer::AccountFull(account) => {
                    return Err(ServiceError::invalid("units", format!("would bring account `{account}` above 1000000000 units")));
                }
                Answer::StaleDocument => {}
                Answer::StalePeriod { now: later } => now = later,
                answer => return Err(ServiceError::unexpected(&answer)),
            }
        }
        Err(ServiceError::Contended)
    }

    async fn adjusted(&self, document: Arc<Document>, adjustment: &Adjustment, replayed: bool) -> Result<AdjustedSubject, ServiceError> {
        let user: Option<&UserId> = adjustment.account.user.as_ref();
        let balances = self.subject_balance(&document.subject, user).await?.balances;
        Ok(AdjustedSubject { subject: self.shown(document, replayed)?, balances })
    }
}
