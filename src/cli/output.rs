//! Writing answers: canonical proto3 JSON of any message, or text.

use std::io::Write;

use prost::{Message, Name};

use super::Failure;
use crate::proto;

/// One message as canonical proto3 JSON, on one line.
pub fn json<M: Message + Name>(message: &M) -> anyhow::Result<String> {
    Ok(proto::json(message)?)
}

/// Writes an answer to stdout: as JSON if asked to, else as `human` says.
pub(super) fn answer<M: Message + Name>(as_json: bool, message: &M, human: impl FnOnce(&M) -> String) -> Result<(), Failure> {
    if as_json { line(&json(message)?) } else { line(human(message).trim_end()) }
}

/// Writes a text and the end of the line to stdout. A reader that went away, as `head` does, ends the output and is no failure.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to stdout").into())
        }
        _ => Ok(()),
    }
}
