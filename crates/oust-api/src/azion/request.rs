//! What a request asks: its path, the version it speaks and its body.

use http::HeaderMap;
use http::header::ACCEPT;

use super::answer::Problem;
use crate::body::{List, Member, members};

/// Most items of a request for URLs or keys.
const MAX_ITEMS: usize = 50;
/// Longest URL or key, in characters.
const MAX_ITEM: usize = 4096;
/// Longest wildcard expression, in characters.
const MAX_WILDCARD: usize = 256;

/// What items are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Url,
    Cachekey,
    Wildcard,
}

/// Which answers a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 1 and 2, which are answered alike.
    V2,
    V3,
    V4,
}

/// A path of this dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// `None` where a path of version 4 names none.
    pub(super) kind: Option<Kind>,
    /// The name of the edge layer in version 4, by its two generations; `None` before it.
    v4_layer: Option<&'static str>,
}

/// A body, checked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) items: Vec<String>,
    /// `urls` or `items`, as the client has it.
    pub(super) field: &'static str,
    pub(super) l2: bool,
    /// The layer in the client's words.
    pub(super) layer: String,
}

impl Route {
    pub(super) fn of(path: &str) -> Option<Self> {
        let kind = |name: &str| match name {
            "url" => Some(Kind::Url),
            "cachekey" => Some(Kind::Cachekey),
            "wildcard" => Some(Kind::Wildcard),
            _ => None,
        };
        if let Some(name) = path.strip_prefix("/purge/") {
            return Some(Self { kind: Some(kind(name)?), v4_layer: None });
        }
        for (prefix, layer) in [("/v4/workspace/purge/", "cache"), ("/v4/edge/purge/", "edge_cache")] {
            if let Some(name) = path.strip_prefix(prefix) {
                return Some(Self { kind: kind(name), v4_layer: Some(layer) });
            }
        }
        None
    }

    /// The version, which before the fourth the Accept field names; without one it is 2.
    ///
    /// # Errors
    ///
    /// If Accept admits no JSON, or names a version there is not: with the version to say so in.
    pub(super) fn version(&self, headers: &HeaderMap) -> Result<Version, (Version, Problem)> {
        let otherwise = if self.v4_layer.is_some() { Version::V4 } else { Version::V2 };
        let refuse = |detail: &str| Err((otherwise, Problem::not_acceptable(detail)));
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges = values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty());
        let mut ranges = ranges.peekable();
        if ranges.peek().is_none() {
            return Ok(otherwise);
        }
        let Some(range) = ranges.find(|range| admits_json(range)) else {
            return refuse("The Accept field admits no application/json.");
        };
        match parameter(range, "version") {
            _ if otherwise == Version::V4 => Ok(Version::V4),
            None | Some("1" | "2") => Ok(Version::V2),
            Some("3") => Ok(Version::V3),
            Some(_) => refuse("The version in the Accept field is none of 1, 2 and 3."),
        }
    }

    fn field(&self) -> &'static str {
        if self.v4_layer.is_some() { "items" } else { "urls" }
    }
}

fn admits_json(range: &str) -> bool {
    let media = range.split(';').next().unwrap_or_default().trim();
    let named = ["application/json", "application/*", "*/*"].iter().any(|json| media.eq_ignore_ascii_case(json));
    named && parameter(range, "q").and_then(|q| q.parse().ok()) != Some(0.0_f32)
}

/// A parameter of a media range, without its quotes.
fn parameter<'a>(range: &'a str, name: &str) -> Option<&'a str> {
    let mut parameters = range.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"'))
}

impl Asked {
    /// Reads a body: either version's, whatever the path.
    pub(super) fn read(body: &[u8], kind: Kind, route: &Route) -> Result<Self, Problem> {
        let Ok([urls, items, method, layer]) = members(body, ["urls", "items", "method", "layer"]) else {
            return Err(Problem::invalid("The body is not a JSON object."));
        };
        let (field, values) = match (urls, items) {
            (Member::Absent, Member::Absent) => {
                return Err(Problem::field(route.field(), None, "This field is required."));
            }
            (values, Member::Absent) => ("urls", values),
            (Member::Absent, values) => ("items", values),
            _ => return Err(Problem::field("items", None, "Give either 'urls' or 'items'.")),
        };
        let items = read_items(field, values, kind)?;
        match method {
            Member::Absent => {}
            Member::Text(method) if method == "delete" => {}
            _ => return Err(Problem::field("method", None, "The only method is 'delete'.")),
        }
        let default = route.v4_layer.unwrap_or("edge_caching");
        let layer = match &layer {
            Member::Absent => default,
            Member::Text(layer) if layer.is_empty() => default,
            Member::Text(layer) => layer,
            _ => return Err(Problem::field("layer", None, "A layer is a string.")),
        };
        let l2 = match layer {
            "edge_caching" | "edge_cache" | "cache" => false,
            "l2_caching" | "tiered_cache" if kind == Kind::Cachekey => true,
            "l2_caching" | "tiered_cache" => {
                return Err(Problem::field("layer", None, format!("Only cache keys are purged from '{layer}'.")));
            }
            _ => return Err(Problem::field("layer", None, "There is no such layer.")),
        };
        Ok(Self { items, field, l2, layer: layer.to_owned() })
    }
}

fn read_items(field: &'static str, values: Member, kind: Kind) -> Result<Vec<String>, Problem> {
    let Member::List(List { len, items }) = values else {
        return Err(Problem::field(field, None, "This field is a list of strings."));
    };
    let (most, longest) = match kind {
        Kind::Url | Kind::Cachekey => (MAX_ITEMS, MAX_ITEM),
        Kind::Wildcard => (1, MAX_WILDCARD),
    };
    if len == 0 {
        return Err(Problem::field(field, None, "This list is empty."));
    }
    if len > most {
        let detail = format!("{len} items in one request, the most is {most}.");
        return Err(Problem::field(field, None, detail));
    }
    let item = |(index, item)| match item {
        Member::Text(text) if text.is_empty() => Err(Problem::field(field, Some(index), "An item is empty.")),
        Member::Text(text) if text.chars().count() > longest => {
            Err(Problem::field(field, Some(index), format!("An item is longer than {longest} characters.")))
        }
        Member::Text(text) => Ok(text),
        _ => Err(Problem::field(field, Some(index), "An item is not a string.")),
    };
    items.into_iter().enumerate().map(item).collect()
}
