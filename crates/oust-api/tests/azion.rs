//! Azion Real-Time Purge as its clients see it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::time::Duration;

use common::{Answer, Fixture};
use http::{Method, StatusCode};
use oust::purge::Matcher;
use oust::site::{KeyPolicy, Site, Sites};
use oust::{Cache, Config, Key};
use oust_api::{Account, Api, Azion, Dialect, Rate};
use serde_json::{Value, json};

const TOKEN: (&str, &str) = ("authorization", "Token 583f8a9ca8d6");
const V3: (&str, &str) = ("accept", "application/json; version=3");
const CREATED: &str = "Purge request successfully created";
const FOREIGN: &str = "Unauthorized domain for your account";
/// Every path with what it purges.
const PATHS: [(&str, &str); 9] = [
    ("/purge/url", "url"),
    ("/purge/cachekey", "cachekey"),
    ("/purge/wildcard", "wildcard"),
    ("/v4/edge/purge/url", "url"),
    ("/v4/edge/purge/cachekey", "cachekey"),
    ("/v4/edge/purge/wildcard", "wildcard"),
    ("/v4/workspace/purge/url", "url"),
    ("/v4/workspace/purge/cachekey", "cachekey"),
    ("/v4/workspace/purge/wildcard", "wildcard"),
];

fn azion(token: &str) -> Azion {
    Azion { tokens: vec![token.into()], ..Azion::default() }
}

fn acme() -> Account {
    Account { azion: Some(azion("583f8a9ca8d6")), ..Account::new("acme", ["www.example.com", "*.img.example.com"]) }
}

fn globex() -> Account {
    Account { azion: Some(azion("0a1b2c")), ..Account::new("globex", ["www.example.org"]) }
}

fn fixture() -> Fixture {
    Fixture::new([acme(), globex()])
}

