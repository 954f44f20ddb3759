//! A real `genquota serve` on a directory, and how it is ended. None outlives its test.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use genquota::client;
use tonic::transport::Channel;

/// Longer than anything takes that works, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Of the log, what a failed test shows.
const LOG_LINES_SHOWN: usize = 30;

pub(crate) struct Server {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Server {
    /// Starts on the store of a directory, and waits until it listens.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::spawn(command(dir), dir)
    }

    /// The same, unable to write a file beyond so many KiB, as on a disk that is full.
    pub(crate) fn start_with_file_limit(dir: &Path, kib: u32) -> Self {
        let plain = command(dir);
        let mut command = Command::new("bash");
        // Without the trap the signal would end the process; with it the write fails.
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\""));
        command.arg(plain.get_program()).args(plain.get_args());
        Self::spawn(command, dir)
    }

    fn spawn(mut command: Command, dir: &Path) -> Self {
        let log = dir.join("log");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GENQUOTA_")) {
            command.env_remove(name);
        }
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut server = Self { child, address: String::new(), log };
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(read.map(|_| line));
        });
        let line = receiver.recv_timeout(PATIENCE).expect("the server says nothing").unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server did not start: {line:?}"));
        server.address = told["listen"][0].as_str().unwrap().to_owned();
        server
    }

    pub(crate) async fn connect(&self) -> Channel {
        client::connect(&self.address.parse().unwrap(), PATIENCE).await.unwrap()
    }

    /// SIGKILL: no chance to do anything more.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn ask_to_stop(&self) {
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(asked.success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("the server still runs after {limit:?}"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the server's log ends:\n{}", lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n"));
        }
    }
}

/// `genquota serve` on the store of a directory.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--http", "off", "--drain-deadline", "20s"]);
    command.arg("--catalog").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/catalog.yaml"));
    command.arg("--store").arg(format!("embedded:{}", dir.join("store").display()));
    command
}
