//! The native admin API: any request, any body.
//!
//! No request panics or is answered with a server error; a refusal is a problem with a text; what is refused purges nothing and leaves no trace in
//! the history, and nobody purges without the role for it. What is accepted is in the history under the id it was given.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use oust::clock::ManualClock;
use oust::freshness::Freshness;
use oust::{Cache, Config, Fetch, Head, Key, Lookup};
use oust_reference::Entropy;
use oust_server_parts::AdminApi;
use serde_json::Value;
use tokio::runtime::Runtime;

const NOW_MS: u64 = 1_795_262_400_000;
const MAX_REQUESTS: usize = 6;
const MAX_BATCH: usize = 20;
const KEYS: [&str; 3] = ["http://h/a", "http://h/d/b.jpg?q=1@@v=1", "https://other.example/"];
const TOKENS: [(&str, &str, u8); 3] = [("r", "read", 0), ("p", "purge", 1), ("a", "admin", 2)];
const BEARERS: [&str; 8] =
    ["Bearer purge", "Bearer admin", "Bearer purge", "Bearer admin", "Bearer read", "Bearer x", "Basic purge", ""];

const BODIES: [&str; 12] = [
    r#"{"selectors":[{"url":"http://h/a"}]}"#,
    r#"{"selectors":[{"key":"http://h/d/b.jpg?q=1@@v=1"}],"action":"soft"}"#,
    r#"{"selectors":[{"pattern":"http://h/d/*"},{"glob":"any://h/*b*"}],"action":"invalidate","layers":["edge"]}"#,
    r#"{"selectors":[{"regex":"any://h/(a|d)[/.a-z]{0,9}"}],"durability":"memory"}"#,
    r#"{"selectors":[{"variant":{"key":"http://h/a","headers":{"Accept-Encoding":"gzip"}}}]}"#,
    r#"{"selectors":[{"host":"h"},{"host":"*.example"},{"host":"other.example:443"}]}"#,
    r#"{"selectors":[{"tag":"t"},{"all":true}],"action":"delete"}"#,
    r#"{"selectors":[{"last_wildcard":"http://h/a*/b**"}]}"#,
    r#"{"selectors":[],"action":"none","layers":[],"durability":"disk"}"#,
    r#"{"selectors":[{"url":1}],"layers":["l2"],"more":null}"#,
    r#"[{"url":"http://h/a"}]"#,
    r#"{"selectors":[{"url":"http://h/%zz"},{"pattern":"http://*/"},{"regex":"http://h/((((a{1,59}){1,59}){1,59}){1,59}){1,59}"}]}"#,
];
const WORDS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "1e999",
    "-0",
    "\\u0000",
    "\\ud800",
    "\"selectors\"",
    "\"url\"",
    "\"key\"",
    "\"pattern\"",
    "\"glob\"",
    "\"last_wildcard\"",
    "\"regex\"",
    "\"host\"",
    "\"tag\"",
    "\"variant\"",
    "\"headers\"",
    "\"all\"",
    "\"action\"",
    "\"layers\"",
    "\"durability\"",
    "http://h/",
    "any://",
    "**",
    "*",
    "@@",
    "%2F",
    "%",
    "{\"url\":\"http://h/a\"},",
    "(a+)+",
    "\\\\",
    "\u{e9}",
    " ",
];
const TARGETS: [&str; 18] = [
    "/v1/purges",
    "/v1/purges",
    "/v1/purges",
    "/v1/purges",
    "/v1/explain",
    "/v1/explain",
    "/v1/purges?limit=1",
    "/v1/purges?limit=0&before=x",
    "/v1/purges?before=1-1",
    "/v1/purges/{id}",
    "/v1/objects?url=http://h/a",
    "/v1/objects?key=http://h/%",
    "/v1/stats",
    "/v1/reload",
    "/metrics",
    "/healthz",
    "/v1/nothing",
    "/v1/objects?url=x&key=y",
];

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

/// Some requests, one after the other.
pub fn native_api(data: &[u8]) {
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().max_blocking_threads(1).build().unwrap_or_else(|error| panic!("{error}"))
        });
        runtime.block_on(run(&mut Entropy::new(data)));
    });
}

async fn run(entropy: &mut Entropy<'_>) {
    let rig = Rig::new();
    let mut id = "1-1".to_owned();
    for _ in 0..1 + entropy.below(MAX_REQUESTS) {
        let target = entropy.pick(&TARGETS).replace("{id}", &id);
        let reads = target.contains('?') || target.contains(&id) || target == "/v1/stats";
        let method = match entropy.below(12) {
            0 => entropy.pick(&[&Method::PUT, &Method::DELETE, &Method::HEAD, &Method::OPTIONS]).clone(),
            1 => Method::GET,
            _ if reads => Method::GET,
            _ => Method::POST,
        };
        let body = body(entropy);
        let bearer = entropy.pick(&BEARERS);
        let kind = if entropy.one_in(12) { "text/plain" } else { "application/json; charset=utf-8" };
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "localhost")
            .header("content-type", kind)
            .header("authorization", bearer)
            .body(Bytes::from(body));
        if let Ok(request) = request {
            rig.send(request, bearer, &mut id).await;
        }
    }
}

