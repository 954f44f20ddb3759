//! The tower layer: every way in which a request can end has its settlement, and readiness stays the inner service's.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use genquota::client::v1::{Denial, DenialReason, Outcome, State};
use genquota::client::{Client, Delivered, Describe, End, Error, QuotaLayer, Request, Work};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::PollSemaphore;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::sidecar::{ALLOWANCE, Sidecar, ask, ask_for, balance, until_state};

/// What a customer wants, and what the model does about it.
#[derive(Clone)]
struct Job {
    id: &'static str,
    count: u32,
    model: Model,
}

#[derive(Clone, Copy)]
enum Model {
    Makes(u32),
    Fails,
    Panics,
    Hangs,
}

#[derive(Debug)]
enum Answer {
    Made(u32),
    Denied(Denial),
}

#[derive(Debug)]
enum Fault {
    Model,
    Undecided(Error),
}

struct Images;

impl Describe<Job> for Images {
    type Response = Answer;
    type Error = Fault;

    fn ask(&self, job: &Job) -> Option<Request> {
        (job.count > 0).then(|| if job.id.is_empty() { ask_for("many", job.count) } else { ask(job.count).reservation_id(job.id) })
    }

    fn end(&self, answer: &Result<Answer, Fault>) -> End {
        match answer {
            Ok(Answer::Made(count)) => End::Commit(Delivered::work(Work::outputs(*count))),
            Ok(Answer::Denied(_)) | Err(_) => End::Release(Outcome::Failed.into()),
        }
    }

    fn denied(&self, denial: Denial) -> Result<Answer, Fault> {
        Ok(Answer::Denied(denial))
    }

    fn undecided(&self, error: Error) -> Result<Answer, Fault> {
        Err(Fault::Undecided(error))
    }
}

/// A model with so many places.
#[derive(Clone)]
struct Provider {
    places: PollSemaphore,
    most: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    room: usize,
}

impl Provider {
    fn new(room: usize) -> Self {
        let places = PollSemaphore::new(Arc::new(Semaphore::new(room)));
        Self { places, most: Arc::default(), calls: Arc::default(), room }
    }
}

/// A service as tower means it: a clone has not been polled ready, and one that was not must not be called.
struct Strict {
    provider: Provider,
    place: Option<OwnedSemaphorePermit>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { provider: self.provider.clone(), place: None }
    }
}

impl Service<Job> for Strict {
    type Response = Answer;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.place.is_none() {
            self.place = std::task::ready!(self.provider.places.poll_acquire(context));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, job: Job) -> Self::Future {
        let place = self.place.take().expect("called where it was polled ready");
        let provider = self.provider.clone();
        Box::pin(async move {
            provider.calls.fetch_add(1, Ordering::SeqCst);
            let busy = provider.room - provider.places.available_permits();
            provider.most.fetch_max(busy, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let answer = match job.model {
                Model::Makes(count) => Ok(Answer::Made(count)),
                Model::Fails => Err(Fault::Model),
                Model::Panics => panic!("the model's code has a fault"),
                Model::Hangs => std::future::pending().await,
            };
            drop(place);
            answer
        })
    }
}

type Gateway = genquota::client::QuotaService<Strict, Images>;

fn gateway(client: &Client, provider: &Provider) -> Gateway {
    QuotaLayer::new(client.clone(), Images).layer(Strict { provider: provider.clone(), place: None })
}

fn job(id: &'static str, count: u32, model: Model) -> Job {
    Job { id, count, model }
}

#[tokio::test]
async fn an_answer_is_charged_by_what_it_delivers() {
    let sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(1));
    let answer = gateway(&client, &provider).oneshot(job("made", 4, Model::Makes(3))).await.unwrap();
    assert!(matches!(answer, Answer::Made(3)), "{answer:?}");
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 3, 3), "before the answer is out");
}

