//! Which stored response a request selects (RFC 9111 4.1).

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName};

/// The `Vary` selectors of one stored response with the values its request had.
///
/// Encoded as one byte string so that it lives inside the object's allocation: for each nominated field its length-prefixed lower-case name,
/// a presence byte and the length-prefixed normalised value. Empty when the response does not vary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Vary {
    encoded: Vec<u8>,
}

impl Vary {
    /// The selectors `response` nominates, with the values `request` has for them.
    ///
    /// `None` if the response varies on everything (`Vary: *`) and so selects no later request, or if a member is no field name.
    pub(crate) fn new(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let mut names: Vec<HeaderName> = Vec::new();
        for line in response.get_all(http::header::VARY) {
            for member in line.as_bytes().split(|&b| b == b',') {
                let member = member.trim_ascii();
                if member.is_empty() {
                    continue;
                }
                // `*` is a legal field-name character, so it must be told apart before parsing.
                if member == b"*" {
                    return None;
                }
                let name = HeaderName::from_bytes(member).ok()?;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let mut encoded = Vec::new();
        for name in names {
            push(&mut encoded, name.as_str().as_bytes());
            match normalised(request, &name) {
                Some(value) => {
                    encoded.push(1);
                    push(&mut encoded, &value);
                }
                None => encoded.push(0),
            }
        }
        Some(Self { encoded })
    }

    /// The encoded form, to be read back through [`VaryRef`].
    pub(crate) fn as_ref(&self) -> VaryRef<'_> {
        VaryRef(&self.encoded)
    }
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// All field lines of `name` as one list, its members joined by `, ` without the white space around them; `None` if there is none.
///
/// Members of `Accept-Encoding` and `Accept-Language` are in lower case and by weight, equal weights by name: their order and spelling mean nothing
/// (RFC 9110 12.5.3, 12.5.4), so requests that differ in them alone select the same variant (RFC 9111 4.1).
fn normalised(request: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = request.get_all(name).iter().peekable();
    lines.peek()?;
    let mut members: Vec<&[u8]> = Vec::new();
    for line in lines {
        let mut rest = line.as_bytes();
        loop {
            let end = member_end(rest);
            let (member, after) = rest.split_at(end);
            members.push(member.trim_ascii());
            match after.split_first() {
                Some((_, after)) => rest = after,
                None => break,
            }
        }
    }
    if *name == ACCEPT_ENCODING || *name == ACCEPT_LANGUAGE {
        let mut weighted: Vec<(u16, Vec<u8>)> = members.into_iter().filter(|m| !m.is_empty()).map(weighted).collect();
        weighted.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let texts = weighted.into_iter().map(|(weight, mut text)| {
            if weight != 1000 {
                text.extend_from_slice(format!(";q=0.{weight:03}").as_bytes());
            }
            text
        });
        return Some(texts.collect::<Vec<_>>().join(&b", "[..]));
    }
    Some(members.join(&b", "[..]))
}

/// Where the first member of a list ends: at a comma that no quoted string holds, or at the end.
fn member_end(list: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let comma = |&byte: &u8| {
        let ends = byte == b',' && !quoted;
        (quoted, escaped) = match byte {
            _ if escaped => (quoted, false),
            b'\\' if quoted => (quoted, true),
            b'"' => (!quoted, false),
            _ => (quoted, false),
        };
        ends
    };
    list.iter().position(comma).unwrap_or(list.len())
}

/// A member in lower case without its weight, and that in thousandths; one that cannot be read counts as no part of it. Nor does the weight of
/// nothing, or a second one: what is left would read as another member's text, or as none.
fn weighted(member: &[u8]) -> (u16, Vec<u8>) {
    let cut = member.iter().rposition(|&byte| byte == b';');
    let weight = cut.and_then(|at| {
        let text = std::str::from_utf8(member.get(at + 1..)?).ok()?.trim();
        let value: f32 = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q="))?.trim().parse().ok()?;
        (0.0..=1.0).contains(&value).then_some((value * 1000.0).round() as u16)
    });
    let text = cut.and_then(|at| member.get(..at)).unwrap_or_default().trim_ascii_end();
    match weight {
        Some(weight) if !text.is_empty() && !ends_in_weight(text) => (weight, text.to_ascii_lowercase()),
        _ => (1000, member.to_ascii_lowercase()),
    }
}

/// Whether the last parameter is called as a weight is.
fn ends_in_weight(member: &[u8]) -> bool {
    let last = member.iter().rposition(|&byte| byte == b';').and_then(|at| member.get(at + 1..)).unwrap_or_default();
    last.trim_ascii().to_ascii_lowercase().starts_with(b"q=")
}

/// Borrowed encoded [`Vary`], as an object carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VaryRef<'a>(pub(crate) &'a [u8]);

impl<'a> VaryRef<'a> {
    /// Selectors as they were stored. Nothing is checked: reading damaged bytes yields other fields or fewer, never a panic.
    pub(crate) fn from_stored(encoded: &'a [u8]) -> Self {
        Self(encoded)
    }

    /// The encoded bytes.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether the response does not vary.
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Whether `request` selects the response: every nominated field has the value it had then. O(fields).
    #[inline]
    pub(crate) fn selects(self, request: &HeaderMap) -> bool {
        self.0.is_empty() || self.selects_by_fields(request)
    }

    fn selects_by_fields(self, request: &HeaderMap) -> bool {
        self.iter().all(|(name, value)| {
            let mut lines = request.get_all(std::str::from_utf8(name).unwrap_or("")).iter();
            match (lines.next(), value) {
                (None, None) => true,
                (Some(first), Some(value)) => {
                    let same = lines.next().is_none() && first.as_bytes().trim_ascii() == value;
                    same || HeaderName::from_bytes(name)
                        .ok()
                        .and_then(|name| normalised(request, &name))
                        .is_some_and(|joined| joined == value)
                }
                _ => false,
            }
        })
    }

    /// Whether `other` nominates the same fields.
    pub(crate) fn same_fields(self, other: Self) -> bool {
        self.iter().map(|(name, _)| name).eq(other.iter().map(|(name, _)| name))
    }

    /// The nominated fields, lower case and sorted, each with the value its request had.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let name = take(&mut rest)?;
            let (&present, after) = rest.split_first()?;
            rest = after;
            Some((name, if present == 1 { Some(take(&mut rest)?) } else { None }))
        })
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let (taken, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &'static str, lines: &[&str]) -> HeaderMap {
        let name = HeaderName::from_static(name);
        lines.iter().map(|line| (name.clone(), line.parse().unwrap())).collect()
    }

