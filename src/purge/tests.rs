use super::*;
use crate::Key;
use crate::site::{KeyPolicy, Query, Site, Sites};
use crate::vary::Vary;

fn matcher(selector: &Selector) -> Matcher {
    Matcher::new(selector, &Sites::default()).unwrap_or_else(|error| panic!("{selector:?}: {error}"))
}

fn takes(matcher: &Matcher, key: &str) -> bool {
    matcher.matches(Key::parse(key.as_bytes()).unwrap().as_ref())
}

/// Each selector with keys it takes and keys it never takes.
fn table(rows: &[(Selector, &[&str], &[&str])]) {
    for (selector, taken, left) in rows {
        let matcher = matcher(selector);
        for key in *taken {
            assert!(takes(&matcher, key), "{selector:?} takes {key}");
        }
        for key in *left {
            assert!(!takes(&matcher, key), "{selector:?} never takes {key}");
        }
    }
}

fn url(text: &str) -> Selector {
    Selector::Url(text.into())
}
fn pattern(text: &str) -> Selector {
    Selector::Pattern(text.into())
}
fn glob(text: &str) -> Selector {
    Selector::Glob(text.into())
}
fn regex(text: &str) -> Selector {
    Selector::Regex(text.into())
}

fn refused(selector: &Selector) -> SelectorError {
    match Matcher::new(selector, &Sites::default()) {
        Ok(_) => panic!("{selector:?} is refused"),
        Err(error) => error,
    }
}

#[test]
fn exact_selectors() {
    table(&[
        (
            url("HTTP://H/%7ea"),
            &["http://h/~a", "http://h/~a@@device=mobile"],
            &[
                "http://h/~a?",
                "http://h/~ab",
                "http://h/~a/",
                "http://h/~a.bak",
                "http://h/~A",
                "https://h/~a",
                "http://g/~a",
            ],
        ),
        (url("any://h/a*b"), &["http://h/a*b", "https://h/a*b"], &["http://h/axb"]),
        (url("http://h/p@@m"), &["http://h/p%40%40m"], &["http://h/p@@m", "http://h/p"]),
        (url("any://h:80/"), &["http://h/", "https://h:80/"], &["https://h/"]),
        (
            Selector::Key("http://h/p@@m".into()),
            &["http://h/p@@m"],
            &["http://h/p", "http://h/p@@n", "http://h/p@@mm", "http://h/p%40%40m"],
        ),
        (Selector::Key("http://h/p".into()), &["http://h/p"], &["http://h/p@@m", "http://h/p?"]),
        (pattern("http://h/p"), &["http://h/p", "http://h/p@@m"], &["http://h/p?q", "http://h/p/"]),
        (pattern("http://h/p@@m"), &["http://h/p@@m"], &["http://h/p", "http://h/p@@mm"]),
        (pattern("any://h/p?q"), &["http://h/p?q", "https://h/p?q@@v"], &["http://h/p"]),
        (Selector::All, &["http://h/", "https://[::1]:9/x?y@@z"], &[]),
    ]);
}

#[test]
fn one_variant() {
    let mut request = http::HeaderMap::new();
    request.insert("accept-encoding", "gzip".parse().unwrap());
    let mut response = http::HeaderMap::new();
    response.insert("vary", "accept-encoding".parse().unwrap());
    let gzip = Vary::new(&response, &request).unwrap();
    let plain = Vary::new(&response, &http::HeaderMap::new()).unwrap();
    let selector =
        Selector::Variant { key: "http://h/p@@m".into(), headers: vec![("Accept-Encoding".into(), "gzip".into())] };
    let matcher = matcher(&selector);
    let key = Key::parse(b"http://h/p@@m").unwrap();
    assert!(matcher.matches_object(key.as_ref(), gzip.as_ref(), TagsRef::default()));
    assert!(!matcher.matches_object(key.as_ref(), plain.as_ref(), TagsRef::default()));
    assert!(matcher.matches(key.as_ref()), "not known yet: by the key alone");
    assert!(!takes(&matcher, "http://h/p"));
    let bad = Selector::Variant { key: "http://h/".into(), headers: vec![("a b".into(), String::new())] };
    assert!(refused(&bad).is_malformed());
}

