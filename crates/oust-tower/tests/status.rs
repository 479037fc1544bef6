//! Fields of answers: `Cache-Status` on every one of them, `Age`, `Via`, and the settings that change them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::*;
use http::HeaderName;
use oust_tower::Options;

#[tokio::test]
async fn every_way_to_answer_says_which_it_was() {
    let mut rig = rig();
    let miss = rig.fill("/a", FRESH, "a").await;
    assert_eq!(miss.cache_status(), "oust; fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(miss.header("via"), Some("1.1 oust"));
    rig.pass_time(7);
    let hit = rig.hit("/a", &[]).await;
    assert_eq!(hit.cache_status(), "oust; hit; ttl=53");
    assert_eq!(
        (hit.header("age"), hit.header("via"), hit.header("content-length")),
        (Some("7"), Some("1.1 oust"), Some("1"))
    );
    let head = whole(rig.send("HEAD", "/a", &[], "")).await;
    assert_eq!((head.cache_status(), head.text(), head.header("content-length")), ("oust; hit; ttl=53", "", Some("1")));

    rig.purge(A, oust::Action::Delete);
    // With the background sweep off the object is still there to be seen purged.
    let purged = rig.fill("/a", FRESH, "a").await;
    assert_eq!(purged.cache_status(), "oust; fwd=uri-miss; fwd-status=200; stored; detail=purged-delete");

    rig.pass_time(61);
    let expired = rig.fill("/a", TAGGED, "a").await;
    assert_eq!(expired.cache_status(), "oust; fwd=stale; fwd-status=200; stored");
    rig.pass_time(61);
    let validated = rig.get("/a", &[]);
    rig.asked().await.answer(304, TAGGED, "");
    assert_eq!(whole(validated).await.cache_status(), "oust; fwd=stale; fwd-status=304; stored");

    let with_body = rig.send("GET", "/a", &[], "body");
    rig.asked().await.answer(200, FRESH, "x");
    assert_eq!(whole(with_body).await.cache_status(), "oust; fwd=bypass; fwd-status=200");

    let no_host = rig.get("/a", &[("host", "")]);
    rig.asked().await.answer(200, FRESH, "x");
    assert_eq!(whole(no_host).await.cache_status(), "oust; fwd=bypass; fwd-status=200; detail=malformed");
    let too_long = rig.get(&format!("/{}", "x".repeat(9000)), &[]);
    rig.asked().await.answer(200, FRESH, "x");
    assert_eq!(whole(too_long).await.cache_status(), "oust; fwd=bypass; fwd-status=200; detail=too-long");

    let offer = [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "x")];
    assert!(rig.hit("/a", &offer).await.is_hit());
    let upgrade = rig.get("/a", &[("connection", "upgrade"), ("upgrade", "x")]);
    let asked = rig.asked().await;
    assert_eq!((asked.header("connection"), asked.header("upgrade")), (Some("upgrade"), Some("x")));
    asked.answer(101, &[("connection", "upgrade"), ("upgrade", "x")], "");
    let upgrade = whole(upgrade).await;
    assert_eq!((upgrade.cache_status(), upgrade.header("upgrade")), ("oust; fwd=bypass; fwd-status=101", Some("x")));
}

#[tokio::test]
async fn members_of_other_caches_and_their_age_are_kept() {
    let mut rig = rig();
    let fields =
        [("cache-control", "max-age=60"), ("cache-status", "shield; hit"), ("age", "10"), ("via", "1.1 shield")];
    let miss = rig.fill("/a", &fields, "a").await;
    let all: Vec<_> = miss.headers.get_all("cache-status").iter().collect();
    assert_eq!(all, ["shield; hit", "oust; fwd=uri-miss; fwd-status=200; stored"]);
    rig.pass_time(5);
    let hit = rig.hit("/a", &[]).await;
    assert_eq!(hit.header("age"), Some("15"));
    let via: Vec<_> = hit.headers.get_all("via").iter().collect();
    assert_eq!(via, ["1.1 shield", "1.1 oust"]);
}

#[tokio::test]
async fn tags_are_read_from_the_fields_and_not_shown() {
    for (field, value, tag) in [
        ("surrogate-key", "s t,u", "t,u"),
        ("xkey", "s t", "t"),
        ("cache-tag", "s, t u", "t u"),
        ("edge-cache-tag", "s,t", "t"),
        ("x-cache-tags", "s,t", "t"),
    ] {
        let mut rig = rig();
        let shown = rig.fill("/a", &[("cache-control", "max-age=60"), (field, value)], "old").await;
        assert_eq!(shown.header(field), None);
        assert_eq!(rig.hit("/a", &[]).await.header(field), None);
        rig.cache.purge(&oust::Purge::new(oust::Selector::Tag(tag.into()))).unwrap();
        assert_eq!(rig.fill("/a", FRESH, "new").await.text(), "new", "{field}");
    }
}

