//! Garbage at every dialect: valid requests with random damage, mostly signed afterwards so that it gets past the door. No request panics, is
//! answered with a server error or with JSON that is none, or takes what is another account's.
//!
//! 4,000 requests for each of the five dialects; `GARBAGE_REQUESTS` makes it more, `GARBAGE_SEED` others. A failure names the request.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common::Fixture;
use hmac::{Hmac, Mac};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use oust::clock::Clock;
use oust_api::{Account, Azion, Cdnetworks, ImageKit, Medianova, Naver, Rate};
use serde_json::{Value, json};

/// What a request proves itself with.
#[derive(Debug, Clone, Copy)]
enum Proof {
    Nothing,
    Field(&'static str, &'static str),
    Naver,
    Cdnetworks,
}

/// A request that is accepted as it is, with an id of an earlier answer in place of `{id}`.
#[derive(Debug)]
struct Seed {
    method: Method,
    target: &'static str,
    proof: Proof,
    body: &'static str,
}

const fn post(proof: Proof, target: &'static str, body: &'static str) -> Seed {
    Seed { method: Method::POST, target, proof, body }
}

const fn get(proof: Proof, target: &'static str) -> Seed {
    Seed { method: Method::GET, target, proof, body: "" }
}

const TOKEN: Proof = Proof::Field("authorization", "Token 583f8a9ca8d6");
const BEARER: Proof = Proof::Field("authorization", "Bearer fixed-token");
const BASIC: Proof = Proof::Field("authorization", "Basic cHJpdmF0ZV9hYmM6");

