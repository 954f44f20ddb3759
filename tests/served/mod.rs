//! The real `genquota serve`, started by a test and ended with it. A test crate takes it in with `#[path = "../served/mod.rs"] mod served;`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A server that serves. It does not outlive its test.
pub(crate) struct Served {
    pub(crate) child: Child,
    /// Where it answers gRPC, and HTTP.
    pub(crate) grpc: String,
    pub(crate) http: Option<String>,
    /// Where it answers gRPC health alone.
    pub(crate) health: Option<String>,
}

impl Served {
    /// The command, without any variable of this process. Whoever starts it says where its files are.
    pub(crate) fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
        command.env_clear().args(["serve", "--json", "--listen", "127.0.0.1:0"]);
        command
    }

    /// Starts it, and waits until it tells where it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server did not start: {line:?}"));
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Self { child, grpc: text(&told["listen"][0]).unwrap(), http: text(&told["http"]), health: text(&told["health"]) }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
