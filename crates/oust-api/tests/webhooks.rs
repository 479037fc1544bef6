//! CDNetworks' webhooks: the API, and callbacks on their way.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Fixture};
use hmac::{Hmac, Mac};
use http::Method;
use oust::clock::Clock;
use oust_api::{Account, Callback, Cdnetworks, Rate};
use serde_json::{Value, json};

fn account(name: &str, hosts: &[&str]) -> Account {
    let cdnetworks = Cdnetworks {
        user: name.to_owned(),
        api_key: "key".into(),
        rate: Rate::new(100_000, 300),
        ..Cdnetworks::default()
    };
    Account { cdnetworks: Some(cdnetworks), ..Account::new(name, hosts.iter().copied()) }
}

fn fixture() -> Fixture {
    Fixture::new([account("acme", &["h"]), account("rival", &["other"])])
}

fn password(key: &str, date: &str) -> String {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(date.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

fn now(fixture: &Fixture) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(fixture.clock.now_ms()))
}

fn send(fixture: &Fixture, user: &str, method: Method, target: &str, body: &Value) -> Answer {
    let date = now(fixture);
    let pair = BASE64_STANDARD.encode(format!("{user}:{}", password("key", &date)));
    let headers = [("host", "api"), ("date", date.as_str()), ("authorization", &format!("Basic {pair}"))];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    fixture.send(method, target, &headers, &body)
}

fn get(fixture: &Fixture, user: &str, target: &str) -> Answer {
    send(fixture, user, Method::GET, target, &Value::Null)
}

