//! Groups of stored responses (RFC 9875), as tags of the engine.
//!
//! 1. A group is known within its origin only: scheme, host and port, which are part of its [`tag`].
//! 2. What cannot be read names no group, and no group is invalidated by what may not be understood.

use std::borrow::Cow;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::sf::{self, Bare};
use crate::purge::MAX_TAG;

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// Most groups that are read of one response; 32 are asked for (RFC 9875 2).
pub const MAX_GROUPS: usize = 128;

/// The groups a response belongs to: `Cache-Groups`, a list of strings. None if it is not that; at most [`MAX_GROUPS`].
pub fn groups(response: &HeaderMap) -> Vec<String> {
    strings(response, &CACHE_GROUPS)
}

/// The groups whose stored responses a response invalidates: `Cache-Group-Invalidation`. It counts on answers to unsafe methods only (RFC 9875
/// 3), which is for the caller to see: [`invalidates`](super::invalidation::invalidates).
pub fn invalidated(response: &HeaderMap) -> Vec<String> {
    strings(response, &CACHE_GROUP_INVALIDATION)
}

/// The tag under which the responses of `group` at `origin` (scheme, host, and port if it is not the scheme's own) are stored and purged.
///
/// It begins with a byte no header field can hold, so that no `Surrogate-Key` or the like forges it. A text too long for a tag is cut: two groups
/// that agree up to there are purged together.
pub fn tag(origin: &str, group: &str) -> String {
    let mut tag = String::with_capacity(origin.len() + group.len() + 2);
    tag.push(MARK);
    tag.extend(origin.chars().map(|c| c.to_ascii_lowercase()));
    tag.push(MARK);
    tag.push_str(group);
    let mut end = MAX_TAG.min(tag.len());
    while !tag.is_char_boundary(end) {
        end -= 1;
    }
    tag.truncate(end);
    tag
}

const MARK: char = '\u{1f}';

fn strings(response: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let mut strings: Vec<String> = Vec::new();
    let mut only_strings = true;
    let lines = response.get_all(name).iter().map(HeaderValue::as_bytes);
    let read = sf::list(lines, |member| match member {
        Bare::String(text) if strings.len() < MAX_GROUPS => {
            if !strings.iter().any(|known| *known == text) {
                strings.push(Cow::into_owned(text));
            }
        }
        Bare::String(_) => {}
        _ => only_strings = false,
    });
    if read.is_ok() && only_strings { strings } else { Vec::new() }
}
