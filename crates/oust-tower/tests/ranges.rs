//! Ranges, byte for byte, of what is stored and of what is in flight.

mod common;

use common::*;

const BODY: &str = "0123456789";
const FIELDS: &[(&str, &str)] =
    &[("cache-control", "max-age=60"), ("etag", "\"v1\""), ("content-type", "text/plain"), ("content-length", "10")];

/// What a request for ranges gets: status, body or the parts of it, `Content-Range`.
fn check(full: &Full, range: &str) {
    let expected: &[(&str, &str)] = match range {
        "bytes=0-0" => &[("0", "0-0")],
        "bytes=2-4" => &[("234", "2-4")],
        "bytes=7-" => &[("789", "7-9")],
        "bytes=7-99" => &[("789", "7-9")],
        "bytes=-3" => &[("789", "7-9")],
        "bytes=-99" => &[(BODY, "0-9")],
        "bytes=0-1,4-5" => &[("01", "0-1"), ("45", "4-5")],
        "bytes=-2,0-1" => &[("89", "8-9"), ("01", "0-1")],
        "bytes=10-" | "bytes=-0" => {
            assert_eq!((full.status, full.text()), (416, ""), "{range}");
            assert_eq!(full.header("content-range"), Some("bytes */10"));
            return;
        }
        _ => {
            assert_eq!((full.status, full.text()), (200, BODY), "{range}");
            assert_eq!(full.header("content-range"), None);
            return;
        }
    };
    assert_eq!(full.status, 206, "{range}");
    assert_eq!(full.header("content-length"), Some(full.text().len().to_string().as_str()));
    assert_eq!(full.header("etag"), Some("\"v1\""));
    if let [(bytes, at)] = expected {
        assert_eq!(full.text(), *bytes, "{range}");
        assert_eq!(full.header("content-range"), Some(format!("bytes {at}/10").as_str()));
        assert_eq!(full.header("content-type"), Some("text/plain"));
        return;
    }
    let boundary = full.header("content-type").and_then(|kind| kind.strip_prefix("multipart/byteranges; boundary="));
    let boundary = boundary.expect("a boundary");
    let mut body = String::new();
    for (n, (bytes, at)) in expected.iter().enumerate() {
        let before = if n == 0 { "" } else { "\r\n" };
        body +=
            &format!("{before}--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {at}/10\r\n\r\n{bytes}");
    }
    assert_eq!(full.text(), format!("{body}\r\n--{boundary}--\r\n"));
    assert_eq!(full.header("content-range"), None);
}

const RANGES: &[&str] = &[
    "bytes=0-0",
    "bytes=2-4",
    "bytes=7-",
    "bytes=7-99",
    "bytes=-3",
    "bytes=-99",
    "bytes=0-1,4-5",
    "bytes=-2,0-1",
    "bytes=10-",
    "bytes=-0",
    "bytes=4-2",
    "lines=1-2",
];

#[tokio::test]
async fn of_a_stored_response() {
    let mut rig = rig();
    rig.fill("/a", FIELDS, BODY).await;
    for range in RANGES {
        let full = rig.hit("/a", &[("range", range)]).await;
        check(&full, range);
        assert!(full.is_hit());
        assert_eq!(full.header("age").is_some(), full.status != 416);
    }
    let head = whole(rig.send("HEAD", "/a", &[("range", "bytes=2-4")], "")).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")), "ranges are for GET");
}

#[tokio::test]
async fn of_a_large_stored_response_in_chunks() {
    let mut rig = rig();
    let body: String = (0..20_000).map(|n| format!("{n:05}")).collect();
    let first = rig.get("/a", &[]);
    let writer = rig.asked().await.begin(200, FRESH, Some(body.len() as u64));
    for chunk in body.as_bytes().chunks(9_999) {
        writer.write(std::str::from_utf8(chunk).unwrap());
    }
    drop(writer);
    assert_eq!(whole(first).await.text(), body);
    for (from, to) in [(0, 99_999), (9_998, 10_000), (9_999, 19_997), (5, 99_998), (99_999, 99_999)] {
        let full = rig.hit("/a", &[("range", &format!("bytes={from}-{to}"))]).await;
        assert_eq!((full.status, full.text()), (206, &body[from..=to]));
    }
}

#[tokio::test]
async fn of_a_fill_in_flight() {
    for range in RANGES {
        let mut rig = rig();
        let leads = rig.get("/a", &[("range", range)]);
        let asked = rig.asked().await;
        assert_eq!(asked.header("range"), None, "the whole is fetched");
        let writer = asked.begin(200, FIELDS, Some(10));
        let leads = head(leads).await;
        let joins = head(rig.get("/a", &[("range", range)])).await;
        for at in 0..5 {
            writer.write(&BODY[at * 2..at * 2 + 2]);
        }
        drop(writer);
        for answer in [leads, joins] {
            let full = read(answer).await;
            // What does not ascend cannot be read as it comes: the whole is an answer, too.
            if *range == "bytes=-2,0-1" {
                assert_eq!((full.status, full.text()), (200, BODY));
            } else {
                check(&full, range);
            }
        }
        assert_eq!(rig.hit("/a", &[]).await.text(), BODY);
    }
}

#[tokio::test]
async fn a_range_in_flight_is_complete_before_the_whole_is() {
    let mut rig = rig();
    let first = rig.get("/a", &[("range", "bytes=2-3")]);
    let writer = rig.asked().await.begin(200, FIELDS, Some(10));
    writer.write("0123");
    assert_eq!(read(head(first).await).await.text(), "23");
    writer.write("456789");
    drop(writer);
    settle().await;
    assert_eq!(rig.hit("/a", &[]).await.text(), BODY);
}

#[tokio::test]
async fn a_range_of_a_fill_that_breaks_is_an_error() {
    let mut rig = rig();
    let first = rig.get("/a", &[("range", "bytes=2-8")]);
    let writer = rig.asked().await.begin(200, FIELDS, Some(10));
    writer.write("01234");
    let first = head(first).await;
    writer.fail();
    let first = read(first).await;
    assert_eq!((first.status, first.body), (206, Err(())));
}

#[tokio::test]
async fn of_a_length_nobody_knows_the_whole_is_the_answer() {
    let mut rig = rig();
    let first = rig.get("/a", &[("range", "bytes=2-4")]);
    let writer = rig.asked().await.begin(200, &FIELDS[..3], None);
    writer.write(BODY);
    drop(writer);
    let first = whole(first).await;
    assert_eq!((first.status, first.text()), (200, BODY));
    check(&rig.hit("/a", &[("range", "bytes=2-4")]).await, "bytes=2-4");
}

#[tokio::test]
async fn if_range_is_asked_first() {
    let mut rig = rig();
    rig.fill("/a", FIELDS, BODY).await;
    for (condition, status) in [("\"v1\"", 206), ("\"v2\"", 200), ("W/\"v1\"", 200)] {
        let full = rig.hit("/a", &[("range", "bytes=2-4"), ("if-range", condition)]).await;
        assert_eq!(full.status, status, "{condition}");
    }
    let both = rig.hit("/a", &[("range", "bytes=2-4"), ("if-none-match", "\"v1\"")]).await;
    assert_eq!(both.status, 304);
}

#[tokio::test]
async fn an_origins_206_is_never_stored() {
    let mut rig = rig();
    let first = rig.get("/a", &[("range", "bytes=0-1")]);
    rig.asked().await.answer(206, &[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/10")], "01");
    let first = whole(first).await;
    assert_eq!(first.cache_status(), "oust; fwd=uri-miss; fwd-status=206; detail=status");
    rig.fill("/a", FIELDS, BODY).await;
}
