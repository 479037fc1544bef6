//! The rules of a purge: section "Purges" of the document.

use super::{u32_at, u64_at};
use crate::model::Act;
use crate::selector::Selector;

/// A purge as it is stored.
#[derive(Debug, Clone)]
pub struct StoredPurge {
    /// The action.
    pub act: Act,
    /// Whether it is about the memory tier.
    pub edge: bool,
    /// Whether it is about the second tier.
    pub l2: bool,
    /// When it was made.
    pub created_ms: u64,
    /// Who asked.
    pub by: String,
    /// What it takes.
    pub selectors: Vec<Selector>,
}

/// Reads one; `None` where anything is wrong.
pub fn read_purge(bytes: &[u8]) -> Option<StoredPurge> {
    let act = match bytes.get(..3)? {
        [1, 0, _] => Act::Soft,
        [1, 1, _] => Act::Invalidate,
        [1, 2, _] => Act::Delete,
        _ => return None,
    };
    let layers = bytes[2];
    let created_ms = u64_at(bytes, 3)?;
    let at = &mut 11;
    let by = text(bytes, at)?;
    let count = number(bytes, at)?;
    let mut selectors = Vec::new();
    for _ in 0..count {
        let kind = *bytes.get(*at)?;
        *at += 1;
        let name = text(bytes, at)?.into_bytes();
        selectors.push(match kind {
            0 => Selector::Url(name),
            1 => Selector::Key(name),
            2 => {
                let fields = number(bytes, at)?;
                let fields = (0..fields).map(|_| Some((text(bytes, at)?, text(bytes, at)?))).collect::<Option<_>>()?;
                Selector::Variant(name, fields)
            }
            3 => Selector::Pattern(name),
            4 => Selector::Glob(name),
            5 => Selector::LastWildcard(name),
            6 => Selector::Regex(name),
            7 => Selector::Host(name),
            8 => Selector::Tag(name),
            9 => Selector::All,
            _ => return None,
        });
    }
    let purge = StoredPurge { act, edge: layers & 1 != 0, l2: layers & 2 != 0, created_ms, by, selectors };
    (*at == bytes.len()).then_some(purge)
}

/// The bytes of one.
pub fn write_purge(purge: &StoredPurge) -> Vec<u8> {
    let act = match purge.act {
        Act::Soft => 0,
        Act::Invalidate => 1,
        Act::Delete => 2,
    };
    let mut out = vec![1, act, u8::from(purge.edge) + 2 * u8::from(purge.l2)];
    out.extend_from_slice(&purge.created_ms.to_le_bytes());
    put(&mut out, purge.by.as_bytes());
    out.extend_from_slice(&(purge.selectors.len() as u32).to_le_bytes());
    for selector in &purge.selectors {
        let none = Vec::new();
        let (kind, name) = match selector {
            Selector::Url(text) => (0, text),
            Selector::Key(text) => (1, text),
            Selector::Variant(text, _) => (2, text),
            Selector::Pattern(text) => (3, text),
            Selector::Glob(text) => (4, text),
            Selector::LastWildcard(text) => (5, text),
            Selector::Regex(text) => (6, text),
            Selector::Host(text) => (7, text),
            Selector::Tag(text) => (8, text),
            Selector::All => (9, &none),
        };
        out.push(kind);
        put(&mut out, name);
        if let Selector::Variant(_, fields) = selector {
            out.extend_from_slice(&(fields.len() as u32).to_le_bytes());
            for (name, value) in fields {
                put(&mut out, name.as_bytes());
                put(&mut out, value.as_bytes());
            }
        }
    }
    out
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

fn number(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let number = u32_at(bytes, *at)?;
    *at += 4;
    Some(number)
}

fn text(bytes: &[u8], at: &mut usize) -> Option<String> {
    let len = number(bytes, at)? as usize;
    let text = bytes.get(*at..at.checked_add(len)?)?;
    *at += len;
    String::from_utf8(text.to_vec()).ok()
}
