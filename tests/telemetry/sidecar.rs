//! A real `genquota serve` with the variables that a test wants, and calls to it that belong to a trace.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use genquota::client;
use genquota::proto::v1;
use genquota::proto::v1::cost_service_client::CostServiceClient;
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use crate::lab::PATIENCE;
use crate::served::Served;

/// Trace and parent that every call of these tests belongs to.
pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub(crate) const PARENT: &str = "b7ad6b7169203331";

/// Ended with its test.
pub(crate) struct Sidecar {
    served: Served,
    pub(crate) http: String,
}

impl Sidecar {
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/telemetry/catalog.yaml");
        let mut command = Served::command();
        command.args(["--http", "127.0.0.1:0", "--store", "memory:"]).arg("--catalog").arg(catalog);
        command.envs(variables.iter().copied());
        let served = Served::start(command);
        let http = served.http.clone().unwrap();
        Self { served, http }
    }

    pub(crate) async fn quota(&self) -> Quota {
        Quota(QuotaServiceClient::new(client::connect(&self.served.grpc.parse().unwrap(), PATIENCE).await.unwrap()))
    }

    /// Watches costs from now on, and has been told that it is at the end.
    pub(crate) async fn watch(&self) -> Streaming<v1::WatchCostsResponse> {
        let mut costs = CostServiceClient::new(client::connect(&self.served.grpc.parse().unwrap(), PATIENCE).await.unwrap());
        let mut updates = costs.watch_costs(v1::WatchCostsRequest::default()).await.unwrap().into_inner();
        assert!(updates.message().await.unwrap().is_some());
        updates
    }

    /// What `/metrics` says.
    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
        body.to_owned()
    }

    /// SIGTERM, and how it ends within `limit`. Connections of this runtime hear of it meanwhile.
    pub(crate) async fn stop(mut self, limit: Duration) -> ExitStatus {
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.served.child.id())]).status().unwrap();
        assert!(asked.success());
        let deadline = Instant::now() + limit;
        loop {
            match self.served.child.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("the sidecar still runs after {limit:?}"),
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// Calls of one subject, `acme`.
pub(crate) struct Quota(QuotaServiceClient<Channel>);

impl Quota {
    /// Asks for so many images at the dear target, which was planned for the cheap one. True: held.
    pub(crate) async fn reserve(&mut self, id: &str, count: i64) -> bool {
        let target = |provider: &str, model: &str| Some(v1::Target { provider: provider.to_owned(), model: model.to_owned() });
        let request = v1::ReserveRequest {
            subject: "acme".to_owned(),
            reservation_id: id.to_owned(),
            action: "image.generate".to_owned(),
            target: target("openai", "image-1"),
            planned_target: target("fal", "flux"),
            work: Some(v1::Work { items: vec![v1::Item { count: Some(count), ..v1::Item::default() }] }),
            ..v1::ReserveRequest::default()
        };
        let answer = self.0.reserve(traced(request)).await.unwrap().into_inner();
        matches!(answer.outcome, Some(v1::reserve_response::Outcome::Reservation(_)))
    }

    pub(crate) async fn commit(&mut self, id: &str) -> v1::CommitResponse {
        let request = v1::CommitRequest { subject: "acme".to_owned(), reservation_id: id.to_owned(), ..v1::CommitRequest::default() };
        self.0.commit(traced(request)).await.unwrap().into_inner()
    }

    /// A call that fails, with its code.
    pub(crate) async fn look_up(&mut self, id: &str) -> tonic::Code {
        let request = v1::GetReservationRequest { subject: "acme".to_owned(), reservation_id: id.to_owned() };
        self.0.get_reservation(traced(request)).await.map_or_else(|status| status.code(), |_| tonic::Code::Ok)
    }
}

fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{PARENT}-01").parse().unwrap());
    request
}
