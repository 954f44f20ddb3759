//! `examples/rust/gateway.rs` as it is: a process of its own between a customer and a provider, beside the real sidecar.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::post;
use genquota::client::Client;
use genquota::client::v1::{self, Generation};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::lab::PATIENCE;
use crate::sidecar::{ALLOWANCE, Sidecar, balance};
use crate::until;

/// Makes one image less than it is asked for, each time it is told to go on. It cannot make more than nine.
struct Provider {
    address: SocketAddr,
    go_on: Arc<Semaphore>,
    asked: Arc<Semaphore>,
    _task: AbortOnDropHandle<()>,
}

#[derive(serde::Deserialize)]
struct Make {
    count: usize,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked, go_on) = (listener.local_addr().unwrap(), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let make = async |State((asked, go_on)): State<(Arc<Semaphore>, Arc<Semaphore>)>, Query(Make { count }): Query<Make>| {
            asked.add_permits(1);
            go_on.acquire().await.unwrap().forget();
            if count > 9 { Err(StatusCode::INSUFFICIENT_STORAGE) } else { Ok("image\n".repeat(count - 1)) }
        };
        let app = Router::new().route("/make", post(make)).with_state((asked.clone(), go_on.clone()));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, go_on, asked, _task: AbortOnDropHandle::new(task) }
    }
}

/// The example. It does not outlive its test.
struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    fn start(sidecar: &Sidecar, provider: &Provider) -> Self {
        let mut child = Command::new(program())
            .env_clear()
            .env("GENQUOTA_SERVER", sidecar.address())
            .env("JOURNAL", sidecar.path("gateway-journal"))
            .env("PROVIDER", provider.address.to_string())
            .env("LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("the gateway did not start: {line:?}"));
        Self { address: address.parse().unwrap(), child }
    }

    /// Asks for so many images, and shows the status and the body of the answer.
    async fn images(&self, count: usize) -> (u16, String) {
        let address = self.address;
        let ask = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            write!(stream, "POST /images?count={count} HTTP/1.0\r\nhost: gateway\r\nx-customer: acme\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds examples beside the tests, one directory up.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("gateway");
    assert!(program.is_file(), "not built: `{}`\nhint: `cargo build --example gateway` builds it", program.display());
    program
}

async fn generations(client: &Client) -> Vec<Generation> {
    let request = v1::ListGenerationsRequest { subject: "acme".to_owned(), ..Default::default() };
    client.quota().list_generations(request).await.unwrap().into_inner().generations
}

#[tokio::test]
async fn images_that_were_made_are_charged_and_nothing_else_is() {
    let (sidecar, provider) = (Sidecar::start(), Provider::start().await);
    let gateway = Gateway::start(&sidecar, &provider);
    let client = sidecar.client();
    provider.go_on.add_permits(2);
    assert_eq!(gateway.images(4).await, (200, "image\n".repeat(3)));
    assert_eq!(gateway.images(12).await.0, 502, "the provider cannot");
    let (status, message) = gateway.images(usize::try_from(ALLOWANCE).unwrap()).await;
    assert_eq!((status, balance(&client, "acme").await), (429, (ALLOWANCE - 3, 3)), "{message}");
    assert_eq!(provider.asked.available_permits(), 2, "what is denied does not reach the provider");
}

#[tokio::test]
async fn a_gateway_that_is_killed_settles_from_its_journal_when_it_is_back() {
    let (mut sidecar, provider) = (Sidecar::start(), Provider::start().await);
    let gateway = Gateway::start(&sidecar, &provider);
    let work = async {
        until("the provider to be asked", async || (provider.asked.available_permits() == 1).then_some(())).await;
        sidecar.kill();
        provider.go_on.add_permits(1);
    };
    let (answer, ()) = tokio::join!(gateway.images(4), work);
    assert_eq!(answer, (200, "image\n".repeat(3)), "the customer has the images");
    drop(gateway);
    sidecar.restart();
    let client = sidecar.client();
    assert_eq!(generations(&client).await[0].state(), v1::State::Held);

    let _gateway = Gateway::start(&sidecar, &provider);
    until("the commit", async || (generations(&client).await[0].state() == v1::State::Committed).then_some(())).await;
    let generations = generations(&client).await;
    assert_eq!((generations.len(), generations[0].units.as_str()), (1, "3"));
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 3, 3));
}
