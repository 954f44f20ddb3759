//! Settles: sends an ending until it is heard, writes it down where it is not, and replays what was written down.
//!
//! Every try has the same ids and payload, so the ledger carries a settlement out once however often it arrives.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder, Retryable as _};
use futures_util::StreamExt as _;
use futures_util::stream;

use super::error::{Again, Error, Refusal};
use super::journal::{Ending, Entry, Journal};
use super::{Connection, v1};
use crate::proto::v1::quota_service_client::QuotaServiceClient;

/// With a journal, how long a settlement is tried before it is written down: longer than a sidecar takes to restart where it is quick, and
/// short, for until then a crash of the gateway would lose it.
const BEFORE_JOURNAL: Duration = Duration::from_secs(1);
/// Between two tries of a call that somebody waits for.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];
/// Between two looks whether the sidecar is back.
const REPLAY_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(15)];
/// Settlements replayed at a time: a full journal takes a minute or so, and the calls of the moment keep most of the connection.
const REPLAYED_AT_ONCE: usize = 8;

/// A settlement that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub booking: Booking,
    /// As it is now, or with QUEUED as last known to the sidecar. None: nobody knew.
    pub reservation: Option<v1::Reservation>,
    /// Empty: not booked yet, or a free action.
    pub balances: Vec<v1::Balance>,
    /// What this settlement wrote. Empty: not booked yet, or a repeat.
    pub events: Vec<v1::CostEvent>,
}

/// How far a settlement has come. It will be booked once, in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booking {
    /// In the ledger.
    Booked,
    /// In the sidecar's journal: its store is away.
    Queued,
    /// In this gateway's journal: its sidecar is away.
    Journalled,
}

/// Shared by everything of one client.
#[derive(Debug)]
pub(super) struct Settler {
    pub(super) quota: QuotaServiceClient<Connection>,
    pub(super) journal: Option<Journal>,
    /// The longest a call goes on with all its tries.
    pub(super) patience: Duration,
}

impl Settler {
    /// Brings an ending to the ledger, or to one of the journals on its way.
    pub(super) async fn settle(&self, ending: Ending) -> Result<Settled, Error> {
        let patience = if self.journal.is_some() { self.patience.min(BEFORE_JOURNAL) } else { self.patience };
        let refusal = match until_heard(patience, || self.send(&ending)).await {
            Ok(settled) => return Ok(settled),
            Err(refusal) => refusal,
        };
        let Some(journal) = self.journal.as_ref().filter(|_| refusal.again() != Again::Never) else { return Err(refusal.into()) };
        let reservation_id = ending.reservation_id().to_owned();
        match journal.append(ending).await {
            Ok(true) => Ok(Settled { booking: Booking::Journalled, reservation: None, balances: Vec::new(), events: Vec::new() }),
            Ok(false) => Err(Error::SettledOtherwise { reservation_id }),
            Err(journal) => Err(Error::Unsettled { refusal, journal }),
        }
    }

    async fn send(&self, ending: &Ending) -> Result<Settled, Refusal> {
        let mut quota = self.quota.clone();
        let booking = |queued| if queued { Booking::Queued } else { Booking::Booked };
        match ending {
            Ending::Commit(request) => {
                let answer = quota.commit(request.clone()).await.map_err(|status| Refusal::from(&status))?.into_inner();
                let v1::CommitResponse { reservation, balances, events, queued, .. } = answer;
                Ok(Settled { booking: booking(queued), reservation, balances, events })
            }
            Ending::Release(request) => {
                let answer = quota.release(request.clone()).await.map_err(|status| Refusal::from(&status))?.into_inner();
                let v1::ReleaseResponse { reservation, balances, events, queued, .. } = answer;
                Ok(Settled { booking: booking(queued), reservation, balances, events })
            }
        }
    }

