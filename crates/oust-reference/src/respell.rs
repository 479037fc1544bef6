//! Other spellings of a URL with the same canonical form.

use crate::canonical::{canonical, find, is_unreserved, percent};
use crate::entropy::Entropy;

/// A spelling equivalent to `url`, chosen by `entropy`, or `None` if `url` is refused.
///
/// With `strict`, only spellings that a purge accepts as well: no stray `%`, and no raw `@@`, which would begin a variation in a key text.
pub fn equivalents(url: &[u8], strict: bool, entropy: &mut Entropy<'_>) -> Option<Vec<u8>> {
    let url = canonical(url)?;
    let colon = find(&url, b"://")?;
    let tail_at = url[colon + 3..].iter().position(|&b| b == b'/')? + colon + 3;
    let scheme = &url[..colon];
    let authority = &url[colon + 3..tail_at];
    let tail = &url[tail_at..];
    let path_len = tail.iter().position(|&b| b == b'?').unwrap_or(tail.len());

    let mut out = any_case(scheme, entropy);
    out.extend_from_slice(b"://");
    respell_authority(&mut out, scheme, authority, entropy);
    // An empty path is `/`.
    let skip = usize::from(path_len == 1 && entropy.one_in(4));
    respell_tail(&mut out, &tail[skip..], path_len - skip, strict, entropy);
    if entropy.one_in(4) {
        out.extend_from_slice(entropy.pick::<&[u8]>(&[b"#", b"#f", b"#/../x?y", b"#a%20b"]));
    }
    Some(out)
}

fn any_case(text: &[u8], entropy: &mut Entropy<'_>) -> Vec<u8> {
    text.iter().map(|b| if entropy.one_in(3) { b.to_ascii_uppercase() } else { *b }).collect()
}

fn respell_authority(out: &mut Vec<u8>, scheme: &[u8], authority: &[u8], entropy: &mut Entropy<'_>) {
    let bracket = authority.iter().position(|&b| b == b']').unwrap_or(0);
    let colon = (bracket..authority.len()).find(|&at| authority[at] == b':');
    let host = &authority[..colon.unwrap_or(authority.len())];
    if host.starts_with(b"[") {
        out.extend_from_slice(&any_case(host, entropy));
    } else {
        for byte in any_case(host, entropy) {
            if entropy.one_in(16) {
                out.extend_from_slice(hex(byte, entropy).as_bytes());
            } else {
                out.push(byte);
            }
        }
        if entropy.one_in(4) {
            out.push(b'.');
        }
    }
    match colon {
        Some(colon) => {
            out.push(b':');
            if entropy.one_in(4) {
                out.extend_from_slice(b"00");
            }
            out.extend_from_slice(&authority[colon + 1..]);
        }
        None => {
            let default = if scheme == b"https" { ["", ":", ":443", ":00443"] } else { ["", ":", ":80", ":080"] };
            out.extend_from_slice(entropy.pick(&default).as_bytes());
        }
    }
}

fn hex(byte: u8, entropy: &mut Entropy<'_>) -> String {
    if entropy.one_in(2) { format!("%{byte:02x}") } else { format!("%{byte:02X}") }
}

fn respell_tail(out: &mut Vec<u8>, tail: &[u8], path_len: usize, strict: bool, entropy: &mut Entropy<'_>) {
    let mut at = 0;
    while at < tail.len() {
        let in_path = at < path_len;
        if let Some(byte) = percent(tail, at) {
            at += 3;
            let raw = match byte {
                // What may not stand raw is encoded again. NUL to space, quotes, brackets; not `#`, which would begin a fragment.
                0..=0x20 | b'"' | b'<' | b'>' | b'[' | b'\\' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7F => true,
                // Not part of a text in UTF-8, so only for lookups.
                0x80.. => !strict,
                b'?' => false,
                // Stray only if what follows is no pair of digits, also after those are spelled otherwise.
                b'%' => !strict && !tail.get(at).is_some_and(|b| b.is_ascii_hexdigit() || *b == b'%'),
                _ => false,
            };
            if raw && entropy.one_in(3) {
                out.push(byte);
                // A `%` must not be given digits by what comes next.
                if byte == b'%' && at < tail.len() {
                    out.push(tail[at]);
                    at += 1;
                }
            } else if byte == b'@' && !strict && pair_of_at(tail, at) && entropy.one_in(2) {
                out.extend_from_slice(b"@@");
                at += 3;
            } else {
                out.extend_from_slice(hex(byte, entropy).as_bytes());
            }
            continue;
        }
        let byte = tail[at];
        at += 1;
        if is_unreserved(byte) && entropy.one_in(8) {
            out.extend_from_slice(hex(byte, entropy).as_bytes());
        } else if byte == b'/' && in_path {
            out.extend_from_slice(slash(at == path_len, at == 1, entropy));
        } else {
            out.push(byte);
        }
    }
}

/// Whether the `%40` that ends at `at` and the next one may both be written raw: they touch no `@` that stands raw already.
fn pair_of_at(tail: &[u8], at: usize) -> bool {
    percent(tail, at) == Some(b'@') && tail.get(at + 3) != Some(&b'@') && (at < 4 || tail[at - 4] != b'@')
}

/// Spellings of a `/` in the path, by whether it ends or begins the path.
fn slash(last: bool, first: bool, entropy: &mut Entropy<'_>) -> &'static [u8] {
    if !entropy.one_in(6) {
        return b"/";
    }
    let inner: &[&'static [u8]] = &[b"/./", b"/x/../", b"/%2e/", b"/y/%2E./", b"/./././", b"/a/b/../../"];
    let end: &[&'static [u8]] = &[b"/.", b"/x/..", b"/%2e", b"/x/.%2E"];
    let start: &[&'static [u8]] = &[b"/../", b"/../../", b"/%2e%2e/"];
    match (last, first, entropy.below(2)) {
        (true, _, 0) => entropy.pick(end),
        (_, true, 1) => entropy.pick(start),
        _ => entropy.pick(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_equivalent() {
        let mut seed = 1_u32;
        for round in 0..4000_usize {
            let bytes = crate::entropy::bytes(&mut seed, 96);
            let urls: [&[u8]; 8] = [
                b"http://h/",
                b"https://a.example:8443/d/e/f.jpg?v=1&w=/x",
                b"http://[::1]/%25zz/%40%40/~u/%E9",
                b"http://h/a@%40%40%40b/%5B%5D?@%25",
                b"http://h?%25%41",
                b"https://h//a//b/",
                b"http://h/%25%25a",
                b"http://h/%40%40@",
            ];
            let url = urls[round % urls.len()];
            let other = equivalents(url, round % 16 < 8, &mut Entropy::new(&bytes)).unwrap();
            assert_eq!(canonical(&other), canonical(url), "{} {}", url.escape_ascii(), other.escape_ascii());
        }
    }
}