#[tokio::test]
async fn settings_change_names_keys_and_tags() {
    let options = Options::new()
        .name("edge-1")
        .unwrap()
        .cache_status_key(true)
        .keep_tags(true)
        .tag_headers([HeaderName::from_static("my-tags")]);
    let mut rig = with(options);
    let fields = [("cache-control", "max-age=60"), ("my-tags", "t"), ("surrogate-key", "s")];
    let miss = rig.fill("/a?b", &fields, "a").await;
    assert_eq!(miss.cache_status(), "edge-1; fwd=uri-miss; fwd-status=200; stored; key=\"http://h.test/a?b\"");
    assert_eq!((miss.header("via"), miss.header("my-tags")), (Some("1.1 edge-1"), Some("t")));
    assert_eq!(rig.hit("/a?b", &[]).await.cache_status(), "edge-1; hit; ttl=60; key=\"http://h.test/a?b\"");
    rig.cache.purge(&oust::Purge::new(oust::Selector::Tag("s".into()))).unwrap();
    assert!(rig.hit("/a?b", &[]).await.cache_status().starts_with("edge-1; hit"));
    for bad in ["", "a b", "1a", "a:b", "ä"] {
        assert!(Options::new().name(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn what_is_too_large_says_so() {
    let mut rig = rig();
    let first = rig.get("/a", &[]);
    let writer =
        rig.asked().await.begin(200, &[("cache-control", "max-age=60"), ("content-length", "99999999999")], None);
    let first = head(first).await;
    assert_eq!(first.headers()["cache-status"], "oust; fwd=uri-miss; fwd-status=200; stored=?0; detail=too-large");
    drop((first, writer));
}

#[tokio::test]
async fn keys_and_settings_may_come_from_whoever_embeds_it() {
    use std::sync::{Arc, Mutex};

    use http::request::Parts;
    use oust::{Cache, Config, Key};
    use oust_tower::{CacheLayer, Event, KeyFor, NoKey};
    use tower_layer::Layer;
    use tower_service::Service;

    struct Keys(Arc<Options>, Arc<Mutex<Vec<Event>>>);

    impl KeyFor for Keys {
        fn key_for(&self, request: &Parts) -> Result<Key, NoKey> {
            match request.uri.path() {
                "/private" => Err(NoKey::Unwanted),
                path => Key::parse(format!("https://one.test{path}").as_bytes())
                    .map_err(|error| NoKey::Malformed(error.to_string())),
            }
        }

        fn options_for<'a>(&'a self, request: &Parts, default: &'a Arc<Options>) -> &'a Arc<Options> {
            if request.uri.path() == "/special" { &self.0 } else { default }
        }

        fn event(&self, event: Event) {
            self.1.lock().unwrap().push(event);
        }
    }

    let events = Arc::new(Mutex::new(Vec::new()));
    let special = Arc::new(Options::new().name("special").unwrap());
    let cache: Cache = Config::new().edge_size(16 << 20).build().unwrap();
    let origin = Origin;
    let layer = CacheLayer::new(cache.clone()).keys(Keys(special, events.clone()));
    let mut service = layer.layer(origin);
    for (path, expected) in [
        ("/a", "oust; fwd=uri-miss; fwd-status=200; stored"),
        ("/special", "special; fwd=uri-miss; fwd-status=200; stored"),
        ("/private", "oust; fwd=bypass; fwd-status=200; detail=unwanted"),
    ] {
        // No Host is needed where the embedder knows the key without.
        let request = http::Request::get(path).body(Sent::default()).unwrap();
        let answer = service.call(request).await.unwrap();
        assert_eq!(answer.headers()["cache-status"], expected);
    }
    assert_eq!(*events.lock().unwrap(), [Event::Fetched, Event::Fetched, Event::Passed]);

    /// Answers everything at once.
    #[derive(Clone)]
    struct Origin;

    impl Service<http::Request<Sent>> for Origin {
        type Response = http::Response<Sent>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), std::convert::Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Sent>) -> Self::Future {
            if request.uri().path() != "/private" {
                assert_eq!(request.headers()["host"], "one.test");
            }
            let answer = http::Response::builder().header("cache-control", "max-age=60");
            std::future::ready(Ok(answer.body(Sent("x".into())).unwrap()))
        }
    }
}
