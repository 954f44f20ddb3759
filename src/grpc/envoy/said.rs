//! What Envoy says: entries of a descriptor, headers of a request or an answer.

use std::borrow::Cow;

use envoy_types::pb::envoy::config::core::v3::HeaderMap;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;

use crate::domain::envoy::{Captured, Origin, Reply};

/// Where the parts of a request are looked up.
pub(super) trait Said {
    /// What is said there; `Err`: nobody can tell which of several values is meant.
    fn said(&self, origin: &Origin) -> Result<Option<Cow<'_, str>>, Ambiguous>;
}

/// Something stands more than once. Whoever can add a second value must not choose between both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// A descriptor of the rate limit filter.
pub(super) struct Entries<'d> {
    pub(super) list: Vec<(&'d str, &'d str)>,
    pub(super) hits: u64,
}

/// Headers, and trailers behind them. Names are in lower case.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers(Vec<(String, String)>);

/// An HTTP request, with the named segments of its path.
pub(super) struct HttpRequest<'h> {
    pub(super) headers: &'h Headers,
    pub(super) captured: Captured<'h>,
}

impl<'d> Entries<'d> {
    /// `hits_addend` is that of the whole request, which a descriptor's own overrides.
    pub(super) fn of(descriptor: &'d RateLimitDescriptor, hits_addend: u32) -> Self {
        let list = descriptor.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        // Envoy's rule: a request that says nothing adds one.
        let of_request = || if hits_addend == 0 { 1 } else { u64::from(hits_addend) };
        Self { list, hits: descriptor.hits_addend.as_ref().map_or_else(of_request, |own| own.value) }
    }
}

impl Said for Entries<'_> {
    fn said(&self, origin: &Origin) -> Result<Option<Cow<'_, str>>, Ambiguous> {
        match origin {
            Origin::Entry(key) => only(self.list.iter().filter(|(known, _)| **known == **key).map(|(_, value)| *value)),
            Origin::Hits => Ok(Some(Cow::Owned(self.hits.to_string()))),
            Origin::Header(_) | Origin::Path(_) => Ok(None),
        }
    }
}

impl Headers {
    pub(super) fn of(map: Option<&HeaderMap>) -> Self {
        let text = |raw: &[u8], text: &str| if raw.is_empty() { text.to_owned() } else { String::from_utf8_lossy(raw).into_owned() };
        let headers = map.into_iter().flat_map(|map| &map.headers);
        Self(headers.map(|header| (header.key.to_ascii_lowercase(), text(&header.raw_value, &header.value))).collect())
    }

    /// With those of the trailers behind them.
    pub(super) fn and(mut self, trailers: Self) -> Self {
        self.0.extend(trailers.0);
        self
    }

    pub(super) fn list(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The first of a name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the request is one of gRPC, for whose answers a status of HTTP says nothing. gRPC-Web has its status in the body.
    pub(super) fn is_grpc(&self) -> bool {
        let rest = self.first("content-type").and_then(|kind| kind.strip_prefix("application/grpc"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
    }

    /// The status of an answer over HTTP.
    pub(super) fn http_reply(&self) -> Reply {
        self.number(":status").map_or(Reply::NoStatus, Reply::Http)
    }

    /// The status of an answer over gRPC, once it has come.
    pub(super) fn grpc_reply(&self) -> Option<Reply> {
        self.first("grpc-status").map(|_| self.number("grpc-status").map_or(Reply::NoStatus, Reply::Grpc))
    }

    fn number(&self, name: &str) -> Option<u16> {
        self.first(name)?.parse().ok()
    }
}

impl Said for Headers {
    fn said(&self, origin: &Origin) -> Result<Option<Cow<'_, str>>, Ambiguous> {
        match origin {
            Origin::Header(name) => only(self.0.iter().filter(|(known, _)| **known == **name).map(|(_, value)| value.as_str())),
            Origin::Entry(_) | Origin::Hits | Origin::Path(_) => Ok(None),
        }
    }
}

impl Said for HttpRequest<'_> {
    fn said(&self, origin: &Origin) -> Result<Option<Cow<'_, str>>, Ambiguous> {
        match origin {
            Origin::Path(name) => only(self.captured.iter().filter(|(known, _)| known == name).map(|(_, value)| *value)),
            Origin::Header(_) | Origin::Entry(_) | Origin::Hits => self.headers.said(origin),
        }
    }
}

/// The value, if there is one. An empty one says nothing.
fn only<'v>(mut values: impl Iterator<Item = &'v str>) -> Result<Option<Cow<'v, str>>, Ambiguous> {
    let first = values.next();
    if values.next().is_some() {
        return Err(Ambiguous);
    }
    Ok(first.filter(|value| !value.is_empty()).map(Cow::Borrowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> Headers {
        Headers(list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_value_that_stands_twice_is_not_chosen_from() {
        let origin = Origin::Header("x-subject".into());
        assert_eq!(headers(&[("x-subject", "a"), ("x-subject", "b")]).said(&origin), Err(Ambiguous));
        assert_eq!(headers(&[("x-subject", "")]).said(&origin), Ok(None));
        assert_eq!(headers(&[("x-subject", "a")]).said(&origin), Ok(Some("a".into())));
    }

    #[test]
    fn an_answer_of_grpc_has_its_own_status() {
        for (kind, is_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; x=y", true),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            assert_eq!(headers(&[("content-type", kind)]).is_grpc(), is_grpc, "{kind}");
        }
        assert_eq!(headers(&[("grpc-status", "5")]).grpc_reply(), Some(Reply::Grpc(5)));
        assert_eq!(headers(&[("grpc-status", "five")]).grpc_reply(), Some(Reply::NoStatus));
        assert_eq!(headers(&[(":status", "200")]).grpc_reply(), None);
        assert_eq!(headers(&[(":status", "200")]).http_reply(), Reply::Http(200));
        assert_eq!(headers(&[]).http_reply(), Reply::NoStatus);
    }
}
