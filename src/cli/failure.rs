//! Why a command did not do what it was asked to do, told to people or as JSON, always on stderr.
//!
//! Owns the words and the exit code of every failure. A denial is an answer and not among them.

use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::exit::{self, Exit};
use crate::catalog::Problems;
use crate::client::{ConnectError, ServerAddress, reason_named};
use crate::config::ConfigError;
use crate::proto::v1::ErrorReason;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    Config(ConfigError),
    /// What was given makes no sense.
    Usage(anyhow::Error),
    /// No server, or it went away during the call.
    Unreachable {
        server: ServerAddress,
        source: tonic::transport::Error,
    },
    /// The server answered with a status code.
    Status {
        status: Box<Status>,
        /// The flag and the id that this call made up, with which a repeat is safe.
        made_id: Option<(&'static str, String)>,
    },
    Other(anyhow::Error),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable { server, source } => Self::Unreachable { server, source },
            wrong => Self::Usage(wrong.into()),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status { status: Box::new(status), made_id: None }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// A failure in parts, for either form of telling it.
#[derive(Debug, Default)]
struct Told {
    code: Option<&'static str>,
    reason: String,
    message: String,
    /// Path and what is wrong there.
    fields: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
    retry_after: Option<std::time::Duration>,
    hints: Vec<String>,
}

impl Failure {
    /// Remembers an id that the command made up, so that whoever repeats the call can name it.
    pub(super) fn with_made_id(self, flag: &'static str, id: Option<&str>) -> Self {
        match self {
            Self::Status { status, .. } => Self::Status { status, made_id: id.map(|id| (flag, id.to_owned())) },
            other => other,
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Usage(_) => exit::USAGE,
            // A server that does not start because of its catalog was told something wrong.
            Self::Other(error) if error.chain().any(|cause| cause.is::<Problems>()) => exit::USAGE,
            Self::Unreachable { .. } => exit::UNAVAILABLE,
            Self::Status { status, .. } if is_lost_connection(status) => exit::UNAVAILABLE,
            Self::Status { .. } | Self::Other(_) => exit::FAILED,
        }
    }

    /// Tells it on stderr and returns the exit code.
    pub(super) fn report(&self, as_json: bool) -> Exit {
        let text = match (self, as_json) {
            (Self::Config(error), true) => json!({ "error": problems_as_json(error) }).to_string(),
            (_, true) => self.told().as_json().to_string(),
            (_, false) => self.text(),
        };
        eprintln!("{text}");
        self.exit()
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Config(error) => format!("error: {}\n{error}", problem_count(error)),
            _ => self.told().as_text(),
        }
    }

    fn told(&self) -> Told {
        match self {
            Self::Config(error) => Told { message: error.to_string(), ..Told::default() },
            Self::Unreachable { server, source } => {
                let message = format!("no server at `{server}`: {}", innermost(source));
                let mut hints = vec!["start one with `genquota serve`, or name another: `--server` or `GENQUOTA_SERVER`".to_owned()];
                if matches!(server, ServerAddress::Tls(_)) {
                    hints.push("over TLS, `--tls-ca` names whom to trust, `--tls-cert` and `--tls-key` what to show".to_owned());
                }
                Told { message, hints, ..Told::default() }
            }
            Self::Status { status, made_id } => told_of_status(status, made_id.as_ref()),
            Self::Usage(error) | Self::Other(error) => {
                // Errors from below carry the next step in a line of its own.
                let text = format!("{error:#}");
                let mut parts = text.split("\nhint: ");
                let message = parts.next().unwrap_or_default().to_owned();
                Told { message, hints: parts.map(str::to_owned).collect(), ..Told::default() }
            }
        }
    }
}

