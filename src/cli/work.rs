//! Work on the command line: one item by simple flags, several by `--item`.

use clap::Args;

use super::Failure;
use super::values::{self, Pair, pair};
use crate::proto::v1::{Item, Work};

/// The work that is asked, or was delivered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Work")]
pub(super) struct WorkFlags {
    /// How many outputs
    #[arg(long, value_name = "N", conflicts_with = "item")]
    count: Option<i64>,
    /// A quantity of each output, such as `seconds=5`; repeatable
    #[arg(long, value_name = "NAME=DECIMAL", value_parser = pair, conflicts_with = "item")]
    measure: Vec<Pair>,
    /// A property of the outputs, such as `resolution=1080p`; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, conflicts_with = "item")]
    attribute: Vec<Pair>,
    /// Outputs that differ, one item each: `count=2,measure.seconds=5,attribute.resolution=1080p`; repeatable
    #[arg(long, value_name = "ITEM", value_parser = item)]
    item: Vec<Item>,
}

/// What the provider billed, where it is not what the server takes for granted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Billed by the provider")]
pub(super) struct BilledFlags {
    /// Outputs that were billed, written as in `--item`; repeatable
    #[arg(long, value_name = "ITEM", value_parser = item)]
    billed_item: Vec<Item>,
    /// The provider billed nothing
    #[arg(long, conflicts_with_all = ["billed_item", "billed_cost"])]
    billed_nothing: bool,
    /// The money that was billed, in the catalog's currency
    #[arg(long, value_name = "DECIMAL")]
    pub(super) billed_cost: Option<String>,
}

impl WorkFlags {
    /// The work as written; without any flag one output.
    pub(super) fn required(&self) -> Result<Work, Failure> {
        Ok(self.given()?.unwrap_or_else(|| Work { items: vec![Item::default()] }))
    }

    /// The work as written; none without any flag.
    pub(super) fn given(&self) -> Result<Option<Work>, Failure> {
        if !self.item.is_empty() {
            return Ok(Some(Work { items: self.item.clone() }));
        }
        if self.count.is_none() && self.measure.is_empty() && self.attribute.is_empty() {
            return Ok(None);
        }
        let item = Item { count: self.count, measures: values::map(&self.measure)?, attributes: values::map(&self.attribute)? };
        Ok(Some(Work { items: vec![item] }))
    }
}

impl BilledFlags {
    pub(super) fn work(&self) -> Option<Work> {
        (self.billed_nothing || !self.billed_item.is_empty()).then(|| Work { items: self.billed_item.clone() })
    }
}

/// Reads `count=2,measure.seconds=5,attribute.resolution=1080p`.
fn item(text: &str) -> Result<Item, String> {
    let mut item = Item::default();
    for part in text.split(',') {
        let Pair { name, value } = pair(part.trim()).map_err(|error| format!("{error}, not `{part}`"))?;
        let before = match name.split_once('.') {
            None if name == "count" => {
                let count = value.parse().map_err(|_| format!("not a whole number: `{value}`"))?;
                item.count.replace(count).map(|_| String::new())
            }
            Some(("measure", measure)) => item.measures.insert(measure.to_owned(), value),
            Some(("attribute", attribute)) => item.attributes.insert(attribute.to_owned(), value),
            _ => return Err(format!("no such part: `{name}`; known are `count`, `measure.NAME` and `attribute.NAME`")),
        };
        if before.is_some() {
            return Err(format!("given twice: `{name}`"));
        }
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        work: WorkFlags,
        #[command(flatten)]
        billed: BilledFlags,
    }

    fn flags(words: &[&str]) -> Flags {
        Flags::try_parse_from(["test"].iter().chain(words)).unwrap()
    }

    fn item_of(count: Option<i64>, measures: &[(&str, &str)], attributes: &[(&str, &str)]) -> Item {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Item { count, measures: map(measures), attributes: map(attributes) }
    }

    #[test]
    fn one_item_is_written_by_simple_flags() {
        let work = flags(&["--count", "2", "--measure", "seconds=5", "--attribute", "resolution=1080p"]).work;
        let expected = item_of(Some(2), &[("seconds", "5")], &[("resolution", "1080p")]);
        assert_eq!(work.required().unwrap().items, [expected]);
    }

    #[test]
    fn several_items_are_written_one_by_one() {
        let work = flags(&["--item", "count=2,measure.seconds=5,attribute.resolution=1080p", "--item", "measure.characters=90"]).work;
        let second = item_of(None, &[("characters", "90")], &[]);
        assert_eq!(work.required().unwrap().items, [item_of(Some(2), &[("seconds", "5")], &[("resolution", "1080p")]), second]);
    }

    #[test]
    fn without_flags_work_is_one_output_or_absent() {
        let work = flags(&[]).work;
        assert_eq!(work.required().unwrap().items, [Item::default()]);
        assert_eq!(work.given().unwrap(), None);
    }

    #[test]
    fn billed_work_may_be_nothing() {
        assert_eq!(flags(&[]).billed.work(), None);
        assert_eq!(flags(&["--billed-nothing"]).billed.work(), Some(Work::default()));
        assert_eq!(flags(&["--billed-item", "count=1"]).billed.work().unwrap().items.len(), 1);
    }

    #[test]
    fn malformed_items_are_refused() {
        for text in ["", "2", "count=x", "count=1,count=2", "seconds=5", "measure.a=1,measure.a=2", "count=1,,"] {
            assert!(item(text).is_err(), "{text}");
        }
        for words in [["--item", "count=1", "--count", "2"], ["--measure", "a=1", "--item", "count=1"]] {
            assert!(Flags::try_parse_from(["test"].iter().chain(&words)).is_err());
        }
    }
}
