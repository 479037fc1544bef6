//! One fetch for all who wait, whatever becomes of any of them.

mod common;

use std::time::Duration;

use common::*;
use oust_tower::Options;

#[tokio::test]
async fn who_joins_gets_bytes_as_they_come() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let writer = rig.asked().await.begin(200, FRESH, Some(8));
    writer.write("abcd");
    let mut first = head(first).await;
    assert_eq!(next(&mut first).await, Some(Some(Ok("abcd".to_owned()))));
    assert_eq!(next(&mut first).await, None, "the rest has not come");
    let mut second = head(rig.get("/a", &[])).await;
    assert_eq!(second.headers()["cache-status"], "oust; fwd=uri-miss; fwd-status=200; collapsed");
    assert_eq!(second.headers()["content-length"], "8");
    assert_eq!(next(&mut second).await, Some(Some(Ok("abcd".to_owned()))));
    writer.write("efgh");
    drop(writer);
    assert_eq!(next(&mut first).await, Some(Some(Ok("efgh".to_owned()))));
    assert_eq!(next(&mut first).await, Some(None));
    assert_eq!(read(second).await.text(), "efgh");
    assert_eq!(rig.hit("/a", &[]).await.text(), "abcdefgh");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_no_fill_that_will_be_stored() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let held = rig.asked().await;
    first.abort();
    settle().await;
    held.answer(200, FRESH, "whole");
    settle().await;
    assert_eq!(rig.hit("/a", &[]).await.text(), "whole");
}

#[tokio::test]
async fn a_client_that_goes_away_in_mid_body_takes_nothing_from_the_others() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let writer = rig.asked().await.begin(200, FRESH, Some(6));
    writer.write("abc");
    let first = head(first).await;
    let second = head(rig.get("/a", &[])).await;
    drop(first);
    writer.write("def");
    drop(writer);
    assert_eq!(read(second).await.text(), "abcdef");
    assert_eq!(rig.hit("/a", &[]).await.text(), "abcdef");
}

#[tokio::test]
async fn a_fill_that_nobody_reads_and_nobody_keeps_is_given_up() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let writer = rig.asked().await.begin(200, &[("cache-control", "no-store")], None);
    writer.write("abc");
    drop(head(first).await);
    settle().await;
    writer.write("def");
    settle().await;
    assert!(writer.is_given_up());
}

#[tokio::test]
async fn a_fill_that_breaks_midway_breaks_its_readers_and_stores_nothing() {
    for how in ["an error", "a short body", "a long body"] {
        let mut rig = rig();
        let first = rig.get("/a", &[]);
        let fields = [("cache-control", "max-age=60"), ("content-length", "6")];
        let writer = rig.asked().await.begin(200, &fields, None);
        writer.write("abc");
        let first = head(first).await;
        let second = head(rig.get("/a", &[])).await;
        match how {
            "an error" => writer.fail(),
            "a short body" => drop(writer),
            _ => writer.write("defg"),
        }
        assert_eq!(read(first).await.body, Err(()), "{how}");
        assert_eq!(read(second).await.body, Err(()), "{how}");
        assert_eq!(rig.fill("/a", FRESH, "whole").await.text(), "whole", "{how}");
    }
}

#[tokio::test]
async fn when_the_leader_vanishes_who_joined_asks_for_itself() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let held = rig.asked().await;
    let second = rig.get("/a", &[]);
    settle().await;
    // The leader's task panics.
    drop(held);
    let first = whole(first).await;
    assert_eq!((first.status, first.cache_status()), (502, "oust; fwd=uri-miss; detail=origin-failed"));
    rig.asked().await.answer(200, FRESH, "there");
    let second = whole(second).await;
    assert_eq!(second.text(), "there");
    assert_eq!(second.cache_status(), "oust; fwd=uri-miss; fwd-status=200; stored");
}

#[tokio::test]
async fn when_the_origin_fails_the_leader_is_told_and_who_joined_asks_for_itself() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let held = rig.asked().await;
    let second = rig.get("/a", &[]);
    settle().await;
    held.fail(504, "origin-timeout");
    let first = whole(first).await;
    assert_eq!((first.status, first.cache_status()), (504, "oust; fwd=uri-miss; detail=origin-timeout"));
    assert_eq!(first.header("cache-control"), Some("no-store"));
    rig.asked().await.answer(200, FRESH, "there");
    assert_eq!(whole(second).await.text(), "there");
}

#[tokio::test]
async fn an_answer_for_one_alone_is_not_shared_with_who_joined() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let held = rig.asked().await;
    let second = rig.get("/a", &[]);
    settle().await;
    held.answer(200, &[("cache-control", "private")], "mine");
    let first = whole(first).await;
    assert_eq!(first.text(), "mine");
    assert_eq!(first.cache_status(), "oust; fwd=uri-miss; fwd-status=200; detail=private");
    rig.asked().await.answer(200, &[("cache-control", "private")], "yours");
    assert_eq!(whole(second).await.text(), "yours");
}

