//! Ranges: what is selected, and the body that is sent, against a naive reading of RFC 9110 14.
//!
//! The naive reading asks of each byte whether it was asked for. The engine may send the whole instead where more ranges overlap than it takes
//! (RFC 9110 17.15); it has to where the field, or the condition beside it, cannot be read or does not hold.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use oust::freshness::range::{MAX_RANGES, Multipart, Selection, content_range, select, unsatisfied};
use oust_reference::Entropy;

const WORDS: [&str; 34] = [
    "bytes=",
    "bytes",
    "Bytes=",
    "=",
    "-",
    ",",
    ", ",
    "\t",
    " ",
    "0",
    "1",
    "2",
    "5",
    "9",
    "10",
    "19",
    "20",
    "21",
    "0-0",
    "0-",
    "-1",
    "-0",
    "5-9",
    "3-3",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "0-1,",
    "2-3,",
    "0-,",
    "items=",
    "+",
    "x",
    "00",
];
const TAGS: [&str; 12] = [
    "\"a\"",
    "W/\"a\"",
    "\"b\"",
    "a",
    "\"a",
    "*",
    "\"a\", \"b\"",
    "b",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:38 GMT",
    "Sun Nov  6 08:49:37 1994",
    "0",
];
const MAX_BODY: usize = 300;
/// Delimiter, type and range of a part.
const MAX_PART_HEAD: u64 = 400;

/// A request and a representation.
pub fn ranges(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    let length = match entropy.below(8) {
        0 => u64::MAX - u64::from(entropy.byte()),
        1 => 1 << (entropy.byte() % 64),
        _ => u64::from(entropy.byte()),
    };
    let mut request = HeaderMap::new();
    let mut response = HeaderMap::new();
    let add = |fields: &mut HeaderMap, name: HeaderName, text: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(text) {
            fields.append(name, value);
        }
    };
    let conditional = entropy.one_in(3);
    if conditional {
        for (of_request, name) in [
            (true, header::IF_RANGE),
            (true, header::IF_RANGE),
            (true, header::IF_MATCH),
            (false, header::ETAG),
            (false, header::LAST_MODIFIED),
            (false, header::DATE),
            (false, header::CONTENT_RANGE),
        ] {
            if entropy.one_in(3) {
                let fields = if of_request { &mut request } else { &mut response };
                add(fields, name, entropy.pick(&TAGS).as_bytes());
            }
        }
    }
    if entropy.one_in(2) {
        add(&mut response, header::CONTENT_TYPE, b"text/plain");
    }
    let field: Vec<u8> = match entropy.below(4) {
        0 => entropy.rest().to_vec(),
        1 => [b"bytes=", entropy.rest()].concat(),
        2 => {
            // Many small ones.
            let step = 1 + entropy.below(7);
            let many = (0..entropy.below(80)).map(|at| format!("{}-{},", at * step, at * step + entropy.below(3)));
            format!("bytes={}", many.collect::<String>()).into_bytes()
        }
        _ => {
            let words = (0..entropy.below(16)).map(|_| entropy.pick(&WORDS)).collect::<String>();
            if words.contains('=') { words.into_bytes() } else { format!("bytes={words}").into_bytes() }
        }
    };
    add(&mut request, header::RANGE, &field);
    if !request.contains_key(header::RANGE) {
        return;
    }
    check(&request, &response, length);
}

fn check(request: &HeaderMap, response: &HeaderMap, length: u64) {
    let selection = select(request, StatusCode::OK, response, length);
    assert_eq!(select(request, StatusCode::NOT_FOUND, response, length), Selection::Whole);
    let range = request.get(header::RANGE).map(HeaderValue::as_bytes).unwrap_or_default();
    let asked = if length == 0 || !means_this(request, response) { None } else { naive(range, length) };
    let told = || format!("{request:?} {response:?} {length}: {selection:?}");
    let Some(asked) = asked else {
        assert_eq!(selection, Selection::Whole, "{}", told());
        return;
    };
    let parts = match &selection {
        Selection::Whole => {
            assert!(overlaps(&asked) > 2, "nothing speaks for the whole: {}", told());
            return;
        }
        Selection::Unsatisfiable => {
            assert!(asked.is_empty(), "{}", told());
            assert_eq!(unsatisfied(length), format!("bytes */{length}"));
            return;
        }
        Selection::One(part) => vec![part.clone()],
        Selection::Many(parts) => parts.clone(),
    };
    assert!(
        !parts.is_empty()
            && parts.len() <= MAX_RANGES
            && matches!((&selection, parts.len()), (Selection::One(_), 1) | (Selection::Many(_), 2..))
    );
    for (at, part) in parts.iter().enumerate() {
        assert!(part.start < part.end && part.end <= length, "{}", told());
        for other in &parts[..at] {
            assert!(part.end < other.start || other.end < part.start, "{}", told());
        }
    }
    // The same bytes: both unions have the same edges.
    let mut sorted: Vec<(u64, u64)> = parts.iter().map(|part| (part.start, part.end)).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, union(&asked), "{}", told());
    // In the order they were first asked for.
    let places: Vec<usize> = parts
        .iter()
        .filter_map(|part| asked.iter().position(|&(from, to)| part.start <= from && to <= part.end))
        .collect();
    assert!(places.is_sorted(), "{}", told());
    sent(parts, response, length);
}

