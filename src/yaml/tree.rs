//! A YAML text as a tree of raw nodes, and the places of its nodes.
//!
//! Built from the parser's events without recursion, so depth, size and copies by alias are bounded before anything grows. Scalars stay
//! text. Duplicate keys, tags and keys that are not scalars are problems; after a syntax error there is no tree.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::{ALIASED_NODES_MAX, DEPTH_MAX, Problem, Severity, TEXT_BYTES_MAX};

/// A node of the text, to say later where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct At(pub(super) u32);

/// Where every node stands.
#[derive(Debug, Default)]
pub struct Places {
    nodes: Vec<Standing>,
}

#[derive(Debug)]
struct Standing {
    /// Of the value: line from 1, column from 1.
    value: (usize, usize),
    key: Option<(usize, usize)>,
    parent: Option<At>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Root,
    Key(String),
    Index(usize),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// `plain` is without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// A node before its path is known.
#[derive(Debug, Clone)]
struct Bare {
    start: (usize, usize),
    kind: BareKind,
}

#[derive(Debug, Clone)]
enum BareKind {
    Scalar { text: String, plain: bool },
    Sequence(Vec<Bare>),
    Mapping(Vec<(BareKey, Bare)>),
}

#[derive(Debug, Clone)]
struct BareKey {
    text: String,
    start: (usize, usize),
}

/// A collection that is still open.
struct Open {
    bare: Bare,
    anchor: usize,
    key: Option<BareKey>,
    /// The entry that comes is a duplicate or has no usable key, and is dropped.
    drop_next: bool,
    keys: HashSet<String>,
}

pub(super) fn build(text: &str) -> (Option<Node>, Places, Vec<Problem>) {
    let mut places = Places::default();
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("is too large: {} bytes; at most {TEXT_BYTES_MAX} are read", text.len());
        return (None, places, vec![Problem::of_text(message)]);
    }
    let mut builder = Builder::default();
    let root = builder.run(text.strip_prefix('\u{feff}').unwrap_or(text));
    let problems = builder.problems;
    let tree = root.map(|root| places.settle(root, None, None, Step::Root));
    (tree, places, problems)
}

#[derive(Default)]
struct Builder {
    problems: Vec<Problem>,
    open: Vec<Open>,
    root: Option<Bare>,
    anchors: HashMap<usize, Bare>,
    aliased: usize,
}

impl Builder {
    /// The tree of the text; `None`, with a problem, when it cannot be told.
    fn run(&mut self, text: &str) -> Option<Bare> {
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(found) => found,
                Err(error) => {
                    let message = format!("is not valid YAML: {}", error.info());
                    self.refuse(position(error.marker()), message, None);
                    return None;
                }
            };
            let start = position(&span.start);
            match event {
                Event::DocumentStart(_) if documents == 1 => {
                    self.refuse(start, "a second document starts here; one file holds one document", Some("remove the `---` between them"));
                    return None;
                }
                Event::DocumentStart(_) => documents = 1,
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse_tag(tag.is_some(), start);
                    let kind = BareKind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                    self.close(Bare { start, kind }, anchor);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.refuse_tag(tag.is_some(), start);
                    self.begin(Bare { start, kind: BareKind::Sequence(Vec::new()) }, anchor)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.refuse_tag(tag.is_some(), start);
                    self.begin(Bare { start, kind: BareKind::Mapping(Vec::new()) }, anchor)?;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let done = self.open.pop()?;
                    self.close(done.bare, done.anchor);
                }
                Event::Alias(anchor) => {
                    let node = self.copy(anchor, start)?;
                    self.close(node, 0);
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        if self.root.is_none() && self.problems.is_empty() {
            self.refuse((1, 1), "is empty", None);
        }
        self.root.take()
    }

    fn begin(&mut self, bare: Bare, anchor: usize) -> Option<()> {
        if self.open.len() >= DEPTH_MAX {
            self.refuse(bare.start, format!("is nested more than {DEPTH_MAX} levels deep"), None);
            return None;
        }
        self.open.push(Open { bare, anchor, key: None, drop_next: false, keys: HashSet::new() });
        Some(())
    }

    /// Puts a finished node where it belongs: as the root, an item, a key or a value.
    fn close(&mut self, node: Bare, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.bare.kind {
            BareKind::Sequence(items) => items.push(node),
            BareKind::Mapping(_) if std::mem::take(&mut open.drop_next) => {}
            BareKind::Mapping(entries) => match open.key.take() {
                Some(key) => entries.push((key, node)),
                None => self.begin_entry(node),
            },
            BareKind::Scalar { .. } => {}
        }
    }

    fn begin_entry(&mut self, key: Bare) {
        let start = key.start;
        let Some(open) = self.open.last_mut() else { return };
        let BareKind::Scalar { text, .. } = key.kind else {
            open.drop_next = true;
            self.refuse(start, "a key must be a single value", None);
            return;
        };
        if !open.keys.insert(text.clone()) {
            open.drop_next = true;
            open.key = Some(BareKey { text, start });
            self.refuse(start, "duplicate key", Some("keep one of them"));
            self.open.last_mut().map(|open| open.key.take());
            return;
        }
        open.key = Some(BareKey { text, start });
    }