fn urls(urls: &[&str]) -> Value {
    json!({ "urls": urls, "method": "delete" })
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn the_documented_example_is_answered_as_documented() {
    let fixture = fixture();
    let (gone, gone_too, kept) =
        ("http://www.example.com/", "http://www.example.com/test.js", "http://static.example.net/a");
    for key in [gone, gone_too, kept] {
        fixture.store(key);
    }
    let answer = fixture.post("/purge/url", &[TOKEN], &urls(&[gone, kept, gone_too]));
    let groups = json!([
        { "status": "HTTP/1.1 201 CREATED", "urls": [gone, gone_too], "details": CREATED },
        { "status": "HTTP/1.1 403 FORBIDDEN", "urls": [kept], "details": FOREIGN },
    ]);
    assert_eq!((answer.status, answer.json), (StatusCode::MULTI_STATUS, groups));
    assert_eq!([gone, gone_too, kept].map(|key| fixture.holds(key)), [false, false, true]);
    let record = &fixture.cache.purge_records(None, 1)[0];
    assert_eq!((record.by.as_str(), record.layers.edge, record.layers.l2), ("acme", true, false));
    assert_eq!(record.action, oust::Action::Delete);
}

#[test]
fn statuses_by_version_and_outcome() {
    let (ours, theirs) = ("http://www.example.com/a", "http://www.example.org/a");
    let detail = json!({ "detail": CREATED, "details": CREATED });
    let foreign = json!({ "detail": FOREIGN });
    let group = |status: &str, url: &str, details: &str| json!({ "status": status, "urls": [url], "details": details });
    let good = group("HTTP/1.1 201 CREATED", ours, CREATED);
    let bad = group("HTTP/1.1 403 FORBIDDEN", theirs, FOREIGN);
    let one = "application/json; version=1";
    let two = "application/json;version=2";
    let three = "application/json; version=3";
    #[rustfmt::skip]
    let table: [(&str, &str, &[&str], u16, Value); 18] = [
        ("", "/purge/url", &[ours], 207, json!([good])),
        ("", "/purge/url", &[theirs], 207, json!([bad])),
        (one, "/purge/url", &[ours], 207, json!([good])),
        (two, "/purge/url", &[theirs, ours], 207, json!([good, bad])),
        ("*/*", "/purge/url", &[ours], 207, json!([good])),
        ("application/json, text/plain, */*", "/purge/url", &[ours], 207, json!([good])),
        ("text/html, application/json; version=\"3\"", "/purge/url", &[ours], 201, detail.clone()),
        ("application/json;version=3", "/purge/url", &[ours], 201, detail.clone()),
        (three, "/purge/url", &[theirs], 403, foreign.clone()),
        (three, "/purge/url", &[ours, theirs], 207, json!([good, bad])),
        ("", "/purge/cachekey", &[ours], 201, detail.clone()),
        (three, "/purge/cachekey", &[ours], 201, detail.clone()),
        ("", "/purge/cachekey", &[ours, theirs], 403, foreign.clone()),
        (three, "/purge/cachekey", &[theirs], 403, foreign.clone()),
        ("", "/purge/wildcard", &["http://www.example.com/*"], 201, detail.clone()),
        (three, "/purge/wildcard", &["http://www.example.com/*"], 201, detail),
        (one, "/purge/wildcard", &["http://www.example.org/*"], 403, foreign.clone()),
        (three, "/purge/wildcard", &["www.example.org/*"], 403, foreign),
    ];
    for (accept, path, items, status, body) in table {
        let fixture = fixture();
        fixture.store(ours);
        fixture.store(theirs);
        let accept: &[_] = if accept.is_empty() { &[TOKEN] } else { &[TOKEN, ("accept", accept)] };
        let answer = fixture.post(path, accept, &urls(items));
        assert_eq!((answer.status.as_u16(), &answer.json), (status, &body), "{accept:?} {path} {items:?}");
        assert_eq!(field(&answer, "content-type"), Some("application/json"));
        assert!(fixture.holds(theirs), "{path} {items:?}");
        let purged = items.iter().any(|item| item.starts_with("http://www.example.com/")) && status != 403;
        assert_eq!(fixture.holds(ours), !purged, "{path} {items:?}");
    }
}

#[test]
fn version_4_answers_with_state_and_data() {
    #[rustfmt::skip]
    let table = [
        ("/v4/workspace/purge/url", json!({ "items": ["http://www.example.com/a"] }), "cache"),
        ("/v4/edge/purge/url", json!({ "items": ["http://www.example.com/a"] }), "edge_cache"),
        ("/v4/edge/purge/cachekey", json!({ "items": ["www.example.com/a"], "layer": "edge_cache" }), "edge_cache"),
        ("/v4/workspace/purge/wildcard", json!({ "items": ["www.example.com/*"], "layer": "cache" }), "cache"),
        ("/v4/workspace/purge/url", json!({ "urls": ["www.example.com/a"], "method": "delete", "layer": "edge_caching" }), "edge_caching"),
    ];
    for (path, body, layer) in table {
        let fixture = fixture();
        fixture.store("http://www.example.com/a");
        let answer = fixture.post(path, &[TOKEN, V3], &body);
        let items = body.get("items").or_else(|| body.get("urls"));
        let executed = json!({ "state": "executed", "data": { "items": items, "layer": layer } });
        assert_eq!((answer.status, &answer.json), (StatusCode::CREATED, &executed), "{path} {body}");
        assert_eq!(field(&answer, "content-type"), Some("application/json"));
        assert!(!fixture.holds("http://www.example.com/a"), "{path} {body}");
    }
    let fixture = fixture();
    let answer = fixture.post("/v4/workspace/purge/url", &[TOKEN], &json!({ "items": ["www.example.com/", "x.org/"] }));
    let error = json!({
        "status": "403", "code": "10003", "title": "Not permitted", "detail": FOREIGN, "source": { "pointer": "/items/1" },
    });
    assert_eq!((answer.status, answer.json), (StatusCode::FORBIDDEN, json!({ "errors": [error] })));
    assert!(fixture.cache.purge_records(None, 1).is_empty());
}

#[test]
fn both_bodies_are_read_on_every_path() {
    for (path, kind) in PATHS {
        let item = if kind == "wildcard" { "http://www.example.com/a*" } else { "http://www.example.com/a" };
        for name in ["urls", "items"] {
            let fixture = fixture();
            fixture.store("http://www.example.com/a");
            // Content-Type is not looked at.
            let headers = [TOKEN, ("content-type", "application/x-www-form-urlencoded")];
            let answer = fixture.post(path, &headers, &json!({ name: [item], "unknown": 1 }));
            assert!(answer.status.is_success(), "{path} {name}: {answer:?}");
            assert!(!fixture.holds("http://www.example.com/a"), "{path} {name}");
        }
    }
}

#[test]
fn malformed_bodies_are_refused_and_purge_nothing() {
    let good = "http://www.example.com/a";
    let many: Vec<String> = (0..51).map(|n| format!("http://www.example.com/{n}")).collect();
    let long = format!("http://www.example.com/{}", "a".repeat(4096 - 22));
    let long_wildcard = format!("http://www.example.com/{}*", "a".repeat(256 - 23));
    #[rustfmt::skip]
    let table: [(&str, Value, &str); 24] = [
        ("url", json!({}), "/*"),
        ("url", json!({ "urls": null }), "/*"),
        ("url", json!({ "urls": [good], "items": [good] }), "/items"),
        ("url", json!({ "items": [] }), "/items"),
        ("url", json!({ "items": good }), "/items"),
        ("url", json!({ "items": [good, 1] }), "/items/1"),
        ("url", json!({ "items": [good, ""] }), "/items/1"),
        ("url", json!({ "items": [good, long] }), "/items/1"),
        ("url", json!({ "items": many }), "/items"),
        ("url", json!({ "items": [good], "method": "invalidate" }), "/method"),
        ("url", json!({ "items": [good], "method": 1 }), "/method"),
        ("url", json!({ "items": [good], "layer": "l2_caching" }), "/layer"),
        ("url", json!({ "items": [good], "layer": "tiered_cache" }), "/layer"),
        ("url", json!({ "items": [good], "layer": "origin" }), "/layer"),
        ("url", json!({ "items": [good], "layer": [] }), "/layer"),
        ("url", json!({ "items": [good, "ftp://www.example.com/a"] }), "/items/1"),
        ("url", json!({ "items": [good, "http://www.example.com/%zz"] }), "/items/1"),
        ("cachekey", json!({ "items": [good, "http://www.example.com/%zz"] }), "/items/1"),
        ("cachekey", json!({ "items": [good, "any://www.example.com/a"] }), "/items/1"),
        ("wildcard", json!({ "items": [good, good] }), "/items"),
        ("wildcard", json!({ "items": [long_wildcard] }), "/items/0"),
        ("wildcard", json!({ "items": ["http://*.example.com/a"] }), "/items/0"),
        ("wildcard", json!({ "items": ["http://www.example.com/a*@@"] }), "/items/0"),
        ("wildcard", json!({ "items": [good], "layer": "tiered_cache" }), "/layer"),
    ];
    for (kind, body, pointer) in table {
        let fixture = fixture();
        fixture.store(good);
        let answer = fixture.post(&format!("/v4/workspace/purge/{kind}"), &[TOKEN], &body);
        let error = &answer.json["errors"][0];
        assert_eq!((answer.status.as_u16(), &error["status"], &error["code"]), (400, &json!("400"), &json!("10000")));
        let pointer = if pointer == "/*" { "/items" } else { pointer };
        assert_eq!(error["source"]["pointer"], pointer, "{body}");
        assert!(error["title"].is_string() && error["detail"].is_string(), "{body}");

        // The same of a client of version 3: the member's name, with a list.
        let answer = fixture.post(&format!("/purge/{kind}"), &[TOKEN, V3], &body);
        let member = pointer.split('/').nth(1).unwrap();
        let member = if body.get("items").is_some() || member != "items" { member } else { "urls" };
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json[member][0].is_string(), "{body}: {}", answer.json);
        let is_key = kind == "cachekey" && pointer.starts_with("/items/");
        assert_eq!(answer.json.get("detail").is_some_and(|d| d == "The URI is not a valid cachekey."), is_key);
        assert!(fixture.holds(good), "{body}");
    }
    for body in ["", "[]", "{", "\"urls\""] {
        let answer = fixture().send(Method::POST, "/purge/url", &[TOKEN], body);
        assert!(answer.status == 400 && answer.json["detail"].is_string(), "{body}");
    }
}

