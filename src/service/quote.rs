//! `Quote`: what would this work count and cost at each of these targets, and would it be granted (C6)?

use super::judging::Judging;
use super::{ROUNDS_MAX, ReserveCommand, Service, ServiceError, view};
use crate::domain::catalog::Catalog;
use crate::domain::charge::{Charge, Opening};
use crate::domain::denial::Denial;
use crate::domain::ids::{ActionId, CatalogVersion, GenerationId, MeterId, ReservationId, SubjectId, Target, UserId};
use crate::domain::ledger::{Answer, Fingerprint};
use crate::domain::price_book::CostBasis;
use crate::domain::remedy::Judged;
use crate::domain::reservation::{Attempt, Labels};
use crate::domain::work::Work;
use crate::store::Urgency;

#[derive(Debug, Clone)]
pub struct QuoteCommand {
    pub subject: SubjectId,
    pub user: Option<UserId>,
    pub action: ActionId,
    pub work: Work,
    /// At least one.
    pub targets: Vec<Target>,
    /// `None`: the first of `targets`.
    pub planned_target: Option<Target>,
}

#[derive(Debug, Clone)]
pub struct Quotation {
    pub offers: Vec<Offer>,
    pub currency: Box<str>,
    pub catalog: CatalogVersion,
}

/// One target, priced. `denial` tells why it would not be granted.
#[derive(Debug, Clone)]
pub struct Offer {
    pub target: Target,
    pub meter: Option<MeterId>,
    pub attempt: Attempt,
    /// Whether the target has a price; without one there is no cost shift.
    pub priced: bool,
    pub denial: Option<Denial>,
}

impl Service {
    /// Prices each target and asks the store, without changing anything, whether it would be granted.
    pub async fn quote(&self, command: QuoteCommand) -> Result<Quotation, ServiceError> {
        let catalog = self.catalogs.current();
        let mut offers = Vec::with_capacity(command.targets.len());
        for target in &command.targets {
            offers.push(self.offer(&catalog, &command, target).await?);
        }
        Ok(Quotation { offers, currency: catalog.price_book.currency.clone(), catalog: catalog.version.clone() })
    }

    async fn offer(&self, catalog: &Catalog, command: &QuoteCommand, target: &Target) -> Result<Offer, ServiceError> {
        let reserve = as_reserve(command, target)?;
        let mut judging = Judging::new(self, &command.subject);
        for _ in 0..ROUNDS_MAX {
            let document = self.cached_document(&command.subject).await?;
            let view = view(catalog, document.as_deref(), judging.now)?;
            let ask = reserve.ask(&command.work);
            let charge = Charge::judge(catalog, &view, &ask)?;
            let offer = |denial| Offer {
                target: target.clone(),
                meter: charge.action.meter().cloned(),
                priced: charge.attempt.basis != CostBasis::None,
                attempt: charge.attempt.clone(),
                denial,
            };
            let judged = Judged { catalog, view: &view, ask: &ask, charge: &charge };
            if !charge.violations.is_empty() {
                if self.is_outdated(&command.subject, &view).await? {
                    continue;
                }
                let snapshot = self.accounts_of(&command.subject, &charge.take(None)).await?;
                let (snapshot, alternatives) = self.alternatives(&command.subject, &judged, snapshot).await?;
                return Ok(offer(Some(judged.refusal(&snapshot, &alternatives))));
            }
            let opening = Opening {
                subject: command.subject.clone(),
                user: command.user.clone(),
                id: reserve.id.clone(),
                fingerprint: reserve.fingerprint,
                detail: charge.detail(catalog, &ask, reserve.generation.clone()),
                trace: None,
                dry_run: true,
            };
            match self.store.execute(charge.hold(opening, &view, self.rules.ttl), Urgency::Read).await? {
                Answer::Done(_) => return Ok(offer(None)),
                Answer::Denied(denied) => {
                    let (snapshot, alternatives) = self.alternatives(&command.subject, &judged, judged.snapshot(&denied)).await?;
                    return Ok(offer(Some(judged.denial(&denied, &snapshot, &alternatives)?)));
                }
                answer => judging.anew(answer).await?,
            }
        }
        Err(ServiceError::Contended)
    }
}

/// The reserve that a quote asks about, under an id of its own.
fn as_reserve(command: &QuoteCommand, target: &Target) -> Result<ReserveCommand, ServiceError> {
    let id = format!("quote:{}", uuid::Uuid::now_v7());
    let unusable = |error: crate::domain::ids::IdError| ServiceError::Internal(error.to_string());
    Ok(ReserveCommand {
        subject: command.subject.clone(),
        user: command.user.clone(),
        id: ReservationId::new(&id).map_err(unusable)?,
        generation: GenerationId::new(&id).map_err(unusable)?,
        action: command.action.clone(),
        target: Some(target.clone()),
        planned_target: command.planned_target.as_ref().or(command.targets.first()).cloned(),
        fallbacks: Vec::new(),
        work: command.work.clone(),
        ttl: None,
        accept_fewer: false,
        validate_only: true,
        labels: Labels::new(),
        fingerprint: Fingerprint([0; 16]),
    })
}
