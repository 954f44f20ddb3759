//! How a request is turned away: by a denial, or because there is no answer.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::proto::{self, v1};

/// Why, by the name of the reason: `QUOTA_EXHAUSTED`.
const DENIAL: &str = "x-genquota-denial";

/// What a client is told that is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status over HTTP, and over gRPC.
    pub(super) http: u16,
    pub(super) grpc: Code,
    /// `QUOTA_EXHAUSTED`, `INVALID_FIELD`, ...
    reason: String,
    /// One sentence.
    message: String,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
    body: String,
}

impl Refusal {
    /// A denial: 429 for what may be granted another time, 403 for what the subject may not.
    pub(super) fn of_denial(denial: &v1::Denial) -> Self {
        let reason = denial.reason();
        let (http, grpc) = match reason {
            v1::DenialReason::CapReached | v1::DenialReason::QuotaExhausted => (429, Code::ResourceExhausted),
            v1::DenialReason::Unspecified
            | v1::DenialReason::SubjectSuspended
            | v1::DenialReason::NoSubscription
            | v1::DenialReason::FeatureNotInPlan
            | v1::DenialReason::SeatsExhausted
            | v1::DenialReason::UnpricedTarget
            | v1::DenialReason::FailoverPolicy => (403, Code::PermissionDenied),
        };
        let body = proto::json(denial).map(|denial| format!("{{\"denial\":{denial}}}")).unwrap_or_default();
        Self {
            http,
            grpc,
            reason: reason.as_str_name().trim_start_matches("DENIAL_REASON_").to_owned(),
            message: denial.message.clone(),
            retry_after: denial.retry_after.as_ref().map(seconds),
            body,
        }
    }

    /// A status: there is no answer, or the request is none.
    pub(super) fn of_status(status: &Status) -> Self {
        // Who Envoy is to us is not its clients' business.
        let message = match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => "the gateway may not ask for this",
            _ => status.message(),
        };
        let http = match status.code() {
            Code::InvalidArgument => 400,
            Code::Unauthenticated | Code::PermissionDenied => 403,
            Code::AlreadyExists | Code::FailedPrecondition => 409,
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => 503,
            _ => 500,
        };
        let reason = status.get_details_error_info().map(|info| info.reason);
        let reason = reason.unwrap_or_else(|| if http == 403 { "FORBIDDEN" } else { "INTERNAL" }.to_owned());
        let fields: Vec<_> = status.get_details_bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations.iter().map(|field| json!({"field": field.field, "problem": field.description})).collect()
        });
        let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
        Self {
            http,
            // A full server is not a full quota.
            grpc: if status.code() == Code::ResourceExhausted { Code::Unavailable } else { status.code() },
            body: json!({"error": {"reason": reason, "message": message, "fields": fields}}).to_string(),
            reason,
            message: message.to_owned(),
            retry_after: retry.map(|delay| delay.as_secs() + u64::from(delay.subsec_nanos() > 0)),
        }
    }

    /// A request that no route fits, where such are refused.
    pub(super) fn of_unmapped() -> Self {
        let (reason, message) = ("UNMAPPED", "no route of the catalog fits this request");
        let body = json!({"error": {"reason": reason, "message": message, "fields": []}}).to_string();
        Self { http: 403, grpc: Code::PermissionDenied, reason: reason.to_owned(), message: message.to_owned(), retry_after: None, body }
    }

    pub(super) fn headers(&self) -> Vec<HeaderValue> {
        let retry_after = self.retry_after.map(|seconds| header("retry-after", &seconds.to_string()));
        [header(DENIAL, &self.reason), header("content-type", "application/json")].into_iter().chain(retry_after).collect()
    }

    /// As JSON; of a call of gRPC one sentence, which is all that has room in its status.
    pub(super) fn body(&self, is_grpc: bool) -> Vec<u8> {
        if is_grpc { self.message.clone() } else { self.body.clone() }.into_bytes()
    }
}

/// Whether a status says that nobody decided, rather than what is wrong with the request or its caller.
pub(super) fn is_no_answer(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Internal | Code::Unknown | Code::Cancelled)
}

/// A header that is set whatever was there.
pub(super) fn set(header: HeaderValue) -> HeaderValueOption {
    let HeaderValue { key, value, raw_value: _ } = header;
    // The external processor's filter reads raw values.
    let header = HeaderValue { key, value: String::new(), raw_value: value.into_bytes() };
    HeaderValueOption {
        header: Some(header),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

pub(super) fn header(key: &str, value: &str) -> HeaderValue {
    HeaderValue { key: key.to_owned(), value: value.to_owned(), raw_value: Vec::new() }
}

/// Whole seconds, never too few, and never none: to ask again at once is of no use.
fn seconds(duration: &prost_types::Duration) -> u64 {
    u64::try_from(duration.seconds).unwrap_or_default().saturating_add(u64::from(duration.nanos > 0)).max(1)
}