#[test]
fn the_largest_requests_are_taken() {
    let fixture = fixture();
    let fifty: Vec<String> = (0..50).map(|n| format!("http://www.example.com/{n}")).collect();
    let long = format!("http://www.example.com/{}", "a".repeat(4096 - 23));
    let wildcard = format!("http://www.example.com/{}*", "a".repeat(256 - 24));
    assert_eq!((long.len(), wildcard.len()), (4096, 256));
    assert_eq!(fixture.post("/purge/url", &[TOKEN, V3], &json!({ "urls": fifty })).status, 201);
    assert_eq!(fixture.post("/purge/url", &[TOKEN, V3], &json!({ "urls": [long] })).status, 201);
    assert_eq!(fixture.post("/purge/cachekey", &[TOKEN, V3], &json!({ "urls": [long] })).status, 201);
    assert_eq!(fixture.post("/purge/wildcard", &[TOKEN, V3], &json!({ "urls": [wildcard] })).status, 201);
}

#[test]
fn tokens_are_asked_for() {
    let body = urls(&["http://www.example.com/a"]);
    for good in ["Token 583f8a9ca8d6", "token 583f8a9ca8d6", "TOKEN  583f8a9ca8d6", "Bearer 583f8a9ca8d6"] {
        assert_eq!(fixture().post("/purge/url", &[("authorization", good), V3], &body).status, 201, "{good}");
    }
    let bad = ["", "Token", "Token ", "583f8a9ca8d6", "Basic 583f8a9ca8d6", "Token 583f8a9ca8d", "Token 583f8a9ca8d66"];
    for bad in bad {
        for (path, _) in PATHS {
            let fixture = fixture();
            fixture.store("http://www.example.com/a");
            let answer = fixture.post(path, &[("authorization", bad)], &body);
            assert_eq!((answer.status.as_u16(), field(&answer, "www-authenticate")), (401, Some("Token")), "{bad}");
            if path.starts_with("/v4") {
                let error = &answer.json["errors"][0];
                assert_eq!((&error["code"], &error["source"]["header"]), (&json!("10001"), &json!("Authorization")));
            } else {
                assert!(answer.json["detail"].is_string());
            }
            assert!(fixture.holds("http://www.example.com/a"));
        }
    }
    assert_eq!(fixture().post("/purge/url", &[], &body).status, 401);
    assert_eq!(fixture().post("/purge/url", &[TOKEN, TOKEN], &body).status, 401, "two fields");
}

