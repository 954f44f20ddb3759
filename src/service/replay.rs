//! Replay: one command of the journal, carried out in the store, exactly once.
//!
//! Each is judged anew by the document and for the accounts as they are now, so an administrative change made meanwhile stands. That it is
//! done once rests on ids and fingerprints alone: whatever ran before a crash or before a lost reply is answered by what it did. [`replayer`]
//! says when, in which order and how fast.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::SignedDuration;

use super::judging::Judging;
use super::outage::Fallback;
use super::{ROUNDS_MAX, RecordCommand, Reservation, Service, ServiceError, SettleCommand, view_then};
use crate::domain::amount::Micros;
use crate::domain::booking;
use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::ledger::{Answer, Fingerprint, Row, State};
use crate::domain::reservation::Outcome;
use crate::domain::settlement::{Billing, Ending};
use crate::store::Urgency;
use crate::store::journal::{Command, Entry, QueuedSettlement};

mod replayer;

pub use replayer::Pace;

/// Why an entry was not carried out.
#[derive(Debug)]
pub(super) enum Unreplayed {
    /// The store gave no answer. Its turn will come.
    NotNow(String),
    /// It can never be: why.
    Never(String),
}

impl From<ServiceError> for Unreplayed {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Store(_) | ServiceError::Contended => Self::NotNow(error.to_string()),
            ServiceError::Invalid(_)
            | ServiceError::ReservationNotFound(_)
            | ServiceError::SubjectNotFound(_)
            | ServiceError::GrantNotFound(_)
            | ServiceError::SubscriptionNotFound(_)
            | ServiceError::ReservationSettled(_)
            | ServiceError::ReservationNotCommitted(_)
            | ServiceError::IdReused(_)
            | ServiceError::SubscriptionExists
            | ServiceError::CursorExpired { .. }
            | ServiceError::ConsumerLagged { .. }
            | ServiceError::TooManyWatchers
            | ServiceError::Internal(_) => Self::Never(error.to_string()),
        }
    }
}