/// The path of a webhook that must be accepted.
#[track_caller]
fn created(fixture: &Fixture, user: &str, body: &Value) -> String {
    let answer = send(fixture, user, Method::POST, "/cdn/webhooks", body);
    assert_eq!((answer.status.as_u16(), answer.body.len()), (201, 0), "{}", answer.json);
    let path = answer.headers["location"].to_str().unwrap().strip_prefix("http://api").unwrap().to_owned();
    let id = path.strip_prefix("/cdn/webhooks/").unwrap();
    assert!(id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    path
}

fn simple(fixture: &Fixture) -> String {
    created(fixture, "acme", &json!({ "name": "n", "url": "https://hook.example/x?y" }))
}

/// The id of a purge with this webhook.
#[track_caller]
fn purged(fixture: &Fixture, webhook: &str) -> String {
    let id = webhook.strip_prefix("/cdn/webhooks/").unwrap();
    let body = json!({ "fileUrls": ["http://h/a"], "target": "production", "webhook": id });
    let answer = send(fixture, "acme", Method::POST, "/cdn/purges", &body);
    assert_eq!(answer.status, 201, "{}", answer.json);
    let location = answer.headers["location"].to_str().unwrap();
    location.strip_prefix("http://api/cdn/purges/").unwrap().to_owned()
}

fn meta(fixture: &Fixture, webhook: &str) -> Value {
    get(fixture, "acme", webhook).json["metaData"].clone()
}

fn one(fixture: &Fixture) -> Callback {
    let mut due = fixture.api.due_callbacks();
    assert_eq!(due.len(), 1);
    due.remove(0)
}

fn advance(fixture: &Fixture, ms: u64) {
    fixture.clock.advance(Duration::from_millis(ms));
}

#[test]
fn webhooks_are_kept() {
    let fixture = fixture();
    let full = json!({
        "name": "deploys",
        "url": "http://hook.example:8000/purged",
        "description": "tells the chat",
        "credentials": { "user": "us", "secretKey": "hush" },
    });
    let first = created(&fixture, "acme", &full);
    advance(&fixture, 60_000);
    let second = simple(&fixture);
    let foreign = created(&fixture, "rival", &full);

    let id = first.strip_prefix("/cdn/webhooks/").unwrap();
    let mut view = json!({
        "id": id,
        "name": "deploys",
        "url": "http://hook.example:8000/purged",
        "description": "tells the chat",
        "credentials": { "user": "us" },
        "metaData": {
            "creationTime": "2026-11-21T12:00:00Z",
            "lastUpdatetime": "2026-11-21T12:00:00Z",
            "lastCallTime": null,
            "totalCalls": 0,
            "failedTasks": 0,
        },
    });
    let answer = get(&fixture, "acme", &first);
    assert_eq!((answer.status.as_u16(), &answer.json), (200, &view), "the secret key is hidden");
    assert_eq!(answer.headers["content-type"], "application/json;charset=utf-8");
    let plain = get(&fixture, "acme", &second).json;
    assert_eq!((&plain["description"], &plain["credentials"]), (&json!(""), &Value::Null));

    let list = get(&fixture, "acme", "/cdn/webhooks").json;
    assert_eq!((&list["count"], &list["webooks"]), (&json!(2), &list["webhooks"]));
    let mut row = view.clone();
    for (name, value) in [
        ("hasCredentials", json!(true)),
        ("creationTime", json!("2026-11-21T12:00:00Z")),
        ("lastUpdateTime", json!("2026-11-21T12:00:00Z")),
        ("lastCallTime", json!(null)),
        ("totalCalls", json!(0)),
    ] {
        row[name] = value;
    }
    assert_eq!(list["webooks"][1], row, "the newest first");
    assert_eq!(list["webooks"][0]["hasCredentials"], false);
    let page = get(&fixture, "acme", "/cdn/webhooks?offset=1&limit=1").json;
    assert_eq!((&page["count"], &page["webhooks"]), (&json!(2), &json!([row])));
    for query in ["limit=0", "limit=201", "offset=x"] {
        assert_eq!(get(&fixture, "acme", &format!("/cdn/webhooks?{query}")).status, 400, "{query}");
    }

    let patch = |change: Value| {
        let answer = send(&fixture, "acme", Method::PATCH, &first, &change);
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{change}: {}", answer.json);
        get(&fixture, "acme", &first).json
    };
    view["metaData"]["lastUpdatetime"] = json!("2026-11-21T12:01:00Z");
    view["name"] = json!("d");
    assert_eq!(patch(json!({ "name": "d" })), view);
    view["url"] = json!("https://x");
    view["description"] = json!("");
    assert_eq!(patch(json!({ "url": "https://x", "description": null })), view);
    view["credentials"]["user"] = json!("them");
    assert_eq!(patch(json!({ "credentials": { "user": "them" } })), view);
    view["credentials"] = json!(null);
    assert_eq!(patch(json!({ "credentials": null })), view);
    assert_eq!(send(&fixture, "acme", Method::PATCH, &first, &json!({ "name": "e", "url": "x" })).status, 400);
    assert_eq!(patch(json!({})), view, "a refused change changes nothing");

    for (method, path) in [(Method::GET, &foreign), (Method::PATCH, &foreign), (Method::DELETE, &foreign)] {
        let answer = send(&fixture, "acme", method, path, &json!({}));
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (404, &json!("NotFound")));
    }
    assert_eq!(send(&fixture, "acme", Method::DELETE, &first, &Value::Null).status, 204);
    assert_eq!(get(&fixture, "acme", &first).status, 404);
    assert_eq!(get(&fixture, "acme", "/cdn/webhooks").json["count"], 1);
    assert_eq!(get(&fixture, "rival", "/cdn/webhooks").json["count"], 1);
}

