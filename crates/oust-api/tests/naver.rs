//! Naver Cloud Global Edge, as its clients see it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common::{Answer, Fixture, NOW_MS};
use hmac::{Hmac, Mac};
use http::{HeaderMap, Method, Request, StatusCode};
use oust::clock::{Clock, ManualClock};
use oust::site::{KeyPolicy, Query, Site, Sites};
use oust::{Cache, Config};
use oust_api::{Account, Api, Dialect, Naver};
use serde_json::{Value, json};

const PURGES: &str = "/api/v1/purge";
const EDGE: u64 = 11197;

fn account(name: &str, hosts: &[&str], access_key: &str, edge_id: u64) -> Account {
    let naver = Naver { access_key: access_key.into(), secret_key: format!("{access_key}-secret"), edge_id };
    Account { naver: Some(naver), ..Account::new(name, hosts.iter().copied()) }
}

fn acme() -> Account {
    account("acme", &["www.example.com", "img.example.com"], "AK", EDGE)
}

fn fixture() -> Fixture {
    Fixture::new([acme(), account("other", &["other.example"], "OTHER", 2)])
}

fn sign(method: &str, target: &str, timestamp: &str, access_key: &str, secret: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{method} {target}\n{timestamp}\n{access_key}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Sends a request signed at `at_ms` with the key of [`account`].
fn signed_at(at_ms: u64, fixture: &Fixture, access_key: &str, method: Method, target: &str, body: &str) -> Answer {
    let timestamp = at_ms.to_string();
    let signature = sign(method.as_str(), target, &timestamp, access_key, &format!("{access_key}-secret"));
    let headers = [
        ("x-ncp-apigw-timestamp", timestamp.as_str()),
        ("x-ncp-iam-access-key", access_key),
        ("x-ncp-apigw-signature-v2", &signature),
        ("x-ncp-region_code", "KR"),
        ("content-type", "application/json"),
    ];
    fixture.send(method, target, &headers, body)
}

fn post(fixture: &Fixture, body: &Value) -> Answer {
    signed_at(fixture.clock.now_ms(), fixture, "AK", Method::POST, PURGES, &body.to_string())
}

fn get(fixture: &Fixture, access_key: &str, target: &str) -> Answer {
    signed_at(fixture.clock.now_ms(), fixture, access_key, Method::GET, target, "")
}

fn purge(kind: &str, targets: &[&str]) -> Value {
    json!({ "edgeId": EDGE, "purgeType": kind, "purgeTarget": targets })
}

/// Makes a purge; its id.
fn purged(fixture: &Fixture, body: &Value) -> u64 {
    let answer = post(fixture, body);
    assert_eq!((answer.status, &answer.json["code"]), (StatusCode::OK, &json!("0000")), "{body}: {answer:?}");
    assert_eq!(answer.json["message"], "Success");
    let ids = answer.json["result"].as_array().unwrap();
    assert_eq!(ids.len(), 1, "one id for all targets");
    ids[0].as_u64().unwrap()
}

fn status(fixture: &Fixture, id: u64) -> Value {
    let answer = get(fixture, "AK", &format!("{PURGES}/{id}"));
    assert_eq!((answer.status, &answer.json["code"]), (StatusCode::OK, &json!("0000")));
    answer.json["result"].clone()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), &answer.json["code"]), (status, &json!(code)), "{answer:?}");
    assert!(answer.json["message"].as_str().is_some_and(|message| !message.is_empty()));
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[track_caller]
fn unauthenticated(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json, json!({ "error": { "errorCode": "200", "message": "Authentication Failed" } }));
}

