//! The configuration file: YAML, read into one list of keys and texts, each with its line.
//!
//! Knows YAML and nothing of what the settings mean. Scalars stay the text that stands in the file, so that every layer is read by the same
//! grammar; nested keys are joined by dots.

use std::path::Path;

use saphyr::{MarkedYaml, YamlData, YamlLoader};
use saphyr_parser::{Parser, ScalarStyle, ScanError};

use super::setting::{is_group, unknown_key};
use super::{Given, Origin, Problem};

/// Longest file that is read. The longest sensible one is a hundredth of this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file. What cannot be read is added to `problems`; what can be is returned all the same.
pub fn read(path: &Path, problems: &mut Vec<Problem>) -> Vec<Given> {
    let whole = |message: &str| Problem::new("", Origin::File { path: path.to_owned(), line: 0 }, message);
    let length = std::fs::metadata(path).map(|metadata| metadata.len());
    let text = match length {
        Ok(length) if length > FILE_BYTES_MAX => {
            problems.push(whole(&format!("too long for a configuration: {length} bytes; at most {FILE_BYTES_MAX} are read")));
            return Vec::new();
        }
        Ok(_) => std::fs::read_to_string(path),
        Err(error) => Err(error),
    };
    match text {
        Ok(text) => flatten(path, &text, problems),
        Err(error) => {
            problems.push(whole(&format!("cannot read the configuration: {error}")));
            Vec::new()
        }
    }
}

fn flatten(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Given> {
    let mut walk = Walk { path, given: Vec::new(), problems };
    match documents(text.trim_start_matches('\u{feff}')) {
        Err((line, message)) => walk.wrong("", line, &format!("not YAML: {message}")),
        Ok(documents) => match documents.as_slice() {
            [] => {}
            [document] => walk.document(document),
            [_, second, ..] => walk.wrong("", second.span.start.line(), "a second document: only one is read"),
        },
    }
    walk.given
}

fn documents(text: &str) -> Result<Vec<MarkedYaml<'_>>, (usize, String)> {
    let scan_error = |error: &ScanError| (error.marker().line(), error.info().to_owned());
    let mut loader = YamlLoader::<MarkedYaml<'_>>::default();
    // Scalars stay text: `0x10`, `1e3` and `no` are for the settings to judge.
    loader.early_parse(false);
    Parser::new_from_str(text).load(&mut loader, true).map_err(|error| scan_error(&error))?;
    match loader.error() {
        Some(error) => Err(scan_error(error)),
        None => Ok(loader.into_documents()),
    }
}

struct Walk<'a> {
    path: &'a Path,
    given: Vec<Given>,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn origin(&self, line: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line }
    }

    fn wrong(&mut self, key: &str, line: usize, message: &str) {
        let origin = self.origin(line);
        self.problems.push(Problem::new(key, origin, message));
    }

    fn document(&mut self, node: &MarkedYaml<'_>) {
        match &node.data {
            YamlData::Mapping(_) => self.mapping("", node),
            _ if scalar(node).is_some_and(|text| text.is_none()) => {}
            _ => self.wrong("", node.span.start.line(), "not a mapping: write one `key: value` a line"),
        }
    }

    fn mapping(&mut self, prefix: &str, node: &MarkedYaml<'_>) {
        let YamlData::Mapping(entries) = &node.data else { return };
        for (name, value) in entries {
            let line = name.span.start.line();
            match scalar(name) {
                Some(Some(name)) if prefix.is_empty() => self.entry(name.to_owned(), line, value),
                Some(Some(name)) => self.entry(format!("{prefix}.{name}"), line, value),
                _ => self.wrong(prefix, line, "a key that is not plain text"),
            }
        }
    }

    fn entry(&mut self, key: String, line: usize, value: &MarkedYaml<'_>) {
        if is_group(&key) {
            match &value.data {
                YamlData::Mapping(_) => self.mapping(&key, value),
                _ => self.wrong(&key, line, "not a mapping: write its settings below it, indented"),
            }
            return;
        }
        let origin = self.origin(line);
        if super::setting(&key).is_none() {
            self.problems.push(unknown_key(&Given { key, values: Vec::new(), origin }));
            return;
        }
        let nodes = match &value.data {
            YamlData::Sequence(nodes) => nodes.iter().collect(),
            _ => vec![value],
        };
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            match scalar(node) {
                Some(Some(text)) => values.push(text.to_owned()),
                Some(None) => return self.wrong(&key, line, "has no value"),
                None => return self.wrong(&key, node.span.start.line(), "not a plain value"),
            }
        }
        self.given.push(Given { key, values, origin });
    }
}

/// The text of a scalar; inside, none for null. None: not a scalar.
fn scalar<'a>(node: &'a MarkedYaml<'_>) -> Option<Option<&'a str>> {
    match &node.data {
        YamlData::Representation(text, ScalarStyle::Plain, _) if ["", "~", "null", "Null", "NULL"].contains(&&**text) => Some(None),
        YamlData::Representation(text, _, _) => Some(Some(text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (Vec<(String, Vec<String>, usize)>, Vec<(String, usize)>);

    /// What was given and what was wrong, each with its line.
    fn read_text(text: &str) -> Read {
        let line = |origin: &Origin| if let Origin::File { line, .. } = origin { *line } else { usize::MAX };
        let mut problems = Vec::new();
        let given = flatten(Path::new("f.yaml"), text, &mut problems);
        let given = given.into_iter().map(|given| (given.key, given.values, line(&given.origin))).collect();
        (given, problems.into_iter().map(|problem| (problem.key, line(&problem.origin))).collect())
    }

    #[test]
    fn scalars_keep_their_text_and_their_line() {
        let (given, problems) =
            read_text("# comment\ninsecure: no\nlimits:\n  queue: 0x10\nstore: \"memory:\"\nlisten:\n  - a:1\n  - 'b:2'\n");
        assert_eq!(problems, []);
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            given,
            [
                ("insecure".to_owned(), texts(&["no"]), 2),
                ("limits.queue".to_owned(), texts(&["0x10"]), 4),
                ("store".to_owned(), texts(&["memory:"]), 5),
                ("listen".to_owned(), texts(&["a:1", "b:2"]), 6),
            ]
        );
    }

    #[test]
    fn every_problem_has_its_line_and_the_rest_is_still_read() {
        let (given, problems) =
            read_text("lisen: a\nstore:\nlog:\n  format: json\n  colour: 1\nlimits: 5\ncatalog: {a: b}\nretention: 1d\n");
        assert_eq!(given.iter().map(|(key, ..)| key.as_str()).collect::<Vec<_>>(), ["log.format", "retention"]);
        let expected = [("lisen", 1), ("store", 2), ("log.colour", 5), ("limits", 6), ("catalog", 7)];
        assert_eq!(problems, expected.map(|(key, line)| (key.to_owned(), line)));
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_line() {
        for (text, line) in [
            ("a: [1\n", 2),
            ("- a\n", 1),
            ("text\n", 1),
            ("instance: a\ninstance: b\n", 2),
            ("instance: a\n---\ninstance: b\n", 3),
            ("log:\n\tformat: json\n", 2),
        ] {
            let (given, problems) = read_text(text);
            assert_eq!((given, problems), (Vec::new(), vec![(String::new(), line)]), "{text:?}");
        }
    }

    #[test]
    fn an_empty_file_gives_nothing() {
        for text in ["", "\n", "# nothing\n", "---\n", "\u{feff}"] {
            assert_eq!(read_text(text), (Vec::new(), Vec::new()), "{text:?}");
        }
    }
}