#[test]
fn directories_prefixes_and_extensions() {
    table(&[
        (
            pattern("http://h/d/*"),
            &["http://h/d/", "http://h/d/a", "http://h/d/a?q=/x", "http://h/d/?/", "http://h/d/a@@v/w"],
            &[
                "http://h/d",
                "http://h/d/e/",
                "http://h/d/e/f",
                "http://h/dd/",
                "http://h/D/",
                "https://h/d/a",
                "http://h:81/d/a",
            ],
        ),
        (
            pattern("http://h/d/**"),
            &["http://h/d/", "http://h/d/a/b/c", "http://h/d/a?q"],
            &["http://h/d", "http://h/d?/", "http://h/db/a"],
        ),
        (pattern("http://h/d/***"), &["http://h/d/a/b"], &["http://h/d"]),
        (
            pattern("http://h/d/a*"),
            &["http://h/d/a", "http://h/d/ab", "http://h/d/ab?x=/"],
            &["http://h/d/a/", "http://h/d/b", "http://h/d/A"],
        ),
        (pattern("http://h/d/a**"), &["http://h/d/a", "http://h/d/ab/c/"], &["http://h/d/", "http://h/d"]),
        (
            pattern("http://h/d/*.jpg"),
            &["http://h/d/a.jpg", "http://h/d/.jpg", "http://h/d/a.jpg?v=2", "http://h/d/a.b.jpg@@v"],
            &[
                "http://h/d/a.jpg.bak",
                "http://h/d/a.JPG",
                "http://h/d/ajpg",
                "http://h/d/e/a.jpg",
                "http://h/d/a?x.jpg",
            ],
        ),
        (pattern("http://h/d/**.jpg"), &["http://h/d/e/f.jpg"], &["http://h/d/e/f.jpg/"]),
        (pattern("http://h/*.tar.gz"), &["http://h/a.tar.gz?x"], &["http://h/a.gz", "http://h/d/a.tar.gz"]),
        (pattern("http://h/*.jp/g"), &["http://h/a.jp/g"], &["http://h/a/b.jp/g"]),
    ]);
}

#[test]
fn wildcards_between_literals() {
    table(&[
        (
            pattern("http://h/a*b"),
            &["http://h/ab", "http://h/axb", "http://h/axb?c"],
            &["http://h/a", "http://h/ax/b", "http://h/abx"],
        ),
        (pattern("http://h/aba*aba"), &["http://h/abaaba"], &["http://h/aba", "http://h/ababa"]),
        (pattern("http://h/a**b"), &["http://h/ab", "http://h/ax/yb"], &["http://h/a?b", "http://h/x/ab"]),
        (
            pattern("http://h/d/a*/b"),
            &["http://h/d/ax/b", "http://h/d/ax/b?q"],
            &["http://h/d/ax?q=/b", "http://h/d/a/x/b"],
        ),
        (
            pattern("http://h/*/x/**.js"),
            &["http://h/a/x/b/c.js", "http://h//x/.js"],
            &["http://h/a/b/x/c.js", "http://h/a/x/c.jsx", "http://h/a/x"],
        ),
        (
            pattern("http://h/**a**b**"),
            &["http://h/ab", "http://h/x/a/b/", "http://h/xaxb?"],
            &["http://h/ba", "http://h/a?b"],
        ),
        (pattern("http://h/*a*a*"), &["http://h/aa", "http://h/baba"], &["http://h/a", "http://h/a/a"]),
        (pattern("http://h/.*"), &["http://h/.htaccess"], &["http://h/a"]),
        (pattern("http://h/a@*"), &["http://h/a@b"], &["http://h/ab"]),
    ]);
}

#[test]
fn queries_and_variations() {
    table(&[
        (
            pattern("http://h/a?b*"),
            &["http://h/a?b", "http://h/a?b/c/d", "http://h/a?b@@v"],
            &["http://h/a", "http://h/a?c"],
        ),
        (
            pattern("http://h/d/*?q"),
            &["http://h/d/x?q", "http://h/d/x?y/z?q"],
            &["http://h/d/e/x?q", "http://h/d/x", "http://h/d/x?q1"],
        ),
        (pattern("http://h/*/x?*=1*"), &["http://h/a/x?b=1", "http://h/a/x?b/c=12"], &["http://h/a/b/x?b=1"]),
        (pattern("http://h/**?q"), &["http://h/a/b?q", "http://h/?q"], &["http://h/a/b?q1"]),
        (pattern("http://h/a@@*"), &["http://h/a@@v"], &["http://h/a", "http://h/a@@@v", "http://h/a?q@@v"]),
        (
            pattern("http://h/*@@device=*"),
            &["http://h/a@@device=m", "http://h/a?q=/@@device=m/n"],
            &["http://h/a", "http://h/d/a@@device=m", "http://h/a@@x;device=m"],
        ),
        (pattern("http://h/*.jpg@@m"), &["http://h/a.jpg@@m"], &["http://h/a.jpg?v=2@@m", "http://h/a.jpg@@mm"]),
        (pattern("http://h/a@@m*n*"), &["http://h/a@@mxn/"], &["http://h/a@@nm"]),
    ]);
}

