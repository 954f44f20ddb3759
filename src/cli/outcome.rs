//! How an attempt ended, on the command line.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::proto::v1;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Outcome {
    /// Delivered and kept
    Accepted,
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

/// How an attempt ended that delivered nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undelivered(Outcome);

impl Outcome {
    pub(super) const fn wire(self) -> v1::Outcome {
        match self {
            Self::Accepted => v1::Outcome::Accepted,
            Self::Failed => v1::Outcome::Failed,
            Self::Blocked => v1::Outcome::Blocked,
            Self::Rejected => v1::Outcome::Rejected,
            Self::Cancelled => v1::Outcome::Cancelled,
            Self::Unknown => v1::Outcome::Unknown,
        }
    }
}

impl Undelivered {
    pub(super) const fn wire(self) -> v1::Outcome {
        self.0.wire()
    }
}

impl ValueEnum for Undelivered {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Outcome::Failed), Self(Outcome::Blocked), Self(Outcome::Rejected), Self(Outcome::Cancelled), Self(Outcome::Unknown)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.to_possible_value()
    }
}
