//! The JSON of the native API: purges read, records and figures written. Names and shapes are those of the server's admin API.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{HeaderValue, RETRY_AFTER};
use oust::Reason;
use oust::cache::{Explained, L2State, Stats};
use oust::purge::{
    Action, Cost, Count, Durability, Layers, Purge, PurgeError, PurgeErrorKind, PurgeRecord, PurgeState, Selector,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::ffi::reply::Reply;

/// A refusal as `application/problem+json` (RFC 9457).
#[derive(Debug)]
pub(crate) struct Problem {
    status: u16,
    body: Box<Map<String, Value>>,
}

impl Problem {
    fn new(status: u16, detail: impl Into<String>) -> Self {
        let title = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let mut body = Map::new();
        body.insert("status".to_owned(), json!(status));
        body.insert("title".to_owned(), json!(title.unwrap_or("Error")));
        body.insert("detail".to_owned(), json!(detail.into()));
        Self { status, body: Box::new(body) }
    }

    fn bad(detail: impl Into<String>) -> Self {
        Self::new(400, detail)
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.body.insert(member.to_owned(), value);
        self
    }

    pub(crate) fn into_reply(self) -> Reply {
        let mut reply = Reply::json(self.status, &Value::Object(*self.body));
        if self.status == 429 {
            // Rules are retired as they are swept, which takes milliseconds to seconds.
            reply.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        reply
    }
}

impl From<PurgeError> for Problem {
    fn from(error: PurgeError) -> Self {
        let status = match error.kind() {
            PurgeErrorKind::TooLarge => 413,
            PurgeErrorKind::OverBudget => 422,
            PurgeErrorKind::TooManyRules => 429,
            PurgeErrorKind::NotDurable => 503,
            _ => 400,
        };
        let mut problem = Self::new(status, error.to_string());
        if let Some(selector) = error.selector() {
            problem = problem.with("selector", json!(selector));
        }
        if let Some(position) = error.position() {
            problem = problem.with("position", json!(position));
        }
        if let Some((name, value)) = error.limit() {
            problem = problem.with("limit", json!({ "name": name, "value": value }));
        }
        problem
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    selectors: Vec<&'a RawValue>,
    action: Option<String>,
    layers: Option<Vec<String>>,
    durability: Option<String>,
}

/// Reads the body of a purge or of an explain.
pub(crate) fn purge(body: &[u8], by: String, max_batch: usize, has_l2: bool) -> Result<Purge, Problem> {
    let body: Body<'_> = serde_json::from_slice(body).map_err(|error| Problem::bad(format!("body: {error}")))?;
    if body.selectors.is_empty() {
        return Err(Problem::bad("`selectors` is empty"));
    }
    if body.selectors.len() > max_batch {
        let detail = format!("{} selectors in one request, {max_batch} are allowed", body.selectors.len());
        let limit = json!({ "name": "max_batch", "value": max_batch });
        return Err(Problem::new(413, detail).with("limit", limit));
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
            .map_err(|error| Problem::bad(format!("selector {index}: {error}")).with("selector", json!(index)))?;
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

fn selector(selector: &Selector) -> Value {
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

/// What a purge is answered with.
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

/// Purges as the history tells them.
pub(crate) fn history(records: &[PurgeRecord]) -> Value {
    json!({ "purges": records.iter().map(record).collect::<Vec<_>>() })
}

fn record(record: &PurgeRecord) -> Value {
    let state = match record.state {
        PurgeState::Swept => "swept",
        _ => "effective",
    };
    let action = match record.action {
        Action::Delete => "delete",
        Action::Invalidate => "invalidate",
        Action::Soft => "soft",
    };
    let layers = [("edge", record.layers.edge), ("l2", record.layers.l2)];
    json!({
        "id": record.id.to_string(),
        "epoch": record.id.epoch,
        "seq": record.id.seq,
        "state": state,
        "durable": record.durable,
        "rules": record.rules,
        "selectors": record.selectors.iter().map(selector).collect::<Vec<_>>(),
        "action": action,
        "layers": layers.into_iter().filter_map(|(name, yes)| yes.then_some(name)).collect::<Vec<_>>(),
        "by": record.by,
        "created": instant(record.created_ms),
        "swept_at": record.swept_ms.map(instant),
        "edge": count(record.edge),
        "l2": count(record.l2),
    })
}

/// What a purge would take.
pub(crate) fn explained(explained: &Explained, has_l2: bool) -> Value {
    let mut edge = count(explained.edge);
    if let Some(edge) = edge.as_object_mut() {
        edge.insert("sample".to_owned(), json!(explained.sample));
    }
    let costs: Vec<Value> = explained.costs.iter().map(cost).collect();
    let mut answer = json!({ "edge": edge, "partial": explained.partial, "costs": costs });
    if let Some(members) = answer.as_object_mut().filter(|_| has_l2) {
        members.insert("l2".to_owned(), count(explained.l2));
    }
    answer
}

fn cost(cost: &Cost) -> Value {
    let budget = cost.budget.map(|(name, limit)| json!({ "name": name, "limit": limit }));
    json!({
        "class": cost.class.as_str(),
        "work": cost.work,
        "memory": cost.memory,
        "places": cost.places,
        "budget": budget,
    })
}

fn count(count: Count) -> Value {
    json!({ "objects": count.objects, "bytes": count.bytes })
}

/// Figures of a cache.
pub(crate) fn stats(stats: &Stats) -> Value {
    let by_reason = |counts: &[(Reason, u64)]| -> Map<String, Value> {
        counts.iter().map(|(reason, count)| (reason.to_string(), json!(count))).collect()
    };
    let l2 = stats.l2.as_ref().map_or_else(
        || json!({ "state": "off" }),
        |l2| {
            let state = match l2.state {
                L2State::Loading => "loading",
                L2State::Ok => "ok",
                _ => "degraded",
            };
            json!({
                "state": state,
                "objects": l2.objects,
                "bytes": l2.bytes,
                "capacity": l2.capacity,
                "pinned_bytes": l2.pinned_bytes,
                "memory_bytes": l2.memory_bytes,
                "segments": l2.segments,
                "hits": l2.hits,
                "deferred": l2.deferred,
                "busy": l2.busy,
                "promoted": l2.promoted,
                "written": l2.written,
                "not_written": l2.not_written,
                "waiting_bytes": l2.waiting_bytes,
                "refused": l2.refused,
                "appended_bytes": l2.appended_bytes,
                "evicted_segments": l2.evicted_segments,
                "reinserted": l2.reinserted,
                "read_errors": l2.read_errors,
                "damaged": l2.damaged,
                "dropped_segments": l2.dropped_segments,
                "io_errors": l2.io_errors,
                "sweep_lag_rules": stats.seq.saturating_sub(l2.swept_upto),
                "journal": {
                    "bytes": l2.journal_bytes,
                    "syncs": l2.journal_syncs,
                    "failures": l2.journal_failures,
                    "sync_seconds": l2.journal_time.as_secs_f64(),
                },
            })
        },
    );
    json!({
        "lookups": {
            "hits": stats.hits,
            "stale": stats.stale,
            "must_validate": stats.must_validate,
            "misses": by_reason(&stats.misses),
        },
        "fills": {
            "in_flight": stats.fills,
            "in_flight_bytes": stats.fill_bytes,
            "stored": stats.stored,
            "skipped": by_reason(&stats.skipped),
        },
        "edge": {
            "objects": stats.objects,
            "bytes": stats.bytes,
            "capacity": stats.capacity,
            "evicted": stats.evicted,
            "pinned_bytes": stats.pinned_bytes,
        },
        "l2": l2,
        "purges": {
            "seq": stats.seq,
            "low_water": stats.low_water,
            "live_rules": stats.live_rules,
            "max_rules": stats.max_rules,
            "oldest_unswept_ms": stats.oldest_unswept_ms,
            "rule_table_bytes": stats.rule_table_bytes,
        },
    })
}

/// Milliseconds since the Unix epoch in the form of RFC 3339.
fn instant(ms: u64) -> String {
    // Past what the form can say (the year 9999) there is nothing better than its end.
    let latest = Duration::from_millis(253_402_300_799_000);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms).min(latest)).to_string()
}