#[test]
fn webhooks_are_checked() {
    let fixture = fixture();
    let url = "https://hook.example/";
    let wide = format!("{url}{}", "u".repeat(250 - url.len()));
    let most = json!({
        "name": "é".repeat(250), "url": wide, "description": "d".repeat(500),
        "credentials": { "user": "u".repeat(250), "secretKey": "k".repeat(250) },
    });
    created(&fixture, "acme", &most);
    for good in ["http://h", "HTTPS://[::1]:8080/a?b", "http://127.0.0.1/"] {
        created(&fixture, "acme", &json!({ "name": "n", "url": good }));
    }
    let with = |name: &str, value: Value| {
        let mut body = most.clone();
        body[name] = value;
        body
    };
    let credentials = |user: &str, key: &str| with("credentials", json!({ "user": user, "secretKey": key }));
    let scheme = "url begins with http:// or https:// and a host.";
    let cases = [
        (json!({}), "name has 1 to 250 characters."),
        (json!({ "name": "n" }), "url has 1 to 250 characters."),
        (with("name", json!("n".repeat(251))), "name has 1 to 250 characters."),
        (with("name", json!("")), "name has 1 to 250 characters."),
        (with("url", json!(format!("{wide}u"))), "url has 1 to 250 characters."),
        (with("description", json!("d".repeat(501))), "description has 0 to 500 characters."),
        (credentials("", "k"), "credentials.user has 1 to 250 characters."),
        (credentials("u", ""), "credentials.secretKey has 1 to 250 characters."),
        (credentials("u:v", "k"), "credentials.user holds a ':', which Basic cannot carry."),
        (with("credentials", json!({ "user": "u" })), "credentials.secretKey has 1 to 250 characters."),
        (with("url", json!("ftp://h/")), scheme),
        (with("url", json!("/path")), scheme),
        (with("url", json!("h:80")), scheme),
        (with("url", json!("http:///x")), "url is no URL."),
        (with("url", json!("http://h h/")), "url is no URL."),
        (with("url", json!("http://h/\r\nX: y")), "url is no URL."),
        (with("url", json!("http://u:p@h/")), "url has a host, and no user information."),
        (with("url", json!("http://u@h/")), "url has a host, and no user information."),
        (with("url", json!("http://:80/")), "url has a host, and no user information."),
    ];
    for (body, message) in cases {
        let answer = send(&fixture, "acme", Method::POST, "/cdn/webhooks", &body);
        assert_eq!(answer.json, json!({ "code": "InvalidParameter", "message": message }), "{body}");
        assert_eq!(answer.status, 400);
    }
    let answer = send(&fixture, "acme", Method::POST, "/cdn/webhooks", &json!({ "name": 1 }));
    assert!(answer.json["message"].as_str().unwrap().starts_with("The body is no webhook: "), "{}", answer.json);

    for _ in 4..100 {
        simple(&fixture);
    }
    let answer = send(&fixture, "acme", Method::POST, "/cdn/webhooks", &most);
    assert_eq!(answer.json["message"], "An account has at most 100 webhooks.");
    created(&fixture, "rival", &most);
}

#[test]
fn a_finished_purge_is_told() {
    let fixture = fixture();
    let webhook = created(
        &fixture,
        "acme",
        &json!({ "name": "n", "url": "http://hook.example/x", "credentials": { "user": "us", "secretKey": "hush" } }),
    );
    let task = purged(&fixture, &webhook);
    assert!(fixture.api.due_callbacks().is_empty(), "not swept yet");
    advance(&fixture, 5_000);
    fixture.cache.sweep();

    let callback = one(&fixture);
    assert_eq!(callback.url, "http://hook.example/x");
    let body: Value = serde_json::from_slice(&callback.body).unwrap();
    let list = json!([{ "taskId": task, "status": "finished", "successRate": 100 }]);
    assert_eq!(body, json!({ "subject": "purge finished", "taskType": "purge", "taskList": list }));
    assert_eq!(callback.headers["content-type"], "application/json");
    let date = "Sat, 21 Nov 2026 12:00:05 GMT";
    assert_eq!(callback.headers["date"], date);
    let pair = BASE64_STANDARD.encode(format!("us:{}", password("hush", date)));
    assert_eq!(callback.headers["authorization"], format!("Basic {pair}"));
    assert!(!callback.private);
    assert!(!format!("{callback:?} {:?}", fixture.api).contains(&pair), "nor is it printed");

    assert!(fixture.api.due_callbacks().is_empty(), "handed out once");
    assert_eq!(meta(&fixture, &webhook)["totalCalls"], 0);
    advance(&fixture, 1_000);
    fixture.api.callback_done(callback.id, true);
    let meta = meta(&fixture, &webhook);
    assert_eq!((&meta["totalCalls"], &meta["lastCallTime"]), (&json!(1), &json!("2026-11-21T12:00:06Z")));
    advance(&fixture, 100_000);
    assert!(fixture.api.due_callbacks().is_empty());
    fixture.api.callback_done(callback.id, true);
    assert_eq!(get(&fixture, "acme", &webhook).json["metaData"], meta, "reported once");
    let status = get(&fixture, "acme", &format!("/cdn/purges/{task}")).json;
    assert_eq!(status["webhook"], webhook.strip_prefix("/cdn/webhooks/").unwrap());
}

