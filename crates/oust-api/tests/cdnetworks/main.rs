//! CDNetworks CDN Pro at the HTTP level.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../common/mod.rs"]
mod common;

mod auth;
mod errors;
mod patterns;
mod purge;
mod tasks;

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::{Answer, Fixture};
use hmac::{Hmac, Mac};
use http::Method;
use oust::clock::Clock;
use oust::site::{Environment, KeyPolicy, Query, Site, Sites};
use oust_api::{Account, Cdnetworks, Rate};
use serde_json::Value;

/// An account that uses both schemes.
fn account(name: &str, hosts: &[&str]) -> Account {
    let cdnetworks = Cdnetworks {
        user: name.to_owned(),
        api_key: format!("{name}-key"),
        access_key: format!("{name}-ak"),
        secret_key: format!("{name}-sk"),
        ..Cdnetworks::default()
    };
    Account { cdnetworks: Some(cdnetworks), ..Account::new(name, hosts.iter().copied()) }
}

/// As [`account`], with another rate.
fn rated(name: &str, hosts: &[&str], rate: Rate) -> Account {
    let mut account = account(name, hosts);
    account.cdnetworks.as_mut().unwrap().rate = rate;
    account
}

/// Sites of both environments: `h` and `v` (whose keys vary) in production, `s` in staging.
fn sites() -> Sites {
    Sites::new([
        Site::new(["h", "other"]).aliases(["www.h"]),
        Site::new(["v"]).policy(KeyPolicy::new().headers(["x-lang"]).device(true)),
        Site::new(["sorted"]).policy(KeyPolicy::new().query(Query::Sort)),
        Site::new(["s"]).environment(Environment::Staging),
    ])
    .unwrap()
}

/// The password of a date.
fn password(key: &str, date: &str) -> String {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(date.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Sends as an account does by the Basic scheme.
fn send(fixture: &Fixture, user: &str, method: Method, target: &str, body: &str) -> Answer {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(fixture.clock.now_ms()));
    let authorization = basic(user, &password(&format!("{user}-key"), &date));
    let headers = [("host", "api.cdnetworks.com"), ("date", date.as_str()), ("authorization", &authorization)];
    let answer = fixture.send(method, target, &headers, body);
    assert_eq!(answer.headers.get_all("x-cnc-request-id").iter().count(), 1, "{target}");
    answer
}

fn get(fixture: &Fixture, user: &str, target: &str) -> Answer {
    send(fixture, user, Method::GET, target, "")
}

fn purge(fixture: &Fixture, user: &str, body: &Value) -> Answer {
    send(fixture, user, Method::POST, "/cdn/purges", &body.to_string())
}

/// Stores what is not there.
fn restore(fixture: &Fixture, key: &str) {
    if !fixture.holds(key) {
        fixture.store(key);
    }
}

/// The path of a purge that must be accepted.
#[track_caller]
fn purged(fixture: &Fixture, user: &str, body: &Value) -> String {
    let answer = purge(fixture, user, body);
    assert_eq!(answer.status, 201, "{body}: {}", answer.json);
    let location = answer.headers["location"].to_str().unwrap();
    location.strip_prefix("http://api.cdnetworks.com").unwrap().to_owned()
}

/// Checks status, code and message of a refusal; a message that ends in `...` is a beginning.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, message: &str) {
    assert_eq!(answer.status, status, "{}", answer.json);
    assert_eq!(answer.json["code"], code, "{}", answer.json);
    assert_eq!(answer.headers["content-type"], "application/json;charset=utf-8");
    let given = answer.json["message"].as_str().unwrap();
    match message.strip_suffix("...") {
        Some(beginning) => assert!(given.starts_with(beginning), "{given}"),
        None => assert_eq!(given, message),
    }
    assert_eq!(answer.json.as_object().unwrap().len(), 2);
}