#[test]
fn an_account_purges_its_own_hosts_alone() {
    let other = ("authorization", "Token 0a1b2c");
    #[rustfmt::skip]
    let table = [
        (TOKEN, "http://www.example.com/a", true), (TOKEN, "http://a.img.example.com/a", true),
        (TOKEN, "http://WWW.example.com:8080/a", true), (TOKEN, "http://img.example.com/a", false),
        (TOKEN, "http://example.com/a", false), (TOKEN, "http://www.example.org/a", false),
        (TOKEN, "http://www.example.com.evil.org/a", false), (other, "http://www.example.org/a", true),
        (other, "http://www.example.com/a", false),
    ];
    for (token, url, own) in table {
        for (path, _) in PATHS {
            let answer = fixture().post(path, &[token, V3], &urls(&[url]));
            assert_eq!(answer.status.as_u16(), if own { 201 } else { 403 }, "{path} {url}");
        }
    }
}

#[test]
fn other_methods_and_paths() {
    for (path, _) in PATHS {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
            let answer = fixture().send(method, path, &[TOKEN], "");
            assert_eq!((answer.status.as_u16(), field(&answer, "allow")), (405, Some("POST, OPTIONS")), "{path}");
            if path.starts_with("/v4") {
                assert_eq!(answer.json["errors"][0]["code"], "10007");
            }
        }
        let answer = fixture().send(Method::OPTIONS, path, &[TOKEN], "");
        assert_eq!((answer.status.as_u16(), field(&answer, "allow")), (204, Some("POST, OPTIONS")));
    }
    for path in ["/v4/workspace/purge/tag", "/v4/edge/purge/", "/v4/edge/purge/url/"] {
        let answer = fixture().post(path, &[TOKEN], &json!({}));
        assert_eq!((answer.status.as_u16(), &answer.json["errors"][0]["code"]), (404, &json!("10004")), "{path}");
    }
    for path in ["/purge", "/purge/", "/purge/tag", "/purge/url/", "/Purge/url", "/v4/purge/url"] {
        assert_eq!(fixture().post(path, &[TOKEN], &json!({})).status, 404, "{path}");
    }
}

#[test]
fn what_a_client_accepts() {
    let body = urls(&["http://www.example.com/a"]);
    for accept in ["text/html", "application/json;q=0", "application/json; version=5", "application/json;version=v3"] {
        let answer = fixture().post("/purge/url", &[TOKEN, ("accept", accept)], &body);
        assert!(answer.status == 406 && answer.json["detail"].is_string(), "{accept}: {answer:?}");
    }
    let answer = fixture().post("/v4/edge/purge/url", &[TOKEN, ("accept", "text/html")], &body);
    assert_eq!((answer.status.as_u16(), &answer.json["errors"][0]["code"]), (406, &json!("10005")));
    let answer = fixture().post("/v4/edge/purge/url", &[TOKEN, ("accept", "application/json; version=9")], &body);
    assert_eq!(answer.status, 201, "a version in the path is the version");
}

