use super::*;

fn canon(text: &str) -> String {
    let key = Key::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let again = Key::parse(key.as_ref().text()).unwrap();
    assert_eq!(key, again, "a fixed point");
    assert_eq!(Layout::of(key.as_ref().text()), Some(key.as_ref().layout()), "{key}");
    key.to_string()
}

#[test]
fn equivalent_texts_are_one_key() {
    for (text, expected) in [
        ("http://h", "http://h/"),
        ("HTTP://EXAMPLE.com/", "http://example.com/"),
        ("http://h?", "http://h/?"),
        ("http://h?q", "http://h/?q"),
        ("http://h#f", "http://h/"),
        ("http://h/a#f?x", "http://h/a"),
        ("http://h/a?b#f", "http://h/a?b"),
        ("http://h./a", "http://h/a"),
        ("http://h:80/a", "http://h/a"),
        ("http://h:/a", "http://h/a"),
        ("http://h:00080/a", "http://h/a"),
        ("http://h:443/a", "http://h:443/a"),
        ("https://h:443/a", "https://h/a"),
        ("https://h:80/a", "https://h:80/a"),
        ("http://h:0/a", "http://h:0/a"),
        ("http://h.:8080/a", "http://h:8080/a"),
        ("http://%45xample.com/", "http://example.com/"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://XN--BCHER-KVA.example/", "http://xn--bcher-kva.example/"),
        ("http://b%C3%BCcher.example/", "http://xn--bcher-kva.example/"),
        ("http://a。b/", "http://a.b/"),
        ("http://a_b/", "http://a_b/"),
        ("http://[0:0:0:0:0:0:0:1]:8080/", "http://[::1]:8080/"),
        ("http://[2001:DB8::1]/", "http://[2001:db8::1]/"),
        ("http://h/%7Ea", "http://h/~a"),
        ("http://h/%2f%2F", "http://h/%2F%2F"),
        ("http://h/%41%5a%61%2d%5f", "http://h/AZa-_"),
        ("http://h/a/./b/../c", "http://h/a/c"),
        ("http://h/a/%2e%2E/b", "http://h/b"),
        ("http://h/..", "http://h/"),
        ("http://h/../../a", "http://h/a"),
        ("http://h/a/b/..", "http://h/a/"),
        ("http://h/a/.", "http://h/a/"),
        ("http://h/a//../b", "http://h/a/b"),
        ("http://h//a", "http://h//a"),
        ("http://h/...", "http://h/..."),
        ("http://h/.a/..b", "http://h/.a/..b"),
        ("http://h/?/../x", "http://h/?/../x"),
        ("http://h/100%", "http://h/100%25"),
        ("http://h/%zz%4", "http://h/%25zz%254"),
        ("http://h/a b\u{e9}", "http://h/a%20b%C3%A9"),
        ("http://h/[]\\^|`{}\"<>", "http://h/%5B%5D%5C%5E%7C%60%7B%7D%22%3C%3E"),
        ("http://h/!$&'()*+,;=:@", "http://h/!$&'()*+,;=:@"),
        ("http://h/?a=/?[", "http://h/?a=/?%5B"),
        ("http://h/A", "http://h/A"),
        ("http://h/%252f", "http://h/%252f"),
        ("http://h/a@b", "http://h/a@b"),
        ("http://h/a@@v", "http://h/a@@v"),
        ("http://h/a@@@v", "http://h/a@@@v"),
        ("http://h/a@@@@v", "http://h/a%40%40@@v"),
        ("http://h@@v", "http://h/@@v"),
        ("http://h/a@@x@@y", "http://h/a@@x%40%40y"),
        ("http://h/a@@x y%3b%", "http://h/a@@x%20y%3B%25"),
        ("http://h/a#f@@v", "http://h/a@@v"),
        ("http://h/a@@v#w", "http://h/a@@v#w"),
    ] {
        assert_eq!(canon(text), expected, "{text}");
    }
}

#[test]
fn a_clients_at_signs_are_never_a_variation() {
    let key = Key::from_url(b"http://h/p@@m").unwrap();
    assert_eq!(key.to_string(), "http://h/p%40%40m");
    assert_eq!(key.as_ref().variation(), None);
    assert_ne!(key, Key::from_url(b"http://h/p").unwrap().with_variation(b"m").unwrap());
    assert_eq!(Key::from_parts(b"http", b"h", b"/p@@@m?a@@").unwrap().to_string(), "http://h/p%40%40%40m?a%40%40");
    // One that ends in a single `@` keeps it, and its variation is still told apart.
    let key = Key::from_url(b"http://h/p@").unwrap().with_variation(b"m").unwrap();
    assert_eq!((key.as_ref().url(), key.as_ref().variation()), (&b"http://h/p@"[..], Some(&b"m"[..])));
    assert_eq!(Key::parse(key.as_ref().text()).unwrap(), key);
}

#[test]
fn refusals_name_place_and_limit() {
    for (text, position) in [
        ("", 0),
        ("h/p", 0),
        ("ftp://h/", 0),
        ("http:/h/", 0),
        ("http://", 7),
        ("http:///a", 7),
        ("http://./a", 7),
        ("http://a..b/", 7),
        ("http://a../", 7),
        ("http://u:p@h/", 10),
        ("http://a b/", 8),
        ("http://a*b/", 8),
        ("http://h%/", 8),
        ("http://h%00/", 8),
        ("http://h:65536/", 9),
        ("http://h:8a/", 9),
        ("http://h:+1/", 9),
        ("http://h:99999999999999999999/", 9),
        ("http://[::1/", 7),
        ("http://[::g]/", 7),
        ("http://::1/", 7),
        ("http://[::1%25eth0]/", 7),
        ("http://h/a@@", 12),
        ("http://xn--a/", 7),
    ] {
        let error = Key::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.position(), Some(position), "{text}: {error}");
    }
    assert_eq!(Key::parse_strict(b"http://h/a%zz").unwrap_err().position(), Some(10));
    assert_eq!(Key::parse_strict(b"http://h/a?b%").unwrap_err().position(), Some(12));
    assert!(Key::parse_strict(b"http://h/%").unwrap_err().to_string().contains("at byte 9"));
    assert_eq!(Key::parse_strict(b"http://h/@@a%").unwrap_err().position(), Some(12));
    assert!(Key::from_parts(b"http", b"h", b"*").is_err());
    assert!(Key::from_parts(b"http", b"", b"/").is_err());
    assert!(Key::from_parts(b"http", b"h/x", b"/").is_err());
    let host = "a.".repeat(127);
    assert_eq!(Key::parse(format!("http://{host}/").as_bytes()).unwrap().as_ref().host().len(), 253);
    let error = Key::parse(format!("http://{host}b/").as_bytes()).unwrap_err();
    assert_eq!(error.limit(), Some(("host bytes", 253)));
}