const AZION: &[Seed] = &[
    post(TOKEN, "/purge/url", r#"{"urls":["www.example.com/a","https://www.example.com/b?c=*"],"method":"delete"}"#),
    post(
        TOKEN,
        "/purge/cachekey",
        r#"{"urls":["httpswww.example.com/a@@v=1","www.example.com/b@@v=2"],"method":"delete","layer":"edge_caching"}"#,
    ),
    post(TOKEN, "/purge/wildcard", r#"{"urls":["http://www.example.com/*a*?b*@@*"],"method":"delete"}"#),
    post(TOKEN, "/v4/workspace/purge/url", r#"{"items":["http://www.example.com/a"],"layer":"cache"}"#),
    post(TOKEN, "/v4/edge/purge/wildcard", r#"{"items":["www.example.com/a*"],"layer":"edge_cache"}"#),
];

const NAVER: &[Seed] = &[
    post(Proof::Naver, "/api/v1/purge", r#"{"edgeId":11197,"purgeType":"ALL"}"#),
    post(Proof::Naver, "/api/v1/purge", r#"{"edgeId":11197,"purgeType":"DIRECTORY","purgeTarget":["/a/*","/*"]}"#),
    post(Proof::Naver, "/api/v1/purge", r#"{"edgeId":11197,"purgeType":"PATTERN","purgeTarget":["/a/*.png"]}"#),
    post(Proof::Naver, "/api/v1/purge", r#"{"edgeId":11197,"purgeType":"URL","purgeTarget":["/a?b=c","/a"]}"#),
    get(Proof::Naver, "/api/v1/purge/{id}?responseFormatType=json&regionCode=KR"),
];

const MEDIANOVA: &[Seed] = &[
    post(Proof::Nothing, "/api/v1/auth/login/token", r#"{"api_key":"key","api_secret":"secret"}"#),
    post(BEARER, "/api/v1/cdn/o/job/r/purge", r#"{"resource_uuid":"r","file_path":["/a","/a*","/*/b.jpg","/c?d=*"]}"#),
    get(BEARER, "/api/v1/cdn/o/job/r/purge?page=1&limit=10"),
    get(BEARER, "/api/v1/cdn/o/job/r/purge?page=1&limit=10&opID={id}"),
];

const CDNETWORKS: &[Seed] = &[
    post(
        Proof::Cdnetworks,
        "/cdn/purges",
        r#"{"name":"n","fileUrls":["http://www.example.com/a"],"fileHeaders":[{"name":"accept-encoding","value":"gzip"}],"action":"delete","target":"production"}"#,
    ),
    post(
        Proof::Cdnetworks,
        "/cdn/purges",
        r#"{"dirUrls":["https://www.example.com/a/*","http://www.example.com/b**jpg"],"target":"production"}"#,
    ),
    post(
        Proof::Cdnetworks,
        "/cdn/purges",
        r#"{"regexPatterns":["any://www.example.com/a.*\\.(jpg|png)"],"target":"production"}"#,
    ),
    post(Proof::Cdnetworks, "/cdn/webhooks", r#"{"name":"n","url":"http://hooks.example/","description":"d"}"#),
    get(Proof::Cdnetworks, "/cdn/purges?limit=10&offset=0&sortBy=submissionTime&sortOrder=desc"),
    get(Proof::Cdnetworks, "/cdn/webhooks"),
];

const IMAGEKIT: &[Seed] = &[
    post(BASIC, "/v1/files/purge", r#"{"url":"https://www.example.com/a.jpg?tr=w-1"}"#),
    post(BASIC, "/v1/files/purge", r#"{"url":"https://www.example.com/one/two/a*"}"#),
    get(BASIC, "/v1/files/purge/{id}"),
];

/// Pieces that paths, hosts, patterns, escapes and JSON break on.
const WORDS: &[&str] = &[
    "*",
    "**",
    "***",
    "/",
    "//",
    "/./",
    "/../",
    "..",
    ".",
    "%",
    "%2",
    "%2F",
    "%2f",
    "%zz",
    "%00",
    "%FF",
    "@",
    "@@",
    "@@*",
    "?",
    "??",
    "&",
    "=",
    "#",
    ";",
    ",",
    "+",
    "|",
    ":",
    ":80",
    ":99999",
    "://",
    "http://",
    "https://",
    "any://",
    "http",
    "ftp://",
    "www.example.com",
    "other.example",
    "*.example.com",
    "example.com.",
    "[::1]",
    "127.0.0.1",
    "xn--a",
    "\u{df}.de",
    "a",
    "b.jpg",
    ".png",
    "/*.png",
    "\\*",
    "\\",
    "\"",
    "'",
    "`",
    "^",
    "$",
    "(a|b)+",
    "((a",
    "[a-",
    "[^/]",
    "{1,59}",
    "{60}",
    "{",
    "}",
    "\\d",
    "(?=a)",
    " ",
    "\t",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{e9}",
    "\u{10ffff}",
    "\u{202e}",
    "0",
    "-1",
    "1e999",
    "18446744073709551616",
    "null",
    "true",
    "delete",
    "invalidate",
    "l2_caching",
    "tiered_cache",
    "staging",
    "ALL",
    "opID",
    "page",
    "limit",
    "target",
];

const FIELDS: &[&str] = &[
    "authorization",
    "org-token",
    "accept",
    "content-type",
    "date",
    "host",
    "x-cnc-date",
    "x-cnc-accesskey",
    "x-cnc-timestamp",
    "x-cnc-auth-method",
    "x-ncp-apigw-timestamp",
    "x-ncp-iam-access-key",
    "x-ncp-apigw-signature-v2",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A text of some words, now and then a long one.
    fn text(&mut self) -> String {
        if self.one_in(60) {
            return self.of(WORDS).repeat(1 + self.below(4000));
        }
        (0..self.below(6)).map(|_| *self.of(WORDS)).collect()
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 9 } else { 12 }) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(self.next()),
            3 => json!(-1),
            4 => json!(1e300),
            5 => json!(0),
            6..=8 => json!(self.text()),
            9 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            10 => vec![self.value(depth - 1); self.below(150)].into(),
            _ => Value::Object((0..self.below(3)).map(|_| (self.text(), self.value(depth - 1))).collect()),
        }
    }

    /// Changes something within a value.
    fn change(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && !self.one_in(12) => {
                let name = fields.keys().nth(self.below(fields.len())).unwrap().clone();
                match self.below(8) {
                    0 => drop(fields.remove(&name)),
                    1 => drop(fields.insert(self.text(), Value::Null)),
                    _ => self.change(fields.get_mut(&name).unwrap()),
                }
            }
            Value::Array(items) if !items.is_empty() && !self.one_in(12) => match self.below(8) {
                0 => drop(items.remove(self.below(items.len()))),
                1 => items.push(self.value(1)),
                _ => {
                    let index = self.below(items.len());
                    self.change(&mut items[index]);
                }
            },
            Value::String(text) if !self.one_in(6) => {
                let boundaries: Vec<usize> = (0..=text.len()).filter(|&at| text.is_char_boundary(at)).collect();
                let (a, b) = (*self.of(&boundaries), *self.of(&boundaries));
                let words = self.text();
                text.replace_range(if self.one_in(2) { a..a } else { a.min(b)..a.max(b) }, &words);
            }
            _ => *value = self.value(3),
        }
    }

    /// Damages bytes.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match self.below(5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 => drop(bytes.splice(at..at, self.text().into_bytes())),
            3 => {
                let end = at + self.below(bytes.len() - at + 1);
                bytes.drain(at..end);
            }
            _ => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
        }
    }
}

/// The request of a seed, with `damages` damages; `None` if it is no request at all any more.
fn request(random: &mut Random, seed: &Seed, ids: &[String], damages: usize, now_ms: u64) -> Option<Request<Bytes>> {
    let mut method = seed.method.clone();
    let id = ids.last().map_or("0", |_| random.of(ids).as_str());
    let mut target = seed.target.replace("{id}", id);
    let mut fields: Vec<(String, Vec<u8>)> = vec![("content-type".into(), b"application/json".to_vec())];
    let mut body = seed.body.as_bytes().to_vec();
    for _ in 0..damages {
        match random.below(16) {
            0 => method = random.of(&[Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD]).clone(),
            1 | 2 => {
                let mut bytes = target.into_bytes();
                random.damage(&mut bytes);
                target = String::from_utf8_lossy(&bytes).into_owned();
            }
            3 => target = format!("{target}{}{}={}", random.of(&["?", "&"]), random.of(WORDS), random.text()),
            4 => fields.push(((*random.of(FIELDS)).to_owned(), random.text().into_bytes())),
            5 | 6 => random.damage(&mut body),
            _ => {
                if let Ok(mut value) = serde_json::from_slice(&body) {
                    random.change(&mut value);
                    body = value.to_string().into_bytes();
                }
            }
        }
    }
    prove(seed.proof, method.as_str(), &target, now_ms, &mut fields);
    if damages > 0 && random.one_in(4) {
        let index = random.below(fields.len());
        random.damage(&mut fields[index].1);
    }
    let mut request = Request::builder().method(method).uri(target).body(Bytes::from(body)).ok()?;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(&value).ok()?);
    }
    Some(request)
}

/// Adds what proves who sent it.
fn prove(proof: Proof, method: &str, target: &str, now_ms: u64, fields: &mut Vec<(String, Vec<u8>)>) {
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value.into_bytes()));
    match proof {
        Proof::Nothing => {}
        Proof::Field(name, value) => add(name, value.to_owned()),
        Proof::Naver => {
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"SK").unwrap();
            mac.update(format!("{method} {target}\n{now_ms}\nAK").as_bytes());
            add("x-ncp-apigw-timestamp", now_ms.to_string());
            add("x-ncp-iam-access-key", "AK".to_owned());
            add("x-ncp-apigw-signature-v2", STANDARD.encode(mac.finalize().into_bytes()));
        }
        Proof::Cdnetworks => {
            let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(now_ms));
            let mut mac = Hmac::<sha1::Sha1>::new_from_slice(b"cdn-key").unwrap();
            mac.update(date.as_bytes());
            let password = STANDARD.encode(mac.finalize().into_bytes());
            add("date", date);
            add("authorization", format!("Basic {}", STANDARD.encode(format!("user:{password}"))));
        }
    }
}

/// Two accounts; whoever is asked, requests prove themselves as the first.
fn fixture() -> Fixture {
    let often = Rate::new(1 << 40, 60);
    let resources = |host: &str| [("r".to_owned(), host.to_owned())].into();
    let acme = Account {
        azion: Some(Azion { tokens: vec!["583f8a9ca8d6".into()], url: often, wildcard: often }),
        naver: Some(Naver { access_key: "AK".into(), secret_key: "SK".into(), edge_id: 11197 }),
        medianova: Some(Medianova {
            organization: "o".into(),
            resources: resources("www.example.com"),
            tokens: vec!["fixed-token".into()],
            api_key: "key".into(),
            api_secret: "secret".into(),
        }),
        cdnetworks: Some(Cdnetworks {
            user: "user".into(),
            api_key: "cdn-key".into(),
            access_key: "cdn-ak".into(),
            secret_key: "cdn-sk".into(),
            rate: often,
        }),
        imagekit: Some(ImageKit { private_key: "private_abc".into(), monthly: 1 << 40, wildcard: true }),
        ..Account::new("acme", ["www.example.com", "img.example.com"])
    };
    let other = Account {
        naver: Some(Naver { access_key: "OTHER".into(), secret_key: "OTHER".into(), edge_id: 2 }),
        medianova: Some(Medianova {
            organization: "p".into(),
            resources: resources("other.example"),
            ..Medianova::default()
        }),
        ..Account::new("other", ["other.example", "*.example.com"])
    };
    Fixture::new([acme, other])
}

/// Ids that an answer may hold: every text and number in it, and the end of its `Location`.
fn collect(answer: &Response<Bytes>, json: &Value, ids: &mut Vec<String>) {
    match json {
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            ids.push(text.clone());
        }
        Value::Number(number) => ids.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(answer, item, ids)),
        Value::Object(fields) => fields.values().for_each(|field| collect(answer, field, ids)),
        _ => {}
    }
    if let Some(id) = answer.headers().get("location").and_then(|l| l.to_str().ok()?.rsplit('/').next()) {
        ids.push(id.to_owned());
    }
    let extra = ids.len().saturating_sub(64);
    ids.drain(..extra);
}

