//! The real binary on a shared store.

use crate::harness::{Sidecar, code, genquota, stderr, stdout};
use crate::lab::{Aof, Cluster, Kind, Server, Settings};

#[test]
fn sidecars_on_one_store_share_what_they_count() {
    let server = Server::start(Kind::Valkey, Settings::default().aof(Aof::Always));
    share(&server.url());
}

#[test]
fn sidecars_on_a_cluster_share_what_they_count() {
    let cluster = Cluster::start(Kind::Redis7, 3, 0);
    share(&cluster.url());
}

fn share(store: &str) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Sidecar::start(dirs[0].path(), store);
    let second = Sidecar::start(dirs[1].path(), store);
    for (sidecar, words, part) in [
        (&first, "subject create acme", "subject acme"),
        (&first, "subject subscribe acme --plan independent --request-id s-1", "independent"),
        (&second, "reserve acme --action image.generate --target fal/flux-schnell --count 4 --id r-1", "held r-1"),
        (&first, "commit acme r-1 --count 3", "committed r-1"),
        (&second, "commit acme r-1 --count 3", "replayed"),
        (&second, "balance acme", "997"),
        (&second, "subject list", "acme"),
    ] {
        let output = sidecar.ask(words);
        assert_eq!(code(&output), 0, "{words}: {}", stderr(&output));
        assert!(stdout(&output).contains(part), "{words}: {}", stdout(&output));
    }
    assert_eq!((first.end(), second.end()), (Some(0), Some(0)));
    let again = Sidecar::start(dirs[0].path(), store);
    assert!(stdout(&again.ask("reservation acme r-1")).contains("3 credits"));
}

#[test]
fn a_sidecar_does_not_start_on_a_server_that_has_lost_what_it_knew() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Sidecar::start(dir.path(), &server.url()).end(), Some(0));
    server.kill();
    server.restart();
    let words = ["serve", "--listen", "127.0.0.1:0", "--http", "off", "--store", &server.url()];
    let output = genquota(dir.path(), &words).output().unwrap();
    let text = stderr(&output);
    assert!(code(&output) == 1 && text.contains("has lost the ledger"), "{text}");
    let hint = text.split("genquota store accept-loss").nth(1).unwrap();
    let ledger = hint.split("--ledger ").nth(1).unwrap().split(['`', ' ']).next().unwrap();
    let accept = ["store", "accept-loss", &server.url(), "--ledger", ledger, "--yes"];
    assert_eq!(code(&genquota(dir.path(), &accept).output().unwrap()), 0);
    assert_eq!(Sidecar::start(dir.path(), &server.url()).end(), Some(0));
}

#[test]
fn a_store_that_is_not_there_is_named_with_the_next_step() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    let url = server.url();
    server.kill();
    let dir = tempfile::tempdir().unwrap();
    let words = ["serve", "--listen", "127.0.0.1:0", "--http", "off", "--store", &url];
    let output = genquota(dir.path(), &words).output().unwrap();
    let text = stderr(&output);
    assert_eq!(code(&output), 1, "{text}");
    assert!(text.contains(&format!("cannot open the store at `{url}`: cannot connect to {}", server.address())), "{text}");
    assert!(text.contains("\n  hint: is the server running"), "{text}");
}