    fn same(name: &'static str, one: &[&str], other: &[&str]) -> bool {
        let vary = fields("vary", &[name]);
        let stored = Vary::new(&vary, &fields(name, one)).unwrap();
        let selected = stored.as_ref().selects(&fields(name, other));
        let back = Vary::new(&vary, &fields(name, other)).unwrap();
        assert_eq!(selected, back == stored, "{one:?} {other:?}");
        selected
    }

    #[test]
    fn spelling_without_meaning_selects_the_same_variant() {
        for (name, one, other) in [
            ("x-a", &["1,2"][..], &["1, 2"][..]),
            ("x-a", &["1 ,2"], &["1", "2"]),
            ("accept-language", &["en, de"], &["DE ,en"]),
            ("accept-language", &["de;q=1.0, fr;q=0.5"], &["fr; q=0.500,de"]),
            ("accept-encoding", &["gzip, br"], &["br", "GZIP"]),
        ] {
            assert!(same(name, one, other) && same(name, other, one), "{name} {one:?} {other:?}");
        }
        for (name, one, other) in [
            ("x-a", &["1, 2"][..], &["2, 1"][..]),
            ("x-a", &["\"1,2\""], &["\"1, 2\""]),
            ("x-a", &["A"], &["a"]),
            ("accept-language", &["en, de"], &["en"]),
            ("accept-language", &["en;q=0.5"], &["en;q=500"]),
            ("accept-encoding", &["gzip, br;q=0"], &["gzip, br"]),
            ("accept-encoding", &["gzip"], &[""]),
            ("accept-language", &["en;q=0.251"], &["en;q=0.25"]),
            ("accept-language", &["en;q=0.500;q=1"], &["en;q=0.5"]),
            ("accept-language", &[";q=1;q=1"], &[";q=1"]),
            ("accept-language", &[";q=1, a"], &["a"]),
        ] {
            assert!(!same(name, one, other) && !same(name, other, one), "{name} {one:?} {other:?}");
        }
    }
}
