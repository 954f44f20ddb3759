//! The Redis script as `store/redis/script.rs` puts it together, to be measured beside variants of itself.

use genquota::domain::ledger::Transaction;
use genquota::store::Urgency;
use genquota::store::redis::RedisStore;

const SOURCE: [&str; 5] = [
    include_str!("../../src/store/redis/script/call.lua"),
    include_str!("../../src/store/redis/script/rows.lua"),
    include_str!("../../src/store/redis/script/transact.lua"),
    include_str!("../../src/store/redis/script/read.lua"),
    include_str!("../../src/store/redis/script/sweep.lua"),
];

pub fn whole() -> String {
    format!("#!lua flags=allow-oom\n{}", SOURCE.concat())
}

/// A transaction as the store would send it, to the script of this hash.
pub fn command(store: &RedisStore, hash: &str, transaction: &Transaction) -> redis::Cmd {
    let sent = store.command(transaction, Urgency::Settle);
    let mut command = redis::cmd("EVALSHA");
    command.arg(hash);
    for argument in sent.args_iter().skip(2) {
        if let redis::Arg::Simple(bytes) = argument {
            command.arg(bytes);
        }
    }
    command
}
