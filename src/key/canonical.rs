//! The one canonicaliser: lookups, purges, patterns and every dialect write their URLs with the functions of this file.
//!
//! Canonical form (RFC 3986 6.2.2 and 6.2.3, and what a cache needs beyond it):
//!
//! 1. `http` or `https`, lower case; no user information, no fragment.
//! 2. Host: percent-decoded, IDNA A-labels, lower case, no trailing dot, `[a-z0-9-_.]` only; an IPv6 literal in its shortest form in brackets.
//! 3. Port: without leading zeros, absent if empty or the scheme's own.
//! 4. Path: never empty, no dot segments (`%2e` is a dot), pchar and `/` only. Query: pchar, `/` and `?`. All other bytes are percent-encoded.
//! 5. Percent-encoding: upper case, never of an unreserved byte. A `%` that starts none is `%25`, or refused when [`Stray::Refuse`] asks for it.
//! 6. An `@` next to another `@` is `%40`, so that the first `@@` of a key's text is where its variation begins.
//! 7. Variation: visible ASCII, by rules 5 and 6 too.
//!
//! All functions append to a buffer and are linear in their input; the result is a fixed point.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::error::{KeyError, KeyErrorKind};
use super::{Layout, MAX_HOST, MAX_KEY};

/// What to do with a `%` that starts no escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stray {
    /// `%25`, as for a lookup.
    Encode,
    /// An error with its position, as for a purge.
    Refuse,
}

/// Scheme of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case(b"https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    pub(crate) fn name(self) -> &'static [u8] {
        match self {
            Self::Http => b"http",
            Self::Https => b"https",
        }
    }

    /// With `://`.
    pub(crate) fn prefix(self) -> &'static [u8] {
        match self {
            Self::Http => b"http://",
            Self::Https => b"https://",
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Part of a key whose set of raw bytes differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Path,
    Query,
    Variation,
}

const UNRESERVED: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;
const VARIATION: u8 = 8;
const HOST: u8 = 16;

/// For each byte the parts in which it stands for itself. `%` is in none.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0_u8; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            class |= UNRESERVED | PATH | QUERY;
        }
        if matches!(b, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/')
        {
            class |= PATH | QUERY;
        }
        if b == b'?' {
            class |= QUERY;
        }
        if b > 0x20 && b < 0x7f && b != b'%' {
            class |= VARIATION;
        }
        if b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.') {
            class |= HOST;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// Whether `byte` can occur raw in that part of a canonical key. `%` cannot: it only starts an escape.
pub(crate) fn is_raw(byte: u8, part: Part) -> bool {
    is(byte, mask(part))
}

fn mask(part: Part) -> u8 {
    match part {
        Part::Path => PATH,
        Part::Query => QUERY,
        Part::Variation => VARIATION,
    }
}

/// The byte two hexadecimal digits stand for.
pub(crate) fn unhex(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some((digit(high)? << 4) | digit(low)?)
}

/// Whether the escape of `byte` is decoded in canonical form.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    is(byte, UNRESERVED)
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'%');
    out.extend([byte >> 4, byte & 15].iter().filter_map(|&d| DIGITS.get(usize::from(d))));
}

/// Appends `bytes` by rules 5 to 7. `at` is the position of `bytes` in the caller's text.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8], part: Part, stray: Stray, at: usize) -> Result<(), KeyError> {
    let mask = mask(part);
    let mut rest = bytes;
    let mut before = 0_u8;
    loop {
        // Runs of bytes that stand for themselves are copied whole.
        let plain = rest.iter().position(|&b| !is(b, mask) || b == b'@').unwrap_or(rest.len());
        let (run, after) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        out.extend_from_slice(run);
        before = run.last().copied().unwrap_or(before);
        let Some((&byte, after)) = after.split_first() else { return Ok(()) };
        rest = after;
        match (byte, after) {
            (b'@', _) if before == b'@' || after.first() == Some(&b'@') => push_escape(out, byte),
            (b'@', _) => out.push(byte),
            (b'%', &[high, low, ref after @ ..]) if unhex(high, low).is_some() => {
                match unhex(high, low) {
                    Some(decoded) if is_unreserved(decoded) => out.push(decoded),
                    _ => out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
                }
                rest = after;
            }
            (b'%', _) if stray == Stray::Refuse => {
                let position = at.saturating_add(bytes.len().saturating_sub(after.len()).saturating_sub(1));
                return Err(KeyError::at(KeyErrorKind::StrayPercent, position));
            }
            _ => push_escape(out, byte),
        }
        before = byte;
    }
}