#[test]
fn verified_signatures() {
    let naver = Naver { access_key: "AK".into(), secret_key: "SK".into(), edge_id: EDGE };
    let fixture = Fixture::new([Account { naver: Some(naver), ..Account::new("acme", ["h"]) }]);
    let send = |method: Method, target: &str, timestamp: &str, signature: &str, body: &str| {
        let headers = [
            ("x-ncp-apigw-timestamp", timestamp),
            ("x-ncp-iam-access-key", "AK"),
            ("x-ncp-apigw-signature-v2", signature),
        ];
        fixture.send(method, target, &headers, body)
    };
    let create = ("1795172087900", "Vt8dqgqL/l3tOcnFPoi52vII1X7EEQY9R+OXsooaxWk=");
    let body = json!({ "edgeId": EDGE, "purgeType": "ALL" }).to_string();
    fixture.clock.set(1_795_172_087_900);
    assert_eq!(send(Method::POST, PURGES, create.0, create.1, &body).status, StatusCode::OK);
    // Signed as sent, query and all; the id is nobody's.
    let query = "/api/v1/purge/3720001?responseFormatType=json&regionCode=KR";
    let read = ("1795172087949", "8RXnrLNrjfEt3g8RUGqAczw+IcmQ+ZA70gdcNRYp86w=");
    refused(&send(Method::GET, query, read.0, read.1, ""), 403, "0032");

    unauthenticated(&send(Method::POST, PURGES, "1795172087901", create.1, &body));
    unauthenticated(&send(Method::GET, PURGES, create.0, create.1, &body));
    unauthenticated(&send(Method::POST, "/api/v1/purge?", create.0, create.1, &body));
    unauthenticated(&send(Method::POST, PURGES, create.0, "Vt8dqgqL/l3tOcnFPoi52vII1X7EEQY9R+OXsooaxWk", &body));
    unauthenticated(&send(Method::POST, PURGES, create.0, "", &body));
    for other in ["/api/v1/purge/3720001", "/api/v1/purge/3720001?regionCode=KR&responseFormatType=json"] {
        unauthenticated(&send(Method::GET, other, read.0, read.1, ""));
    }
}

#[test]
fn what_is_signed_is_the_raw_target() {
    let fixture = fixture();
    for target in ["/api/v1/purge/1?", "/api/v1/purge/1?a=%7e%2F+b", "/api/v1/purge/1?a=b?c&&=", "/api/v1/purge/1?a"] {
        refused(&get(&fixture, "AK", target), 403, "0032");
    }
    refused(&get(&fixture, "AK", "/api/v1/purge/%31"), 400, "0040");
}

#[test]
fn timestamps_are_of_these_five_minutes() {
    let fixture = fixture();
    let body = json!({ "edgeId": EDGE, "purgeType": "ALL" }).to_string();
    let at = |at_ms: u64| signed_at(at_ms, &fixture, "AK", Method::POST, PURGES, &body);
    for off in [0, 1, 299_999, 300_000] {
        assert_eq!(at(NOW_MS - off).status, StatusCode::OK, "{off} ms ago");
        assert_eq!(at(NOW_MS + off).status, StatusCode::OK, "in {off} ms");
    }
    for off in [300_001, NOW_MS] {
        unauthenticated(&at(NOW_MS - off));
        unauthenticated(&at(NOW_MS + off));
    }
    unauthenticated(&at(u64::MAX));
}

#[test]
fn who_is_nobody() {
    let fixture = fixture();
    let timestamp = NOW_MS.to_string();
    let signature = sign("POST", PURGES, &timestamp, "AK", "AK-secret");
    let whole = [
        ("x-ncp-apigw-timestamp", timestamp.as_str()),
        ("x-ncp-iam-access-key", "AK"),
        ("x-ncp-apigw-signature-v2", signature.as_str()),
    ];
    let body = json!({ "edgeId": EDGE, "purgeType": "ALL" });
    assert_eq!(fixture.post(PURGES, &whole, &body).status, StatusCode::OK);
    for without in 0..whole.len() {
        let mut headers = whole.to_vec();
        let removed = headers.remove(without);
        unauthenticated(&fixture.post(PURGES, &headers, &body));
        headers.extend([removed, removed]);
        unauthenticated(&fixture.post(PURGES, &headers, &body));
    }
    for (index, value) in [(0, "soon"), (0, "-1"), (0, ""), (1, "OTHER"), (1, "ak"), (1, "AK2")] {
        let mut headers = whole;
        headers[index].1 = value;
        unauthenticated(&fixture.post(PURGES, &headers, &body));
    }
    // Another's secret, and a key nobody has with an empty secret.
    for (key, secret) in [("AK", "OTHER-secret"), ("NONE", "")] {
        let signature = sign("POST", PURGES, &timestamp, key, secret);
        let headers = [whole[0], (whole[1].0, key), (whole[2].0, &signature)];
        unauthenticated(&fixture.post(PURGES, &headers, &body));
    }
    // Without credentials nothing is told of the path, either.
    unauthenticated(&fixture.get("/api/v1/purge/1", &[]));
    unauthenticated(&fixture.send(Method::DELETE, PURGES, &[], ""));
}

