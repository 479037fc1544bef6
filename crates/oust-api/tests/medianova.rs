//! Medianova, as its clients see it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use common::{Answer, Fixture, NOW_MS};
use http::{Method, StatusCode};
use oust::clock::{Clock, ManualClock};
use oust::site::{KeyPolicy, Query, Site, Sites};
use oust::{Action, Cache, Config, Selector};
use oust_api::{Account, Api, Dialect, Medianova};
use serde_json::{Value, json};

const ORGANIZATION: &str = "550e8400-e29b-41d4-a716-446655440000";
const RESOURCE: &str = "660f9511-f30c-52e5-b827-557766551111";
const IMAGES: &str = "760f9511-f30c-52e5-b827-557766551111";
const LOGIN: &str = "/api/v1/auth/login/token";
const BEARER: [(&str, &str); 1] = [("authorization", "Bearer fixed-token")];

fn acme() -> Account {
    let medianova = Medianova {
        organization: ORGANIZATION.into(),
        resources: [(RESOURCE, "www.example.com"), (IMAGES, "a.img.example.com")]
            .map(|(uuid, host)| (uuid.to_owned(), host.to_owned()))
            .into(),
        tokens: vec!["older-token".into(), "fixed-token".into()],
        api_key: "key".into(),
        api_secret: "secret".into(),
    };
    Account { medianova: Some(medianova), ..Account::new("acme", ["www.example.com", "*.img.example.com"]) }
}

/// A client of another organization, or of another resource of the same one.
fn other(organization: &str, resource: &str) -> Account {
    let medianova = Medianova {
        organization: organization.into(),
        resources: [(resource.to_owned(), "other.example".to_owned())].into(),
        tokens: vec!["other-token".into()],
        ..Medianova::default()
    };
    Account { medianova: Some(medianova), ..Account::new("other", ["other.example"]) }
}

fn fixture() -> Fixture {
    Fixture::new([acme(), other("another", "r")])
}

fn path(organization: &str, resource: &str) -> String {
    format!("/api/v1/cdn/{organization}/job/{resource}/purge")
}

fn purges() -> String {
    path(ORGANIZATION, RESOURCE)
}

fn purge(paths: &[&str]) -> Value {
    json!({ "resource_uuid": RESOURCE, "file_path": paths })
}

fn post(fixture: &Fixture, body: &Value) -> Answer {
    fixture.post(&purges(), &BEARER, body)
}

/// Makes a purge; its id.
fn purged(fixture: &Fixture, paths: &[&str]) -> String {
    let answer = post(fixture, &purge(paths));
    assert_eq!((answer.status, &answer.json["status"]), (StatusCode::OK, &json!(true)), "{paths:?}: {answer:?}");
    assert!(answer.json["message"].is_string());
    answer.json["opID"].as_str().unwrap().to_owned()
}

fn list(fixture: &Fixture, query: &str) -> Value {
    let answer = fixture.get(&format!("{}?{query}", purges()), &BEARER);
    assert_eq!((answer.status, &answer.json["status"]), (StatusCode::OK, &json!(true)), "{query}: {answer:?}");
    answer.json["data"].clone()
}

/// The first row of a purge.
fn row(fixture: &Fixture, id: &str) -> Value {
    list(fixture, &format!("page=1&limit=1&opID={id}"))["requests"][0].clone()
}

#[track_caller]
fn refused(answer: &Answer, status: u16) {
    assert_eq!((answer.status.as_u16(), &answer.json["status"]), (status, &json!(false)), "{answer:?}");
    assert!(answer.json["message"].as_str().is_some_and(|message| !message.is_empty()));
    assert_eq!(answer.json.as_object().unwrap().len(), 2);
    assert_eq!(answer.headers["content-type"], "application/json");
}

fn login(fixture: &Fixture) -> String {
    let answer = fixture.post(LOGIN, &[], &json!({ "api_key": "key", "api_secret": "secret" }));
    assert_eq!((answer.status, &answer.json["status"]), (StatusCode::OK, &json!(true)), "{answer:?}");
    assert_eq!(answer.json["expire"], (fixture.clock.now_ms() + 4 * 3600 * 1000) / 1000);
    let token = answer.json["token"].as_str().unwrap();
    let session = answer.json["session"].as_str().unwrap();
    assert!(token.len() >= 32 && !session.is_empty() && token != session);
    token.to_owned()
}

