//! Unsafe methods end what they change (RFC 9111 4.4, RFC 9875).

mod common;

use common::*;

async fn change(rig: &mut Rig, method: &str, path: &str, status: u16, fields: &[(&str, &str)]) -> Full {
    let answer = rig.send(method, path, &[], "change");
    let asked = rig.asked().await;
    assert_eq!((asked.parts.method.as_str(), &asked.body[..]), (method, &b"change"[..]));
    asked.answer(status, fields, "done");
    let full = whole(answer).await;
    assert_eq!(full.cache_status(), format!("oust; fwd=method; fwd-status={status}"));
    full
}

#[tokio::test]
async fn an_unsafe_or_unknown_method_that_succeeds_ends_its_target() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "M-SEARCH", "FROB"] {
        for status in [200, 201, 204, 302] {
            let mut rig = rig();
            rig.fill("/a", FRESH, "old").await;
            rig.fill("/b", FRESH, "other").await;
            change(&mut rig, method, "/a", status, &[]).await;
            assert_eq!(rig.fill("/a", FRESH, "new").await.text(), "new", "{method} {status}");
            assert_eq!(rig.hit("/b", &[]).await.text(), "other");
        }
    }
}

#[tokio::test]
async fn one_that_fails_or_is_safe_ends_nothing() {
    let mut rig = rig();
    rig.fill("/a", FRESH, "kept").await;
    for (method, status) in [("POST", 400), ("POST", 500), ("OPTIONS", 200), ("PROPFIND", 207)] {
        change(&mut rig, method, "/a", status, &[]).await;
        assert_eq!(rig.hit("/a", &[]).await.text(), "kept", "{method} {status}");
    }
    let down = rig.send("POST", "/a", &[], "x");
    rig.asked().await.fail(502, "origin-down");
    let down = whole(down).await;
    assert_eq!((down.status, down.cache_status()), (502, "oust; fwd=method; detail=origin-down"));
    assert_eq!(rig.hit("/a", &[]).await.text(), "kept");
}

/// RFC 9111 4.4 asks for it when the answer is a success; nobody knows that here.
#[tokio::test]
async fn one_that_may_have_been_carried_out_ends_its_target_alone() {
    let mut rig = rig();
    for path in ["/a", "/b"] {
        rig.fill(path, FRESH, "old").await;
    }
    let lost = rig.send("POST", "/a", &[], "x");
    rig.asked().await.leave_in_doubt(504, "origin-timeout");
    let lost = whole(lost).await;
    assert_eq!((lost.status, lost.cache_status()), (504, "oust; fwd=method; detail=origin-timeout"));
    assert_eq!(rig.fill("/a", FRESH, "new").await.text(), "new");
    assert_eq!(rig.hit("/b", &[]).await.text(), "old");
    // A safe one changes nothing.
    let safe = rig.send("OPTIONS", "/b", &[], "");
    rig.asked().await.leave_in_doubt(504, "origin-timeout");
    whole(safe).await;
    assert_eq!(rig.hit("/b", &[]).await.text(), "old");
}

#[tokio::test]
async fn all_variants_end() {
    let mut rig = rig();
    let fields = [("cache-control", "max-age=60"), ("vary", "accept")];
    for accept in ["x/a", "x/b"] {
        let answer = rig.get("/a", &[("accept", accept)]);
        rig.asked().await.answer(200, &fields, accept);
        whole(answer).await;
    }
    assert_eq!(rig.hit("/a", &[("accept", "x/a")]).await.text(), "x/a");
    change(&mut rig, "POST", "/a", 200, &[]).await;
    for accept in ["x/a", "x/b"] {
        let answer = rig.get("/a", &[("accept", accept)]);
        rig.asked().await.answer(200, &fields, "new");
        assert_eq!(whole(answer).await.text(), "new");
    }
}

#[tokio::test]
async fn location_and_content_location_of_the_same_origin_end_too() {
    let mut rig = rig();
    for path in ["/l", "/c?q", "/d/kept", "/other"] {
        rig.fill(path, FRESH, "old").await;
    }
    let fields = [("location", "../l"), ("content-location", "http://H.test:80/c?q#part")];
    change(&mut rig, "POST", "/d/form", 201, &fields).await;
    assert_eq!(rig.hit("/d/kept", &[]).await.text(), "old");
    for path in ["/l", "/c?q"] {
        assert_eq!(rig.fill(path, FRESH, "new").await.text(), "new");
    }
    let foreign = [("location", "http://elsewhere.test/other"), ("content-location", "https://h.test/other")];
    change(&mut rig, "POST", "/d/form", 201, &foreign).await;
    assert_eq!(rig.hit("/other", &[]).await.text(), "old");
}

