//! Path confusion: the key, what an origin is asked for and what a purge takes are one and the same text.

use super::common::{Origin, Oust, request};
use super::echo;
use super::frames::{ask, get};
use super::wire::{all, plain, statuses};

fn spelled(origin: &Origin, oust: &Oust, path: &str) -> Option<String> {
    let before = origin.count();
    let text = format!("GET {path} HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n");
    match statuses(&all(plain(oust.listen), text.as_bytes()))[..] {
        [200] => {}
        [400] => {
            assert_eq!(origin.count(), before, "{path}");
            return None;
        }
        ref other => panic!("{path}: {other:?}"),
    }
    let seen = origin.seen().split_off(before);
    Some(seen.first().map_or_else(|| "hit".to_owned(), |seen| seen.target.clone()))
}

/// Each of these is one URL, however it is written: stored once, asked for once, and taken by a purge of any of its spellings.
const SAME: [&[&str]; 9] = [
    &[
        "/a/b",
        "/a/./b",
        "/a/c/../b",
        "/a/%2e/b",
        "/a/c/%2e%2e/b",
        "/a/c/%2E./b",
        "/a/c/.%2e/b",
        "/%61/b",
        "/a/b#x",
        "/../a/b",
        "/%2e%2e/a/b",
    ],
    &["/", "/.", "/./", "/..", "/%2e", "/%2e%2e/", "/a/.."],
    &["/~u", "/%7eu", "/%7Eu"],
    &["/x%2fy", "/x%2Fy"],
    &["/x%5cy", "/x%5Cy"],
    &["/x%00y"],
    &["/x%c0%afy", "/x%C0%AFy", "/x%c0%AFy"],
    &["/x;p=1/y", "/x;p=1/./y", "/%78;p=1/y"],
    &["/d//e", "/d//./e", "/d//f/../e"],
];

/// And these are all different, though some origins confuse them.
const DIFFERENT: [&str; 26] = [
    "/a/b",
    "/a/b/",
    "/a//b",
    "//a/b",
    "/A/b",
    "/a%2Fb",
    "/a%5Cb",
    "/a;/b",
    "/a/;/b",
    "/a/b;",
    "/a/b.",
    "/a/b..",
    "/a/...",
    "/a/b%20",
    "/a/b%00",
    "/a/b%0A",
    "/a/b%0D%0A",
    "/a/b%23",
    "/a/b%3F",
    "/a/b?",
    "/a/%252e%252e/b",
    "/a/b%252F",
    "/a/..;/b",
    "/a/%C0%AE%C0%AE/b",
    "/a/%E3%80%82/b",
    "/a/b%3B",
];

#[test]
fn every_spelling_is_one_key_and_asked_for_by_it() {
    for group in SAME {
        let origin = echo();
        let oust = Oust::before(&origin);
        let asked = spelled(&origin, &oust, group[0]).unwrap();
        for path in group {
            assert_eq!(spelled(&origin, &oust, path).as_deref(), Some("hit"), "{path}");
            assert_eq!(
                ask(plain(oust.listen), &get(path.as_bytes(), &[]), None).text(),
                format!("0 h.test{asked}"),
                "{path}"
            );
        }
        let objects = oust
            .api("GET", &format!("/v1/objects?key=http://h.test{}", asked.replace('%', "%25").replace(';', "%3B")), "")
            .json();
        assert_eq!(objects["objects"][0]["key"], format!("http://h.test{asked}"), "the key is what was asked for");
    }
}

#[test]
fn no_spelling_escapes_a_purge() {
    for group in SAME {
        let origin = echo();
        let text = format!(
            "[server]\npurge_method_from = [\"127.0.0.1\"]\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
            origin.url()
        );
        let oust = Oust::configured("hostile_spellings", &text);
        for stored in group {
            for purged in group {
                oust.get(stored);
                assert!(oust.get(stored).is_hit(), "{stored}");
                // By both ways to ask for it.
                if origin.count().is_multiple_of(2) && !purged.contains('#') {
                    assert_eq!(request(oust.listen, "PURGE", purged, &[], b"").status, 200, "{purged}");
                } else {
                    oust.purge_url(purged);
                }
                assert!(!oust.get(stored).is_hit(), "{stored} escapes a purge of {purged}");
            }
        }
    }
}

#[test]
fn what_differs_is_kept_apart_and_asked_for_as_it_is() {
    let origin = echo();
    let oust = Oust::before(&origin);
    let mut bodies = std::collections::HashSet::new();
    for path in DIFFERENT {
        assert_eq!(spelled(&origin, &oust, path).as_deref(), Some(path), "asked for as it is");
        let stored = oust.get(path);
        assert!(stored.is_hit() && bodies.insert(stored.text()), "{path}");
    }
    // A purge of one takes it alone.
    for path in ["/a/b", "/a%2Fb", "/a/b%00", "/a/..;/b"] {
        oust.purge_url(path);
        for other in DIFFERENT {
            assert_eq!(oust.get(other).is_hit(), other != path, "{other} after a purge of {path}");
        }
    }
}

/// Bytes that no URL holds: refused, or encoded before anybody sees them, alike for the key and the origin.
#[test]
fn bytes_that_are_no_url_are_encoded_or_refused() {
    let origin = echo();
    let oust = Oust::before(&origin);
    for path in [
        "/a\\b",
        "/a|b",
        "/a^b",
        "/a`b",
        "/a\"b",
        "/a<b>",
        "/a{b}",
        "/\u{e9}",
        "/a%",
        "/a%zz",
        "/a%u002e",
        "/a@@b",
        "/a[b]",
        "/a\u{7f}b",
    ] {
        let Some(asked) = spelled(&origin, &oust, path) else { continue };
        assert!(
            asked.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte)),
            "{path}: {asked}"
        );
        assert_eq!(spelled(&origin, &oust, &asked).as_deref(), Some("hit"), "{path} is {asked}");
        oust.purge_url(&asked);
        assert_ne!(spelled(&origin, &oust, path).as_deref(), Some("hit"), "{path} escapes a purge of {asked}");
    }
}
