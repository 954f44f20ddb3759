//! `genquota config`.

use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::{self, Exit};
use super::render::Columns;
use super::settings::{LAYERS, SettingFlags};
use super::{Failure, output};
use crate::config::{Loaded, SETTINGS};

const EXAMPLES: &str = "\
Examples:
  genquota config
  GENQUOTA_RETENTION=30d genquota config --config genquota.yaml --json

Exit code 64: the configuration has problems; all of them are told.";

/// Print the configuration as merged, and where each value came from
#[derive(Debug, Args)]
#[command(after_help = format!("{LAYERS}\n\n{EXAMPLES}"))]
pub(super) struct ConfigCommand {
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

impl ConfigCommand {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let loaded = self.settings.load()?;
        warn(&loaded);
        output::line(&if self.json { as_json(&loaded).to_string() } else { as_table(&loaded) })?;
        Ok(exit::DONE)
    }
}

/// Tells on stderr what was ignored.
pub(super) fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
}

fn as_table(loaded: &Loaded) -> String {
    let mut table = Columns::new(&["SETTING", "VALUE", "ORIGIN"]);
    for setting in &SETTINGS {
        let values = setting.show(&loaded.config).join(", ");
        table.row(vec![setting.key.to_owned(), values, loaded.origins[setting.key].to_string()]);
    }
    table.into_text()
}

/// An object of `{value, origin}` by key; the value is text, or a list of texts where a setting takes several.
fn as_json(loaded: &Loaded) -> Value {
    let settings = SETTINGS.iter().map(|setting| {
        let values = setting.show(&loaded.config);
        let value = if setting.many { json!(values) } else { json!(values.concat()) };
        (setting.key.to_owned(), json!({"value": value, "origin": loaded.origins[setting.key].to_string()}))
    });
    Value::Object(settings.collect::<Map<_, _>>())
}
