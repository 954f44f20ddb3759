//! A real browser, driven by a script that says what it saw.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::lab::{Tool, browser_driver};

/// What was seen of one page.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    /// Where the browser was in the end.
    pub(crate) address: String,
    pub(crate) title: String,
    pub(crate) heading: String,
    /// The text of the main part.
    pub(crate) main: String,
    /// Rows of each table, by its id or caption.
    pub(crate) tables: std::collections::BTreeMap<String, Vec<Vec<Cell>>>,
    pub(crate) figures: Vec<(String, Cell)>,
    pub(crate) times: Vec<String>,
    pub(crate) gauges: Vec<Gauge>,
    pub(crate) links: Vec<Link>,
    /// Pixels by which the page is wider than its window.
    pub(crate) overflow: i64,
    pub(crate) scripts: usize,
    /// Where the keyboard stopped.
    pub(crate) stops: Vec<Stop>,
    /// What the browser had to say: errors, and what the policy refused.
    pub(crate) told: Vec<String>,
    /// Every address that was asked for.
    pub(crate) asked: Vec<String>,
    pub(crate) violations: Vec<Violation>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// The exact number behind the text.
    pub(crate) value: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Gauge {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    pub(crate) text: String,
    pub(crate) href: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Stop {
    pub(crate) tag: String,
    pub(crate) id: String,
    pub(crate) text: String,
    /// It can be seen that the keyboard is here.
    pub(crate) visible: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Violation {
    pub(crate) id: String,
    /// Read when it is printed.
    #[expect(dead_code, reason = "it is there to be printed")]
    pub(crate) nodes: Vec<String>,
}

impl Seen {
    pub(crate) fn figure(&self, name: &str) -> &Cell {
        let found = self.figures.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no figure `{name}`: {:?}", self.figures)).1
    }

    pub(crate) fn table(&self, name: &str) -> &[Vec<Cell>] {
        self.tables.get(name).unwrap_or_else(|| panic!("no table `{name}`: {:?}", self.tables.keys()))
    }
}

/// Opens a browser, makes the visits one after the other, and closes it.
pub(crate) fn look(server: &str, visits: &[Value]) -> Vec<Seen> {
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&shots).unwrap();
    let home = tempfile::tempdir().unwrap();
    let task = json!({"origin": format!("http://{server}"), "chromium": Tool::Chromium.program(), "shots": shots, "visits": visits});
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/look.mjs")).env("BROWSER_DRIVER", browser_driver());
    command.env("HOME", home.path()).env("TMPDIR", home.path());
    let mut node = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(task.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