#[test]
fn globs_cross_everything() {
    table(&[
        (
            glob("http://h/d/*"),
            &["http://h/d/", "http://h/d/e/f?g", "http://h/d/a@@v"],
            &["http://h/d", "http://h/d?/"],
        ),
        (glob("http://h/*.jpg"), &["http://h/a/b.jpg", "http://h/a?b.jpg"], &["http://h/a.jpg?v=2"]),
        (glob("http://h/*a*b"), &["http://h/x/a?b"], &["http://h/x/b?a"]),
        (glob("http://h/a"), &["http://h/a", "http://h/a@@v"], &["http://h/a?"]),
        (glob("http://h/*@@*m*"), &["http://h/a/b?c@@xmy"], &["http://h/m", "http://h/m@@x"]),
        (glob("http://h/a?*"), &["http://h/a?b"], &["http://h/a", "http://h/ab"]),
    ]);
}

#[test]
fn literals_of_patterns_are_canonical() {
    table(&[
        (pattern("HTTP://H.:80/%7ea b/*"), &["http://h/~a%20b/x"], &[]),
        (pattern("http://h/a/../b*"), &["http://h/bc"], &["http://h/a/../bc2/x"]),
        (pattern("http://h/a/..*"), &["http://h/a/..b"], &["http://h/b"]),
        (pattern("http://h/%2f*"), &["http://h/%2Fa"], &["http://h//a"]),
        (pattern("http://h/[*]"), &["http://h/%5Bx%5D"], &[]),
        (pattern("http://b\u{fc}cher.example/*"), &["http://xn--bcher-kva.example/a"], &[]),
        (pattern("http://h/a#f"), &["http://h/a"], &[]),
        (pattern("http://h?*"), &["http://h/?x"], &["http://h/"]),
    ]);
    assert!(takes(&matcher(&pattern("http://h/a*?x/../y")), "http://h/ab?x/../y"));
}

#[test]
fn refused_patterns_name_the_byte() {
    for (text, position) in [
        ("h/d/*", 0),
        ("ftp://h/*", 0),
        ("http://h*/", 8),
        ("http://a.*.h/", 9),
        ("http://h/%*", 10),
        ("http://h/a%4*1", 12),
        ("http://h/*%4*", 12),
        ("http://h/*%", 10),
        ("http://h/a%zz*", 10),
        ("http://h/%zz", 9),
        ("http://h/*?a%", 12),
        ("http://h/*/../a", 11),
        ("http://h/*/a/%2e%2E", 13),
        ("http://h/*/.", 11),
        ("http://h/*/./*", 11),
        ("http://h/.*.", 11),
        ("http://h/a*@@", 13),
        ("http://h/a*@@x%*", 15),
        ("http://h/a*@@%zz", 13),
        ("http://h/a#b*", 12),
        ("http://u@h/*", 8),
        ("http://h:x/*", 9),
    ] {
        for selector in [pattern(text), glob(text)] {
            let error = refused(&selector);
            assert!(error.is_malformed(), "{text}: {error}");
            assert_eq!(error.position(), Some(position), "{text}: {error}");
        }
    }
    assert_eq!(refused(&pattern(&format!("http://h/{}*", "a".repeat(9000)))).limit(), Some(("selector bytes", 8192)));
    assert!(refused(&pattern(&format!("http://h/{}*", " ".repeat(4000)))).is_too_large());
    let mixed = format!("http://h/*{}**", "a".repeat(2049));
    let error = refused(&pattern(&mixed));
    assert!(error.is_over_budget() && error.limit() == Some(("literal bytes between mixed wildcards", 2048)));
    let fits = matcher(&pattern(&mixed.replacen('a', "", 1)));
    assert!(!takes(&fits, &format!("http://h/b/{}/c", "a".repeat(2048))));
    assert!(takes(&fits, &format!("http://h/b{}/c", "a".repeat(2048))));
}

