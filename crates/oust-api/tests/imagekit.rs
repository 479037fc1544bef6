//! ImageKit as its clients see it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Fixture};
use http::{Method, StatusCode};
use oust::purge::Matcher;
use oust::site::Sites;
use oust::{Config, Key};
use oust_api::{Account, Api, Dialect, ImageKit};
use serde_json::json;

const PATH: &str = "/v1/files/purge";
/// `private_abc` with an empty password, as older clients send it.
const AUTH: (&str, &str) = ("authorization", "Basic cHJpdmF0ZV9hYmM6");
/// The same with a placeholder for a password.
const PLACEHOLDER: (&str, &str) = ("authorization", "Basic cHJpdmF0ZV9hYmM6ZG9fbm90X3NldA==");
const URL: &str = "https://ik.imagekit.io/acme/images/a.jpg";

fn account(name: &str, private_key: &str, host: &str) -> Account {
    let imagekit = ImageKit { private_key: private_key.into(), ..ImageKit::default() };
    Account { imagekit: Some(imagekit), ..Account::new(name, [host]) }
}

fn acme() -> Account {
    account("acme", "private_abc", "ik.imagekit.io")
}

fn fixture() -> Fixture {
    Fixture::new([acme(), account("globex", "private_xyz", "img.example.org")])
}

fn with_wildcards(host: &str) -> Fixture {
    let imagekit = ImageKit { private_key: "private_abc".into(), wildcard: true, ..ImageKit::default() };
    Fixture::new([Account { imagekit: Some(imagekit), ..Account::new("acme", [host]) }])
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

fn purge(fixture: &Fixture, url: &str) -> Answer {
    fixture.post(PATH, &[AUTH], &json!({ "url": url }))
}

/// Asserts the shape all errors have.
fn assert_error(answer: &Answer, status: u16) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(field(answer, "content-type"), Some("application/json"));
    assert!(answer.json["message"].is_string() && answer.json["help"].is_string(), "{answer:?}");
}

