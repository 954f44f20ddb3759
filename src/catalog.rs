//! The catalog's file: its format, its check, its JSON Schema.
//!
//! A YAML text becomes `domain::catalog::Catalog`, or the list of everything that is wrong with it, each with its place: shape and meaning
//! in one go. It must never judge work or read a clock; it opens a file only when asked to load one. The command line, the server's start
//! and its reload call it.

mod check;
mod raw;
mod reference;
mod schema;
mod succession;

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::domain::catalog::Catalog;
use crate::yaml::{self, Places, Problem, Severity, TEXT_BYTES_MAX};

pub use reference::reference;
pub use schema::json_schema;

/// The catalog that is used where none is named.
pub const BUNDLED: &str = include_str!("../examples/catalogs/film-studio.yaml");
/// What the bundled catalog is called in messages.
pub const BUNDLED_NAME: &str = "film-studio.yaml (bundled)";
/// The one format this version reads.
pub const FORMAT: &str = "genquota/v1";
/// Most problems in one line of a log: it is read by people, and `genquota catalog check` tells the others.
const LOGGED_MAX: usize = 20;
/// Hexadecimal digits of the file's digest in a catalog version: 48 bits, so that two editions of one catalog never meet.
const DIGEST_DIGITS: usize = 12;

/// What is wrong with a catalog. Never empty where it is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file, as it was named.
    pub name: String,
    /// Ordered by place.
    pub problems: Vec<Problem>,
}

/// Reads the catalog in a file. `Err` has every problem, the warnings among them.
pub fn load(path: &Path) -> Result<Catalog, Problems> {
    parse(&path.display().to_string(), &read_text(path)?)
}

/// Reads the text of a catalog file: UTF-8 of at most 1 MiB.
pub fn read_text(path: &Path) -> Result<String, Problems> {
    let unreadable = |message: String| Problems {
        name: path.display().to_string(),
        problems: vec![Problem::of_text(format!("cannot be read: {message}"))],
    };
    // One byte more than is allowed tells a file that is too large from one that just fits.
    let bytes = read_at_most(path, TEXT_BYTES_MAX + 1).map_err(|error| unreadable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| unreadable(format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to())))
}

/// Reads the catalog in a text. `Err` has every problem, the warnings among them.
pub fn parse(name: &str, text: &str) -> Result<Catalog, Problems> {
    match check(name, text) {
        (Some(catalog), _) => Ok(catalog),
        (None, problems) => Err(problems),
    }
}

/// Reads the catalog in a text and tells everything there is to say about it: a valid catalog may have warnings.
pub fn check(name: &str, text: &str) -> (Option<Catalog>, Problems) {
    examine(name, text, |_, _| Vec::new())
}

/// The same for a catalog that is to follow `old` at `now`: it is wrong, too, where it takes away what was issued (P14).
pub fn check_after(name: &str, text: &str, old: &Catalog, now: Timestamp) -> (Option<Catalog>, Problems) {
    examine(name, text, |new, places| succession::problems(old, new, places, now))
}

/// Reads and checks; what is valid by itself is checked `further`.
fn examine(name: &str, text: &str, further: impl FnOnce(&Catalog, &Places) -> Vec<Problem>) -> (Option<Catalog>, Problems) {
    let read = yaml::read::<raw::RawCatalog>(text);
    let mut problems = read.problems;
    let mut catalog = None;
    if let Some(raw) = read.value {
        let (checked, more) = check::check(raw, &read.places, &problems, &digest(text));
        problems.extend(more);
        catalog = checked;
    }
    let is_wrong = |problems: &[Problem]| problems.iter().any(|problem| problem.severity == Severity::Error);
    if let Some(catalog) = catalog.as_ref().filter(|_| !is_wrong(&problems)) {
        problems.extend(further(catalog, &read.places));
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    if is_wrong(&problems) {
        catalog = None;
    }
    (catalog, Problems { name: name.to_owned(), problems })
}

fn read_at_most(path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn digest(text: &str) -> String {
    let hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..DIGEST_DIGITS].to_owned()
}

impl Problems {
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
