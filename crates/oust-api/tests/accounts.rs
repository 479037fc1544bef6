//! An account with credentials in every dialect: what it can do, and that it can do nothing to another.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, Fixture};
use hmac::{Hmac, Mac};
use http::Method;
use oust::Config;
use oust::clock::Clock;
use oust::site::{Environment, Site, Sites};
use oust_api::{Account, Api, Azion, Cdnetworks, ImageKit, Medianova, Naver, Rate};
use serde_json::{Value, json};

/// No limit here: what is refused is refused for what it says.
const MANY: Rate = Rate::new(1_000_000, 60);

/// An account with credentials in every dialect, made of its name.
fn account(name: &str, hosts: &[&str]) -> Account {
    let resources = [(format!("{name}-r"), hosts[0].to_owned())].into();
    Account {
        azion: Some(Azion { tokens: vec![name.to_owned()], url: MANY, wildcard: MANY }),
        naver: Some(Naver { access_key: name.to_owned(), secret_key: format!("{name}-sk"), edge_id: 1 }),
        medianova: Some(Medianova {
            organization: name.to_owned(),
            resources,
            tokens: vec![name.to_owned()],
            ..Medianova::default()
        }),
        cdnetworks: Some(Cdnetworks {
            user: name.to_owned(),
            api_key: format!("{name}-key"),
            rate: MANY,
            ..Cdnetworks::default()
        }),
        imagekit: Some(ImageKit { private_key: name.to_owned(), wildcard: true, monthly: MANY.requests }),
        ..Account::new(name, hosts.iter().copied())
    }
}

fn azion(fixture: &Fixture, name: &str, kind: &str, item: &str) -> Answer {
    let token = format!("Token {name}");
    fixture.post(&format!("/purge/{kind}"), &[("authorization", &token)], &json!({ "urls": [item] }))
}

fn naver(fixture: &Fixture, name: &str, body: &Value) -> Answer {
    signed(fixture, name, Method::POST, "/api/v1/purge", &body.to_string())
}