#[test]
fn every_answer_says_how_much_is_left() {
    let fixture = fixture();
    let url = "http://www.example.com/a";
    #[rustfmt::skip]
    let table: [(&str, Method, Value, u16, [&str; 3]); 8] = [
        ("/purge/url", Method::POST, urls(&[url]), 207, ["200", "199", "2026-11-21T12:01:00.000000"]),
        ("/purge/cachekey", Method::POST, urls(&[url]), 201, ["200", "198", "2026-11-21T12:01:00.000000"]),
        ("/v4/edge/purge/url", Method::POST, urls(&[url]), 201, ["200", "197", "2026-11-21T12:01:00.000000"]),
        ("/v4/workspace/purge/cachekey", Method::POST, urls(&["h"]), 403, ["200", "196", "2026-11-21T12:01:00.000000"]),
        ("/purge/url", Method::POST, json!({}), 400, ["200", "195", "2026-11-21T12:01:00.000000"]),
        ("/purge/url", Method::GET, json!({}), 405, ["200", "194", "2026-11-21T12:01:00.000000"]),
        ("/purge/wildcard", Method::POST, urls(&[url]), 201, ["2000", "1999", "2026-11-22T12:00:00.000000"]),
        ("/v4/edge/purge/wildcard", Method::POST, json!({}), 400, ["2000", "1998", "2026-11-22T12:00:00.000000"]),
    ];
    for (path, method, body, status, quota) in table {
        let answer = fixture.send(method, path, &[TOKEN], &body.to_string());
        let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
        assert_eq!(names.map(|name| field(&answer, name)), quota.map(Some), "{path}");
        assert_eq!(field(&answer, "allow"), Some("POST, OPTIONS"));
        assert_eq!(field(&answer, "vary"), Some("Accept-Language, Cookie"));
    }
    fixture.clock.advance(Duration::from_millis(60_007));
    let answer = fixture.post("/purge/url", &[TOKEN], &json!({}));
    assert_eq!(field(&answer, "x-ratelimit-remaining"), Some("199"));
    assert_eq!(field(&answer, "x-ratelimit-reset"), Some("2026-11-21T12:02:00.007000"));
}

#[test]
fn requests_over_the_rate_are_refused() {
    let azion = Azion { url: Rate::new(3, 60), wildcard: Rate::new(1, 3600), ..azion("583f8a9ca8d6") };
    let acme = Account { azion: Some(azion), ..Account::new("acme", ["www.example.com"]) };
    let fixture = Fixture::new([acme, globex()]);
    let url = urls(&["http://www.example.com/a"]);
    let statuses = ["/purge/url", "/purge/cachekey", "/v4/edge/purge/url"].map(|path| {
        let body = if path == "/purge/url" { json!({}) } else { url.clone() };
        fixture.post(path, &[TOKEN], &body).status.as_u16()
    });
    assert_eq!(statuses, [400, 201, 201], "a refused request counts");
    fixture.store("http://www.example.com/a");
    fixture.clock.advance(Duration::from_millis(500));
    let answer = fixture.post("/purge/cachekey", &[TOKEN], &url);
    assert_eq!((answer.status.as_u16(), field(&answer, "retry-after")), (429, Some("60")));
    assert!(answer.json["detail"].as_str().unwrap().contains('3'));
    assert_eq!(field(&answer, "x-ratelimit-remaining"), Some("0"));
    let answer = fixture.post("/v4/workspace/purge/url", &[TOKEN], &url);
    assert_eq!((answer.status.as_u16(), &answer.json["errors"][0]["code"]), (429, &json!("10010")));
    assert!(fixture.holds("http://www.example.com/a"));

    assert_eq!(fixture.post("/purge/wildcard", &[TOKEN], &urls(&["www.example.com/b*"])).status, 201);
    assert_eq!(fixture.post("/purge/wildcard", &[TOKEN], &urls(&["www.example.com/b*"])).status, 429);
    let other = [("authorization", "Token 0a1b2c")];
    assert_eq!(fixture.post("/purge/cachekey", &other, &urls(&["www.example.org/"])).status, 201, "another account");
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(fixture.post("/purge/cachekey", &[TOKEN], &url).status, 201);
    assert_eq!(fixture.post("/purge/wildcard", &[TOKEN], &urls(&["www.example.com/b*"])).status, 429);
}

