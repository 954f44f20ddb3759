//! Where lines go: stdout, or a file that appears when it is whole.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::Failure;

pub(super) enum Out {
    Stdout,
    File { writer: BufWriter<File>, beside: PathBuf, name: PathBuf },
}

/// Whether somebody still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    There,
    /// It went away, as `head` does.
    Gone,
}

impl Out {
    pub(super) fn to(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(name) = file else { return Ok(Self::Stdout) };
        let mut beside = name.to_owned().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let file = File::create(&beside).with_context(|| format!("cannot create `{}`", beside.display()))?;
        Ok(Self::File { writer: BufWriter::new(file), beside, name: name.to_owned() })
    }

    /// Writes text that ends its own lines.
    pub(super) fn write(&mut self, text: &str) -> Result<Reader, Failure> {
        let written = match self {
            Self::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            }
            Self::File { writer, .. } => writer.write_all(text.as_bytes()),
        };
        match written {
            Ok(()) => Ok(Reader::There),
            Err(problem) if problem.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
            Err(problem) => Err(anyhow::Error::new(problem).context("cannot write").into()),
        }
    }

    /// A file takes its name.
    pub(super) fn finish(self) -> Result<(), Failure> {
        if let Self::File { writer, beside, name } = self {
            let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error).context("cannot write")?;
            let kept = file.sync_all().and_then(|()| std::fs::rename(&beside, &name));
            kept.with_context(|| format!("cannot write `{}`", name.display()))?;
        }
        Ok(())
    }
}
