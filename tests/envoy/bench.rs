//! A sidecar, an Envoy and a model; and a client that asks the model through Envoy.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use genquota::client;
use genquota::proto::v1;
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::lab::{PATIENCE, Process, Tool, wait_for};
use crate::served::Served;
use crate::upstream::Upstream;

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A port where nobody listens: the first of those that need rights.
pub(crate) const NOBODY: u16 = 1;

pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/envoy").join(name)
}

/// Looks until there is something, and fails if there is nothing in good time.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Headers of a request.
pub(crate) type Headers<'h> = &'h [(&'h str, &'h str)];

/// What a file of the example says, and what it is to say instead.
pub(crate) type Edits<'e> = &'e [(&'e str, &'e str)];

/// A file of the example, edited.
fn edited(name: &str, edits: Edits<'_>) -> String {
    edits.iter().fold(fs::read_to_string(example(name)).unwrap(), |text, (good, other)| {
        assert_eq!(text.matches(good).count(), 1, "`{good}` stands once in {name}");
        text.replace(good, other)
    })
}

/// Everything there is between a client and a model.
pub(crate) struct Bench {
    pub(crate) envoy: Envoy,
    pub(crate) sidecar: Sidecar,
    pub(crate) upstream: Upstream,
}

impl Bench {
    /// With one of the example's files for Envoy.
    pub(crate) async fn start(file: &str) -> Self {
        Self::start_with(file, &[], &[]).await
    }

    /// With other settings in the file for Envoy, and in the catalog.
    pub(crate) async fn start_with(file: &str, settings: Edits<'_>, catalog: Edits<'_>) -> Self {
        let (sidecar, upstream) = (Sidecar::start_with("memory:", &[], catalog).await, Upstream::start());
        let envoy = Envoy::start_with(file, sidecar.port(), [upstream.port, NOBODY], settings);
        Self { envoy, sidecar, upstream }
    }

    /// Posts to the model through Envoy.
    pub(crate) fn post(&self, path: &str, headers: Headers<'_>) -> Answer {
        self.envoy.post(path, headers)
    }

    /// The reservation that an answer tells of.
    pub(crate) async fn reservation(&mut self, answer: &Answer) -> v1::Reservation {
        let id = answer.header("x-genquota-reservation").unwrap_or_else(|| panic!("no reservation: {answer:?}"));
        self.sidecar.reservation("acme", id).await
    }

    /// The one reservation that the model was told of.
    pub(crate) fn reservation_of_upstream(&self) -> String {
        wait_for("a request with its reservation", || self.upstream.heard().first()?.header("x-genquota-reservation").map(str::to_owned))
    }
}

/// A real `genquota serve` with the example's catalog.
pub(crate) struct Sidecar {
    served: Served,
    dir: TempDir,
    quota: QuotaServiceClient<Channel>,
}

impl Sidecar {
    pub(crate) async fn start(store: &str, flags: &[&str]) -> Self {
        Self::start_with(store, flags, &[]).await
    }

