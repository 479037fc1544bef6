//! A purge as the journal keeps it: what was asked for, so that it can be compiled again after a restart.
//!
//! Little-endian. `version:u8 action:u8 layers:u8 created_ms:u64 by:text count:u32 selector*`, a text being `len:u32 bytes`. Reading is total:
//! any bytes give a purge or nothing.

use crate::purge::{Action, Layers, Purge, Selector};

const VERSION: u8 = 1;

/// The payload of a purge made at `created_ms`.
pub(crate) fn encode(selectors: &[Selector], action: Action, layers: Layers, by: &str, created_ms: u64) -> Vec<u8> {
    let mut out = vec![
        VERSION,
        match action {
            Action::Soft => 0,
            Action::Invalidate => 1,
            Action::Delete => 2,
        },
        u8::from(layers.edge) | u8::from(layers.l2) << 1,
    ];
    out.extend_from_slice(&created_ms.to_le_bytes());
    push(&mut out, by);
    out.extend_from_slice(&len(selectors.len()).to_le_bytes());
    for selector in selectors {
        let (kind, text) = match selector {
            Selector::Url(text) => (0, text.as_str()),
            Selector::Key(text) => (1, text.as_str()),
            Selector::Variant { key, .. } => (2, key.as_str()),
            Selector::Pattern(text) => (3, text.as_str()),
            Selector::Glob(text) => (4, text.as_str()),
            Selector::LastWildcard(text) => (5, text.as_str()),
            Selector::Regex(text) => (6, text.as_str()),
            Selector::Host(text) => (7, text.as_str()),
            Selector::Tag(text) => (8, text.as_str()),
            Selector::All => (9, ""),
        };
        out.push(kind);
        push(&mut out, text);
        if let Selector::Variant { headers, .. } = selector {
            out.extend_from_slice(&len(headers.len()).to_le_bytes());
            for (name, value) in headers {
                push(&mut out, name);
                push(&mut out, value);
            }
        }
    }
    out
}

/// The purge of a payload and when it was made; `None` if it is of another version or damaged.
pub(crate) fn decode(payload: &[u8]) -> Option<(Purge, u64)> {
    let rest = &mut &*payload;
    if byte(rest)? != VERSION {
        return None;
    }
    let action = match byte(rest)? {
        0 => Action::Soft,
        1 => Action::Invalidate,
        2 => Action::Delete,
        _ => return None,
    };
    let named = byte(rest)?;
    let layers = Layers { edge: named & 1 != 0, l2: named & 2 != 0 };
    let created_ms = u64::from_le_bytes(*chunk(rest)?);
    let by = text(rest)?;
    let count = u32::from_le_bytes(*chunk(rest)?);
    let mut selectors = Vec::new();
    for _ in 0..count {
        let kind = byte(rest)?;
        let text = text(rest)?;
        selectors.push(match kind {
            0 => Selector::Url(text),
            1 => Selector::Key(text),
            2 => Selector::Variant { key: text, headers: fields(rest)? },
            3 => Selector::Pattern(text),
            4 => Selector::Glob(text),
            5 => Selector::LastWildcard(text),
            6 => Selector::Regex(text),
            7 => Selector::Host(text),
            8 => Selector::Tag(text),
            9 => Selector::All,
            _ => return None,
        });
    }
    rest.is_empty().then(|| (Purge::batch(selectors).action(action).layers(layers).by(by), created_ms))
}

fn fields(rest: &mut &[u8]) -> Option<Vec<(String, String)>> {
    let count = u32::from_le_bytes(*chunk(rest)?);
    (0..count).map(|_| Some((text(rest)?, text(rest)?))).collect()
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&len(text.len()).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Selectors and their texts are bounded far below this.
fn len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

fn chunk<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(chunk)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let len = u32::from_le_bytes(*chunk(rest)?);
    let (text, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purges_come_back_and_damage_does_not_panic() {
        let texts = |f: fn(String) -> Selector| f("http://h/d/*".to_owned());
        let variant =
            Selector::Variant { key: "http://h/a".into(), headers: vec![("accept-encoding".into(), "gzip".into())] };
        let mut selectors = vec![Selector::All, variant];
        let kinds = [
            Selector::Url,
            Selector::Key,
            Selector::Pattern,
            Selector::Glob,
            Selector::LastWildcard,
            Selector::Regex,
            Selector::Host,
            Selector::Tag,
        ];
        selectors.extend(kinds.map(texts));
        for action in [Action::Soft, Action::Invalidate, Action::Delete] {
            for layers in [Layers { edge: true, l2: false }, Layers { edge: false, l2: true }] {
                let purge = Purge::batch(selectors.clone()).action(action).layers(layers).by("ci");
                let payload = encode(&purge.selectors, action, layers, &purge.by, 7);
                let (back, at) = decode(&payload).unwrap();
                assert_eq!(
                    (back.selectors, back.action, back.layers, back.by, at),
                    (selectors.clone(), action, layers, "ci".to_owned(), 7)
                );
                for cut in 0..payload.len() {
                    assert!(decode(&payload[..cut]).is_none());
                }
                for at in 0..payload.len() {
                    let mut damaged = payload.clone();
                    damaged[at] ^= 0xff;
                    drop(decode(&damaged));
                }
            }
        }
    }
}