/// Removes the dot segments of the path in `out[start..]`, which begins with `/` (RFC 3986 5.2.4).
///
/// With `open` the text goes on after `out` (with a wildcard), so that its last segment is not a whole one and stays as it is.
pub(crate) fn remove_dots(out: &mut Vec<u8>, start: usize, open: bool) {
    if out.get(start..).is_none_or(|path| memchr::memmem::find(path, b"/.").is_none()) {
        return;
    }
    let path = out.split_off(start);
    let mut segments = path.split(|&b| b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." if !(last && open) => {}
            b".." if !(last && open) => {
                let parent = out.get(start..).and_then(|done| memchr::memrchr(b'/', done)).unwrap_or(0);
                out.truncate(start.saturating_add(parent));
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
        }
        if last {
            out.push(b'/');
        }
    }
}

/// Appends the canonical host of `host`, which stands at `at` in the caller's text.
pub(crate) fn push_host(out: &mut Vec<u8>, host: &[u8], at: usize) -> Result<(), KeyError> {
    let bad = |offset: usize| KeyError::at(KeyErrorKind::Host, at.saturating_add(offset));
    // As nearly every host is written: nothing to map, decode or drop.
    let labels = host.split(|&b| b == b'.');
    if host.len() <= MAX_HOST && labels.into_iter().all(plain_label) {
        out.extend_from_slice(host);
        return Ok(());
    }
    if let Some(literal) = host.strip_prefix(b"[") {
        let address = literal.strip_suffix(b"]").and_then(|inner| std::str::from_utf8(inner).ok());
        let address: Ipv6Addr = address.and_then(|inner| inner.parse().ok()).ok_or_else(|| bad(0))?;
        out.extend_from_slice(format!("[{address}]").as_bytes());
        return Ok(());
    }
    let host = decoded(host, at)?;
    let plain = host.is_ascii() && !host.windows(4).any(|label| label.eq_ignore_ascii_case(b"xn--"));
    let mut mapped = if plain {
        host.to_ascii_lowercase()
    } else {
        match idna::domain_to_ascii_cow(&host, idna::AsciiDenyList::EMPTY) {
            Ok(mapped) => mapped.into_owned().into_bytes(),
            Err(_) => return Err(bad(0)),
        }
    };
    if mapped.last() == Some(&b'.') {
        mapped.pop();
    }
    if let Some(wrong) = mapped.iter().position(|&b| !is(b, HOST)) {
        return Err(bad(if plain { wrong } else { 0 }));
    }
    // An empty label would make the trailing dot ambiguous.
    if mapped.split(|&b| b == b'.').any(<[u8]>::is_empty) {
        return Err(bad(0));
    }
    if mapped.len() > MAX_HOST {
        return Err(KeyError::over(KeyErrorKind::HostTooLong, Some(at), "host bytes", MAX_HOST));
    }
    out.extend_from_slice(&mapped);
    Ok(())
}

/// Whether a label is canonical as it stands without a look at the tables of IDNA.
fn plain_label(label: &[u8]) -> bool {
    !label.is_empty() && !label.starts_with(b"xn--") && label.iter().all(|&b| is(b, HOST))
}

