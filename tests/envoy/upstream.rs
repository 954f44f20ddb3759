//! A model over HTTP that does what the request says: `x-play` how, `x-answer` with which status, `x-say` with which headers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use crate::lab::PATIENCE;

/// A model that runs in threads of its own.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    /// Set: whoever waits at the gate goes on.
    is_open: Mutex<bool>,
    gate: Condvar,
}

/// A request, as it came through Envoy.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, shared) = (listener.local_addr().unwrap().port(), Arc::new(Shared::default()));
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = serving.clone();
                // A client that goes away breaks the pipe, which is what some tests are about.
                std::thread::spawn(move || serve(&stream, &shared).ok());
            }
        });
        Self { port, shared }
    }

    /// What has come through so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// Lets requests go on that wait at the gate.
    pub(crate) fn open_gate(&self) {
        *self.shared.is_open.lock().unwrap() = true;
        self.shared.gate.notify_all();
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let heard = hear(&mut reader)?;
    shared.heard.lock().unwrap().push(heard.clone());
    let status = heard.header("x-answer").unwrap_or("200").to_owned();
    let said: String = heard
        .header("x-say")
        .unwrap_or_default()
        .split(' ')
        .filter_map(|pair| pair.split_once('='))
        .fold(String::new(), |said, (name, value)| said + &format!("{name}: {value}\r\n"));
    let head = format!("HTTP/1.1 {status} Whatever\r\nconnection: close\r\n{said}");
    let mut writer = stream;
    match heard.header("x-play") {
        // Nothing is answered; the end of the connection is waited for.
        Some("silent") => {
            reader.read_to_end(&mut Vec::new())?;
        }
        // The answer waits at the gate.
        Some("gated") => {
            wait_at(shared);
            write!(writer, "{head}content-length: 4\r\n\r\nmade")?;
        }
        // The answer begins, and its end waits at the gate.
        Some("stream") => {
            write!(writer, "{head}transfer-encoding: chunked\r\n\r\n4\r\nmade\r\n")?;
            writer.flush()?;
            wait_at(shared);
            write!(writer, "5\r\n-more\r\n0\r\n\r\n")?;
        }
        // The answer begins, and breaks off at the gate.
        Some("broken") => {
            write!(writer, "{head}transfer-encoding: chunked\r\n\r\n4\r\nmade\r\n")?;
            writer.flush()?;
            wait_at(shared);
        }
        Some(other) => panic!("no such play: {other}"),
        None => write!(writer, "{head}content-length: 4\r\n\r\nmade")?,
    }
    writer.flush()
}

fn wait_at(shared: &Shared) {
    let is_open = shared.is_open.lock().unwrap();
    drop(shared.gate.wait_timeout_while(is_open, PATIENCE, |is_open| !*is_open).unwrap());
}

/// Reads a request, its body too.
fn hear(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Heard> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let heard = Heard { path, headers };
    let length = heard.header("content-length").map_or(0, |length| length.parse().unwrap());
    reader.read_exact(&mut vec![0; length])?;
    Ok(heard)
}
