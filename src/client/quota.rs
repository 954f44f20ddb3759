//! The client of a gateway: asks for holds and hands them out as guards.
//!
//! Whatever changes the ledger runs in a task of its own, so that a caller that gives up, or is cancelled, cuts nothing in half: a hold that is
//! granted after nobody waits for it any more is given back, and a settlement that has begun comes to its end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::error::{Again, Error, Refusal};
use super::guard::{Guard, Settling};
use super::journal::{Ending, Journal};
use super::settler::{Settler, is_moot, until_heard};
use super::{Connection, Request, Undelivered, v1};
use crate::proto::v1::quota_service_client::QuotaServiceClient;
use crate::proto::v1::reserve_response::Outcome;

/// How long a call goes on where nobody says otherwise: over a restart of the sidecar, and not much longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks one sidecar. Clones share everything, the journal included. `docs/rust-client.md` shows it at work.
#[derive(Debug, Clone)]
pub struct Client(Arc<Shared>);

/// What can be chosen about a client.
#[derive(Debug)]
pub struct Options {
    /// Where settlements are kept that cannot be sent. None, the default: nowhere, and each is an error.
    pub journal: Option<Journal>,
    /// The longest a call goes on with all its tries, 5 seconds by default. A gateway that would rather refuse than wait names less.
    pub patience: Duration,
}

/// The answer to a request.
#[derive(Debug)]
pub enum Decision {
    /// Units and cost are set aside. They come back when the guard is dropped.
    Held(Guard),
    /// Nothing is held.
    Denied(v1::Denial),
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settler: Arc<Settler>,
    /// Where tasks run, also those of a guard that is dropped elsewhere.
    runtime: Handle,
    /// What is under way.
    tasks: TaskTracker,
    _replay: Option<AbortOnDropHandle<()>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { journal: None, patience: PATIENCE }
    }
}

impl Client {
    /// A client that keeps nothing on disk: a settlement that cannot be sent is an error, and its hold comes back at the deadline. Must be
    /// called within a Tokio runtime, where its tasks will run.
    pub fn new(connection: Connection) -> Self {
        Self::with(connection, Options::default())
    }

    /// A client with a journal for settlements that cannot be sent. What an earlier process left there is replayed at once.
    pub fn journalled(connection: Connection, journal: Journal) -> Self {
        Self::with(connection, Options { journal: Some(journal), ..Options::default() })
    }

    pub fn with(connection: Connection, Options { journal, patience }: Options) -> Self {
        let settler = Arc::new(Settler { quota: QuotaServiceClient::new(connection), journal, patience });
        let runtime = Handle::current();
        let replay = settler.journal.is_some().then(|| AbortOnDropHandle::new(runtime.spawn(settler.clone().replay())));
        Self(Arc::new(Shared { settler, runtime, tasks: TaskTracker::new(), _replay: replay }))
    }

    /// Asks for a hold. Where no answer is heard, it is asked again under the same id, for as long as the client has patience; after that an
    /// error is final for this id, for a hold that may have been granted unheard is given back.
    pub async fn reserve(&self, request: Request) -> Result<Decision, Error> {
        let (shared, Request { message, keep_alive }) = (self.0.clone(), request);
        self.0.carry_out(async move { shared.reserve(message, keep_alive).await }).await?
    }

    /// Takes up a hold that another guard, perhaps of another process, has left open.
    pub async fn resume(&self, subject: impl Into<String>, reservation_id: impl Into<String>) -> Result<Guard, Error> {
        let reservation = self.0.look_up(subject.into(), reservation_id.into()).await?;
        Guard::new(self.0.clone(), reservation, None)
    }

    /// The generated client on the same connection, for every other call of the contract.
    pub fn quota(&self) -> QuotaServiceClient<Connection> {
        self.0.settler.quota.clone()
    }

    /// Where settlements wait that could not be sent.
    pub fn journal(&self) -> Option<&Journal> {
        self.0.settler.journal.as_ref()
    }

