//! What the engine promises, through Pingora.

#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test uses its part of it")]
mod rig;

use oust::cache::L2State;
use oust::disk::media::Access;
use oust::{Action, Selector};
use oust_pingora::OustStorage;
use rig::{On, Rig};

const SOFT_WINDOWS: &str =
    "cache-control: max-age=3600, stale-while-revalidate=3600, stale-if-error=3600\r\netag: \"1\"\r\n";

/// Every selector that concerns the object takes a fill in flight, before its head and after it; others take nothing.
#[tokio::test]
async fn h1_a_selector_takes_what_is_in_flight_and_no_neighbour() {
    let takes = [
        Selector::Url("http://h/d/a.css".into()),
        Selector::Key("http://h/d/a.css".into()),
        Selector::Pattern("http://h/d/**".into()),
        Selector::Pattern("http://h/*/*.css".into()),
        Selector::Glob("http://h/*.css".into()),
        Selector::Regex("http://h/d/[a-c]\\.css$".into()),
        Selector::Host("h".into()),
        Selector::Tag("t".into()),
        Selector::All,
    ];
    let leaves = [
        Selector::Url("http://h/d/a.cs".into()),
        Selector::Pattern("http://h/e/**".into()),
        Selector::Tag("u".into()),
        Selector::Host("i".into()),
    ];
    for (selectors, taken) in [(&takes[..], true), (&leaves[..], false)] {
        for (selector, after_head) in selectors.iter().flat_map(|selector| [(selector, false), (selector, true)]) {
            let mut rig = Rig::new(On::oust()).await;
            let mut first = rig.get("/d/a.css").await;
            let mut origin = rig.asked().await;
            if after_head {
                origin.begin("surrogate-key: s t\r\n", 3).await;
                origin.send("o").await;
                first.read_head().await;
                rig.publish(selector.clone()).await;
                origin.send("ld").await;
            } else {
                rig.publish(selector.clone()).await;
                origin.answer("surrogate-key: s t\r\n", "old").await;
            }
            assert_eq!(first.body().await.unwrap(), "old");
            let second = rig.get("/d/a.css").await;
            assert_eq!(
                rig.cached_or(second, "new").await,
                if taken { "new" } else { "old" },
                "{selector:?} {after_head}"
            );
        }
    }
}

/// The same for what is stored.
#[tokio::test]
async fn g1_every_selector_takes_what_is_stored() {
    for selector in [
        Selector::Url("http://h/d/a.css".into()),
        Selector::Key("http://h/d/a.css".into()),
        Selector::Variant { key: "http://h/d/a.css".into(), headers: Vec::new() },
        Selector::Pattern("http://h/d/*".into()),
        Selector::LastWildcard("http://h/d/*".into()),
        Selector::Pattern("http://h/**.css".into()),
        Selector::Regex("http://h/d/".into()),
        Selector::Host("h".into()),
        Selector::Tag("c d".into()),
        Selector::Tag(oust::freshness::groups::tag("http://h", "g")),
        Selector::All,
    ] {
        let mut rig = Rig::new(On::oust()).await;
        rig.fill("/d/a.css", "", "cache-tag: c d, e\r\ncache-groups: \"g\"\r\n", "old").await;
        rig.fill("/x", "", "", "x").await;
        rig.publish(selector.clone()).await;
        let second = rig.get("/d/a.css").await;
        assert_eq!(rig.cached_or(second, "new").await, "new", "{selector:?}");
        if !matches!(selector, Selector::All | Selector::Host(_)) {
            assert_eq!(rig.cached("/x", "").await, "x");
        }
    }
}

/// Who joined a stream before a purge reads it to its end; who comes after it does not.
#[tokio::test]
async fn h3_a_stream_that_a_purge_took_is_not_joined() {
    for selector in [Selector::Tag("t".into()), Selector::Url("http://h/s".into())] {
        let mut rig = Rig::new(On::oust()).await;
        let mut first = rig.get("/s").await;
        let mut origin = rig.asked().await;
        origin.begin("xkey: t\r\n", 6).await;
        origin.send("old").await;
        first.read_head().await;
        let mut joined = rig.get("/s").await;
        joined.read_head().await;
        assert_eq!(joined.read(3).await, "old");
        rig.publish(selector).await;
        let after = rig.get("/s").await;
        rig.asked().await.answer("", "new").await;
        assert_eq!(after.body().await.unwrap(), "new");
        origin.send("old").await;
        assert_eq!(joined.rest().await.unwrap(), "old");
        assert_eq!(first.rest().await.unwrap(), "oldold");
        assert_eq!(rig.cached("/s", "").await, "new");
    }
}

