//! Why a link does not come about: which host, what is wrong there, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

/// Why a link does not come about, with a hint on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}\nhint: {hint}", hint = .0.hint())]
pub struct LinkError(#[from] pub Obstacle);

/// What is in the way of a connection. Messages hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("cannot read {what}: `{}`: {reason}", path.display())]
    File { what: &'static str, path: PathBuf, reason: String },
    #[error("no {what} in the file: `{}`", path.display())]
    EmptyFile { what: &'static str, path: PathBuf },
    #[error("the certificate and its key do not fit: {0}")]
    Identity(String),
    #[error("the system has no certificates of authorities")]
    NoAuthorities,
    #[error("cannot connect to {host}: {reason}")]
    Connect { host: String, reason: String },
    #[error("no TLS with {host}: {reason}")]
    Tls { host: String, reason: String },
    #[error("{host} hangs up")]
    HungUp { host: String, encrypted: bool },
    #[error("{host} does not answer within {within:?}")]
    Silent { host: String, within: Duration },
    #[error("{host} refuses the login: {code} {message}")]
    Login { host: String, code: String, message: String },
    #[error("{host} refuses `{command}`: {code} {message}")]
    Refused { host: String, command: &'static str, code: String, message: String },
    #[error("{host} does not speak as a Redis does: {reason}")]
    Protocol { host: String, reason: String },
    #[error("{host} is no primary: its role is `{role}`")]
    Role { host: String, role: String },
    #[error("no sentinel names the primary of `{service}`: {}", reasons.join("; "))]
    Sentinels { service: String, reasons: Vec<String> },
    #[error("no node of the cluster answers: {}", reasons.join("; "))]
    Cluster { reasons: Vec<String> },
    #[error("the cluster serves only {served} of 16384 slots")]
    Slots { served: usize },
}

impl Obstacle {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::EmptyFile { .. } => "name a file that the process may read",
            Self::Identity(_) => "`redis.tls_cert` and `redis.tls_key` name a certificate and the key that belongs to it",
            Self::NoAuthorities => "name the authority that signed the server's certificate: `redis.tls_ca`",
            Self::Connect { .. } => "is the server running, and is its address right?",
            Self::Tls { .. } => {
                "does the server speak TLS on this port, does `redis.tls_ca` name who signed its certificate, and does it want ours \
                 (`redis.tls_cert`)?"
            }
            Self::HungUp { encrypted: true, .. } => "does the server want our certificate (`redis.tls_cert`, `redis.tls_key`)?",
            Self::HungUp { encrypted: false, .. } => "does the server expect TLS (`rediss://`), or has it too many clients?",
            Self::Silent { .. } => "the server is reached and says nothing: it may be stopped or blocked, or expect TLS (`rediss://`)",
            Self::Login { code, .. } if code == "ERR" => "the server has no password for this user: name none",
            Self::Login { .. } => "check `redis.username` and `redis.password` or `redis.password_file`",
            Self::Refused { code, .. } if code == "NOAUTH" => "the server wants a password: `redis.password` or `redis.password_file`",
            Self::Refused { code, .. } if code == "NOPERM" => "allow the command: `ACL SETUSER USER +COMMAND`",
            Self::Refused { code, .. } if code == "LOADING" => "the server reads its data; it will answer by itself",
            Self::Refused { code, .. } if code == "BUSY" => "somebody's script blocks the server: `SCRIPT KILL` ends it",
            Self::Refused { command, .. } if command.starts_with("CLUSTER") => "is it a node of a cluster? If not, write `redis://`",
            Self::Refused { .. } => "see the server's log",
            Self::Protocol { .. } => "is it a Redis or Valkey that listens there, and does it expect TLS (`rediss://`)?",
            Self::Role { .. } => "name the primary, or let sentinels name it: `redis+sentinel://`",
            Self::Sentinels { .. } => "do the sentinels run, and do they watch a service of this name?",
            Self::Cluster { .. } => "do the nodes run, and are their addresses right?",
            Self::Slots { .. } => "give the slots to a node: `redis-cli --cluster fix`",
        }
    }
}