#[test]
fn a_purge_is_made_and_followed() {
    let fixture = fixture();
    fixture.store(URL);
    let answer = purge(&fixture, URL);
    assert_eq!((answer.status, field(&answer, "content-type")), (StatusCode::CREATED, Some("application/json")));
    let id = answer.json["requestId"].as_str().unwrap();
    assert!(id.len() == 24 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    assert_eq!(answer.json, json!({ "requestId": id }));
    assert!(!fixture.holds(URL), "effective at once");

    let status = || fixture.get(&format!("{PATH}/{id}"), &[PLACEHOLDER]);
    assert_eq!((status().status, status().json), (StatusCode::OK, json!({ "status": "Pending" })));
    fixture.cache.sweep();
    assert_eq!((status().status, status().json), (StatusCode::OK, json!({ "status": "Completed" })));

    let record = &fixture.cache.purge_records(None, 1)[0];
    assert_eq!((record.by.as_str(), record.action), ("acme", oust::Action::Delete));
    assert!(record.layers.edge && record.layers.l2);
    let other = purge(&fixture, URL).json["requestId"].clone();
    assert_ne!(other, id, "every request has its own id");
}

#[test]
fn the_private_key_is_the_user_and_the_password_is_not_read() {
    let good = [
        AUTH.1,
        PLACEHOLDER.1,
        &basic("private_abc:anything:with:colons"),
        &AUTH.1.replace("Basic", "basic"),
        &AUTH.1.replace("Basic", "BASIC "),
    ];
    for good in good {
        let answer = fixture().post(PATH, &[("authorization", good)], &json!({ "url": URL }));
        assert_eq!(answer.status, 201, "{good}");
    }
    let bad = [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Bearer cHJpdmF0ZV9hYmM6",
        &basic(":private_abc"),
        &basic("private_ab:"),
        &basic("private_abcd:"),
        &basic(""),
    ];
    for bad in bad {
        let fixture = fixture();
        fixture.store(URL);
        let headers = [("authorization", bad)];
        assert_error(&fixture.post(PATH, &headers, &json!({ "url": URL })), 401);
        assert_error(&fixture.get(&format!("{PATH}/598821f949c0a938d57563bd"), &headers), 401);
        assert!(fixture.holds(URL));
    }
    let answer = fixture().post(PATH, &[], &json!({ "url": URL }));
    assert_error(&answer, 401);
    assert!(field(&answer, "www-authenticate").unwrap().starts_with("Basic"));
}

#[test]
fn requests_without_a_url_are_refused() {
    for body in ["", "{}", "[]", "null", "{", r#"{"url":""}"#, r#"{"url":null}"#, r#"{"url":["x"]}"#, r#"{"URL":"x"}"#]
    {
        let answer = fixture().send(Method::POST, PATH, &[AUTH], body);
        assert_error(&answer, 400);
        assert_eq!(answer.json["message"], "Your request is missing URL parameter.", "{body}");
    }
    let bad = ["/a.jpg", "ik.imagekit.io/acme/a.jpg", "ftp://ik.imagekit.io/a", "any://ik.imagekit.io/a", "https://"];
    for bad in bad.into_iter().chain(["https://ik.imagekit.io/acme/%zz.jpg", "https:///a"]) {
        assert_error(&purge(&fixture(), bad), 400);
    }
    let answer = purge(&fixture(), "https://ik.imagekit.io/%zz");
    assert!(answer.json["message"].as_str().unwrap().contains("at byte 23"), "{answer:?}");
}

#[test]
fn content_types_are_not_looked_at() {
    for kind in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
        let answer = fixture().post(PATH, &[AUTH, ("content-type", kind)], &json!({ "url": URL, "more": 1 }));
        assert_eq!(answer.status, 201, "{kind}");
    }
}

#[test]
fn accounts_neither_purge_nor_see_each_other() {
    let fixture = fixture();
    fixture.store("http://img.example.org/a");
    for url in ["http://img.example.org/a", "http://example.org/", "https://ik.imagekit.io.evil.org/a"] {
        assert_error(&purge(&fixture, url), 403);
    }
    assert!(fixture.holds("http://img.example.org/a"));
    let id = purge(&fixture, URL).json["requestId"].as_str().unwrap().to_owned();
    let path = format!("{PATH}/{id}");
    let other = basic("private_xyz:");
    assert_eq!(fixture.get(&path, &[AUTH]).status, 200);
    let foreign = fixture.get(&path, &[("authorization", &other)]);
    assert_error(&foreign, 404);
    let unknown = fixture.get(&format!("{PATH}/598821f949c0a938d57563bd"), &[AUTH]);
    assert_error(&unknown, 404);
    assert_eq!(foreign.json, unknown.json);
}

#[test]
fn other_methods_and_paths() {
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = fixture().send(method, PATH, &[AUTH], "");
        assert_error(&answer, 405);
        assert_eq!(field(&answer, "allow"), Some("POST"));
    }
    for method in [Method::POST, Method::DELETE] {
        let answer = fixture().send(method, &format!("{PATH}/598821f949c0a938d57563bd"), &[AUTH], "");
        assert_error(&answer, 405);
        assert_eq!(field(&answer, "allow"), Some("GET"));
    }
    for path in ["/v1/files", "/v1/files/purge/", "/v1/files/purge/a/b", "/v1/files/purged", "/V1/files/purge"] {
        assert_eq!(fixture().get(path, &[AUTH]).status, 404, "{path}");
    }
}

#[test]
fn every_answer_has_the_quota_in_milliseconds() {
    let fixture = fixture();
    let id = purge(&fixture, URL).json["requestId"].as_str().unwrap().to_owned();
    fixture.clock.advance(Duration::from_millis(1500));
    let answers = [
        fixture.get(&format!("{PATH}/{id}"), &[AUTH]),
        fixture.get(&format!("{PATH}/x"), &[AUTH]),
        fixture.get(PATH, &[AUTH]),
        fixture.post(PATH, &[AUTH], &json!({})),
        purge(&fixture, "http://foreign.example/"),
        purge(&fixture, URL),
    ];
    for answer in answers {
        let names = ["x-ratelimit-limit", "x-ratelimit-reset", "x-ratelimit-interval"];
        let wanted = [Some("1000"), Some("2591998500"), Some("2592000000")];
        assert_eq!(names.map(|name| field(&answer, name)), wanted, "{answer:?}");
    }
}

