//! SIGHUP reloads at once, whether the file is watched or not, and never ends the process.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::served::Served;
use crate::sidecar::{Sidecar, WATCHED, edition, until};

#[test]
fn a_hangup_reloads_a_file_that_is_not_watched_and_ends_nothing() {
    let sidecar = Sidecar::start("off", &edition("first", 10));
    sidecar.write(edition("second", 11));
    assert_eq!(sidecar.edition(), "first");
    sidecar.signal("HUP");
    sidecar.is_under("second");
    sidecar.write("catalog: nothing");
    sidecar.signal("HUP");
    sidecar.is_told("catalog_rejected", "second");
    // Whoever asks is told each time.
    sidecar.signal("HUP");
    until("a second refusal", || (sidecar.reloads("rejected") == 2.0).then_some(()));
    assert_eq!(sidecar.logged("ERROR").len(), 2);
    sidecar.write(edition("second", 11));
    sidecar.signal("HUP");
    sidecar.is_under("second");
    assert_eq!(sidecar.reloads("ok"), 2.0);
    for _ in 0..100 {
        sidecar.signal("HUP");
    }
    sidecar.write(edition("third", 12));
    sidecar.signal("HUP");
    sidecar.is_under("third");
    assert!(sidecar.stop().success());
}

#[test]
fn a_hangup_reloads_at_once_what_is_watched_seldom() {
    let sidecar = Sidecar::start("1d", &edition("first", 10));
    sidecar.write(edition("second", 10));
    sidecar.signal("HUP");
    sidecar.is_under("second");
}

/// The catalog comes through a pipe, so that the start waits for it.
#[test]
fn a_hangup_during_the_start_does_not_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, log) = (dir.path().join("pipe"), dir.path().join("log"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut command = Served::command();
    command.args(["--http", "off", "--store", "memory:", "--catalog", "pipe"]).current_dir(dir.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let mut served = Served { child, grpc: String::new(), http: None, health: None };
    // Opened when the other end is.
    let mut end = fs::File::options().write(true).open(&pipe).unwrap();
    let kill = |signal: &str| Command::new("sh").args(["-c", &format!("kill -{signal} {}", served.child.id())]).status().unwrap().success();
    assert!(kill("HUP"));
    end.write_all(edition("piped", 10).as_bytes()).unwrap();
    drop(end);
    until("the signal is told of", || fs::read_to_string(&log).unwrap().contains("there is nothing to reload").then_some(()));
    assert!(kill("TERM"));
    assert!(served.child.wait().unwrap().success());
}

#[test]
fn the_bundled_catalog_has_nothing_to_reload() {
    nothing_to_reload(Sidecar::start_in(tempfile::tempdir().unwrap(), WATCHED, "bundled"));
}

#[test]
fn a_catalog_that_came_through_a_pipe_has_nothing_to_reload() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn(move || std::fs::write(pipe, edition("piped", 10)).unwrap());
    let sidecar = Sidecar::start_in(dir, WATCHED, "pipe");
    writer.join().unwrap();
    assert_eq!(sidecar.edition(), "piped");
    nothing_to_reload(sidecar);
}

fn nothing_to_reload(sidecar: Sidecar) {
    let before = sidecar.edition();
    sidecar.signal("HUP");
    until("the signal is told of", || {
        let told = sidecar.logged("INFO").iter().any(|line| line.to_string().contains("there is nothing to reload"));
        told.then_some(())
    });
    assert_eq!((sidecar.edition(), sidecar.reasons(), sidecar.reloads("ok")), (before, Vec::new(), 0.0));
    assert!(sidecar.stop().success());
}
