//! RFC 9111 5.2: `Cache-Control` against a slow and simple reading of the same grammar.

use std::collections::HashMap;

use super::*;

/// Splits by a state per character, collects everything in maps, and looks directives up in the end.
fn slow(lines: &[String]) -> Directives {
    let mut all: Vec<(String, Option<String>)> = Vec::new();
    let mut malformed = false;
    for line in lines {
        let mut members = vec![String::new()];
        let (mut quoted, mut escaped) = (false, false);
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ => {}
            }
            if c == ',' && !quoted {
                members.push(String::new());
            } else {
                members.last_mut().unwrap().push(c);
            }
        }
        malformed |= quoted;
        for member in members {
            let member = member.trim_matches([' ', '\t']);
            match member.split_once('=') {
                Some((name, argument)) => all.push((name.to_lowercase(), Some(argument.to_owned()))),
                None => all.push((member.to_lowercase(), None)),
            }
        }
    }
    let trimmed = |name: &str| name.trim_matches([' ', '\t']).to_owned();
    let bare = |text: &str| {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        inner.unwrap_or(text).to_owned()
    };
    let mut first: HashMap<String, (bool, Option<String>)> = HashMap::new();
    for (name, argument) in &all {
        first.entry(trimmed(name)).or_insert_with(|| (trimmed(name) == *name, argument.as_deref().map(bare)));
    }
    let number = |name: &str, invalid: u32| {
        first.get(name).map(|(clean, text)| {
            let digits =
                text.as_deref().filter(|text| *clean && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
            digits.map_or(invalid, |digits| digits.parse::<u128>().unwrap_or(u128::MAX).min(MAX_DELTA.into()) as u32)
        })
    };
    let lists = |name: &str| {
        let (mut some_bare, mut some_listed) = (false, false);
        for (_, argument) in all.iter().filter(|(other, _)| trimmed(other) == name) {
            let names: Vec<String> = argument
                .iter()
                .flat_map(|text| bare(text).split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>())
                .filter(|name| !name.is_empty())
                .collect();
            if !names.is_empty() && names.iter().all(|name| HeaderName::from_bytes(name.as_bytes()).is_ok()) {
                some_listed = true;
            } else {
                some_bare = true;
            }
        }
        (some_bare, some_listed)
    };
    let on = |name: &str| first.contains_key(name);
    Directives {
        max_age: number("max-age", 0),
        s_maxage: number("s-maxage", 0),
        min_fresh: number("min-fresh", MAX_DELTA),
        max_stale: number("max-stale", 0).map(|limit| first["max-stale"].1.as_ref().map(|_| limit)),
        stale_while_revalidate: number("stale-while-revalidate", 0),
        stale_if_error: number("stale-if-error", 0),
        no_store: on("no-store"),
        no_cache: lists("no-cache").0,
        no_cache_fields: lists("no-cache").1,
        private: lists("private").0,
        private_fields: lists("private").1,
        public: on("public"),
        must_revalidate: on("must-revalidate"),
        proxy_revalidate: on("proxy-revalidate"),
        must_understand: on("must-understand"),
        no_transform: on("no-transform"),
        immutable: on("immutable"),
        only_if_cached: on("only-if-cached"),
        malformed,
    }
}

const PIECES: [&str; 50] = [
    "max-age",
    "s-maxage",
    "min-fresh",
    "max-stale",
    "stale-while-revalidate",
    "stale-if-error",
    "no-store",
    "no-cache",
    "private",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "no-transform",
    "immutable",
    "only-if-cached",
    "Max-Age",
    "NO-STORE",
    "=",
    "=",
    "=",
    "=",
    ",",
    ",",
    ",",
    ",",
    ", ",
    " ",
    "\t",
    "\"",
    "\"",
    "\"",
    "\\",
    "0",
    "1",
    "10",
    "4294967296",
    "99999999999999999999999999999999999999999",
    "-1",
    "1.5",
    "x",
    "a",
    "set-cookie",
    "foo",
    "é",
    "=10,",
    "=\"10\",",
    "=\"a, b\",",
    "=\"a,",
    "(",
];

#[test]
fn reads_as_the_slow_reading_does() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let lines: Vec<String> = (0..1 + random.below(3)).map(|_| random.text(&PIECES, 14)).collect();
        let values: Vec<HeaderValue> =
            lines.iter().map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap()).collect();
        assert_eq!(Directives::parse(&values), slow(&lines), "{lines:?}");
    }
}

#[test]
fn duplicates_and_forms_with_names() {
    for (section, text, want) in [
        ("4.2.1", "max-age=1, max-age=2", Directives { max_age: Some(1), ..Directives::default() }),
        ("5.2.2.4", "no-cache", Directives { no_cache: true, ..Directives::default() }),
        ("5.2.2.4", "no-cache=\"a, b\"", Directives { no_cache_fields: true, ..Directives::default() }),
        ("5.2.2.4", "no-cache=a", Directives { no_cache_fields: true, ..Directives::default() }),
        ("5.2.2.4", "no-cache=", Directives { no_cache: true, ..Directives::default() }),
        ("5.2.2.4", "no-cache=\" , \"", Directives { no_cache: true, ..Directives::default() }),
        (
            "5.2.2.4",
            "no-cache=\"a\", no-cache",
            Directives { no_cache: true, no_cache_fields: true, ..Directives::default() },
        ),
        ("5.2.2.7", "private=\"a\\\"\"", Directives { private: true, ..Directives::default() }),
        ("5.2.1.2", "max-stale", Directives { max_stale: Some(None), ..Directives::default() }),
        ("5.2.1.2", "max-stale=7", Directives { max_stale: Some(Some(7)), ..Directives::default() }),
        ("5.2.1.2", "max-stale=", Directives { max_stale: Some(Some(0)), ..Directives::default() }),
        ("5.2.2.6", "no-transform", Directives { no_transform: true, ..Directives::default() }),
        ("5.2.2.3", "Must-Understand", Directives { must_understand: true, ..Directives::default() }),
        ("8246", "immutable", Directives { immutable: true, ..Directives::default() }),
        ("5.2", "no-store-x, xno-store, 'no-store'", Directives::default()),
        ("5.2", "x=\"no-store", Directives { malformed: true, ..Directives::default() }),
    ] {
        assert_eq!(Directives::parse(&[HeaderValue::from_str(text).unwrap()]), want, "{section} {text}");
    }
}