#[test]
fn logging_in() {
    let fixture = fixture();
    let (token, other) = (login(&fixture), login(&fixture));
    assert_ne!(token, other);
    let list = |token: &str| {
        let headers = [("authorization", format!("Bearer {token}"))];
        fixture.get(&format!("{}?page=1&limit=1", purges()), &[(headers[0].0, &headers[0].1)])
    };
    assert_eq!(list(&token).status, StatusCode::OK);
    refused(&list(&token[1..]), 401);
    refused(&list(&token.to_uppercase()), 401);
    fixture.clock.advance(Duration::from_millis(4 * 3600 * 1000 - 1));
    assert_eq!(list(&token).status, StatusCode::OK);
    fixture.clock.advance(Duration::from_millis(1));
    refused(&list(&token), 401);
    assert_eq!(list("fixed-token").status, StatusCode::OK, "which does not expire");
    assert_eq!(list(&login(&fixture)).status, StatusCode::OK);
}

#[test]
fn logins_that_are_refused() {
    let fixture = fixture();
    for (key, secret) in [("key", "no"), ("no", "secret"), ("", ""), ("key", ""), ("secret", "key"), ("Key", "secret")]
    {
        refused(&fixture.post(LOGIN, &[], &json!({ "api_key": key, "api_secret": secret })), 401);
    }
    for body in
        [json!(null), json!([]), json!({}), json!({ "api_key": "key" }), json!({ "api_key": 1, "api_secret": 2 })]
    {
        refused(&fixture.post(LOGIN, &[], &body), 422);
    }
    refused(&fixture.send(Method::POST, LOGIN, &[], "api_key=key"), 422);
    let answer = fixture.get(LOGIN, &[]);
    refused(&answer, 405);
    assert_eq!(answer.headers["allow"], "POST");
}

#[test]
fn who_is_let_in() {
    let fixture = fixture();
    let target = format!("{}?page=1&limit=1", purges());
    let session = login(&fixture);
    let bearer = format!("bearer {session}");
    for headers in [
        &[("authorization", "Bearer fixed-token")][..],
        &[("authorization", "BEARER  older-token")],
        &[("authorization", &bearer)],
        &[("org-token", "fixed-token")],
        &[("org-token", &session)],
        &[("authorization", "Basic eDp5"), ("org-token", "fixed-token")],
    ] {
        assert_eq!(fixture.get(&target, headers).status, StatusCode::OK, "{headers:?}");
    }
    for headers in [
        &[][..],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer")],
        &[("authorization", "fixed-token")],
        &[("authorization", "Token fixed-token")],
        &[("authorization", "Bearer fixed-toke")],
        &[("authorization", "Bearer fixed-token2")],
        &[("authorization", "Bearer fixed-token"), ("authorization", "Bearer fixed-token")],
        &[("org-token", "")],
        &[("org-token", "Bearer fixed-token")],
        &[("authorization", "Bearer wrong"), ("org-token", "fixed-token")],
    ] {
        refused(&fixture.get(&target, headers), 401);
        refused(&fixture.post(&target, headers, &purge(&["/a"])), 401);
    }
}