fn decoded(host: &[u8], at: usize) -> Result<Cow<'_, [u8]>, KeyError> {
    if memchr::memchr(b'%', host).is_none() {
        return Ok(Cow::Borrowed(host));
    }
    let mut out = Vec::with_capacity(host.len());
    let mut rest = host;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', &[high, low, ref after @ ..]) if unhex(high, low).is_some() => {
                out.extend(unhex(high, low));
                rest = after;
            }
            (b'%', _) => {
                let position = host.len().saturating_sub(after.len()).saturating_sub(1);
                return Err(KeyError::at(KeyErrorKind::Host, at.saturating_add(position)));
            }
            _ => out.push(byte),
        }
    }
    Ok(Cow::Owned(out))
}

/// Appends the canonical port with its colon unless it is the scheme's own.
pub(crate) fn push_port(out: &mut Vec<u8>, port: Option<u16>, scheme: Scheme) {
    let Some(port) = port.filter(|&port| port != scheme.default_port()) else { return };
    out.push(b':');
    // Every request for another port than its scheme's comes by here.
    let mut unit = 10_000;
    while unit > 1 && port < unit {
        unit /= 10;
    }
    while unit > 0 {
        out.extend(u8::try_from(port / unit % 10).map(|digit| b'0' + digit));
        unit /= 10;
    }
}

/// The number in the text after the colon; none if empty.
pub(crate) fn port(digits: &[u8], at: usize) -> Result<Option<u16>, KeyError> {
    if digits.is_empty() {
        return Ok(None);
    }
    let number = digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit)
    });
    match number.and_then(|number| u16::try_from(number).ok()) {
        Some(port) => Ok(Some(port)),
        None => Err(KeyError::at(KeyErrorKind::Port, at)),
    }
}

/// Cuts an authority into host and the port's digits with their offset.
pub(crate) fn split_authority(authority: &[u8], at: usize) -> Result<(&[u8], &[u8], usize), KeyError> {
    if let Some(user) = memchr::memrchr(b'@', authority) {
        return Err(KeyError::at(KeyErrorKind::Userinfo, at.saturating_add(user)));
    }
    // The colons of an IPv6 literal are inside its brackets.
    let from = if authority.first() == Some(&b'[') { memchr::memchr(b']', authority).unwrap_or(0) } else { 0 };
    let colon =
        authority.get(from..).and_then(|tail| memchr::memchr(b':', tail)).map(|colon| from.saturating_add(colon));
    let Some((host, digits)) = colon.and_then(|colon| authority.split_at_checked(colon)) else {
        return Ok((authority, &[], authority.len()));
    };
    Ok((host, digits.get(1..).unwrap_or_default(), host.len().saturating_add(1)))
}

/// Appends `scheme://host[:port]` and returns where the host begins and ends.
pub(crate) fn push_origin(
    out: &mut Vec<u8>,
    scheme: Scheme,
    authority: &[u8],
    at: usize,
) -> Result<(usize, usize), KeyError> {
    out.extend_from_slice(scheme.prefix());
    let host_at = out.len();
    let (host, digits, digits_at) = split_authority(authority, at)?;
    push_host(out, host, at)?;
    let host_end = out.len();
    push_port(out, port(digits, at.saturating_add(digits_at))?, scheme);
    Ok((host_at, host_end))
}

