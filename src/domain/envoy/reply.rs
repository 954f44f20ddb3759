//! The statuses of answers, and patterns of them.

use crate::domain::reservation::Outcome;

/// The names of gRPC's codes, by their number.
pub const GRPC_CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// A WebSocket that begins.
const SWITCHING_PROTOCOLS: u16 = 101;
/// What a proxy notes where the client went away.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The number of gRPC's `CANCELLED`.
const GRPC_CANCELLED: u16 = 1;

/// How an upstream answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Http(u16),
    /// A code of gRPC by its number, which need not be one of those there are.
    Grpc(u16),
    /// It ended without one, or with what is no number.
    NoStatus,
}

/// Answers that mean one thing: `404`, `4xx`, or a code of gRPC such as `NOT_FOUND`. Narrow ones order before wide ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplyPattern {
    Http(u16),
    Grpc(u16),
    /// The hundreds.
    HttpClass(u16),
}

impl Reply {
    /// What such an answer means unless it is declared otherwise.
    pub(super) fn usual_outcome(self) -> Outcome {
        match self {
            Self::Http(SWITCHING_PROTOCOLS | 200..=299) | Self::Grpc(0) => Outcome::Accepted,
            Self::Http(CLIENT_CLOSED_REQUEST) | Self::Grpc(GRPC_CANCELLED) => Outcome::Cancelled,
            Self::Http(_) | Self::Grpc(_) | Self::NoStatus => Outcome::Failed,
        }
    }
}

impl ReplyPattern {
    /// `None`: no such status.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(code) = GRPC_CODES.iter().position(|name| *name == text) {
            return u16::try_from(code).ok().map(Self::Grpc);
        }
        if text.len() != 3 || !text.starts_with(|first: char| ('1'..='5').contains(&first)) {
            return None;
        }
        match text.strip_suffix("xx") {
            Some(class) => class.parse().ok().map(Self::HttpClass),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok().map(Self::Http),
            None => None,
        }
    }

    pub(super) fn fits(self, reply: Reply) -> bool {
        match (self, reply) {
            (Self::Http(wanted), Reply::Http(code)) | (Self::Grpc(wanted), Reply::Grpc(code)) => wanted == code,
            (Self::HttpClass(class), Reply::Http(code)) => code / 100 == class,
            (Self::Http(_) | Self::HttpClass(_), Reply::Grpc(_) | Reply::NoStatus) | (Self::Grpc(_), Reply::Http(_) | Reply::NoStatus) => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_status_a_class_or_a_code_of_grpc() {
        assert_eq!(ReplyPattern::parse("404"), Some(ReplyPattern::Http(404)));
        assert_eq!(ReplyPattern::parse("5xx"), Some(ReplyPattern::HttpClass(5)));
        assert_eq!(ReplyPattern::parse("DEADLINE_EXCEEDED"), Some(ReplyPattern::Grpc(4)));
        for wrong in ["", "20", "6xx", "2x0", "700", "+20", "2000", "deadline_exceeded", "xxx", "²xx"] {
            assert_eq!(ReplyPattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn narrow_patterns_order_before_wide_ones() {
        let mut patterns = ["2xx", "OK", "204"].map(|text| ReplyPattern::parse(text).unwrap());
        patterns.sort();
        assert_eq!(patterns, ["204", "OK", "2xx"].map(|text| ReplyPattern::parse(text).unwrap()));
    }
}