    fn copy(&mut self, anchor: usize, start: (usize, usize)) -> Option<Bare> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.refuse(start, "an alias must not stand inside what it refers to", None);
            return None;
        };
        let (nodes, depth) = node.size();
        self.aliased = self.aliased.saturating_add(nodes);
        if self.aliased > ALIASED_NODES_MAX || self.open.len() + depth > DEPTH_MAX {
            self.refuse(start, format!("aliases copy more than {ALIASED_NODES_MAX} values or nest deeper than {DEPTH_MAX} levels"), None);
            return None;
        }
        Some(node.clone())
    }

    fn refuse_tag(&mut self, tagged: bool, start: (usize, usize)) {
        if tagged {
            self.refuse(start, "tags such as `!name` mean nothing here", Some("remove the tag"));
        }
    }

    fn refuse(&mut self, (line, column): (usize, usize), message: impl Into<String>, hint: Option<&str>) {
        let (message, hint) = (message.into(), hint.map(str::to_owned));
        self.problems.push(Problem { severity: Severity::Error, line, column, path: self.path(), message, hint });
    }

    /// The path of what is being built.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match (&open.bare.kind, &open.key) {
                (BareKind::Sequence(items), _) => push_step(&mut path, &Step::Index(items.len())),
                (_, Some(key)) => push_step(&mut path, &Step::Key(key.text.clone())),
                _ => {}
            }
        }
        path
    }
}

impl Bare {
    /// How many nodes this has, and how many collections stand in one another. Depth is bounded, so this may recurse.
    fn size(&self) -> (usize, usize) {
        let add = |(nodes, depth): (usize, usize), child: &Self| {
            let (more, below) = child.size();
            (nodes.saturating_add(more), depth.max(below + 1))
        };
        match &self.kind {
            BareKind::Scalar { .. } => (1, 0),
            BareKind::Sequence(items) => items.iter().fold((1, 1), add),
            BareKind::Mapping(entries) => entries.iter().map(|(_, value)| value).fold((1, 1), add),
        }
    }
}

impl Places {
    /// A problem of the value at `at`.
    pub fn problem(&self, at: At, message: impl Into<String>) -> Problem {
        self.of(at).map_or_else(|| Problem::of_text(""), |standing| self.build(standing.value, at, None)).with(message)
    }

    /// A problem of the name at `at`, where that is a value of a mapping.
    pub fn problem_of_name(&self, at: At, message: impl Into<String>) -> Problem {
        let place = self.of(at).map(|standing| standing.key.unwrap_or(standing.value));
        place.map_or_else(|| Problem::of_text(""), |place| self.build(place, at, None)).with(message)
    }

    /// A problem of a key that the mapping at `at` does not have.
    pub fn problem_of_missing(&self, at: At, key: &str, message: impl Into<String>) -> Problem {
        self.of(at).map_or_else(|| Problem::of_text(""), |standing| self.build(standing.value, at, Some(key))).with(message)
    }

    /// A problem of what keys name, such as `plans`, `core`, `allowances`, `credits`, at the last of them that the text has.
    pub fn problem_below_root(&self, keys: &[&str], message: impl Into<String>) -> Problem {
        let mut at = self.root();
        for key in keys {
            let is_it = |standing: &Standing| standing.parent == Some(at) && matches!(&standing.step, Step::Key(text) if text == key);
            match self.nodes.iter().position(is_it).and_then(|index| u32::try_from(index).ok()) {
                Some(index) => at = At(index),
                None => break,
            }
        }
        Problem { path: keys.join("."), ..self.problem_of_name(at, message) }
    }

    /// The first node: the text as a whole.
    pub fn root(&self) -> At {
        At(0)
    }

    /// How to say where something else stands: `line 12`.
    pub fn line(&self, at: At) -> usize {
        self.of(at).map_or(0, |standing| standing.key.unwrap_or(standing.value).0)
    }

    fn of(&self, at: At) -> Option<&Standing> {
        usize::try_from(at.0).ok().and_then(|index| self.nodes.get(index))
    }

    fn build(&self, (line, column): (usize, usize), at: At, below: Option<&str>) -> Problem {
        let mut steps = Vec::new();
        let mut next = Some(at);
        while let Some(standing) = next.and_then(|at| self.of(at)) {
            steps.push(&standing.step);
            next = standing.parent;
        }
        let mut path = String::new();
        steps.into_iter().rev().for_each(|step| push_step(&mut path, step));
        if let Some(key) = below {
            push_step(&mut path, &Step::Key(key.to_owned()));
        }
        Problem { line, column, path, ..Problem::of_text("") }
    }

    /// Gives a node and all below it their ids.
    fn settle(&mut self, bare: Bare, parent: Option<At>, key: Option<(usize, usize)>, step: Step) -> Node {
        // A text of a megabyte has fewer nodes than an id can count.
        let at = At(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let value = match (&bare.kind, key) {
            // A collection is known by its key: that is where its name stands.
            (BareKind::Sequence(_) | BareKind::Mapping(_), Some(key)) => key,
            _ => bare.start,
        };
        self.nodes.push(Standing { value, key, parent, step });
        let kind = match bare.kind {
            BareKind::Scalar { text, plain } => Kind::Scalar { text, plain },
            BareKind::Sequence(items) => {
                let settled = items.into_iter().enumerate();
                Kind::Sequence(settled.map(|(index, item)| self.settle(item, Some(at), None, Step::Index(index))).collect())
            }
            BareKind::Mapping(entries) => Kind::Mapping(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let node = self.settle(value, Some(at), Some(key.start), Step::Key(key.text.clone()));
                        (key.text, node)
                    })
                    .collect(),
            ),
        };
        Node { at, kind }
    }
}

impl Problem {
    fn with(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }
}

impl Node {
    /// `key:` with nothing, `~` or `null`.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }
}

fn position(marker: &Marker) -> (usize, usize) {
    (marker.line(), marker.col() + 1)
}

fn push_step(path: &mut String, step: &Step) {
    match step {
        Step::Root => {}
        Step::Key(key) => {
            if !path.is_empty() {
                path.push('.');
            }
            path.extend(key.chars().take(128).flat_map(char::escape_debug));
        }
        Step::Index(index) => path.push_str(&format!("[{index}]")),
    }
}
