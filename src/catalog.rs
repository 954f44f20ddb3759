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

use std::path::Path;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::domain::catalog::Catalog;
use crate::yaml::{self, Places, Problem, Severity};

pub use crate::yaml::{Problems, read_text};
pub use reference::reference;
pub use schema::json_schema;

/// The catalog that is used where none is named.
pub const BUNDLED: &str = include_str!("../examples/catalogs/film-studio.yaml");
/// What the bundled catalog is called in messages.
pub const BUNDLED_NAME: &str = "film-studio.yaml (bundled)";
/// The one format this version reads.
pub const FORMAT: &str = "genquota/v1";
/// Hexadecimal digits of the file's digest in a catalog version: 48 bits, so that two editions of one catalog never meet.
const DIGEST_DIGITS: usize = 12;

/// Reads the catalog in a file. `Err` has every problem, the warnings among them.
pub fn load(path: &Path) -> Result<Catalog, Problems> {
    parse(&path.display().to_string(), &read_text(path)?)
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

fn digest(text: &str) -> String {
    let hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..DIGEST_DIGITS].to_owned()
}
