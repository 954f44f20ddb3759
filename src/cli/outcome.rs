//! How an attempt ended, on the command line.

use clap::ValueEnum;

use crate::proto::v1;

/// How an attempt ended that delivered nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Outcome {
    /// The target answered with an error
    Failed,
    /// Moderation stopped it
    Blocked,
    /// A quality gate refused the output
    Rejected,
    /// The caller or its customer gave up
    Cancelled,
    /// Nobody knows, as after a timeout
    Unknown,
}

impl Outcome {
    pub(super) const fn wire(self) -> v1::Outcome {
        match self {
            Self::Failed => v1::Outcome::Failed,
            Self::Blocked => v1::Outcome::Blocked,
            Self::Rejected => v1::Outcome::Rejected,
            Self::Cancelled => v1::Outcome::Cancelled,
            Self::Unknown => v1::Outcome::Unknown,
        }
    }
}
