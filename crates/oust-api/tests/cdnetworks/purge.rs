//! What a purge request does.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, Method};
use oust::clock::Clock;
use oust::site::{KeyPolicy, Site, Sites};
use oust::{Key, Lookup};
use serde_json::json;

use super::{account, basic, get, password, purge, purged, restore, sites};
use crate::common::{Fixture, fields};

const SEED: &str = r#"{
  "fileUrls": [
    "http://domain.info/i/image/gallery/123.jpg",
    "http://test.domain2.com/2.txt?q1=1&q2=3"
  ],
  "fileHeaders": [
    {
      "name": "customheader1",
      "value": "test1"
    },
    {
      "name": "customheader2",
      "value": "test2"
    }
  ],
  "action": "invalidate",
  "target": "production"
}"#;

#[test]
fn the_documented_request() {
    let fixture = Fixture::new([account("example_username", &["domain.info", "test.domain2.com"])]);
    let vary = [("vary", "customheader1, customheader2")];
    let (one, other) = (
        [("customheader1", "test1"), ("customheader2", "test2")],
        [("customheader1", "test1"), ("customheader2", "x")],
    );
    let key = "http://domain.info/i/image/gallery/123.jpg";
    fixture.store_variant(key, &one, &vary);
    fixture.store_variant(key, &other, &vary);
    fixture.store("http://test.domain2.com/2.txt?q1=1&q2=3");

    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(fixture.clock.now_ms()));
    let authorization = basic("example_username", &password("example_username-key", &date));
    let headers = [
        ("host", "api.cdnetworks.com"),
        ("authorization", authorization.as_str()),
        ("date", &date),
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let answer = fixture.send(Method::POST, "/cdn/purges", &headers, SEED);
    assert_eq!((answer.status.as_u16(), answer.body.len()), (201, 0), "{}", answer.json);
    assert_eq!(answer.headers["content-type"], "application/json;charset=utf-8");
    let location = answer.headers["location"].to_str().unwrap();
    let id = location.strip_prefix("http://api.cdnetworks.com/cdn/purges/").unwrap();
    assert!(id.len() == 24 && id.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')), "{id}");

    assert!(!fixture.holds_variant(key, &one) && !fixture.holds("http://test.domain2.com/2.txt?q1=1&q2=3"));
    assert!(fixture.holds_variant(key, &other), "its sibling stays");
}

#[test]
fn locations_are_where_the_client_spoke_to() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(fixture.clock.now_ms()));
    let authorization = basic("acme", &password("acme-key", &date));
    let body = json!({ "fileUrls": ["http://h/a"], "target": "production" }).to_string();
    type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
    let cases: [Case; 5] = [
        ("/cdn/purges", &[("host", "127.0.0.1:8082")], "http://127.0.0.1:8082/cdn/purges/"),
        ("/cdn/purges", &[("host", "api"), ("x-forwarded-proto", "https")], "https://api/cdn/purges/"),
        ("/cdn/purges", &[("host", "api"), ("x-forwarded-proto", "ftp")], "http://api/cdn/purges/"),
        ("https://api/cdn/purges", &[], "https://api/cdn/purges/"),
        ("/cdn/purges", &[], "/cdn/purges/"),
    ];
    for (target, own, begins) in cases {
        let mut headers = vec![("date", date.as_str()), ("authorization", authorization.as_str())];
        headers.extend_from_slice(own);
        let answer = fixture.send(Method::POST, target, &headers, &body);
        let location = answer.headers["location"].to_str().unwrap();
        assert_eq!(location.len(), begins.len() + 24, "{location}");
        assert!(location.starts_with(begins), "{location}");
    }
}

#[test]
fn actions() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    let lookup = || fixture.cache.lookup(&Key::parse(b"http://h/a").unwrap(), &HeaderMap::new());
    for (action, validates) in [(json!(null), true), (json!("invalidate"), true), (json!("delete"), false)] {
        fixture.store("http://h/a");
        purged(&fixture, "acme", &json!({ "fileUrls": ["http://h/a"], "action": action, "target": "production" }));
        match lookup() {
            Lookup::MustValidate(hit, _) => assert!(validates && !hit.may_serve_on_error(), "{action}"),
            Lookup::Miss(_) => assert!(!validates, "{action}"),
            other => panic!("{action}: {other:?}"),
        }
        fixture.cache.sweep();
    }
}

