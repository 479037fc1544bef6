//! What is refused, and in which words.

use http::Method;
use oust_api::{Api, Rate};
use serde_json::{Value, json};

use super::{account, get, purge, purged, rated, refused, send, sites};
use crate::common::{Fixture, NOW_MS};

#[test]
fn urls_that_cannot_be_purged() {
    let fixture = Fixture::with_sites(sites(), [account("acme", &["h", "s"])]);
    let long = format!("http://h/{}", "a".repeat(2048 - 9));
    assert_eq!(long.len(), 2048);
    purged(&fixture, "acme", &json!({ "fileUrls": [long], "dirUrls": [long], "target": "production" }));

    let special = |url: &str| format!("The purge URL '{url}' is invalid. Special letters need to be encoded.");
    let deployed =
        |host: &str, target: &str| format!("The host '{host}' has not been deployed in the '{target}' environment.");
    let begin = |url: &str| format!("The purge URL '{url}' is invalid. It must begin with http:// or https://.");
    let both = ["fileUrls", "dirUrls"];
    let mut cases: Vec<(&[&str], String, String)> = vec![
        (&both, "http://test.domain.info/a".into(), deployed("test.domain.info", "production")),
        (&both, "https://TEST.domain.info:8443/a".into(), deployed("test.domain.info", "production")),
        (&both, "http://s/a".into(), deployed("s", "production")),
        (&["regexPatterns"], "any://test.domain.info/a".into(), deployed("test.domain.info", "production")),
        (
            &["fileUrls"],
            "http://h/a*".into(),
            "The purge URL 'http://h/a*' is invalid. File URLs should not contain the asterisk character, '*'.".into(),
        ),
        (
            &both,
            format!("{long}a"),
            format!("The purge URL '{long}...' is invalid. It is longer than 2048 characters."),
        ),
        (&both, "h/a".into(), begin("h/a")),
        (&both, "/a".into(), begin("/a")),
        (&both, "any://h/a".into(), begin("any://h/a")),
        (&both, "ftp://h/a".into(), begin("ftp://h/a")),
        (&both, String::new(), begin("")),
        (&both, "http:///a".into(), "The purge URL 'http:///a' is invalid. ...".into()),
        (&both, "http://u:p@h/a".into(), "The purge URL 'http://u:p@h/a' is invalid. ...".into()),
        (&both, "http://h:x/a".into(), "The purge URL 'http://h:x/a' is invalid. ...".into()),
        (&["dirUrls"], "http://h*/a".into(), "The purge URL 'http://h*/a' is invalid. ...".into()),
        (
            &["dirUrls"],
            "http://h/a*/../b".into(),
            "The purge URL 'http://h/a*/../b' is invalid. A dot segment after a wildcard at byte 12.".into(),
        ),
        (&["dirUrls"], "http://h/%4*".into(), special("http://h/%4*")),
        (
            &["regexPatterns"],
            "any:///a".into(),
            "The purge URL 'any:///a' is invalid. Its host is no host name.".into(),
        ),
        (&both, "http://h/newfile[1]{tes`|t^}p.png".into(), special("http://h/newfile[1]{tes`|t^}p.png")),
        (&both, "http://h/i/image/gallery/123%abc.jpg".into(), special("http://h/i/image/gallery/123%abc.jpg")),
        (&both, "http://h/100%".into(), special("http://h/100%")),
        (&both, "http://h/a?q=%".into(), special("http://h/a?q=%")),
        (&both, "http://h/%zz".into(), special("http://h/%zz")),
        (&both, "http://h/é".into(), special("http://h/é")),
    ];
    for letter in ["[", "]", "{", "}", "|", "^", "`", " ", "\"", "<", ">", "\\", "\u{7f}"] {
        for url in [format!("http://h/a{letter}b"), format!("http://h/a?q={letter}")] {
            let message = special(&url);
            cases.push((&both, url, message));
        }
    }
    for (fields, text, message) in cases {
        for &field in fields {
            let answer = purge(&fixture, "acme", &json!({ field: [text], "target": "production" }));
            refused(&answer, 400, "InvalidPurgeUrl", &message);
        }
    }
    let answer = purge(&fixture, "acme", &json!({ "fileUrls": ["http://h/a"], "target": "staging" }));
    refused(&answer, 400, "InvalidPurgeUrl", &deployed("h", "staging"));
    for url in
        ["http://h/a%20b", "http://h/%E4%BD%A0", "http://h/123%25abc.jpg", "http://h", "HTTP://H:80/a!$&'(),;=:@"]
    {
        purged(&fixture, "acme", &json!({ "fileUrls": [url], "target": "production" }));
    }
}

