//! What is logged on this thread: a loss has to be loud, and where nobody can hear it, it is not.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

thread_local! {
    static HEARD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Everything that this thread logs from its making on: a test's runtime must have no other thread.
#[derive(Debug)]
pub(crate) struct Logs;

impl Logs {
    pub(crate) fn listen() -> Self {
        static ONCE: Once = Once::new();
        // One for all threads: several at once make the library forget who wants to hear what.
        ONCE.call_once(|| {
            let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Ear).finish();
            tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");
        });
        HEARD.take();
        Self
    }

    /// The lines of a level.
    #[expect(clippy::unused_self, reason = "what was not listened to was not heard")]
    pub(crate) fn of(&self, level: &str) -> Vec<String> {
        let text = HEARD.with_borrow(|heard| String::from_utf8_lossy(heard).into_owned());
        text.lines().filter(|line| line.split_whitespace().nth(1) == Some(level)).map(str::to_owned).collect()
    }
}

struct Ear;

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HEARD.with_borrow_mut(|heard| heard.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
