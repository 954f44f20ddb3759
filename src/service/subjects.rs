//! Subjects: administrative changes and what there is to see of them. A change acts on the very next call.

use std::sync::Arc;

use super::{ROUNDS_MAX, Service, ServiceError, view};
use crate::domain::administration::{Administration, AdministrationError, Applied};
use crate::domain::ids::SubjectId;
use crate::domain::ledger::{Answer, Transaction};
use crate::domain::period::Period;
use crate::domain::subject::Document;
use crate::store::Urgency;

/// A subject as it is, with the period its subscription is in.
#[derive(Debug, Clone)]
pub struct Subject {
    pub document: Arc<Document>,
    pub period: Option<Period>,
    /// The change that was asked for had taken effect before.
    pub replayed: bool,
}

impl Service {
    /// Carries out an administrative change, once.
    pub async fn administrate(&self, subject: SubjectId, change: Administration) -> Result<Subject, ServiceError> {
        for _ in 0..ROUNDS_MAX {
            let catalog = self.catalogs.current();
            let document = self.store.document(&subject).await?;
            let now = self.clock.now();
            let next =
                match (change.apply(&catalog, &subject, document.as_deref(), now).map_err(|error| failed(error, &subject))?, &document) {
                    (Applied::Now(next), _) => next,
                    (Applied::Before, Some(document)) => return self.shown(document.clone(), true),
                    (Applied::Before, None) => return Err(ServiceError::SubjectNotFound(subject)),
                };
            let transaction = Transaction {
                subject: subject.clone(),
                judged_by: Some(document.map_or(0, |document| document.version)),
                valid: None,
                dry_run: false,
                document: Some(Arc::from(next)),
                step: None,
            };
            match self.store.execute(transaction, Urgency::Settle).await? {
                Answer::Done(done) => {
                    let document = done.document.clone().ok_or_else(|| ServiceError::unexpected(&done))?;
                    self.keep(&subject, Some(document.clone()));
                    return self.shown(document, false);
                }
                Answer::StaleDocument => {}
                answer => return Err(ServiceError::unexpected(&answer)),
            }
        }
        Err(ServiceError::Contended)
    }

    pub async fn subject(&self, subject: &SubjectId) -> Result<Subject, ServiceError> {
        let document = self.store.document(subject).await?.ok_or_else(|| ServiceError::SubjectNotFound(subject.clone()))?;
        self.shown(document, false)
    }

    /// Subjects in the order of their names, those after `after`.
    pub async fn subjects(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Subject>, ServiceError> {
        let documents = self.store.documents(after, limit).await?;
        documents.into_iter().map(|document| self.shown(document, false)).collect()
    }

    fn shown(&self, document: Arc<Document>, replayed: bool) -> Result<Subject, ServiceError> {
        let catalog = self.catalogs.current();
        let period = view(&catalog, Some(&document), self.clock.now())?.plan.filter(|active| active.subscription.is_some());
        let period = period.map(|active| active.period);
        Ok(Subject { document, period, replayed })
    }
}

fn failed(error: AdministrationError, subject: &SubjectId) -> ServiceError {
    match error {
        AdministrationError::Invalid(field) => field.into(),
        AdministrationError::SubjectNotFound => ServiceError::SubjectNotFound(subject.clone()),
        AdministrationError::GrantNotFound(grant) => ServiceError::GrantNotFound(grant),
        AdministrationError::IdReused(what) => ServiceError::IdReused(what),
        AdministrationError::SubscriptionExists => ServiceError::SubscriptionExists,
    }
}