impl Told {
    fn as_text(&self) -> String {
        let mut text = "error: ".to_owned();
        for part in self.code.into_iter().chain((!self.reason.is_empty()).then_some(self.reason.as_str())) {
            text.push_str(&format!("{part}: "));
        }
        text.push_str(&self.message);
        for (field, description) in &self.fields {
            text.push_str(&format!("\n  `{field}`: {description}"));
        }
        for (key, value) in &self.metadata {
            text.push_str(&format!("\n  {key}: `{value}`"));
        }
        if let Some(delay) = self.retry_after {
            text.push_str(&format!("\n  retry after: {}", crate::config::format_duration(delay)));
        }
        for hint in &self.hints {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }

    fn as_json(&self) -> Value {
        let mut error = Map::new();
        let mut put = |key: &str, value: Option<Value>| value.map(|value| error.insert(key.to_owned(), value));
        put("code", self.code.map(Value::from));
        put("reason", (!self.reason.is_empty()).then(|| Value::from(self.reason.as_str())));
        put("message", Some(Value::from(self.message.as_str())));
        let fields = self.fields.iter().map(|(field, description)| json!({"field": field, "description": description}));
        put("fields", (!self.fields.is_empty()).then(|| fields.collect()));
        let metadata: Map<String, Value> = self.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        put("metadata", (!metadata.is_empty()).then_some(Value::Object(metadata)));
        put("retryAfter", self.retry_after.map(|delay| Value::from(crate::config::format_duration(delay))));
        put("hints", (!self.hints.is_empty()).then(|| Value::from(self.hints.clone())));
        json!({ "error": error })
    }
}

fn problem_count(error: &ConfigError) -> String {
    let count = error.problems.len();
    format!("the configuration has {count} {}", if count == 1 { "problem" } else { "problems" })
}

fn problems_as_json(error: &ConfigError) -> Value {
    let problems = error
        .problems
        .iter()
        .map(|problem| json!({"origin": problem.origin.to_string(), "key": problem.key, "message": problem.message, "hint": problem.hint}));
    json!({"message": problem_count(error), "problems": problems.collect::<Vec<_>>()})
}

fn told_of_status(status: &Status, made_id: Option<&(&'static str, String)>) -> Told {
    let details = status.get_error_details();
    let info = details.error_info();
    let reason = info.map(|info| info.reason.clone()).unwrap_or_default();
    let mut metadata: Vec<_> = info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default();
    metadata.sort();
    let violations = details.bad_request().map(|request| request.field_violations.clone()).unwrap_or_default();
    let mut fields: Vec<(String, String)> = violations.into_iter().map(|violation| (violation.field, violation.description)).collect();
    // The text of a status with one bad field says the same.
    fields.retain(|(field, description)| status.message() != format!("{field}: {description}"));
    let mut hints: Vec<String> = hint(&reason, status.code()).map(str::to_owned).into_iter().collect();
    if let Some((flag, id)) = made_id.filter(|_| may_have_taken_effect(status.code())) {
        hints.push(format!("a repeat of this very call is safe with `{flag} {id}`"));
    }
    Told {
        code: Some(code_name(status.code())),
        reason,
        message: if status.message().is_empty() { status.code().description().to_owned() } else { status.message().to_owned() },
        fields,
        metadata,
        retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        hints,
    }
}

/// The reason the server gave for a status, where it gave one that is known.
pub(super) fn reason(status: &Status) -> Option<ErrorReason> {
    status.get_details_error_info().map(|info| reason_named(&info.reason))
}

/// What to do next, by the reason the server gave.
fn hint(reason: &str, code: Code) -> Option<&'static str> {
    match reason_named(reason) {
        ErrorReason::ReservationNotFound => Some("if there was usage, book it with `genquota record`"),
        ErrorReason::ReservationSettled => Some("`genquota reservation` shows how it ended"),
        ErrorReason::IdReused => Some("name a new id, or repeat the call exactly as it was"),
        ErrorReason::StoreUnavailable => Some("repeat the call with the same id: nothing is counted twice"),
        ErrorReason::StoreDataLost => Some("an operator must look at the store"),
        ErrorReason::ServerOverloaded => Some("wait, then repeat the call"),
        ErrorReason::SubjectNotFound => Some("create it with `genquota subject create`"),
        ErrorReason::GrantNotFound => Some("`genquota subject show` lists the grants"),
        ErrorReason::CursorExpired => Some("watch again from `oldest_cursor`; what came before it is not kept any more"),
        ErrorReason::Internal => Some("report it with the time of the call"),
        ErrorReason::InvalidField
        | ErrorReason::ConsumerLagged
        | ErrorReason::SubscriptionExists
        | ErrorReason::SubscriptionNotFound
        | ErrorReason::ReservationNotCommitted => None,
        ErrorReason::Unspecified => match code {
            Code::Unimplemented => Some("this server does not offer the call: compare `genquota --version` on both sides"),
            Code::DeadlineExceeded | Code::Cancelled => Some("give it more time: `--timeout`"),
            _ => None,
        },
    }
}

/// True: nobody knows whether the call took effect.
fn may_have_taken_effect(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Internal | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted | Code::DataLoss
    )
}

/// True: the transport broke, so no server answered.
fn is_lost_connection(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::transport::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The code as the protocol's documents write it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn status() -> Failure {
        let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "genquota", [("state".to_owned(), "HELD".to_owned())]);
        details.add_bad_request_violation("work.items[0].count", "must be at least 1");
        details.set_retry_info(Some(std::time::Duration::from_millis(1500)));
        Status::with_error_details(Code::InvalidArgument, "a field is wrong", details).into()
    }

    #[test]
    fn a_status_is_told_with_all_its_details() {
        let failure = status();
        let text = failure.told().as_text();
        assert_eq!(
            text,
            "error: INVALID_ARGUMENT: INVALID_FIELD: a field is wrong\n  `work.items[0].count`: must be at least 1\n  state: `HELD`\n  \
             retry after: 1s500ms"
        );
        assert_eq!(failure.exit(), exit::FAILED);
    }

    #[test]
    fn an_id_that_was_made_up_is_told_where_a_repeat_may_be_needed() {
        let told = |status: Status| Failure::from(status).with_made_id("--id", Some("r-1")).told().hints;
        assert_eq!(told(Status::unavailable("away")), ["a repeat of this very call is safe with `--id r-1`"]);
        assert!(told(Status::invalid_argument("wrong")).is_empty());
    }

    #[test]
    fn a_status_is_one_object_as_json() {
        let expected = json!({"error": {
            "code": "INVALID_ARGUMENT", "reason": "INVALID_FIELD", "message": "a field is wrong",
            "fields": [{"field": "work.items[0].count", "description": "must be at least 1"}],
            "metadata": {"state": "HELD"}, "retryAfter": "1s500ms",
        }});
        assert_eq!(status().told().as_json(), expected);
    }

    #[test]
    fn a_status_without_details_is_told_by_its_code() {
        let failure = Failure::from(Status::unimplemented(""));
        assert!(failure.told().as_text().starts_with("error: UNIMPLEMENTED: "), "{failure:?}");
    }
}