#[test]
fn shapes() {
    let shape = |selector: Selector| selector.compile(&Sites::default()).unwrap().remove(0).shape;
    let span = |selector: Selector| match shape(selector.clone()) {
        Shape::Span(span) => span,
        other => panic!("{selector:?}: {other:?}"),
    };
    // Prefix, whether the run crosses slashes, whether it ends the path, suffix.
    for (selector, prefix, crossing, by_path, suffix) in [
        (pattern("http://h/d/**"), "http://h/d/", true, true, ""),
        (pattern("http://h/*"), "http://h/", false, true, ""),
        (glob("http://h/d/*"), "http://h/d/", true, true, ""),
        (regex("http://h/"), "http://h/", true, true, ""),
        (regex("http://h/d/.*"), "http://h/d/", true, true, ""),
        (pattern("http://h/d/*.jpg"), "http://h/d/", false, true, ".jpg"),
        (pattern("http://h/d/a**.tar.gz"), "http://h/d/a", true, true, ".tar.gz"),
        (glob("http://h/d/*.jpg"), "http://h/d/", true, false, ".jpg"),
        (pattern("http://h/a?b/c*"), "http://h/a?b/c", true, false, ""),
        (pattern("http://h:81/a/b*c"), "http://h:81/a/b", false, true, "c"),
    ] {
        let span = span(selector.clone());
        assert_eq!(String::from_utf8_lossy(span.prefix()), prefix, "{selector:?}");
        assert_eq!((span.crossing, span.by_path), (crossing, by_path), "{selector:?}");
        assert_eq!(String::from_utf8_lossy(span.suffix()), suffix, "{selector:?}");
    }
    // Directory, and what it is filed under.
    for (selector, dir, beginning) in [
        (pattern("http://h:81/a/b*c*d"), "http://h:81/a/", "http://h:81/a/b"),
        (pattern("http://h/a/b@@*"), "http://h/a/", "http://h/a/b"),
        (regex("http://h/a/b/x\\.[jp]pg+"), "http://h/a/b/", "http://h/a/b/x."),
        (regex("http://h/(a/)b\\?c/d[xy]+z"), "http://h/a/", "http://h/a/b?c/d"),
        (regex("http://h/a+|b/"), "http://h/", "http://h/"),
        (regex("http://h/a@@b/c+"), "http://h/", "http://h/a"),
    ] {
        let Shape::Residual(program) = shape(selector.clone()) else { panic!("{selector:?}") };
        assert_eq!(String::from_utf8_lossy(program.directory()), dir, "{selector:?}");
        assert_eq!(String::from_utf8_lossy(program.beginning()), beginning, "{selector:?}");
    }
    assert_eq!(pattern("any://h/*").compile(&Sites::default()).unwrap().len(), 2);
}

#[test]
fn regexes() {
    table(&[
        (
            regex("https://test.domain.com/my.*\\.(jpg|png)\\?q="),
            &["https://test.domain.com/my/a.jpg?q=1", "https://test.domain.com/my.png?q=@@v"],
            &[
                "https://testxdomain.com/my/a.jpg?q=1",
                "http://test.domain.com/my.jpg?q=",
                "https://test.domain.com/x/my.jpg?q=",
            ],
        ),
        (regex("any://h/a|b"), &["http://h/a", "https://h/bc"], &["http://h/xb", "http://g/b"]),
        (regex("http://h/a$"), &["http://h/a", "http://h/a@@v"], &["http://h/ab"]),
        (regex("http://h/a(@@m)?$"), &["http://h/a", "http://h/a@@m"], &["http://h/a@@n"]),
        (regex("http://h/^a"), &[], &["http://h/a"]),
        (
            regex("http://h/[ab]*a[ab]{59}"),
            &[&format!("http://h/{}", "ab".repeat(40))],
            &[&format!("http://h/{}", "ab".repeat(29))],
        ),
        (regex("http://h/(?i)A%2f"), &["http://h/a%2F", "http://h/A%2F"], &[]),
        (regex("http://h:8080/\\*[*+]\\+x"), &["http://h:8080/*++x"], &["http://h/*++x"]),
        (regex("http://h/%2F%C3"), &["http://h/%2F%c3%a9"], &[]),
        (regex("http://h/\\w+-\\d{2,4}"), &["http://h/ab-123"], &["http://h/ab-1"]),
    ]);
}

