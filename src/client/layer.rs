//! A tower layer: holds before the inner service is called, and settles when it has answered.
//!
//! It adds no queue: it is ready when the inner service is, a request keeps the readiness it was given while it is decided on, and gives it
//! back with a denial. An answer is handed on once it is settled, or written down. A request whose future is dropped, or whose service panics,
//! releases its hold.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::{Client, Decision, Delivered, Error, Request, Undelivered, v1};

/// What the requests and answers of a gateway mean for quota. `R` is the request of the inner service.
///
/// An answer must say what was delivered when it is there. One whose body goes on for minutes does not: reserve in the handler then, and move
/// the [`Guard`](super::Guard) into the body.
pub trait Describe<R>: Send + Sync + 'static {
    type Response: Send + 'static;
    type Error: Send + 'static;

    /// What to hold. `None`: the request passes without.
    fn ask(&self, request: &R) -> Option<Request>;

    /// How it ended, by what the inner service answered.
    fn end(&self, answer: &Result<Self::Response, Self::Error>) -> End;

    /// The answer to a request that the subject's quota does not allow.
    fn denied(&self, denial: v1::Denial) -> Result<Self::Response, Self::Error>;

    /// The answer where no decision was to be had. Nothing is held.
    fn undecided(&self, error: Error) -> Result<Self::Response, Self::Error>;
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Commit(Delivered),
    Release(Undelivered),
}

/// Puts quota in front of a service.
///
/// ```
/// use genquota::client::{Client, Connector, Describe, End, Error, QuotaLayer, Request, Undelivered, Work, v1};
/// use tower::{ServiceBuilder, ServiceExt as _, service_fn};
///
/// enum Wish { Images(u32), Upload }
/// struct Wishes;
///
/// impl Describe<Wish> for Wishes {
///     type Response = u32;
///     type Error = String;
///
///     fn ask(&self, wish: &Wish) -> Option<Request> {
///         match wish {
///             Wish::Images(count) => Some(Request::new("acme", "image.generate").target("fal", "flux-schnell").work(Work::outputs(*count))),
///             Wish::Upload => None,
///         }
///     }
///
///     fn end(&self, answer: &Result<u32, String>) -> End {
///         match answer {
///             Ok(made) => End::Commit(Work::outputs(*made).into()),
///             Err(problem) => End::Release(Undelivered::new(v1::Outcome::Failed).detail(problem)),
///         }
///     }
///
///     fn denied(&self, denial: v1::Denial) -> Result<u32, String> {
///         Err(denial.message)
///     }
///
///     fn undecided(&self, error: Error) -> Result<u32, String> {
///         Err(error.to_string())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let client = Client::new(Connector::new("unix:/run/genquota.sock".parse()?).connect_lazy()?);
/// let gateway = ServiceBuilder::new().layer(QuotaLayer::new(client, Wishes)).service(service_fn(async |wish| match wish {
///     Wish::Images(count) => Ok(count),
///     Wish::Upload => Ok(0),
/// }));
/// // Nothing is asked for it, so no sidecar need be there.
/// assert_eq!(gateway.oneshot(Wish::Upload).await?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct QuotaLayer<D> {
    client: Client,
    describe: Arc<D>,
}

/// A service with quota in front of it.
#[derive(Debug)]
pub struct QuotaService<S, D> {
    inner: S,
    layer: QuotaLayer<D>,
}

impl<D> QuotaLayer<D> {
    pub fn new(client: Client, describe: D) -> Self {
        Self { client, describe: Arc::new(describe) }
    }
}

impl<D> Clone for QuotaLayer<D> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), describe: self.describe.clone() }
    }
}

impl<S: Clone, D> Clone for QuotaService<S, D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, D> Layer<S> for QuotaLayer<D> {
    type Service = QuotaService<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        QuotaService { inner, layer: self.clone() }
    }
}

impl<R, S, D> Service<R> for QuotaService<S, D>
where
    R: Send + 'static,
    S: Service<R, Response = D::Response, Error = D::Error> + Clone + Send + 'static,
    S::Future: Send + 'static,
    D: Describe<R>,
{
    type Response = D::Response;
    type Error = D::Error;
    type Future = Pin<Box<dyn Future<Output = Result<D::Response, D::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The one that was polled ready goes with the request; a clone need not be ready.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        Box::pin(self.layer.clone().pass(inner, request))
    }
}

impl<D> QuotaLayer<D> {
    async fn pass<R, S>(self, mut inner: S, request: R) -> Result<D::Response, D::Error>
    where
        S: Service<R, Response = D::Response, Error = D::Error>,
        D: Describe<R>,
    {
        let Some(ask) = self.describe.ask(&request) else { return inner.call(request).await };
        let guard = match self.client.reserve(ask).await {
            Ok(Decision::Held(guard)) => guard,
            Ok(Decision::Denied(denial)) => return self.describe.denied(denial),
            Err(error) => return self.describe.undecided(error),
        };
        let (subject, reservation) = (guard.reservation().subject.clone(), guard.reservation().reservation_id.clone());
        let answer = inner.call(request).await;
        let settled = match self.describe.end(&answer) {
            End::Commit(delivered) => guard.commit(delivered),
            End::Release(undelivered) => guard.release(undelivered),
        };
        // The work is done, and its customer gets it whatever becomes of the books.
        if let Err(error) = settled.await {
            tracing::error!(subject, reservation, %error, "a settlement failed: what is held comes back at its deadline");
        }
        answer
    }
}
