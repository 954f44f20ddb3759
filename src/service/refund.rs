//! `Refund`: units that go back after a commit, at most once in full (L9).

use std::sync::Arc;

use super::{ROUNDS_MAX, Reservation, Service, ServiceError, Sources, view};
use crate::domain::amount::Micros;
use crate::domain::balance::{Balance, Snapshot};
use crate::domain::ids::{RequestId, ReservationId, SubjectId};
use crate::domain::ledger::{Answer, Done, Fingerprint, Row, State};
use crate::domain::refund::RefundRequest;
use crate::domain::view::View;
use crate::store::Urgency;

#[derive(Debug, Clone)]
pub struct RefundCommand {
    pub subject: SubjectId,
    pub id: ReservationId,
    /// `None`: all that is left.
    pub units: Option<Micros>,
    pub request: RequestId,
    pub note: Box<str>,
    pub fingerprint: Fingerprint,
}

/// The answer to a refund.
#[derive(Debug, Clone)]
pub struct Refunded {
    pub reservation: Reservation,
    pub balances: Vec<Balance>,
    pub replayed: bool,
}

impl RefundCommand {
    fn of<'a>(&'a self, row: &'a Row) -> RefundRequest<'a> {
        let Self { subject, id: _, units, request, note, fingerprint } = self;
        RefundRequest { subject, row, units: *units, request, fingerprint: *fingerprint, note }
    }
}

impl Service {
    /// Gives committed units back to the accounts and periods that paid them. Possible for as long as the reservation is remembered, and
    /// with the store alone: nothing of it may wait in the journal.
    pub async fn refund(&self, command: RefundCommand) -> Result<Refunded, ServiceError> {
        self.nothing_queued(&command.subject, &command.id)?;
        let mut turn = None;
        for _ in 0..ROUNDS_MAX {
            let row = self.known(&command.subject, &command.id, Urgency::Settle).await?;
            let request = command.of(&row);
            if row.state != State::Committed {
                return Err(ServiceError::ReservationNotCommitted(row.state));
            }
            let (catalog, document) = (self.catalogs.current(), self.cached_document(&command.subject).await?);
            let view = view(&catalog, document.as_deref(), self.clock.now())?;
            match request.known() {
                Some(known) if known.fingerprint == command.fingerprint => return self.refunded_so_far(&command, row, &view, true).await,
                Some(_) => return Err(ServiceError::IdReused("request_id")),
                None => {}
            }
            let sources = match &row.detail.meter {
                Some(meter) => Sources::of(&view, meter, row.detail.user.as_ref())?,
                None => Sources::default(),
            };
            let pinned = self.catalogs.pinned(&row.detail.catalog, &*self.store).await?;
            let Some(transaction) = request.work_out(&pinned, view.now, sources.keys())? else {
                return self.refunded_so_far(&command, row, &view, false).await;
            };
            let keys = transaction.keys();
            match self.store.execute(transaction, Urgency::Settle).await? {
                Answer::Done(Done { row: Some(row), accounts, .. }) => {
                    let snapshot = Snapshot::new(keys.into_iter().zip(accounts));
                    let balances = self.balance(&catalog, row.detail.meter.as_ref(), &sources, &snapshot);
                    return Ok(Refunded { reservation: Reservation { subject: command.subject, row }, balances, replayed: false });
                }
                // Somebody else refunded of it meanwhile: what is left is another amount now.
                Answer::StaleReservation(_) => {
                    if turn.is_none() {
                        turn = Some(self.turn(&command.subject).await);
                    }
                }
                answer => return Err(ServiceError::unexpected(&answer)),
            }
        }
        Err(ServiceError::Contended)
    }

    /// The reservation as it is: this very refund was made before, or nothing is left for it.
    async fn refunded_so_far(
        &self,
        command: &RefundCommand,
        row: Arc<Row>,
        view: &View<'_>,
        replayed: bool,
    ) -> Result<Refunded, ServiceError> {
        let balances = self.balances_of_row(&command.subject, &row, view).await?;
        Ok(Refunded { reservation: Reservation { subject: command.subject.clone(), row }, balances, replayed })
    }
}