#[test]
fn fields_are_checked() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    let urls = |count: usize| vec!["http://h/a"; count];
    let field = json!({ "name": "x", "value": "1" });
    let (many, wide) = (vec![field.clone(); 129], json!([{ "name": "x", "value": "a".repeat(4000) }]));
    let cases: Vec<(Value, &str)> = vec![
        (json!({ "fileUrls": urls(1) }), "target is missing."),
        (json!({ "fileUrls": urls(1), "target": null }), "target is missing."),
        (json!({ "fileUrls": urls(1), "target": "Production" }), "target is 'staging' or 'production'."),
        (
            json!({ "fileUrls": urls(1), "target": "production", "action": "purge" }),
            "action is 'delete' or 'invalidate'.",
        ),
        (json!({ "fileUrls": urls(1), "target": "production", "action": "" }), "action is 'delete' or 'invalidate'."),
        (json!({ "target": "production" }), "One of fileUrls, dirUrls and regexPatterns is needed."),
        (
            json!({ "fileUrls": [], "dirUrls": [], "regexPatterns": [], "target": "production" }),
            "One of fileUrls, dirUrls and regexPatterns is needed.",
        ),
        (json!({ "dirUrls": urls(21), "target": "production" }), "dirUrls has 21 entries, the most is 20."),
        (json!({ "regexPatterns": urls(3), "target": "production" }), "regexPatterns has 3 entries, the most is 2."),
        (
            json!({ "fileUrls": urls(1), "fileHeaders": [{ "name": "a b", "value": "1" }], "target": "production" }),
            "fileHeaders: 'a b' is no header name.",
        ),
        (
            json!({ "fileUrls": urls(1), "fileHeaders": [{ "name": "x", "value": "a\nb" }], "target": "production" }),
            "fileHeaders: 'x' has a value no header has.",
        ),
        (
            json!({ "fileUrls": urls(1), "fileHeaders": many, "target": "production" }),
            "fileHeaders has more than 128 entries.",
        ),
        (
            json!({ "fileUrls": urls(5000), "fileHeaders": wide, "target": "production" }),
            "fileHeaders and fileUrls together pass the limit of 16777216 bytes.",
        ),
        (
            json!({ "dirUrls": urls(1), "dirHeaders": [field], "target": "production" }),
            "dirHeaders cannot be asked for: dirUrls take all variations.",
        ),
        (json!({ "name": "a".repeat(1001), "target": "production" }), "name is longer than 1000 characters."),
        (
            json!({ "fileUrls": urls(1), "webhook": "5dca2205f9e9cc0001df7b33", "target": "production" }),
            "webhook is not the id of a webhook.",
        ),
        (
            json!({ "fileUrls": "http://h/a", "target": "production" }),
            "The body is no purge request: invalid type: ...",
        ),
        (json!({ "fileUrls": [1], "target": "production" }), "The body is no purge request: invalid type: ..."),
        (
            json!({ "fileUrls": urls(10_001), "target": "production" }),
            "10001 selectors in one purge, the most is 10000.",
        ),
        (json!([]), "The body is no purge request: ..."),
        (json!(null), "The body is no purge request: ..."),
    ];
    for (body, message) in cases {
        refused(&purge(&fixture, "acme", &body), 400, "InvalidParameter", message);
    }
    for body in ["", "{", "fileUrls=http://h/a", "\u{0}"] {
        let answer = send(&fixture, "acme", Method::POST, "/cdn/purges", body);
        refused(&answer, 400, "InvalidParameter", "The body is no purge request: ...");
    }
    // Nulls are what is not there, and what is not known is ignored.
    let nulls = json!({ "fileUrls": urls(1), "dirUrls": null, "name": null, "webhook": null, "more": 1, "target": "production" });
    purged(&fixture, "acme", &nulls);
}