#[test]
fn paths_and_methods() {
    let fixture = fixture();
    for (method, target, allow) in
        [(Method::GET, PURGES, "POST"), (Method::PUT, PURGES, "POST"), (Method::DELETE, "/api/v1/purge/7", "GET")]
    {
        let answer = signed_at(NOW_MS, &fixture, "AK", method, target, "");
        assert_eq!(
            (answer.status, &answer.headers["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &allow.parse().unwrap())
        );
        assert_eq!(answer.json["error"]["errorCode"], "300");
    }
    for target in ["/api/v1/purge/", "/api/v1/purge/1/2", "/api/v1/purges", "/api/v1//purge", "/api/v2/purge"] {
        assert_eq!(get(&fixture, "AK", target).status, StatusCode::NOT_FOUND, "{target}");
    }
}

#[test]
fn fields() {
    let fixture = fixture();
    let longest = format!("/{}", "a".repeat(8000));
    for body in [
        json!({ "edgeId": EDGE, "purgeType": "ALL" }),
        json!({ "edgeId": EDGE, "purgeType": "ALL", "purgeTarget": null }),
        json!({ "edgeId": EDGE, "purgeType": "URL", "purgeTarget": ["/a"], "profileId": 7, "more": [{}] }),
        purge("DIRECTORY", &["/*", "/a/*", r"/b/\*"]),
        purge("PATTERN", &["/*.jpg", "/a/*.png", r"/b/\*.css"]),
        purge("URL", &["/", "/a", "/a?b=c", &longest]),
    ] {
        purged(&fixture, &body);
    }
    for body in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "purgeType": "ALL" }),
        json!({ "edgeId": null, "purgeType": "ALL" }),
        json!({ "edgeId": "11197", "purgeType": "ALL" }),
        json!({ "edgeId": 11197.5, "purgeType": "ALL" }),
        json!({ "edgeId": -1, "purgeType": "ALL" }),
        json!({ "edgeId": EDGE }),
        json!({ "edgeId": EDGE, "purgeType": "all" }),
        json!({ "edgeId": EDGE, "purgeType": "TAG" }),
        json!({ "edgeId": EDGE, "purgeType": 1 }),
        json!({ "edgeId": EDGE, "purgeType": "ALL", "purgeTarget": [] }),
        json!({ "edgeId": EDGE, "purgeType": "ALL", "purgeTarget": ["/*"] }),
        json!({ "edgeId": EDGE, "purgeType": "URL" }),
        json!({ "edgeId": EDGE, "purgeType": "URL", "purgeTarget": null }),
        json!({ "edgeId": EDGE, "purgeType": "URL", "purgeTarget": [] }),
        json!({ "edgeId": EDGE, "purgeType": "URL", "purgeTarget": "/a" }),
        json!({ "edgeId": EDGE, "purgeType": "URL", "purgeTarget": ["/a", 1] }),
        purge("URL", &[&longest.repeat(2)]),
        purge("URL", &["/a%zz"]),
    ] {
        refused(&post(&fixture, &body), 400, "0040");
    }
    for body in ["", "{", "purge", "{\"edgeId\":11197,\"purgeType\":\"ALL\"} x", "\u{0}"] {
        refused(&signed_at(NOW_MS, &fixture, "AK", Method::POST, PURGES, body), 400, "0040");
    }
    let many: Vec<String> = (0..10_001).map(|i| format!("/{i}")).collect();
    let answer = post(&fixture, &json!({ "edgeId": EDGE, "purgeType": "URL", "purgeTarget": many }));
    refused(&answer, 400, "0040");
}

