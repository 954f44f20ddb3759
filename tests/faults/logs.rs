//! What is logged on this thread: a loss has to be loud, and where nobody can see it, it is not.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::subscriber::DefaultGuard;

/// Clones share what they heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// Listens until the guard is dropped, to what runs on this thread alone: a test's runtime must have no other.
    pub(crate) fn listen(&self) -> DefaultGuard {
        let own = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || own.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The lines of a level.
    pub(crate) fn of(&self, level: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap();
        text.lines().filter(|line| line.split_whitespace().nth(1) == Some(level)).map(str::to_owned).collect()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
