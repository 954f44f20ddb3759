//! A sidecar beside its gateway: the real binary on a unix socket, which stays the same when it is ended and started again.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use genquota::client::{Client, Connection, Connector, Journal, Request, Work, v1};
use tempfile::TempDir;

use crate::served::Served;
use crate::until;

const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/catalog.yaml");
/// Credits of every subject.
pub(crate) const ALLOWANCE: u32 = 10_000;

pub(crate) struct Sidecar {
    /// None while it is ended.
    served: Option<Served>,
    settings: Vec<(String, String)>,
    dir: TempDir,
}

impl Sidecar {
    /// On an embedded store in its directory.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = format!("embedded:{}", dir.path().join("store").display());
        Self::start_with(dir, &[("store", &store)])
    }

    /// With settings by their keys.
    pub(crate) fn start_with(dir: TempDir, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut sidecar = Self { served: None, settings, dir };
        sidecar.restart();
        sidecar
    }

    pub(crate) fn restart(&mut self) {
        let mut command = Served::command();
        command.args(["--listen", &self.address(), "--http", "off", "--catalog", CATALOG, "--log-filter", "warn"]);
        for (key, value) in &self.settings {
            command.args([format!("--{}", key.replace(['.', '_'], "-")), value.clone()]);
        }
        self.served = Some(Served::start(command));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.served.take().expect("it runs").kill();
    }

    pub(crate) fn begin_stop(&self) {
        let pid = self.served.as_ref().expect("it runs").child.id();
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().unwrap();
        assert!(asked.success(), "the process is there");
    }

    /// Waits for its end, without blocking the test's load.
    pub(crate) async fn stopped(&mut self) -> ExitStatus {
        let mut served = self.served.take().expect("it runs");
        until("the sidecar to end", async || served.child.try_wait().unwrap()).await
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.path("q.sock").display())
    }

    /// Where it listens beside the socket.
    pub(crate) fn tcp(&self) -> &str {
        &self.served.as_ref().expect("it runs").grpc
    }

    /// A path in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn connection(&self) -> Connection {
        Connector::new(self.address().parse().unwrap()).timeout(Duration::from_secs(10)).connect_lazy().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.connection())
    }

    /// With the journal of this name.
    pub(crate) fn journalled(&self, journal: &str) -> Client {
        Client::journalled(self.connection(), Journal::open(self.path(journal)).unwrap())
    }
}

/// So many images for the subject of the test.
pub(crate) fn ask(count: u32) -> Request {
    ask_for("acme", count)
}

pub(crate) fn ask_for(subject: &str, count: u32) -> Request {
    Request::new(subject, "image.generate").target("fal", "flux-schnell").work(Work::outputs(count))
}

/// One of as many messages as one likes.
pub(crate) fn message() -> Request {
    Request::new("acme", "text.message").target("fal", "flux-schnell")
}

/// A reservation as it is now.
pub(crate) async fn look(client: &Client, id: &str) -> Option<v1::Reservation> {
    let request = v1::GetReservationRequest { subject: "acme".to_owned(), reservation_id: id.to_owned() };
    client.quota().get_reservation(request).await.ok()?.into_inner().reservation
}

/// Waits until a reservation is in a state, and shows it.
pub(crate) async fn until_state(client: &Client, id: &str, state: v1::State) -> v1::Reservation {
    until(&format!("`{id}` to be {}", state.as_str_name()), async || look(client, id).await.filter(|found| found.state() == state)).await
}

/// Credits that a subject has left, and those that it has used.
pub(crate) async fn balance(client: &Client, subject: &str) -> (u32, u32) {
    let balance = balance_of(client, subject, "credits").await;
    (balance.available.parse().unwrap(), balance.committed.parse().unwrap())
}

/// Messages that were sent.
pub(crate) async fn messages(client: &Client) -> usize {
    balance_of(client, "acme", "messages").await.committed.parse().unwrap()
}

async fn balance_of(client: &Client, subject: &str, meter: &str) -> v1::Balance {
    let request = v1::GetBalanceRequest { subject: subject.to_owned(), ..Default::default() };
    let balances = client.quota().get_balance(request).await.unwrap().into_inner().balances;
    balances.into_iter().find(|balance| balance.meter == meter).unwrap()
}
