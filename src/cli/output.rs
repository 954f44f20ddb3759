//! Writing answers: canonical proto3 JSON of any message, or text.
//!
//! Knows no single message: JSON is made from the descriptors alone.

use std::io::Write;
use std::sync::OnceLock;

use anyhow::Context;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage};

use super::Failure;
use crate::proto;

/// One message as canonical proto3 JSON, on one line.
pub fn json<M: Message + Name>(message: &M) -> anyhow::Result<String> {
    let name = M::full_name();
    let descriptor = descriptors()?.get_message_by_name(&name).with_context(|| format!("no descriptor of `{name}`"))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    Ok(serde_json::to_string(&dynamic)?)
}

fn descriptors() -> anyhow::Result<&'static DescriptorPool> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(proto::DESCRIPTORS).ok()).as_ref().context("the descriptors cannot be read")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    #[test]
    fn messages_are_printed_as_canonical_json() {
        let message = v1::ReserveResponse {
            outcome: Some(v1::reserve_response::Outcome::Denial(v1::Denial {
                reason: v1::DenialReason::QuotaExhausted.into(),
                retry_after: Some(prost_types::Duration { seconds: 90, nanos: 0 }),
                ..Default::default()
            })),
            ..Default::default()
        };
        assert_eq!(json(&message).unwrap(), r#"{"denial":{"reason":"DENIAL_REASON_QUOTA_EXHAUSTED","retryAfter":"90s"}}"#);
        let item = v1::Item { count: Some(0), measures: [("seconds".to_owned(), "5".to_owned())].into(), ..Default::default() };
        assert_eq!(json(&item).unwrap(), r#"{"count":"0","measures":{"seconds":"5"}}"#);
    }
}