#[test]
fn accounts_keep_to_themselves() {
    let fixture = Fixture::new([acme(), other(ORGANIZATION, "r")]);
    let theirs = [("org-token", "other-token")];
    let id = purged(&fixture, &["/a"]);
    let get = |organization: &str, resource: &str, headers: &[(&str, &str)]| {
        fixture.get(&format!("{}?page=1&limit=1&opID={id}", path(organization, resource)), headers)
    };
    assert_eq!(get(ORGANIZATION, RESOURCE, &BEARER).json["data"]["total"], 1);
    assert_eq!(get(ORGANIZATION, "r", &theirs).json["data"]["total"], 0);
    assert_eq!(get(ORGANIZATION, IMAGES, &BEARER).json["data"]["total"], 0, "another resource of the same account");
    // A resource is found by its account alone, an organization is told from none.
    refused(&get(ORGANIZATION, RESOURCE, &theirs), 404);
    refused(&get(ORGANIZATION, "r", &BEARER), 404);
    refused(&get(ORGANIZATION, "", &BEARER), 404);
    refused(&get("another", "r", &BEARER), 403);
    refused(&get("", RESOURCE, &BEARER), 403);
    for body in [purge(&["/a"]), json!({ "resource_uuid": "r", "file_path": ["/a"] })] {
        refused(&fixture.post(&path(ORGANIZATION, "r"), &BEARER, &body), 404);
    }
    let upper = path(&ORGANIZATION.to_uppercase(), &RESOURCE.to_uppercase());
    let body = json!({ "resource_uuid": RESOURCE.to_uppercase(), "file_path": ["/b"] });
    assert_eq!(fixture.post(&upper, &BEARER, &body).status, StatusCode::OK, "the case of a UUID does not count");
    assert_eq!(list(&fixture, "page=1&limit=9")["total"], 2);
    let record = &fixture.cache.purge_records(None, 1)[0];
    assert_eq!((record.by.as_str(), record.action, record.layers.edge), ("acme", Action::Invalidate, true));
}

#[test]
fn paths_and_methods() {
    let fixture = fixture();
    for method in [Method::PUT, Method::DELETE, Method::HEAD] {
        let answer = fixture.send(method, &purges(), &BEARER, "");
        refused(&answer, 405);
        assert_eq!(answer.headers["allow"], "GET, POST");
    }
    for target in [
        format!("{}/", purges()),
        format!("{}/x", purges()),
        purges().replace("/job/", "/jobs/"),
        purges().replace("/purge", "/purges"),
        purges().replace("/cdn/", "/cdn//"),
        "/api/v1/cdn/".to_owned(),
        "/api/v1/auth/login/token/".to_owned(),
    ] {
        let answer = fixture.get(&target, &BEARER);
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
        assert_eq!(answer.json.get("status"), None, "{target} is no path of this vendor");
    }
}

#[test]
fn fields() {
    let fixture = fixture();
    let many = |n: usize| json!({ "resource_uuid": RESOURCE, "file_path": vec!["/a"; n] });
    let longest = format!("/{}", "a".repeat(8000));
    for body in [
        purge(&["/"]),
        purge(&["/a", "/a", "/*", "//"]),
        purge(&[&longest]),
        many(100),
        json!({ "resource_uuid": RESOURCE, "file_path": ["/a"], "more": { "x": [] } }),
    ] {
        assert_eq!(post(&fixture, &body).status, StatusCode::OK, "{body}");
    }
    for body in [
        json!(null),
        json!([RESOURCE]),
        json!({}),
        json!({ "file_path": ["/a"] }),
        json!({ "resource_uuid": null, "file_path": ["/a"] }),
        json!({ "resource_uuid": IMAGES, "file_path": ["/a"] }),
        json!({ "resource_uuid": 1, "file_path": ["/a"] }),
        json!({ "resource_uuid": RESOURCE }),
        json!({ "resource_uuid": RESOURCE, "file_path": null }),
        json!({ "resource_uuid": RESOURCE, "file_path": "/a" }),
        json!({ "resource_uuid": RESOURCE, "file_path": ["/a", 1] }),
        many(0),
        many(101),
        purge(&[""]),
        purge(&["a"]),
        purge(&["*"]),
        purge(&["http://www.example.com/a"]),
        purge(&["/%"]),
        purge(&["/a*%zz"]),
        purge(&["/a%*"]),
        purge(&["/a*/../b"]),
        purge(&["/a#b*"]),
        purge(&[&longest.repeat(2)]),
    ] {
        refused(&post(&fixture, &body), 422);
    }
    for body in ["", "{", "[]", "resource_uuid=x"] {
        refused(&fixture.send(Method::POST, &purges(), &BEARER, body), 422);
    }
    let message = |paths: &[&str]| post(&fixture, &purge(paths)).json["message"].clone();
    assert_eq!(message(&["/a", "b"]), "file_path[1]: a path starts with /");
    let stray = message(&["/a", "/b", "/%x*"]);
    assert!(stray.as_str().unwrap().starts_with("file_path[2] behind 'any://www.example.com': "), "{stray}");
}

