//! `genquota store check` on servers that are well and on servers that are not.

use crate::harness::{Found, Sidecar, code, genquota, open, options, run, stderr, stdout};
use crate::lab::{Aof, Authority, Clients, Cluster, Kind, Sentinels, Server, Settings};

#[test]
fn a_server_that_keeps_what_it_is_told_has_nothing_but_its_replicas_to_better() {
    for kind in Kind::ALL {
        let server = Server::start(kind, Settings::default().aof(Aof::Everysec));
        let found = Found::at(&[&server.url()]);
        assert_eq!((found.code, found.with("fail"), found.with("warn")), (0, vec![], vec!["replicas"]), "{kind:?}: {}", found.report);
        assert_eq!(found.report["ok"], true);
        let name = if matches!(kind, Kind::Valkey) { "Valkey " } else { "Redis " };
        assert!(found.found("version").starts_with(name), "{}", found.found("version"));
        assert!(found.found("ledger").starts_with("none of instance `default` yet"), "{}", found.found("ledger"));
        assert!(found.found("persistence").contains("flushed each second"));
    }
}

#[test]
fn people_read_a_table_with_the_next_step_for_everything_that_is_not_well() {
    let server = Server::start(Kind::Redis7, Settings::default());
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    let output = run(&["store", "check", &server.url(), "--instance", "eu"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (1, ""));
    let text = stdout(&output);
    assert!(text.starts_with(&format!("store {}, instance eu\n\nCHECK ", server.url())), "{text}");
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    assert_eq!([row("maxmemory-policy"), row("persistence"), row("script")], ["fail", "warn", "ok"]);
    for part in ["\nfail maxmemory-policy: ", "  hint: set it: `CONFIG SET maxmemory-policy noeviction`", "appendonly yes", " 1 fail"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_a_server_throws_away_or_cannot_keep_is_told() {
    let server = Server::start(Kind::Redis7, Settings::default());
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let found = Found::at(&[&server.url()]);
    assert_eq!((found.code, found.with("fail")), (1, vec!["maxmemory-policy"]));
    assert!(found.found("maxmemory-policy").contains("may evict keys"), "{}", found.found("maxmemory-policy"));
    assert_eq!((found.verdict("persistence"), found.found("persistence")), ("warn", "none: a restart loses the ledger"));
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.command(&["CONFIG", "SET", "save", "3600 1"]);
    assert!(Found::at(&[&server.url()]).found("persistence").contains("snapshots alone (save 3600 1)"));
    let used: u64 = server.info("used_memory").unwrap().parse().unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", &(used * 10 / 9).to_string()]);
    let found = Found::at(&[&server.url()]);
    assert_eq!((found.code, found.verdict("memory")), (0, "warn"), "{}", found.report);
}

#[test]
fn a_password_is_taken_from_every_layer_and_one_that_is_wrong_is_told_without_it() {
    let server = Server::start(Kind::Redis7, Settings::default().password("s3cret"));
    let bare = format!("redis://{}", server.address());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("password"), "s3cret\n").unwrap();
    std::fs::write(dir.path().join("genquota.yaml"), format!("store: {bare}\nredis:\n  password: s3cret\n")).unwrap();
    let check = |words: &[&str], variable: &str| {
        let words = [&["store", "check", "--json"], words].concat();
        genquota(dir.path(), &words).env("GENQUOTA_REDIS_PASSWORD", variable).output().unwrap()
    };
    for (words, variable) in [
        (vec![server.url().leak() as &str], ""),
        (vec![&bare], "s3cret"),
        (vec![&bare, "--redis-password", "s3cret"], "wrong"),
        (vec![&bare, "--redis-password-file", "password"], ""),
        (vec!["--config", "genquota.yaml"], ""),
    ] {
        let output = check(&words, variable);
        assert_eq!(code(&output), 0, "{words:?}: {} {}", stdout(&output), stderr(&output));
        assert!(!format!("{}{}", stdout(&output), stderr(&output)).contains("s3cret"), "{words:?}");
    }
    let found = Found::at(&[&bare, "--redis-password", "wr0ng"]);
    assert_eq!((found.code, found.verdict("reach")), (69, "fail"));
    assert!(found.found("reach").contains("WRONGPASS") && !found.report.to_string().contains("wr0ng"), "{}", found.report);
    let found = Found::at(&[&bare]);
    assert!(found.code == 69 && found.hint("reach").contains("redis.password"), "{}", found.report);
}

#[test]
fn commands_and_keys_that_a_user_may_not_use_are_named() {
    let server = Server::start(Kind::Redis7, Settings::default().aof(Aof::Always));
    let url = format!("redis://app:s3cret@{}", server.address());
    server.command(&["ACL", "SETUSER", "app", "on", ">s3cret", "~*", "+@all", "-zadd", "-xtrim"]);
    let found = Found::at(&[&url]);
    assert_eq!((found.code, found.with("fail")), (1, vec!["access"]), "{}", found.report);
    assert_eq!(found.found("access"), "not allowed: xtrim, zadd");
    // As narrow as it may be: what the hint of the check says, and what a connection needs.
    let narrow =
        ["eval", "evalsha", "ping", "info", "time", "hget", "hmget", "hgetall", "hset", "hsetnx", "hdel", "unlink", "zadd", "zrem"];
    let more = ["zrangebyscore", "zrevrangebyscore", "zrangebylex", "xadd", "xrange", "xlen", "xtrim", "role"];
    let allowed: Vec<String> = narrow.iter().chain(&more).map(|name| format!("+{name}")).collect();
    let rule = ["ACL", "SETUSER", "app", "reset", "on", ">s3cret", "~{gqdefault*"];
    server.command(&rule.into_iter().chain(allowed.iter().map(String::as_str)).collect::<Vec<_>>());
    let found = Found::at(&[&url]);
    assert_eq!((found.code, found.with("fail")), (0, vec![]), "{}", found.report);
    assert!(found.verdict("access") == "warn" && found.found("access").contains("CONFIG GET"), "{}", found.found("access"));
    assert_eq!(found.verdict("maxmemory-policy"), "ok", "INFO tells it as well");
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path(), &url);
    assert_eq!(code(&sidecar.ask("subject create acme")), 0);
    assert_eq!(sidecar.end(), Some(0));
    // Another instance has other keys.
    let found = Found::at(&[&url, "--instance", "other"]);
    assert!(found.code == 1 && found.hint("access").contains("~{gqother*"), "{}", found.report);
    server.command(&["ACL", "SETUSER", "app", "-eval"]);
    let found = Found::at(&[&url]);
    assert!(found.verdict("script") == "fail" && found.hint("script").contains("+eval"), "{}", found.report);
}

#[test]
fn servers_that_do_not_answer_are_not_reached() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let url = server.url();
    server.pause();
    let found = Found::at(&[&url, "--redis-connect-timeout", "200ms", "--redis-command-timeout", "200ms"]);
    assert_eq!((found.code, found.with("fail")), (69, vec!["reach"]), "{}", found.report);
    server.resume();
    assert_eq!(Found::at(&[&server.socket_url()]).code, 0);
    server.kill();
    let found = Found::at(&[&url]);
    assert!(found.code == 69 && found.hint("reach").contains("running"), "{}", found.report);
    let output = run(&["store", "check", "memory:"]);
    assert!(code(&output) == 64 && stderr(&output).contains("hint: name one"), "{}", stderr(&output));
    let output = run(&["store", "check", "redis://cache/first"]);
    assert!(code(&output) == 64 && stderr(&output).contains("not a number of a database"), "{}", stderr(&output));
}

