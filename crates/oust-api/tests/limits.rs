//! Limits that hold whatever a client asks for.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Fixture, NOW_MS};
use hmac::{Hmac, Mac};
use http::Method;
use oust::clock::ManualClock;
use oust::{Config, Purge, Selector};
use oust_api::{Account, Api, ImageKit, Naver};
use serde_json::json;

fn naver(fixture: &Fixture, body: &str) -> Answer {
    let timestamp = NOW_MS.to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"SK").unwrap();
    mac.update(format!("POST /api/v1/purge\n{timestamp}\nAK").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let headers = [
        ("x-ncp-apigw-timestamp", timestamp.as_str()),
        ("x-ncp-iam-access-key", "AK"),
        ("x-ncp-apigw-signature-v2", &signature),
    ];
    fixture.send(Method::POST, "/api/v1/purge", &headers, body)
}

/// Each target is purged of each host, so that a body of eight million bytes would become a billion selectors.
#[test]
fn targets_of_naver_times_hosts() {
    let hosts: Vec<String> = (0..1_000).map(|number| format!("h{number}")).collect();
    let own = Naver { access_key: "AK".into(), secret_key: "SK".into(), edge_id: 1 };
    let fixture = Fixture::new([Account { naver: Some(own), ..Account::new("acme", hosts) }]);
    for (count, message) in [
        (101, "purgeTarget: 101 targets of 1000 hosts, the most is 100000 together"),
        (1_000_000, "purgeTarget has 1000000 targets, the most is 100000"),
    ] {
        let targets = vec!["\"/a\""; count].join(",");
        let answer = naver(&fixture, &format!(r#"{{"edgeId":1,"purgeType":"URL","purgeTarget":[{targets}]}}"#));
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (400, &json!("0040")));
        assert_eq!(answer.json["message"], message);
    }
}

#[test]
fn a_purge_that_the_engine_refuses_costs_no_quota_of_imagekit() {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let config = Config::new().background_sweep(false).max_rules(1).clock(Arc::clone(&clock) as _);
    let cache = config.build().unwrap();
    let own = ImageKit { private_key: "key".into(), monthly: 1, wildcard: false };
    let account = Account { imagekit: Some(own), ..Account::new("acme", ["h"]) };
    let fixture =
        Fixture { api: Api::with_clock(cache.clone(), [account], Arc::clone(&clock) as _).unwrap(), cache, clock };
    let basic = format!("Basic {}", STANDARD.encode("key:"));
    let purge = || {
        let body = json!({ "url": "http://h/a" });
        fixture.post("/v1/files/purge", &[("authorization", &basic)], &body).status.as_u16()
    };
    fixture.cache.purge(&Purge::new(Selector::Url("http://other/".into()))).unwrap();
    assert_eq!([purge(), purge()], [503, 503], "the cap of live rules");
    fixture.cache.sweep();
    assert_eq!([purge(), purge()], [201, 429]);
}
