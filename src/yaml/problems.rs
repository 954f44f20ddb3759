//! Everything that is wrong with one file, and reading the file's text.

use std::fmt;
use std::path::Path;

use super::{Problem, Severity, TEXT_BYTES_MAX};

/// Most problems in one line of a log: it is read by people, and the command that checks the file tells the others.
const LOGGED_MAX: usize = 20;

/// What is wrong with a file. Never empty where it is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file, as it was named.
    pub name: String,
    /// Ordered by place.
    pub problems: Vec<Problem>,
}

/// Reads the text of a file: UTF-8 of at most 1 MiB.
pub fn read_text(path: &Path) -> Result<String, Problems> {
    let unreadable = |message: String| Problems::of_file(path.display().to_string(), format!("cannot be read: {message}"));
    // One byte more than is allowed tells a file that is too large from one that just fits.
    let bytes = read_at_most(path, TEXT_BYTES_MAX + 1).map_err(|error| unreadable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| unreadable(format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to())))
}

fn read_at_most(path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Problems {
    /// One problem of a file as a whole.
    pub fn of_file(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), problems: vec![Problem::of_text(message)] }
    }

    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    pub fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }

    /// What is wrong, for a line of a log: the first of many.
    pub fn in_one_line(&self) -> String {
        let wrong = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        let told: Vec<String> =
            wrong.take(LOGGED_MAX).map(|problem| problem.in_text(&self.name).to_string().replace("\n  hint:", "; hint:")).collect();
        let left = self.errors().saturating_sub(LOGGED_MAX);
        let more = if left > 0 { format!("; and {left} more") } else { String::new() };
        told.join("; ") + &more
    }
}

/// One problem after the other, each on a line of its own.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.in_text(&self.name).fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