#[test]
fn ten_thousand_objects_a_minute() {
    let azion = Azion { url: Rate::new(1000, 60), ..azion("583f8a9ca8d6") };
    let fixture = Fixture::new([Account { azion: Some(azion), ..Account::new("acme", ["www.example.com"]) }]);
    // Of a foreign host, so that nothing has to be swept.
    let fifty = urls(&["http://www.example.org/"; 50]);
    for _ in 0..200 {
        assert_eq!(fixture.post("/purge/cachekey", &[TOKEN], &fifty).status, 403);
    }
    let answer = fixture.post("/purge/cachekey", &[TOKEN], &urls(&["http://www.example.com/"]));
    assert_eq!((answer.status.as_u16(), field(&answer, "retry-after")), (429, Some("60")));
    assert_eq!(fixture.post("/purge/wildcard", &[TOKEN], &urls(&["www.example.com/*"])).status, 201);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(fixture.post("/purge/cachekey", &[TOKEN], &urls(&["http://www.example.com/"])).status, 201);
}

#[test]
fn layers_by_all_their_names() {
    for (path, kind) in PATHS {
        for layer in [json!("edge_caching"), json!("edge_cache"), json!("cache"), json!(""), Value::Null] {
            let fixture = fixture();
            fixture.store("http://www.example.com/a");
            let body = json!({ "urls": ["http://www.example.com/a"], "layer": layer });
            assert!(fixture.post(path, &[TOKEN], &body).status.is_success(), "{path} {layer}");
            assert!(!fixture.holds("http://www.example.com/a"), "{path} {layer}");
        }
        for layer in ["l2_caching", "tiered_cache"] {
            let fixture = fixture();
            fixture.store("http://www.example.com/a");
            let body = json!({ "urls": ["http://www.example.com/a"], "layer": layer });
            let answer = fixture.post(path, &[TOKEN], &body);
            assert_eq!(answer.status.as_u16(), if kind == "cachekey" { 201 } else { 400 }, "{path} {layer}");
            assert!(fixture.holds("http://www.example.com/a"), "no L2 here, the edge is left alone");
            let foreign = json!({ "urls": ["http://www.example.org/a"], "layer": layer });
            assert_ne!(fixture.post(path, &[TOKEN], &foreign).status, 201, "{path} {layer}");
        }
    }
}

/// What is stored in tests of what a purge takes.
const STORED: [&str; 12] = [
    "http://www.example.com/a",
    "https://www.example.com/a",
    "http://www.example.com/a?q=1",
    "http://www.example.com/a@@Mobile",
    "https://www.example.com/a@@Mobile",
    "http://www.example.com/a?q=1@@Mobile",
    "http://www.example.com/ab",
    "http://www.example.com/a/b",
    "http://www.example.com/A",
    "http://www.example.com/*",
    "http://www.example.com/x%40%40y",
    "http://www.example.com:8080/a",
];

