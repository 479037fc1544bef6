//! What each kind of pattern takes and what it does not: over a server's answer and over `Dialect` alone.

use oust::Key;
use oust::purge::Matcher;
use oust::site::Sites;
use oust_api::Dialect;
use serde_json::json;

use super::{account, purged};
use crate::common::Fixture;

/// A pattern, what it takes, what it does not take.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

fn check(field: &str, dialect: Dialect, cases: &[Case]) {
    for (pattern, takes, leaves) in cases {
        let fixture = Fixture::new([account("acme", &["h", "t.d.com"])]);
        takes.iter().chain(*leaves).for_each(|key| fixture.store(key));
        purged(&fixture, "acme", &json!({ field: [pattern], "action": "delete", "target": "production" }));
        for key in *takes {
            assert!(!fixture.holds(key), "{field} {pattern} takes {key}");
        }
        for key in *leaves {
            assert!(fixture.holds(key), "{field} {pattern} leaves {key}");
        }

        let selectors = dialect.selectors(pattern, "h").unwrap();
        let matchers: Vec<_> =
            selectors.iter().map(|selector| Matcher::new(selector, &Sites::default()).unwrap()).collect();
        let matches = |text: &str| {
            let key = Key::parse(text.as_bytes()).unwrap();
            matchers.iter().any(|matcher| matcher.matches(key.as_ref()))
        };
        assert!(takes.iter().all(|key| matches(key)) && !leaves.iter().any(|key| matches(key)), "{dialect} {pattern}");
    }
}

#[test]
fn file_urls() {
    check(
        "fileUrls",
        Dialect::CdnetworksFile,
        &[
            (
                "http://h/a",
                &["http://h/a"],
                &[
                    "http://h/a@@v=1",
                    "http://h/a?",
                    "http://h/a?q",
                    "http://h/ab",
                    "http://h/a/",
                    "https://h/a",
                    "http://h/A",
                ],
            ),
            (
                "http://h/2.txt?q1=1&q2=3",
                &["http://h/2.txt?q1=1&q2=3"],
                &["http://h/2.txt", "http://h/2.txt?q2=3&q1=1"],
            ),
            ("HTTP://H:80/%7ea/../b#top", &["http://h/b"], &["http://h/a", "http://h/b?"]),
            ("http://h:8080/a", &["http://h:8080/a"], &["http://h/a"]),
            ("http://h/a%2Ab", &["http://h/a%2Ab"], &["http://h/aXb"]),
            // An `@@` is part of the URL, never the beginning of a variation.
            ("http://h/a@@v=1", &["http://h/a%40%40v=1"], &["http://h/a@@v=1", "http://h/a"]),
            ("http://h", &["http://h/"], &["http://h/a"]),
        ],
    );
}