#[tokio::test]
async fn a_failure_is_handed_on_and_costs_the_customer_nothing() {
    let sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(1));
    let fault = gateway(&client, &provider).oneshot(job("failed", 4, Model::Fails)).await.unwrap_err();
    assert!(matches!(fault, Fault::Model), "{fault:?}");
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE, 0));
    assert_eq!(until_state(&client, "failed", State::Released).await.attempts[0].outcome(), Outcome::Failed);
}

#[tokio::test]
async fn a_denial_is_answered_without_the_inner_service_and_frees_its_place() {
    let sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(1));
    gateway(&client, &provider).oneshot(job("all", ALLOWANCE, Model::Makes(ALLOWANCE))).await.unwrap();
    for _ in 0..3 {
        let answer = gateway(&client, &provider).oneshot(job("denied", 1, Model::Makes(1))).await.unwrap();
        assert!(matches!(&answer, Answer::Denied(denial) if denial.reason() == DenialReason::QuotaExhausted), "{answer:?}");
    }
    assert_eq!((provider.calls.load(Ordering::SeqCst), provider.places.available_permits()), (1, 1));
}

#[tokio::test]
async fn a_panic_of_the_inner_service_gives_everything_back() {
    let sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(1));
    let panicked = tokio::spawn(gateway(&client, &provider).oneshot(job("panicked", 4, Model::Panics)));
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(until_state(&client, "panicked", State::Released).await.attempts[0].outcome(), Outcome::Failed);
    assert_eq!(provider.places.available_permits(), 1);
}

#[tokio::test]
async fn a_request_whose_customer_hangs_up_gives_everything_back() {
    let sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(1));
    let request = tokio::spawn(gateway(&client, &provider).oneshot(job("hung-up", 4, Model::Hangs)));
    crate::until("the model to be at work", async || (provider.calls.load(Ordering::SeqCst) == 1).then_some(())).await;
    request.abort();
    assert_eq!(until_state(&client, "hung-up", State::Released).await.attempts[0].outcome(), Outcome::Cancelled);
    assert_eq!(provider.places.available_permits(), 1);
}

#[tokio::test]
async fn a_request_that_asks_for_nothing_passes_without_the_sidecar() {
    let mut sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(1));
    sidecar.kill();
    let answer = gateway(&client, &provider).oneshot(job("free", 0, Model::Makes(0))).await.unwrap();
    assert!(matches!(answer, Answer::Made(0)), "{answer:?}");
}

#[tokio::test]
async fn where_there_is_no_decision_the_inner_service_is_not_called() {
    let mut sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(1));
    sidecar.kill();
    let fault = gateway(&client, &provider).oneshot(job("undecided", 1, Model::Makes(1))).await.unwrap_err();
    assert!(matches!(&fault, Fault::Undecided(error) if error.refusal().is_some()), "{fault:?}");
    assert_eq!(provider.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn it_is_ready_when_the_inner_service_is() {
    let sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(1));
    let mut first = gateway(&client, &provider);
    let mut second = first.clone();
    first.ready().await.unwrap();
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(second.poll_ready(&mut context).is_pending(), "the only place is taken");
    first.call(job("one", 1, Model::Makes(1))).await.unwrap();
    second.ready().await.unwrap().call(job("two", 1, Model::Makes(1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_get_what_there_is_and_no_more() {
    const CALLERS: usize = 60;
    let sidecar = Sidecar::start();
    let (client, provider) = (sidecar.client(), Provider::new(8));
    let gateway = gateway(&client, &provider);
    let each = ALLOWANCE / 40;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(gateway.clone().oneshot(job("", each, Model::Makes(each))));
    }
    let answers = callers.join_all().await;
    let made = answers.iter().filter(|answer| matches!(answer, Ok(Answer::Made(_)))).count();
    let denied = answers.iter().filter(|answer| matches!(answer, Ok(Answer::Denied(_)))).count();
    assert_eq!((made, denied), (40, CALLERS - 40));
    assert_eq!(balance(&client, "many").await, (0, ALLOWANCE));
    let most = provider.most.load(Ordering::SeqCst);
    assert!((1..=8).contains(&most), "{most} at once");
}