#[test]
fn a_refused_request_purges_nothing() {
    let fixture = fixture();
    fixture.store("http://www.example.com/a");
    for bad in ["b", "/%"] {
        refused(&post(&fixture, &purge(&["/a", bad])), 422);
    }
    assert!(fixture.holds("http://www.example.com/a"));
    assert_eq!(list(&fixture, "page=1&limit=1")["total"], 0);
}

/// What a path takes of the resource's host.
#[test]
fn what_is_taken() {
    let table: [(&str, &[&str], &[&str]); 18] = [
        ("/a", &["/a", "/a@@lang=de"], &["/a?", "/a/", "/A", "/ab", "/a?b", "/"]),
        ("/a?x&y=1", &["/a?x&y=1"], &["/a", "/a?y=1&x", "/a?x&y=12"]),
        ("/assets/", &["/assets/"], &["/assets", "/assets/a", "/assets/?q"]),
        ("/%7Eb/../c%2fd \u{e9}", &["/c%2Fd%20%C3%A9"], &["/c/d%20%C3%A9"]),
        ("/f#g", &["/f"], &["/", "/f%23g"]),
        ("/x@@y", &["/x%40%40y"], &["/x@@y", "/x"]),
        ("/*", &["/", "/a", "/a/b/c?d", "/?q", "/a@@lang=de"], &[]),
        ("/images/*", &["/images/", "/images/a", "/images/a/b.png?v=1@@x=y"], &["/images", "/imagesa", "/a/images/b"]),
        ("/images/**", &["/images/", "/images/a/b"], &["/images"]),
        ("/images/im*", &["/images/im", "/images/image/a", "/images/im?q"], &["/images/a", "/images/Im"]),
        ("/images/*.jpg", &["/images/a.jpg?v=1", "/images/a/b/c.jpg", "/images/.jpg"], &["/images/a.jpg/b", "/a.jpg"]),
        ("/*.jpg", &["/a.jpg", "/a/b.jpg?c"], &["/a.jpeg", "/a?b.jpg"]),
        ("/*/b", &["/a/b", "/a/c/b?q", "//b"], &["/b", "/a/bc", "/a?/b"]),
        ("/a*b*c", &["/abc", "/a/x/b/y/c", "/a1b2c?q"], &["/acb", "/abcd", "/xabc"]),
        ("/a*?v=1", &["/a?v=1", "/ab/c?v=1"], &["/a", "/a?v=12", "/b?v=1"]),
        ("/a?v=*", &["/a?v=", "/a?v=1&w"], &["/a", "/a?w&v=1"]),
        ("/x@@y*", &["/x%40%40y/z"], &["/x@@y", "/x"]),
        ("/%2A*", &["/%2Aa"], &["/*a", "/a"]),
    ];
    for (pattern, taken, left) in table {
        let fixture = fixture();
        let origins = ["http://www.example.com", "https://www.example.com"];
        let keys = |paths: &[&str]| -> Vec<String> {
            paths.iter().flat_map(|path| origins.map(|origin| format!("{origin}{path}"))).collect()
        };
        let others = taken.iter().flat_map(|path| {
            ["http://a.img.example.com", "http://other.example", "http://example.com"].map(|o| format!("{o}{path}"))
        });
        let left: Vec<String> = keys(left).into_iter().chain(others).collect();
        keys(taken).iter().chain(&left).for_each(|key| fixture.store(key));
        purged(&fixture, &[pattern]);
        for key in keys(taken) {
            assert!(!fixture.holds(&key), "{pattern} takes {key}");
        }
        for key in left {
            assert!(fixture.holds(&key), "{pattern} leaves {key}");
        }
    }
}

#[test]
fn a_resource_below_a_wildcard_host() {
    let fixture = fixture();
    for key in ["http://a.img.example.com/a", "http://b.img.example.com/a", "http://www.example.com/a"] {
        fixture.store(key);
    }
    let body = json!({ "resource_uuid": IMAGES, "file_path": ["/*"] });
    assert_eq!(fixture.post(&path(ORGANIZATION, IMAGES), &BEARER, &body).status, StatusCode::OK);
    assert!(!fixture.holds("http://a.img.example.com/a"));
    assert!(fixture.holds("http://b.img.example.com/a") && fixture.holds("http://www.example.com/a"));
}

