//! The proxy cuts, loses, holds and delays where it was told to, and nowhere else.

use std::io;
use std::time::{Duration, Instant};

use super::lab::frames::{Foreign, command, first_len};
use super::lab::{Connection, Direction, Fault, Kind, Proxy, Reply, Server, Settings};

/// Longer than an answer on loopback takes, also on a machine that does much else; a test waits it out in vain where none must come.
const SILENCE: Duration = Duration::from_millis(300);

fn behind_proxy() -> (Server, Proxy) {
    let server = Server::start(Kind::Redis7, Settings::default());
    let proxy = Proxy::start(&server.address());
    (server, proxy)
}

fn connect(proxy: &Proxy) -> Connection {
    Connection::tcp(proxy.port()).expect("the proxy listens")
}

fn increment(connection: &mut Connection) -> io::Result<Reply> {
    connection.ask(&["INCR", "key"])
}

/// What the server itself has counted.
fn counted(server: &Server) -> String {
    server.command(&["GET", "key"])
}

fn assert_ended(reply: &io::Result<Reply>) {
    assert!(reply.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock), "the connection is open: {reply:?}");
}

#[test]
fn request_cut_short_is_never_run() {
    // The whole request has 23 bytes.
    for after_bytes in [0, 1, 13, 22] {
        let (server, proxy) = behind_proxy();
        let mut connection = connect(&proxy);
        assert_eq!(increment(&mut connection).unwrap(), Reply::Integer(1));
        proxy.strike("INCR", Fault::CutRequest { after_bytes });
        assert_ended(&increment(&mut connection));
        assert_eq!((proxy.faults_left(), counted(&server).as_str()), (0, "1"));
        assert_eq!(increment(&mut connect(&proxy)).unwrap(), Reply::Integer(2), "a fault strikes once");
    }
}

#[tokio::test]
async fn request_cut_behind_its_last_byte_is_run() {
    let (server, proxy) = behind_proxy();
    let mut connection = connect(&proxy);
    proxy.strike("", Fault::CutRequest { after_bytes: usize::MAX });
    assert_ended(&increment(&mut connection));
    proxy.struck().await;
    // The client knows nothing before the server has read it; that it is run is a matter of a moment.
    let deadline = Instant::now() + super::lab::PATIENCE;
    while counted(&server) != "1" {
        assert!(Instant::now() < deadline, "the request is not run");
    }
}

#[test]
fn reply_cut_short_belongs_to_a_request_that_was_run() {
    for after_bytes in [0, 1, 3] {
        let (server, proxy) = behind_proxy();
        let mut connection = connect(&proxy);
        proxy.strike("INCR", Fault::CutReply { after_bytes });
        assert_eq!(connection.ask(&["PING"]).unwrap(), Reply::Text(b"PONG".to_vec()), "another command goes through");
        let before = proxy.counts().reply_bytes;
        assert_ended(&increment(&mut connection));
        assert_eq!(counted(&server), "1");
        assert_eq!(proxy.counts().reply_bytes - before, after_bytes);
    }
}

#[test]
fn lost_replies_are_silence_and_then_the_end() {
    let (server, proxy) = behind_proxy();
    let mut connection = connect(&proxy);
    proxy.strike("INCR", Fault::LoseReplies { count: 3 });
    for _ in 0..2 {
        connection.send(&["INCR", "key"]).unwrap();
    }
    connection.patience(SILENCE).unwrap();
    assert_eq!(connection.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(counted(&server), "2");
    connection.send(&["INCR", "key"]).unwrap();
    connection.patience(super::lab::PATIENCE).unwrap();
    assert_ended(&connection.receive());
    assert_eq!((counted(&server).as_str(), proxy.counts().replies), ("3", 3));
}

#[test]
fn held_bytes_pass_later_or_are_lost() {
    for direction in [Direction::Requests, Direction::Replies] {
        let (server, proxy) = behind_proxy();
        let mut connection = connect(&proxy);
        proxy.hold(direction);
        connection.send(&["INCR", "key"]).unwrap();
        connection.patience(SILENCE).unwrap();
        assert_eq!(connection.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(server.ask(&["GET", "key"]).unwrap() == Reply::Nil, direction == Direction::Requests);
        connection.patience(super::lab::PATIENCE).unwrap();
        proxy.clear();
        assert_eq!(connection.receive().unwrap(), Reply::Integer(1));

        proxy.hold(direction);
        connection.send(&["INCR", "key"]).unwrap();
        // Read by the proxy, which is as far as it gets.
        while proxy.counts().requests < 2 || (direction == Direction::Replies && proxy.counts().replies < 2) {
            std::thread::yield_now();
        }
        proxy.close_all();
        proxy.clear();
        assert_ended(&connection.receive());
        assert_eq!(counted(&server), if direction == Direction::Requests { "1" } else { "2" });
    }
}

#[test]
fn delayed_replies_come_late_and_whole() {
    let (_server, proxy) = behind_proxy();
    let mut connection = connect(&proxy);
    proxy.delay(Direction::Replies, SILENCE);
    let began = Instant::now();
    for _ in 0..3 {
        connection.send(&["INCR", "key"]).unwrap();
    }
    for number in 1..=3 {
        assert_eq!(connection.receive().unwrap(), Reply::Integer(number));
    }
    let took = began.elapsed();
    assert!(took >= SILENCE, "{took:?}");
    proxy.clear();
    assert_eq!(increment(&mut connection).unwrap(), Reply::Integer(4));
}

#[test]
fn refusal_is_for_who_comes_and_closing_for_who_is_there() {
    let (_server, proxy) = behind_proxy();
    let mut connection = connect(&proxy);
    assert_eq!(increment(&mut connection).unwrap(), Reply::Integer(1));
    proxy.refuse();
    assert_eq!(Connection::tcp(proxy.port()).err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(increment(&mut connection).unwrap(), Reply::Integer(2));
    proxy.clear();
    assert_eq!(increment(&mut connect(&proxy)).unwrap(), Reply::Integer(3));
    proxy.close_all();
    assert_ended(&increment(&mut connection));
    assert_eq!(proxy.counts().open, 0);
}

#[test]
fn bytes_of_another_protocol_go_through_unread() {
    let (server, proxy) = behind_proxy();
    let replica = Server::start(Kind::Redis7, Settings::default().line("replicaof", &proxy.address().replace(':', " ")));
    server.command(&["SET", "key", "copied"]);
    let deadline = Instant::now() + super::lab::PATIENCE;
    while replica.command(&["GET", "key"]) != "copied" {
        assert!(Instant::now() < deadline, "the replica never had it\n{}", replica.log());
        std::thread::yield_now();
    }
}

#[test]
fn every_kind_of_value_ends_where_it_ends_and_not_before() {
    let values: [&[u8]; 9] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"$-1\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"*-1\r\n",
        b"*2\r\n*1\r\n:1\r\n$0\r\n\r\n",
        b"%1\r\n+key\r\n:1\r\n",
        b"|1\r\n+ttl\r\n:1\r\n*1\r\n_\r\n",
    ];
    for value in values {
        for len in 0..value.len() {
            assert_eq!(first_len(&value[..len]), Ok(None), "{}", value[..len].escape_ascii());
        }
        let with_more = [value, b"+more\r\n"].concat();
        assert_eq!(first_len(&with_more), Ok(Some(value.len())), "{}", value.escape_ascii());
    }
    assert_eq!(first_len(b"\x16\x03\x01"), Err(Foreign), "a handshake of TLS is not the protocol");
    assert_eq!(command(b"*2\r\n$7\r\nevalSHA\r\n$1\r\nx\r\n"), "EVALSHA");
}
