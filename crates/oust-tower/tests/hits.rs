//! What a hit is made of: stored fields without those that are not for clients, and nothing of the request.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{A, HOST, Rig, Sent, headers, read, rig, settle, with};
use http::{HeaderMap, HeaderValue, Request};
use oust::{Action, Key, Purge, Selector};
use oust_tower::{Late, Options};

const STORED: &[(&str, &str)] = &[
    ("cache-control", "max-age=60"),
    ("etag", "\"v1\""),
    ("content-type", "text/plain"),
    ("link", "<a>"),
    ("link", "<b>"),
    ("x-own", "1"),
    ("x-own", "2"),
    ("surrogate-key", "t u"),
    ("cache-tag", "v"),
];

#[tokio::test]
async fn a_hit_has_the_stored_fields_and_ours_and_nothing_of_the_request() {
    let mut rig = rig();
    rig.fill("/a", STORED, "body").await;
    rig.pass_time(7);
    let asked = [("x-leak", "1"), ("cookie", "a=b"), ("accept", "*/*"), ("content-length", "0")];
    let full = rig.hit("/a", &asked).await;
    let mut expected = headers(STORED);
    for name in ["surrogate-key", "cache-tag"] {
        expected.remove(name);
    }
    for (name, value) in
        [("content-length", "4"), ("age", "7"), ("via", "1.1 oust"), ("cache-status", "oust; hit; ttl=53")]
    {
        expected.insert(name, HeaderValue::from_static(value));
    }
    let mut got = full.headers.clone();
    assert!(got.remove("date").is_some());
    assert_eq!((got, full.status, full.text()), (expected, 200, "body"));
    let head = common::whole(rig.send("HEAD", "/a", &asked, "")).await;
    assert_eq!((&head.headers, head.text()), (&full.headers, ""));
}

#[tokio::test]
async fn tags_are_kept_for_the_cache_where_clients_do_not_see_them() {
    for kept in [false, true] {
        let mut rig = with(Options::new().keep_tags(kept));
        rig.fill("/a", STORED, "body").await;
        assert_eq!(rig.hit("/a", &[]).await.header("surrogate-key").is_some(), kept);
        rig.pass_time(61);
        let revalidated = rig.get("/a", &[]);
        rig.asked().await.answer(304, &[("etag", "\"v1\""), ("cache-control", "max-age=60"), ("x-own", "3")], "");
        assert_eq!(common::whole(revalidated).await.status, 200);
        let hit = rig.hit("/a", &[]).await;
        assert_eq!((hit.header("x-own"), hit.header("surrogate-key").is_some()), (Some("3"), kept));
        assert_eq!(hit.header("link"), Some("<a>"), "what the 304 does not name stays");
        // Of the tags the 304 did not name either.
        rig.cache.purge(&Purge::new(Selector::Tag("u".into()))).unwrap();
        let miss = rig.get("/a", &[]);
        rig.asked().await.answer(200, STORED, "new");
        assert_eq!(common::whole(miss).await.text(), "new");
    }
}

#[tokio::test]
async fn conditions_and_ranges_are_answered_from_a_hit() {
    let mut rig = rig();
    rig.fill("/a", STORED, "body").await;
    let same = rig.hit("/a", &[("if-none-match", "\"v1\"")]).await;
    assert_eq!((same.status, same.text(), same.header("etag")), (304, "", Some("\"v1\"")));
    assert_eq!((same.header("content-length"), same.header("surrogate-key")), (None, None));
    assert_eq!(rig.hit("/a", &[("if-none-match", "\"v2\"")]).await.status, 200);
    for (since, status) in [("Thu, 01 Jan 1998 00:00:00 GMT", 200), ("Thu, 01 Jan 2099 00:00:00 GMT", 304)] {
        assert_eq!(rig.hit("/a", &[("if-modified-since", since)]).await.status, status);
    }
    let part = rig.hit("/a", &[("range", "bytes=1-2")]).await;
    assert_eq!((part.status, part.text(), part.header("content-range")), (206, "od", Some("bytes 1-2/4")));
    let both = rig.hit("/a", &[("range", "bytes=1-2"), ("if-none-match", "\"v1\"")]).await;
    assert_eq!(both.status, 304);
    assert_eq!(rig.hit("/a", &[("range", "bytes=9-")]).await.status, 416);
}