#[test]
fn limits_of_regexes() {
    let ok = |text: &str| drop(matcher(&regex(&format!("http://h/{text}"))));
    ok("a*b+");
    ok("\\*\\+[*+]a*b*");
    ok("a{59}b{0,59}c{59,}");
    ok(&"a".repeat(126));
    ok("[ab]*a[ab]{59}");
    ok("(a{1,59}){1,59}");
    ok("((a{1,59}){1,59}){1,2}");
    ok("(.{0,59}a){5}x.*$");
    ok("%2");
    ok("(a%)20");
    ok("%[0-9A-F]f?");
    for (text, name, limit) in [
        ("a*b*c*", "unlimited regex quantifiers", 2),
        ("a*?b+?c{2,}?", "unlimited regex quantifiers", 2),
        ("((a*)*)*", "unlimited regex quantifiers", 2),
        ("a{60}", "the number in a regex quantifier", 59),
        ("a{1,60}?", "the number in a regex quantifier", 59),
        ("a{60,}", "the number in a regex quantifier", 59),
        (&"a".repeat(127), "regex bytes after the first '/'", 126),
        ("(((a{1,59}){1,59}){1,59}){1,59}", "regex positions", 10_000),
        ("(((()){59}){59}){59}", "regex positions", 10_000),
    ] {
        let error = refused(&regex(&format!("http://h/{text}")));
        assert!(error.is_over_budget(), "{text}: {error}");
        assert_eq!(error.limit(), Some((name, limit)), "{text}");
    }
    for (text, position) in [
        ("%2f", 9),
        ("a%zz", 10),
        ("a%2g+", 10),
        ("%41", 9),
        ("a b", 10),
        ("a\\[", 10),
        ("a#", 10),
        ("\u{e9}", 9),
        ("a(?u)b", 12),
        ("\\pL", 9),
        ("(?=a)", 9),
        ("a(b", 10),
        ("[a", 9),
        ("\\1", 9),
        ("*", 9),
    ] {
        let error = refused(&regex(&format!("http://h/{text}")));
        assert!(error.is_malformed(), "{text}: {error}");
        assert_eq!(error.position(), Some(position), "{text}: {error}");
    }
    assert_eq!(refused(&regex("http://h")).position(), Some(8));
    assert_eq!(refused(&regex("http://h.*/a")).position(), Some(9));
    assert!(Matcher::new(&regex("http://h/a@@\\{"), &Sites::default()).is_ok(), "a variation may hold it");
}

#[test]
fn hosts_and_tags() {
    let host = |text: &str| Selector::Host(text.into());
    table(&[
        (host("H."), &["http://h/", "https://h:8443/a@@v"], &["http://a.h/", "http://hh/", "http://h.a/"]),
        (host("h:80"), &["http://h/", "https://h:80/"], &["https://h/", "http://h:81/"]),
        (host("h:443"), &["https://h/"], &["http://h/"]),
        (host("*.h"), &["http://a.h/", "http://a.b.h:1/"], &["http://h/", "http://ah/"]),
        (host("*.h:81"), &["http://a.h:81/"], &["http://a.h/"]),
        (host("[::1]"), &["http://[0::1]:80/"], &[]),
    ]);
    for (text, position) in [("", 0), ("*", 0), ("*.", 2), ("*.*.h", 2), ("h:x", 2), ("http://h", 5), ("*.[::1]", 2)] {
        let error = refused(&host(text));
        assert_eq!(error.position(), Some(position), "{text}: {error}");
    }
    let tags = Tags::encode([&b"a"[..], b"b"]);
    let key = Key::parse(b"http://h/").unwrap();
    let none = Vary::default();
    let tag = matcher(&Selector::Tag("b".into()));
    assert!(tag.matches_object(key.as_ref(), none.as_ref(), tags.as_ref()));
    assert!(!tag.matches(key.as_ref()));
    assert!(refused(&Selector::Tag(String::new())).is_malformed());
    assert!(refused(&Selector::Tag("x".repeat(5000))).is_too_large());
}

#[test]
fn sites_apply_to_selectors() {
    let sites = Sites::new([
        Site::new(["www.h", "img.h"])
            .aliases(["h", "x.old"])
            .merge_schemes(true)
            .policy(KeyPolicy::new().query(Query::Sort)),
        Site::new(["*"]).policy(KeyPolicy::new().query(Query::Drop)),
    ])
    .unwrap();
    for (selector, taken, left) in [
        (url("https://h/?b&a"), "http://www.h/?a&b", "http://h/?a&b"),
        (pattern("any://h/*"), "http://www.h/a", "https://www.h/a"),
        (pattern("https://h:443/?b&a@@*"), "http://www.h/?a&b@@v", "http://www.h/?b&a@@v"),
        (regex("https://h/a"), "http://www.h/ab", "https://www.h/ab"),
        (Selector::Key("https://img.h/?b&a@@v".into()), "http://img.h/?a&b@@v", "http://www.h/?a&b@@v"),
        (Selector::Host("h".into()), "http://www.h/", "http://img.h/"),
        (Selector::Host("h:443".into()), "http://www.h/", "http://www.h:81/"),
        (Selector::Host("*.old".into()), "http://www.h/", "http://img.h/"),
        (url("http://z/a?b"), "http://z/a", "http://z/a?b"),
    ] {
        let matcher = Matcher::new(&selector, &sites).unwrap();
        assert!(takes(&matcher, taken), "{selector:?} takes {taken}");
        assert!(!takes(&matcher, left), "{selector:?} never takes {left}");
    }
    assert_eq!(pattern("any://h/*").compile(&sites).unwrap().len(), 1);
    for (selector, position) in [
        (pattern("http://h/*?a"), 10),
        (pattern("http://h/a?b*"), 10),
        (glob("http://z/a?*"), 10),
        (regex("http://h/a\\?b"), 10),
    ] {
        let error = Matcher::new(&selector, &sites).expect_err("refused");
        assert_eq!(error.position(), Some(position), "{error}");
        assert!(error.to_string().contains("key policy"), "{error}");
    }
}