#[test]
fn aliases_and_policies_of_sites() {
    let policy = KeyPolicy::new().query(Query::Drop);
    let sites = Sites::new([Site::new(["www.example.com"]).aliases(["example.com"]).policy(policy)]).unwrap();
    let mut account = acme();
    account.hosts = vec!["example.com".into()];
    account.medianova.as_mut().unwrap().resources = [(RESOURCE.to_owned(), "EXAMPLE.com".to_owned())].into();
    let fixture = Fixture::with_sites(sites, [account]);
    fixture.store("http://www.example.com/a");
    purged(&fixture, &["/a?q"]);
    assert!(!fixture.holds("http://www.example.com/a"));
    refused(&post(&fixture, &purge(&["/a*?q"])), 422);
}

#[test]
fn pages() {
    let fixture = fixture();
    let urls = |data: &Value| -> Vec<String> {
        let rows = data["requests"].as_array().unwrap();
        rows.iter().map(|row| row["url"].as_str().unwrap().to_owned()).collect()
    };
    let empty = list(&fixture, "page=1&limit=10");
    assert_eq!(empty, json!({ "page": 1, "total": 0, "limit": 10, "search": "", "requests": [] }));
    let first = purged(&fixture, &["/1a", "/1b*"]);
    fixture.clock.advance(Duration::from_secs(1));
    let second = purged(&fixture, &["/2a", "/2b", "/2a"]);
    let all = list(&fixture, "page=1&limit=10");
    assert_eq!(urls(&all), ["/2a", "/2b", "/2a", "/1a", "/1b*"], "newest first, one row a path, as sent");
    assert_eq!(all["total"], 5);
    let ids: Vec<&Value> = all["requests"].as_array().unwrap().iter().map(|row| &row["opID"]).collect();
    assert_eq!(ids, [&json!(second), &json!(second), &json!(second), &json!(first), &json!(first)]);
    for (query, page, limit, total, wanted) in [
        ("page=1&limit=2", 1, 2, 5, &["/2a", "/2b"][..]),
        ("page=2&limit=2", 2, 2, 5, &["/2a", "/1a"]),
        ("page=3&limit=2", 3, 2, 5, &["/1b*"]),
        ("page=4&limit=2", 4, 2, 5, &[]),
        ("page=2&limit=5", 2, 5, 5, &[]),
        ("page=18446744073709551615&limit=100", u64::MAX, 100, 5, &[]),
        (&format!("page=1&limit=10&opID={first}"), 1, 10, 2, &["/1a", "/1b*"]),
        (&format!("opID={}&limit=1&page=2", first.to_uppercase()), 2, 1, 2, &["/1b*"]),
        (&format!("page=2&limit=1&opID={second}&search=x"), 2, 1, 3, &["/2b"]),
        ("page=1&limit=10&opID=", 1, 10, 5, &["/2a", "/2b", "/2a", "/1a", "/1b*"]),
        ("page=1&limit=10&opID=0b508058-9c8c-475a-b5e7-0bf9014423b2", 1, 10, 0, &[]),
    ] {
        let data = list(&fixture, query);
        assert_eq!(urls(&data), wanted, "{query}");
        assert_eq!((&data["page"], &data["limit"], &data["total"]), (&json!(page), &json!(limit), &json!(total)));
    }
    for query in [
        "",
        "page=1",
        "limit=1",
        "page=0&limit=1",
        "page=1&limit=0",
        "page=1&limit=101",
        "page=-1&limit=1",
        "page=a&limit=1",
        "page=&limit=1",
        "page=1&limit=1.5",
        "page=18446744073709551616&limit=1",
    ] {
        refused(&fixture.get(&format!("{}?{query}", purges()), &BEARER), 422);
    }
    refused(&fixture.get(&purges(), &BEARER), 422);
}

