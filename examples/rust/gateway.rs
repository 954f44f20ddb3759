//! A gateway with quota in front of it: `POST /images?count=4`, for the customer named by the header `x-customer`.
//!
//! The layer reserves before the provider is called and settles by what it has made: credits are charged for delivered images alone, whatever
//! fails. With a sidecar on this host and something that makes images at `PROVIDER`:
//!
//!     genquota serve &
//!     PROVIDER=127.0.0.1:9000 cargo run --example gateway
//!     curl -X POST -H 'x-customer: acme' 'http://127.0.0.1:8080/images?count=4'

use std::error::Error;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use genquota::client::v1::{Denial, Outcome};
use genquota::client::{self, Client, Connector, Delivered, Describe, End, Journal, QuotaLayer, Undelivered, Work};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

/// What is asked for.
#[derive(serde::Deserialize)]
struct Images {
    count: u32,
}

/// Beside an answer: how many images are in it.
#[derive(Clone, Copy)]
struct Made(u32);

/// What this gateway's requests and answers mean for quota.
struct Quota;

impl Describe<Request> for Quota {
    type Response = Response;
    type Error = std::convert::Infallible;

    fn ask(&self, request: &Request) -> Option<client::Request> {
        // A request without a customer or a number is the handler's to refuse.
        let customer = request.headers().get("x-customer")?.to_str().ok()?;
        let Query(Images { count }) = Query::try_from_uri(request.uri()).ok()?;
        let ask = client::Request::new(customer, "image.generate").target("fal", "flux-schnell");
        Some(ask.work(Work::outputs(count)))
    }

    fn end(&self, answer: &Result<Response, Self::Error>) -> End {
        let response = match answer {
            Ok(response) => response,
            Err(never) => match *never {},
        };
        match response.extensions().get::<Made>() {
            Some(Made(count)) => End::Commit(Delivered::work(Work::outputs(*count))),
            None => End::Release(Undelivered::new(Outcome::Failed).detail(response.status().as_str())),
        }
    }

    fn denied(&self, denial: Denial) -> Result<Response, Self::Error> {
        let status = if denial.retry_after.is_some() { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::PAYMENT_REQUIRED };
        let mut response = (status, denial.message).into_response();
        if let Some(delay) = denial.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, delay.seconds.into());
        }
        Ok(response)
    }

    fn undecided(&self, error: client::Error) -> Result<Response, Self::Error> {
        eprintln!("no decision: {error}");
        Ok(StatusCode::SERVICE_UNAVAILABLE.into_response())
    }
}

/// Has images made. The provider answers with as many lines as it has made.
async fn images(State(provider): State<String>, Query(Images { count }): Query<Images>) -> Response {
    match make(&provider, count).await {
        Ok(images) => {
            let made = Made(u32::try_from(images.lines().count()).unwrap_or(count));
            let mut response = images.into_response();
            response.extensions_mut().insert(made);
            response
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn make(provider: &str, count: u32) -> Result<String, Box<dyn Error + Send + Sync>> {
    let stream = TokioIo::new(TcpStream::connect(provider).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("/make?count={count}")).header(header::HOST, provider).body(Empty::<hyper::body::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("the provider answers {}", response.status()).into());
    }
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().into())?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let connector = Connector::new(setting("GENQUOTA_SERVER", "http://127.0.0.1:7070").parse()?);
    // The gateway may start first, and what it could not settle before it was ended is settled now.
    let client = Client::journalled(connector.connect_lazy()?, Journal::open(setting("JOURNAL", "gateway-journal"))?);

    let app: Router<()> = Router::new()
        .route("/images", post(images).layer(QuotaLayer::new(client.clone(), Quota)))
        .with_state(setting("PROVIDER", "127.0.0.1:9000"));
    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:8080")).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        terminate.recv().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    client.finish().await;
    Ok(())
}