/// Patterns against the definition of their grammar, written as a recursion over both.
#[test]
fn patterns_agree_with_their_definition() {
    fn defined(pattern: &[u8], text: &[u8], at: usize, path: usize) -> bool {
        match pattern {
            [] => at == text.len(),
            [b'*', rest @ ..] => {
                let deep = rest.first() == Some(&b'*');
                let rest = if deep { &rest[1..] } else { rest };
                for end in at..=text.len() {
                    if defined(rest, text, end, path) {
                        return true;
                    }
                    if !deep && end < path && text.get(end) == Some(&b'/') {
                        return false;
                    }
                }
                false
            }
            [byte, rest @ ..] => text.get(at) == Some(byte) && defined(rest, text, at + 1, path),
        }
    }
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % n
    };
    let mut hits = 0;
    for _ in 0..30_000 {
        let mut text = "http://h/".to_owned();
        for _ in 0..next(7) {
            text.push_str(["a", "b", "/", "*", "**", "?", "a"][next(7)]);
        }
        while text.contains("***") {
            text = text.replace("***", "**");
        }
        let mut key = "http://h/".to_owned();
        for _ in 0..next(7) {
            key.push_str(["a", "b", "/", "?", "a"][next(5)]);
        }
        let parsed = Key::parse(key.as_bytes()).unwrap();
        let parsed = parsed.as_ref();
        let end = usize::from(parsed.layout().path_end);
        let whole = text.contains('?') || !text.contains('*');
        let subject = if whole { parsed.url() } else { &parsed.text()[..end] };
        let expected = defined(text.as_bytes(), subject, 0, end);
        assert_eq!(takes(&matcher(&pattern(&text)), &key), expected, "{text} on {key}");
        hits += usize::from(expected);
    }
    assert!(hits > 500, "the generator makes matches: {hits}");
}

#[test]
fn only_the_last_run_is_a_wildcard() {
    let last = |text: &str| Selector::LastWildcard(text.into());
    table(&[
        (
            last("http://h/d/*"),
            &["http://h/d/a", "http://h/d/", "http://h/d/a?x=/y", "http://h/d/a@@v"],
            &["http://h/d/e/a", "http://h/d"],
        ),
        (last("http://h/d/**"), &["http://h/d/e/a", "http://h/d/"], &["http://h/d", "http://h/dd/a"]),
        (
            last("http://h/d/*.jpg"),
            &["http://h/d/a.jpg", "http://h/d/a?x=/b.jpg"],
            &["http://h/d/a.jpg?v=1", "http://h/d/e/a.jpg"],
        ),
        (last("http://h/a*b/c*"), &["http://h/a*b/c", "http://h/a*b/cd?e"], &["http://h/axb/c", "http://h/a*b/c/d"]),
        (
            last("http://h/my**jpg"),
            &["http://h/mydir/p.jpg", "http://h/my/q?x=jpg"],
            &["http://h/mydir/p.jpg?x", "http://h/m.jpg"],
        ),
        (last("http://h/a**b/c*"), &["http://h/a**b/cd"], &["http://h/axb/cd", "http://h/a**b/c/d"]),
        (last("http://h/a*b***"), &["http://h/a*b/c/d"], &["http://h/axb"]),
        (last("http://h/a**@@v=1"), &["http://h/ab/c@@v=1"], &["http://h/ab/c", "http://h/ab/c@@v=12"]),
        (last("http://h/a*b"), &["http://h/axb", "http://h/a*b"], &["http://h/a/b"]),
        (last("http://h/a"), &["http://h/a", "http://h/a@@v"], &["http://h/ab"]),
    ]);
    assert_eq!(matcher(&last("http://H:80/a*b")).hosts(), Some(vec!["h"]));
}

