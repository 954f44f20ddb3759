//! Any message as canonical proto3 JSON, made from the descriptors alone.

use std::sync::OnceLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage};

/// Why a message cannot be JSON: it is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error("no descriptor of `{0}`")]
    NoDescriptor(String),
    #[error("the descriptors do not describe it")]
    Decode(#[from] prost::DecodeError),
    #[error("it cannot be written")]
    Write(#[from] serde_json::Error),
}

/// One message as canonical proto3 JSON, on one line.
pub fn json<M: Message + Name>(message: &M) -> Result<String, JsonError> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(super::DESCRIPTORS).ok()).as_ref();
    let descriptor = pool.and_then(|pool| pool.get_message_by_name(&M::full_name()));
    let descriptor = descriptor.ok_or_else(|| JsonError::NoDescriptor(M::full_name()))?;
    Ok(serde_json::to_string(&DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    #[test]
    fn messages_are_canonical_json() {
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
