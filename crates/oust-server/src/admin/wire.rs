//! Bodies of the admin API: reading purges, writing records.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use oust::purge::{Action, Cost, Count, Durability, Layers, Purge, PurgeRecord, PurgeState, Selector};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    selectors: Vec<&'a RawValue>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    layers: Option<Vec<String>>,
    #[serde(default)]
    durability: Option<String>,
}

/// Reads the body of a purge or of an explain.
///
/// `has_l2`: whether there is such a layer.
pub(super) fn purge(body: &[u8], by: String, max_batch: usize, has_l2: bool) -> Result<Purge, Problem> {
    let body: Body<'_> = serde_json::from_slice(body).map_err(|error| Problem::bad(format!("body: {error}")))?;
    if body.selectors.is_empty() {
        return Err(Problem::bad("`selectors` is empty"));
    }
    if body.selectors.len() > max_batch {
        let limit = u64::try_from(max_batch).unwrap_or(u64::MAX);
        let detail = format!("{} selectors in one request, {max_batch} are allowed", body.selectors.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).limit("max_batch", limit));
    }
    let action = match body.action.as_deref() {
        None | Some("delete") => Action::Delete,
        Some("invalidate") => Action::Invalidate,
        Some("soft") => Action::Soft,
        Some(other) => {
            return Err(Problem::bad(format!("action {other:?}: one of \"delete\", \"invalidate\", \"soft\"")));
        }
    };
    let durability = match body.durability.as_deref() {
        None => Durability::Disk,
        Some("memory") => Durability::Memory,
        Some(other) => return Err(Problem::bad(format!("durability {other:?}: \"memory\" or nothing"))),
    };
    let layers = layers(body.layers.as_deref(), has_l2)?;
    let mut selectors = Vec::with_capacity(body.selectors.len());
    for (index, raw) in body.selectors.iter().enumerate() {
        let Wire(selector) = serde_json::from_str(raw.get())
            .map_err(|error| Problem::bad(format!("selector {index}: {error}")).selector(index))?;
        selectors.push(selector);
    }
    Ok(Purge::batch(selectors).action(action).layers(layers).durability(durability).by(by))
}

fn layers(names: Option<&[String]>, has_l2: bool) -> Result<Layers, Problem> {
    let Some(names) = names else { return Ok(Layers { edge: true, l2: has_l2 }) };
    let mut layers = Layers { edge: false, l2: false };
    for name in names {
        match name.as_str() {
            "edge" => layers.edge = true,
            "l2" if has_l2 => layers.l2 = true,
            "l2" => return Err(Problem::bad("layer \"l2\": there is no L2 tier here")),
            other => return Err(Problem::bad(format!("layer {other:?}: one of \"edge\", \"l2\""))),
        }
    }
    if layers.edge || layers.l2 { Ok(layers) } else { Err(Problem::bad("`layers` is empty")) }
}

/// A selector as JSON: an object with exactly one member.
struct Wire(Selector);

impl<'de> Deserialize<'de> for Wire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WireVisitor)
    }
}

struct WireVisitor;