#[test]
fn hosts_below_a_name() {
    table(&[
        (
            pattern("any://*.h/d/**"),
            &["http://a.h/d/x", "https://b.a.h:81/d/x/y", "http://a.h/d/?q"],
            &["http://h/d/x", "http://ah/d/x", "http://a.h/dd/x", "http://a.h.x/d/x"],
        ),
        (
            pattern("http://*.h:81/d/*.png"),
            &["http://a.h:81/d/x.png?v"],
            &["http://a.h/d/x.png", "http://a.h:81/d/e/x.png"],
        ),
        (pattern("http://*.h/p?q"), &["http://a.h/p?q", "http://a.h/p?q@@v"], &["http://a.h/p", "https://a.h/p?q"]),
        (pattern("http://*.h/p"), &["http://a.h/p", "http://a.h/p@@v"], &["http://a.h/p?q", "http://a.h/pp"]),
        (pattern("http://*.h/**@@m*"), &["http://a.h/p@@m=1"], &["http://a.h/p", "http://a.h/p@@n"]),
    ]);
    for bad in ["http://*h/d/**", "http://*.*.h/d/**", "http://a.*.h/**", "http://*.[::1]/**"] {
        refused(&pattern(bad));
    }
    for selector in [glob("http://*.h/*"), regex("http://*.h/a"), Selector::LastWildcard("http://*.h/a*".into())] {
        refused(&selector);
    }
    assert_eq!(matcher(&pattern("http://*.h/d/**")).hosts(), None);
    let sites = Sites::new([
        Site::new(["www.other"]).aliases(["www.h"]),
        Site::new(["img.h"]).merge_schemes(true).policy(KeyPolicy::new().query(Query::Sort)),
        Site::new(["*"]),
    ])
    .unwrap();
    let matcher = Matcher::new(&pattern("https://*.h/p?b&a"), &sites).unwrap();
    for key in ["http://img.h/p?a&b", "https://x.h/p?b&a", "https://www.other/p?b&a"] {
        assert!(takes(&matcher, key), "{key}");
    }
    assert!(!takes(&matcher, "http://x.h/p?b&a"));
}

/// Selectors and keys of a small vocabulary, so that they meet in directories, beginnings, endings and inner literals.
fn crowd(seed: u64, selectors: usize, keys: usize) -> (Vec<Selector>, Vec<Key>) {
    let mut state = seed;
    let mut below = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut word =
        move || ["a", "b", "ab", "ba", "a.b", "abab", "aab", ".a", "b.ab", "aaaa/", "a/", "/"][below(12) as usize];
    let mut text = move |words: u64| (0..words).map(|_| word()).collect::<String>();
    let mut state = seed ^ 77;
    let mut below = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let tail = |kind: u64, text: &mut dyn FnMut(u64) -> String| match kind {
        0 => "?".to_owned() + &text(1),
        1 => "@@".to_owned() + &text(1).replace('/', "x"),
        _ => String::new(),
    };
    let chosen = (0..selectors)
        .map(|_| {
            let (a, b, c) = (text(below(3)), text(below(3)), text(below(2) + 1));
            let host = ["h", "h.h"][below(2) as usize];
            match below(12) {
                0 => url(&format!("http://{host}/{a}{}", tail(below(4).min(2) & 2, &mut text))),
                1 => pattern(&format!("http://{host}/{a}**")),
                2 => pattern(&format!("any://{host}/{a}*{b}")),
                3 => pattern(&format!("http://{host}/{a}**{b}")),
                4 => pattern(&format!("http://{host}/{a}**{b}**{c}")),
                5 => pattern(&format!("http://{host}/{a}*{b}**{c}")),
                6 => glob(&format!("http://{host}/{a}*{b}*{c}*")),
                7 => Selector::LastWildcard(format!("http://{host}/{a}*{b}")),
                8 => regex(&format!("http://{host}/{a}.*{c}[ab]")),
                9 => regex(&format!("http://{host}/[ab]+{c}{}", ["", "$"][below(2) as usize])),
                10 => pattern(&format!("http://*.h/{a}**{b}")),
                _ => glob(&format!("http://{host}/{a}*@@{}*", ["a", "b", ""][below(3) as usize])),
            }
        })
        .collect();
    let keys = (0..keys)
        .filter_map(|_| {
            let host = ["h", "h.h"][below(2) as usize];
            let path = text(below(5));
            Key::parse(format!("http://{host}/{path}{}", tail(below(5), &mut text)).as_bytes()).ok()
        })
        .collect();
    (chosen, keys)
}

/// The table against its selectors one by one, for every stamp, while rules are added.
#[test]
fn a_table_says_what_its_selectors_say() {
    for seed in 0..12 {
        let (selectors, keys) = crowd(seed, 250, 60);
        let set = MatchSet::new(Sites::default(), 100_000);
        let mut live: Vec<(u64, Action, Matcher)> = Vec::new();
        for (index, selector) in selectors.iter().enumerate() {
            let action = [Action::Soft, Action::Invalidate, Action::Delete][index % 3];
            let Ok(alone) = Matcher::new(selector, &Sites::default()) else { continue };
            match set.add(std::slice::from_ref(selector), action) {
                Ok(seq) => live.push((seq, action, alone)),
                Err(error) => assert_eq!(error.kind(), PurgeErrorKind::TooManyRules, "{selector:?}: {error}"),
            }
        }
        assert!(live.len() > 180, "most are admitted: {}", live.len());
        for key in &keys {
            for after in [0, 1, 57, 120, 249] {
                let taken = live.iter().filter(|(seq, _, alone)| *seq > after && alone.matches(key.as_ref()));
                let strongest = taken.clone().map(|(_, action, _)| *action).max();
                let said = set.judge(key.as_ref(), after);
                assert_eq!(said.map(|(action, _)| action), strongest, "seed {seed}, {key} after {after}");
                if let Some((action, by)) = said {
                    assert!(taken.clone().any(|(seq, own, _)| (*seq, *own) == (by, action)), "{key}: {by} takes it");
                }
            }
        }
        set.retire();
        assert!(keys.iter().all(|key| set.judge(key.as_ref(), 0).is_none()));
    }
}