#[test]
fn the_longest_key() {
    let fits = format!("http://h/{}", "a".repeat(MAX_KEY - 9));
    let key = Key::parse(fits.as_bytes()).unwrap();
    assert_eq!(key.as_ref().text().len(), MAX_KEY);
    assert!(key.with_variation(b"v").is_err());
    let error = Key::parse(format!("{fits}a").as_bytes()).unwrap_err();
    assert_eq!(error.limit(), Some(("key bytes", 8192)));
    // It is the canonical form that counts.
    assert!(Key::parse(format!("http://h/{}", "/.".repeat(100_000)).as_bytes()).is_ok());
    assert!(Key::parse(format!("http://h/{}", " ".repeat(4000)).as_bytes()).is_err());
}

#[test]
fn parts() {
    let key = Key::parse(b"https://[::1]:8443/d/a.jpg?x=1@@device=tablet").unwrap();
    let key = key.as_ref();
    assert_eq!(key.scheme(), b"https");
    assert_eq!(key.host(), b"[::1]");
    assert_eq!(key.authority(), b"[::1]:8443");
    assert_eq!(key.port(), 8443);
    assert_eq!(key.path(), b"/d/a.jpg");
    assert_eq!(key.query(), Some(&b"x=1"[..]));
    assert_eq!(key.url(), b"https://[::1]:8443/d/a.jpg?x=1");
    assert_eq!(key.variation(), Some(&b"device=tablet"[..]));
    assert_eq!(KeyRef::from_stored(key.text(), key.layout()), key);
    let key = Key::parse(b"https://h/?").unwrap();
    assert_eq!((key.as_ref().port(), key.as_ref().query()), (443, Some(&b""[..])));
    assert_eq!(Key::parse(b"http://h/").unwrap().as_ref().query(), None);
}

#[test]
fn any_bytes_give_a_fixed_point_or_an_error() {
    // Small deterministic generator over an alphabet of the bytes that matter.
    let alphabet = b"/.%2eEf@?#&=aA~*[ \x00\xff:";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut text = b"http://h/".to_vec();
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]);
        }
        for key in [Key::parse(&text), Key::from_url(&text)].into_iter().flatten() {
            assert_eq!(Key::parse(key.as_ref().text()).unwrap(), key, "{}", text.escape_ascii());
            assert!(memchr::memmem::find(key.as_ref().url(), b"@@").is_none());
        }
    }
}
