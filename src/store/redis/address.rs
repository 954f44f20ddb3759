//! Stub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(pub String);
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no")]
pub struct AddressError;