    /// Replays the journal whenever there is something in it, for as long as it is open.
    pub(super) async fn replay(self: Arc<Self>) {
        let Some(journal) = &self.journal else { return };
        let mut pauses = None;
        while journal.filled().await {
            let Err(refusal) = self.replay_all(journal).await else {
                if pauses.take().is_some() {
                    tracing::info!("the journal of the client is drained");
                }
                continue;
            };
            if pauses.is_none() {
                tracing::warn!(waiting = journal.waiting(), %refusal, "settlements wait in the journal of the client");
            }
            let pause = pauses.get_or_insert_with(|| pauses_between(REPLAY_PAUSES).build()).next();
            tokio::time::sleep(pause.unwrap_or(REPLAY_PAUSES[1])).await;
        }
    }

    /// Tries all that waits, oldest first. The refusal says why some of it still does.
    async fn replay_all(&self, journal: &Journal) -> Result<(), Refusal> {
        let send = |(number, entry): (_, Arc<Entry>)| async move {
            let answer = tokio::time::timeout(self.patience, self.send(&entry.ending)).await;
            (number, entry, answer.unwrap_or_else(|_| Err(Refusal::silence(self.patience))))
        };
        let mut sent = std::pin::pin!(stream::iter(journal.entries()).map(send).buffered(REPLAYED_AT_ONCE));
        let mut left = Ok(());
        while let Some((number, entry, answer)) = sent.next().await {
            match answer {
                Ok(_) => journal.remove(number).await,
                Err(refusal) if is_moot(&entry.ending, &refusal) => journal.remove(number).await,
                Err(refusal) if refusal.again() == Again::Never => {
                    let (subject, reservation, what) = (entry.ending.subject(), entry.ending.reservation_id(), entry.ending.name());
                    tracing::error!(subject, reservation, what, %refusal, "a settlement is refused for good; the journal of the client keeps it");
                    if let Err(problem) = journal.bury(number, &refusal.to_string()).await {
                        tracing::error!(%problem, "the journal of the client cannot note what was refused");
                        return Err(refusal);
                    }
                }
                // One that the sidecar itself stumbles over, or that waits for its subject's sake, must not keep the others waiting.
                Err(refusal) if refusal.code == tonic::Code::Internal || refusal.is_its_own() => left = Err(refusal),
                Err(refusal) => return Err(refusal),
            }
        }
        left
    }
}

/// Whether what is refused was only to give units back that have gone back already: the hold has expired, or somebody released it before.
pub(super) fn is_moot(ending: &Ending, refusal: &Refusal) -> bool {
    let Ending::Release(release) = ending else { return false };
    let bills_nothing = release.billed_work.is_none()
        && release.billed_cost.is_none()
        && matches!(release.outcome(), v1::Outcome::Failed | v1::Outcome::Blocked | v1::Outcome::Cancelled);
    bills_nothing && matches!(refusal.state(), Some(v1::State::Expired | v1::State::Released))
}

/// Calls until there is an answer, a refusal that waiting will not change, or no patience left.
pub(super) async fn until_heard<T, F: Future<Output = Result<T, Refusal>>>(
    patience: Duration,
    call: impl FnMut() -> F,
) -> Result<T, Refusal> {
    let mut last = None;
    let tries = call
        .retry(pauses_between(PAUSES))
        .when(|refusal| refusal.again() == Again::Soon)
        .adjust(|refusal, pause| pause.map(|pause| pause.max(refusal.retry_after.unwrap_or_default())))
        .notify(|refusal, _| last = Some(refusal.clone()));
    match tokio::time::timeout(patience, tries).await {
        Ok(answer) => answer,
        Err(_) => Err(last.unwrap_or_else(|| Refusal::silence(patience))),
    }
}

/// Without an end: whoever waits has a patience of its own.
fn pauses_between([shortest, longest]: [Duration; 2]) -> ExponentialBuilder {
    ExponentialBuilder::new().with_min_delay(shortest).with_max_delay(longest).with_jitter().without_max_times()
}
