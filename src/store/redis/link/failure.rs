//! What becomes of a command that was not answered as it should be: carried out, not carried out, or nobody knows.
//!
//! The one place that says so. "Not applied" is said only where it is certain; the leading code of an error counts, never its text, which
//! differs from server to server. One thing is read from the text: servers mark what was raised inside a script.

use redis::{RedisError, ServerError};

/// How servers end an error that was raised while a script ran.
const RAISED_INSIDE: [&str; 2] = [" script: ", "@user_"];

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The command was certainly not carried out.
    #[error("{code}: {message}{}", hint(.code))]
    NotApplied {
        /// The server's, or [`Failure::DOWN`].
        code: String,
        message: String,
        /// True: it may be another matter in a moment. False: somebody must act first.
        retry: bool,
    },
    /// No answer came: it may have been carried out, or may still be.
    #[error("no answer: {reason}")]
    Unknown { reason: String },
    /// The server does not know the script by its hash; it was not run.
    #[error("the server does not know the script")]
    NoScript,
    /// An error raised inside a script, which keeps what it wrote before: a defect.
    #[error("the script failed: {message}")]
    Script { message: String },
}

impl Failure {
    /// The code of what was not sent, because there is no connection.
    pub const DOWN: &str = "DOWN";

    pub(super) fn down(reason: &str) -> Self {
        Self::NotApplied { code: Self::DOWN.to_owned(), message: reason.to_owned(), retry: true }
    }

    /// An error that the server sent as its reply. `script`: the command ran one.
    pub(super) fn of_reply(error: &ServerError, script: bool) -> Self {
        let code = error.code();
        let message = error.details().unwrap_or_default();
        if script && RAISED_INSIDE.iter().all(|mark| message.contains(mark)) {
            return Self::Script { message: format!("{code} {message}") };
        }
        let retry = match code {
            "NOSCRIPT" => return Self::NoScript,
            // By themselves or by a failover, soon.
            "LOADING" | "BUSY" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "ASK" | "TRYAGAIN" => true,
            // Memory, disk, replicas, rights and keys do not change by themselves.
            "OOM" | "MISCONF" | "NOREPLICAS" | "CROSSSLOT" | "NOPERM" | "NOAUTH" | "WRONGPASS" => false,
            // A script can return an error of any other code, and then it ran.
            _ if script => return Self::Script { message: format!("{code} {message}") },
            _ => false,
        };
        Self::NotApplied { code: code.to_owned(), message: message.to_owned(), retry }
    }

    /// What the client says of a command that it may have sent.
    pub(super) fn of_client(error: &RedisError) -> Self {
        Self::Unknown { reason: error.to_string() }
    }

    /// True: this answer says that the connection leads to a server that is not, or not any more, the one to ask.
    pub(super) fn asks_for_another_connection(&self) -> bool {
        let Self::NotApplied { code, .. } = self else { return false };
        // After a demotion or a restart, with another password, or with a script that blocks the server.
        matches!(code.as_str(), "READONLY" | "MASTERDOWN" | "LOADING" | "BUSY" | "NOAUTH" | "WRONGPASS")
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

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    /// Reads an error as it comes over the wire.
    fn error(text: &str) -> ServerError {
        match redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap() {
            Value::ServerError(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_not_applied_is_told_by_its_code() {
        for (text, retry) in [
            ("LOADING Redis is loading the dataset in memory", true),
            ("BUSY Redis is busy running a script.", true),
            ("READONLY You can't write against a read only replica.", true),
            ("MASTERDOWN Link with MASTER is down", true),
            ("CLUSTERDOWN Hash slot not served", true),
            ("MOVED 866 127.0.0.1:7001", true),
            ("ASK 866 127.0.0.1:7001", true),
            ("TRYAGAIN Multiple keys request during rehashing of slot", true),
            ("OOM command not allowed when used memory > 'maxmemory'.", false),
            ("MISCONF Errors writing to the AOF file", false),
            ("NOREPLICAS Not enough good replicas to write.", false),
            ("CROSSSLOT Keys in request don't hash to the same slot", false),
            ("NOPERM this user has no permissions to run the 'evalsha' command", false),
            ("NOAUTH Authentication required.", false),
            ("WRONGPASS invalid username-password pair or user is disabled.", false),
        ] {
            let code = text.split(' ').next().unwrap().to_owned();
            for script in [true, false] {
                let failure = Failure::of_reply(&error(text), script);
                let Failure::NotApplied { code: found, retry: may_pass, .. } = failure else { panic!("{text}: {failure:?}") };
                assert_eq!((found, may_pass), (code.clone(), retry), "{text}");
            }
        }
        assert_eq!(Failure::of_reply(&error("NOSCRIPT No matching script. Please use EVAL."), true), Failure::NoScript);
    }

    #[test]
    fn what_a_script_raised_or_returned_may_be_half_done() {
        for text in [
            "ERR user_script:2: attempt to perform arithmetic on a nil value script: a42db5aa, on @user_script:2.",
            "WRONGTYPE Operation against a key holding the wrong kind of value script: a42db5aa, on @user_script:2.",
            "OOM command not allowed when used memory > 'maxmemory'. script: a42db5aa, on @user_script:1.",
            "READONLY You can't write against a read only replica. script: a42db5aa, on @user_script:1.",
            "ERR anything",
            "OWN returned",
        ] {
            let failure = Failure::of_reply(&error(text), true);
            assert_eq!(failure, Failure::Script { message: text.to_owned() });
        }
        // Of a plain command every error is an answer.
        assert!(matches!(Failure::of_reply(&error("ERR unknown command"), false), Failure::NotApplied { retry: false, .. }));
    }
}
