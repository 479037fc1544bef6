//! The APIs of a cache with a second tier: what they purge there, and what they answer when its journal cannot be written.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::sync::Arc;

use common::{Fixture, NOW_MS};
use http::Method;
use oust::clock::ManualClock;
use oust::disk::media::{Crash, Failure, Operation};
use oust::{Config, L2Config};
use oust_api::{Account, Api, Azion, ImageKit, Medianova};
use serde_json::json;

const RESOURCE: &str = "6d0e2f3a-1111-4222-8333-444455556666";
const ORGANIZATION: &str = "0a1b2c3d-1111-4222-8333-444455556666";
const URL: &str = "http://www.example.com/a";

fn fixture(media: &Crash) -> Fixture {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let l2 = L2Config::media(Arc::new(media.clone()), 32 << 20).segment_size(1 << 20);
    let config = Config::new().edge_size(16 << 20).background_sweep(false).l2(l2);
    let cache = config.clock(Arc::clone(&clock) as _).build().unwrap();
    let account = Account {
        azion: Some(Azion { tokens: vec!["token".into()], ..Azion::default() }),
        medianova: Some(Medianova {
            organization: ORGANIZATION.into(),
            resources: [(RESOURCE.to_owned(), "www.example.com".to_owned())].into(),
            tokens: vec!["fixed".into()],
            ..Medianova::default()
        }),
        imagekit: Some(ImageKit { private_key: "private".into(), ..ImageKit::default() }),
        ..Account::new("acme", ["www.example.com"])
    };
    let api = Api::with_clock(cache.clone(), [account], Arc::clone(&clock) as _).unwrap();
    Fixture { cache, api, clock }
}

#[test]
fn azion_purges_each_layer_by_name() {
    let media = Crash::new();
    let fixture = fixture(&media);
    fixture.store(URL);
    fixture.cache.flush().unwrap();
    assert_eq!(fixture.cache.stats().l2.unwrap().objects, 1);
    let purge = |layer: &str| {
        let body = json!({ "urls": [URL], "layer": layer });
        let answer = fixture.post("/purge/cachekey", &[("authorization", "Token token")], &body);
        assert_eq!(answer.status, 201, "{}", answer.json);
        fixture.cache.purge_records(None, 1).remove(0)
    };
    let record = purge("l2_caching");
    assert_eq!((record.layers.edge, record.layers.l2, record.durable), (false, true, true));
    fixture.cache.sweep();
    assert_eq!(fixture.cache.stats().l2.unwrap().objects, 0, "it is gone there");
    assert!(fixture.holds(URL), "and the edge is left alone");
    assert!(purge("edge_caching").layers.edge);
    assert!(!fixture.holds(URL));
}

/// Each vendor's clients are told in their own shape that a purge may be undone.
#[test]
fn g5_nothing_is_acknowledged_that_is_not_on_disk() {
    let media = Crash::new();
    let fixture = fixture(&media);
    media.fail_all(Operation::Sync, Failure::Io);
    let azion =
        fixture.post("/v4/workspace/purge/url", &[("authorization", "Token token")], &json!({ "items": [URL] }));
    assert_eq!((azion.status.as_u16(), &azion.json["errors"][0]["status"]), (503, &json!("503")), "{}", azion.json);
    assert!(azion.headers.contains_key("retry-after"));
    let basic = [("authorization", "Basic cHJpdmF0ZTo="), ("content-type", "application/json")];
    let imagekit = fixture.send(Method::POST, "/v1/files/purge", &basic, &json!({ "url": URL }).to_string());
    assert!(imagekit.status == 503 && imagekit.json["message"].is_string(), "{} {}", imagekit.status, imagekit.json);
    let path = format!("/api/v1/cdn/{ORGANIZATION}/job/{RESOURCE}/purge");
    let body = json!({ "resource_uuid": RESOURCE, "file_path": ["/a"] });
    let medianova = fixture.post(&path, &[("authorization", "Bearer fixed")], &body);
    assert!(medianova.status == 503 && medianova.json["opID"].is_null(), "{} {}", medianova.status, medianova.json);
    media.heal();
    let azion =
        fixture.post("/v4/workspace/purge/url", &[("authorization", "Token token")], &json!({ "items": [URL] }));
    assert_eq!(azion.status, 201);
}