#[tokio::test]
async fn a_variant_is_shared_with_those_it_is_for() {
    let mut rig = rig();
    let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
    let first = rig.get("/a", &[("accept-language", "de")]);
    let held = rig.asked().await;
    let same = rig.get("/a", &[("accept-language", "de")]);
    let other = rig.get("/a", &[("accept-language", "fr")]);
    settle().await;
    held.answer(200, &fields, "Tag");
    assert_eq!(whole(first).await.text(), "Tag");
    assert_eq!(whole(same).await.text(), "Tag");
    let asked = rig.asked().await;
    assert_eq!(asked.header("accept-language"), Some("fr"));
    asked.answer(200, &fields, "jour");
    assert_eq!(whole(other).await.text(), "jour");
    assert_eq!(rig.hit("/a", &[("accept-language", "de")]).await.text(), "Tag");
    assert_eq!(rig.hit("/a", &[("accept-language", "fr")]).await.text(), "jour");
    let third = rig.get("/a", &[("accept-language", "it")]);
    rig.asked().await.answer(200, &fields, "giorno");
    assert!(whole(third).await.cache_status().starts_with("oust; fwd=vary-miss"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_what_is_not_stored_is_cut_off_for_the_others() {
    let mut rig = with(Options::new().laggard_patience(Duration::from_secs(7)));
    let mib = "x".repeat(1 << 20);
    let fast = rig.get("/a", &[]);
    // Larger than any object: not stored, but shared until that is seen.
    let writer = rig.asked().await.begin(200, FRESH, None);
    let mut fast = head(fast).await;
    let mut slow = head(rig.get("/a", &[])).await;
    for _ in 0..80 {
        writer.write(&mib);
        let (mut frames, mut len) = (0, 0);
        while len < mib.len() {
            match next(&mut fast).await {
                Some(frame) => len += frame.expect("not over").expect("not broken").len(),
                // Held up by the slow one, until its time is over.
                None => tokio::time::advance(Duration::from_secs(8)).await,
            }
            frames += 1;
            assert!(frames < 100, "the fast reader is held up for good");
        }
    }
    drop(writer);
    assert_eq!(next(&mut fast).await, Some(None));
    loop {
        match next(&mut slow).await.expect("it is over for the slow reader") {
            Some(Ok(_)) => {}
            Some(Err(())) => break,
            None => panic!("a cut-off reader must not see a clean end"),
        }
    }
}

#[tokio::test]
async fn what_the_inner_service_sees_is_asked_on_behalf_of_all() {
    let mut rig = rig();
    let fields = [
        ("cache-control", "max-age=0"),
        ("if-none-match", "\"x\""),
        ("range", "bytes=0-1"),
        ("connection", "x-mine"),
        ("x-mine", "1"),
        ("x-else", "2"),
        ("host", "H.test:80"),
    ];
    let first = rig.send("HEAD", "/d/../%7ea?q", &fields, "");
    let asked = rig.asked().await;
    assert_eq!(asked.parts.method, "GET");
    assert_eq!(asked.parts.uri, "/~a?q");
    for gone in ["cache-control", "if-none-match", "range", "connection", "x-mine"] {
        assert_eq!(asked.header(gone), None, "{gone}");
    }
    assert_eq!((asked.header("x-else"), asked.header("host")), (Some("2"), Some("h.test")));
    assert_eq!(asked.header("via"), Some("1.1 oust"));
    assert_eq!(asked.parts.extensions.get::<oust::Key>().unwrap().to_string(), "http://h.test/~a?q");
    asked.answer(200, FRESH, "body");
    let first = whole(first).await;
    assert_eq!((first.status, first.text(), first.header("content-length")), (200, "", Some("4")));
    assert_eq!(rig.hit("/~a?q", &[]).await.text(), "body");
}

#[tokio::test]
async fn a_204_that_states_a_length_has_none() {
    let mut rig = rig();
    let answer = rig.get("/a", &[]);
    let asked = rig.asked().await;
    drop(asked.begin(204, &[("cache-control", "max-age=60"), ("content-length", "5")], Some(0)));
    let miss = whole(answer).await;
    assert_eq!((miss.status, miss.text(), miss.header("content-length")), (204, "", None));
    let hit = rig.hit("/a", &[]).await;
    assert_eq!((hit.status, hit.text(), hit.header("content-length")), (204, "", None));
}

#[tokio::test]
async fn h22_those_who_joined_a_fill_of_another_variant_share_one_of_their_own() {
    let mut rig = rig();
    let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
    let first = rig.get("/a", &[("accept-language", "de")]);
    let german = rig.asked().await;
    let others: Vec<_> =
        (0..9).map(|number| rig.get("/a", &[("accept-language", ["en", "fr", "it"][number % 3])])).collect();
    assert_eq!(rig.count().await, 1);
    german.answer(200, &fields, "de");
    assert_eq!(whole(first).await.text(), "de");
    for _ in 0..3 {
        let asked = rig.asked().await;
        let language = asked.header("accept-language").expect("a language").to_owned();
        asked.answer(200, &fields, &language);
    }
    for (number, other) in others.into_iter().enumerate() {
        assert_eq!(whole(other).await.text(), ["en", "fr", "it"][number % 3]);
    }
    assert_eq!(rig.count().await, 4, "one for each variant");
}