#[test]
fn messages_name_the_target() {
    let fixture = fixture();
    let answer = post(&fixture, &purge("URL", &["/a", "/b*"]));
    assert_eq!(answer.json["message"], "purgeTarget[1]: a URL target has no wildcard (*)");
    let answer = post(&fixture, &purge("DIRECTORY", &["/a/*", "/b/*", "/%x/*"]));
    let message = answer.json["message"].as_str().unwrap();
    assert!(message.starts_with("purgeTarget[2] behind 'any://www.example.com': "), "{message}");
    assert!(message.ends_with("at byte 22"), "{message}");
}

#[test]
fn a_refused_request_purges_nothing() {
    let fixture = fixture();
    fixture.store("http://www.example.com/a");
    refused(&post(&fixture, &purge("URL", &["/a", "/b*"])), 400, "0040");
    refused(&post(&fixture, &purge("URL", &["/a", "/%"])), 400, "0040");
    assert!(fixture.holds("http://www.example.com/a"));
}

#[test]
fn accounts_keep_to_themselves() {
    let fixture = fixture();
    for key in ["http://other.example/a", "http://www.example.com/a"] {
        fixture.store(key);
    }
    for edge in [2, 3] {
        refused(&post(&fixture, &json!({ "edgeId": edge, "purgeType": "ALL" })), 403, "0032");
    }
    let id = purged(&fixture, &json!({ "edgeId": EDGE, "purgeType": "ALL" }));
    assert!(fixture.holds("http://other.example/a") && !fixture.holds("http://www.example.com/a"));
    refused(&get(&fixture, "OTHER", &format!("{PURGES}/{id}")), 403, "0032");
    refused(&get(&fixture, "AK", &format!("{PURGES}/{}", id ^ 1)), 403, "0032");
    assert_eq!(get(&fixture, "AK", &format!("{PURGES}/{id}")).status, StatusCode::OK);
    let record = &fixture.cache.purge_records(None, 1)[0];
    assert_eq!((record.by.as_str(), record.action, record.layers.edge), ("acme", oust::Action::Delete, true));
}

