//! One server: started, killed, frozen and started again, always on the same port and directory.
//!
//! The lab itself speaks to it through its unix socket, so what a test does to the port is between the test and the server.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::{Authority, Certificate, Connection, Kind, Reply, wait_for};

/// Of the log, what a failed test shows.
const LOG_LINES_SHOWN: usize = 30;
/// Starts on one server's behalf, each on another port: to lose one race is bad luck, to lose so many is another fault.
const STARTS_MAX: usize = 10;

/// After so long a node that says nothing is taken for dead: short for a test, long for a machine that does much else.
const CLUSTER_NODE_TIMEOUT_MS: u32 = 1000;

/// What a server keeps when it is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aof {
    /// Nothing.
    #[default]
    Off,
    /// All that the kernel was told, for a process; up to about a second less, for a machine.
    Everysec,
    /// All that was answered.
    Always,
}

/// How a server is set up. The default keeps nothing, asks for no password and listens on loopback.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    aof: Aof,
    password: Option<String>,
    role: Role,
    tls: Option<Tls>,
    /// Lines of the configuration file: name and value.
    lines: Vec<(String, String)>,
}

/// Nothing but TLS on the port.
#[derive(Clone, Debug)]
struct Tls {
    authority: Authority,
    certificate: Certificate,
    clients: Clients,
}

/// Whether a client must show a certificate of the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Any,
    Certified,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Alone,
    /// One more port is for the other nodes.
    ClusterNode,
    /// It keeps no data; it watches those who do.
    Sentinel,
}

impl Settings {
    pub(crate) fn aof(mut self, aof: Aof) -> Self {
        self.aof = aof;
        self
    }

    /// The password of the user `default`.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// TLS on the port, with a certificate of this authority. Redis 7 alone has it here.
    pub(crate) fn tls(mut self, authority: &Authority, clients: Clients) -> Self {
        self.tls = Some(Tls { authority: authority.clone(), certificate: authority.issue("server"), clients });
        self
    }

    pub(super) fn cluster_node(mut self) -> Self {
        self.role = Role::ClusterNode;
        self
    }

    /// Of a sentinel that watches servers with these settings.
    pub(super) fn of_sentinel(&self) -> Self {
        Self { role: Role::Sentinel, tls: self.tls.clone(), ..Self::default() }
    }