#[test]
fn without_credentials_nothing_is_proved() {
    let mut account = account("acme", &["h"]);
    account.webhook_private = true;
    let fixture = Fixture::new([account]);
    purged(&fixture, &simple(&fixture));
    fixture.cache.sweep();
    let callback = one(&fixture);
    assert!(callback.private);
    let names: Vec<_> = callback.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["content-type"]);
}

#[test]
fn what_fails_is_retried_three_times() {
    let fixture = fixture();
    let webhook = simple(&fixture);
    purged(&fixture, &webhook);
    fixture.cache.sweep();
    let first = one(&fixture);
    for pause in [1_000, 5_000, 25_000] {
        fixture.api.callback_done(first.id, false);
        fixture.api.callback_done(first.id, false);
        advance(&fixture, pause - 1);
        assert!(fixture.api.due_callbacks().is_empty(), "{pause} ms have not passed");
        advance(&fixture, 1);
        assert_eq!(one(&fixture).id, first.id);
    }
    fixture.api.callback_done(first.id, false);
    advance(&fixture, 1_000_000);
    assert!(fixture.api.due_callbacks().is_empty(), "given up");
    let meta = meta(&fixture, &webhook);
    assert_eq!((&meta["totalCalls"], &meta["failedTasks"]), (&json!(4), &json!(1)));
}

#[test]
fn a_later_attempt_counts_and_has_a_new_date() {
    let fixture = fixture();
    let own = json!({ "user": "u", "secretKey": "k" });
    let webhook = created(&fixture, "acme", &json!({ "name": "n", "url": "http://h/", "credentials": own }));
    purged(&fixture, &webhook);
    fixture.cache.sweep();
    fixture.api.callback_done(one(&fixture).id, false);
    // What is changed meanwhile holds for the next attempt.
    send(&fixture, "acme", Method::PATCH, &webhook, &json!({ "url": "http://moved/" }));
    advance(&fixture, 1_000);
    let second = one(&fixture);
    assert_eq!((second.url.as_str(), &second.headers["date"]), ("http://moved/", &now(&fixture).parse().unwrap()));
    fixture.api.callback_done(second.id, true);
    let meta = meta(&fixture, &webhook);
    assert_eq!((&meta["totalCalls"], &meta["failedTasks"]), (&json!(2), &json!(0)));
}

#[test]
fn what_was_never_reported_is_due_again() {
    let fixture = fixture();
    let webhook = simple(&fixture);
    purged(&fixture, &webhook);
    fixture.cache.sweep();
    let first = one(&fixture);
    for _ in 0..3 {
        advance(&fixture, 59_999);
        assert!(fixture.api.due_callbacks().is_empty());
        advance(&fixture, 1);
        assert_eq!(one(&fixture).id, first.id);
    }
    advance(&fixture, 60_000);
    assert!(fixture.api.due_callbacks().is_empty(), "four attempts are all");
    let meta = meta(&fixture, &webhook);
    assert_eq!((&meta["totalCalls"], &meta["failedTasks"]), (&json!(0), &json!(1)));
}

#[test]
fn a_clock_set_back_delays_nothing() {
    let fixture = fixture();
    purged(&fixture, &simple(&fixture));
    fixture.cache.sweep();
    fixture.api.callback_done(one(&fixture).id, false);
    fixture.clock.set(common::NOW_MS - 3_600_000);
    let second = one(&fixture);
    fixture.clock.set(common::NOW_MS - 7_200_000);
    assert_eq!(one(&fixture).id, second.id, "an hour between, whichever way");
}

#[test]
fn a_deleted_webhook_is_not_called() {
    let fixture = fixture();
    let (gone, kept) = (simple(&fixture), simple(&fixture));
    purged(&fixture, &gone);
    let task = purged(&fixture, &kept);
    fixture.cache.sweep();
    purged(&fixture, &gone);
    send(&fixture, "acme", Method::DELETE, &gone, &Value::Null);
    fixture.cache.sweep();
    assert!(String::from_utf8_lossy(&one(&fixture).body).contains(&task));
}