#[test]
fn one_request_is_one_purge() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    for key in ["http://h/f", "http://h/d/a", "http://h/d/e/a", "https://h/r1", "http://h/keep"] {
        fixture.store(key);
    }
    let body = json!({
        "fileUrls": ["http://h/f", "http://h/g"],
        "dirUrls": ["http://h/d/**"],
        "regexPatterns": ["any://h/r[0-9]"],
        "action": "delete",
        "target": "production",
    });
    purged(&fixture, "acme", &body);
    for key in ["http://h/f", "http://h/d/a", "http://h/d/e/a", "https://h/r1"] {
        assert!(!fixture.holds(key), "{key}");
    }
    assert!(fixture.holds("http://h/keep"));
    let records = fixture.cache.purge_records(None, 10);
    assert_eq!((records.len(), records[0].selectors.len(), records[0].by.as_str()), (1, 4, "acme"));
    assert!(records[0].layers.edge && records[0].layers.l2);
}

#[test]
fn files_are_the_variation_of_a_bare_request() {
    let fixture = Fixture::with_sites(sites(), [account("acme", &["v", "h", "sorted"])]);
    let key = |headers: &[(&str, &str)]| {
        fixture.cache.sites().key(b"http", b"v", b"/a", &fields(headers)).unwrap().to_string()
    };
    let phone = ("user-agent", "Mozilla/5.0 (iPhone) Mobile/15E148");
    let (bare, german, mobile) = (key(&[]), key(&[("x-lang", "de")]), key(&[("x-lang", "de"), phone]));
    assert!(bare != german && german != mobile, "{bare} {german} {mobile}");
    let store = || [&bare, &german, &mobile].into_iter().for_each(|key| restore(&fixture, key));
    let held = || [&bare, &german, &mobile].map(|key| fixture.holds(key));
    let ask = |headers: serde_json::Value| {
        purged(
            &fixture,
            "acme",
            &json!({ "fileUrls": ["http://v/a"], "fileHeaders": headers, "target": "production" }),
        );
    };

    store();
    ask(json!([]));
    assert_eq!(held(), [false, true, true]);
    store();
    ask(json!([{ "name": "X-Lang", "value": "de" }]));
    assert_eq!(held(), [true, false, true]);
    store();
    ask(json!([{ "name": "x-lang", "value": "de" }, { "name": phone.0, "value": phone.1 }]));
    assert_eq!(held(), [true, true, false]);
    store();
    purged(&fixture, "acme", &json!({ "dirUrls": ["http://v/a"], "target": "production" }));
    assert_eq!(held(), [false, false, false], "a directory is all variations");

    // Without header fields all variants of the one variation.
    let vary = [("vary", "accept-language")];
    fixture.store_variant("http://h/a", &[("accept-language", "de")], &vary);
    fixture.store_variant("http://h/a", &[("accept-language", "fr")], &vary);
    purged(&fixture, "acme", &json!({ "fileUrls": ["http://h/a"], "target": "production" }));
    assert!(!fixture.holds_variant("http://h/a", &[("accept-language", "de")]));
    assert!(!fixture.holds_variant("http://h/a", &[("accept-language", "fr")]));

    // Aliases and query policies are those of the site.
    fixture.store("http://h/b");
    fixture.store("http://sorted/a?a&b");
    purged(&fixture, "acme", &json!({ "fileUrls": ["http://www.h/b", "http://sorted/a?b&a"], "target": "production" }));
    assert!(!fixture.holds("http://h/b") && !fixture.holds("http://sorted/a?a&b"));
}