/// Type and targets of a purge, the paths it takes and those it leaves.
type Case = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// What a target takes of the account's hosts.
#[test]
fn what_is_taken() {
    const LONGER: &str = "/a/b/c/d.png?v=1&w=2@@lang=de";
    let table: [Case; 14] = [
        ("URL", &["/a"], &["/a", "/a@@lang=de"], &["/a?", "/a/", "/A", "/ab", "/a?b", "/b", "/"]),
        ("URL", &["/a?x=1&y"], &["/a?x=1&y"], &["/a", "/a?y&x=1", "/a?x=1&y&z", "/a?X=1&y"]),
        ("URL", &["/%7Eb/../c%2fd"], &["/c%2Fd"], &["/c/d", "/~b/c%2Fd"]),
        ("URL", &["/p q\u{e9}", "/e@@f"], &["/p%20q%C3%A9", "/e%40%40f"], &["/e@@f", "/p"]),
        ("URL", &["/f#g"], &["/f"], &["/", "/f%23g"]),
        ("URL", &["/"], &["/"], &["/a", "/?"]),
        ("DIRECTORY", &["/*"], &["/", "/a", LONGER, "/?q"], &[]),
        ("DIRECTORY", &["/a/*"], &["/a/", "/a/b", "/a/b/c?d", LONGER, "/a/?q"], &["/a", "/ab", "/a?/", "/b/a/c"]),
        ("DIRECTORY", &[r"/a/\*"], &["/a/", LONGER], &["/a", "/", "/a%5C/b"]),
        ("DIRECTORY", &["/x@@y/*"], &["/x%40%40y/z"], &["/x@@y/z", "/x"]),
        ("PATTERN", &["/*.png"], &["/a.png", LONGER, "/.png", "/a.b.png"], &["/a.PNG", "/a.pngx", "/png", "/a?b.png"]),
        ("PATTERN", &["/a/*.png"], &["/a/b.png?q", LONGER, "/a/.png"], &["/a.png", "/b/a/c.png", "/a/b.png/c"]),
        ("PATTERN", &[r"/a/\*.png"], &[LONGER], &["/a/b.css"]),
        ("PATTERN", &["/*.tar.gz"], &["/a/b.tar.gz"], &["/a.gz", "/a.tar"]),
    ];
    for (kind, targets, taken, left) in table {
        let fixture = fixture();
        let origins = ["http://www.example.com", "https://www.example.com", "http://img.example.com"];
        let keys = |paths: &[&str]| -> Vec<String> {
            paths.iter().flat_map(|path| origins.map(|origin| format!("{origin}{path}"))).collect()
        };
        let foreign = taken.iter().map(|path| format!("http://other.example{path}"));
        let left: Vec<String> = keys(left).into_iter().chain(foreign).collect();
        keys(taken).iter().chain(&left).for_each(|key| fixture.store(key));
        purged(&fixture, &purge(kind, targets));
        for key in keys(taken) {
            assert!(!fixture.holds(&key), "{kind} {targets:?} takes {key}");
        }
        for key in left {
            assert!(fixture.holds(&key), "{kind} {targets:?} leaves {key}");
        }
    }
}

#[test]
fn what_is_no_target() {
    let fixture = fixture();
    for (kind, target) in [
        ("URL", ""),
        ("URL", "a"),
        ("URL", "/*"),
        ("URL", "/a*b"),
        ("URL", "/a?b=*"),
        ("URL", "http://www.example.com/a"),
        ("DIRECTORY", ""),
        ("DIRECTORY", "*"),
        ("DIRECTORY", "/"),
        ("DIRECTORY", "/a"),
        ("DIRECTORY", "/a/"),
        ("DIRECTORY", "/a*"),
        ("DIRECTORY", "a/*"),
        ("DIRECTORY", "/a/**"),
        ("DIRECTORY", "/*/a/*"),
        ("DIRECTORY", "/a?b/*"),
        ("DIRECTORY", "/a#b/*"),
        ("DIRECTORY", "/a/*.png"),
        ("DIRECTORY", "//other.example*"),
        ("PATTERN", "/a/*"),
        ("PATTERN", "/a/b.png"),
        ("PATTERN", "*.png"),
        ("PATTERN", "a/*.png"),
        ("PATTERN", "/a/b*.png"),
        ("PATTERN", "/a/*png"),
        ("PATTERN", "/a/*."),
        ("PATTERN", "/a/*.*"),
        ("PATTERN", "/a/*.png*"),
        ("PATTERN", "/a/*.png?v=1"),
        ("PATTERN", "/a/*.p#g"),
        ("PATTERN", "/*/a/*.png"),
        ("PATTERN", "/a/*.b/c"),
        ("PATTERN", "/a?b/*.png"),
    ] {
        let answer = post(&fixture, &purge(kind, &[target]));
        refused(&answer, 400, "0040");
        assert!(answer.json["message"].as_str().unwrap().contains("purgeTarget[0]"), "{kind} {target}: {answer:?}");
    }
}

#[test]
fn everything_of_the_account() {
    let fixture = Fixture::new([account("acme", &["h", "*.w"], "AK", EDGE)]);
    let mine = ["http://h/", "https://h:8443/a?b@@c=d", "http://a.w/", "https://a.b.w/x"];
    let others = ["http://w/", "http://aw/", "http://sub.h/", "http://x/"];
    mine.iter().chain(&others).for_each(|key| fixture.store(key));
    purged(&fixture, &json!({ "edgeId": EDGE, "purgeType": "ALL" }));
    assert!(!mine.iter().any(|key| fixture.holds(key)));
    assert!(others.iter().all(|key| fixture.holds(key)));
}

