//! Where a watcher was, kept in a file from one start to the next.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::out::Out;
use crate::cli::Failure;

/// How often a busy stream is written down: after a kill, so much is told again.
const INTERVAL: Duration = Duration::from_millis(200);

/// A file with a cursor, and what is not written to it yet.
pub(super) struct Place {
    file: PathBuf,
    unwritten: Option<String>,
    written: Option<Instant>,
}

impl Place {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), unwritten: None, written: None }
    }

    /// The cursor in the file, if there is one.
    pub(super) fn read(&self) -> Result<Option<String>, Failure> {
        match std::fs::read_to_string(&self.file) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|cursor| !cursor.is_empty())),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(problem) => Err(anyhow::Error::new(problem).context(format!("cannot read `{}`", self.file.display())).into()),
        }
    }

    /// Everything up to this cursor has been written out.
    pub(super) fn reached(&mut self, cursor: &str) -> Result<(), Failure> {
        self.unwritten = Some(cursor.to_owned());
        if self.written.is_none_or(|written| written.elapsed() >= INTERVAL) { self.write() } else { Ok(()) }
    }

    /// Writes down the last cursor: the file holds the old one or the new one, and never half of one.
    pub(super) fn write(&mut self) -> Result<(), Failure> {
        let Some(cursor) = self.unwritten.take() else { return Ok(()) };
        self.written = Some(Instant::now());
        let mut out = Out::to(Some(&self.file))?;
        out.write(&format!("{cursor}\n"))?;
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_an_absent_file_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place::new(&dir.path().join("cursor"));
        assert_eq!(place.read().unwrap(), None);
        place.reached("one").unwrap();
        assert_eq!(place.read().unwrap().as_deref(), Some("one"));
        place.reached("two").unwrap();
        place.write().unwrap();
        assert_eq!(place.read().unwrap().as_deref(), Some("two"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
