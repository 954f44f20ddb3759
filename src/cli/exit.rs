//! The exit codes, one meaning each. They are part of the command line's contract: `docs/cli.md`.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(u8);

/// It did what it was asked to do.
pub const DONE: Exit = Exit(0);
/// The server answered with an error, or the command failed.
pub const FAILED: Exit = Exit(1);
/// The request was denied: an answer, and nothing was held.
pub const DENIED: Exit = Exit(3);
/// Wrong usage, configuration or catalog (`EX_USAGE` of sysexits).
pub const USAGE: Exit = Exit(64);
/// No server could be reached (`EX_UNAVAILABLE` of sysexits).
pub const UNAVAILABLE: Exit = Exit(69);
/// Stopped by a signal before it was done, as shells count SIGINT.
pub const INTERRUPTED: Exit = Exit(130);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