#[test]
fn what_no_literal_leads_to_is_admitted_up_to_a_bound() {
    let set = MatchSet::new(Sites::default(), 100_000);
    let unanchored =
        |n: usize| regex(&format!("http://h/[a-f]+[{}][g-z]{{{}}}", (b'a' + (n % 26) as u8) as char, n / 26 + 1));
    let mut admitted = 0;
    let error = loop {
        match set.add(&[unanchored(admitted)], Action::Delete) {
            Ok(_) => admitted += 1,
            Err(error) => break error,
        }
        assert!(admitted <= 32);
    };
    assert_eq!(error.kind(), PurgeErrorKind::TooManyRules);
    assert_eq!((error.selector, error.limit().map(|(_, most)| most)), (Some(0), Some(32)));
    assert_eq!(admitted, 32);
    set.add(&[unanchored(3)], Action::Soft).expect("one that is there already costs nothing");
    set.add(&[regex("http://other/[a-f]+[x]")], Action::Delete).expect("another host has room");
    set.add(&[regex("http://h/[a-f]+word[x]")], Action::Delete).expect("a literal leads to it");
    let batch: Vec<Selector> = vec![url("http://h/u"), unanchored(40)];
    assert_eq!(set.add(&batch, Action::Delete).unwrap_err().selector, Some(1));
    assert_eq!(set.judge(Key::parse(b"http://h/u").unwrap().as_ref(), 0), None, "all or nothing");
    set.retire();
    set.add(&[unanchored(40)], Action::Delete).expect("what is retired leaves room");
}

#[test]
fn hosts_below_a_name_keep_their_scheme() {
    let sites = Sites::new([Site::new(["a.h"]), Site::new(["*"]).merge_schemes(true)]).unwrap();
    let matcher = |text: &str| Matcher::new(&pattern(text), &sites).unwrap();
    for (text, taken) in [
        ("https://*.h/d/**", &["https://a.h/d/x", "http://b.h/d/x"][..]),
        ("any://*.h/d/**", &["https://a.h/d/x", "http://a.h/d/x", "http://b.h/d/x"]),
        ("http://*.h/d/**", &["http://a.h/d/x", "http://b.h/d/x"]),
    ] {
        for key in taken {
            assert!(takes(&matcher(text), key), "{text} takes {key}");
        }
    }
    assert!(!takes(&matcher("http://*.h/d/**"), "https://a.h/d/x"));
    assert!(!takes(&matcher("https://*.h/d/**"), "http://a.h/d/x"));
    let host = Matcher::new(&Selector::Host("*.h:443".into()), &sites).unwrap();
    assert!(takes(&host, "http://b.h/") && takes(&host, "https://a.h/") && !takes(&host, "http://b.h:81/"));
}

#[test]
fn hosts_below_a_name_are_of_every_port_under_an_alias_too() {
    let sites =
        Sites::new([Site::new(["img.h"]).merge_schemes(true), Site::new(["www.o"]).aliases(["www.h"])]).unwrap();
    let selector = pattern("https://*.h/d/**");
    let matcher = Matcher::new(&selector, &sites).unwrap();
    let set = MatchSet::new(sites.clone(), 100);
    set.add(&[selector], Action::Delete).unwrap();
    let stored = |url: &str| sites.rewrite(Key::parse(url.as_bytes()).unwrap()).unwrap();
    for (url, taken) in [
        ("https://img.h:81/d/x", true),
        ("https://img.h/d/x", true),
        ("https://www.h:81/d/x", true),
        ("https://www.h/d/x?q", true),
        ("https://x.h:82/d/x", true),
        ("http://www.h:81/d/x", false),
        ("https://a.www.o/d/x", false),
        ("https://www.h/e/x", false),
    ] {
        let key = stored(url);
        assert_eq!(takes(&matcher, &key.to_string()), taken, "{url}");
        assert_eq!(set.judge(key.as_ref(), 0).is_some(), taken, "{url}");
    }
}
