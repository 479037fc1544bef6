//! Ranges that ask for more than there is: an answer is never much longer than what is stored. What is answered to good ones is in `http.rs` and in
//! the middleware's `ranges.rs`.

use super::common::{Origin, Oust};

const LENGTH: usize = 64 << 10;

fn stored() -> (Origin, Oust) {
    let origin = Origin::start(|_, reply| {
        reply.send(200, &[("Cache-Control", "max-age=600"), ("Content-Type", "text/plain")], &"x".repeat(LENGTH));
    });
    let oust = Oust::before(&origin);
    oust.get("/p");
    (origin, oust)
}

#[test]
fn many_overlapping_and_tiny_ranges_are_bounded() {
    let (origin, oust) = stored();
    let list = |ranges: Vec<String>| format!("bytes={}", ranges.join(","));
    let cases = [
        ("overlapping (CVE-2011-3192)", list((0..1000).map(|n| format!("{n}-")).collect())),
        ("the same", list(vec!["0-".to_owned(); 1000])),
        ("the same few", list(vec!["0-".to_owned(); 3])),
        ("tiny", list((0..1000).map(|n| format!("{}-{}", n * 2, n * 2)).collect())),
        ("tiny, as many as may be", list((0..64).map(|n| format!("{}-{}", n * 2, n * 2)).collect())),
        ("backwards", list((0..64).rev().map(|n| format!("{}-{}", n * 100, n * 100 + 49)).collect())),
        ("suffixes", list((1..500).map(|n| format!("-{n}")).collect())),
        ("halves", "bytes=0-40000,20000-65535".to_owned()),
        ("numbers beyond 64 bits", "bytes=0-99999999999999999999999".to_owned()),
        ("behind the end", "bytes=99999999999999999999-".to_owned()),
        ("negative", "bytes=-99999999999999999999".to_owned()),
        ("backwards bounds", "bytes=5-1".to_owned()),
        ("nothing", "bytes=".to_owned()),
        ("commas", format!("bytes={}", ",".repeat(2000))),
        ("another unit", "lines=0-1".to_owned()),
    ];
    for (name, range) in cases {
        let answer = oust.get_with("/p", &[("Range", &range)]);
        assert!([200, 206, 416].contains(&answer.status), "{name}: {}", answer.status);
        // 64 parts with a head of some hundred bytes each.
        assert!(answer.body.len() <= LENGTH + (64 * 256), "{name}: {} bytes", answer.body.len());
    }
    assert_eq!(origin.count(), 1, "an origin is never asked for ranges");
}

#[test]
fn a_range_is_never_asked_of_an_origin_nor_stored_for_the_whole() {
    let (origin, oust) = stored();
    for (number, range) in ["bytes=0-0", "bytes=0-0,5-5", "bytes=99999999-"].into_iter().enumerate() {
        let path = format!("/other{number}");
        oust.get_with(&path, &[("Range", range), ("If-Range", "\"x\"")]);
        oust.get_with(&path, &[("Range", range)]);
        let whole = oust.get(&path);
        assert_eq!((whole.status, whole.body.len()), (200, LENGTH), "{range}");
    }
    assert!(origin.seen().iter().all(|seen| seen.header("range").is_none() && seen.header("if-range").is_none()));
}
