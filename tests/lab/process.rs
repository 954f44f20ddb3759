//! A child process that does not outlive the test, however the test ends.
//!
//! Dropping it kills it. Where nothing is dropped (an abort, a `static`, the test itself killed), a guard does: a small shell that knows
//! every child, and kills what is left once its input, a pipe from the test, ends.

use std::io::Write as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};

pub(crate) struct Process {
    child: Child,
}

/// Lines are `+ PID` and `- PID`.
const GUARD: &str = r#"
left=" "
while read -r sign pid; do
    case $sign in
        +) left="$left$pid " ;;
        -) left="${left%% "$pid" *} ${left#* "$pid" }" ;;
    esac
done
for pid in $left; do kill -9 "$pid"; done
"#;

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        tell_guard('+', child.id());
        Self { child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal by its name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success(), "`kill -{name}` failed");
    }

    /// SIGKILL, which a stopped process hears too; it is gone when this returns.
    fn end(&mut self) {
        // The number is this child's until it is waited for, and the guard must not know it any longer then.
        tell_guard('-', self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn tell_guard(sign: char, pid: u32) {
    static GUARDS_INPUT: OnceLock<Mutex<std::process::ChildStdin>> = OnceLock::new();
    let input = GUARDS_INPUT.get_or_init(|| {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Mutex::new(guard.spawn().unwrap().stdin.take().expect("it is piped"))
    });
    // A poisoned lock is a test that panicked while it told the guard something; the line before is whole all the same.
    let mut input = input.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _ = writeln!(input, "{sign} {pid}");
}