#[test]
fn aliases_policies_and_addresses() {
    let policy = KeyPolicy::new().query(Query::Sort);
    let www = Site::new(["www.example.com"]).aliases(["example.com"]).merge_schemes(true).policy(policy);
    let sites = Sites::new([www, Site::new(["*"])]).unwrap();
    let key = |scheme: &str, host: &str, target: &str| {
        let key = sites.key(scheme.as_bytes(), host.as_bytes(), target.as_bytes(), &HeaderMap::new());
        key.unwrap().to_string()
    };
    for (kind, targets, target) in
        [("URL", &["/d/a.png?y&x"][..], "/d/a.png?x&y"), ("DIRECTORY", &["/d/*"], "/d/a?b"), ("ALL", &[], "/d")]
    {
        let account = account("acme", &["EXAMPLE.com", "[::1]"], "AK", EDGE);
        let fixture = Fixture::with_sites(sites.clone(), [account]);
        let mine = [("https", "example.com"), ("https", "[::1]"), ("http", "[::1]")];
        let keys = mine.map(|(scheme, host)| key(scheme, host, target));
        // Where no policy sorts, another order is another URL.
        let taken = |key: &&String| kind != "URL" || !key.contains("[::1]");
        let left = key("http", "other.example", target);
        keys.iter().chain([&left]).for_each(|key| fixture.store(key));
        let mut body = json!({ "edgeId": EDGE, "purgeType": kind });
        if !targets.is_empty() {
            body["purgeTarget"] = json!(targets);
        }
        let id = purged(&fixture, &body);
        for key in &keys {
            assert_eq!(!fixture.holds(key), taken(&key), "{kind} {key}");
        }
        assert!(fixture.holds(&left));
        assert_eq!(status(&fixture, id)["serviceDomain"], "www.example.com");
    }
}

#[test]
fn hosts_below_a_name() {
    for (kind, target, taken, left) in [
        ("DIRECTORY", "/d/*", "/d/e/f?g@@v=1", "/d"),
        ("PATTERN", "/d/*.png", "/d/e/f.png?g", "/d/f.css"),
        ("URL", "/d/f?g", "/d/f?g", "/d/f"),
        ("URL", "/d/f", "/d/f", "/d/f?g"),
    ] {
        let fixture = Fixture::new([account("acme", &["*.w", "h"], "AK", EDGE)]);
        let origins = ["http://a.w", "https://a.b.w", "http://a.w:8080", "http://h"];
        let others = ["http://w", "http://aw", "http://x"];
        for origin in origins {
            fixture.store(&format!("{origin}{taken}"));
            fixture.store(&format!("{origin}{left}"));
        }
        others.iter().for_each(|origin| fixture.store(&format!("{origin}{taken}")));
        purged(&fixture, &purge(kind, &[target]));
        for origin in origins {
            assert!(!fixture.holds(&format!("{origin}{taken}")), "{kind} {target} at {origin}");
            assert!(fixture.holds(&format!("{origin}{left}")), "{kind} {target} at {origin}");
        }
        assert!(others.iter().all(|origin| fixture.holds(&format!("{origin}{taken}"))), "{kind} {target}");
    }
}

