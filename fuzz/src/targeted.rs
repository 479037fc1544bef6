//! Targeted cache directives (RFC 9213): the engine's reading of structured fields against that of the `sfv` crate.

use http::{HeaderMap, HeaderName, HeaderValue};
use oust::freshness::{Directives, MAX_DELTA, groups};
use sfv::{BareItem, Dictionary, List, ListEntry, Parser};

use crate::directives::lines;

/// Any lines as a targeted field, and as `Cache-Groups`.
pub fn targeted(data: &[u8]) {
    let lines = lines(data);
    let name = HeaderName::from_static("cdn-cache-control");
    let mut map = HeaderMap::new();
    for line in &lines {
        map.append(name.clone(), line.clone());
        map.append("cache-groups", line.clone());
    }
    assert_eq!(Directives::targeted(&map, &[name]), naive(&lines), "{lines:?}");

    let mut wanted = Vec::new();
    for group in strings(&lines).unwrap_or_default() {
        if !wanted.contains(&group) && wanted.len() < groups::MAX_GROUPS {
            wanted.push(group);
        }
    }
    assert_eq!(groups::groups(&map), wanted, "{lines:?}");
}

fn naive(lines: &[HeaderValue]) -> Option<Directives> {
    let mut members = Dictionary::new();
    for line in lines {
        let read: Dictionary = Parser::new(not_empty(line)?).parse().ok()?;
        for (key, value) in read {
            members.insert(key, value);
        }
    }
    if members.is_empty() {
        return None;
    }
    let number = |name: &str, invalid: u32| {
        members.get(name).map(|value| match value {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::Integer(value) => {
                    let value = i64::from(*value);
                    if value < 0 { invalid } else { u32::try_from(value).unwrap_or(u32::MAX).min(MAX_DELTA) }
                }
                _ => invalid,
            },
            ListEntry::InnerList(_) => invalid,
        })
    };
    let is = |name: &str, wanted: bool| matches!(members.get(name), Some(ListEntry::Item(item)) if item.bare_item == BareItem::Boolean(wanted));
    let on = |name: &str| members.get(name).is_some() && !is(name, false);
    let mut directives = Directives::default();
    directives.max_age = number("max-age", 0);
    directives.s_maxage = number("s-maxage", 0);
    directives.min_fresh = number("min-fresh", MAX_DELTA);
    directives.stale_while_revalidate = number("stale-while-revalidate", 0);
    directives.stale_if_error = number("stale-if-error", 0);
    directives.max_stale = number("max-stale", 0).map(|limit| if is("max-stale", true) { None } else { Some(limit) });
    directives.no_store = on("no-store");
    directives.no_cache = on("no-cache");
    directives.private = on("private");
    directives.public = on("public");
    directives.must_revalidate = on("must-revalidate");
    directives.proxy_revalidate = on("proxy-revalidate");
    directives.must_understand = on("must-understand");
    directives.no_transform = on("no-transform");
    directives.immutable = on("immutable");
    directives.only_if_cached = on("only-if-cached");
    Some(directives)
}

fn strings(lines: &[HeaderValue]) -> Option<Vec<String>> {
    let mut strings = Vec::new();
    for line in lines {
        let read: List = Parser::new(not_empty(line)?).parse().ok()?;
        for member in read {
            let ListEntry::Item(item) = member else { return None };
            strings.push(item.bare_item.as_string()?.as_str().to_owned());
        }
    }
    Some(strings)
}

/// A line with nothing on it reads as nothing alone and as an error beside others: as nothing, either way.
fn not_empty(line: &HeaderValue) -> Option<&[u8]> {
    (!line.as_bytes().iter().all(|&byte| byte == b' ')).then_some(line.as_bytes())
}