#[test]
fn rows() {
    let fixture = fixture();
    fixture.store("https://www.example.com/img/a");
    let id = purged(&fixture, &["/img/*"]);
    fixture.clock.advance(Duration::from_secs(90));
    let waiting = row(&fixture, &id);
    assert_eq!(
        waiting,
        json!({
            "opID": id, "status": 2, "url": "/img/*", "message": "Waiting",
            "createdAt": "2026-11-21T12:00:00Z", "startedAt": null, "completedAt": null,
        })
    );
    fixture.cache.sweep();
    assert_eq!(
        row(&fixture, &id),
        json!({
            "opID": id, "status": 1, "url": "/img/*", "message": "Successful",
            "createdAt": "2026-11-21T12:00:00Z", "startedAt": "2026-11-21T12:01:30Z",
            "completedAt": "2026-11-21T12:01:30Z",
        })
    );
    let nothing = purged(&fixture, &["/nothing", "/nothing/*"]);
    fixture.cache.sweep();
    let nothing = row(&fixture, &nothing);
    assert_eq!((&nothing["status"], &nothing["url"]), (&json!(0), &json!("/nothing")));
    assert!(nothing["completedAt"].is_string());
}

/// A clock that asks the API for the rows whenever it is read: a sweep reads it as it begins and as it ends.
#[derive(Debug, Default)]
struct Watch {
    clock: ManualClock,
    api: std::sync::Mutex<Option<std::sync::Weak<Api>>>,
    seen: std::sync::Mutex<Vec<Value>>,
}

impl Clock for Watch {
    fn now_ms(&self) -> u64 {
        let api = self.api.lock().unwrap().clone();
        if let Some(api) = api.and_then(|api| api.upgrade()) {
            let request = http::Request::get(format!("{}?page=1&limit=1", purges())).header(BEARER[0].0, BEARER[0].1);
            let answer = api.handle(&request.body(bytes::Bytes::new()).unwrap());
            let answer: Value = serde_json::from_slice(answer.body()).unwrap();
            self.seen.lock().unwrap().push(answer["data"]["requests"][0].clone());
        }
        self.clock.now_ms()
    }
}

#[test]
fn running() {
    let watch = Arc::new(Watch::default());
    watch.clock.set(NOW_MS);
    let config = Config::new().edge_size(1 << 20).background_sweep(false);
    let cache: Cache = config.clock(Arc::clone(&watch) as _).build().unwrap();
    let api = Arc::new(Api::with_clock(cache.clone(), [acme()], Arc::new(ManualClock::new(NOW_MS))).unwrap());
    let request = http::Request::post(purges()).header(BEARER[0].0, BEARER[0].1);
    let body = bytes::Bytes::from(purge(&["/a"]).to_string());
    assert_eq!(api.handle(&request.body(body).unwrap()).status(), StatusCode::OK);
    *watch.api.lock().unwrap() = Some(Arc::downgrade(&api));
    cache.sweep();
    let seen = watch.seen.lock().unwrap();
    let states: Vec<_> = seen.iter().map(|row| (row["status"].as_u64(), row["startedAt"].is_string())).collect();
    assert_eq!(states, [(Some(2), false), (Some(2), true)]);
    assert!(seen.iter().all(|row| row["completedAt"].is_null()));
}

#[test]
fn a_purge_that_is_forgotten_is_done() {
    let cache = Config::new().edge_size(1 << 20).background_sweep(false).history(1).build().unwrap();
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let api = Api::with_clock(cache.clone(), [acme()], Arc::clone(&clock) as _).unwrap();
    let fixture = Fixture { cache, api, clock };
    let id = purged(&fixture, &["/a"]);
    purged(&fixture, &["/b"]);
    assert_eq!(row(&fixture, &id)["status"], 1);
}

#[test]
fn objects_are_validated_not_gone() {
    let fixture = fixture();
    fixture.store("http://www.example.com/a");
    purged(&fixture, &["/a"]);
    fixture.cache.sweep();
    let objects = fixture.cache.objects(&Selector::Url("http://www.example.com/a".into())).unwrap();
    assert_eq!(objects.len(), 1);
    assert!(!fixture.holds("http://www.example.com/a"));
}

