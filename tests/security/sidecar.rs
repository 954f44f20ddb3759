//! The real binary with an access file, with TLS, with bounds, and what it tells of itself.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use genquota::access::TokenHash;
use serde_json::Value;
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::caller::tls;
use crate::lab::{Authority, PATIENCE};
use crate::served::Served;

/// How often files are looked at: often, so that a test need not wait.
const EVERY: &str = "100ms";

/// What a sidecar is started with. Its files are in a directory of its own, which goes with it.
pub(crate) struct Setup {
    dir: TempDir,
    words: Vec<String>,
}

pub(crate) struct Sidecar {
    pub(crate) served: Served,
    pub(crate) dir: TempDir,
}

/// An entry of `tokens`, for the token of the same text as its name.
pub(crate) fn token(name: &str, scopes: &str, more: &str) -> String {
    format!("  - {{name: {name}, sha256: {}, scopes: [{scopes}]{more}}}\n", TokenHash::of(name).hex())
}

/// Tokens named by their scopes.
pub(crate) fn tokens() -> String {
    let each = ["gateway", "observer", "admin"].map(|scope| token(scope, scope, ""));
    let restricted = token("restricted", "admin", ", subjects: [acme, 'studio-*']");
    format!("tokens:\n{}{restricted}", each.concat())
}

/// Looks until there is something, and fails if there is nothing in good time. `what` ends the sentence "waited for".
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Setup {
    pub(crate) fn new() -> Self {
        let words = ["--http", "127.0.0.1:0", "--log-format", "json", "--catalog-reload", EVERY];
        Self { dir: tempfile::tempdir().unwrap(), words: words.map(str::to_owned).to_vec() }.with("--store", "memory:")
    }

    /// A flag and its value; a later one of the same name counts.
    pub(crate) fn with(mut self, flag: &str, value: &str) -> Self {
        if flag != "--listen"
            && let Some(at) = self.words.iter().position(|word| word == flag)
        {
            self.words.drain(at..at + 2);
        }
        self.words.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// A flag that says enough by itself.
    pub(crate) fn switch(mut self, flag: &str) -> Self {
        self.words.push(flag.to_owned());
        self
    }

    pub(crate) fn access(self, text: &str) -> Self {
        fs::write(self.path("access.yaml"), text).unwrap();
        self.with("--access", "access.yaml")
    }

    /// TLS by a certificate of this authority.
    pub(crate) fn tls(self, authority: &Authority) -> Self {
        install(&self.dir, authority);
        self.with("--tls-cert", "tls.crt").with("--tls-key", "tls.key")
    }

    /// And clients must show one of this authority.
    pub(crate) fn client_authority(self, authority: &Authority) -> Self {
        fs::copy(authority.file(), self.path("clients.crt")).unwrap();
        self.with("--tls-client-ca", "clients.crt")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The owner of the directory, and so of this process.
    pub(crate) fn user(&self) -> u32 {
        fs::metadata(self.dir.path()).unwrap().uid()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Served::command();
        command.args(&self.words).current_dir(self.dir.path());
        command.stderr(fs::File::create(self.path("log")).unwrap());
        command
    }

    pub(crate) fn start(self) -> Sidecar {
        let command = self.command();
        self.start_by(command)
    }

    /// By a command of the test's own.
    pub(crate) fn start_by(self, command: Command) -> Sidecar {
        Sidecar { served: Served::start(command), dir: self.dir }
    }
}

/// Puts a new certificate of an authority where the sidecar looks for it.
fn install(dir: &TempDir, authority: &Authority) {
    let issued = authority.issue("server");
    // The certificate first, as somebody may do it: for a moment the two do not fit.
    fs::copy(issued.certificate, dir.path().join("tls.crt")).unwrap();
    fs::copy(issued.key, dir.path().join("tls.key")).unwrap();
}

impl Sidecar {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn renew_certificate(&self, authority: &Authority) {
        install(&self.dir, authority);
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.served.child.id())]).status().unwrap();
        assert!(sent.success(), "the process is there");
    }

    /// What it says in clear on its HTTP port.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.served.http.as_deref().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        answer(stream, path, "")
    }

    /// Asks over TLS on loopback, whatever address the port is bound to.
    pub(crate) fn ask(&self, authority: &Authority, path: &str, authorization: Option<&str>) -> (u16, String) {
        let port = self.served.http.as_deref().unwrap().rsplit(':').next().unwrap().parse::<u16>().unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut config = (*tls(authority, None)).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let session = ClientConnection::new(config.into(), ServerName::try_from("localhost").unwrap()).unwrap();
        let header = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        answer(StreamOwned::new(session, stream), path, &header)
    }

    /// A number among the metrics, which are open.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        value(&self.get("/metrics").1, series)
    }

    /// What `/readyz` has to say while work is welcome.
    pub(crate) fn reasons(&self) -> Vec<String> {
        reasons(self.get("/readyz"))
    }

    /// The same over TLS.
    pub(crate) fn reasons_over_tls(&self, authority: &Authority) -> Vec<String> {
        reasons(self.ask(authority, "/readyz", None))
    }

    pub(crate) async fn is_told(&self, reasons: &[&str]) {
        until(&format!("the reasons {reasons:?}"), async || (self.reasons() == reasons).then_some(())).await;
    }

    /// Lines of the log; each is whole.
    pub(crate) fn log(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.path("log")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("a broken line: {line}"))).collect()
    }

    /// Memory of the process that is its own, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.served.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

fn reasons((status, body): (u16, String)) -> Vec<String> {
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["reasons"].as_array().unwrap().iter().map(|reason| reason["name"].as_str().unwrap().to_owned()).collect()
}

/// Asks for a page over a connection, and reads to its end.
pub(crate) fn answer(mut stream: impl std::io::Read + std::io::Write, path: &str, headers: &str) -> (u16, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // What is refused is told in the head.
    (status, if status == 200 { body.to_owned() } else { format!("{head}\r\n\r\n{body}") })
}

pub(crate) fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(&format!("{series} "))).unwrap_or_else(|| panic!("{series}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