#[test]
fn regexes_are_limited() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    let fits = ["a".repeat(126), "[ab]*a[ab]{59}".into(), "a+b{2,}".into(), r"a*b*\*[*+]".into(), "a{1,59}".into()];
    for regex in fits {
        let body = json!({ "regexPatterns": [format!("https://h/{regex}")], "target": "production" });
        purged(&fixture, "acme", &body);
    }
    let over =
        ["a".repeat(127), "a*b*c*".into(), "a+b{2,}(c*)".into(), "a{1,60}".into(), "a{60}".into(), "a{60,}".into()];
    let wrong = ["(a".into(), "(?=a)".into(), r"(a)\1".into(), "%2f".into(), "(((a{1,59}){1,59}){1,59}){1,59}".into()];
    for regex in over.into_iter().chain(wrong) {
        let body = json!({ "regexPatterns": [format!("https://h/{regex}")], "target": "production" });
        let message = format!("The regex pattern 'https://h/{regex}' is invalid. ...");
        refused(&purge(&fixture, "acme", &body), 400, "InvalidParameter", &message);
    }
    for text in ["ftp://h/a", "http://h", "*://h/a"] {
        let body = json!({ "regexPatterns": [text], "target": "production" });
        refused(&purge(&fixture, "acme", &body), 400, "InvalidParameter", "The regex pattern '...");
    }
}

#[test]
fn hosts_of_others_are_as_unknown_as_none() {
    let fixture = Fixture::with_sites(sites(), [account("acme", &["h"]), account("rival", &["other", "*.deep"])]);
    fixture.store("http://h/a");
    fixture.store("http://other/a");
    for (field, text) in [
        ("fileUrls", "http://other/a"),
        ("dirUrls", "http://other/**"),
        ("dirUrls", "https://other/a"),
        ("regexPatterns", "any://other/.*"),
    ] {
        // All or nothing: what is the account's own is not purged either.
        let mut body = json!({ "fileUrls": ["http://h/a"], "target": "production" });
        let mut texts = body[field].as_array().cloned().unwrap_or_default();
        texts.push(text.into());
        body[field] = texts.into();
        let answer = purge(&fixture, "acme", &body);
        // As of a host that is nowhere: whether another account has it, and under which name, is not told.
        let message = "The host 'other' has not been deployed in the 'production' environment.";
        refused(&answer, 400, "InvalidPurgeUrl", message);
    }
    for (host, target) in [("nowhere", "production"), ("www.other", "production"), ("s", "staging")] {
        let answer = purge(&fixture, "acme", &json!({ "fileUrls": [format!("http://{host}/a")], "target": target }));
        let message = format!("The host '{host}' has not been deployed in the '{target}' environment.");
        refused(&answer, 400, "InvalidPurgeUrl", &message);
    }
    let answer = purge(&fixture, "acme", &json!({ "dirUrls": ["http://h/**", "http://h/["], "target": "production" }));
    refused(&answer, 400, "InvalidPurgeUrl", "...");
    assert!(fixture.holds("http://h/a") && fixture.holds("http://other/a"));
    assert_eq!(get(&fixture, "acme", "/cdn/purges").json["count"], 0);
}

#[test]
fn paths_and_methods() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    let id = purged(&fixture, "acme", &json!({ "fileUrls": ["http://h/a"], "target": "production" }));
    for (path, allow) in [
        ("/cdn/purges", "GET, POST"),
        (id.as_str(), "GET"),
        ("/cdn/purges/purgeSummary", "GET"),
        ("/cdn/purges/purgeTokens", "GET"),
        ("/cdn/webhooks", "GET, POST"),
        ("/cdn/webhooks/5dca2205f9e9cc0001df7b33", "GET, PATCH, DELETE"),
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let answer = send(&fixture, "acme", method.clone(), path, "{}");
            let allowed = allow.split(", ").any(|name| name == method.as_str());
            assert_eq!(answer.status == 405, !allowed, "{method} {path}");
            if !allowed {
                refused(&answer, 405, "MethodNotAllowed", &format!("{method} is not one of {allow}."));
                assert_eq!(answer.headers["allow"], allow);
            }
        }
    }
    for path in
        ["/cdn/purges/", "/cdn/purges/a/b", "/cdn/purges/5dca2205f9e9cc0001df7b33", "/cdn/webhooks/", "/cdn/webhooks/x"]
    {
        refused(&get(&fixture, "acme", path), 404, "NotFound", "There is no...");
    }
}

