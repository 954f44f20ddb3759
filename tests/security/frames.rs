//! HTTP/2 by hand: a client that sends whatever frames a test wants (RFC 9113), and sees how the server takes it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::lab::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

pub(crate) struct Raw(TcpStream);

/// How a connection ended that a test has abused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With GOAWAY, by the code of its error.
    GoAway(u32),
    Closed,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header as a literal that nobody keeps (RFC 7541, 6.2.2). Both texts must be shorter than 127 bytes.
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    let mut header = vec![0];
    for text in [name, value] {
        header.push(u8::try_from(text.len()).ok().filter(|len| *len < 127).unwrap());
        header.extend(text.as_bytes());
    }
    header
}

/// The head of a call.
pub(crate) fn call(path: &str, token: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &format!("Bearer {token}")),
    ];
    headers.iter().flat_map(|(name, value)| header(name, value)).collect()
}

impl Raw {
    /// Connects and says nothing.
    pub(crate) fn silent(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// Connects and says that it is HTTP/2.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let mut raw = Self::silent(address)?;
        raw.send(PREFACE)?;
        raw.send(&frame(SETTINGS, 0, 0, &[]))?;
        Ok(raw)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// The next frame: its kind, flags, stream and payload.
    pub(crate) fn next(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.0.read_exact(&mut payload)?;
        Ok((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// Waits until the server has answered everything before, by a ping.
    pub(crate) fn is_heard(&mut self) -> io::Result<()> {
        self.send(&frame(PING, 0, 0, b"heard me"))?;
        loop {
            if let (PING, ACK, _, payload) = self.next()?
                && payload == b"heard me"
            {
                return Ok(());
            }
        }
    }

    /// Reads until the server ends the connection, and answers when it is asked whether it lives.
    pub(crate) fn end(mut self) -> Ended {
        loop {
            match self.next() {
                Ok((GOAWAY, _, _, payload)) => {
                    let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                    if code != 0 {
                        return Ended::GoAway(code);
                    }
                }
                Ok((PING, 0, _, payload)) => {
                    // It may be gone by now.
                    let _ = self.send(&frame(PING, ACK, 0, &payload));
                }
                Ok(_) => {}
                Err(error) => {
                    assert!(
                        !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
                        "the server keeps the connection"
                    );
                    return Ended::Closed;
                }
            }
        }
    }

    /// True: nothing comes for a moment, and the connection is there.
    pub(crate) fn is_open(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let open = loop {
            match self.0.read(&mut buffer) {
                Ok(0) => break false,
                Ok(_) => {}
                Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
            }
        };
        self.0.set_nonblocking(false).unwrap();
        self.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        open
    }
}
