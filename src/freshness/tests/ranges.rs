//! RFC 9110 14, 13.1.5: ranges.

use std::ops::Range;

use super::super::range::*;
use super::*;

fn selected(request: Fields<'_>, response: Fields<'_>, length: u64) -> Selection {
    select(&headers(request), StatusCode::OK, &headers(response), length)
}

#[test]
fn ranges_of_ten_bytes() {
    use Selection::{Many, One, Unsatisfiable, Whole};
    for (section, text, want) in [
        ("14.1.2", "bytes=0-1", One(0..2)),
        ("14.1.2", "BYTES=0-1", One(0..2)),
        ("14.1.2", "bytes=1-", One(1..10)),
        ("14.1.2", "bytes=0-", One(0..10)),
        ("14.1.2", "bytes=-1", One(9..10)),
        ("14.1.2", "bytes=-10", One(0..10)),
        ("14.1.2", "bytes=-99", One(0..10)),
        ("14.1.2", "bytes=9-9", One(9..10)),
        ("14.1.2", "bytes=5-99", One(5..10)),
        ("14.1.2", "bytes=5-99999999999999999999999999", One(5..10)),
        ("14.1.2", "bytes=-99999999999999999999999999", One(0..10)),
        ("14.1.2", "bytes=0-18446744073709551615", One(0..10)),
        ("14.1.2", "bytes=10-", Unsatisfiable),
        ("14.1.2", "bytes=99999999999999999999999999-", Unsatisfiable),
        ("14.1.2", "bytes=-0", Unsatisfiable),
        ("14.1.2", "bytes=10-11, 12-", Unsatisfiable),
        ("14.1.2", "bytes=0-1, 20-30", One(0..2)),
        ("14.1.2", "bytes=, 0-1 ,,", One(0..2)),
        ("14.1.1", "bytes=2-1", Whole),
        ("14.1.1", "bytes=0-1, 2-1", Whole),
        ("14.1.1", "bytes=", Whole),
        ("14.1.1", "bytes=,", Whole),
        ("14.1.1", "bytes=-", Whole),
        ("14.1.1", "bytes=a-b", Whole),
        ("14.1.1", "bytes=0-1x", Whole),
        ("14.1.1", "bytes=+0-1", Whole),
        ("14.1.1", "bytes=0--1", Whole),
        ("14.1.1", "bytes =0-1", Whole),
        ("14.1.1", "bytes 0-1", Whole),
        ("14.1.1", "0-1", Whole),
        ("14.1.1", "", Whole),
        ("14.2", "lines=0-1", Whole),
        ("15.3.7.2", "bytes=0-1, 4-5", Many(vec![0..2, 4..6])),
        ("15.3.7.2", "bytes=4-5, 0-1", Many(vec![4..6, 0..2])),
        ("15.3.7.2", "bytes=0-1, 2-3", One(0..4)),
        ("15.3.7.2", "bytes=0-5, 3-8", One(0..9)),
        ("15.3.7.2", "bytes=0-1, 4-5, 1-4", One(0..6)),
        ("15.3.7.2", "bytes=8-, 0-0, -1", Many(vec![8..10, 0..1])),
        ("15.3.7.2", "bytes=0-1,4-5,2-2,3-3,8-8", Many(vec![0..6, 8..9])),
        ("17.15", "bytes=0-,0-,0-", One(0..10)),
        ("17.15", "bytes=0-,0-,0-,0-", Whole),
    ] {
        assert_eq!(selected(&[("range", text)], &[], 10), want, "{section} {text}");
    }
}

#[test]
fn floods_get_the_whole() {
    let many = |count: usize| (0..count).map(|n| format!("{}-{}", n * 3, n * 3)).collect::<Vec<_>>().join(",");
    let range = format!("bytes={}", many(MAX_RANGES));
    assert!(matches!(selected(&[("range", &range)], &[], 9999), Selection::Many(ranges) if ranges.len() == MAX_RANGES));
    let range = format!("bytes={}", many(MAX_RANGES + 1));
    assert_eq!(selected(&[("range", &range)], &[], 9999), Selection::Whole);
}

#[test]
fn what_has_no_ranges() {
    let range = headers(&[("range", "bytes=0-1")]);
    assert_eq!(select(&range, StatusCode::OK, &HeaderMap::new(), 0), Selection::Whole);
    assert_eq!(select(&range, StatusCode::NOT_FOUND, &HeaderMap::new(), 10), Selection::Whole);
    assert_eq!(selected(&[("range", "bytes=0-1")], &[("content-range", "bytes 0-9/20")], 10), Selection::Whole);
    assert_eq!(selected(&[("range", "bytes=0-1"), ("range", "bytes=2-3")], &[], 10), Selection::Whole);
    assert_eq!(selected(&[], &[], 10), Selection::Whole);
}

