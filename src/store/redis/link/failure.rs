//! What a failed call means: whether the command was carried out, and what may help. One table, by the leading code of the server's error.

use redis::RedisError;

/// Why a command gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::store::redis) enum Failure {
    /// It was certainly not carried out.
    #[error("{code}: {message}{}", hint(.code))]
    NotApplied {
        /// The server's, or `DOWN` where nothing was sent.
        code: String,
        message: String,
        /// Whether asking again soon may help.
        retry: bool,
    },
    /// It may have been carried out.
    #[error("{reason}")]
    Unknown {
        reason: String,
        /// Nothing came at all, as opposed to a connection that broke.
        silent: bool,
    },
    /// The server does not know the script by its hash.
    #[error("the server does not know the script")]
    NoScript,
    /// A script raised an error: a defect, and perhaps half done.
    #[error("{message}")]
    Script { message: String },
}

impl Failure {
    pub(super) fn down(reason: &str) -> Self {
        Self::NotApplied { code: "DOWN".to_owned(), message: reason.to_owned(), retry: true }
    }

    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_connection_refusal() {
            return Self::down(&error.to_string());
        }
        if error.is_timeout() {
            return Self::Unknown { reason: "no answer in time".to_owned(), silent: true };
        }
        let not_applied =
            |code: &str, retry| Self::NotApplied { code: code.to_owned(), message: error.detail().unwrap_or_default().to_owned(), retry };
        match error.code() {
            Some("NOSCRIPT") => Self::NoScript,
            Some(code @ ("LOADING" | "BUSY" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "ASK" | "TRYAGAIN")) => {
                not_applied(code, true)
            }
            Some(code @ ("OOM" | "MISCONF" | "NOREPLICAS" | "CROSSSLOT" | "NOPERM" | "WRONGPASS" | "NOAUTH" | "WRONGTYPE")) => {
                not_applied(code, false)
            }
            Some(_) => Self::Script { message: error.to_string() },
            // No answer of a server: the connection broke, before or after the server heard.
            None => Self::Unknown { reason: error.to_string(), silent: false },
        }
    }
}

/// The next step for whoever keeps the server.
fn hint(code: &str) -> &'static str {
    match code {
        "OOM" => "\nhint: raise `maxmemory` of the server; settlements go on meanwhile",
        "MISCONF" => "\nhint: the server cannot write to its disk; free space there",
        "NOREPLICAS" => "\nhint: too few replicas are in sync for `min-replicas-to-write`",
        "NOPERM" => "\nhint: `genquota store check` names the commands that the user needs",
        "WRONGPASS" | "NOAUTH" => "\nhint: see `redis.username`, `redis.password` and `redis.password_file`",
        _ => "",
    }
}