impl<'de> Visitor<'de> for WireVisitor {
    type Value = Wire;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one of url, key, variant, pattern, glob, last_wildcard, regex, host, tag, all")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wire, A::Error> {
        let Some(kind) = map.next_key::<String>()? else {
            return Err(A::Error::custom("a selector has one member, this has none"));
        };
        let selector = match kind.as_str() {
            "url" => Selector::Url(map.next_value()?),
            "key" => Selector::Key(map.next_value()?),
            "pattern" => Selector::Pattern(map.next_value()?),
            "glob" => Selector::Glob(map.next_value()?),
            "last_wildcard" => Selector::LastWildcard(map.next_value()?),
            "regex" => Selector::Regex(map.next_value()?),
            "host" => Selector::Host(map.next_value()?),
            "tag" => Selector::Tag(map.next_value()?),
            "variant" => {
                let Variant { key, headers } = map.next_value()?;
                Selector::Variant { key, headers: headers.0 }
            }
            "all" => match map.next_value()? {
                true => Selector::All,
                false => return Err(A::Error::custom("`all` takes nothing but true")),
            },
            other => return Err(A::Error::custom(format!("unknown selector `{other}`"))),
        };
        match map.next_key::<String>()? {
            None => Ok(Wire(selector)),
            Some(other) => Err(A::Error::custom(format!("a selector has one member, this has `{kind}` and `{other}`"))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    key: String,
    #[serde(default)]
    headers: Pairs,
}

/// Header fields in the order given, so that a repeated one is not lost.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of header fields")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// A selector as it is written in a request.
pub(crate) fn selector(selector: &Selector) -> Value {
    match selector {
        Selector::Url(text) => json!({ "url": text }),
        Selector::Key(text) => json!({ "key": text }),
        Selector::Pattern(text) => json!({ "pattern": text }),
        Selector::Glob(text) => json!({ "glob": text }),
        Selector::LastWildcard(text) => json!({ "last_wildcard": text }),
        Selector::Regex(text) => json!({ "regex": text }),
        Selector::Host(text) => json!({ "host": text }),
        Selector::Tag(text) => json!({ "tag": text }),
        Selector::All => json!({ "all": true }),
        Selector::Variant { key, headers } => {
            let headers: Map<String, Value> =
                headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({ "variant": { "key": key, "headers": headers } })
        }
        // A kind of a later engine: shown rather than hidden.
        other => json!({ "other": format!("{other:?}") }),
    }
}

/// What `POST /v1/purges` answers.
pub(crate) fn ack(record: &PurgeRecord) -> Value {
    json!({
        "id": record.id.to_string(),
        "epoch": record.id.epoch,
        "seq": record.id.seq,
        "state": "effective",
        "durable": record.durable,
        "rules": record.rules,
    })
}

/// A purge as the history tells it.
pub(super) fn record(record: &PurgeRecord) -> Value {
    let state = match record.state {
        PurgeState::Swept => "swept",
        _ => "effective",
    };
    json!({
        "id": record.id.to_string(),
        "epoch": record.id.epoch,
        "seq": record.id.seq,
        "state": state,
        "durable": record.durable,
        "rules": record.rules,
        "selectors": record.selectors.iter().map(selector).collect::<Vec<_>>(),
        "action": action(record.action),
        "layers": layers_of(record.layers),
        "by": record.by,
        "created": instant(record.created_ms),
        "swept_at": record.swept_ms.map(instant),
        "edge": count(record.edge),
        "l2": count(record.l2),
    })
}

/// An action as it is written in a request.
pub(crate) fn action(action: Action) -> &'static str {
    match action {
        Action::Delete => "delete",
        Action::Invalidate => "invalidate",
        Action::Soft => "soft",
    }
}

/// Layers as they are written in a request.
pub(crate) fn layers_of(layers: Layers) -> Vec<&'static str> {
    [("edge", layers.edge), ("l2", layers.l2)].into_iter().filter_map(|(name, yes)| yes.then_some(name)).collect()
}

/// What a selector costs as a live rule.
pub(super) fn cost(cost: &Cost) -> Value {
    let budget = cost.budget.map(|(name, limit)| json!({ "name": name, "limit": limit }));
    json!({
        "class": cost.class.as_str(),
        "work": cost.work,
        "memory": cost.memory,
        "places": cost.places,
        "budget": budget,
    })
}

pub(super) fn count(count: Count) -> Value {
    json!({ "objects": count.objects, "bytes": count.bytes })
}

/// Milliseconds since the Unix epoch in the form of RFC 3339.
pub(crate) fn instant(ms: u64) -> String {
    // Past what the form can say (the year 9999) there is nothing better than its end.
    let latest = Duration::from_millis(253_402_300_799_000);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms).min(latest)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Selector, String> {
        serde_json::from_str(text).map(|Wire(selector)| selector).map_err(|error| error.to_string())
    }

    #[test]
    fn selectors_read_and_write_alike() {
        for text in [
            r#"{"url":"http://h/p"}"#,
            r#"{"key":"http://h/p@@v"}"#,
            r#"{"variant":{"headers":{"Accept-Encoding":"gzip"},"key":"http://h/p"}}"#,
            r#"{"pattern":"http://h/*"}"#,
            r#"{"glob":"http://h/*"}"#,
            r#"{"regex":"http://h/.*"}"#,
            r#"{"host":"h"}"#,
            r#"{"tag":"t"}"#,
            r#"{"all":true}"#,
        ] {
            let read = read(text).expect(text);
            assert_eq!(selector(&read).to_string(), text);
        }
    }

    #[test]
    fn half_selectors_are_refused() {
        for text in [
            "{}",
            r#"{"url":"a","url":"b"}"#,
            r#"{"url":"a","host":"b"}"#,
            r#"{"URL":"a"}"#,
            r#"{"url":1}"#,
            r#"{"all":false}"#,
            r#"{"variant":{"headers":{}}}"#,
            r#"["url","a"]"#,
            r#""url""#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
