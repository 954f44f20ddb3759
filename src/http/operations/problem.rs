//! What goes wrong on the page, in words, with the next step. A part that cannot be told does not take the rest with it.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use serde::{Serialize, Serializer};

use super::query::Parameters;
use super::{Frame, Section};
use crate::service::ServiceError;

/// Why there is no answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Problem {
    #[serde(serialize_with = "code")]
    pub status: StatusCode,
    pub message: String,
    pub hint: &'static str,
    /// What was put into the form, to be put right there.
    #[serde(skip)]
    pub asked: String,
}

/// A part of a page: what was asked for, or why it is not there.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Told<T> {
    Known(T),
    Unknown { problem: Problem },
}

#[derive(Template)]
#[template(path = "operations/problem.html", config = "src/http/askama.toml")]
pub(super) struct ProblemPage {
    pub frame: Frame,
    pub problem: Problem,
}

impl Problem {
    /// Of a parameter that says nothing which can be shown.
    pub(super) fn parameter(name: &str, problem: &str, hint: &'static str) -> Self {
        Self::of(StatusCode::BAD_REQUEST, format!("`{name}` {problem}"), hint)
    }

    /// Of a subject that nobody has made and that has made nothing.
    pub(super) fn unknown_subject(subject: &str) -> Self {
        let message = format!("subject `{subject}` is not known: nobody has made it, and it has made nothing that is remembered");
        Self::of(StatusCode::NOT_FOUND, message, "names are told apart by case; the list of subjects has every one that was made")
    }

    pub(super) fn silent(patience: Duration) -> Self {
        let message = format!("the store gave no answer within {} s", patience.as_secs());
        Self::of(StatusCode::SERVICE_UNAVAILABLE, message, AWAY)
    }

    /// With what was asked for, so that the form still says it.
    pub(super) fn about(self, parameters: &Parameters) -> Self {
        Self { asked: parameters.subject.clone().unwrap_or_default(), ..self }
    }

    fn of(status: StatusCode, message: String, hint: &'static str) -> Self {
        Self { status, message, hint, asked: String::new() }
    }
}

const AWAY: &str = "the page asks again at the next look; `genquota store check` says what is wrong with a Redis";

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        match error {
            // The reasons may name files and hosts: the store has told them to the log.
            ServiceError::Store(_) => Self::of(StatusCode::SERVICE_UNAVAILABLE, "the store gives no answer".to_owned(), AWAY),
            ServiceError::Invalid(_) => Self::of(StatusCode::BAD_REQUEST, message, "put the address of the page right"),
            ServiceError::SubjectNotFound(subject) => Self::unknown_subject(subject.as_str()),
            error => {
                tracing::error!(%error, "a part of the operations page cannot be told");
                let message = "this sidecar has a fault, and cannot tell this part".to_owned();
                Self::of(StatusCode::INTERNAL_SERVER_ERROR, message, "the log of this sidecar says what it is; report it")
            }
        }
    }
}

impl<T> From<Result<T, Problem>> for Told<T> {
    fn from(answer: Result<T, Problem>) -> Self {
        match answer {
            Ok(known) => Self::Known(known),
            Err(problem) => Self::Unknown { problem },
        }
    }
}

fn code<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
