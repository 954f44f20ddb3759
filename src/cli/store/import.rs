//! `genquota store import`.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::moving;
use crate::cli::exit::{self, Exit};
use crate::cli::progress::Told;
use crate::cli::settings::StoreFlags;
use crate::cli::values::STANDARD;
use crate::cli::{Failure, config, connection, output};
use crate::config::{Config, StoreAddress};
use crate::store::embedded::EmbeddedArchive;
use crate::store::transfer::{Imported, Put, Reader, import, verify};

const EXAMPLES: &str = "\
Examples:
  genquota store import redis://cache:6379 --instance main --from ledger.jsonl
  genquota store import embedded:/var/lib/genquota --from ledger.jsonl --json
  gunzip < ledger.jsonl.gz | genquota store import redis-cluster://a:7000,b:7000 --from -

Exit codes: 0 done; 1 the store or the file failed, or the store holds something else; 64 wrong usage or configuration.";

/// Fill an empty store with everything that a file of JSON lines says
///
/// A file is read twice, and nothing is changed if it is not whole. What was cut off is run again with the same file: what is there already
/// is left alone. Until everything is there no sidecar can use the store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    /// The store: `embedded:DIR` or a Redis such as `redis://HOST:PORT` [default: the configured one]
    #[arg(value_name = "STORE")]
    store: Option<String>,
    /// The file that `genquota store export` wrote; `-`: stdin, which is read once only
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Into how many parts a new ledger in Redis is laid out; fixed from then on [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    redis_partitions: Option<u32>,
    /// Print the summary as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    settings: StoreFlags,
}

impl Import {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut loaded = self.settings.load(self.store.as_deref())?;
        config::warn(&loaded);
        moving::refuse_memory(&loaded.config)?;
        if let Some(partitions) = self.redis_partitions {
            loaded.config.redis.partitions = partitions;
        }
        let Imported { counts, put: Put { written, known }, header } = connection::run_with(self.import(&loaded.config))?;
        let store = &loaded.config.store;
        output::line(&if self.json {
            json!({
                "store": store.to_string(),
                "export": header.export.to_string(),
                "source": header.source,
                "written": written,
                "known": known,
                "counts": moving::as_json(&counts),
            })
            .to_string()
        } else {
            format!("imported into {store}: {written} lines written, {known} already there\n{}", moving::in_words(&counts))
        })?;
        Ok(exit::DONE)
    }

    async fn import(&self, config: &Config) -> Result<Imported, Failure> {
        let told = Told::new();
        let imported = self.import_file(config, &told).await;
        told.end();
        imported
    }

    async fn import_file(&self, config: &Config, told: &Told) -> Result<Imported, Failure> {
        if self.from == Path::new(STANDARD) {
            let mut input = std::io::stdin().lock();
            return into_store(config, &mut input, told).await;
        }
        let path = self.from.display();
        let mut file = File::open(&self.from).with_context(|| format!("cannot read `{path}`"))?;
        verify(&mut Reader::new(&mut BufReader::new(&file)), &config.instance, told)?;
        file.rewind().with_context(|| format!("cannot read `{path}` twice\nhint: `--from -` reads it once"))?;
        into_store(config, &mut BufReader::new(file), told).await
    }
}

async fn into_store(config: &Config, input: &mut dyn BufRead, told: &Told) -> Result<Imported, Failure> {
    let mut reader = Reader::new(input);
    match &config.store {
        StoreAddress::Embedded(directory) => {
            let mut archive = EmbeddedArchive::create(directory).map_err(anyhow::Error::new)?;
            Ok(import(&mut archive, &mut reader, &config.instance, told).await?)
        }
        StoreAddress::Redis(address) => {
            let link = moving::link(address, config).await?;
            let mut archive = moving::archive(link.clone(), config);
            let imported = import(&mut archive, &mut reader, &config.instance, told).await;
            link.close().await;
            Ok(imported?)
        }
        StoreAddress::Memory => Err(Failure::Usage(anyhow::anyhow!("`memory:` keeps nothing"))),
    }
}