#[test]
fn purges_over_the_quota_are_refused_for_the_month() {
    let imagekit = ImageKit { private_key: "private_abc".into(), monthly: 2, wildcard: false };
    let acme = Account { imagekit: Some(imagekit), ..Account::new("acme", ["ik.imagekit.io"]) };
    let fixture = Fixture::new([acme, account("globex", "private_xyz", "img.example.org")]);
    assert_eq!(purge(&fixture, URL).status, 201);
    assert_error(&fixture.post(PATH, &[AUTH], &json!({})), 400);
    assert_error(&purge(&fixture, "http://foreign.example/"), 403);
    assert_eq!(purge(&fixture, URL).status, 201, "what is refused is no purge");
    fixture.store(URL);
    fixture.clock.advance(Duration::from_secs(30 * 86_400 - 1));
    fixture.store(URL);
    let answer = purge(&fixture, URL);
    assert_error(&answer, 429);
    assert_eq!(field(&answer, "x-ratelimit-limit"), Some("2"));
    assert_eq!(field(&answer, "x-ratelimit-reset"), Some("1000"));
    assert_eq!((field(&answer, "retry-after"), field(&answer, "x-should-retry")), (Some("1"), Some("false")));
    assert!(fixture.holds(URL));
    let other = [("authorization", &*basic("private_xyz:"))];
    assert_eq!(fixture.post(PATH, &other, &json!({ "url": "http://img.example.org/" })).status, 201, "its own quota");
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(purge(&fixture, URL).status, 201);
}

#[test]
fn a_url_takes_all_variants_of_itself_alone() {
    let gone = ["http://ik.imagekit.io/acme/a.jpg", "http://ik.imagekit.io/acme/a.jpg@@webp"];
    let kept = [
        "https://ik.imagekit.io/acme/a.jpg",
        "http://ik.imagekit.io/acme/a.jpg?tr=w-10",
        "http://ik.imagekit.io/acme/a.jpg2",
        "http://ik.imagekit.io/acme/A.jpg",
        "http://ik.imagekit.io/acme/",
    ];
    for url in [gone[0], "HTTP://IK.imagekit.io:80/acme/./%61.jpg#top"] {
        let fixture = fixture();
        gone.iter().chain(&kept).for_each(|key| fixture.store(key));
        fixture.store_variant("http://ik.imagekit.io/acme/b", &[("accept", "image/avif")], &[("vary", "accept")]);
        assert_eq!(purge(&fixture, url).status, 201, "{url}");
        assert!(!gone.iter().any(|key| fixture.holds(key)) && kept.iter().all(|key| fixture.holds(key)), "{url}");
        assert_eq!(purge(&fixture, "http://ik.imagekit.io/acme/b").status, 201);
        assert!(!fixture.holds_variant("http://ik.imagekit.io/acme/b", &[("accept", "image/avif")]));
    }
}

#[test]
fn wildcards_are_refused_unless_admitted() {
    let fixture = fixture();
    fixture.store("https://ik.imagekit.io/acme/images/upload/*");
    for url in ["https://ik.imagekit.io/acme/images/upload/*", "https://ik.imagekit.io/acme/*/a.jpg", "https://*/a"] {
        assert_error(&purge(&fixture, url), 400);
    }
    assert!(fixture.cache.purge_records(None, 1).is_empty());
    assert_eq!(purge(&fixture, "https://ik.imagekit.io/acme/images/upload/%2A").status, 201, "an asterisk of its own");
}

#[test]
fn wildcards_need_enough_before_them() {
    // Path behind host and account id, and whether it is narrow enough.
    #[rustfmt::skip]
    let table = [
        ("images/upload*", true), ("images/a*", true), ("images*", false), ("images/*", false), ("*", false),
        ("fourteen-chars*", false), ("fifteen-chars-x*", true), ("sample.jpg*", true), (".jpg*", false),
        ("sample.*", false), ("sample.jpg?tr=*", true), ("sample?tr=w-100,h-200*", false),
        ("media/catalog/*", false), ("media/catalog*", false), ("s/files/*", false), ("media/catalog/p*", true),
        ("images/../*", false), ("images/%2e%2e/*", false), ("x/./../*", false), ("images//*", false),
        ("images/*/a.jpg", false), ("images/upload**", false), ("images/up%*", false),
    ];
    for (path, admitted) in table {
        for root in ["https://ik.imagekit.io/acme/", "https://img.example.com/"] {
            let host = root.split('/').nth(2).unwrap();
            let answer = purge(&with_wildcards(host), &format!("{root}{path}"));
            assert_eq!(answer.status.as_u16(), if admitted { 201 } else { 400 }, "{root}{path}: {answer:?}");
        }
    }
    let fixture = with_wildcards("ik.imagekit.io");
    for url in ["https://ik.imagekit.io/acme*", "https://ik.imagekit.io/an-account-of-many-characters/*", "https://ik*"]
    {
        assert_error(&purge(&fixture, url), 400);
    }
    assert_error(&purge(&fixture, "https://img.example.com/images/upload*"), 403);
}

