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
        ("http://*.h/", 7),
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
    assert!(
        matches!(shape(pattern("http://h/d/**")), Shape::Directory { dir, recursive: true } if &*dir == b"http://h/d/")
    );
    assert!(
        matches!(shape(pattern("http://h/*")), Shape::Directory { dir, recursive: false } if &*dir == b"http://h/")
    );
    assert!(matches!(shape(glob("http://h/d/*")), Shape::Directory { recursive: true, .. }));
    assert!(matches!(shape(regex("http://h/")), Shape::Directory { recursive: true, .. }));
    assert!(matches!(
        shape(pattern("http://h/d/*.jpg")),
        Shape::Extension { dir, recursive: false, ext } if &*dir == b"http://h/d/" && &*ext == b".jpg"
    ));
    assert!(matches!(shape(pattern("http://h/d/*.tar.gz")), Shape::Residual { .. }));
    assert!(matches!(shape(glob("http://h/d/*.jpg")), Shape::Residual { .. }));
    for (selector, dir, literal) in [
        (pattern("http://h:81/a/b*c"), "http://h:81/a/", "http://h:81/a/b"),
        (pattern("http://h/a?b/c*"), "http://h/", "http://h/a?b/c"),
        (pattern("http://h/a/b@@*"), "http://h/a/", "http://h/a/b"),
        (regex("http://h/a/b/x\\.(jpg|png)"), "http://h/a/b/", "http://h/a/b/x."),
        (regex("http://h/(a/)b\\?c/d[xy]"), "http://h/a/", "http://h/a/b?c/d"),
        (regex("http://h/a|b/"), "http://h/", "http://h/"),
        (regex("http://h/a@@b/c+"), "http://h/", "http://h/a@@b/"),
    ] {
        let Shape::Residual { dir: own, program } = shape(selector.clone()) else { panic!("{selector:?}") };
        assert_eq!(String::from_utf8_lossy(&own), dir, "{selector:?}");
        assert_eq!(String::from_utf8_lossy(program.literal_prefix()), literal, "{selector:?}");
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
fn positions_tell_what_a_regex_costs() {
    for (text, positions) in
        [("[ab]*a[ab]{59}", Some(61)), ("(a|bc){3}d", Some(10)), ("((a{1,59}){1,59}){1,2}", Some(6962))]
    {
        let compiled = regex(&format!("http://h/{text}")).compile(&Sites::default()).unwrap();
        let Some(Compiled { shape: Shape::Residual { program, .. } }) = compiled.first() else { panic!("{text}") };
        assert_eq!(program.regex_positions(), positions, "{text}");
    }
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
