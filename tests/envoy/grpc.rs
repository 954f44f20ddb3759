//! Exchanges over gRPC, whose status comes in the trailers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use genquota::proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::bench::{Envoy, NOBODY, Sidecar};
use crate::lab::PATIENCE;

const CHAT: &str = "/models.v1.Models/Chat";

/// A message of the model: any will do.
type Word = v1::Target;

/// A model that streams over gRPC: it says one word, then waits, fails or ends as the first word it hears says.
#[derive(Clone)]
struct Models {
    reservations: mpsc::UnboundedSender<String>,
}

impl NamedService for Models {
    const NAME: &'static str = "models.v1.Models";
}

impl tower::Service<http::Request<Body>> for Models {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let models = self.clone();
        let mut server = tonic::server::Grpc::new(ProstCodec::<Word, Word>::default());
        Box::pin(async move { Ok(server.server_streaming(models, request).await) })
    }
}

impl tonic::server::ServerStreamingService<Word> for Models {
    type Response = Word;
    type ResponseStream = ReceiverStream<Result<Word, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Word>) -> Self::Future {
        let reservations = self.reservations.clone();
        Box::pin(async move {
            let id = request.metadata().get("x-genquota-reservation").unwrap().to_str().unwrap().to_owned();
            reservations.send(id).unwrap();
            let (sender, words) = mpsc::channel(2);
            match request.into_inner().model.as_str() {
                "refuse" => return Err(Status::unavailable("no model is free")),
                "fail" => {
                    sender.send(Ok(Word::default())).await.unwrap();
                    sender.send(Err(Status::internal("the model fell over"))).await.unwrap();
                }
                "wait" => {
                    sender.send(Ok(Word::default())).await.unwrap();
                    tokio::spawn(async move { sender.closed().await });
                }
                _ => sender.send(Ok(Word::default())).await.unwrap(),
            }
            Ok(Response::new(ReceiverStream::new(words)))
        })
    }
}

/// A sidecar, an Envoy and a model of gRPC, with a client that speaks through Envoy.
struct Bench {
    sidecar: Sidecar,
    _envoy: Envoy,
    channel: Channel,
    reservations: mpsc::UnboundedReceiver<String>,
}

impl Bench {
    async fn start() -> Self {
        let sidecar = Sidecar::start("memory:", &[]).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, reservations) = mpsc::unbounded_channel();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(Server::builder().add_service(Models { reservations: sender }).serve_with_incoming(incoming));
        let envoy = Envoy::start("processor.yaml", sidecar.port(), [NOBODY, port]);
        let channel = genquota::client::connect(&format!("http://{}", envoy.address()).parse().unwrap(), PATIENCE).await.unwrap();
        Self { sidecar, _envoy: envoy, channel, reservations }
    }

    async fn chat(&self, subject: &str, how: &str) -> Result<Streaming<Word>, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let mut request = Request::new(Word { model: how.to_owned(), ..Word::default() });
        request.metadata_mut().insert("x-subject", subject.parse().unwrap());
        let answer = client.server_streaming(request, CHAT.parse().unwrap(), ProstCodec::<Word, Word>::default()).await;
        answer.map(Response::into_inner)
    }
}

#[tokio::test]
async fn a_call_is_settled_by_the_status_in_its_trailers() {
    let mut bench = Bench::start().await;
    for (how, code, state, outcome) in [
        ("speak", Code::Ok, v1::State::Committed, v1::Outcome::Accepted),
        ("fail", Code::Internal, v1::State::Released, v1::Outcome::Failed),
        ("refuse", Code::Unavailable, v1::State::Released, v1::Outcome::Failed),
    ] {
        let ended = match bench.chat("acme", how).await {
            Ok(mut words) => loop {
                match words.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break Code::Ok,
                    Err(status) => break status.code(),
                }
            },
            Err(status) => status.code(),
        };
        assert_eq!(ended, code, "{how}");
        let id = bench.reservations.recv().await.unwrap();
        let settled = bench.sidecar.reservation_is("acme", &id, state).await;
        assert_eq!(settled.attempts[0].outcome(), outcome, "{how}");
    }
    assert_eq!(bench.sidecar.balance("acme").await, ("19".to_owned(), "0".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn a_call_is_held_until_its_end_and_released_if_its_client_goes_away() {
    let mut bench = Bench::start().await;
    let mut words = bench.chat("acme", "wait").await.unwrap();
    assert!(words.message().await.unwrap().is_some());
    let id = bench.reservations.recv().await.unwrap();
    assert_eq!(bench.sidecar.reservation("acme", &id).await.state(), v1::State::Held);
    drop(words);
    let released = bench.sidecar.reservation_is("acme", &id, v1::State::Released).await;
    assert_eq!(released.attempts[0].outcome(), v1::Outcome::Cancelled);
}

#[tokio::test]
async fn a_denied_call_has_a_status_of_grpc() {
    let mut bench = Bench::start().await;
    for _ in 0..20 {
        let mut words = bench.chat("acme", "speak").await.unwrap();
        while words.message().await.unwrap().is_some() {}
    }
    bench.sidecar.used_is("acme", "20").await;
    let denied = bench.chat("acme", "speak").await.unwrap_err();
    assert_eq!((denied.code(), denied.message()), (Code::ResourceExhausted, "not enough `credits` left: 1 credits asked, 0 available"));
    assert_eq!(denied.metadata().get("x-genquota-denial").unwrap(), "QUOTA_EXHAUSTED");
    let invalid = bench.chat("a*", "speak").await.unwrap_err();
    assert_eq!(invalid.code(), Code::InvalidArgument);
}
