//! `genquota store export`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;

use super::moving;
use crate::cli::exit::{self, Exit};
use crate::cli::progress::Told;
use crate::cli::settings::StoreFlags;
use crate::cli::values::STANDARD;
use crate::cli::{Failure, config, connection, output};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, StoreAddress};
use crate::store::embedded::EmbeddedArchive;
use crate::store::transfer::{Counts, Description, Source, TransferError, Writer};

const EXAMPLES: &str = "\
Examples:
  genquota store export embedded:/var/lib/genquota --to ledger.jsonl
  genquota store export redis://cache:6379 --instance main --to ledger.jsonl
  genquota store export redis-cluster://a:7000,b:7000 --to - | gzip > ledger.jsonl.gz

Exit codes: 0 done; 1 the store or the file failed, or the ledger changed meanwhile; 64 wrong usage or configuration.";

/// Write everything a store holds to a file of JSON lines
///
/// Stop every sidecar first: a ledger that changes while it is read is not exported. Nothing is changed in the store. The file is there when
/// it is whole, and not before.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Export {
    /// The store: `embedded:DIR` or a Redis such as `redis://HOST:PORT` [default: the configured one]
    #[arg(value_name = "STORE")]
    store: Option<String>,
    /// The file to write, which must not be there yet; `-`: stdout
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Export a ledger in Redis although it changes: each subject as it was at one moment, and not all at the same
    #[arg(long)]
    allow_changes: bool,
    /// Print the summary as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    settings: StoreFlags,
}

/// A file that has its name only when it is whole.
struct Unfinished {
    path: PathBuf,
    target: PathBuf,
    file: BufWriter<File>,
}

impl Export {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let loaded = self.settings.load(self.store.as_deref())?;
        config::warn(&loaded);
        moving::refuse_memory(&loaded.config)?;
        let (counts, changed) = connection::run_with(self.export(&loaded.config))?;
        if let Some(what) = &changed {
            eprintln!("warning: the ledger changed while it was read: {what}");
        }
        let text = if self.json {
            let to = self.to.display().to_string();
            json!({"store": loaded.config.store.to_string(), "file": to, "changed": changed.is_some(), "counts": moving::as_json(&counts)})
                .to_string()
        } else {
            format!("exported from {}: {}", loaded.config.store, moving::in_words(&counts))
        };
        if self.is_stdout() {
            eprintln!("{text}");
        } else {
            output::line(&text)?;
        }
        Ok(exit::DONE)
    }

    fn is_stdout(&self) -> bool {
        self.to == Path::new(STANDARD)
    }

    async fn export(&self, config: &Config) -> Result<(Counts, Option<String>), Failure> {
        if self.is_stdout() {
            let mut out = BufWriter::new(std::io::stdout().lock());
            return self.write(config, &mut out).await;
        }
        let mut file = Unfinished::create(&self.to)?;
        let written = self.write(config, &mut file.file).await;
        // A file that is half written helps nobody.
        let published = if written.is_ok() { file.publish() } else { Ok(()) };
        if written.is_err() || published.is_err() {
            file.remove();
        }
        published?;
        written
    }

    async fn write(&self, config: &Config, out: &mut dyn Write) -> Result<(Counts, Option<String>), Failure> {
        let told = Told::new();
        let description =
            Description { instance: config.instance.clone(), program: env!("CARGO_PKG_VERSION").to_owned(), time: SystemClock.now() };
        let mut writer = Writer::new(out, description, &told);
        let changed = self.read(config, &mut writer).await;
        told.end();
        let changed = changed?;
        Ok((writer.finish()?, changed))
    }

    async fn read(&self, config: &Config, writer: &mut Writer<'_>) -> Result<Option<String>, Failure> {
        match &config.store {
            StoreAddress::Embedded(directory) => {
                let archive = EmbeddedArchive::open(directory).map_err(anyhow::Error::new)?;
                let nothing = || TransferError::Nothing(format!("no store is in {}", directory.display()));
                Ok(archive.ok_or_else(nothing)?.export(writer).await?)
            }
            StoreAddress::Redis(address) => {
                let link = moving::link(address, config).await?;
                let archive = moving::archive(link.clone(), config);
                let mut archive = if self.allow_changes { archive.allow_changes() } else { archive };
                let changed = archive.export(writer).await;
                link.close().await;
                Ok(changed?)
            }
            StoreAddress::Memory => Ok(None),
        }
    }
}

impl Unfinished {
    fn create(target: &Path) -> Result<Self, Failure> {
        let told = || target.display().to_string();
        if fs::symlink_metadata(target).is_ok() {
            return Err(Failure::Usage(anyhow!("there is a file already: `{}`\nhint: name another one, or remove it", told())));
        }
        let mut name = target.file_name().ok_or_else(|| Failure::Usage(anyhow!("not a file: `{}`", told())))?.to_owned();
        name.push(".part");
        let path = target.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // It tells what every customer does.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Self { path, target: target.to_owned(), file: BufWriter::new(file) })
    }

    /// Gives it its name, once it is on the disk.
    fn publish(&mut self) -> anyhow::Result<()> {
        let told = || format!("cannot write `{}`", self.target.display());
        self.file.get_ref().sync_all().with_context(told)?;
        // What has come there meanwhile is not replaced where the file system can tell.
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => fs::remove_file(&self.path).with_context(told),
            Err(problem) if problem.kind() == std::io::ErrorKind::AlreadyExists => Err(problem).with_context(told),
            Err(_) => fs::rename(&self.path, &self.target).with_context(told),
        }
    }

    fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}
