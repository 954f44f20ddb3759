//! The script as Redis knows it: one source in two flavours, called by the hash of its text.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// The folder `script`, in this order.
pub(super) const SOURCE: [&str; 5] = [
    include_str!("script/call.lua"),
    include_str!("script/rows.lua"),
    include_str!("script/transact.lua"),
    include_str!("script/read.lua"),
    include_str!("script/sweep.lua"),
];

/// When the server may refuse to run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Not when its memory is full: a new hold needs room. The refusal comes before the first write.
    Bounded,
    /// It always runs: what is settled, read or swept hardly grows, and must not be lost for want of room.
    Always,
}

struct Loaded {
    text: String,
    hash: String,
}

static BOUNDED: LazyLock<Loaded> = LazyLock::new(|| Loaded::new("#!lua"));
static ALWAYS: LazyLock<Loaded> = LazyLock::new(|| Loaded::new("#!lua flags=allow-oom"));

impl Loaded {
    fn new(first_line: &str) -> Self {
        let text = format!("{first_line}\n{}", SOURCE.concat());
        Self { hash: Script::new(&text).get_hash().to_owned(), text }
    }
}

impl Flavour {
    /// The command by hash, or, for a server that does not know it yet, with the text: after that it does.
    pub(super) fn command(self, by_hash: bool, keys: &[String], arguments: &[Vec<u8>]) -> Cmd {
        let script: &Loaded = match self {
            Self::Bounded => &BOUNDED,
            Self::Always => &ALWAYS,
        };
        let mut command = redis::cmd(if by_hash { "EVALSHA" } else { "EVAL" });
        command.arg(if by_hash { &script.hash } else { &script.text }).arg(keys.len()).arg(keys).arg(arguments);
        command
    }
}
