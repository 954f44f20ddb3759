//! Why a pass over the tree ended, in words for the one who wrote the file.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::yaml::Problem;
use crate::yaml::near::nearest;
use crate::yaml::tree::{At, Kind, Node, Places};

/// Why a pass ended.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Known as soon as the failure passes the innermost node.
    pub(super) at: Option<At>,
    pub(super) about: About,
    /// It only follows from an earlier problem.
    pub(super) follows: bool,
}

#[derive(Debug)]
pub(super) enum About {
    Value,
    Name,
    Missing(&'static str),
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, at: None, about: About::Value, follows: false }
    }

    pub(super) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub(super) fn at(mut self, node: &Node, masked: &HashSet<At>) -> Self {
        if self.at.is_none() {
            self.at = Some(node.at);
            if let (About::Missing(key), Kind::Mapping(entries)) = (&self.about, &node.kind) {
                self.follows = entries.iter().any(|(name, value)| name == key && masked.contains(&value.at));
            }
        }
        self
    }

    pub(super) fn problem(self, at: At, places: &Places) -> Problem {
        let problem = match self.about {
            About::Value => places.problem(at, self.message),
            About::Name => places.problem_of_name(at, self.message),
            About::Missing(key) => places.problem_of_missing(at, key, self.message),
        };
        Problem { hint: self.hint, ..problem }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}: got {unexpected}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}: got {unexpected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint = meant(field, expected).or_else(|| Some(format!("known here are {}", list(expected))));
        Self { about: About::Name, ..Self::new(format!("unknown key: `{}`", shown(field))).hint(hint) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}: got `{}`", list(expected), shown(variant))).hint(meant(variant, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { about: About::Missing(field), ..Self::new("is missing") }
    }
}

fn meant(name: &str, known: &[&'static str]) -> Option<String> {
    nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}

pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A text of the file as a message shows it: short and on one line.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        short.push('…');
    }
    short
}