/// A number of the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn throw(stream: u64, seeds: &[Seed]) {
    let fixture = fixture();
    let requests = setting("GARBAGE_REQUESTS", 4_000);
    let mut random = Random(setting("GARBAGE_SEED", 0) << 8 | stream);
    let mut ids = Vec::new();
    let ours = ["http://www.example.com/a", "https://img.example.com/a/b.png?c@@v=1"];
    let theirs = ["http://other.example/a", "https://other.example/a/b.png", "http://sub.example.com/a?b=c@@v=1"];
    theirs.iter().for_each(|key| fixture.store(key));

    let built = answers(seeds);
    for seed in seeds {
        let request = request(&mut random, seed, &[], 0, fixture.clock.now_ms()).unwrap();
        let answer = fixture.api.handle(&request);
        let unknown = seed.target.contains("{id}") && answer.status().is_client_error();
        assert!(answer.status().is_success() || unknown || !built, "{seed:?}: {answer:?}");
    }

    let (mut sent, mut accepted) = (0, 0);
    while sent < requests {
        if sent % 64 == 0 {
            fixture.cache.sweep();
            fixture.clock.advance(Duration::from_millis(random.next() % 10_000));
            ours.iter().filter(|key| !fixture.holds(key)).for_each(|key| fixture.store(key));
            for callback in fixture.api.due_callbacks() {
                fixture.api.callback_done(callback.id, random.one_in(2));
            }
        }
        let (seed, damages) = (random.of(seeds), 1 + random.below(4));
        let Some(request) = request(&mut random, seed, &ids, damages, fixture.clock.now_ms()) else { continue };
        sent += 1;
        let answer = catch_unwind(AssertUnwindSafe(|| fixture.api.handle(&request)));
        let Ok(answer) = answer else { panic!("request {sent} panics: {request:?}") };
        assert!(!answer.status().is_server_error(), "request {sent}: {request:?}: {answer:?}");
        if answer.headers().get("content-type").is_some_and(|kind| kind == "application/json") {
            let json = serde_json::from_slice(answer.body());
            assert!(json.is_ok(), "request {sent}: {request:?}: {answer:?}");
            collect(&answer, &json.unwrap(), &mut ids);
        }
        accepted += u64::from(answer.status().is_success());
        assert!(theirs.iter().all(|key| fixture.holds(key)), "request {sent} takes another's: {request:?}");
    }
    // Damage that never gets past the door shows nothing.
    let few = requests / 20;
    assert!((few..requests - few).contains(&accepted) || !built, "{accepted} of {requests} were accepted");
}

/// Whether a dialect is there: its paths are known.
fn answers(seeds: &[Seed]) -> bool {
    let request = request(&mut Random(0), &seeds[0], &[], 0, common::NOW_MS).unwrap();
    fixture().api.handle(&request).status() != StatusCode::NOT_FOUND
}

macro_rules! dialects {
    ($($name:ident: $stream:literal, $seeds:ident;)*) => {$(
        #[test]
        fn $name() {
            throw($stream, $seeds);
        }
    )*};
}

dialects! {
    azion: 1, AZION;
    naver: 2, NAVER;
    medianova: 3, MEDIANOVA;
    cdnetworks: 4, CDNETWORKS;
    imagekit: 5, IMAGEKIT;
}