#[test]
fn what_is_purged_and_what_is_not() {
    #[rustfmt::skip]
    let table: [(&str, &str, &[usize]); 33] = [
        ("url", "http://www.example.com/a", &[0]),
        ("url", "https://www.example.com/a", &[1]),
        ("url", "www.example.com/a", &[0, 1]),
        ("url", "httpwww.example.com/a", &[0]),
        ("url", "httpswww.example.com/a", &[1]),
        ("url", "HTTP://WWW.Example.com:80/./%61#x", &[0]),
        ("url", "http://www.example.com/a?q=1", &[2]),
        ("url", "http://www.example.com/*", &[9]),
        ("url", "www.example.com/a*", &[]),
        ("url", "http://www.example.com/x@@y", &[10]),
        ("url", "http://www.example.com/a@@Mobile", &[]),
        ("url", "www.example.com:8080/a", &[11]),
        ("url", "httpwww.example.com:8080/a", &[11]),
        ("cachekey", "http://www.example.com/a", &[0]),
        ("cachekey", "http://www.example.com/a@@Mobile", &[3]),
        ("cachekey", "www.example.com/a@@Mobile", &[3, 4]),
        ("cachekey", "httpwww.example.com/a@@Mobile", &[3]),
        ("cachekey", "httpswww.example.com/a@@Mobile", &[4]),
        ("cachekey", "www.example.com/a@@", &[0, 1]),
        ("cachekey", "http://www.example.com/a?q=1@@Mobile", &[5]),
        ("cachekey", "http://www.example.com/a@@*", &[]),
        ("cachekey", "http://www.example.com/*", &[9]),
        ("wildcard", "http://www.example.com/a*", &[0, 2, 3, 5, 6, 7]),
        ("wildcard", "www.example.com/a*", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("wildcard", "httpswww.example.com/a*", &[1, 4]),
        ("wildcard", "http://www.example.com/a", &[0, 3]),
        ("wildcard", "http://www.example.com/a*@@*", &[3, 5]),
        ("wildcard", "http://www.example.com/a@@M*", &[3]),
        ("wildcard", "http://www.example.com/*?q=*", &[2, 5]),
        ("wildcard", "http://www.example.com/*/b", &[7]),
        ("wildcard", "http://www.example.com/*b", &[6, 7]),
        ("wildcard", "http://www.example.com:8080/*", &[11]),
        ("wildcard", "httpswww.example.com/*@@Mobile", &[4]),
    ];
    for (kind, item, gone) in table {
        let fixture = fixture();
        for key in STORED {
            fixture.store(key);
        }
        let answer = fixture.post(&format!("/v4/workspace/purge/{kind}"), &[TOKEN], &json!({ "items": [item] }));
        assert_eq!(answer.status, 201, "{kind} {item}: {answer:?}");
        for (index, key) in STORED.iter().enumerate() {
            assert_eq!(fixture.holds(key), !gone.contains(&index), "{kind} {item}: {key}");
        }
    }
}

#[test]
fn a_scheme_is_read_off_a_configured_host_only() {
    let table = [
        ("httpbin.example/a", "http://httpbin.example/a"),
        ("https.example/a", "http://s.example/a"),
        ("httpss.example/a", "https://s.example/a"),
    ];
    for (item, gone) in table {
        let hosts = ["httpbin.example", "s.example"];
        let fixture = Fixture::new([Account { azion: Some(azion("583f8a9ca8d6")), ..Account::new("acme", hosts) }]);
        table.iter().for_each(|(_, key)| fixture.store(key));
        assert_eq!(fixture.post("/purge/url", &[TOKEN, V3], &urls(&[item])).status, 201, "{item}");
        assert!(table.iter().all(|(_, key)| fixture.holds(key) == (*key != gone)), "{item}");
    }
}

#[test]
fn every_variant_of_the_one_variation_goes() {
    let key = "http://www.example.com/a";
    for (path, _) in PATHS {
        let fixture = fixture();
        for encoding in ["gzip", "br"] {
            fixture.store_variant(key, &[("accept-encoding", encoding)], &[("vary", "accept-encoding")]);
        }
        assert!(fixture.post(path, &[TOKEN], &urls(&[key])).status.is_success());
        for encoding in ["gzip", "br"] {
            assert!(!fixture.holds_variant(key, &[("accept-encoding", encoding)]), "{path} {encoding}");
        }
    }
}

#[test]
fn a_url_is_the_key_of_a_plain_request() {
    let policy = KeyPolicy::new().headers(["host", "x-tier"]).device(true);
    let site = Site::new(["www.example.com"]).aliases(["example.com"]).policy(policy);
    let fixture = Fixture::with_sites(Sites::new([site]).unwrap(), [acme()]);
    let default = "http://www.example.com/a@@host=example.com";
    let others = [
        "http://www.example.com/a",
        "http://www.example.com/a@@host=www.example.com",
        "http://www.example.com/a@@host=example.com;x-tier=1",
        "http://www.example.com/a@@host=example.com;device=mobile",
    ];
    let all = || others.into_iter().chain([default]);
    all().for_each(|key| fixture.store(key));
    assert_eq!(fixture.post("/purge/url", &[TOKEN, V3], &urls(&["http://example.com/a"])).status, 201);
    assert!(!fixture.holds(default) && others.iter().all(|key| fixture.holds(key)));
    // A key says its variation itself.
    fixture.store(default);
    assert_eq!(fixture.post("/purge/cachekey", &[TOKEN], &urls(&["www.example.com/a"])).status, 201);
    assert!(all().all(|key| fixture.holds(key) == key.contains("@@")));
    assert_eq!(fixture.post("/purge/wildcard", &[TOKEN], &urls(&["www.example.com/a"])).status, 201);
    assert!(!all().any(|key| fixture.holds(key)));
}

#[test]
fn patterns_without_a_server() {
    let (url, key, wildcard) = (Dialect::AzionUrl, Dialect::AzionCachekey, Dialect::AzionWildcard);
    let table: [(Dialect, &str, &[&str], &[&str]); 12] = [
        (url, "http://h/a", &["http://h/a"], &["https://h/a", "http://h/a?x", "http://h/a@@v", "http://h/ab"]),
        (url, "h/a", &["http://h/a", "https://h/a"], &["http://h/a@@v", "http://h/"]),
        (url, "httpsh/a", &["https://h/a"], &["http://h/a", "http://sh/a", "http://httpsh/a"]),
        (url, "h", &["http://h/", "https://h/"], &["http://h/a"]),
        (url, "h/*", &["http://h/*"], &["http://h/a"]),
        (url, "h/a?u=http://x/", &["http://h/a?u=http://x/"], &["http://x/", "http://h/a"]),
        (key, "http://h/a@@v", &["http://h/a@@v"], &["http://h/a", "http://h/a@@w"]),
        (key, "httph/a@@v=1;w", &["http://h/a@@v=1;w"], &["https://h/a@@v=1;w"]),
        (key, "h/a@@", &["http://h/a", "https://h/a"], &["http://h/a@@v"]),
        (wildcard, "h/*.css", &["http://h/a.css", "https://h/a/b.css@@v"], &["http://h/a.css?v", "http://h/acss"]),
        (wildcard, "http://h/a.jpg?ims=*", &["http://h/a.jpg?ims=88x"], &["http://h/a.jpg", "https://h/a.jpg?ims=88x"]),
        (wildcard, "h/*@@*", &["http://h/a@@v", "https://h/@@w"], &["http://h/a"]),
    ];
    for (dialect, pattern, takes, leaves) in table {
        let selectors = dialect.selectors(pattern, "").unwrap();
        let matchers = selectors.iter().map(|selector| Matcher::new(selector, &Sites::default()).unwrap());
        let matchers: Vec<_> = matchers.collect();
        let taken = |key: &str| {
            let key = Key::parse(key.as_bytes()).unwrap();
            matchers.iter().any(|matcher| matcher.matches(key.as_ref()))
        };
        for key in takes {
            assert!(taken(key), "{dialect} {pattern} takes {key}");
        }
        for key in leaves {
            assert!(!taken(key), "{dialect} {pattern} leaves {key}");
        }
    }
    for dialect in [url, key, wildcard] {
        for bad in ["ftp://h/a", "any://h/a", "://h/a"] {
            assert!(dialect.selectors(bad, "").is_err(), "{dialect} {bad}");
        }
    }
    assert!(url.selectors("http://h/%zz", "").unwrap_err().contains("at byte 9"));
    for bad in ["", "/a", "//h/a", "http://", "http://h/%"] {
        assert!(url.selectors(bad, "").is_err(), "{bad}");
    }
}

#[test]
fn credentials_are_of_one_account() {
    let cache = || -> Cache { Config::new().background_sweep(false).build().unwrap() };
    let twin = Account { azion: Some(azion("583f8a9ca8d6")), ..Account::new("twin", ["h"]) };
    let error = Api::new(cache(), [acme(), globex(), twin]).unwrap_err().to_string();
    assert!(error.contains("'twin'") && error.contains("'acme'") && error.contains("azion.tokens"), "{error}");
    assert!(!error.contains("583f8a9ca8d6"), "no secret is printed");
    let empty = Account { azion: Some(azion("")), ..Account::new("empty", ["h"]) };
    assert!(Api::new(cache(), [empty]).unwrap_err().to_string().contains("'empty'"));
    let twice = Azion { tokens: vec!["a".into(), "a".into()], ..Azion::default() };
    assert!(Api::new(cache(), [Account { azion: Some(twice), ..Account::new("twice", ["h"]) }]).is_ok());
}

#[test]
fn what_the_engine_has_no_room_for_is_to_be_sent_again() {
    let cache = Config::new().background_sweep(false).max_rules(2).build().unwrap();
    let fixture = Fixture { api: Api::new(cache.clone(), [acme()]).unwrap(), cache, clock: fixture().clock };
    fixture.store("http://www.example.com/a");
    let three = urls(&["http://www.example.com/a", "http://www.example.com/b", "http://www.example.com/c"]);
    for (path, _) in PATHS.iter().filter(|(_, kind)| *kind != "wildcard") {
        let answer = fixture.post(path, &[TOKEN, V3], &three);
        assert_eq!((answer.status.as_u16(), field(&answer, "retry-after")), (503, Some("1")), "{path}");
        let said = if path.starts_with("/v4") { &answer.json["errors"][0]["detail"] } else { &answer.json["detail"] };
        assert!(said.as_str().unwrap().contains("cap of 2 live rules"), "{path}: {said}");
        assert!(fixture.holds("http://www.example.com/a"), "all or nothing");
    }
}
