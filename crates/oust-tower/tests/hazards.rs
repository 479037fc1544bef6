//! What must hold when a purge meets what is in flight: the hazards by their numbers, and guarantees G1-G3.

mod common;

use common::*;
use oust::{Action, Purge, Selector};

const ACTIONS: [Action; 3] = [Action::Delete, Action::Invalidate, Action::Soft];

#[tokio::test]
async fn h1_a_fill_held_before_its_head_is_not_stored_after_a_purge() {
    for action in ACTIONS {
        let mut rig = rig();
        let first = rig.get("/a", &[]);
        let held = rig.asked().await;
        rig.purge(A, action);
        held.answer(200, FRESH, "old");
        let first = whole(first).await;
        assert_eq!(first.text(), "old", "who waited before the purge gets it");
        assert_eq!(
            first.cache_status(),
            "oust; fwd=uri-miss; fwd-status=200; stored=?0; detail=purge-fenced",
            "{action:?}"
        );
        assert_eq!(rig.fill("/a", FRESH, "new").await.text(), "new");
        assert_eq!(rig.hit("/a", &[]).await.text(), "new");
    }
}

#[tokio::test]
async fn h1_a_fill_held_in_mid_body_is_not_stored_after_a_purge() {
    for action in ACTIONS {
        let mut rig = rig();
        let first = rig.get("/a", &[]);
        let writer = rig.asked().await.begin(200, FRESH, Some(6));
        writer.write("old");
        let mut first = head(first).await;
        assert_eq!(next(&mut first).await, Some(Some(Ok("old".to_owned()))));
        rig.purge(A, action);
        writer.write("est");
        drop(writer);
        assert_eq!(next(&mut first).await, Some(Some(Ok("est".to_owned()))));
        assert_eq!(rig.fill("/a", FRESH, "new").await.text(), "new");
    }
}

#[tokio::test]
async fn h2_a_purge_of_an_empty_key_counts_for_the_fill_that_runs() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let held = rig.asked().await;
    rig.cache.purge(&Purge::new(Selector::Host(HOST.into()))).expect("nothing stored is no error");
    held.answer(200, FRESH, "old");
    assert_eq!(whole(first).await.text(), "old");
    assert_eq!(rig.fill("/a", FRESH, "new").await.text(), "new");
}

#[tokio::test]
async fn h3_a_request_after_the_ack_does_not_join_a_fill_from_before() {
    for action in ACTIONS {
        let mut rig = rig();
        let before = rig.get("/a", &[]);
        let old = rig.asked().await;
        let joined = rig.get("/a", &[]);
        settle().await;
        rig.purge(A, action);
        let after = rig.get("/a", &[]);
        let new = rig.asked().await;
        old.answer(200, FRESH, "old");
        assert_eq!(whole(before).await.text(), "old");
        let joined = whole(joined).await;
        assert_eq!(joined.text(), "old", "who joined before the purge has waited long enough");
        assert!(joined.cache_status().contains("; collapsed"), "{}", joined.cache_status());
        new.answer(200, FRESH, "new");
        assert_eq!(whole(after).await.text(), "new");
        assert_eq!(rig.hit("/a", &[]).await.text(), "new");
    }
}

#[tokio::test]
async fn h3_a_tag_that_only_the_response_tells_sends_later_joiners_away() {
    let mut rig = rig();
    let before = rig.get("/a", &[]);
    let old = rig.asked().await;
    rig.cache.purge(&Purge::new(Selector::Tag("t".into()))).unwrap();
    // Nobody knows yet that it has the tag.
    let after = rig.get("/a", &[]);
    let fields = [("cache-control", "max-age=60"), ("surrogate-key", "s t")];
    old.answer(200, &fields, "old");
    assert_eq!(whole(before).await.text(), "old");
    rig.asked().await.answer(200, &fields, "new");
    let after = whole(after).await;
    assert_eq!(after.text(), "new");
    assert_eq!(after.header("surrogate-key"), None, "tags are between origin and cache");
}

#[tokio::test]
async fn h4_a_304_to_a_request_from_before_a_purge_revives_nothing() {
    for action in ACTIONS {
        let mut rig = rig();
        rig.fill("/a", TAGGED, "old").await;
        rig.pass_time(61);
        let first = rig.get("/a", &[]);
        let held = rig.asked().await;
        assert_eq!(held.header("if-none-match"), Some("\"v1\""));
        rig.purge(A, action);
        held.answer(304, TAGGED, "");
        let first = whole(first).await;
        assert_eq!((first.status, first.text()), (200, "old"));
        assert!(first.cache_status().contains("stored=?0; detail=purge-fenced"), "{}", first.cache_status());
        let second = rig.get("/a", &[]);
        let again = rig.asked().await;
        // A delete lends no validators.
        assert_eq!(again.header("if-none-match").is_some(), action != Action::Delete, "{action:?}");
        again.answer(200, FRESH, "new");
        assert_eq!(whole(second).await.text(), "new");
    }
}

