//! `genquota prices import`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::{self, Exit};
use crate::cli::render::Columns;
use crate::cli::{Failure, output, values};
use crate::domain::amount::parse_price;
use crate::domain::ids::TierId;
use crate::prices::{self, Options, Tiers};

/// Longest table that is read, in bytes: thirty times the one of today.
const TABLE_BYTES_MAX: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  genquota prices import model_prices_and_context_window.json > prices.yaml
  genquota prices import prices.json --mode image_generation,video_generation --out prices.yaml --verbose
  genquota prices import prices.json --provider openai --tier basic --tier 'premium=openai/gpt-image-*' --from 2026-03-01
  genquota prices import prices.json --mode chat --assume output_tokens=500

Exit codes: 0 done, also where models could not be mapped; 64 wrong usage, or no such table.";

/// Read LiteLLM's public price table into the `prices` of a catalog
///
/// The file is `model_prices_and_context_window.json`; nothing is fetched. Prices come out exactly as they are written there. What our price
/// book cannot express is listed, never dropped in silence: a summary on stderr, everything with `--verbose` or `--json`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    /// The table; `-`: stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only models of this provider; repeatable
    #[arg(long, value_name = "PROVIDER", value_delimiter = ',')]
    provider: Vec<String>,
    /// Only models of this mode, such as `image_generation`; repeatable
    #[arg(long, value_name = "MODE", value_delimiter = ',')]
    mode: Vec<String>,
    /// The tier of every target, or `TIER=PATTERN` for targets `PROVIDER/MODEL` that fit, where `*` is anything; repeatable, the first that
    /// fits counts [default: standard]
    #[arg(long, value_name = "TIER[=PATTERN]")]
    tier: Vec<String>,
    /// What is assumed of a measure that callers may not know before the run; repeatable
    #[arg(long, value_name = "MEASURE=NUMBER", value_parser = values::pair)]
    assume: Vec<values::Pair>,
    /// Since when the prices apply: a day or an instant [default: since ever]
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The currency of the table, for the catalog that it goes into
    #[arg(long, value_name = "CODE", default_value = "USD")]
    currency: String,
    /// Where to write the section; a file that is there is replaced [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// List every model that is not mapped and every field that is left out
    #[arg(long)]
    verbose: bool,
    /// Print the whole account as one line of JSON on stdout; the section is in it unless `--out` names a file
    #[arg(long)]
    pub(super) json: bool,
}

