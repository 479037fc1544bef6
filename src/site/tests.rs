use super::*;

fn request(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    map
}

#[test]
fn keys_of_requests() {
    let sites = Sites::new([
        Site::new(["www.h", "img.h"]).aliases(["h"]).merge_schemes(true),
        Site::new(["sort.h"]).policy(KeyPolicy::new().query(Query::Sort)),
        Site::new(["drop.h"]).policy(KeyPolicy::new().query(Query::Drop)),
        Site::new(["allow.h"]).policy(KeyPolicy::new().query(Query::Allow(vec!["a".into(), "c d".into()]))),
        Site::new(["deny.h"]).policy(KeyPolicy::new().query(Query::Deny(vec!["utm".into()]))),
        Site::new(["staging.h"]).environment(Environment::Staging),
    ])
    .unwrap();
    for (scheme, host, target, expected) in [
        ("https", "h", "/a?b", "http://www.h/a?b"),
        ("https", "H.:443", "/", "http://www.h/"),
        ("http", "h:8080", "/", "http://www.h:8080/"),
        ("https", "h:80", "/", "http://www.h/"),
        ("https", "img.h", "/", "http://img.h/"),
        ("http", "sort.h", "/?b=2&a=1&b=1&a", "http://sort.h/?a=1&a&b=2&b=1"),
        ("http", "sort.h", "/?", "http://sort.h/?"),
        ("http", "drop.h", "/a?b", "http://drop.h/a"),
        ("http", "drop.h", "/a?", "http://drop.h/a"),
        ("http", "allow.h", "/?x=1&c%20d=2&a", "http://allow.h/?c%20d=2&a"),
        ("http", "allow.h", "/?x", "http://allow.h/"),
        ("http", "deny.h", "/?a&utm=1&b", "http://deny.h/?a&b"),
        ("http", "deny.h", "/?utm", "http://deny.h/"),
        ("http", "deny.h", "/?utmost", "http://deny.h/?utmost"),
    ] {
        let key = sites.key(scheme.as_bytes(), host.as_bytes(), target.as_bytes(), &HeaderMap::new()).unwrap();
        assert_eq!(key.to_string(), expected);
        // What a purge of the same URL ends.
        let url = format!("{scheme}://{host}{target}");
        assert_eq!(sites.rewrite(Key::from_url(url.as_bytes()).unwrap()).unwrap(), key);
        assert_eq!(sites.rewrite(key.clone()).unwrap(), key, "a fixed point");
    }
    let unknown = sites.key(b"http", b"x", b"/", &HeaderMap::new()).unwrap_err();
    assert!(unknown.is_unknown_host() && unknown.malformed().is_none());
    assert!(sites.key(b"http", b"", b"/", &HeaderMap::new()).unwrap_err().malformed().is_some());
    assert_eq!(sites.environment("STAGING.h"), Some(Environment::Staging));
    assert_eq!(sites.environment("h"), Some(Environment::Production));
    assert_eq!(sites.environment("x"), None);
}

#[test]
fn without_sites_keys_are_urls() {
    let key = Sites::default().key(b"https", b"any.host:8443", b"/a?b", &HeaderMap::new()).unwrap();
    assert_eq!(key.to_string(), "https://any.host:8443/a?b");
}

#[test]
fn variations() {
    let policy = KeyPolicy::new().headers(["X-B", "x-a"]).cookies(["sid", "Lang"]).device(true);
    let sites = Sites::new([Site::new(["*"]).policy(policy)]).unwrap();
    let variation = |fields: &[(&str, &str)]| {
        let key = sites.key(b"http", b"h", b"/", &request(fields)).unwrap();
        key.as_ref().variation().map(|variation| String::from_utf8_lossy(variation).into_owned())
    };
    assert_eq!(variation(&[]), None);
    assert_eq!(variation(&[("x-c", "1"), ("cookie", "lang=de")]), None);
    assert_eq!(variation(&[("x-a", "1"), ("X-B", "")]).as_deref(), Some("x-b=;x-a=1"));
    assert_eq!(variation(&[("x-a", "1"), ("x-a", "2")]).as_deref(), Some("x-a=1,2"));
    assert_eq!(variation(&[("x-a", "50%; a@b~")]).as_deref(), Some("x-a=50%25%3B%20a%40b~"));
    assert_eq!(variation(&[("cookie", "a=b; Lang=de;sid=\"x=y\"")]).as_deref(), Some("sid=\"x=y\";Lang=de"));
    assert_eq!(variation(&[("cookie", "Lang=de"), ("cookie", "Lang=fr")]).as_deref(), Some("Lang=de,fr"));
    for (agent, class) in [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148", "mobile"),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/120 Mobile Safari/537.36", "mobile"),
        ("Mozilla/5.0 (Linux; Android 13; SM-X900) Chrome/120 Safari/537.36", "tablet"),
        ("Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) Mobile/15E148", "tablet"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120", "desktop"),
        ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Tablet PC 2.0)", "desktop"),
        ("curl/8", "desktop"),
    ] {
        assert_eq!(variation(&[("user-agent", agent)]), Some(format!("device={class}")), "{agent}");
    }
    assert_eq!(sites.variation("h", &request(&[("x-a", "1")])).as_deref(), Some("x-a=1"));
}

#[test]
fn refused_sites_name_the_host() {
    for (sites, named) in [
        (vec![Site::new(["a"]), Site::new(["A."])], "'A.'"),
        (vec![Site::new(["a"]).aliases(["b"]), Site::new(["b"])], "'b'"),
        (vec![Site::new(["*"]), Site::new(["*"])], "'*'"),
        (vec![Site::new(["*"]).aliases(["b"])], "'b'"),
        (vec![Site::new(["a"]).aliases(["*"])], "'*'"),
        (vec![Site::new(["a:80"])], "'a:80'"),
        (vec![Site::new(["*.a"])], "'*.a'"),
        (vec![Site::new(Vec::<String>::new()).aliases(["b"])], "without hosts"),
        (vec![Site::new(["a"]).policy(KeyPolicy::new().headers(["x y"]))], "'x y'"),
        (vec![Site::new(["a"]).policy(KeyPolicy::new().cookies(["x;"]))], "'x;'"),
        (vec![Site::new(["a"]).policy(KeyPolicy::new().query(Query::Deny(vec!["x=1".into()])))], "'x=1'"),
    ] {
        let error = Sites::new(sites).expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
}
