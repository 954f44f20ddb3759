//! Files whose content is put in force as it is, with nothing to ask but whether it is right: what comes of a reload, and how it is told.

use crate::http::FilesHealth;

use super::watched::Verdict;

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    Unchanged,
    InForce,
    /// It says what cannot be put in force; all of it, in one line.
    Rejected(String),
    Unreadable(String),
}

impl Loaded {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Unchanged | Self::InForce => Verdict::InForce,
            Self::Rejected(_) | Self::Unreadable(_) => Verdict::Refused,
        }
    }

    /// Writes it into the log. `what` begins a sentence. Returns what it means for the health.
    pub(super) fn tell(&self, what: &'static str, file: &str) -> FilesHealth {
        match self {
            Self::Unchanged => {
                tracing::info!(what, file, "what the file says is in force");
                FilesHealth::InForce
            }
            Self::InForce => {
                tracing::info!(what, file, "reloaded");
                FilesHealth::InForce
            }
            Self::Rejected(problems) => {
                tracing::error!(what, file, problems, "rejected: what was in force before stays");
                FilesHealth::Rejected
            }
            Self::Unreadable(problems) => {
                tracing::error!(what, file, problems, "cannot be read: what was in force before stays");
                FilesHealth::Unreadable
            }
        }
    }
}
