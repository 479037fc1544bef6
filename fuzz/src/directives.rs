//! Cache directives: the engine's reading against a slow and simple one.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use oust::freshness::{Assessment, Directives, Exchange, MAX_DELTA, Policy, strip_unstorable};

/// Any lines as `Cache-Control`.
pub fn directives(data: &[u8]) {
    let lines = lines(data);
    let naive = naive(&lines);
    let got = Directives::parse(&lines);
    assert_eq!(got, naive, "{lines:?}");

    // What a policy makes of them, whatever else is there.
    let mut response = HeaderMap::new();
    for line in &lines {
        response.append("cache-control", line.clone());
        response.append("expires", line.clone());
        response.append("age", line.clone());
        response.append("a", line.clone());
    }
    strip_unstorable(&mut response);
    let assessment = Policy::new().assess(&Exchange {
        method: &Method::GET,
        request: &HeaderMap::new(),
        status: StatusCode::OK,
        response: &response,
        received: std::time::SystemTime::UNIX_EPOCH,
        delay: std::time::Duration::MAX,
    });
    let barred = naive.malformed || naive.private || (naive.no_store && !naive.must_understand);
    if let Assessment::Store(freshness) = assessment {
        assert!(!barred, "stored in spite of {lines:?}");
        assert!(freshness.lifetime.as_secs() <= MAX_DELTA.into());
        assert!(freshness.age.as_secs() <= MAX_DELTA.into());
    }
}

/// The lines of a text that a header field can hold. What begins with a byte over 127 is made of words instead: blind bytes seldom are.
pub(crate) fn lines(data: &[u8]) -> Vec<HeaderValue> {
    let words: Vec<u8>;
    let text = match data.split_first() {
        Some((first @ 128.., choices)) => {
            // Short texts are well-formed often enough.
            words = choices
                .iter()
                .take(usize::from(first - 127) % 12 + 1)
                .flat_map(|&byte| WORDS[usize::from(byte) % WORDS.len()].bytes())
                .collect();
            &words
        }
        _ => data,
    };
    text.split(|&byte| byte == b'\n').take(8).filter_map(|line| HeaderValue::from_bytes(line).ok()).collect()
}

const WORDS: [&str; 64] = [
    "max-age",
    "max-age=60",
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
    "=",
    "=",
    "=",
    "=",
    ",",
    ",",
    ",",
    ", ",
    ", ",
    " ",
    "\t",
    "\"",
    "\"",
    "\\",
    "0",
    "1",
    "10",
    "4294967296",
    "999999999999999",
    "-1",
    "1.5",
    "x",
    "set-cookie",
    "a",
    "=10",
    "=\"10\"",
    "=\"a, b\"",
    "=\"a",
    "(",
    ")",
    "(a \"b\";c 1)",
    ":YQ==:",
    ":YQ:",
    ":",
    "?0",
    "?1",
    "@1",
    "%\"%c3%bc\"",
    "%\"",
    ";",
    ";p",
    ";p=1",
    "*",
    "\n",
    "\"g\"",
    ", \"h\"",
];

type Members = Vec<(String, Option<String>)>;

fn naive(lines: &[HeaderValue]) -> Directives {
    let mut directives = Directives::default();
    let mut all: Members = Vec::new();
    for line in lines {
        let text: String = line.as_bytes().iter().map(|&byte| char::from(byte)).collect();
        let (members, open) = split(&text);
        directives.malformed |= open;
        for member in members {
            let member = member.trim_matches([' ', '\t']);
            all.push(match member.split_once('=') {
                Some((name, argument)) => (name.to_ascii_lowercase(), Some(argument.to_owned())),
                None => (member.to_ascii_lowercase(), None),
            });
        }
    }
    let first = |name: &str| all.iter().find(|(other, _)| trimmed(other) == name);
    let number = |name: &str, invalid: u32| {
        let (spelled, argument) = first(name)?;
        let digits = argument.as_deref().map(bare).filter(|text| {
            trimmed(spelled) == spelled && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
        });
        Some(digits.map_or(invalid, |digits| {
            let significant = digits.trim_start_matches('0');
            let value = if significant.len() > 12 { u64::MAX } else { significant.parse().unwrap_or(0) };
            u32::try_from(value).unwrap_or(u32::MAX).min(MAX_DELTA)
        }))
    };
    directives.max_age = number("max-age", 0);
    directives.s_maxage = number("s-maxage", 0);
    directives.min_fresh = number("min-fresh", MAX_DELTA);
    directives.stale_while_revalidate = number("stale-while-revalidate", 0);
    directives.stale_if_error = number("stale-if-error", 0);
    directives.max_stale =
        first("max-stale").map(|(_, argument)| argument.as_ref().and_then(|_| number("max-stale", 0)));
    let on = |name: &str| first(name).is_some();
    directives.no_store = on("no-store");
    directives.public = on("public");
    directives.must_revalidate = on("must-revalidate");
    directives.proxy_revalidate = on("proxy-revalidate");
    directives.must_understand = on("must-understand");
    directives.no_transform = on("no-transform");
    directives.immutable = on("immutable");
    directives.only_if_cached = on("only-if-cached");
    for (name, argument) in &all {
        let names: Vec<&str> = argument.iter().flat_map(|text| bare(text).split(',')).map(trimmed).collect();
        let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
        let listed = !names.is_empty() && names.iter().all(|name| HeaderName::from_bytes(name.as_bytes()).is_ok());
        match (trimmed(name), listed) {
            ("no-cache", true) => directives.no_cache_fields = true,
            ("no-cache", false) => directives.no_cache = true,
            ("private", true) => directives.private_fields = true,
            ("private", false) => directives.private = true,
            _ => {}
        }
    }
    directives
}

/// Splits at commas outside quotes; whether a quote stays open.
fn split(text: &str) -> (Vec<String>, bool) {
    let mut members = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        if c == ',' && !quoted {
            members.push(String::new());
        } else if let Some(member) = members.last_mut() {
            member.push(c);
        }
    }
    (members, quoted)
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn bare(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}
