//! Scenarios that run on this storage and on Pingora's `MemCache`: what both do alike, and the races that only this one stands.
//!
//! `MemCache` is expected to fail H1, H3 and H8, which shows that these checks can fail.

#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test uses its part of it")]
mod rig;

use rig::{On, Rig};

#[tokio::test]
async fn a_response_is_fetched_once() {
    for on in [On::oust(), On::memcache()] {
        let mut rig = Rig::new(on).await;
        rig.fill("/a", "", "", "one").await;
        assert_eq!(rig.cached("/a", "").await, "one");
        assert_eq!(rig.purge("/a", "").await, 200);
        rig.fill("/a", "", "", "two").await;
        assert_eq!(rig.cached("/a", "").await, "two");
    }
}

#[tokio::test]
async fn variants_are_told_apart_and_a_range_is_cut_of_each() {
    for on in [On::oust(), On::memcache()] {
        let mut rig = Rig::new(on).await;
        for color in ["red", "blue", "green"] {
            rig.fill("/v", &format!("color: {color}\r\n"), "vary: color\r\n", color).await;
        }
        for color in ["blue", "green", "red"] {
            assert_eq!(rig.cached("/v", &format!("color: {color}\r\n")).await, color);
            assert_eq!(rig.cached("/v", &format!("color: {color}\r\nrange: bytes=1-2\r\n")).await, color[1..3]);
        }
    }
}

#[tokio::test]
async fn a_multipart_range_is_cut_of_what_is_stored() {
    for on in [On::oust(), On::memcache()] {
        let mut rig = Rig::new(on).await;
        let body: String = (0..20_000).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
        rig.fill("/m", "", "", &body).await;
        let mut answer = rig.ask("GET", "/m", "range: bytes=2-4,17000-17002\r\n").await;
        answer.read_head().await;
        assert_eq!(answer.status(), 206);
        let parts = answer.rest().await.unwrap();
        assert!(parts.contains("content-range") || parts.contains("Content-Range"));
        for part in [&body[2..5], &body[17000..17003]] {
            assert!(parts.contains(&format!("\r\n\r\n{part}\r\n")), "{parts}");
        }
    }
}

#[tokio::test]
async fn a_second_reader_gets_what_has_come_so_far() {
    for on in [On::oust(), On::memcache()] {
        let mut rig = Rig::new(on).await;
        let mut first = rig.get("/s").await;
        let mut origin = rig.asked().await;
        origin.begin("", 6).await;
        origin.send("abc").await;
        first.read_head().await;
        assert_eq!(first.read(3).await, "abc");
        let mut second = rig.get("/s").await;
        second.read_head().await;
        assert_eq!(second.read(3).await, "abc");
        origin.send("def").await;
        assert_eq!(first.rest().await.unwrap(), "def");
        assert_eq!(second.rest().await.unwrap(), "def");
        assert_eq!(rig.cached("/s", "").await, "abcdef");
    }
}

/// What is served after a purge that came while the origin was asked.
async fn h1(on: On) -> String {
    let mut rig = Rig::new(on).await;
    let first = rig.get("/a").await;
    let origin = rig.asked().await;
    let status = rig.purge("/a", "").await;
    if matches!(on, On::Oust(_)) {
        assert_eq!(status, 200, "H2: what is in flight is taken too");
    }
    origin.answer("", "old").await;
    assert_eq!(first.body().await.unwrap(), "old");
    let second = rig.get("/a").await;
    rig.cached_or(second, "new").await
}

#[tokio::test]
async fn h1_a_fill_that_began_before_a_purge_is_not_stored() {
    assert_eq!(h1(On::oust()).await, "new");
    assert_eq!(h1(On::memcache()).await, "old", "MemCache fails");
}

/// What a request gets that came after a purge, while a fill begun before was in flight.
async fn h3(on: On) -> String {
    let mut rig = Rig::new(on).await;
    let first = rig.get("/a").await;
    let origin = rig.asked().await;
    rig.purge("/a", "").await;
    let second = rig.get("/a").await;
    origin.answer("", "old").await;
    assert_eq!(first.body().await.unwrap(), "old");
    rig.cached_or(second, "new").await
}

#[tokio::test]
async fn h3_who_waits_after_a_purge_never_gets_the_old() {
    assert_eq!(h3(On::oust()).await, "new");
    assert_eq!(h3(On::memcache()).await, "old", "MemCache fails");
}

/// What the variants are after a soft purge of their URL.
async fn h8(on: On) -> Vec<String> {
    let mut rig = Rig::new(on).await;
    let colors = ["red", "blue"];
    for color in colors {
        rig.fill("/v", &format!("color: {color}\r\n"), "vary: color\r\n", "old").await;
    }
    assert_eq!(rig.purge("/v", "soft: 1\r\n").await, 200);
    let mut got = Vec::new();
    for color in colors {
        let answer = rig.ask("GET", "/v", &format!("color: {color}\r\n")).await;
        let mut body = std::pin::pin!(answer.body());
        got.push(loop {
            tokio::select! {
                body = &mut body => break body.unwrap(),
                asked = rig.asked() => asked.answer("vary: color\r\n", "new").await,
            }
        });
    }
    got
}

#[tokio::test]
async fn h8_a_purge_of_a_url_takes_its_variants() {
    assert_eq!(h8(On::oust()).await, ["new", "new"]);
    assert_eq!(h8(On::memcache()).await, ["new", "old"], "MemCache fails");
}
