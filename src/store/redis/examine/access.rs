//! Whether a server runs the ledger's script, and lets this user do all that the store does.

use super::{Finding, Keys, Link, read};
use crate::store::redis::link::Failure;

/// Reads the time and writes nothing; it begins as the ledger's script does.
const SCRIPT: &str = "#!lua\nreturn redis.call('TIME')";

/// Asks the server itself whether this user may run commands, keys included, without running them. No right of an administrator is needed.
const MAY: &str = "#!lua
local missing = {}
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do
    words[#words + 1] = word
  end
  if not redis.acl_check_cmd(unpack(words)) then
    missing[#missing + 1] = command
  end
end
return missing";

/// What the store does, by itself and in its script; `%` stands for a key of the ledger. A test holds it to the script.
const COMMANDS: &[&str] = &[
    "EVALSHA 0000000000000000000000000000000000000000 1 %",
    "EVAL - 1 %",
    "PING",
    "ROLE",
    "INFO server",
    "TIME",
    "HGET % f",
    "HMGET % f",
    "HSET % f v",
    "HSETNX % f v",
    "HGETALL %",
    "HDEL % f",
    "UNLINK %",
    "ZADD % 1 m",
    "ZREM % m",
    "ZRANGEBYSCORE % 0 1",
    "ZREVRANGEBYSCORE % 1 0",
    "ZRANGEBYLEX % - +",
    "XADD % * f v",
    "XRANGE % - +",
    "XLEN %",
    "XTRIM % MAXLEN 1",
];

/// What it does besides where answers wait for replicas.
const REPLICATED: &[&str] = &["SET % v", "GET %", "WAIT 1 1"];

/// What makes the store see more, and that it can do without.
const WELCOME: &[&str] = &["CONFIG GET maxmemory-policy"];

/// Of the commands.
const WHY: &str = "a command that is not allowed fails when it is needed, and leaves what came before it";

pub(super) async fn script(link: &Link) -> Finding {
    const WHY: &str = "every decision is one call of a script";
    match link.call_every_primary(redis::cmd("EVAL").arg(SCRIPT).arg(0)).await {
        Ok(_) => Finding::ok("script", "runs".to_owned(), WHY),
        Err(Failure::NotApplied { code, .. }) if code == "NOPERM" => {
            Finding::fail("script", "the user may not run EVAL".to_owned(), WHY, "allow it: `ACL SETUSER ... +eval +evalsha`")
        }
        Err(Failure::Script { message }) => {
            Finding::fail("script", message, WHY, "Redis 7.0 or later, or Valkey 8 or later, with scripting allowed to the user")
        }
        Err(failure) => Finding::unexamined("script", &failure, WHY),
    }
}

pub(super) async fn commands(link: &Link, keys: &Keys, replicas: u32) -> Vec<Finding> {
    match (missing(link, keys, &needed(replicas)).await, missing(link, keys, WELCOME).await) {
        // What keeps it from running was told of the script itself.
        (Err(failure), _) => vec![Finding::unexamined("access", &failure, WHY)],
        (Ok(needed), _) if !needed.is_empty() => vec![not_allowed(keys, &needed)],
        (Ok(_), Ok(welcome)) if !welcome.is_empty() => {
            let hint = "allow it if you can: `ACL SETUSER USER +config|get`";
            vec![Finding::warn("access", "all that is needed; not allowed, and useful: CONFIG GET".to_owned(), WHY, hint)]
        }
        (Ok(_), _) => vec![Finding::ok("access", "all that is needed is allowed".to_owned(), WHY)],
    }
}

/// What this user may certainly not do, and has to: a script that is stopped half way leaves its work half done.
pub(super) async fn forbidden(link: &Link, keys: &Keys, replicas: u32) -> Option<Finding> {
    let missing = missing(link, keys, &needed(replicas)).await.ok()?;
    (!missing.is_empty()).then(|| not_allowed(keys, &missing))
}

fn needed(replicas: u32) -> Vec<&'static str> {
    [COMMANDS, if replicas > 0 { REPLICATED } else { &[] }].concat()
}

/// Those of the commands that one of the primaries would refuse.
async fn missing(link: &Link, keys: &Keys, commands: &[&str]) -> Result<Vec<String>, Failure> {
    let key = &keys.partition(0).meta;
    let arguments: Vec<String> = commands.iter().map(|command| command.replace('%', key)).collect();
    let replies = link.call_every_primary(redis::cmd("EVAL").arg(MAY).arg(0).arg(arguments)).await?;
    let mut missing = Vec::new();
    for (_, value) in replies {
        missing.extend(read::<Vec<String>>(value)?);
    }
    missing.sort_unstable();
    missing.dedup();
    Ok(missing)
}

fn not_allowed(keys: &Keys, commands: &[String]) -> Finding {
    let names: Vec<String> = commands.iter().map(|command| first_word(command).to_lowercase()).collect();
    let allow: Vec<String> = names.iter().map(|name| format!("+{name}")).collect();
    let pattern = format!("{{gq{}*", keys.instance());
    let hint = format!("allow the user the commands and the keys: `ACL SETUSER USER {} ~{pattern}`", allow.join(" "));
    Finding::fail("access", format!("not allowed: {}", names.join(", ")), WHY, &hint)
}

fn first_word(command: &str) -> &str {
    command.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_ledgers_script_is_asked_for() {
        let source = crate::store::redis::script::SOURCE.concat();
        let called: Vec<&str> = source.split("call('").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
        assert!(called.len() > 20, "{called:?}");
        for command in called {
            assert!(COMMANDS.iter().any(|known| first_word(known) == command), "{command}");
        }
    }
}
