//! Reading YAML into serde types, with every problem and its place.
//!
//! The catalog and the configuration file are read here. A text becomes a tree whose scalars stay raw text, so a decimal never passes
//! through a float; the tree is deserialised, what does not fit is noted and masked, and the rest is read on, so one run names every
//! mistake. It must never know what the files mean, or report what only follows from an earlier problem.

mod de;
mod near;
mod placed;
mod problems;
mod tree;

use std::fmt;

use serde::de::DeserializeOwned;

pub use near::nearest;
pub use placed::{Entries, Entry, OneOrMany, Placed, TextOr};
pub use problems::{Problems, read_text};
pub use tree::{At, Places};

/// Longest text that is read. A hundred times a large catalog; reading it takes a fraction of a second.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting. Our formats need about ten levels; the stack of a small thread bears several times this.
pub const DEPTH_MAX: usize = 32;
/// Most nodes that aliases may copy, so that nested aliases cannot multiply without end.
pub const ALIASED_NODES_MAX: usize = 10_000;
/// Most structural problems of one text. Each costs another pass, and nobody reads more at once.
pub const PROBLEMS_MAX: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    /// Worth knowing; the text is valid.
    Warning,
}

/// One thing that is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// From 1; 0 when the problem is not in the text, such as a file that cannot be read.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Such as `plans.core.allowances[0].amount`; empty for the text as a whole.
    pub path: String,
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What came of reading a text.
#[derive(Debug)]
pub struct Read<T> {
    /// What could be read, the parts with problems left out; `None` when they cannot be.
    pub value: Option<T>,
    /// For problems that are found later.
    pub places: Places,
    pub problems: Vec<Problem>,
}

/// Reads one YAML document.
pub fn read<T: DeserializeOwned>(text: &str) -> Read<T> {
    let (tree, places, mut problems) = tree::build(text);
    let value = tree.and_then(|tree| de::deserialize(&tree, &places, &mut problems));
    Read { value, places, problems }
}

impl Problem {
    /// A problem of a text as a whole.
    pub fn of_text(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, line: 0, column: 0, path: String::new(), message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// As one line, or two with a hint, after the name of the text: `film.yaml:12:5: plans.core.rank: must be ...`.
    pub fn in_text<'a>(&'a self, name: &'a str) -> impl fmt::Display + 'a {
        InText { name, problem: self }
    }
}

struct InText<'a> {
    name: &'a str,
    problem: &'a Problem,
}

impl fmt::Display for InText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { severity, line, column, path, message, hint } = self.problem;
        f.write_str(self.name)?;
        if *line > 0 {
            write!(f, ":{line}:{column}")?;
        }
        if *severity == Severity::Warning {
            f.write_str(": warning")?;
        }
        if !path.is_empty() {
            write!(f, ": {path}")?;
        }
        write!(f, ": {message}")?;
        match hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
