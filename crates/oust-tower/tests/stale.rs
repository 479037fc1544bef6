//! Stale responses: who may have them, and what a request may ask of the cache.

mod common;

use common::*;

const SWR: &[(&str, &str)] = &[("cache-control", "max-age=60, stale-while-revalidate=30"), ("etag", "\"v1\"")];
const SIE: &[(&str, &str)] = &[("cache-control", "max-age=60, stale-if-error=30"), ("etag", "\"v1\"")];

#[tokio::test]
async fn while_it_is_revalidated_a_stale_response_is_served() {
    let mut rig = rig();
    rig.fill("/a", SWR, "old").await;
    rig.pass_time(70);
    let first = whole(rig.get("/a", &[])).await;
    assert_eq!(first.text(), "old");
    assert_eq!(first.cache_status(), "oust; hit; ttl=-10; detail=expired");
    assert_eq!(first.header("age"), Some("70"));
    let asked = rig.asked().await;
    assert_eq!(asked.header("if-none-match"), Some("\"v1\""));
    assert_eq!(whole(rig.get("/a", &[])).await.text(), "old");
    assert_eq!(rig.count().await, 2, "one validation at a time");
    asked.answer(200, FRESH, "new");
    settle().await;
    assert_eq!(rig.hit("/a", &[]).await.text(), "new");
}

#[tokio::test]
async fn a_304_behind_a_client_makes_it_fresh_again() {
    let mut rig = rig();
    rig.fill("/a", SWR, "same").await;
    rig.pass_time(70);
    whole(rig.get("/a", &[])).await;
    rig.asked().await.answer(304, &[("cache-control", "max-age=99"), ("etag", "\"v1\""), ("x-new", "1")], "");
    let hit = rig.hit("/a", &[]).await;
    assert_eq!((hit.text(), hit.header("x-new")), ("same", Some("1")));
    assert_eq!(hit.cache_status(), "oust; hit; ttl=99");
}

#[tokio::test]
async fn a_failed_revalidation_leaves_what_is_stored() {
    let mut rig = rig();
    rig.fill("/a", SWR, "old").await;
    rig.pass_time(70);
    whole(rig.get("/a", &[])).await;
    rig.asked().await.answer(503, &[], "down");
    assert_eq!(whole(rig.get("/a", &[])).await.text(), "old");
    rig.asked().await.fail(502, "origin-down");
    assert_eq!(whole(rig.get("/a", &[])).await.text(), "old");
}

#[tokio::test]
async fn on_an_error_what_is_stale_is_served_within_its_window() {
    for broken in [true, false] {
        let mut rig = rig();
        rig.fill("/a", SIE, "old").await;
        rig.pass_time(70);
        let fail = |asked: Asked| if broken { asked.fail(502, "origin-down") } else { asked.answer(503, &[], "down") };
        let first = rig.get("/a", &[]);
        fail(rig.asked().await);
        let first = whole(first).await;
        assert_eq!((first.status, first.text()), (200, "old"));
        let fwd_status = if broken { "" } else { " fwd-status=503;" };
        assert_eq!(first.cache_status(), format!("oust; hit;{fwd_status} ttl=-10; detail=stale-if-error"));
        // Not to a client that asked for validation.
        let strict = rig.get("/a", &[("cache-control", "no-cache")]);
        fail(rig.asked().await);
        assert_eq!(whole(strict).await.status, if broken { 504 } else { 503 });
        rig.pass_time(30);
        let late = rig.get("/a", &[]);
        fail(rig.asked().await);
        assert_eq!(whole(late).await.status, if broken { 504 } else { 503 });
    }
}

#[tokio::test]
async fn an_origins_error_for_one_is_not_shared_and_says_so() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    rig.asked().await.answer(500, &[], "oops");
    let first = whole(first).await;
    assert_eq!((first.status, first.text()), (500, "oops"));
    assert_eq!(first.cache_status(), "oust; fwd=uri-miss; fwd-status=500");
}

#[tokio::test]
async fn a_304_to_another_validator_is_no_answer() {
    let mut rig = rig();
    rig.fill("/a", TAGGED, "old").await;
    rig.pass_time(70);
    let first = rig.get("/a", &[]);
    rig.asked().await.answer(304, &[("etag", "\"v9\"")], "");
    let again = rig.asked().await;
    assert_eq!(again.header("if-none-match"), None);
    again.answer(200, FRESH, "new");
    assert_eq!(whole(first).await.text(), "new");
}

#[tokio::test]
async fn a_request_may_ask_for_what_is_stored_only() {
    let mut rig = rig();
    let only = [("cache-control", "only-if-cached")];
    let nothing = rig.hit("/a", &only).await;
    assert_eq!((nothing.status, nothing.cache_status()), (504, "oust; detail=only-if-cached"));
    rig.fill("/a", FRESH, "there").await;
    assert_eq!(rig.hit("/a", &only).await.text(), "there");
}