/// Appends path and query of `target` (which is empty or begins with `/`, `?` or `#`) and returns where the path ends in `out`.
pub(crate) fn push_target(out: &mut Vec<u8>, target: &[u8], stray: Stray, at: usize) -> Result<usize, KeyError> {
    let target = memchr::memchr(b'#', target).and_then(|end| target.get(..end)).unwrap_or(target);
    let (path, query) = match memchr::memchr(b'?', target).and_then(|mark| target.split_at_checked(mark)) {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let start = out.len();
    if path.is_empty() {
        out.push(b'/');
    } else {
        push(out, path, Part::Path, stray, at)?;
        remove_dots(out, start, false);
    }
    let path_end = out.len();
    if let Some(query) = query {
        push(out, query, Part::Query, stray, at.saturating_add(path.len()))?;
    }
    Ok(path_end)
}

/// Where the `@@` is after which the variation begins: the last pair of the first run of two or more `@`.
pub(crate) fn separator(text: &[u8]) -> Option<usize> {
    let first = memchr::memmem::find(text, b"@@")?;
    let run = text.get(first..)?.iter().take_while(|&&b| b == b'@').count();
    first.checked_add(run)?.checked_sub(2)
}

/// Appends `@@` and the canonical variation.
pub(crate) fn push_variation(out: &mut Vec<u8>, variation: &[u8], stray: Stray, at: usize) -> Result<(), KeyError> {
    if matches!(variation.first(), None | Some(b'@')) {
        return Err(KeyError::at(KeyErrorKind::Variation, at));
    }
    out.extend_from_slice(b"@@");
    push(out, variation, Part::Variation, stray, at)
}

/// A URL's text cut at its authority: scheme text, authority, rest, and the positions of the latter two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'a> {
    pub(crate) scheme: &'a [u8],
    pub(crate) authority: &'a [u8],
    pub(crate) authority_at: usize,
    pub(crate) target: &'a [u8],
    pub(crate) target_at: usize,
}

/// Cuts `scheme://authority` off a URL. Nothing is judged but the `://`.
pub(crate) fn cut(text: &[u8]) -> Result<Cut<'_>, KeyError> {
    let colon = memchr::memchr(b':', text).unwrap_or(text.len());
    let scheme = text.get(..colon).unwrap_or_default();
    let Some(rest) = text.get(colon..).and_then(|rest| rest.strip_prefix(b"://")) else {
        return Err(KeyError::at(KeyErrorKind::Scheme, 0));
    };
    let authority_at = colon.saturating_add(3);
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    Ok(Cut { scheme, authority, authority_at, target, target_at: authority_at.saturating_add(end) })
}

/// A canonical text with its layout.
pub(crate) fn key(
    scheme: Scheme,
    authority: (&[u8], usize),
    target: (&[u8], usize),
    variation: Option<(&[u8], usize)>,
    stray: Stray,
) -> Result<(Vec<u8>, Layout), KeyError> {
    // Exact where the parts are canonical already, so that the text is boxed without a copy.
    let room = [scheme.prefix().len(), authority.0.len(), target.0.len().max(1)].iter().sum::<usize>();
    let mut text = Vec::with_capacity(room.saturating_add(variation.map_or(0, |(v, _)| v.len().saturating_add(2))));
    let (host, host_end) = push_origin(&mut text, scheme, authority.0, authority.1)?;
    let path = text.len();
    let path_end = push_target(&mut text, target.0, stray, target.1)?;
    let url_end = text.len();
    if let Some((variation, at)) = variation {
        push_variation(&mut text, variation, stray, at)?;
    }
    let layout = Layout::new(text.len(), host, host_end, path, path_end, url_end)?;
    Ok((text, layout))
}

impl Layout {
    /// Offsets into a text of `len` bytes, which must not pass [`MAX_KEY`].
    pub(crate) fn new(
        len: usize,
        host: usize,
        host_end: usize,
        path: usize,
        path_end: usize,
        url_end: usize,
    ) -> Result<Self, KeyError> {
        let over = || KeyError::over(KeyErrorKind::TooLong, None, "key bytes", MAX_KEY);
        if len > MAX_KEY {
            return Err(over());
        }
        let offset = |at: usize| u16::try_from(at).map_err(|_| over());
        Ok(Self {
            host: offset(host)?,
            host_end: offset(host_end)?,
            path: offset(path)?,
            path_end: offset(path_end)?,
            url_end: offset(url_end)?,
        })
    }
}