/// Rebuilds what is sent and holds it against the body.
fn sent(parts: Vec<std::ops::Range<u64>>, response: &HeaderMap, length: u64) {
    let count = parts.len() as u64;
    let asked: u64 = parts.iter().map(|part| part.end - part.start).sum();
    let multipart = Multipart::new(parts, length, response.get(header::CONTENT_TYPE));
    assert!(multipart.total_length() <= asked.saturating_add((count + 1) * MAX_PART_HEAD), "a bomb");
    let Some(size) = usize::try_from(length).ok().filter(|&size| size <= MAX_BODY) else { return };
    let body: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    let slice = |range: &std::ops::Range<u64>| {
        let at = |edge: u64| usize::try_from(edge).unwrap_or(usize::MAX);
        &body[at(range.start)..at(range.end)]
    };
    let mut out = Vec::new();
    for part in multipart.parts() {
        out.extend_from_slice(&part.head);
        out.extend_from_slice(slice(&part.range));
    }
    out.extend_from_slice(multipart.end());
    assert_eq!(out.len() as u64, multipart.total_length());

    // As a client reads it (RFC 2046 5.1.1).
    let delimiter = [b"--", multipart.boundary().as_bytes()].concat();
    let kind = multipart.content_type();
    assert!(kind.to_str().is_ok_and(|kind| kind.ends_with(multipart.boundary())));
    let mut rest = out.as_slice();
    for part in multipart.parts() {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        rest = rest.strip_prefix(delimiter.as_slice()).expect("a delimiter");
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of a part's fields");
        let fields = rest[..end].escape_ascii().to_string();
        let range = content_range(&part.range, length);
        assert!(fields.contains(range.to_str().unwrap_or("?")), "{fields}");
        let bytes = slice(&part.range);
        rest = rest[end + 4..].strip_prefix(bytes).expect("the bytes of the part");
    }
    assert_eq!(rest, [b"\r\n".as_slice(), &delimiter, b"--\r\n"].concat());
}

/// Whether the conditions beside the range hold (RFC 9110 13.1.1, 13.1.5), read naively.
fn means_this(request: &HeaderMap, response: &HeaderMap) -> bool {
    let text = |fields: &HeaderMap, name: HeaderName| {
        let mut lines = fields.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let first = lines.next();
        let differ = lines.any(|line| Some(&line) != first.as_ref());
        (first, differ)
    };
    if response.contains_key(header::CONTENT_RANGE) || text(request, header::RANGE).1 {
        return false;
    }
    let etag = text(response, header::ETAG).0;
    let date = |text: Option<String>| text.and_then(|text| httpdate::parse_http_date(&text).ok());
    if let (Some(wanted), differ) = text(request, header::IF_RANGE) {
        let holds = if wanted.starts_with('"') || wanted.starts_with("W/") {
            !wanted.starts_with("W/") && etag.as_deref() == Some(wanted.as_str())
        } else {
            let (modified, sent) =
                (date(text(response, header::LAST_MODIFIED).0), date(text(response, header::DATE).0));
            matches!((date(Some(wanted)), modified, sent), (Some(w), Some(m), Some(s)) if w == m && m < s)
        };
        if differ || !holds {
            return false;
        }
    }
    match text(request, header::IF_MATCH).0 {
        None => true,
        Some(list) if list == "*" => true,
        // A tag that does not end is none.
        Some(list) if list.matches('"').count() % 2 == 1 => false,
        Some(list) => etag.is_some_and(|etag| !etag.starts_with("W/") && list.split(", ").any(|tag| tag == etag)),
    }
}

/// The ranges that are there, each with its end; none where the field counts for nothing.
fn naive(field: &[u8], length: u64) -> Option<Vec<(u64, u64)>> {
    let text: String = field.iter().map(|&byte| char::from(byte)).collect();
    let (unit, set) = text.trim_matches([' ', '\t']).split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let specs: Vec<&str> =
        set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|s| !s.is_empty()).collect();
    if specs.is_empty() || specs.len() > MAX_RANGES {
        return None;
    }
    let number = |digits: &str| {
        let good = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        // Beyond any length all are the same.
        good.then(|| {
            digits.trim_start_matches('0').parse::<u128>().unwrap_or(if digits.bytes().all(|d| d == b'0') {
                0
            } else {
                u128::MAX
            })
        })
    };
    let length = u128::from(length);
    let mut ranges = Vec::new();
    for spec in specs {
        let (first, last) = spec.split_once('-')?;
        let (from, to) = match (first.is_empty(), last.is_empty()) {
            (true, _) => (length.saturating_sub(number(last)?), length),
            (false, true) => (number(first)?, length),
            (false, false) => {
                // Both beyond 64 bits: which is larger is nobody's matter, none of either is there.
                let (first, last) = (number(first)?.min(u64::MAX.into()), number(last)?.min(u64::MAX.into()));
                if last < first {
                    return None;
                }
                (first, (last + 1).min(length))
            }
        };
        if let (Ok(from), Ok(to), true) = (u64::try_from(from), u64::try_from(to), from < to) {
            ranges.push((from, to));
        }
    }
    Some(ranges)
}

/// How many pairs have a byte in common.
fn overlaps(ranges: &[(u64, u64)]) -> usize {
    let pairs = ranges.iter().enumerate().flat_map(|(at, one)| ranges[..at].iter().map(move |other| (one, other)));
    pairs.filter(|(one, other)| one.0 < other.1 && other.0 < one.1).count()
}

/// The bytes of all of them, as ranges that neither overlap nor touch.
fn union(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut out: Vec<(u64, u64)> = Vec::new();
    for (from, to) in sorted {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}
