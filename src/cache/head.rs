//! Status and header fields, and their encoding inside an entry.
//!
//! A field is its name, the length of its value in 4 bytes, and the value. A name that is well known is its number in 2 bytes, above [`NUMBERS`]; any
//! other is its length in 2 bytes and its text. Numbers in little endian.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Status and header fields of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Status code.
    pub status: StatusCode,
    /// Header fields, repeated ones in their order.
    pub headers: HeaderMap,
}

impl Head {
    /// A head.
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers }
    }
}

/// Where the numbers of names begin. A name as long as that is not kept: nobody has one.
const NUMBERS: u16 = 0xff00;

/// Well-known names of responses. Their places are on disks: new ones go to the end, none leaves.
static KNOWN: [HeaderName; 64] = [
    header::DATE,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CACHE_CONTROL,
    header::ETAG,
    header::LAST_MODIFIED,
    header::VARY,
    header::SERVER,
    header::ACCEPT_RANGES,
    header::EXPIRES,
    header::CONTENT_ENCODING,
    header::AGE,
    header::VIA,
    HeaderName::from_static("cache-status"),
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
    header::CONTENT_SECURITY_POLICY,
    header::REFERRER_POLICY,
    header::LINK,
    header::LOCATION,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::PRAGMA,
    header::WARNING,
    header::RETRY_AFTER,
    header::ALT_SVC,
    header::ALLOW,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
    header::SET_COOKIE,
    header::REFRESH,
    header::X_DNS_PREFETCH_CONTROL,
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("edge-cache-tag"),
    HeaderName::from_static("xkey"),
    HeaderName::from_static("x-cache-tags"),
    HeaderName::from_static("cache-groups"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-cache"),
    HeaderName::from_static("x-cache-hits"),
    HeaderName::from_static("x-served-by"),
    HeaderName::from_static("x-timer"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-robots-tag"),
    HeaderName::from_static("permissions-policy"),
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-embedder-policy"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
];

/// Header fields in the form an entry carries.
pub(crate) fn encode(headers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::with_capacity(headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 6).sum());
    for (name, value) in headers {
        match KNOWN.iter().zip(NUMBERS..).find(|(known, _)| *known == name) {
            Some((_, number)) => out.extend_from_slice(&number.to_le_bytes()),
            None => {
                let Some(len) = u16::try_from(name.as_str().len()).ok().filter(|&len| len < NUMBERS) else { continue };
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(name.as_str().as_bytes());
            }
        }
        out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out
}

/// Appends the fields in the first `len` bytes of `stored` that `keep` takes to `headers`, which gets room for `more` beside them. Values share
/// `stored`.
pub(crate) fn decode(
    stored: &Bytes,
    len: usize,
    headers: &mut HeaderMap,
    more: usize,
    mut keep: impl FnMut(&HeaderName) -> bool,
) {
    let encoded = stored.get(..len).unwrap_or_default();
    headers.reserve(Fields { encoded, at: 0 }.count() + more);
    for (name, from, to) in (Fields { encoded, at: 0 }) {
        let name = match name {
            Name::Known(name) if keep(name) => name.clone(),
            Name::Known(_) => continue,
            Name::Text(text) => match HeaderName::from_bytes(text) {
                Ok(name) if keep(&name) => name,
                _ => continue,
            },
        };
        if let Ok(value) = HeaderValue::from_maybe_shared(stored.slice(from..to)) {
            headers.append(name, value);
        }
    }
}

enum Name<'a> {
    Known(&'static HeaderName),
    Text(&'a [u8]),
}

/// Walks an encoding: names, and where their values are. Ends at the first field that is not whole.
struct Fields<'a> {
    encoded: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Name<'a>, usize, usize);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let number = u16::from_le_bytes(*self.encoded.get(self.at..)?.first_chunk()?);
        let mut at = self.at + 2;
        let name = match number.checked_sub(NUMBERS) {
            Some(known) => Name::Known(KNOWN.get(usize::from(known))?),
            None => {
                let from = at;
                at += usize::from(number);
                Name::Text(self.encoded.get(from..at)?)
            }
        };
        let len = u32::from_le_bytes(*self.encoded.get(at..)?.first_chunk()?) as usize;
        let from = at + 4;
        let to = from.checked_add(len).filter(|&to| to <= self.encoded.len())?;
        self.at = to;
        Some((name, from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoded: Vec<u8>, keep: impl FnMut(&HeaderName) -> bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let len = encoded.len();
        decode(&Bytes::from(encoded), len, &mut headers, 3, keep);
        headers
    }

    #[test]
    fn fields_come_back_in_order() {
        let mut headers = HeaderMap::new();
        headers.append("set-thing", HeaderValue::from_static("a"));
        headers.append("etag", HeaderValue::from_static("\"x\""));
        headers.append("set-thing", HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("vary", HeaderValue::from_static(""));
        headers.append("vary", HeaderValue::from_static("b"));
        let encoded = encode(&headers);
        assert_eq!(decoded(encoded.clone(), |_| true), headers);
        assert!(decoded(encoded[..7].to_vec(), |_| true).is_empty());
        headers.remove("set-thing");
        assert_eq!(decoded(encoded, |name| name != "set-thing"), headers);
    }

    #[test]
    fn every_well_known_name_has_one_number_and_comes_back() {
        for (at, name) in KNOWN.iter().enumerate() {
            assert_eq!(KNOWN.iter().position(|other| other == name), Some(at), "{name}");
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("v"))]);
            let encoded = encode(&headers);
            assert_eq!(encoded.len(), 2 + 4 + 1);
            assert_eq!(decoded(encoded, |_| true), headers);
        }
    }

    /// Their places are on disks.
    #[test]
    fn numbers_of_names_stay_as_they_are() {
        for (at, name) in [(0, "date"), (13, "cache-status"), (40, "x-dns-prefetch-control"), (63, "report-to")] {
            assert_eq!(KNOWN[at], name);
        }
    }

    #[test]
    fn damaged_fields_end_the_walk() {
        let names = |encoded: &[u8]| decoded(encoded.to_vec(), |_| true).len();
        assert_eq!(names(&[0x00, 0xff, 1, 0, 0, 0, b'd', 0xff, 0xff, 0, 0, 0, 0]), 1, "an unknown number");
        assert_eq!(names(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff]), 0, "a length beyond the end");
        assert_eq!(names(&[0x01]), 0);
        assert_eq!(names(&[0x01, 0, b'a', 1, 0, 0]), 0);
    }
}
