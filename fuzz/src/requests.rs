//! Arbitrary requests at the purge APIs, mostly signed after they were damaged so that they get past the door.
//!
//! No request panics, is answered with a server error or with a body that is neither JSON nor empty, costs more than 50 ms of CPU time, takes
//! anything without being accepted, or what is another account's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use oust::clock::{Clock, ManualClock};
use oust::freshness::Freshness;
use oust::{Cache, Config, Fetch, Head, Key, Lookup};
use oust_api::Api;
use oust_reference::{self as reference, Entropy, dialect_pattern};
use serde_json::{Value, json};

use crate::cost::{SLOW, measured};
use crate::signed::{ACCEPTED, accounts, prove};

/// Saturday, 21 November 2026, 12:00:00 UTC.
const NOW_MS: u64 = 1_795_262_400_000;
const MAX_MICROS: u64 = 50_000 * SLOW;
const MAX_REQUESTS: usize = 12;
const MAX_IDS: usize = 16;
/// Time is bounded for what fits; larger ones are none of this target's requests.
const MAX_BODY: usize = 64 << 10;

const OURS: [&str; 5] = [
    "http://www.example.com/a",
    "https://www.example.com/a/b.png?c@@v=1",
    "https://img.example.com/a/b.png?c@@v=1",
    "http://www.example.com/one/two/a.jpg",
    "http://www.example.com/",
];
const THEIRS: [&str; 4] = [
    "http://other.example/a",
    "https://other.example/a/b.png",
    "http://sub.example.com/a?b=c@@v=1",
    "http://www.example.com.other.example/a",
];
/// Hosts of nobody and of others.
const FOREIGN: [&str; 4] = ["other.example", "sub.example.com", "www.example.com.other.example", "nobody.example"];
/// What paths, hosts, escapes, numbers and JSON break on.
const WORDS: [&str; 40] = [
    "*",
    "**",
    "/",
    "//",
    "/../",
    "%",
    "%2F",
    "%FF",
    "@",
    "@@",
    "@@*",
    "?",
    "&",
    "#",
    ":",
    ":80",
    "://",
    "http://",
    "any://",
    "www.example.com",
    "other.example",
    "*.example.com",
    "[::1]",
    "xn--a",
    "a",
    "b.png",
    "\\*",
    "\"",
    "(a|b)+",
    "[a-",
    "{1,59}",
    " ",
    "\0",
    "\u{e9}",
    "\u{10ffff}",
    "-1",
    "18446744073709551616",
    "staging",
    "l2_caching",
    "ALL",
];
const FIELDS: [&str; 11] = [
    "authorization",
    "org-token",
    "accept",
    "content-type",
    "date",
    "host",
    "x-cnc-date",
    "x-cnc-timestamp",
    "x-cnc-auth-method",
    "x-ncp-apigw-timestamp",
    "x-ncp-iam-access-key",
];
const METHODS: [Method; 8] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::HEAD,
    Method::PATCH,
    Method::OPTIONS,
    Method::CONNECT,
];

/// Some requests, one after the other.
pub fn dialect_requests(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    let rig = Rig::new();
    let mut ids = Vec::new();
    for _ in 0..MAX_REQUESTS {
        let request =
            if entropy.one_in(8) { raw(&mut entropy) } else { damaged(&mut entropy, &ids, rig.clock.now_ms()) };
        if let Some(request) = request {
            rig.send(&request, &mut ids);
        }
        if entropy.one_in(4) {
            rig.clock.advance(Duration::from_millis(u64::from(entropy.byte()) * 40));
            for callback in rig.api.due_callbacks() {
                rig.api.callback_done(callback.id, entropy.one_in(2));
            }
        }
        if entropy.is_empty() {
            break;
        }
    }
}