fn body(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let mut body = match entropy.below(8) {
        0 => (0..entropy.below(40)).map(|_| entropy.byte()).collect(),
        1 => (0..entropy.below(20)).flat_map(|_| entropy.pick(&WORDS).bytes()).collect(),
        2 => {
            let selectors = vec![r#"{"url":"http://h/a"}"#; entropy.below(MAX_BATCH + 4)].join(",");
            format!(r#"{{"selectors":[{selectors}]}}"#).into_bytes()
        }
        _ => entropy.pick(&BODIES).as_bytes().to_vec(),
    };
    for _ in 0..entropy.below(4) {
        let at = (usize::from(entropy.byte()) * 3) % (body.len() + 1);
        match entropy.below(4) {
            0 => body.truncate(at),
            1 if at < body.len() => body[at] ^= 1 << entropy.below(8),
            2 => {
                let end = at + entropy.below(body.len() - at + 1);
                body.drain(at..end);
            }
            _ => drop(body.splice(at..at, entropy.pick(&WORDS).bytes())),
        }
    }
    if entropy.one_in(64) {
        // Deeper than a reader's stack should go.
        body = [vec![b'['; 20_000], body].concat();
    }
    body
}

struct Rig {
    cache: Cache,
    api: AdminApi,
}

impl Rig {
    fn new() -> Self {
        let config = Config::new().edge_size(1 << 20).background_sweep(false).max_batch(MAX_BATCH);
        let cache = config.clock(Arc::new(ManualClock::new(NOW_MS))).build().unwrap_or_else(|error| panic!("{error}"));
        let api = AdminApi::new(cache.clone(), &TOKENS, MAX_BATCH);
        let rig = Self { cache, api };
        KEYS.iter().for_each(|key| rig.store(key));
        rig
    }

    fn key(text: &str) -> Key {
        Key::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn store(&self, key: &str) {
        let Fetch::Lead(ticket) = self.cache.fetch(&Self::key(key), &HeaderMap::new(), None) else {
            panic!("{key} is being filled")
        };
        let head = Head::new(StatusCode::OK, HeaderMap::new());
        ticket.store(head, Bytes::from_static(b"body"), Freshness::fresh_for(Duration::from_secs(86_400)), &[]);
    }

    fn holds(&self, key: &str) -> bool {
        matches!(self.cache.lookup(&Self::key(key), &HeaderMap::new()), Lookup::Hit(_))
    }

    /// The id of the newest purge.
    fn newest(&self) -> Option<String> {
        self.cache.purge_records(None, 1).first().map(|record| record.id.to_string())
    }

    async fn send(&self, request: Request<Bytes>, bearer: &str, id: &mut String) {
        let before = self.newest();
        let told = format!("{request:?}");
        let may_purge = matches!(bearer, "Bearer purge" | "Bearer admin");
        let is_purge = request.method() == Method::POST && request.uri().path() == "/v1/purges";
        // HEAD has no body, and a refusal of a method may have none.
        let is_head = request.method() == Method::HEAD;
        let (status, kind, body) = self.api.call(request).await;
        assert!(!status.is_server_error(), "{status} {}: {told}", body.escape_ascii());
        let after = self.newest();
        if status == StatusCode::OK && is_purge {
            assert!(may_purge, "purged without the role for it: {told}");
            let ack: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {told}"));
            let given = ack.get("id").and_then(Value::as_str).map(str::to_owned);
            assert!(given.is_some() && after == given, "{ack}: the history has {after:?}: {told}");
            *id = given.unwrap_or_default();
            KEYS.iter().filter(|key| !self.holds(key)).for_each(|key| self.store(key));
            return;
        }
        assert_eq!(before, after, "{status}: a trace in the history: {told}");
        for key in KEYS {
            assert!(self.holds(key), "{status}: {key} is gone: {told}");
        }
        if status.is_client_error() && !is_head {
            assert_eq!(kind.as_deref(), Some("application/problem+json"), "{status}: {told}");
            let problem: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {told}"));
            let detail = problem.get("detail").and_then(Value::as_str).unwrap_or_default();
            let stated = problem.get("status").and_then(Value::as_u64);
            assert!(!detail.is_empty() && stated == Some(status.as_u16().into()), "{problem}: {told}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Damage to what is refused anyway would show nothing.
    #[test]
    fn what_is_not_damaged_is_accepted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new();
            for body in &BODIES[..8] {
                let request = Request::post("/v1/purges").header("authorization", "Bearer purge");
                let request = request.header("content-type", "application/json").body(Bytes::from(*body)).unwrap();
                let mut id = String::new();
                rig.send(request, "Bearer purge", &mut id).await;
                assert!(!id.is_empty(), "refused: {body}");
            }
        });
    }
}