fn signed(fixture: &Fixture, name: &str, method: Method, target: &str, body: &str) -> Answer {
    let timestamp = fixture.clock.now_ms().to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(format!("{name}-sk").as_bytes()).unwrap();
    mac.update(format!("{method} {target}\n{timestamp}\n{name}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let headers = [
        ("x-ncp-apigw-timestamp", timestamp.as_str()),
        ("x-ncp-iam-access-key", name),
        ("x-ncp-apigw-signature-v2", &signature),
    ];
    fixture.send(method, target, &headers, body)
}

fn medianova(fixture: &Fixture, name: &str, path: &str) -> Answer {
    let body = json!({ "resource_uuid": format!("{name}-r"), "file_path": [path] });
    let token = format!("Bearer {name}");
    fixture.post(&format!("/api/v1/cdn/{name}/job/{name}-r/purge"), &[("authorization", &token)], &body)
}

fn cdnetworks(fixture: &Fixture, name: &str, body: &Value) -> Answer {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(fixture.clock.now_ms()));
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(format!("{name}-key").as_bytes()).unwrap();
    mac.update(date.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    let basic = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    fixture.post("/cdn/purges", &[("date", &date), ("authorization", &basic)], body)
}

fn imagekit(fixture: &Fixture, name: &str, url: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{name}:")));
    fixture.post("/v1/files/purge", &[("authorization", &basic)], &json!({ "url": url }))
}

fn site(hosts: &[&str]) -> Site {
    Site::new(hosts.iter().copied())
}

#[test]
fn no_spelling_of_a_host_reaches_anothers() {
    let sites = Sites::new([
        site(&["www.victim.com"]).aliases(["alias.victim.com", "victim.example"]),
        site(&["xn--bcher-kva.de"]),
        site(&["evil.com"]),
        site(&["stage.victim.com"]).environment(Environment::Staging),
        site(&["*"]),
    ]);
    let accounts = [
        account("evil", &["evil.com", "*.evil.org"]),
        account("victim", &["xn--bcher-kva.de", "*.victim.com", "evil.org"]),
    ];
    let fixture = Fixture::with_sites(sites.unwrap(), accounts);
    let kept: Vec<String> =
        ["www.victim.com", "www.victim.com:8080", "stage.victim.com", "xn--bcher-kva.de", "evil.org"]
            .iter()
            .flat_map(|host| [format!("http://{host}/a"), format!("https://{host}/a@@v=1")])
            .collect();
    kept.iter().for_each(|key| fixture.store(key));
    let unchanged = |what: &str| {
        for key in &kept {
            assert!(fixture.holds(key), "{what} took {key}");
        }
    };
    let spellings = [
        "www.victim.com",
        "WWW.Victim.COM",
        "www.victim.com.",
        "www.victim.com:80",
        "www.victim.com:",
        "www.victim.com:8080",
        "%77ww.victim.com",
        "alias.victim.com",
        "victim.example",
        "stage.victim.com",
        "b\u{fc}cher.de",
        "B\u{dc}CHER.DE",
        "xn--bcher-kva.de",
        "evil.org",
        "evil.com@www.victim.com",
        "www.victim.com@evil.com",
        "evil.com:80@www.victim.com",
        "evil.com\\@www.victim.com",
        "evil.com%2f@www.victim.com",
        "*",
        "*.victim.com",
        "*.com",
        "www.*",
        "evil.com,www.victim.com",
        "evil.com|www.victim.com",
        "(evil|www.victim).com",
        "www.victim.com%00.evil.org",
        "www.victim.com#.evil.org",
        "www.victim.com?.evil.org",
        "",
        ".",
        "[www.victim.com]",
    ];
    for host in spellings {
        for scheme in ["http://", "any://", "https", "HTTPS", "", "//", "*://"] {
            for path in ["/a", "/a@@v=1", "/*", "/*@@*", "/|http://www.victim.com/a"] {
                let url = format!("{scheme}{host}{path}");
                for kind in ["url", "cachekey", "wildcard"] {
                    azion(&fixture, "evil", kind, &url);
                }
                for target in ["production", "staging"] {
                    for list in ["fileUrls", "dirUrls", "regexPatterns"] {
                        cdnetworks(&fixture, "evil", &json!({ list: [url], "target": target }));
                    }
                }
                imagekit(&fixture, "evil", &url);
                medianova(&fixture, "evil", &url);
                medianova(&fixture, "evil", &format!("/{url}"));
                unchanged(&url);
            }
            // A minute's objects of Azion are limited whatever the rate.
            fixture.clock.advance(Duration::from_secs(60));
        }
    }
    for path in ["/*", "/a", "/a@@v=1", "//www.victim.com/a", "/../*", "@www.victim.com/*", ".victim.com/*", ":80/*"] {
        for kind in ["ALL", "DIRECTORY", "PATTERN", "URL"] {
            naver(&fixture, "evil", &json!({ "edgeId": 1, "purgeType": kind, "purgeTarget": [path] }));
            unchanged(path);
        }
        medianova(&fixture, "evil", path);
        unchanged(path);
    }
    naver(&fixture, "evil", &json!({ "edgeId": 1, "purgeType": "ALL" }));
    unchanged("ALL");
}

#[test]
fn what_is_below_a_name_reaches_no_foreign_site_by_its_alias() {
    let sites = || {
        let victim = site(&["www.victim.com"]).aliases(["shop.evil.org", "other.evil.org"]);
        Sites::new([victim, site(&["a.evil.org"]).aliases(["b.evil.org"]), site(&["*"])]).unwrap()
    };
    let api = |hosts: &[&str]| {
        let cache = Config::new().background_sweep(false).sites(sites()).build().unwrap();
        Api::new(cache, [account("evil", hosts)]).map_err(|error| error.to_string())
    };
    for hosts in [&["evil.com", "*.evil.org"][..], &["evil.com", "*.evil.org", "a.evil.org", "www.victim.org"]] {
        let reason = "a name below it is an alias of a host that is not below it; list that host too";
        assert_eq!(api(hosts).unwrap_err(), format!("account 'evil': host '*.evil.org': {reason}"));
    }
    for hosts in [&["evil.com", "*.evil.com"][..], &["www.victim.com", "*.evil.org"], &["shop.evil.org", "*.evil.org"]]
    {
        assert!(api(hosts).is_ok(), "{hosts:?}");
    }
}

#[test]
fn purges_are_of_all_layers_but_those_of_azion() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    let layers = |answer: Answer| {
        assert!(answer.status.is_success(), "{}", answer.json);
        let layers = fixture.cache.purge_records(None, 1)[0].layers;
        (layers.edge, layers.l2)
    };
    assert_eq!(layers(azion(&fixture, "acme", "url", "http://h/a")), (true, false));
    assert_eq!(layers(naver(&fixture, "acme", &json!({ "edgeId": 1, "purgeType": "ALL" }))), (true, true));
    assert_eq!(layers(medianova(&fixture, "acme", "/a")), (true, true));
    let body = json!({ "fileUrls": ["http://h/a"], "target": "production" });
    assert_eq!(layers(cdnetworks(&fixture, "acme", &body)), (true, true));
    assert_eq!(layers(imagekit(&fixture, "acme", "http://h/a")), (true, true));
}
