//! The only place that knows how keys and compiled selectors of the engine are made.

use oust::purge::{Matcher, PurgeErrorKind};
use oust::site::Sites;
use oust::{Action, Key, Selector};
use oust_reference as reference;

/// A key from the URL of a request.
pub fn key_from_url(url: &[u8]) -> Option<Key> {
    Key::from_url(url).ok()
}

/// A key from its text.
pub fn parse_key(text: &[u8]) -> Option<Key> {
    Key::parse(text).ok()
}

/// The text of a key.
pub fn key_text(key: &Key) -> Vec<u8> {
    key.text().to_vec()
}

/// A key of the reference, through the engine's own parser.
pub fn key_of(subject: &reference::Subject) -> Key {
    let text = subject.text();
    parse_key(&text).unwrap_or_else(|| panic!("refused the canonical key {}", text.escape_ascii()))
}

/// The same selector for the engine, or `None` if its text is not UTF-8.
pub fn selector(from: &reference::Selector) -> Option<Selector> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).ok();
    Some(match from {
        reference::Selector::Url(t) => Selector::Url(text(t)?),
        reference::Selector::Key(t) => Selector::Key(text(t)?),
        reference::Selector::Variant(t, fields) => Selector::Variant { key: text(t)?, headers: fields.clone() },
        reference::Selector::Pattern(t) => Selector::Pattern(text(t)?),
        reference::Selector::Glob(t) => Selector::Glob(text(t)?),
        reference::Selector::LastWildcard(t) => Selector::LastWildcard(text(t)?),
        reference::Selector::Regex(t) => Selector::Regex(text(t)?),
        reference::Selector::Host(t) => Selector::Host(text(t)?),
        reference::Selector::Tag(t) => Selector::Tag(text(t)?),
        reference::Selector::All => Selector::All,
    })
}

/// Whether an engine may answer so to a purge that the reference accepts.
pub fn is_cap(kind: PurgeErrorKind) -> bool {
    matches!(kind, PurgeErrorKind::TooManyRules)
}

/// The same action for the engine.
pub fn action(act: reference::Act) -> Action {
    match act {
        reference::Act::Soft => Action::Soft,
        reference::Act::Invalidate => Action::Invalidate,
        reference::Act::Delete => Action::Delete,
    }
}

/// A selector without a cache; `None` where it is refused.
pub fn compile(selector: &Selector) -> Option<Matcher> {
    Matcher::new(selector, &Sites::default()).ok()
}
