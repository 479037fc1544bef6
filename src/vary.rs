//! Which stored response a request selects (RFC 9111 4.1).

use http::{HeaderMap, HeaderName};

/// The `Vary` selectors of one stored response with the values its request had.
///
/// Encoded as one byte string so that it lives inside the object's allocation: for each nominated field its length-prefixed lower-case name,
/// a presence byte and the length-prefixed normalised value. Empty when the response does not vary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vary {
    encoded: Vec<u8>,
}

impl Vary {
    /// The selectors `response` nominates, with the values `request` has for them.
    ///
    /// `None` if the response varies on everything (`Vary: *`) and so selects no later request, or if a member is no field name.
    pub fn new(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
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
    pub fn as_ref(&self) -> VaryRef<'_> {
        VaryRef(&self.encoded)
    }
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// All field lines of `name` joined by `, `, surrounding white space dropped; `None` if there is none.
fn normalised(request: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut joined: Option<Vec<u8>> = None;
    for line in request.get_all(name) {
        match &mut joined {
            None => joined = Some(line.as_bytes().trim_ascii().to_vec()),
            Some(joined) => {
                joined.extend_from_slice(b", ");
                joined.extend_from_slice(line.as_bytes().trim_ascii());
            }
        }
    }
    joined
}

/// Borrowed encoded [`Vary`], as an object carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaryRef<'a>(pub(crate) &'a [u8]);

impl<'a> VaryRef<'a> {
    /// The encoded bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether the response does not vary.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Whether `request` selects the response: every nominated field has the value it had then. O(fields).
    #[inline]
    pub fn selects(self, request: &HeaderMap) -> bool {
        self.0.is_empty() || self.selects_by_fields(request)
    }

    fn selects_by_fields(self, request: &HeaderMap) -> bool {
        self.iter().all(|(name, value)| {
            let mut lines = request.get_all(std::str::from_utf8(name).unwrap_or("")).iter();
            match (lines.next(), value) {
                (None, None) => true,
                (Some(first), Some(value)) => match lines.next() {
                    None => first.as_bytes().trim_ascii() == value,
                    Some(_) => HeaderName::from_bytes(name)
                        .ok()
                        .and_then(|name| normalised(request, &name))
                        .is_some_and(|joined| joined == value),
                },
                _ => false,
            }
        })
    }

    /// Whether `other` nominates the same fields.
    pub fn same_fields(self, other: Self) -> bool {
        self.iter().map(|(name, _)| name).eq(other.iter().map(|(name, _)| name))
    }

    /// The nominated fields, lower case and sorted, each with the value its request had.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
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