#[tokio::test]
async fn a_304_makes_what_was_invalidated_fresh_again() {
    for action in [Action::Invalidate, Action::Soft] {
        let mut rig = Rig::new(On::oust()).await;
        rig.fill("/a", "", "etag: \"1\"\r\n", "one").await;
        rig.publish_as(Selector::Host("h".into()), action).await;
        let answer = rig.get("/a").await;
        let asked = rig.asked().await;
        assert!(asked.has("if-none-match: \"1\""), "{}", asked.head);
        asked.not_modified().await;
        assert_eq!(answer.body().await.unwrap(), "one");
        assert_eq!(rig.cached("/a", "").await, "one");
    }
}

/// A secondary variant is validated in its own place.
#[tokio::test]
async fn a_304_makes_a_variant_fresh_again() {
    let mut rig = Rig::new(On::oust()).await;
    for color in ["red", "blue"] {
        rig.fill("/v", &format!("color: {color}\r\n"), "vary: color\r\netag: \"1\"\r\n", color).await;
    }
    rig.publish_as(Selector::All, Action::Invalidate).await;
    for color in ["red", "blue"] {
        let answer = rig.ask("GET", "/v", &format!("color: {color}\r\n")).await;
        rig.asked().await.not_modified().await;
        assert_eq!(answer.body().await.unwrap(), color);
    }
    for color in ["red", "blue"] {
        assert_eq!(rig.cached("/v", &format!("color: {color}\r\n")).await, color);
    }
}

#[tokio::test]
async fn h4_a_304_that_a_purge_overtook_revives_nothing() {
    for (action, conditional) in [(Action::Delete, false), (Action::Invalidate, true), (Action::Soft, true)] {
        let mut rig = Rig::new(On::oust()).await;
        rig.fill("/a", "", "etag: \"1\"\r\n", "old").await;
        rig.publish_as(Selector::All, Action::Invalidate).await;
        let first = rig.get("/a").await;
        let asked = rig.asked().await;
        rig.publish_as(Selector::Pattern("http://h/**".into()), action).await;
        asked.not_modified().await;
        assert_eq!(first.body().await.unwrap(), "old");
        let second = rig.get("/a").await;
        let asked = rig.asked().await;
        assert_eq!(asked.has("if-none-match"), conditional, "{action:?}");
        asked.answer("", "new").await;
        assert_eq!(second.body().await.unwrap(), "new");
    }
}

