//! The real binary in a directory of its own, and stores opened in the test's process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use genquota::store::redis::{Link, LinkOptions, OpenError, Options, RedisStore};
use genquota::store::{Store as _, StoreError};
use serde_json::Value;

use crate::lab::PATIENCE;

/// The binary with no variable of this process.
pub(crate) fn genquota(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    command.args(words).current_dir(dir).env_clear().env("HOME", dir);
    command
}

pub(crate) fn run(words: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    genquota(dir.path(), words).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// What `store check` finds, with its exit code.
pub(crate) struct Found {
    pub(crate) code: i32,
    pub(crate) report: Value,
}

impl Found {
    pub(crate) fn at(words: &[&str]) -> Self {
        let words = [&["store", "check", "--json"], words].concat();
        let output = run(&words);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
        Self { code: code(&output), report }
    }

    /// The finding of a check; of several, the first.
    pub(crate) fn finding(&self, check: &str) -> &Value {
        let all = self.report["findings"].as_array().unwrap();
        all.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check}: {all:?}"))
    }

    pub(crate) fn verdict(&self, check: &str) -> &str {
        self.finding(check)["verdict"].as_str().unwrap()
    }

    pub(crate) fn found(&self, check: &str) -> &str {
        self.finding(check)["found"].as_str().unwrap()
    }

    pub(crate) fn hint(&self, check: &str) -> &str {
        self.finding(check)["hint"].as_str().unwrap_or_default()
    }

    /// The checks with a verdict.
    pub(crate) fn with(&self, verdict: &str) -> Vec<&str> {
        let all = self.report["findings"].as_array().unwrap().iter();
        all.filter(|finding| finding["verdict"] == verdict).map(|finding| finding["check"].as_str().unwrap()).collect()
    }
}

/// A sidecar of the real binary, ended with the test.
pub(crate) struct Sidecar {
    child: Child,
    pub(crate) address: String,
}

impl Sidecar {
    pub(crate) fn start(dir: &Path, store: &str) -> Self {
        let words = ["serve", "--listen", "127.0.0.1:0", "--http", "off", "--store", store, "--json", "--log-filter", "off"];
        let mut child = genquota(dir, &words).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("it serves");
        Self { child, address: said["listen"][0].as_str().unwrap().to_owned() }
    }

    pub(crate) fn ask(&self, words: &str) -> Output {
        run(&words.split(' ').chain(["--server", &self.address]).collect::<Vec<_>>())
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of a small ledger that is looked after often.
pub(crate) fn options() -> Options {
    Options { partitions: 4, examine_interval: Duration::from_millis(20), ..Options::new("test") }
}

pub(crate) async fn link(url: &str) -> Arc<Link> {
    let options =
        LinkOptions { connect_timeout: Duration::from_secs(5), command_timeout: Duration::from_secs(5), ..LinkOptions::default() };
    Link::open(url.parse().unwrap(), options).await.unwrap()
}

pub(crate) async fn open(url: &str, options: Options) -> Result<RedisStore, OpenError> {
    RedisStore::open(link(url).await, options).await
}

/// Asks every partition for something.
pub(crate) async fn ask(store: &RedisStore) -> Result<(), StoreError> {
    store.documents(None, 1).await.map(|_| ())
}

/// Asks until the answer is as wished, and panics if it never is.
pub(crate) async fn until(store: &RedisStore, what: &str, wished: impl Fn(&Result<(), StoreError>) -> bool) -> Result<(), StoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(store).await;
        if wished(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited for {what}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