impl Import {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let options = self.options().map_err(Failure::Usage)?;
        let text = read(&self.file)?;
        let name = self.file.display().to_string();
        let import = prices::Import::read(&text, &options).map_err(|error| Failure::Usage(anyhow!("`{name}`: {error}")))?;
        let section = format!("# currency: {}\n{}", self.currency, import.section);
        if let Some(out) = &self.out {
            std::fs::write(out, &section).with_context(|| format!("cannot write `{}`", out.display()))?;
        }
        if self.json {
            let mut account = self.as_json(&import);
            if self.out.is_none() {
                account["section"] = section.into();
            }
            output::line(&account.to_string())?;
            return Ok(exit::DONE);
        }
        if self.out.is_none() {
            output::line(section.trim_end())?;
        }
        eprintln!("{}", self.as_text(&import));
        Ok(exit::DONE)
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mut tiers = Tiers::default();
        for text in &self.tier {
            let (tier, pattern) = text.split_once('=').map_or((text.as_str(), None), |(tier, pattern)| (tier, Some(pattern)));
            TierId::new(tier).map_err(|error| anyhow!("`--tier {text}`: `{tier}` is not a name: {error}"))?;
            match pattern {
                Some(pattern) => tiers.overrides.push((tier.to_owned(), pattern.to_owned())),
                None => tier.clone_into(&mut tiers.default),
            }
        }
        let mut assume = BTreeMap::new();
        for pair in &self.assume {
            parse_price(&pair.value).map_err(|error| anyhow!("`--assume {}`: {error}", pair.name))?;
            assume.insert(pair.name.clone(), pair.value.clone());
        }
        if let Some(from) = &self.from {
            values::instant(from).map_err(|problem| anyhow!("`--from {from}`: {problem}"))?;
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(anyhow!("`--currency {}`: write a code such as `USD`", self.currency));
        }
        Ok(Options { providers: self.provider.clone(), modes: self.mode.clone(), tiers, assume, from: self.from.clone() })
    }

    fn as_text(&self, import: &prices::Import) -> String {
        let mut text = format!(
            "{} models: {} mapped to {} targets, {} not mapped",
            import.models(),
            import.mapped(),
            import.targets,
            import.unmapped.len()
        );
        if import.aside > 0 {
            text.push_str(&format!("; {} left aside", import.aside));
        }
        let mut table = Columns::new(&["MODE", "MODELS", "MAPPED", "NOT MAPPED"]);
        for (mode, count) in &import.modes {
            let name = if mode.is_empty() { "(none)" } else { mode };
            let counts = [count.models, count.mapped, count.models - count.mapped].map(|number| number.to_string());
            table.row(std::iter::once(name.to_owned()).chain(counts).collect());
        }
        text.push_str(&format!("\n\n{}\n", table.into_text()));
        text.push_str(&tally("not mapped", import.unmapped.iter().map(|model| model.reason)));
        text.push_str(&tally("fields of mapped models that are left out", import.left_out.iter().map(|left| left.reason)));
        if self.verbose {
            text.push_str("\nnot mapped:\n");
            for model in &import.unmapped {
                let detail = if model.detail.is_empty() { String::new() } else { format!(": {}", model.detail) };
                text.push_str(&format!("  {}: {}{detail}\n", model.key, model.reason));
            }
            text.push_str("\nleft out:\n");
            for left in &import.left_out {
                text.push_str(&format!("  {}: `{}`: {}\n", left.key, left.field, left.reason));
            }
        } else if !import.unmapped.is_empty() || !import.left_out.is_empty() {
            text.push_str("\nhint: `--verbose` lists each of them");
        }
        text.trim_end().to_owned()
    }

    fn as_json(&self, import: &prices::Import) -> Value {
        let modes: BTreeMap<&str, Value> = import
            .modes
            .iter()
            .map(|(mode, count)| {
                (mode.as_str(), json!({"models": count.models, "mapped": count.mapped, "unmapped": count.models - count.mapped}))
            })
            .collect();
        let unmapped: Vec<_> = import
            .unmapped
            .iter()
            .map(|model| json!({"model": model.key, "mode": model.mode, "reason": model.reason, "detail": model.detail}))
            .collect();
        let left: Vec<_> =
            import.left_out.iter().map(|left| json!({"model": left.key, "field": left.field, "reason": left.reason})).collect();
        json!({
            "file": self.file.display().to_string(),
            "currency": self.currency,
            "models": import.models(),
            "mapped": import.mapped(),
            "targets": import.targets,
            "aside": import.aside,
            "modes": modes,
            "unmapped": unmapped,
            "leftOut": left,
        })
    }
}

/// How often each reason stands, the most frequent first.
fn tally(title: &str, reasons: impl Iterator<Item = &'static str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    if counts.is_empty() {
        return String::new();
    }
    let ordered: BTreeSet<_> = counts.into_iter().map(|(reason, count)| (std::cmp::Reverse(count), reason)).collect();
    let lines: String = ordered.into_iter().map(|(count, reason)| format!("  {:>5}  {reason}\n", count.0)).collect();
    format!("\n{title}:\n{lines}")
}

fn read(path: &Path) -> Result<String, Failure> {
    let told = || format!("cannot read `{}`", path.display());
    let mut bytes = Vec::new();
    if path == Path::new(values::STANDARD) {
        std::io::stdin().lock().take(TABLE_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(told)?;
    } else {
        let file = std::fs::File::open(path).with_context(told).map_err(Failure::Usage)?;
        file.take(TABLE_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(told)?;
    }
    if bytes.len() as u64 > TABLE_BYTES_MAX {
        return Err(Failure::Usage(anyhow!("`{}` has more than {TABLE_BYTES_MAX} bytes: no price table is that long", path.display())));
    }
    String::from_utf8(bytes)
        .map_err(|error| Failure::Usage(anyhow!("`{}` is not UTF-8 at byte {}", path.display(), error.utf8_error().valid_up_to())))
}