#[test]
fn a_part_is_of_the_representation_the_client_means() {
    const OLD: &str = "Sun, 06 Nov 1994 08:00:00 GMT";
    let strong: Fields<'_> = &[("etag", "\"a\""), ("last-modified", OLD), ("date", NOW)];
    for (section, conditions, response, part) in [
        ("13.1.5", &[("if-range", "\"a\"")][..], strong, true),
        ("13.1.5", &[("if-range", "\"b\"")], strong, false),
        ("13.1.5", &[("if-range", "W/\"a\"")], strong, false),
        ("13.1.5", &[("if-range", "W/\"a\"")], &[("etag", "W/\"a\"")], false),
        ("13.1.5", &[("if-range", "\"a\"")], &[("etag", "W/\"a\"")], false),
        ("13.1.5", &[("if-range", "\"a\""), ("if-range", "\"b\"")], strong, false),
        ("13.1.5", &[("if-range", OLD)], strong, true),
        ("13.1.5", &[("if-range", "Sunday, 06-Nov-94 08:00:00 GMT")], strong, true),
        ("13.1.5", &[("if-range", NOW)], strong, false),
        ("13.1.5", &[("if-range", "a")], strong, false),
        ("13.1.5", &[("if-range", "")], strong, false),
        ("13.1.5", &[("if-range", "\"a\"")], &[], false),
        // Changed in the second it was sent in: the date may stand for two versions.
        ("8.8.2.2", &[("if-range", NOW)], &[("last-modified", NOW), ("date", NOW)], false),
        ("8.8.2.2", &[("if-range", OLD)], &[("last-modified", OLD)], false),
        ("13.1.1", &[("if-match", "\"x\", \"a\"")], strong, true),
        ("13.1.1", &[("if-match", "*")], strong, true),
        ("13.1.1", &[("if-match", "\"x\"")], strong, false),
        ("13.1.1", &[("if-match", "W/\"a\"")], strong, false),
        ("13.1.1", &[("if-match", "\"a\"")], &[], false),
        ("13.1.4", &[("if-unmodified-since", OLD)], strong, true),
        ("13.1.4", &[("if-unmodified-since", NOW)], strong, true),
        ("13.1.4", &[("if-unmodified-since", "Sun, 06 Nov 1994 07:00:00 GMT")], strong, false),
        ("13.1.4", &[("if-unmodified-since", "x")], strong, false),
        ("13.1.4", &[("if-unmodified-since", OLD)], &[], false),
        ("14.2", &[], &[], true),
    ] {
        let mut request = conditions.to_vec();
        request.push(("range", "bytes=2-3"));
        let want = if part { Selection::One(2..4) } else { Selection::Whole };
        assert_eq!(selected(&request, response, 10), want, "{section} {conditions:?} {response:?}");
    }
}

#[test]
fn any_selection_is_in_order_and_within_bounds() {
    let mut random = Random(3);
    let pieces = ["0", "1", "3", "7", "12", "19", "20", "99", "-", "-", "-", ",", ",", ",", " "];
    for _ in 0..15_000 {
        let text = format!("bytes={}", random.text(&pieces, 20));
        let length = 1 + random.below(30) as u64;
        let asked = naive(&text, length);
        let covered = |ranges: &[Range<u64>]| {
            let mut bytes: Vec<u64> = ranges.iter().cloned().flatten().collect();
            let count = bytes.len();
            bytes.sort_unstable();
            bytes.dedup();
            assert_eq!(bytes.len(), count, "overlap in {text}");
            bytes
        };
        match selected(&[("range", &text)], &[], length) {
            Selection::Whole => {}
            Selection::Unsatisfiable => assert_eq!(asked, Some(vec![]), "{text} {length}"),
            Selection::One(range) => assert_eq!(Some(covered(&[range])), asked, "{text} {length}"),
            Selection::Many(ranges) => {
                assert!(ranges.len() > 1);
                assert_eq!(Some(covered(&ranges)), asked, "{text} {length}");
            }
        }
    }
}

/// The bytes asked for, one by one; `None` if the field is no such list.
fn naive(text: &str, length: u64) -> Option<Vec<u64>> {
    let mut bytes: Vec<u64> = Vec::new();
    for member in text.strip_prefix("bytes=")?.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        let (first, last) = member.split_once('-')?;
        for digits in [first, last] {
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
        }
        let number = |digits: &str| (!digits.is_empty()).then(|| digits.parse::<u128>().unwrap_or(u128::MAX));
        let (first, last) = (number(first), number(last));
        match (first, last) {
            (None, None) => return None,
            (None, Some(suffix)) => bytes.extend((0..length).filter(|at| u128::from(length - at) <= suffix)),
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), last) => bytes.extend((0..length).filter(|at| {
                let at = u128::from(*at);
                at >= first && last.is_none_or(|last| at <= last)
            })),
        }
    }
    bytes.sort_unstable();
    bytes.dedup();
    Some(bytes)
}

#[test]
fn multipart_bodies_are_as_long_as_they_say() {
    let content = b"0123456789";
    let multipart = Multipart::new(vec![0..2, 5..9], 10, Some(&HeaderValue::from_static("text/plain")));
    let mut body = Vec::new();
    for part in multipart.parts() {
        body.extend_from_slice(&part.head);
        body.extend_from_slice(&content[part.range.start as usize..part.range.end as usize]);
    }
    body.extend_from_slice(multipart.end());
    assert_eq!(body.len() as u64, multipart.total_length());
    let boundary = multipart.boundary();
    assert_eq!(multipart.content_type(), format!("multipart/byteranges; boundary={boundary}"));
    let wanted = format!(
        "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
         --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-8/10\r\n\r\n5678\r\n\
         --{boundary}--\r\n"
    );
    assert_eq!(String::from_utf8(body).unwrap(), wanted);
    assert_ne!(Multipart::new(vec![], 10, None).boundary(), boundary);
    assert_eq!(content_range(&(0..10), 10), "bytes 0-9/10");
    assert_eq!(
        content_range(&(u64::MAX - 1..u64::MAX), u64::MAX),
        "bytes 18446744073709551614-18446744073709551614/18446744073709551615"
    );
    assert_eq!(unsatisfied(10), "bytes */10");
}