#[test]
fn a_replica_is_no_place_for_a_ledger_and_sentinels_lead_to_the_primary() {
    let sentinels = Sentinels::start(Kind::Redis7);
    let found = Found::at(&[&sentinels.url()]);
    assert_eq!((found.code, found.with("fail")), (0, vec![]), "{}", found.report);
    assert!(found.found("replicas").starts_with("a primary with "), "{}", found.found("replicas"));
    let replica = (0..sentinels.servers().len()).find(|at| Some(*at) != sentinels.primary()).unwrap();
    let found = Found::at(&[&sentinels.server(replica).url()]);
    assert_eq!((found.code, found.with("fail")), (69, vec!["reach"]));
    assert!(found.hint("reach").contains("redis+sentinel://"), "{}", found.report);
}

#[test]
fn a_server_is_reached_over_tls_with_our_certificate() {
    let authority = Authority::new();
    let server = Server::start(Kind::Redis7, Settings::default().tls(&authority, Clients::Certified));
    let own = authority.issue("client");
    let paths = [authority.file(), own.certificate, own.key].map(|path| path.to_str().unwrap().to_owned());
    let url = server.url();
    let all = [&url, "--redis-tls-ca", &paths[0], "--redis-tls-cert", &paths[1], "--redis-tls-key", &paths[2]];
    let slowly = ["--redis-connect-timeout", "10s"];
    assert_eq!(Found::at(&[&all[..], &slowly].concat()).code, 0);
    let found = Found::at(&[&all[..3], &slowly].concat());
    assert!(found.code == 69 && found.hint("reach").contains("redis.tls_cert"), "{}", found.report);
    // Whoever names an authority means TLS.
    let output = run(&["store", "check", "redis://cache", all[1], all[2]]);
    assert!(code(&output) == 64 && stderr(&output).contains("`redis.tls_ca`: the store is not reached over TLS"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_looked_at_slot_by_slot_and_primary_by_primary() {
    let mut cluster = Cluster::start(Kind::Redis7, 3, 0);
    let found = Found::at(&[&cluster.url()]);
    assert_eq!((found.code, found.with("fail")), (0, vec![]), "{}", found.report);
    assert_eq!(found.found("cluster"), "16384 of 16384 slots on 3 primaries");
    assert!(found.verdict("cluster-replicas") == "warn" && found.found("cluster-replicas").starts_with("no replica: "));
    let spread: Vec<usize> = found.found("cluster-spread").split(": ").nth(1).unwrap().split(", ").map(count).collect();
    assert_eq!((spread.len(), spread.iter().sum::<usize>()), (3, 64), "{}", found.found("cluster-spread"));
    // Not as what it is not.
    let found = Found::at(&[&cluster.node(0).url()]);
    assert!(found.code == 1 && found.with("fail").contains(&"mode"), "{}", found.report);
    cluster.node_mut(2).kill();
    let found = Found::at(&[&cluster.url()]);
    assert!(found.code != 0 && !found.with("fail").is_empty(), "{}", found.report);
}

fn count(words: &str) -> usize {
    words.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_told_with_its_partitions_and_what_is_missing_of_it() {
    let server = Server::start(Kind::Redis7, Settings::default().aof(Aof::Always));
    let store = open(&server.url(), options()).await.unwrap();
    let words = [&server.url(), "--instance", "test"];
    let with_four = || {
        let dir = tempfile::tempdir().unwrap();
        let words = [&["store", "check", "--json"], &words[..]].concat();
        let output = genquota(dir.path(), &words).env("GENQUOTA_REDIS_PARTITIONS", "4").output().unwrap();
        Found { code: code(&output), report: serde_json::from_slice(&output.stdout).unwrap() }
    };
    let found = with_four();
    assert_eq!((found.code, found.verdict("ledger")), (0, "ok"), "{}", found.report);
    assert_eq!(found.found("ledger"), format!("{}: 4 partitions, generation 1, 0 changes", store.identity()));
    let found = Found::at(&words);
    assert!(found.verdict("ledger") == "warn" && found.hint("ledger").contains("redis.partitions"), "{}", found.found("ledger"));
    genquota::store::Store::close(&store).await;
    server.command(&["DEL", "{gqtest:2}meta"]);
    let found = with_four();
    assert!(found.code == 1 && found.found("ledger").contains("1 partitions are not there"), "{}", found.found("ledger"));
    assert!(found.hint("ledger").contains("genquota store accept-loss"));
    server.command(&["DEL", "{gqtest}genesis"]);
    assert!(with_four().found("ledger").contains("3 partitions of `test` are still there"));
}