#[test]
fn status_fields() {
    let fixture = fixture();
    let common = |id: u64, kind: &str| {
        json!({
            "purgeId": id, "instanceNo": EDGE, "serviceDomain": "www.example.com",
            "requestDateTime": "2026-11-21T12:00:00Z", "status": "READY", "purgeType": kind,
            "workerType": "ACCOUNT", "ticketId": id.to_string(),
        })
    };
    let with = |mut status: Value, more: Value| {
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        status
    };
    let id = purged(&fixture, &json!({ "edgeId": EDGE, "purgeType": "ALL" }));
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(status(&fixture, id), common(id, "ALL"));
    fixture.clock.set(NOW_MS);
    let id = purged(&fixture, &purge("DIRECTORY", &["/a/*", r"/b/\*"]));
    assert_eq!(status(&fixture, id), with(common(id, "DIRECTORY"), json!({ "targetDirectory": r"/a/*,/b/\*" })));
    for (kind, one, other) in [("PATTERN", "/*.a", "/b/*.c"), ("URL", "/a?b", "/c")] {
        let id = purged(&fixture, &purge(kind, &[one, other]));
        let files = json!({ "targetFileList": [one, other], "targetFileListString": format!("{one},{other}") });
        assert_eq!(status(&fixture, id), with(common(id, kind), files));
    }
}

#[test]
fn the_address_of_the_client_is_shown_where_it_is_known() {
    let fixture = fixture();
    let timestamp = NOW_MS.to_string();
    let send = |method: &str, target: &str, body: String| {
        let signature = sign(method, target, &timestamp, "AK", "AK-secret");
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("x-ncp-apigw-timestamp", &timestamp)
            .header("x-ncp-iam-access-key", "AK")
            .header("x-ncp-apigw-signature-v2", signature)
            .header("x-forwarded-for", "198.51.100.9")
            .extension("203.0.113.7:4711".parse::<std::net::SocketAddr>().unwrap());
        let answer = fixture.api.handle(&request.body(Bytes::from(body)).unwrap());
        serde_json::from_slice::<Value>(answer.body()).unwrap()
    };
    let id = send("POST", PURGES, json!({ "edgeId": EDGE, "purgeType": "ALL" }).to_string())["result"][0].clone();
    assert_eq!(send("GET", &format!("{PURGES}/{id}"), String::new())["result"]["clientIp"], "203.0.113.7");
}

#[test]
fn ids_are_of_no_order() {
    let fixture = fixture();
    let ids: Vec<u64> = (0..200).map(|_| purged(&fixture, &json!({ "edgeId": EDGE, "purgeType": "ALL" }))).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 200);
    assert!(ids.iter().all(|&id| id > 0 && id < 1 << 53));
    assert!(ids.iter().any(|&id| id > 1 << 50), "of all {} bits", 53);
    assert!(!ids.is_sorted());
    for id in ["abc", "-1", "1.5", "18446744073709551616", "%20"] {
        refused(&get(&fixture, "AK", &format!("{PURGES}/{id}")), 400, "0040");
    }
}

/// A clock that asks the API for the state of a purge whenever it is read: a sweep reads it as it begins and as it ends.
#[derive(Debug, Default)]
struct Watch {
    clock: ManualClock,
    watched: Mutex<Option<(Weak<Api>, u64)>>,
    seen: Mutex<Vec<String>>,
}

impl Watch {
    fn look(&self) -> Option<String> {
        let (api, id) = self.watched.lock().unwrap().clone()?;
        let target = format!("{PURGES}/{id}");
        let timestamp = self.clock.now_ms().to_string();
        let request = Request::get(&target)
            .header("x-ncp-apigw-timestamp", &timestamp)
            .header("x-ncp-iam-access-key", "AK")
            .header("x-ncp-apigw-signature-v2", sign("GET", &target, &timestamp, "AK", "AK-secret"));
        let answer = api.upgrade()?.handle(&request.body(Bytes::new()).unwrap());
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        Some(answer["result"]["status"].as_str().unwrap().to_owned())
    }
}

impl Clock for Watch {
    fn now_ms(&self) -> u64 {
        if let Some(state) = self.look() {
            self.seen.lock().unwrap().push(state);
        }
        self.clock.now_ms()
    }
}

