//! Names and ids: what a caller or a catalog may call things.
//!
//! An id is checked once, where it enters, and is safe ever after: none can forge a storage key, a Redis hash tag or a log line.
//! Every kind of id is its own type, so a user is never taken for a subject. Cloning one is a reference count.

use std::fmt;
use std::sync::Arc;

/// Longest id in bytes. 128 holds two UUIDs and a prefix, and keeps a row's key inside one cache line pair.
pub const ID_BYTES_MAX: usize = 128;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("must not be empty")]
    Empty,
    #[error("has {bytes} bytes; at most {ID_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error("has {character:?} at byte {at}; allowed are letters, digits and `._:@/-`")]
    Character { character: char, at: usize },
}

/// Checks the one grammar of all ids: 1 to 128 bytes of `[A-Za-z0-9._:@/-]` (api.md).
pub fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong { bytes: text.len() });
    }
    match text.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || "._:@/-".contains(*c))) {
        None => Ok(()),
        Some((at, character)) => Err(IdError::Character { character, at }),
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that holds to the grammar of ids, see [`check_id`].
            pub fn new(text: &str) -> Result<Self, IdError> {
                check_id(text).map(|()| Self(Arc::from(text)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )+};
}

ids! {
    /// Who is charged: a workspace, team or single customer.
    SubjectId;
    /// A person inside a subject.
    UserId;
    /// One set-aside of units, unique within its subject. Usage ids share this space.
    ReservationId;
    /// One thing a customer asked for; all its attempts carry it.
    GenerationId;
    /// What is being done, such as `image.generate`.
    ActionId;
    /// What a plan counts, such as `generations`.
    MeterId;
    /// A named set of allowances in the catalog.
    PlanId;
    /// What a plan gives per period. Plans that use one id for it share its account, so an upgrade keeps what was used.
    AllowanceId;
    /// A recurring bundle bought on top of a plan.
    AddOnId;
    /// One-off credits.
    GrantId;
    /// A named ceiling.
    CapId;
    /// The id a caller gave an administrative change, so that a repeat is known.
    RequestId;
    /// A provider of models, such as `fal`.
    ProviderId;
    /// A model of a provider.
    ModelId;
    /// The price class of a target, such as `premium`.
    TierId;
    /// A quantity of an item, such as `seconds`.
    MeasureId;
    /// A property of an item, such as `resolution`.
    AttributeId;
    /// The catalog that judged something: its content's digest, or the version it declares.
    CatalogVersion;
}

/// A provider and one of its models.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub provider: ProviderId,
    pub model: ModelId,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// The W3C trace that a call belonged to: 16 bytes, not all zero, written as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// `None` for all zeros, which name no trace.
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Most labels of one reservation, and the bytes of a label's key and value (api.md).
pub const LABELS_MAX: usize = 16;
pub const LABEL_KEY_BYTES_MAX: usize = 64;
pub const LABEL_VALUE_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_holds_only_what_cannot_forge_a_key() {
        for good in ["a", "ws-1", "user@example.com", "fal-ai/flux-pro/v1.1", "org:team.7_x", &"x".repeat(128)] {
            assert!(SubjectId::new(good).is_ok(), "{good}");
        }
        assert_eq!(SubjectId::new(""), Err(IdError::Empty));
        assert_eq!(SubjectId::new(&"x".repeat(129)), Err(IdError::TooLong { bytes: 129 }));
        for (bad, at) in [("{a}", 0), ("a|b", 1), ("a\0", 1), ("a\n", 1), ("a b", 1), ("é", 0), ("😀", 0), ("a*", 1)] {
            assert!(matches!(SubjectId::new(bad), Err(IdError::Character { at: found, .. }) if found == at), "{bad:?}");
        }
    }
}
