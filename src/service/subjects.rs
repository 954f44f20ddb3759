//! Subjects: administrative changes and what there is to see of them. A change acts on the very next call.

use std::sync::Arc;

use jiff::Timestamp;

use super::{ROUNDS_MAX, Service, ServiceError, view};
use crate::domain::administration::{Administration, AdministrationError, Applied};
use crate::domain::balance::Snapshot;
use crate::domain::ids::{PlanId, SubjectId};
use crate::domain::ledger::{Answer, Transaction};
use crate::domain::preview::Preview;
use crate::domain::standing::Standing;
use crate::domain::subject::Document;
use crate::store::Urgency;

/// A subject as it is, with how its subscription stands.
#[derive(Debug, Clone)]
pub struct Subject {
    pub document: Arc<Document>,
    /// `None` where it has none that runs.
    pub standing: Option<Standing>,
    /// The change that was asked for had taken effect before.
    pub replayed: bool,
}

/// What a change of plan would do, on the accounts as they are.
#[derive(Debug, Clone)]
pub struct Previewed {
    pub preview: Preview,
    pub snapshot: Snapshot,
    pub currency: Box<str>,
}

impl Service {
    /// Carries out an administrative change, once.
    pub async fn administrate(&self, subject: SubjectId, change: Administration) -> Result<Subject, ServiceError> {
        let _turn = self.turn(&subject).await;
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
                correction: None,
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

    /// What a change of plan would do at an instant; absent, now.
    pub async fn preview_change(&self, subject: SubjectId, plan: &PlanId, at: Option<Timestamp>) -> Result<Previewed, ServiceError> {
        let catalog = self.catalogs.current();
        let document = self.store.document(&subject).await?.ok_or_else(|| ServiceError::SubjectNotFound(subject.clone()))?;
        let now = self.clock.now().max(document.update_time);
        let preview = Preview::of(&catalog, &document, plan, at, now).map_err(|error| failed(error, &subject))?;
        let keys = preview.accounts();
        let accounts = self.store.accounts(&subject, keys.clone()).await?;
        let snapshot = Snapshot::new(keys.into_iter().zip(accounts));
        let is_priced = preview.present_price.is_some() || preview.new_price.is_some();
        let currency = if is_priced { catalog.price_book.currency.clone() } else { Box::default() };
        Ok(Previewed { preview, snapshot, currency })
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

    pub(super) fn shown(&self, document: Arc<Document>, replayed: bool) -> Result<Subject, ServiceError> {
        let catalog = self.catalogs.current();
        let view = view(&catalog, Some(&document), self.clock.now())?;
        let standing = view.plan.as_ref().map(|active| Standing::of(active, view.now)).transpose()?.flatten();
        Ok(Subject { document, standing, replayed })
    }
}

pub(super) fn failed(error: AdministrationError, subject: &SubjectId) -> ServiceError {
    match error {
        AdministrationError::Invalid(field) => field.into(),
        AdministrationError::SubjectNotFound => ServiceError::SubjectNotFound(subject.clone()),
        AdministrationError::SubscriptionNotFound => ServiceError::SubscriptionNotFound(subject.clone()),
        AdministrationError::GrantNotFound(grant) => ServiceError::GrantNotFound(grant),
        AdministrationError::IdReused(what) => ServiceError::IdReused(what),
        AdministrationError::SubscriptionExists => ServiceError::SubscriptionExists,
        AdministrationError::Calendar(error) => error.into(),
    }
}