#[test]
fn a_wildcard_takes_what_begins_so() {
    let gone = [
        "https://img.example.com/images/a.jpg",
        "https://img.example.com/images/a.jpg@@webp",
        "https://img.example.com/images/a.jpg?tr=w-10",
        "https://img.example.com/images/a.jpg/b/c",
    ];
    let kept = [
        "http://img.example.com/images/a.jpg",
        "https://img.example.com/images/a.jp",
        "https://img.example.com/images/A.jpg",
        "https://img.example.com/x/images/a.jpg",
    ];
    let fixture = with_wildcards("img.example.com");
    gone.iter().chain(&kept).for_each(|key| fixture.store(key));
    let answer = purge(&fixture, "https://img.example.com/images/a.jpg*");
    assert_eq!(answer.status, 201);
    assert!(!gone.iter().any(|key| fixture.holds(key)) && kept.iter().all(|key| fixture.holds(key)));
}

#[test]
fn patterns_without_a_server() {
    let table: [(&str, &[&str], &[&str]); 5] = [
        ("http://h/a", &["http://h/a", "http://h/a@@v"], &["http://h/a?", "https://h/a", "http://h/ab"]),
        (
            "https://h/a/b*",
            &["https://h/a/b", "https://h/a/bc?d@@v", "https://h/a/b/c"],
            &["https://h/a/", "http://h/a/b"],
        ),
        ("http://h/a.png*", &["http://h/a.png?tr=w-1"], &["http://h/a.jpg"]),
        ("http://h/a@@b", &["http://h/a%40%40b"], &["http://h/a@@b", "http://h/a"]),
        ("http://h/a/@@@b*", &["http://h/a/%40%40%40bc@@v"], &["http://h/a/@@b", "http://h/a/%40%40b"]),
    ];
    for (pattern, takes, leaves) in table {
        let selectors = Dialect::ImageKit.selectors(pattern, "").unwrap();
        let matcher = Matcher::new(&selectors[0], &Sites::default()).unwrap();
        let taken = |key: &&&str| matcher.matches(Key::parse(key.as_bytes()).unwrap().as_ref());
        assert_eq!(takes.iter().find(|key| !taken(key)), None, "{pattern} takes it");
        assert_eq!(leaves.iter().find(taken), None, "{pattern} leaves it");
    }
    for bad in ["", "h/a", "any://h/a", "http://h/*", "http://h/a/*b", "http://h/a/b*c*"] {
        assert!(Dialect::ImageKit.selectors(bad, "").is_err(), "{bad}");
    }
}

#[test]
fn credentials_are_of_one_account() {
    let api = |accounts: [Account; 2]| {
        Api::new(Config::new().background_sweep(false).build().unwrap(), accounts).unwrap_err().to_string()
    };
    let error = api([acme(), account("twin", "private_abc", "h")]);
    assert!(error.contains("'twin'") && error.contains("'acme'") && error.contains("imagekit.private_key"), "{error}");
    assert!(!error.contains("private_abc"), "no secret is printed");
    assert!(api([acme(), account("empty", "", "h")]).contains("'empty'"));
}

#[test]
fn what_the_engine_has_no_room_for_is_to_be_sent_again() {
    let cache = Config::new().background_sweep(false).max_rules(1).build().unwrap();
    let fixture = Fixture { api: Api::new(cache.clone(), [acme()]).unwrap(), cache, clock: fixture().clock };
    assert_eq!(purge(&fixture, URL).status, 201);
    fixture.store(URL);
    let answer = purge(&fixture, URL);
    assert_error(&answer, 503);
    assert!(answer.json["message"].as_str().unwrap().contains("cap of 1 live rules"), "{answer:?}");
    assert!(fixture.holds(URL));
    fixture.cache.sweep();
    assert_eq!(purge(&fixture, URL).status, 201);
}
