//! Which key a command is about, and in which slot of a cluster it lies.

use redis::{Arg, Cmd};

use crate::store::redis::slots::SLOTS;

/// The slot of a key: of what stands between its first braces, if anything does.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the specification of clusters demands.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

/// The first key of a command; the others lie in the same slot, or the server refuses it. None: it has no key.
pub(super) fn key_of(command: &Cmd) -> Option<&[u8]> {
    let name = argument(command, 0)?.to_ascii_uppercase();
    let at = match name.as_slice() {
        b"EVAL" | b"EVALSHA" | b"EVAL_RO" | b"EVALSHA_RO" | b"FCALL" | b"FCALL_RO" => {
            let keys: usize = std::str::from_utf8(argument(command, 2)?).ok()?.parse().ok()?;
            return if keys == 0 { None } else { argument(command, 3) };
        }
        b"OBJECT" | b"MEMORY" | b"XINFO" | b"XGROUP" => 2,
        b"ACL" | b"CLIENT" | b"CLUSTER" | b"COMMAND" | b"CONFIG" | b"DBSIZE" | b"ECHO" | b"FUNCTION" | b"INFO" | b"LATENCY" | b"PING"
        | b"ROLE" | b"SCAN" | b"SCRIPT" | b"TIME" | b"WAIT" | b"WAITAOF" => return None,
        _ => 1,
    };
    argument(command, at)
}

/// True: the command runs a script.
pub(super) fn runs_script(command: &Cmd) -> bool {
    argument(command, 0).is_some_and(|name| {
        let starts = |word: &[u8]| name.len() >= word.len() && name[..word.len()].eq_ignore_ascii_case(word);
        starts(b"EVAL") || starts(b"FCALL")
    })
}

fn argument(command: &Cmd, at: usize) -> Option<&[u8]> {
    match command.args_iter().nth(at)? {
        Arg::Simple(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use redis::cmd;

    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // `CLUSTER KEYSLOT` of a server.
        for (key, slot) in [("123456789", 12739), ("foo", 12182), ("{foo}bar", 12182), ("foo{}{bar}", 8363), ("{gqmain:3}meta", 4823)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn the_first_key_is_found() {
        let key = |command: &Cmd| key_of(command).map(|key| String::from_utf8(key.to_vec()).unwrap());
        assert_eq!(key(cmd("EVALSHA").arg("sha").arg(2).arg("a").arg("b").arg("x")).as_deref(), Some("a"));
        assert_eq!(key(cmd("eval").arg("return 1").arg(0)), None);
        assert_eq!(key(cmd("HGET").arg("h").arg("f")).as_deref(), Some("h"));
        assert_eq!(key(cmd("MEMORY").arg("USAGE").arg("k")).as_deref(), Some("k"));
        assert_eq!(key(cmd("SCRIPT").arg("LOAD").arg("x")), None);
        assert_eq!(key(&cmd("PING")), None);
        assert!(runs_script(cmd("evalsha").arg("x")) && runs_script(cmd("EVAL_RO").arg("x")) && !runs_script(cmd("GET").arg("eval")));
    }
}
