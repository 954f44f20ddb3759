//! A real `genquota serve` with its catalog's file, its log, and what it tells over HTTP.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::served::Served;

/// Longest wait for anything: far beyond what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a watched file is looked at.
pub(crate) const WATCHED: &str = "100ms";

/// Ended with its test.
pub(crate) struct Sidecar {
    served: Served,
    pub(crate) dir: TempDir,
}

/// A valid catalog that is named; its one plan gives `amount`.
pub(crate) fn edition(name: &str, amount: u32) -> String {
    format!(
        "catalog: genquota/v1\nversion: {name}\nmeters: {{units: {{}}}}\n\
         actions: {{image: {{meter: units, rules: [{{per: output, rate: 1}}]}}}}\nunpriced: flag\n\
         plans:\n  core:\n    allowances:\n      - {{meter: units, amount: {amount}, per: user}}\ndefault_plan: core\n"
    )
}

/// Looks until there is something, and fails if there is nothing in good time. `what` ends the sentence "waited for".
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Sidecar {
    /// On the file `catalog.yaml` of a directory of its own, which is looked at so often.
    pub(crate) fn start(every: &str, catalog: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("catalog.yaml"), catalog).unwrap();
        Self::start_in(dir, every, "catalog.yaml")
    }

    /// In a directory that has a catalog, or on the bundled one.
    pub(crate) fn start_in(dir: TempDir, every: &str, catalog: &str) -> Self {
        let mut command = Served::command();
        command.args(["--http", "127.0.0.1:0", "--store", "memory:", "--log-format", "json"]);
        command.args(["--catalog-reload", every, "--catalog", catalog]).current_dir(dir.path());
        command.stderr(fs::File::create(dir.path().join("log")).unwrap());
        let sidecar = Self { served: Served::start(command), dir };
        until("work is welcome", || (sidecar.get("/readyz").0 == 200).then_some(()));
        sidecar
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("catalog.yaml")
    }

    pub(crate) fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.file(), text).unwrap();
    }

    /// Replaces the file at once.
    pub(crate) fn replace(&self, text: impl AsRef<[u8]>) {
        let next = self.dir.path().join("next");
        fs::write(&next, text).unwrap();
        fs::rename(next, self.file()).unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let asked = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.served.child.id())]).status().unwrap();
        assert!(asked.success(), "the process is there");
    }

    /// SIGTERM, and how it ends.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.served.child.wait().unwrap()
    }

    /// Waits until the edition of a name is in force, and nothing is said against it.
    pub(crate) fn is_under(&self, name: &str) {
        until(&format!("the edition {name}"), || (self.edition() == name && self.reasons().is_empty()).then_some(()));
        assert_eq!(self.metric("genquota_catalog_stale"), 0.0);
    }

    /// Waits until `/readyz` gives a reason, and shows that the edition of a name judges all the same.
    pub(crate) fn is_told(&self, reason: &str, name: &str) {
        until(reason, || (self.reasons() == [reason]).then_some(()));
        assert_eq!((self.edition().as_str(), self.metric("genquota_catalog_stale")), (name, 1.0), "{reason}");
    }

    /// The name of the edition in force.
    pub(crate) fn edition(&self) -> String {
        let text = self.get("/metrics").1;
        let line = text.lines().find(|line| line.starts_with("genquota_catalog_info{")).unwrap();
        let version = line.split('"').nth(1).unwrap();
        version.rsplit_once('.').map_or(version, |(name, _)| name).to_owned()
    }

    pub(crate) fn reloads(&self, result: &str) -> f64 {
        self.metric(&format!("genquota_catalog_reloads_total{{result=\"{result}\"}}"))
    }

    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").1;
        let line = text.lines().find(|line| line.starts_with(&format!("{series} "))).unwrap_or_else(|| panic!("{series}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// What `/readyz` has to say while work is welcome.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let (status, body) = self.get("/readyz");
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["reasons"].as_array().unwrap().iter().map(|reason| reason["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Lines of the log at a level.
    pub(crate) fn logged(&self, level: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["level"] == level).collect()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.served.http.as_deref().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

/// Makes a directory with one catalog in it.
pub(crate) fn directory(at: &Path, catalog: &str) {
    fs::create_dir(at).unwrap();
    fs::write(at.join("catalog.yaml"), catalog).unwrap();
}