#[test]
fn a_refused_purge_calls_nobody() {
    let fixture = fixture();
    let webhook = simple(&fixture);
    let foreign = created(&fixture, "rival", &json!({ "name": "n", "url": "http://h/" }));
    let id = |path: &str| path.strip_prefix("/cdn/webhooks/").unwrap().to_owned();
    for (url, webhook) in [
        ("http://h/[", id(&webhook)),
        ("http://other/a", id(&webhook)),
        ("http://h/a", id(&foreign)),
        ("http://h/a", "http://hook.example/".to_owned()),
        ("http://h/a", String::new()),
    ] {
        let body = json!({ "fileUrls": [url], "target": "production", "webhook": webhook });
        assert_eq!(send(&fixture, "acme", Method::POST, "/cdn/purges", &body).status, 400);
    }
    // More than the engine takes at once: refused after the place for the callback was kept.
    let body = json!({ "fileUrls": vec!["http://h/a"; 10_001], "target": "production", "webhook": id(&webhook) });
    assert_eq!(send(&fixture, "acme", Method::POST, "/cdn/purges", &body).status, 400);
    fixture.cache.sweep();
    assert!(fixture.api.due_callbacks().is_empty());
    assert!(fixture.cache.purge_records(None, 1).is_empty());

    // Nor do refused ones take places for good.
    let body = json!({ "fileUrls": ["http://other/a"], "target": "production", "webhook": id(&webhook) });
    for _ in 0..1_001 {
        assert_eq!(send(&fixture, "acme", Method::POST, "/cdn/purges", &body).status, 400);
    }
    purged(&fixture, &webhook);
}

#[test]
fn receivers_that_do_not_answer_keep_no_other_waiting() {
    let fixture = fixture();
    let silent: Vec<String> = (0..10).map(|_| simple(&fixture)).collect();
    for webhook in silent.iter().flat_map(|webhook| [webhook; 10]) {
        purged(&fixture, webhook);
    }
    let own = created(&fixture, "rival", &json!({ "name": "n", "url": "http://rival.example/" }));
    let id = own.strip_prefix("/cdn/webhooks/").unwrap();
    let body = json!({ "fileUrls": ["http://other/a"], "target": "production", "webhook": id });
    assert_eq!(send(&fixture, "rival", Method::POST, "/cdn/purges", &body).status, 201);
    fixture.cache.sweep();
    let due = fixture.api.due_callbacks();
    assert_eq!(due.len(), 9, "eight of one account, two of each webhook, and the other's");
    assert!(due.iter().any(|callback| callback.url == "http://rival.example/"));

    let other = simple(&fixture);
    let (one, two) = (due[0].id, due[1].id);
    purged(&fixture, &other);
    fixture.cache.sweep();
    fixture.api.callback_done(one, false);
    fixture.api.callback_done(two, false);
    advance(&fixture, 500);
    assert_eq!(fixture.api.due_callbacks().len(), 2, "what failed makes room before it is due again");
}

#[test]
fn callbacks_are_bounded() {
    let fixture = fixture();
    let webhook = simple(&fixture);
    for _ in 0..10 {
        purged(&fixture, &webhook);
    }
    fixture.cache.sweep();
    let out = fixture.api.due_callbacks();
    assert_eq!(out.len(), 2, "out at a time");
    assert!(fixture.api.due_callbacks().is_empty());
    fixture.api.callback_done(out[0].id, true);
    assert_eq!(fixture.api.due_callbacks().len(), 1);

    for _ in 9..1_000 {
        purged(&fixture, &webhook);
    }
    let id = webhook.strip_prefix("/cdn/webhooks/").unwrap();
    let mut body = json!({ "fileUrls": ["http://h/b"], "target": "production", "webhook": id });
    fixture.store("http://h/b");
    let answer = send(&fixture, "acme", Method::POST, "/cdn/purges", &body);
    assert_eq!((answer.status.as_u16(), &answer.json["code"]), (429, &json!("TooManyRequests")));
    assert!(answer.headers.contains_key("retry-after") && fixture.holds("http://h/b"));
    body.as_object_mut().unwrap().remove("webhook");
    assert_eq!(
        send(&fixture, "acme", Method::POST, "/cdn/purges", &body).status,
        201,
        "without a callback it is taken"
    );
    send(&fixture, "acme", Method::DELETE, &webhook, &Value::Null);
    purged(&fixture, &simple(&fixture));
    fixture.cache.sweep();
    assert_eq!(fixture.api.due_callbacks().len(), 1, "what was dropped makes room");
}