struct Rig {
    cache: Cache,
    api: Api,
    clock: Arc<ManualClock>,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let config = Config::new().edge_size(16 << 20).background_sweep(false).shards(2).clock(Arc::clone(&clock) as _);
        let cache = config.build().unwrap_or_else(|error| panic!("{error}"));
        let api = Api::with_clock(cache.clone(), accounts(), Arc::clone(&clock) as _);
        let rig = Self { cache, api: api.unwrap_or_else(|error| panic!("{error}")), clock };
        OURS.iter().chain(&THEIRS).for_each(|key| rig.store(key));
        rig
    }

    fn store(&self, key: &str) {
        let text = key;
        let key = Key::parse(key.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let Fetch::Lead(ticket) = self.cache.fetch(&key, &HeaderMap::new(), None) else {
            panic!("{text} is being filled")
        };
        let head = Head::new(StatusCode::OK, HeaderMap::new());
        ticket.store(head, Bytes::from_static(b"body"), Freshness::fresh_for(Duration::from_secs(86_400)), &[]);
        assert!(self.holds(text), "{text} is not stored");
    }

    fn holds(&self, key: &str) -> bool {
        let key = Key::parse(key.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        matches!(self.cache.lookup(&key, &HeaderMap::new()), Lookup::Hit(_))
    }

    /// Sends it and checks what comes of it; returns the status.
    fn send(&self, request: &Request<Bytes>, ids: &mut Vec<String>) -> StatusCode {
        let (answer, cost) = measured(|| self.api.handle(request));
        let status = answer.status();
        assert!(!status.is_server_error(), "{request:?}: {answer:?}");
        assert!(cost.micros <= MAX_MICROS, "{cost:?}, at most {MAX_MICROS} us: {request:?}");
        if !answer.body().is_empty() {
            let body: Result<Value, _> = serde_json::from_slice(answer.body());
            let body = body.unwrap_or_else(|error| panic!("{error}: {request:?}: {answer:?}"));
            collect(&body, ids);
        }
        if let Some(id) = answer.headers().get("location").and_then(|at| at.to_str().ok()?.rsplit('/').next()) {
            ids.push(id.to_owned());
        }
        ids.drain(..ids.len().saturating_sub(MAX_IDS));
        for key in THEIRS {
            assert!(self.holds(key), "another's {key} is gone: {request:?}: {answer:?}");
        }
        for key in OURS {
            if !self.holds(key) {
                assert!(status.is_success(), "{key} is gone though refused: {request:?}: {answer:?}");
                self.store(key);
            }
        }
        status
    }
}

/// Texts and numbers of an answer, which may be ids.
fn collect(json: &Value, ids: &mut Vec<String>) {
    match json {
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            ids.push(text.clone());
        }
        Value::Number(number) => ids.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, ids)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, ids)),
        _ => {}
    }
}

fn assembled(method: Method, target: &str, fields: &[(String, Vec<u8>)], body: Vec<u8>) -> Option<Request<Bytes>> {
    if body.len() > MAX_BODY {
        return None;
    }
    let mut request = Request::builder().method(method).uri(target).body(Bytes::from(body)).ok()?;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(request)
}

/// Method, target, a field and body as they come.
fn raw(entropy: &mut Entropy<'_>) -> Option<Request<Bytes>> {
    let mut line = |most: usize| -> Vec<u8> { (0..entropy.below(most)).map(|_| entropy.byte()).collect() };
    let (method, target, value, body) = (line(8), line(48), line(48), line(200));
    let method = Method::from_bytes(&method).unwrap_or(Method::POST);
    let field = (entropy.pick(&FIELDS).to_owned(), value);
    assembled(method, &String::from_utf8_lossy(&target), &[field], body)
}

/// A request that is accepted, as it is or damaged, then signed, now and then damaged again.
fn damaged(entropy: &mut Entropy<'_>, ids: &[String], now_ms: u64) -> Option<Request<Bytes>> {
    let (proof, target, body) = entropy.pick(&ACCEPTED);
    let mut method = if body.is_empty() { Method::GET } else { Method::POST };
    let mut target = target.replace("{id}", ids.get(entropy.below(ids.len())).map_or("0", String::as_str));
    let mut fields = vec![("content-type".to_owned(), b"application/json".to_vec())];
    let mut body = body.as_bytes().to_vec();
    let damages = entropy.below(4);
    for _ in 0..damages {
        match entropy.below(12) {
            0 => method = METHODS[entropy.below(METHODS.len())].clone(),
            1 => {
                let mut bytes = target.into_bytes();
                damage(entropy, &mut bytes);
                target = String::from_utf8_lossy(&bytes).into_owned();
            }
            2 => target = format!("{target}{}{}={}", entropy.pick(&["?", "&"]), entropy.pick(&WORDS), text(entropy)),
            3 => fields.push((entropy.pick(&FIELDS).to_owned(), text(entropy).into_bytes())),
            4 | 5 => damage(entropy, &mut body),
            _ => {
                if let Ok(mut value) = serde_json::from_slice(&body) {
                    change(entropy, &mut value);
                    body = value.to_string().into_bytes();
                }
            }
        }
    }
    prove(proof, method.as_str(), &target, &body, now_ms, &mut fields);
    if damages > 0 && entropy.one_in(6) {
        let at = entropy.below(fields.len());
        damage(entropy, &mut fields[at].1);
    }
    assembled(method, &target, &fields, body)
}