#[test]
fn states_are_those_of_the_sweep() {
    let watch = Arc::new(Watch::default());
    watch.clock.set(NOW_MS);
    let config = Config::new().edge_size(1 << 20).background_sweep(false);
    let cache: Cache = config.clock(Arc::clone(&watch) as _).build().unwrap();
    // The API's own clock is the one within, which asks nothing.
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let api = Arc::new(Api::with_clock(cache.clone(), [acme()], clock).unwrap());
    let timestamp = NOW_MS.to_string();
    let request = Request::post(PURGES)
        .header("x-ncp-apigw-timestamp", &timestamp)
        .header("x-ncp-iam-access-key", "AK")
        .header("x-ncp-apigw-signature-v2", sign("POST", PURGES, &timestamp, "AK", "AK-secret"));
    let body = purge("DIRECTORY", &["/*"]).to_string();
    let answer = api.handle(&request.body(Bytes::from(body)).unwrap());
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    let id = answer["result"][0].as_u64().unwrap();

    *watch.watched.lock().unwrap() = Some((Arc::downgrade(&api), id));
    assert_eq!(watch.look().unwrap(), "READY");
    cache.sweep();
    assert_eq!(watch.look().unwrap(), "SUCCESS");
    assert_eq!(*watch.seen.lock().unwrap(), ["READY", "RUNNING"], "as the sweep begins, and before it ends");
}

#[test]
fn too_many_live_rules() {
    let cache = Config::new().edge_size(1 << 20).background_sweep(false).max_rules(2).build().unwrap();
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let api = Api::with_clock(cache.clone(), [acme()], Arc::clone(&clock) as _).unwrap();
    let fixture = Fixture { cache, api, clock };
    purged(&fixture, &purge("URL", &["/a"]));
    let answer = post(&fixture, &purge("URL", &["/b"]));
    assert_eq!((answer.status, &answer.json["error"]["errorCode"]), (StatusCode::TOO_MANY_REQUESTS, &json!("410")));
    assert!(answer.headers.contains_key("retry-after"));
    purged(&fixture, &json!({ "edgeId": EDGE, "purgeType": "ALL" }));
    fixture.cache.sweep();
    purged(&fixture, &purge("URL", &["/b"]));
}

#[test]
fn accounts_that_are_none() {
    let cache = || Config::new().edge_size(1 << 20).background_sweep(false).build().unwrap();
    let keyless = |access_key: &str, secret_key: &str| {
        let naver = Naver { access_key: access_key.into(), secret_key: secret_key.into(), edge_id: 1 };
        Account { naver: Some(naver), ..Account::new("bad", ["h"]) }
    };
    for (accounts, wrong) in [
        (vec![keyless("", "s")], "account 'bad': naver.access_key is empty"),
        (vec![keyless("a", "")], "account 'bad': naver.secret_key is empty"),
        (vec![account("bad", &[], "a", 1)], "account 'bad': naver: an edge without hosts"),
        (
            vec![account("good", &["g"], "a", 1), account("bad", &["h"], "a", 2)],
            "account 'bad': naver.access_key is that of another account too",
        ),
    ] {
        assert_eq!(Api::new(cache(), accounts).unwrap_err().to_string(), wrong);
    }
    assert!(Api::new(cache(), [account("a", &["h"], "a", 1), account("b", &["h"], "b", 1)]).is_ok());
    let shown = format!("{:?}", Fixture::new([acme()]).api);
    assert!(!shown.contains("AK-secret"), "secrets are not shown");
}

#[test]
fn patterns_by_name() {
    for (dialect, pattern, host, selector) in [
        (Dialect::NaverDirectory, "/d/*", "h", oust::Selector::Pattern("any://h/d/**".into())),
        (Dialect::NaverPattern, "/d/*.png", "h:8080", oust::Selector::Pattern("any://h:8080/d/**.png".into())),
        (Dialect::NaverUrl, "/d?e", "h", oust::Selector::Url("any://h/d?e".into())),
        (Dialect::NaverUrl, "/d?e@@", "*.h", oust::Selector::Pattern("any://*.h/d?e%40%40".into())),
    ] {
        assert_eq!(dialect.selectors(pattern, host), Ok(vec![selector]));
    }
    assert!(Dialect::NaverDirectory.selectors("/d", "h").is_err());
}