    async fn start_with(store: &str, flags: &[&str], catalog: Edits<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("catalog.yaml"), edited("catalog.yaml", catalog)).unwrap();
        let mut command = Served::command();
        command.args(["--http", "127.0.0.1:0", "--store", store]).args(flags);
        command.args(["--catalog", "catalog.yaml"]).current_dir(dir.path()).stderr(Stdio::inherit());
        let served = Served::start(command);
        let quota = QuotaServiceClient::new(client::connect(&served.grpc.parse().unwrap(), PATIENCE).await.unwrap());
        Self { served, dir, quota }
    }

    pub(crate) fn port(&self) -> u16 {
        self.served.grpc.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn grpc(&self) -> &str {
        &self.served.grpc
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.served.child.id())]).status().unwrap();
        assert!(sent.success(), "the process is there");
    }

    /// Puts another edition of its catalog in force.
    pub(crate) fn reload(&self, catalog: Edits<'_>) {
        let reloads = || self.metric("genquota_catalog_reloads_total{result=\"ok\"}");
        let before = reloads();
        fs::write(self.dir.path().join("catalog.yaml"), edited("catalog.yaml", catalog)).unwrap();
        self.signal("HUP");
        wait_for("the reload", || (reloads() > before).then_some(()));
    }

    /// What `/readyz` answers.
    pub(crate) fn ready(&self) -> u16 {
        ask(self.served.http.as_deref().unwrap(), "GET", "/readyz", &[]).status
    }

    /// Waits for its end. Connections of this runtime hear of it meanwhile, for a drain waits for them.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        until("its end", async || self.served.child.try_wait().unwrap()).await
    }

    pub(crate) fn kill(self) {
        self.served.kill();
    }

    pub(crate) async fn reservation(&mut self, subject: &str, id: &str) -> v1::Reservation {
        let request = v1::GetReservationRequest { subject: subject.to_owned(), reservation_id: id.to_owned() };
        self.quota.get_reservation(request).await.unwrap().into_inner().reservation.unwrap()
    }

    /// Waits until a reservation is in a state.
    pub(crate) async fn reservation_is(&mut self, subject: &str, id: &str, state: v1::State) -> v1::Reservation {
        self.reservation_that(subject, id, |reservation| reservation.state() == state).await
    }

    /// Waits until something is so of a reservation.
    pub(crate) async fn reservation_that(&mut self, subject: &str, id: &str, is_so: impl Fn(&v1::Reservation) -> bool) -> v1::Reservation {
        until(&format!("reservation {id} of {subject}"), async || Some(self.reservation(subject, id).await).filter(&is_so)).await
    }

    pub(crate) async fn commit(&mut self, subject: &str, id: &str) {
        let request = v1::CommitRequest { subject: subject.to_owned(), reservation_id: id.to_owned(), ..v1::CommitRequest::default() };
        self.quota.commit(request).await.unwrap();
    }

    /// What a subject has left, holds and has used.
    pub(crate) async fn balance(&mut self, subject: &str) -> (String, String, String) {
        let request = v1::GetBalanceRequest { subject: subject.to_owned(), user: String::new() };
        let balance = self.quota.get_balance(request).await.unwrap().into_inner().balances.remove(0);
        (balance.available, balance.reserved, balance.committed)
    }

    /// Waits until a subject has used so much, for its store too.
    pub(crate) async fn used_is(&mut self, subject: &str, used: &str) {
        until(&format!("{used} used by {subject}"), async || {
            let request = v1::GetBalanceRequest { subject: subject.to_owned(), user: String::new() };
            let answer = self.quota.get_balance(request).await.ok()?.into_inner();
            (answer.balances[0].committed == used).then_some(())
        })
        .await;
    }

    /// Waits until a subject has a generation, and none that is held.
    pub(crate) async fn is_settled(&mut self, subject: &str) {
        until(&format!("the end of what {subject} holds"), async || {
            let request = v1::ListGenerationsRequest { subject: subject.to_owned(), ..v1::ListGenerationsRequest::default() };
            let generations = self.quota.list_generations(request).await.ok()?.into_inner().generations;
            (!generations.is_empty() && generations.iter().all(|generation| generation.state() != v1::State::Held)).then_some(())
        })
        .await;
    }

    pub(crate) async fn generations(&mut self, subject: &str) -> Vec<v1::Generation> {
        let request = v1::ListGenerationsRequest { subject: subject.to_owned(), ..v1::ListGenerationsRequest::default() };
        self.quota.list_generations(request).await.unwrap().into_inner().generations
    }

    /// What Envoy asked, and what came of it.
    pub(crate) fn asked(&self, filter: &str, result: &str) -> f64 {
        self.metric(&format!("genquota_envoy_requests_total{{filter=\"{filter}\",result=\"{result}\"}}"))
    }

    fn metric(&self, series: &str) -> f64 {
        let text = ask(self.served.http.as_deref().unwrap(), "GET", "/metrics", &[]).body;
        let number = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        number.unwrap_or_else(|| panic!("{series}: {text}")).parse().unwrap()
    }
}

/// A real Envoy.
pub(crate) struct Envoy {
    _process: Process,
    address: String,
    dir: TempDir,
}

impl Envoy {
    /// With one of the example's files, in which nothing but ports is replaced. The models speak HTTP and gRPC.
    pub(crate) fn start(file: &str, sidecar: u16, models: [u16; 2]) -> Self {
        Self::start_with(file, sidecar, models, &[])
    }

    pub(crate) fn start_with(file: &str, sidecar: u16, [models, models_grpc]: [u16; 2], settings: Edits<'_>) -> Self {
        let mut config = edited(file, settings);
        for (example, port) in [(9901, 0), (10000, 0), (7070, sidecar), (8080, models), (8081, models_grpc)] {
            config = config.replace(&format!("port_value: {example}}}"), &format!("port_value: {port}}}"));
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("envoy.yaml"), config).unwrap();
        let mut command = Command::new(Tool::Envoy.program());
        // Shared memory for a hot restart would make two of them one.
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]);
        command.arg("--config-path").arg(at("envoy.yaml")).arg("--admin-address-path").arg(at("admin")).arg("--log-path").arg(at("log"));
        let process = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
        let admin = wait_for("Envoy's admin port", || fs::read_to_string(at("admin")).ok().filter(|text| !text.trim().is_empty()));
        let address = wait_for("Envoy's listener", || {
            let listeners = ask(admin.trim(), "GET", "/listeners?format=json", &[]).body;
            let listeners: serde_json::Value = serde_json::from_str(&listeners).ok()?;
            let port = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"].as_u64()?;
            Some(format!("127.0.0.1:{port}"))
        });
        wait_for("Envoy to be live", || (ask(admin.trim(), "GET", "/ready", &[]).status == 200).then_some(()));
        Self { _process: process, address, dir }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn post(&self, path: &str, headers: Headers<'_>) -> Answer {
        ask(&self.address, "POST", path, headers)
    }

    /// Asks, and reads nothing.
    pub(crate) fn begin(&self, path: &str, headers: Headers<'_>) -> TcpStream {
        begin(&self.address, "POST", path, headers)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Envoy's log:\n{}", fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Asks, and reads the answer to its end, or as far as it comes.
pub(crate) fn ask(address: &str, method: &str, path: &str, headers: Headers<'_>) -> Answer {
    let mut stream = begin(address, method, path, headers);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") { unchunked(body) } else { body.to_owned() };
    Answer { status, headers, body }
}

fn begin(address: &str, method: &str, path: &str, headers: Headers<'_>) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: models\r\nconnection: close\r\ncontent-length: 0\r\n{headers}\r\n").unwrap();
    stream
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        whole.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    whole
}