    /// Waits for what is under way: call it before the runtime ends, when no guard is left. What lies in the journal may stay there.
    pub async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.tasks.reopen();
    }
}

impl Shared {
    /// Runs a call to its end whether or not anybody waits for it. Its answer is dropped if nobody does.
    async fn carry_out<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.spawn(async move { drop(answer.send(call.await)) });
        answered.await.map_err(|_| Error::Shutdown)
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// A task that its owner ends.
    pub(super) fn spawn_owned(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(self.runtime.spawn(task))
    }

    async fn reserve(self: Arc<Self>, message: v1::ReserveRequest, keep_alive: Option<Duration>) -> Result<Decision, Error> {
        let answer = self.heard(&message, |mut quota, request| async move { quota.reserve(request).await }).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => {
                if refusal.again() == Again::Soon {
                    self.give_back(message.subject, message.reservation_id);
                }
                return Err(refusal.into());
            }
        };
        match answer.outcome.ok_or(Error::Malformed { call: "Reserve" })? {
            Outcome::Reservation(reservation) => Guard::new(self, reservation, keep_alive).map(Decision::Held),
            Outcome::Denial(denial) => Ok(Decision::Denied(denial)),
        }
    }

    pub(super) async fn look_up(&self, subject: String, reservation_id: String) -> Result<v1::Reservation, Error> {
        let request = v1::GetReservationRequest { subject, reservation_id };
        let answer = self.heard(&request, |mut quota, request| async move { quota.get_reservation(request).await }).await?;
        answer.reservation.ok_or(Error::Malformed { call: "GetReservation" })
    }

    pub(super) async fn extend(&self, request: v1::ExtendRequest) -> Result<v1::Reservation, Error> {
        let answer = self.heard(&request, |mut quota, request| async move { quota.extend(request).await }).await?;
        answer.reservation.ok_or(Error::Malformed { call: "Extend" })
    }

    /// Closes an attempt and opens the next, to the end whether or not anybody waits.
    pub(super) async fn retry(self: &Arc<Self>, request: v1::RetryRequest) -> Result<v1::RetryResponse, Error> {
        let shared = self.clone();
        let call = async move { shared.heard(&request, |mut quota, request| async move { quota.retry(request).await }).await };
        Ok(self.carry_out(call).await??)
    }

    /// Begins a settlement. Where nobody hears how it ends, a failure is told to the log.
    pub(super) fn settle(&self, ending: Ending) -> Settling {
        let (settler, (answer, answered)) = (self.settler.clone(), oneshot::channel());
        self.spawn(async move {
            let settled = settler.settle(ending.clone()).await;
            if let Err(Err(error)) = answer.send(settled)
                && !error.refusal().is_some_and(|refusal| is_moot(&ending, refusal))
            {
                let (subject, reservation, what) = (ending.subject(), ending.reservation_id(), ending.name());
                tracing::error!(subject, reservation, what, %error, "a settlement failed: what is held comes back at its deadline");
            }
        });
        Settling::new(answered)
    }

    /// Releases what may have been granted and was not heard of. Nothing is lost if that fails: it is tried, and the deadline does the rest.
    fn give_back(&self, subject: String, reservation_id: String) {
        let release = Undelivered::new(v1::Outcome::Cancelled).message(subject, reservation_id);
        let mut quota = self.settler.quota.clone();
        self.spawn(async move { drop(quota.release(release).await) });
    }

    /// Makes a call until it is heard, each time with the same request.
    async fn heard<M: Clone, T, F>(&self, request: &M, call: impl Fn(QuotaServiceClient<Connection>, M) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let call = || {
            let answer = call(self.settler.quota.clone(), request.clone());
            async { answer.await.map(tonic::Response::into_inner).map_err(|status| Refusal::from(&status)) }
        };
        until_heard(self.settler.patience, call).await
    }
}