impl From<crate::store::StoreError> for Unreplayed {
    fn from(error: crate::store::StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

impl Service {
    /// Carries an entry out, or finds that it has been.
    async fn replay_entry(&self, fallback: &Fallback, entry: &Entry) -> Result<(), Unreplayed> {
        let subject = &entry.subject;
        let row = self.store.reservation(subject, entry.id(), Urgency::Settle).await?;
        if row.is_none() && self.may_be_forgotten(fallback, entry) {
            return Err(Unreplayed::Never(
                "it is older than the store's memory of ids: it may have been carried out and forgotten".to_owned(),
            ));
        }
        match &entry.command {
            Command::Settlement(queued) => self.replay_settlement(subject, queued, row).await,
            Command::Hold(hold) => Ok(self.book(subject, &hold.row, hold.ttl).await.map(|_| ())?),
            Command::Usage(queued) => Ok(self.record_now(&RecordCommand::of(subject, queued)).await.map(|_| ())?),
        }
    }

    async fn replay_settlement(&self, subject: &SubjectId, queued: &QueuedSettlement, row: Option<Arc<Row>>) -> Result<(), Unreplayed> {
        let command = SettleCommand::of(subject, queued);
        let row = match (row, &queued.row, &queued.ending) {
            (Some(row), Some(known), _) if row.opened_by != known.opened_by => {
                return Err(Unreplayed::Never("its id was used for another request in the store".to_owned()));
            }
            (Some(row), _, _) => row,
            // The store has lost it, or forgotten it after it expired. What was delivered is charged all the same, late.
            (None, Some(known), Ending::Commit { .. }) => self.book(subject, known, SignedDuration::ZERO).await?,
            (None, Some(known), Ending::Release { outcome, .. }) => return self.bill(subject, known, *outcome, queued).await,
            // Somebody asked for it back who never heard whether it was granted; it was not.
            (None, None, Ending::Release { .. }) if queued.billing == Billing::default() => return Ok(()),
            (None, None, _) => return Err(ServiceError::ReservationNotFound(queued.id.clone()).into()),
        };
        match (self.settle_now(&command, &mut Some(row.clone())).await, &queued.ending) {
            // Its units went back when it expired.
            (Err(ServiceError::ReservationSettled(State::Expired)), Ending::Release { outcome, .. }) => {
                self.bill(subject, &row, *outcome, queued).await
            }
            (settled, _) => Ok(settled.map(|_| ())?),
        }
    }

    /// Books a hold that the ledger does not know, unless it does by now.
    async fn book(&self, subject: &SubjectId, row: &Row, ttl: SignedDuration) -> Result<Arc<Row>, ServiceError> {
        let mut judging = Judging::new(self, subject);
        for _ in 0..ROUNDS_MAX {
            let pinned = self.catalogs.pinned(&row.detail.catalog, &*self.store).await?;
            let document = self.cached_document(subject).await?;
            let then = view_then(&pinned, document.as_deref(), row.detail.judged_at)?;
            match self.store.execute(booking::book(&pinned, &then, subject, row, ttl)?, Urgency::Settle).await? {
                Answer::Done(done) => {
                    if let Some(document) = &done.document {
                        self.keep(subject, Some(document.clone()));
                    }
                    let row = done.row.clone().ok_or_else(|| ServiceError::unexpected(&done))?;
                    self.remember(&Reservation { subject: subject.clone(), row: row.clone() });
                    return Ok(row);
                }
                // The first try had run after all.
                Answer::Replayed(row) => return Ok(row),
                Answer::IdReused(_) => return Err(ServiceError::IdReused("reservation_id")),
                answer => judging.anew(answer).await?,
            }
        }
        Err(ServiceError::Contended)
    }

    /// Books what the provider billed for a release that came after the end: as usage that gave nothing, under an id made from the
    /// release's own, in the generation it belongs to.
    async fn bill(&self, subject: &SubjectId, row: &Row, outcome: Outcome, queued: &QueuedSettlement) -> Result<(), Unreplayed> {
        if is_nothing(&queued.billing, outcome) {
            return Ok(());
        }
        let detail = &row.detail;
        let id = ReservationId::new(&late_id(queued.fingerprint)).map_err(|problem| Unreplayed::Never(problem.to_string()))?;
        let command = RecordCommand {
            subject: subject.clone(),
            user: detail.user.clone(),
            id,
            generation: detail.generation.clone(),
            action: detail.action.clone(),
            target: detail.last_attempt().target.clone(),
            work: detail.work.clone(),
            billing: queued.billing.clone(),
            outcome,
            labels: detail.labels.clone(),
            fingerprint: queued.fingerprint,
            trace: queued.trace,
        };
        Ok(self.record_now(&command).await.map(|_| ())?)
    }

    /// Whether the store may have carried an entry out and forgotten its id since. An eighth of its memory is left for clocks that differ.
    fn may_be_forgotten(&self, fallback: &Fallback, entry: &Entry) -> bool {
        let remembered = fallback.rules.retention - fallback.rules.retention / 8;
        self.clock.now().duration_since(entry.accept_time) >= remembered
    }
}

/// Whether a release books no cost.
fn is_nothing(billing: &Billing, outcome: Outcome) -> bool {
    match (&billing.cost, &billing.work) {
        (Some(cost), _) => *cost == Micros::ZERO,
        (None, Some(work)) => work.items.is_empty(),
        (None, None) => !matches!(outcome, Outcome::Rejected | Outcome::Unknown),
    }
}

fn late_id(fingerprint: Fingerprint) -> String {
    let mut id = "late-release:".to_owned();
    for byte in fingerprint.0 {
        write!(id, "{byte:02x}").expect("writing to a string cannot fail");
    }
    id
}