#[test]
fn only_purges_count_against_the_rate() {
    let rate = Rate::new(3, 300);
    let fixture = Fixture::new([rated("acme", &["h"], rate), rated("rival", &["other"], rate)]);
    fixture.store("http://h/a");
    let body = json!({ "fileUrls": ["http://h/a"], "target": "production" });
    for _ in 0..5 {
        assert_eq!(get(&fixture, "acme", "/cdn/purges").status, 200);
        assert_eq!(fixture.send(Method::POST, "/cdn/purges", &[], &body.to_string()).status, 401);
        assert_eq!(send(&fixture, "acme", Method::POST, "/cdn/webhooks", "{}").status, 400);
    }
    // A refused one counts.
    assert_eq!(purge(&fixture, "acme", &json!({})).status, 400);
    fixture.clock.advance(std::time::Duration::from_millis(1_500));
    purged(&fixture, "acme", &body);
    purged(&fixture, "acme", &body);
    fixture.store("http://h/a");
    let answer = purge(&fixture, "acme", &body);
    refused(&answer, 429, "TooManyRequests", "More than 3 purge requests in 5m.");
    assert_eq!(answer.headers["retry-after"], "299");
    assert!(fixture.holds("http://h/a"));
    assert_eq!(
        purge(&fixture, "rival", &json!({ "fileUrls": ["http://other/a"], "target": "production" })).status,
        201
    );
    fixture.clock.advance(std::time::Duration::from_millis(298_500));
    purged(&fixture, "acme", &body);
}

#[test]
fn a_cache_at_its_limit_is_busy() {
    let clock = std::sync::Arc::new(oust::clock::ManualClock::new(NOW_MS));
    let config = oust::Config::new().edge_size(16 << 20).background_sweep(false).max_rules(2);
    let cache = config.clock(std::sync::Arc::clone(&clock) as _).build().unwrap();
    let api = Api::with_clock(cache.clone(), [account("acme", &["h"])], std::sync::Arc::clone(&clock) as _).unwrap();
    let fixture = Fixture { cache, api, clock };
    let body = json!({ "fileUrls": ["http://h/a", "http://h/b"], "target": "production" });
    purged(&fixture, "acme", &body);
    let answer = purge(&fixture, "acme", &body);
    refused(&answer, 503, "ServiceUnavailable", "The cap of 2 live rules is reached; ...");
    assert_eq!(answer.headers["retry-after"], "1");
    let tokens = get(&fixture, "acme", "/cdn/purges/purgeTokens").json;
    assert_eq!(tokens["filePurgeTokens"], 1_999_998, "it cost nothing");
    fixture.cache.sweep();
    purged(&fixture, "acme", &body);
}

#[test]
fn more_urls_than_any_engine_takes_are_not_looked_at() {
    let fixture = Fixture::with_sites(sites(), [account("acme", &["h"])]);
    let body = json!({ "fileUrls": vec![""; 100_001], "target": "production" });
    let message = "fileUrls has 100001 entries, the most is 100000.";
    refused(&purge(&fixture, "acme", &body), 400, "InvalidParameter", message);
}

#[test]
fn header_fields_are_no_longer_than_a_selector_may_be() {
    let fixture = Fixture::with_sites(sites(), [account("acme", &["h"])]);
    let body = |length: usize| {
        let fields = json!([{ "name": "x-a", "value": "v".repeat(length) }]);
        json!({ "fileUrls": ["http://h/a"], "fileHeaders": fields, "target": "production" })
    };
    assert_eq!(purge(&fixture, "acme", &body(8_189)).status, 201);
    let message = "fileHeaders are longer than 8192 bytes.";
    refused(&purge(&fixture, "acme", &body(8_190)), 400, "InvalidParameter", message);
}
