//! The `Cache-Status` field (RFC 9211).

use std::fmt::Write as _;

use http::{HeaderValue, StatusCode};
use oust::cache::Reason;

use super::head::NAME;

/// How a request was answered, to be told in one `Cache-Status` member.
#[derive(Debug, Clone, Default)]
pub(super) struct CacheStatus {
    pub(super) hit: bool,
    pub(super) fwd: Option<&'static str>,
    pub(super) fwd_status: Option<StatusCode>,
    pub(super) ttl: Option<i64>,
    /// `Some(false)` only where it was going to be stored and then was not.
    pub(super) stored: Option<bool>,
    pub(super) collapsed: bool,
    pub(super) detail: Option<String>,
}

impl CacheStatus {
    /// Served from the store.
    pub(super) fn hit(ttl: i64) -> Self {
        Self { hit: true, ttl: Some(ttl), ..Self::default() }
    }

    /// Answered by us without asking the store or an origin.
    pub(super) fn own(detail: &str) -> Self {
        Self { detail: Some(detail.to_owned()), ..Self::default() }
    }

    /// Forwarded, for a reason that is not the store's.
    pub(super) fn forwarded(fwd: &'static str) -> Self {
        Self { fwd: Some(fwd), ..Self::default() }
    }

    /// Forwarded because of what the store said.
    pub(super) fn because(reason: Reason) -> Self {
        let fwd = match reason {
            // What a delete took is gone: nothing about the miss is special, and the detail still tells.
            Reason::UriMiss | Reason::PurgedDelete | Reason::Uncacheable => "uri-miss",
            Reason::VaryMiss => "vary-miss",
            Reason::Expired | Reason::NoCache | Reason::PurgedInvalidate | Reason::PurgedSoft => "stale",
            _ => "miss",
        };
        let detail = match reason {
            Reason::UriMiss | Reason::VaryMiss | Reason::Expired => None,
            other => Some(other.to_string()),
        };
        Self { fwd: Some(fwd), detail, ..Self::default() }
    }

    /// The field value, with the key if one is given.
    pub(super) fn value(&self, key: Option<&str>) -> HeaderValue {
        let mut text = String::from(NAME);
        if self.hit {
            text.push_str("; hit");
        }
        // Writing to a string cannot fail, so the results below carry nothing.
        if let Some(fwd) = self.fwd {
            let _ = write!(text, "; fwd={fwd}");
        }
        if let Some(status) = self.fwd_status {
            let _ = write!(text, "; fwd-status={}", status.as_u16());
        }
        if let Some(ttl) = self.ttl {
            let _ = write!(text, "; ttl={ttl}");
        }
        match self.stored {
            Some(true) => text.push_str("; stored"),
            Some(false) => text.push_str("; stored=?0"),
            None => {}
        }
        if self.collapsed {
            text.push_str("; collapsed");
        }
        if let Some(key) = key {
            let _ = write!(text, "; key={}", quoted(key));
        }
        if let Some(detail) = &self.detail {
            let token = !detail.is_empty()
                && detail.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/*".contains(&b))
                && detail.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
            if token {
                let _ = write!(text, "; detail={detail}");
            } else {
                let _ = write!(text, "; detail={}", quoted(detail));
            }
        }
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(NAME))
    }
}

/// A structured-field string: canonical keys are ASCII, so nothing is lost.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ') {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        assert_eq!(CacheStatus::hit(-3).value(None), "oust; hit; ttl=-3");
        let status = CacheStatus {
            fwd_status: Some(StatusCode::OK),
            stored: Some(false),
            detail: Some("purge-fenced".to_owned()),
            ..CacheStatus::because(Reason::UriMiss)
        };
        assert_eq!(status.value(None), "oust; fwd=uri-miss; fwd-status=200; stored=?0; detail=purge-fenced");
        assert_eq!(CacheStatus::own("a b").value(Some("k\"\\")), "oust; key=\"k\\\"\\\\\"; detail=\"a b\"");
    }
}