#[tokio::test]
async fn a_get_in_flight_during_a_post_is_neither_stored_nor_joined() {
    let mut rig = rig();
    let before = rig.get("/a", &[]);
    let old = rig.asked().await;
    change(&mut rig, "POST", "/a", 200, &[]).await;
    let after = rig.get("/a", &[]);
    let new = rig.asked().await;
    old.answer(200, FRESH, "old");
    let before = whole(before).await;
    assert_eq!(before.text(), "old");
    assert!(before.cache_status().contains("stored=?0"), "{}", before.cache_status());
    new.answer(200, FRESH, "new");
    assert_eq!(whole(after).await.text(), "new");
    assert_eq!(rig.hit("/a", &[]).await.text(), "new");
}

#[tokio::test]
async fn it_has_ended_before_its_answer_is_seen_even_if_nobody_reads_the_body() {
    let mut rig = rig();
    rig.fill("/a", FRESH, "old").await;
    let answer = rig.send("POST", "/a", &[], "x");
    let writer = rig.asked().await.begin(200, &[], None);
    let answer = head(answer).await;
    assert_eq!(rig.fill("/a", FRESH, "new").await.text(), "new");
    drop((answer, writer));
}

#[tokio::test]
async fn groups_are_invalidated_within_their_origin() {
    let mut rig = rig();
    let member = [("cache-control", "max-age=60"), ("etag", "\"v1\""), ("cache-groups", "\"x\", \"y\"")];
    rig.fill("/a", &member, "a").await;
    rig.fill("/b", FRESH, "b").await;
    let elsewhere = [("host", "other.test")];
    let other = rig.get("/a", &elsewhere);
    rig.asked().await.answer(200, &member, "other's");
    whole(other).await;
    // A tag field cannot name a group.
    let forged = [("cache-control", "max-age=60"), ("surrogate-key", "x")];
    rig.fill("/forged", &forged, "forged").await;

    // Not by a safe method, nor by a failure.
    let safe = rig.get("/c", &[]);
    rig.asked().await.answer(200, &[("cache-control", "max-age=60"), ("cache-group-invalidation", "\"x\"")], "c");
    whole(safe).await;
    let failed = rig.send("POST", "/c", &[], "x");
    rig.asked().await.answer(400, &[("cache-group-invalidation", "\"x\"")], "no");
    whole(failed).await;
    assert_eq!(rig.hit("/a", &[]).await.text(), "a");

    let changed = rig.send("POST", "/c", &[], "x");
    rig.asked().await.answer(200, &[("cache-group-invalidation", "\"z\", \"x\"")], "yes");
    // The purge runs on a thread of its own.
    let changed = read(changed.await.unwrap()).await;
    assert_eq!(changed.cache_status(), "oust; fwd=method; fwd-status=200");
    let validated = rig.get("/a", &[]);
    let asked = rig.asked().await;
    assert_eq!(asked.header("if-none-match"), Some("\"v1\""), "invalidated, not gone");
    asked.answer(304, &member, "");
    assert_eq!(whole(validated).await.text(), "a");
    assert_eq!(rig.hit("/b", &[]).await.text(), "b");
    assert_eq!(rig.hit("/forged", &[]).await.text(), "forged");
    assert_eq!(rig.hit("/a", &elsewhere).await.text(), "other's");
}

#[tokio::test]
async fn groups_can_be_off() {
    let mut rig = with(oust_tower::Options::new().groups(false));
    rig.fill("/a", &[("cache-control", "max-age=60"), ("cache-groups", "\"x\"")], "a").await;
    let changed = rig.send("POST", "/c", &[], "x");
    rig.asked().await.answer(200, &[("cache-group-invalidation", "\"x\"")], "yes");
    whole(changed).await;
    assert_eq!(rig.hit("/a", &[]).await.text(), "a");
}

#[tokio::test]
async fn h25_a_purge_by_method_is_no_purge() {
    let mut rig = rig();
    rig.fill("/a", FRESH, "kept").await;
    change(&mut rig, "PURGE", "/a", 405, &[]).await;
    assert_eq!(rig.hit("/a", &[]).await.text(), "kept");
    assert!(rig.cache.purge_records(None, 10).is_empty());
}

#[tokio::test]
async fn an_unsafe_method_that_offers_an_upgrade_ends_its_url_all_the_same() {
    let mut rig = rig();
    rig.fill("/a", FRESH, "old").await;
    let posted = rig.send("POST", "/a", &[("connection", "upgrade"), ("upgrade", "x")], "");
    let asked = rig.asked().await;
    assert_eq!(asked.header("upgrade"), None);
    asked.answer(200, &[], "");
    whole(posted).await;
    let next = rig.get("/a", &[]);
    rig.asked().await.answer(200, FRESH, "new");
    assert_eq!(whole(next).await.text(), "new");
}
