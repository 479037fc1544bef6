//! The `Cache-Control` field (RFC 9111 5.2).

use http::HeaderValue;

/// Largest number of seconds a directive can state; longer texts mean this many (RFC 9111 1.2.2).
pub const MAX_DELTA: u32 = 1 << 31;

/// The directives of `Cache-Control`, response and request ones alike. Those with a field-name argument count as without it, which is stricter.
///
/// Costs no allocation. Of a directive that is repeated the first counts, of a switch any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Directives {
    /// `max-age`; 0 where its argument is invalid.
    pub max_age: Option<u32>,
    /// `s-maxage`; 0 where its argument is invalid.
    pub s_maxage: Option<u32>,
    /// `min-fresh`.
    pub min_fresh: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861).
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` (RFC 5861).
    pub stale_if_error: Option<u32>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, with or without field names.
    pub no_cache: bool,
    /// `private`, with or without field names.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// A quoted string does not end: what it swallowed is not known.
    pub malformed: bool,
}

impl Directives {
    /// Reads all lines of a `Cache-Control` field.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut parsed = Self::default();
        for line in lines {
            let mut rest = line.as_bytes();
            while let Some(member) = next_member(&mut rest, &mut parsed.malformed) {
                parsed.apply(member);
            }
        }
        parsed
    }

    fn apply(&mut self, member: &[u8]) {
        let (name, argument) = match member.iter().position(|&b| b == b'=') {
            Some(at) => (&member[..at], Some(&member[at + 1..])),
            None => (member, None),
        };
        let name = name.trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // An argument that is no number makes the response stale rather than unlimited (RFC 9111 4.2.1).
        let number = || Some(argument.and_then(|argument| delta(unquoted(argument.trim_ascii()))).unwrap_or(0));
        if is("max-age") {
            self.max_age = self.max_age.or_else(number);
        } else if is("s-maxage") {
            self.s_maxage = self.s_maxage.or_else(number);
        } else if is("min-fresh") {
            self.min_fresh = self.min_fresh.or_else(number);
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = self.stale_while_revalidate.or_else(number);
        } else if is("stale-if-error") {
            self.stale_if_error = self.stale_if_error.or_else(number);
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        }
    }
}

/// The next non-empty member of a comma-separated list; commas in quoted strings do not separate.
fn next_member<'a>(rest: &mut &'a [u8], malformed: &mut bool) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let mut quoted = false;
        let mut escaped = false;
        let end = rest.iter().position(|&byte| {
            if escaped {
                escaped = false;
            } else if quoted && byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                quoted = !quoted;
            }
            byte == b',' && !quoted
        });
        let end = end.unwrap_or_else(|| {
            *malformed |= quoted;
            rest.len()
        });
        let (member, after) = rest.split_at(end);
        *rest = after.get(1..).unwrap_or_default();
        let member = member.trim_ascii();
        if !member.is_empty() {
            return Some(member);
        }
    }
    None
}

fn unquoted(argument: &[u8]) -> &[u8] {
    argument.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(argument)
}

/// A number of seconds; too large ones are [`MAX_DELTA`], anything but digits is none.
pub(super) fn delta(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().try_fold(0u32, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u32::from(digit - b'0')).filter(|&sum| sum <= MAX_DELTA)
    });
    Some(value.unwrap_or(MAX_DELTA))
}