    pub(super) fn password_set(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The scheme of an address where nothing else is said.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "rediss" } else { "redis" }
    }

    /// What stands before the host in an address.
    pub(super) fn login(&self) -> String {
        self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default()
    }

    /// One more line of the configuration file, such as `("maxmemory", "4mb")`.
    pub(crate) fn line(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub(crate) struct Server {
    kind: Kind,
    settings: Settings,
    port: u16,
    /// Where the other nodes of a cluster reach it.
    bus_port: Option<u16>,
    dir: TempDir,
    /// None while it is killed.
    process: Option<Process>,
}

impl Server {
    /// Starts it on a port that the system picked, and waits until it answers.
    pub(crate) fn start(kind: Kind, settings: Settings) -> Self {
        for _ in 0..STARTS_MAX {
            let dir = tempfile::Builder::new().prefix("lab-").tempdir().unwrap();
            let bus_port = (settings.role == Role::ClusterNode).then(free_port);
            let mut server = Self { kind, settings: settings.clone(), port: free_port(), bus_port, dir, process: None };
            server.write_settings();
            if server.launch_and_wait() {
                return server;
            }
        }
        panic!("no free port in {STARTS_MAX} attempts");
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn bus_port(&self) -> Option<u16> {
        self.bus_port
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// As a client is told it, with the password if there is one.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", self.settings.scheme(), self.settings.login(), self.address())
    }

    /// The same through the unix socket, which never speaks TLS.
    pub(crate) fn socket_url(&self) -> String {
        format!("redis+unix://{}{}", self.settings.login(), self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Where it keeps its files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All that it and its predecessors in this directory wrote to their log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL: no chance to write anything more. The process is gone when this returns.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Kills it if it still runs, starts it on the same port and directory, and waits until it answers with all its data loaded.
    pub(crate) fn restart(&mut self) {
        self.kill();
        // Somebody's outgoing connection may have the port for a moment.
        wait_for("the port of a killed server", || self.launch_and_wait().then_some(()));
    }

    /// The same without waiting: it may not listen yet, or still be loading.
    pub(crate) fn restart_without_waiting(&mut self) {
        self.kill();
        self.launch();
    }

    /// SIGSTOP: connections stay open, the kernel still accepts, and nothing is answered.
    pub(crate) fn pause(&self) {
        self.running().signal("STOP");
    }

    /// SIGCONT: it answers what was sent meanwhile.
    pub(crate) fn resume(&self) {
        self.running().signal("CONT");
    }

    /// The reply to one command, printed as `redis-cli` prints it.
    ///
    /// # Panics
    /// If there is no reply, or it is an error; [`Server::ask`] is for commands that may fail.
    pub(crate) fn command(&self, command: &[&str]) -> String {
        match self.ask(command) {
            Ok(Reply::Error(error)) => panic!("{command:?}: {error}"),
            Ok(reply) => reply.to_string(),
            Err(error) => panic!("{command:?}: {error}\n{}", self.log_end()),
        }
    }

    /// The reply to one command on a connection of its own.
    pub(crate) fn ask<T: AsRef<[u8]>>(&self, command: &[T]) -> io::Result<Reply> {
        self.connect()?.ask(command)
    }

    /// A connection through the unix socket, logged in.
    pub(crate) fn connect(&self) -> io::Result<Connection> {
        let mut connection = Connection::unix(&self.socket())?;
        if let Some(password) = &self.settings.password {
            match connection.ask(&["AUTH", password])? {
                Reply::Error(error) => return Err(io::Error::new(io::ErrorKind::PermissionDenied, error)),
                _ => return Ok(connection),
            }
        }
        Ok(connection)
    }

    /// The value of a field of `INFO`.
    pub(crate) fn info(&self, field: &str) -> Option<String> {
        let info = self.command(&["INFO", "everything"]);
        info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(|value| value.trim_end().to_owned())
    }

    /// Replicas that have its data and are sent every write from now on.
    ///
    /// A replica that calls its link up may still be sent nothing until it has first confirmed something, which it does each second.
    pub(super) fn replicas_following(&self) -> usize {
        let info = self.command(&["INFO", "replication"]);
        let replicas = info.lines().filter(|line| line.starts_with("slave") && line.contains("state=online"));
        replicas.filter(|line| line.contains("offset=") && !line.contains("offset=0,")).count()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server is killed")
    }

    /// In a file, so that the server can write down what it is told at run time, as `CONFIG REWRITE` and a change of role do.
    fn write_settings(&self) {
        let socket = self.socket();
        let append_only = if self.settings.aof == Aof::Off { "no" } else { "yes" };
        let fsync = if self.settings.aof == Aof::Always { "always" } else { "everysec" };
        let mut lines =
            vec![("bind", "127.0.0.1".to_owned()), ("unixsocket", socket.to_str().unwrap().to_owned()), ("daemonize", "no".to_owned())];
        if self.settings.role != Role::Sentinel {
            lines.extend([
                ("save", String::new()),
                ("appendonly", append_only.to_owned()),
                ("appendfsync", fsync.to_owned()),
                // With the usual five seconds a replica is empty for as long, and nobody to fail over to.
                ("repl-diskless-sync-delay", "0".to_owned()),
                // So that a replica soon has something to confirm.
                ("repl-ping-replica-period", "1".to_owned()),
            ]);
        }
        match &self.settings.tls {
            None => lines.push(("port", self.port.to_string())),
            Some(tls) => lines.extend(tls_lines(tls, self.port)),
        }
        if let Some(bus_port) = self.bus_port {
            lines.extend([
                ("cluster-enabled", "yes".to_owned()),
                ("cluster-port", bus_port.to_string()),
                ("cluster-announce-ip", "127.0.0.1".to_owned()),
                ("cluster-node-timeout", CLUSTER_NODE_TIMEOUT_MS.to_string()),
            ]);
        }
        if let Some(password) = &self.settings.password {
            lines.push(("requirepass", password.clone()));
            lines.push(("masterauth", password.clone()));
        }
        let lines =
            lines.iter().map(|(name, value)| (*name, value)).chain(self.settings.lines.iter().map(|(name, value)| (name.as_str(), value)));
        let text: String =
            lines.map(|(name, value)| if value.is_empty() { format!("{name} \"\"\n") } else { format!("{name} {value}\n") }).collect();
        std::fs::write(self.dir.path().join("server.conf"), text).unwrap();
    }

    fn launch(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let log = File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(self.kind.program());
        command.arg("server.conf");
        if self.settings.role == Role::Sentinel {
            command.arg("--sentinel");
        }
        command.current_dir(self.dir.path()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(Process::spawn(&mut command));
    }

    /// False: another process has the port.
    fn launch_and_wait(&mut self) -> bool {
        self.launch();
        let up = wait_for("a server to answer", || {
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                assert!(self.log_end().contains("already in use"), "the server ended with {status}\n{}", self.log_end());
                return Some(false);
            }
            matches!(self.ask(&["PING"]), Ok(Reply::Text(text)) if text == b"PONG").then_some(true)
        });
        if !up {
            self.process = None;
        }
        up
    }

    pub(super) fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            eprintln!("the log of {:?} on port {} ends:\n{}", self.kind, self.port, self.log_end());
        }
    }
}

/// What servers say to one another is said in TLS too.
fn tls_lines(tls: &Tls, port: u16) -> [(&'static str, String); 8] {
    let file = |path: &Path| path.to_str().expect("the test's own path").to_owned();
    [
        ("port", "0".to_owned()),
        ("tls-port", port.to_string()),
        ("tls-ca-cert-file", file(&tls.authority.file())),
        ("tls-cert-file", file(&tls.certificate.certificate)),
        ("tls-key-file", file(&tls.certificate.key)),
        ("tls-auth-clients", if tls.clients == Clients::Certified { "yes" } else { "no" }.to_owned()),
        ("tls-replication", "yes".to_owned()),
        ("tls-cluster", "yes".to_owned()),
    ]
}

/// A port that nobody has at this moment.
pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
