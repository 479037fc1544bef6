//! The `Cache-Status` field (RFC 9211).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, StatusCode};
use oust::Reason;

use super::small;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How a request was answered, to be told in one `Cache-Status` member.
#[derive(Debug, Clone, Default)]
pub(crate) struct CacheStatus {
    pub(crate) hit: bool,
    pub(crate) fwd: Option<&'static str>,
    pub(crate) fwd_status: Option<StatusCode>,
    pub(crate) ttl: Option<i64>,
    /// `Some(false)` only where it was going to be stored and then was not.
    pub(crate) stored: Option<bool>,
    pub(crate) collapsed: bool,
    pub(crate) detail: Option<Cow<'static, str>>,
}

impl CacheStatus {
    /// Served from the store.
    pub(crate) fn hit(ttl: i64) -> Self {
        Self { hit: true, ttl: Some(ttl), ..Self::default() }
    }

    /// Served from the store, and why although it might not have been: mostly it is stale.
    pub(crate) fn stale(ttl: i64, detail: &'static str) -> Self {
        Self { detail: Some(Cow::Borrowed(detail)), ..Self::hit(ttl) }
    }

    /// Answered by us without asking the store or an origin.
    pub(crate) fn own(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..Self::default() }
    }

    /// Forwarded, for a reason that is not the store's.
    pub(crate) fn forwarded(fwd: &'static str) -> Self {
        Self { fwd: Some(fwd), ..Self::default() }
    }

    /// Forwarded because of what the store said.
    pub(crate) fn because(reason: Reason) -> Self {
        let fwd = match reason {
            // What a delete took is gone: nothing about the miss is special, and the detail still tells.
            Reason::UriMiss | Reason::PurgedDelete | Reason::Uncacheable => "uri-miss",
            Reason::VaryMiss => "vary-miss",
            Reason::Expired | Reason::NoCache | Reason::PurgedInvalidate | Reason::PurgedSoft => "stale",
            _ => "miss",
        };
        let detail = match reason {
            Reason::UriMiss | Reason::VaryMiss | Reason::Expired => None,
            other => Some(Cow::Borrowed(other.as_str())),
        };
        Self { fwd: Some(fwd), detail, ..Self::default() }
    }

    /// The field value of the cache `name`, with the key if one is given. One allocation at most.
    pub(crate) fn value(&self, name: &str, key: Option<&[u8]>) -> HeaderValue {
        let mut digits = itoa::Buffer::new();
        // Nearly all of them.
        if let Self {
            hit: true,
            fwd: None,
            fwd_status: None,
            ttl: Some(ttl),
            stored: None,
            collapsed: false,
            detail: None,
        } = self
            && key.is_none()
            && let Some(value) = small::value(&[name.as_bytes(), b"; hit; ttl=", digits.format(*ttl).as_bytes()])
        {
            return value;
        }
        let mut out = Vec::with_capacity(64 + key.map_or(0, <[u8]>::len));
        out.extend_from_slice(name.as_bytes());
        if self.hit {
            out.extend_from_slice(b"; hit");
        }
        if let Some(fwd) = self.fwd {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(fwd.as_bytes());
        }
        if let Some(status) = &self.fwd_status {
            out.extend_from_slice(b"; fwd-status=");
            out.extend_from_slice(status.as_str().as_bytes());
        }
        if let Some(ttl) = self.ttl {
            out.extend_from_slice(b"; ttl=");
            out.extend_from_slice(digits.format(ttl).as_bytes());
        }
        match self.stored {
            Some(true) => out.extend_from_slice(b"; stored"),
            Some(false) => out.extend_from_slice(b"; stored=?0"),
            None => {}
        }
        if self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(key) = key {
            out.extend_from_slice(b"; key=");
            quote(key, &mut out);
        }
        if let Some(detail) = &self.detail {
            out.extend_from_slice(b"; detail=");
            if is_sf_token(detail) {
                out.extend_from_slice(detail.as_bytes());
            } else {
                quote(detail.as_bytes(), &mut out);
            }
        }
        HeaderValue::from_maybe_shared(Bytes::from(out)).unwrap_or(HeaderValue::from_static("oust"))
    }
}

/// RFC 9651 3.3.4, without the characters no word of ours has.
pub(crate) fn is_sf_token(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/*".contains(&b))
}

/// A structured-field string: canonical keys are ASCII, so nothing is lost.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.iter().filter(|b| b.is_ascii_graphic() || **b == b' ') {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        assert_eq!(CacheStatus::hit(-3).value("oust", None), "oust; hit; ttl=-3");
        let status = CacheStatus {
            fwd_status: Some(StatusCode::OK),
            stored: Some(false),
            detail: Some("purge-fenced".into()),
            ..CacheStatus::because(Reason::UriMiss)
        };
        assert_eq!(status.value("edge", None), "edge; fwd=uri-miss; fwd-status=200; stored=?0; detail=purge-fenced");
        let own = CacheStatus::own("a b").value("oust", Some(b"k\"\\"));
        assert_eq!(own, "oust; key=\"k\\\"\\\\\"; detail=\"a b\"");
    }
}