/// Soft: stale within the windows of the response. Invalidated: not even when the origin fails.
#[tokio::test]
async fn stale_use_is_what_the_action_says() {
    let mut rig = Rig::new(On::oust()).await;
    rig.fill("/a", "", SOFT_WINDOWS, "old").await;
    assert_eq!(rig.purge("/a", "soft: 1\r\n").await, 200);
    // Served at once, and validated behind.
    let stale = rig.get("/a").await;
    let asked = rig.asked().await;
    assert_eq!(stale.body().await.unwrap(), "old");
    assert!(asked.has("if-none-match"));
    // A purge overtakes that, too.
    rig.publish(Selector::Url("http://h/a".into())).await;
    asked.not_modified().await;
    let second = rig.get("/a").await;
    assert_eq!(rig.cached_or(second, "new").await, "new");

    let mut rig = Rig::new(On::oust()).await;
    rig.fill("/a", "", SOFT_WINDOWS, "old").await;
    rig.publish_as(Selector::All, Action::Invalidate).await;
    let mut answer = rig.get("/a").await;
    let mut asked = rig.asked().await;
    asked.send("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    answer.read_head().await;
    assert_eq!(answer.status(), 503);
}

/// The background's answer is stored and is what the next request gets.
#[tokio::test]
async fn stale_while_revalidate_stores_what_it_brings() {
    let mut rig = Rig::new(On::oust()).await;
    rig.fill("/a", "", SOFT_WINDOWS, "old").await;
    rig.publish_as(Selector::All, Action::Soft).await;
    let stale = rig.get("/a").await;
    let mut asked = rig.asked().await;
    assert_eq!(stale.body().await.unwrap(), "old");
    asked.begin("", 3).await;
    asked.send("ne").await;
    // What streams in replaces the stale, once its head is there.
    loop {
        let mut answer = rig.get("/a").await;
        answer.read_head().await;
        let begin = answer.read(2).await;
        if begin == "ne" {
            asked.send("w").await;
            assert_eq!(answer.rest().await.unwrap(), "w");
            break;
        }
        assert_eq!(begin + &answer.rest().await.unwrap(), "old");
    }
    assert_eq!(rig.cached("/a", "").await, "new");
}

/// Nothing is stored, and no body ends as if it were whole.
#[tokio::test]
async fn a_body_that_breaks_off_is_told_to_all_its_readers() {
    let mut rig = Rig::new(On::oust()).await;
    let mut first = rig.get("/a").await;
    let mut origin = rig.asked().await;
    origin.begin("", 6).await;
    origin.send("abc").await;
    first.read_head().await;
    let mut second = rig.get("/a").await;
    second.read_head().await;
    drop(origin);
    assert_eq!(first.body().await, None);
    assert_eq!(second.body().await, None);
    let third = rig.get("/a").await;
    assert_eq!(rig.cached_or(third, "whole").await, "whole");
}

/// A client that goes away before the origin answers leaves nothing in the way.
#[tokio::test]
async fn a_request_that_is_given_up_leaves_nothing() {
    let mut rig = Rig::new(On::oust()).await;
    let first = rig.get("/a").await;
    let origin = rig.asked().await;
    drop(first);
    drop(origin);
    rig.fill("/a", "", "", "two").await;
    assert_eq!(rig.cached("/a", "").await, "two");
}

/// The first life runs in a process of its own, which ends without a word.
async fn g5(access: Access, name: &str) {
    const DIRECTORY: &str = "OUST_PINGORA_TEST_DIRECTORY";
    let build = |directory: &std::path::Path| {
        let l2 = oust::L2Config::directory(directory, 64 << 20).access(access);
        oust::Config::new().edge_size(64 << 20).l2(l2).build().unwrap()
    };
    let large = "x".repeat(100_000);
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let storage = OustStorage::leak(build(directory.as_ref()));
        let mut rig = Rig::new(On::Oust(storage)).await;
        for color in ["red", "blue"] {
            rig.fill("/v", &format!("color: {color}\r\n"), "vary: color\r\nx-note: kept\r\n", color).await;
        }
        rig.fill("/large", "", "", &large).await;
        rig.fill("/gone", "", "surrogate-key: t\r\n", "gone").await;
        for path in ["/v", "/large", "/gone"] {
            rig.cached(path, "color: red\r\n").await;
        }
        rig.cached("/v", "color: blue\r\n").await;
        tokio::task::spawn_blocking(|| storage.cache().flush().unwrap()).await.unwrap();
        rig.publish(Selector::Tag("t".into())).await;
        std::process::abort();
    }
    let directory = tempfile::tempdir().unwrap();
    let mut first = std::process::Command::new(std::env::current_exe().unwrap());
    let ended = first.args(["--exact", name]).env(DIRECTORY, directory.path()).output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
    assert_eq!(signal, Some(6), "{}", String::from_utf8_lossy(&ended.stderr));

    let storage = OustStorage::leak(build(directory.path()));
    // Segments are read in behind; until then a lookup may miss.
    while storage.cache().stats().l2.is_some_and(|l2| l2.state == L2State::Loading) {
        tokio::task::yield_now().await;
    }
    let mut rig = Rig::new(On::Oust(storage)).await;
    for color in ["red", "blue"] {
        let mut answer = rig.ask("GET", "/v", &format!("color: {color}\r\n")).await;
        answer.read_head().await;
        assert!(answer.head.to_lowercase().contains("x-note: kept"));
        assert_eq!(answer.rest().await.unwrap(), color);
    }
    assert_eq!(rig.cached("/large", "").await, large);
    assert_eq!(rig.cached("/large", "range: bytes=70000-70002\r\n").await, "xxx");
    let gone = rig.get("/gone").await;
    assert_eq!(rig.cached_or(gone, "new").await, "new");
    // Hashes find what came from the disk.
    assert_eq!(rig.purge("/v", "").await, 200);
    let answer = rig.ask("GET", "/v", "color: blue\r\n").await;
    assert_eq!(rig.cached_or(answer, "new").await, "new");
}

#[tokio::test]
async fn g5_what_is_stored_and_what_is_purged_outlast_a_crash() {
    g5(Access::Mmap, "g5_what_is_stored_and_what_is_purged_outlast_a_crash").await;
}

#[tokio::test]
async fn g5_where_bodies_are_copied_too() {
    g5(Access::Pread, "g5_where_bodies_are_copied_too").await;
}