#[test]
fn ids_are_uuids() {
    let fixture = fixture();
    let ids: HashSet<String> = (0..100).map(|_| purged(&fixture, &["/a"])).collect();
    assert_eq!(ids.len(), 100);
    for id in ids {
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert!(id.chars().all(|c| c == '-' || (c.is_ascii_hexdigit() && !c.is_ascii_uppercase())), "{id}");
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
}

#[test]
fn too_many_live_rules() {
    let cache = Config::new().edge_size(1 << 20).background_sweep(false).max_rules(1).build().unwrap();
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let api = Api::with_clock(cache.clone(), [acme()], Arc::clone(&clock) as _).unwrap();
    let fixture = Fixture { cache, api, clock };
    purged(&fixture, &["/a"]);
    let answer = post(&fixture, &purge(&["/b"]));
    refused(&answer, 429);
    assert!(answer.headers.contains_key("retry-after"));
    fixture.cache.sweep();
    purged(&fixture, &["/b"]);
}

#[test]
fn accounts_that_are_none() {
    let api = |accounts: Vec<Account>| {
        let cache = Config::new().edge_size(1 << 20).background_sweep(false).build().unwrap();
        Api::new(cache, accounts)
    };
    let bad = |change: &dyn Fn(&mut Medianova)| {
        let mut account = other("o2", "r2");
        account.name = "bad".into();
        let medianova = account.medianova.as_mut().unwrap();
        medianova.tokens = vec!["bad-token".into()];
        change(medianova);
        vec![acme(), account]
    };
    assert!(api(bad(&|_| {})).is_ok());
    let resource = |uuid: &str, host: &str| [(uuid.to_owned(), host.to_owned())].into();
    type Case<'a> = (&'a dyn Fn(&mut Medianova), &'a str);
    let cases: [Case<'_>; 10] = [
        (&|m| m.organization = String::new(), "organization is empty"),
        (&|m| m.tokens.push(String::new()), "one of tokens is empty"),
        (&|m| m.tokens.push("fixed-token".into()), "one of tokens is that of another account too"),
        (&|m| m.api_key = "k".into(), "api_key and api_secret go together"),
        (&|m| m.api_secret = "s".into(), "api_key and api_secret go together"),
        (&|m| (m.api_key, m.api_secret) = ("key".into(), "another".into()), "api_key is that of another account too"),
        (
            &|m| m.resources = resource("r", "www.example.com"),
            "host 'www.example.com' of resource 'r' is not among the account's hosts",
        ),
        (
            &|m| m.resources = resource("r", "*.other.example"),
            "host '*.other.example' of resource 'r': a host is a name, without scheme, port or path",
        ),
        (
            &|m| {
                m.organization = ORGANIZATION.to_uppercase();
                m.resources = resource(&RESOURCE.to_uppercase(), "other.example");
            },
            "resource '660F9511-F30C-52E5-B827-557766551111' is that of another account too",
        ),
        (&|m| drop(m.resources.insert("R2".into(), "other.example".into())), "resource 'r2' is there twice"),
    ];
    for (change, wrong) in cases {
        let error = api(bad(change)).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, format!("account 'bad': medianova: {wrong}"));
    }
    let shown = format!("{:?}", api(vec![acme()]).unwrap());
    assert!(!shown.contains("fixed-token") && !shown.contains("secret\""), "secrets are not shown");
}

#[test]
fn patterns_by_name() {
    for (pattern, selector) in [
        ("/a?b", Selector::Url("any://h:81/a?b".into())),
        ("/*a***b@@", Selector::Pattern("any://h:81/**a**b%40%40".into())),
    ] {
        assert_eq!(Dialect::Medianova.selectors(pattern, "h:81"), Ok(vec![selector]));
    }
    assert!(Dialect::Medianova.selectors("a", "h").is_err());
}

/// The last path cannot be compiled: that nobody hears of it shows that none was.
#[test]
fn a_list_longer_than_a_batch_is_refused_before_any_path_is_compiled() {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let config = Config::new().background_sweep(false).max_batch(2).clock(Arc::clone(&clock) as _);
    let cache = config.build().unwrap();
    let fixture =
        Fixture { api: Api::with_clock(cache.clone(), [acme()], Arc::clone(&clock) as _).unwrap(), cache, clock };
    let long = format!("/{}", "x".repeat(oust::key::MAX_KEY));
    let two = post(&fixture, &purge(&["/a", &long]));
    assert_eq!(two.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(two.json.to_string().contains("file_path[1]"), "{two:?}");
    let three = post(&fixture, &purge(&["/a", "/b", &long]));
    assert_eq!(three.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(three.json.to_string().contains("3 selectors in one purge, the most is 2"), "{three:?}");
    assert_eq!(fixture.cache.purge_records(None, 1).len(), 0);
}