#[tokio::test]
async fn variants_are_selected_by_what_the_request_says() {
    let mut rig = rig();
    let fields = [("cache-control", "max-age=60"), ("vary", "accept-language, host")];
    for language in ["de", "en"] {
        let miss = rig.get("/a", &[("accept-language", language)]);
        rig.asked().await.answer(200, &fields, language);
        assert_eq!(common::whole(miss).await.text(), language);
    }
    for language in ["de", "en"] {
        assert_eq!(rig.hit("/a", &[("accept-language", language)]).await.text(), language);
        // Another spelling of the host is another one to us, but not to the origin.
        let spelt = [("accept-language", language), ("host", "H.TEST:80")];
        assert_eq!(rig.hit("/a", &spelt).await.text(), language);
    }
    let stats = rig.cache.stats();
    let misses: u64 = stats.misses.iter().map(|(_, count)| count).sum();
    assert_eq!((stats.hits, misses), (4, 2), "what is asked twice is counted once");
    rig.purge(A, Action::Delete);
    let gone = rig.get("/a", &[("accept-language", "de")]);
    rig.asked().await.answer(200, &fields, "new");
    assert_eq!(common::whole(gone).await.text(), "new");
}

/// Tells the origin `x-late`.
struct Told {
    value: &'static str,
    times: Arc<AtomicUsize>,
}

impl Late for Told {
    fn sets(&self, name: &[u8]) -> bool {
        name == b"x-late"
    }

    fn add(self, key: Option<&Key>, headers: &mut HeaderMap) {
        assert!(key.is_some());
        self.times.fetch_add(1, Ordering::Relaxed);
        headers.insert("x-late", HeaderValue::from_static(self.value));
    }
}

async fn late(rig: &mut Rig, path: &str, value: &'static str, fields: &[(&str, &str)]) -> (String, usize) {
    let times = Arc::new(AtomicUsize::new(0));
    let mut request = Request::new(Sent::default());
    *request.uri_mut() = path.parse().unwrap();
    // What a client claims is no more than a claim.
    *request.headers_mut() = headers(&[("host", HOST), ("x-late", "claimed")]);
    let key = Key::parse(format!("http://{HOST}{path}").as_bytes()).unwrap();
    let told = Told { value, times: times.clone() };
    let options = Arc::new(Options::new());
    let before = rig.count().await;
    let future = rig.service.answer_late(request, Ok(key), &options, told);
    let answer = tokio::spawn(async move { future.await.unwrap() });
    if rig.count().await > before {
        let asked = rig.asked().await;
        assert_eq!(asked.header("x-late"), Some(value));
        asked.answer(200, fields, value);
    }
    settle().await;
    let full = read(answer.await.unwrap()).await;
    settle().await;
    (full.text().to_owned(), times.load(Ordering::Relaxed))
}

#[tokio::test]
async fn late_fields_are_worked_out_only_where_they_matter() {
    let mut rig = rig();
    let plain = [("cache-control", "max-age=60"), ("vary", "accept")];
    assert_eq!(late(&mut rig, "/plain", "one", &plain).await, ("one".to_owned(), 1));
    assert_eq!(late(&mut rig, "/plain", "two", &plain).await, ("one".to_owned(), 0));
    let varied = [("cache-control", "max-age=60"), ("vary", "x-late")];
    for times in 0..2 {
        for value in ["one", "two", "claimed"] {
            assert_eq!(late(&mut rig, "/varied", value, &varied).await, (value.to_owned(), 1), "{times}");
        }
    }
    assert_eq!(rig.count().await, 4);
}
