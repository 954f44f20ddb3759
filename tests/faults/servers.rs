//! A server that is killed, frozen and started again.

use std::time::{Duration, Instant};

use super::lab::{Aof, Connection, Kind, PATIENCE, Reply, Server, Settings};

#[test]
fn killed_server_with_a_log_has_what_it_answered_and_is_where_it_was() {
    for aof in [Aof::Always, Aof::Everysec] {
        let mut server = Server::start(Kind::Redis7, Settings::default().aof(aof));
        let address = server.address();
        server.command(&["SET", "key", "kept"]);
        server.kill();
        assert!(server.ask(&["PING"]).is_err(), "it still answers");
        server.restart();
        assert_eq!((server.command(&["GET", "key"]).as_str(), server.address()), ("kept", address));
    }
}

#[test]
fn killed_server_without_a_log_is_empty() {
    let mut server = Server::start(Kind::Redis7, Settings::default());
    server.command(&["SET", "key", "lost"]);
    let run = server.info("run_id");
    server.kill();
    server.restart();
    assert_eq!(server.ask(&["GET", "key"]).unwrap(), Reply::Nil);
    assert_ne!(server.info("run_id"), run);
}

#[test]
fn frozen_server_answers_when_it_is_woken() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let mut connection = server.connect().unwrap();
    server.pause();
    let frozen = Duration::from_millis(300);
    let (told, began) = (std::sync::Barrier::new(2), Instant::now());
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            told.wait();
            (connection.ask(&["INCR", "key"]).unwrap(), began.elapsed())
        });
        told.wait();
        while began.elapsed() < frozen {
            std::thread::yield_now();
        }
        assert!(!asked.is_finished(), "a frozen server answered");
        server.resume();
        let (reply, after) = asked.join().unwrap();
        assert_eq!(reply, Reply::Integer(1));
        assert!(after >= frozen);
    });
}

#[test]
fn password_and_settings_are_those_of_the_test() {
    let settings = Settings::default().password("s3cret").line("maxmemory", "4mb").line("maxmemory-policy", "noeviction");
    let server = Server::start(Kind::Redis7, settings);
    assert!(server.command(&["CONFIG", "GET", "maxmemory"]).ends_with("4194304"));
    assert_eq!(server.url(), format!("redis://:s3cret@127.0.0.1:{}", server.port()));
    assert_eq!(server.socket_url(), format!("redis+unix://:s3cret@{}/socket", server.dir().display()));
    let mut stranger = Connection::tcp(server.port()).unwrap();
    assert!(matches!(stranger.ask(&["PING"]).unwrap(), Reply::Error(error) if error.starts_with("NOAUTH")));
}

#[test]
fn many_servers_at_once_have_ports_of_their_own() {
    let servers: Vec<Server> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| Server::start(Kind::Redis7, Settings::default()))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for server in &servers {
        assert_eq!(server.info("tcp_port"), Some(server.port().to_string()));
    }
}

/// Plays both parts: told so by its environment, it is the test that dies.
#[test]
fn test_that_is_aborted_leaves_no_server_behind() {
    const PART: &str = "LAB_TEST_THAT_DIES";
    if std::env::var_os(PART).is_some() {
        let server = Server::start(Kind::Redis7, Settings::default());
        // On a line of its own, whatever the harness has printed.
        println!("\nport {}", server.port());
        std::process::abort();
    }
    let mut dying = std::process::Command::new(std::env::current_exe().unwrap());
    dying.args(["--exact", "servers::test_that_is_aborted_leaves_no_server_behind", "--nocapture"]).env(PART, "yes");
    let dir = tempfile::tempdir().unwrap();
    let output = dying.env("TMPDIR", dir.path()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let port = said.lines().find_map(|line| line.strip_prefix("port ")).unwrap().parse().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while Connection::tcp(port).is_ok() {
        assert!(Instant::now() < deadline, "the server on port {port} has outlived its test");
        std::thread::yield_now();
    }
}
