//! The servers' protocol, as far as the lab itself speaks it: one command, one reply.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longer than any command of the lab takes; a server that is stopped must not stop the test.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What a server says to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Nil,
    Integer(i64),
    /// Of either kind of string.
    Text(Vec<u8>),
    /// Begins with its code, such as `NOAUTH`.
    Error(String),
    Array(Vec<Reply>),
}

impl Reply {
    /// The elements of an array.
    pub(crate) fn array(self) -> Vec<Self> {
        match self {
            Self::Array(elements) => elements,
            other => panic!("not an array: {other:?}"),
        }
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text,
            other => panic!("not a string: {other:?}"),
        }
    }
}

/// As a command line client prints it where nobody looks on: bare, an element a line.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => Ok(()),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&String::from_utf8_lossy(text)),
            Self::Error(text) => f.write_str(text),
            Self::Array(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if at == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
        }
    }
}

trait Stream: Read + Write + Send {
    fn answer_within(&self, limit: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn answer_within(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }
}

impl Stream for UnixStream {
    fn answer_within(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }
}

/// A blocking connection. After an error it must not be used again.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

impl Connection {
    pub(crate) fn tcp(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), ANSWER_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        Self::on(Box::new(stream))
    }

    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        Self::on(Box::new(stream))
    }

    fn on(stream: Box<dyn Stream>) -> io::Result<Self> {
        stream.answer_within(ANSWER_WITHIN)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// How long [`Connection::receive`] waits; then it fails with `WouldBlock`, and may be called again if nothing had come.
    pub(crate) fn patience(&self, limit: Duration) -> io::Result<()> {
        self.stream.get_ref().answer_within(limit)
    }

    /// Sends one command and reads what is said to it.
    pub(crate) fn ask<T: AsRef<[u8]>>(&mut self, command: &[T]) -> io::Result<Reply> {
        self.send(command)?;
        self.receive()
    }

    /// Sends one command; its reply is still to be read.
    pub(crate) fn send<T: AsRef<[u8]>>(&mut self, command: &[T]) -> io::Result<()> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for part in command.iter().map(AsRef::as_ref) {
            bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes)
    }

    /// The next reply.
    pub(crate) fn receive(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some(line) = line.strip_suffix("\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let (sign, rest) = line.split_at_checked(1).ok_or_else(|| broken(line))?;
        let number = || rest.parse::<i64>().map_err(|_| broken(line));
        Ok(match sign {
            "+" => Reply::Text(rest.as_bytes().to_vec()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Ok(len) => {
                    let mut text = vec![0; len + 2];
                    self.stream.read_exact(&mut text)?;
                    text.truncate(len);
                    Reply::Text(text)
                }
                Err(_) => Reply::Nil,
            },
            "*" => match usize::try_from(number()?) {
                Ok(len) => Reply::Array((0..len).map(|_| self.receive()).collect::<io::Result<_>>()?),
                Err(_) => Reply::Nil,
            },
            _ => return Err(broken(line)),
        })
    }
}

fn broken(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not the protocol: {line:?}"))
}