#[tokio::test]
async fn a_request_may_ask_for_something_fresher_or_staler() {
    let mut rig = rig();
    rig.fill("/a", TAGGED, "v1").await;
    rig.pass_time(10);
    let fresh_enough = rig.hit("/a", &[("cache-control", "max-age=10, min-fresh=50")]).await;
    assert_eq!(fresh_enough.cache_status(), "oust; hit; ttl=50");
    for control in ["no-cache", "max-age=5", "min-fresh=55"] {
        let answer = rig.get("/a", &[("cache-control", control)]);
        let asked = rig.asked().await;
        assert_eq!(asked.header("if-none-match"), Some("\"v1\""));
        asked.answer(304, TAGGED, "");
        let answer = whole(answer).await;
        assert_eq!(answer.text(), "v1");
        assert_eq!(answer.cache_status(), "oust; fwd=request; fwd-status=304; stored", "{control}");
        rig.pass_time(10);
    }
    let down = rig.get("/a", &[("cache-control", "max-age=5")]);
    rig.asked().await.fail(502, "origin-down");
    let down = whole(down).await;
    assert_eq!(
        (down.text(), down.cache_status()),
        ("v1", "oust; hit; ttl=50; detail=stale-if-error"),
        "better than nothing"
    );
    rig.pass_time(60);
    let stale = rig.hit("/a", &[("cache-control", "max-stale=20")]).await;
    assert_eq!((stale.text(), stale.cache_status()), ("v1", "oust; hit; ttl=-10; detail=max-stale"));
    assert_eq!(rig.hit("/a", &[("cache-control", "max-stale")]).await.text(), "v1");
    rig.purge(A, oust::Action::Soft);
    let purged = rig.get("/a", &[("cache-control", "max-stale")]);
    rig.asked().await.answer(200, FRESH, "v2");
    assert_eq!(whole(purged).await.text(), "v2", "what was purged is not merely stale");
}

#[tokio::test]
async fn nothing_of_a_no_store_request_is_kept() {
    let mut rig = rig();
    let first = rig.get("/a", &[("cache-control", "no-store"), ("if-none-match", "\"x\"")]);
    let asked = rig.asked().await;
    assert_eq!(asked.header("if-none-match"), Some("\"x\""), "its conditions are its own");
    asked.answer(200, FRESH, "once");
    let first = whole(first).await;
    assert_eq!((first.text(), first.cache_status()), ("once", "oust; fwd=request; fwd-status=200"));
    rig.fill("/a", FRESH, "twice").await;
}

#[tokio::test]
async fn a_clients_conditions_are_answered_from_what_is_stored_or_just_came() {
    let mut rig = rig();
    let mine = [("if-none-match", "W/\"v1\"")];
    let first = rig.get("/a", &mine);
    rig.asked().await.answer(200, TAGGED, "body");
    let first = whole(first).await;
    assert_eq!((first.status, first.text(), first.header("etag")), (304, "", Some("\"v1\"")));
    let second = rig.hit("/a", &mine).await;
    assert_eq!((second.status, second.header("content-length")), (304, None));
    assert!(second.is_hit());
    assert_eq!(rig.hit("/a", &[("if-none-match", "\"v2\"")]).await.status, 200);
}

#[tokio::test]
async fn a_request_that_wants_nothing_kept_or_sent_starts_no_revalidation() {
    let mut rig = rig();
    rig.fill("/a", SWR, "old").await;
    rig.pass_time(70);
    for control in ["no-store", "only-if-cached"] {
        assert_eq!(rig.hit("/a", &[("cache-control", control)]).await.text(), "old");
    }
    assert_eq!(whole(rig.get("/a", &[])).await.text(), "old");
    rig.asked().await.answer(200, FRESH, "new");
    settle().await;
    assert_eq!(rig.hit("/a", &[]).await.text(), "new");
}

#[tokio::test]
async fn a_reload_of_what_is_immutable_asks_nobody() {
    let mut rig = rig();
    rig.fill("/a", &[("cache-control", "max-age=60, immutable")], "same").await;
    rig.pass_time(5);
    assert!(rig.hit("/a", &[("cache-control", "max-age=0")]).await.is_hit());
}

#[tokio::test]
async fn what_a_304_calls_private_is_not_kept_from_the_stored_response() {
    let mut rig = rig();
    rig.fill("/a", &[("cache-control", "max-age=60"), ("etag", "\"v1\""), ("x-mine", "1")], "body").await;
    assert_eq!(rig.hit("/a", &[]).await.header("x-mine"), Some("1"));
    rig.pass_time(61);
    let validated = rig.get("/a", &[]);
    rig.asked().await.answer(304, &[("cache-control", "max-age=60, private=\"x-mine\""), ("etag", "\"v1\"")], "");
    assert_eq!(whole(validated).await.header("x-mine"), None);
    let hit = rig.hit("/a", &[]).await;
    assert_eq!((hit.text(), hit.header("x-mine")), ("body", None));
}

#[tokio::test]
async fn a_window_of_the_sites_own_ends_with_a_purge() {
    use oust::freshness::Policy;
    use oust_tower::Options;

    let window = std::time::Duration::from_secs(60);
    for action in [None, Some(oust::Action::Invalidate), Some(oust::Action::Delete)] {
        let mut rig = with(Options::new().policy(Policy::new().stale_if_error(window)));
        rig.fill("/a", FRESH, "old").await;
        rig.pass_time(70);
        if let Some(action) = action {
            rig.purge("http://h.test/a", action);
        }
        let answer = rig.get("/a", &[]);
        rig.asked().await.fail(502, "origin-down");
        let answer = whole(answer).await;
        assert_eq!(answer.status == 200, action.is_none(), "{action:?}: {}", answer.cache_status());
        rig.pass_time(60);
        let late = rig.get("/a", &[]);
        rig.asked().await.fail(502, "origin-down");
        assert_ne!(whole(late).await.status, 200, "{action:?}");
    }
}