#[test]
fn directory_urls() {
    check(
        "dirUrls",
        Dialect::CdnetworksDir,
        &[
            (
                "http://t.d.com/mydir",
                &["http://t.d.com/mydir", "http://t.d.com/mydir@@v=1"],
                &[
                    "http://t.d.com/mydir/",
                    "http://t.d.com/mydir/a",
                    "http://t.d.com/mydir?q",
                    "http://t.d.com/mydir2",
                    "https://t.d.com/mydir",
                ],
            ),
            (
                "http://t.d.com/mydir/**",
                &["http://t.d.com/mydir/", "http://t.d.com/mydir/a", "http://t.d.com/mydir/b/c?q@@v=1"],
                &["http://t.d.com/mydir", "http://t.d.com/mydirs/a", "http://h/mydir/a"],
            ),
            (
                "http://t.d.com/mydir/*",
                &[
                    "http://t.d.com/mydir/",
                    "http://t.d.com/mydir/a",
                    "http://t.d.com/mydir/a@@v=1",
                    "http://t.d.com/mydir/a?x=/y",
                ],
                &["http://t.d.com/mydir", "http://t.d.com/mydir/b/", "http://t.d.com/mydir/b/c"],
            ),
            (
                "http://t.d.com/mydir/*.jpg",
                &[
                    "http://t.d.com/mydir/a.jpg",
                    "http://t.d.com/mydir/.jpg",
                    "http://t.d.com/mydir/a.b.jpg",
                    "http://t.d.com/mydir/a.jpg@@v=1",
                ],
                &[
                    "http://t.d.com/mydir/a.jpg?v=1",
                    "http://t.d.com/mydir/b/a.jpg",
                    "http://t.d.com/mydir/a.jpgx",
                    "http://t.d.com/mydir/ajpg",
                ],
            ),
            (
                "http://t.d.com/mydir/a*",
                &["http://t.d.com/mydir/a", "http://t.d.com/mydir/ab", "http://t.d.com/mydir/a?x=/"],
                &["http://t.d.com/mydir/ab/c", "http://t.d.com/mydir/b", "http://t.d.com/mydir/"],
            ),
            (
                "http://t.d.com/mydir/a**",
                &["http://t.d.com/mydir/a", "http://t.d.com/mydir/ab/c", "http://t.d.com/mydir/a?x=/"],
                &["http://t.d.com/mydir/b/a", "http://t.d.com/mydir/A"],
            ),
            (
                "http://t.d.com/mydir/a.jpg",
                &["http://t.d.com/mydir/a.jpg", "http://t.d.com/mydir/a.jpg@@v=1"],
                &["http://t.d.com/mydir/a.jpg?v"],
            ),
            (
                "http://t.d.com/my**jpg",
                &["http://t.d.com/mydirectory/picture.jpg", "http://t.d.com/myjpg", "http://t.d.com/my?x=jpg"],
                &["http://t.d.com/my/a.jpg?v", "http://t.d.com/m/y.jpg", "http://t.d.com/my.png"],
            ),
            // Only the last run is a wildcard, whatever was before it.
            ("http://h/a*b/c*", &["http://h/a*b/c", "http://h/a*b/cd"], &["http://h/aXb/c", "http://h/a*b/c/d"]),
            ("http://h/a**b/c*", &["http://h/a**b/cd"], &["http://h/a/b/cd", "http://h/a**b/c/d"]),
            ("http://h/a*/**", &["http://h/a*/b/c"], &["http://h/ab/c"]),
            ("http://h/a***", &["http://h/ab/c"], &["http://h/b"]),
            ("http://h/a?q=*", &["http://h/a?q=", "http://h/a?q=/x/y"], &["http://h/a", "http://h/a?r="]),
            ("http://h/**", &["http://h/", "http://h/a/b?c@@d=e"], &["https://h/", "http://t.d.com/"]),
            ("http://h/a/*b@@v=*", &["http://h/a/*b@@v=1"], &["http://h/a/*b", "http://h/a/xb@@v=1"]),
        ],
    );
}

#[test]
fn regexes() {
    check(
        "regexPatterns",
        Dialect::CdnetworksRegex,
        &[
            (
                r"https://t.d.com/my.*\.(jpg|png)\?q=",
                &["https://t.d.com/my.jpg?q=", "https://t.d.com/my/a.png?q=1&r@@v=1"],
                &[
                    "https://t.d.com/my.jpg",
                    "https://t.d.com/my.gif?q=1",
                    "https://t.d.com/a/my.jpg?q=",
                    "http://t.d.com/my.jpg?q=",
                ],
            ),
            ("any://h/a", &["http://h/a", "https://h/ab", "http://h/a/b?c@@d=e"], &["http://h/b/a", "http://h:8080/a"]),
            // The host is literal.
            ("http://t.d.com/", &["http://t.d.com/x"], &["http://h/x"]),
            ("http://h/a|b", &["http://h/a", "http://h/b"], &["http://h/cb"]),
            ("http://h/a$", &["http://h/a", "http://h/a@@v=1"], &["http://h/ab", "http://h/a?"]),
            ("http://h/.*@@v=1", &["http://h/a@@v=1"], &["http://h/a", "http://h/a@@w=1"]),
        ],
    );
}

#[test]
fn patterns_that_are_none() {
    for (dialect, text, error) in [
        (
            Dialect::CdnetworksFile,
            "http://h/*",
            "The purge URL 'http://h/*' is invalid. File URLs should not contain the asterisk character, '*'.",
        ),
        (
            Dialect::CdnetworksFile,
            "http://h/%",
            "The purge URL 'http://h/%' is invalid. Special letters need to be encoded.",
        ),
        (Dialect::CdnetworksDir, "h/*", "The purge URL 'h/*' is invalid. It must begin with http:// or https://."),
        (
            Dialect::CdnetworksFile,
            "http://-*/",
            "The purge URL 'http://-*/' is invalid. File URLs should not contain the asterisk character, '*'.",
        ),
    ] {
        assert_eq!(dialect.selectors(text, "").unwrap_err(), error);
    }
}