/// A pattern of some language, or some words.
fn text(entropy: &mut Entropy<'_>) -> String {
    match entropy.below(16) {
        0..=8 => {
            let dialect = entropy.pick(&reference::Dialect::ALL);
            let pattern = dialect_pattern(dialect, entropy);
            // Mostly of the account, so that it gets further.
            let own = pattern.replacen("://h/", "://www.example.com/", 1);
            if own.starts_with("h/") { format!("www.example.com{}", &own[1..]) } else { own }
        }
        // Something that is there, whole or its beginning.
        10..=12 => {
            let key = if entropy.one_in(2) { entropy.pick(&THEIRS) } else { entropy.pick(&OURS) };
            let url = key.split("@@").next().unwrap_or(key);
            match entropy.below(4) {
                0 => key.to_owned(),
                1 => url.to_owned(),
                2 => format!("{url}*"),
                _ => format!("{}/*", url.rsplit_once('/').map_or(url, |(dir, _)| dir)),
            }
        }
        9 => entropy.pick(&WORDS).repeat(1 + entropy.below(256) * entropy.below(32)),
        _ => (0..entropy.below(6)).map(|_| entropy.pick(&WORDS)).collect(),
    }
}

fn value(entropy: &mut Entropy<'_>, depth: usize) -> Value {
    match entropy.below(if depth == 0 { 9 } else { 12 }) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(u64::MAX),
        3 => json!(-1),
        4 => json!(1e300),
        5 => json!(entropy.byte()),
        6..=8 => json!(text(entropy)),
        9 => (0..entropy.below(4)).map(|_| value(entropy, depth - 1)).collect(),
        10 => vec![json!(text(entropy)); entropy.below(150)].into(),
        _ => Value::Object((0..entropy.below(3)).map(|_| (text(entropy), value(entropy, depth - 1))).collect()),
    }
}

/// Changes something within a value.
fn change(entropy: &mut Entropy<'_>, at: &mut Value) {
    match at {
        Value::Object(fields) if !fields.is_empty() && !entropy.one_in(12) => {
            let name = fields.keys().nth(entropy.below(fields.len())).cloned().unwrap_or_default();
            match entropy.below(8) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(text(entropy), value(entropy, 1))),
                _ => fields.get_mut(&name).into_iter().for_each(|field| change(entropy, field)),
            }
        }
        Value::Array(items) if !items.is_empty() && !entropy.one_in(12) => match entropy.below(6) {
            0 => drop(items.remove(entropy.below(items.len()))),
            1 | 2 => items.push(json!(text(entropy))),
            _ => {
                let index = entropy.below(items.len());
                change(entropy, &mut items[index]);
            }
        },
        Value::String(old) if entropy.one_in(3) => {
            *old = old.replacen("www.example.com", entropy.pick(&FOREIGN), 1);
        }
        Value::String(old) if entropy.one_in(2) => {
            let mut bytes = std::mem::take(old).into_bytes();
            damage(entropy, &mut bytes);
            *old = String::from_utf8_lossy(&bytes).into_owned();
        }
        Value::String(old) => *old = text(entropy),
        _ => *at = value(entropy, 3),
    }
}

fn damage(entropy: &mut Entropy<'_>, bytes: &mut Vec<u8>) {
    let at = (usize::from(entropy.byte()) * 256 + usize::from(entropy.byte())) % (bytes.len() + 1);
    match entropy.below(5) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << entropy.below(8),
        2 => {
            let end = at + entropy.below(bytes.len() - at + 1);
            bytes.drain(at..end);
        }
        3 if bytes.len() < 1 << 16 => bytes.extend_from_within(at..),
        _ => drop(bytes.splice(at..at, entropy.pick(&WORDS).bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Damage to what is refused anyway would show nothing.
    #[test]
    fn what_is_not_damaged_is_accepted() {
        let rig = Rig::new();
        for (proof, target, body) in ACCEPTED.into_iter().filter(|row| !row.1.contains("{id}")) {
            let method = if body.is_empty() { Method::GET } else { Method::POST };
            let mut fields = vec![("content-type".to_owned(), b"application/json".to_vec())];
            prove(proof, method.as_str(), target, body.as_bytes(), NOW_MS, &mut fields);
            let request = assembled(method, target, &fields, body.as_bytes().to_vec()).unwrap();
            let status = rig.send(&request, &mut Vec::new());
            assert!(status.is_success(), "{status}: {request:?}");
        }
    }
}