#[tokio::test]
async fn an_invalidated_object_is_kept_by_a_304_and_never_served_unvalidated() {
    let mut rig = rig();
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=60, stale-if-error=60"), ("etag", "\"v1\"")];
    rig.fill("/a", &fields, "body").await;
    rig.purge(A, Action::Invalidate);
    let down = rig.get("/a", &[]);
    rig.asked().await.fail(502, "origin-down");
    let down = whole(down).await;
    assert_eq!(down.status, 504);
    assert_eq!(down.cache_status(), "oust; fwd=stale; detail=origin-down");
    let validated = rig.get("/a", &[]);
    rig.asked().await.answer(304, &fields, "");
    let validated = whole(validated).await;
    assert_eq!((validated.status, validated.text()), (200, "body"));
    assert_eq!(validated.cache_status(), "oust; fwd=stale; fwd-status=304; stored; detail=purged-invalidate");
    assert!(rig.hit("/a", &[]).await.is_hit());
}

#[tokio::test]
async fn h7_soft_stale_is_marked_and_never_given_to_another_cache() {
    for claim in [("via", "1.1 shield"), ("cdn-loop", "shield")] {
        let mut rig = rig();
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=60"), ("etag", "\"v1\"")];
        rig.fill("/a", &fields, "old").await;
        rig.pass_time(5);
        rig.purge(A, Action::Soft);
        let peer = rig.get("/a", &[claim]);
        let asked = rig.asked().await;
        // A client that says it is none, meanwhile.
        let other = whole(rig.get("/a", &[])).await;
        assert_eq!(other.text(), "old");
        assert_eq!(other.cache_status(), "oust; hit; ttl=0; detail=purged-soft");
        assert_eq!(other.header("cdn-cache-control"), Some("max-age=0"));
        assert_eq!(other.header("age"), Some("5"), "a purge does not change an age");
        asked.answer(200, FRESH, "new");
        let peer = whole(peer).await;
        assert_eq!(peer.text(), "new");
        assert_eq!(peer.header("cdn-cache-control"), None);
        assert_eq!(rig.count().await, 2, "the client behind joined the validation of the peer's request");
    }
}

#[tokio::test]
async fn h7_soft_stale_is_not_given_to_another_cache_on_an_error_either() {
    let mut rig = rig();
    rig.fill("/a", &[("cache-control", "max-age=60, stale-if-error=60"), ("etag", "\"v1\"")], "old").await;
    rig.purge(A, Action::Soft);
    let peer = rig.get("/a", &[("via", "1.1 shield")]);
    rig.asked().await.fail(502, "origin-down");
    assert_eq!(whole(peer).await.status, 504);
    let client = rig.get("/a", &[]);
    rig.asked().await.fail(502, "origin-down");
    let client = whole(client).await;
    assert_eq!(client.text(), "old");
    assert_eq!(client.cache_status(), "oust; hit; ttl=0; detail=purged-soft");
    assert_eq!(client.header("cdn-cache-control"), Some("max-age=0"));
}

#[tokio::test]
async fn h22_after_an_invalidation_of_a_host_each_object_is_asked_for_once_and_without_its_body() {
    let mut rig = rig();
    for n in 0..5 {
        rig.fill(&format!("/{n}"), TAGGED, "body").await;
    }
    assert_eq!(rig.count().await, 5);
    rig.cache.purge(&Purge::new(Selector::Host(HOST.into())).action(Action::Invalidate)).unwrap();
    let crowd: Vec<_> = (0..100).map(|n| rig.get(&format!("/{}", n % 5), &[])).collect();
    for _ in 0..5 {
        let asked = rig.asked().await;
        assert_eq!(asked.header("if-none-match"), Some("\"v1\""));
        asked.answer(304, TAGGED, "");
    }
    for one in crowd {
        assert_eq!(whole(one).await.text(), "body");
    }
    assert_eq!(rig.count().await, 10);
}

#[tokio::test]
async fn h22_after_a_delete_of_a_host_a_crowd_asks_once_for_each_object() {
    let mut rig = rig();
    rig.fill("/a", TAGGED, "old").await;
    rig.cache.purge(&Purge::new(Selector::Host(HOST.into()))).unwrap();
    let crowd: Vec<_> = (0..100).map(|_| rig.get("/a", &[])).collect();
    rig.asked().await.answer(200, TAGGED, "new");
    for one in crowd {
        assert_eq!(whole(one).await.text(), "new");
    }
    assert_eq!(rig.count().await, 2);
}

#[tokio::test]
async fn h23_negative_answers_and_marks_of_uncacheable_keys_are_purged_too() {
    let mut rig = rig();
    let missing = rig.get("/a", &[]);
    rig.asked().await.answer(404, FRESH, "none");
    assert_eq!(whole(missing).await.status, 404);
    assert_eq!(rig.hit("/a", &[]).await.status, 404);
    rig.purge(A, Action::Delete);
    assert_eq!(rig.fill("/a", FRESH, "there").await.text(), "there");

    // Uncacheable: two requests do not wait for each other ...
    rig.fill("/b", &[("cache-control", "private")], "mine").await;
    let (one, two) = (rig.get("/b", &[]), rig.get("/b", &[]));
    rig.asked().await.answer(200, &[("cache-control", "private")], "1");
    rig.asked().await.answer(200, &[("cache-control", "private")], "2");
    assert_eq!((whole(one).await.text(), whole(two).await.text()), ("1", "2"));
    // ... until a purge takes the mark.
    rig.purge("http://h.test/b", Action::Delete);
    let (one, two) = (rig.get("/b", &[]), rig.get("/b", &[]));
    rig.asked().await.answer(200, FRESH, "ours");
    assert_eq!((whole(one).await.text(), whole(two).await.text()), ("ours", "ours"));
}