#[test]
fn environments_are_apart() {
    let fixture = Fixture::with_sites(sites(), [account("acme", &["h", "s"])]);
    for (target, own, other) in [("staging", "s", "h"), ("production", "h", "s")] {
        for (field, text) in [("fileUrls", "http://X/a"), ("dirUrls", "http://X/**"), ("regexPatterns", "any://X/.*")] {
            restore(&fixture, "http://s/a");
            restore(&fixture, "http://h/a");
            let ask = |host: &str| json!({ field: [text.replace('X', host)], "target": target });
            let answer = purge(&fixture, "acme", &ask(other));
            assert_eq!((answer.status.as_u16(), &answer.json["code"]), (400, &json!("InvalidPurgeUrl")));
            let mut both = ask(own);
            both["dirUrls"] = json!([format!("http://{own}/**"), format!("http://{other}/**")]);
            assert_eq!(purge(&fixture, "acme", &both).status, 400, "one wrong, nothing purged");
            assert!(fixture.holds("http://s/a") && fixture.holds("http://h/a"), "{target} {field}");
            purged(&fixture, "acme", &ask(own));
            assert!(!fixture.holds(&format!("http://{own}/a")) && fixture.holds(&format!("http://{other}/a")));
        }
    }
    // Without any site every host is in production.
    let fixture = Fixture::new([account("acme", &["h"])]);
    assert_eq!(purge(&fixture, "acme", &json!({ "fileUrls": ["http://h/a"], "target": "staging" })).status, 400);
}

#[test]
fn tokens_are_counted_from_use() {
    let fixture = Fixture::with_sites(sites(), [account("acme", &["h", "s"]), account("rival", &["other"])]);
    let left = |fixture: &Fixture, user: &str, query: &str| {
        let answer = get(fixture, user, &format!("/cdn/purges/purgeTokens{query}"));
        assert_eq!(answer.status, 200, "{}", answer.json);
        let number = |name: &str| answer.json[name].as_u64().unwrap();
        (number("filePurgeTokens"), number("dirPurgeTokens"))
    };
    assert_eq!(left(&fixture, "acme", ""), (2_000_000, 200_000));
    let body = json!({
        "fileUrls": ["http://h/a", "http://h/b"],
        "dirUrls": ["http://h/**"],
        "regexPatterns": ["any://h/a", "any://h/b"],
        "target": "production",
    });
    purged(&fixture, "acme", &body);
    assert_eq!(purge(&fixture, "acme", &json!({ "fileUrls": ["http://h/["], "target": "production" })).status, 400);
    assert_eq!(purge(&fixture, "acme", &json!({ "fileUrls": ["http://other/"], "target": "production" })).status, 400);
    assert_eq!(left(&fixture, "acme", "?target=production"), (1_999_998, 199_997));
    assert_eq!(left(&fixture, "acme", "?target=staging"), (2_000_000, 200_000));
    assert_eq!(left(&fixture, "rival", ""), (2_000_000, 200_000));
    fixture.clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(left(&fixture, "acme", ""), (2_000_000, 200_000));
    assert_eq!(get(&fixture, "acme", "/cdn/purges/purgeTokens?target=all").status, 400);
}

#[test]
fn a_request_with_nothing_but_host_has_a_host() {
    let policy = KeyPolicy::new().headers(["host", "x-lang"]);
    let sites = Sites::new([Site::new(["h"]).policy(policy)]).unwrap();
    let fixture = Fixture::with_sites(sites, [account("acme", &["h"])]);
    for (headers, taken) in [
        (json!([]), "http://h:8080/a@@host=h:8080"),
        (json!([{ "name": "x-lang", "value": "fr" }]), "http://h:8080/a@@host=h:8080;x-lang=fr"),
        (json!([{ "name": "Host", "value": "other" }]), "http://h:8080/a@@host=other"),
    ] {
        fixture.store("http://h:8080/a");
        fixture.store(taken);
        let body = json!({ "fileUrls": ["http://h:8080/a"], "fileHeaders": headers, "target": "production" });
        purged(&fixture, "acme", &body);
        assert!(fixture.holds("http://h:8080/a") && !fixture.holds(taken), "{taken}");
        purged(
            &fixture,
            "acme",
            &json!({ "dirUrls": ["http://h:8080/**"], "action": "delete", "target": "production" }),
        );
        fixture.cache.sweep();
    }
}
