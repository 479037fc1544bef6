//! Who is let in.

use hmac::{Hmac, Mac};
use http::Method;
use oust_api::{Account, Api, Cdnetworks};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{account, basic, password, refused};
use crate::common::{Fixture, NOW_MS};

const NOW: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

fn keyed() -> Account {
    let cdnetworks = Cdnetworks {
        user: "example_username".into(),
        api_key: "example_apiKey".into(),
        access_key: "AK".into(),
        secret_key: "SK".into(),
        ..Cdnetworks::default()
    };
    Account { cdnetworks: Some(cdnetworks), ..Account::new("acme", ["h"]) }
}

#[test]
fn the_documented_password_is_taken() {
    let fixture = Fixture::new([keyed()]);
    fixture.clock.set(1_754_892_925_000);
    let date = "Mon, 11 Aug 2025 06:15:25 GMT";
    let authorization = basic("example_username", "rj628Tom62GJDGH9W10hjScUtjs=");
    let answer = fixture.get("/cdn/purges", &[("date", date), ("authorization", &authorization)]);
    assert_eq!(answer.status, 200, "{}", answer.json);
}

#[test]
fn basic_is_checked() {
    let fixture = Fixture::new([account("acme", &["h"]), account("rival", &["other"])]);
    let right = basic("acme", &password("acme-key", NOW));
    let late = "Sat, 21 Nov 2026 11:55:00 GMT";
    let too_late = "Sat, 21 Nov 2026 11:54:59 GMT";
    let early = "Sat, 21 Nov 2026 12:05:00 GMT";
    let too_early = "Sat, 21 Nov 2026 12:05:01 GMT";
    let of = |date: &str| basic("acme", &password("acme-key", date));
    let cases: &[(&[(&str, &str)], bool)] = &[
        (&[("date", NOW), ("authorization", &right)], true),
        (&[("date", NOW), ("authorization", &right.replacen("Basic", "basic", 1))], true),
        (&[("x-cnc-date", NOW), ("authorization", &right)], true),
        (&[("x-cnc-date", NOW), ("date", too_late), ("authorization", &right)], true),
        (&[("date", late), ("authorization", &of(late))], true),
        (&[("date", too_late), ("authorization", &of(too_late))], false),
        (&[("date", early), ("authorization", &of(early))], true),
        (&[("date", too_early), ("authorization", &of(too_early))], false),
        (&[("date", late), ("authorization", &right)], false),
        (&[("date", "yesterday"), ("authorization", &of("yesterday"))], false),
        (&[("authorization", &right)], false),
        (&[("date", NOW)], false),
        (&[("date", NOW), ("authorization", &basic("rival", &password("acme-key", NOW)))], false),
        (&[("date", NOW), ("authorization", &basic("nobody", &password("", NOW)))], false),
        (&[("date", NOW), ("authorization", &basic("acme", ""))], false),
        (&[("date", NOW), ("authorization", &basic("acme", "acme-key"))], false),
        (&[("date", NOW), ("authorization", "Basic !!!")], false),
        (&[("date", NOW), ("authorization", "Basic")], false),
        (&[("date", NOW), ("authorization", "Bearer acme-key")], false),
    ];
    for (headers, taken) in cases {
        let answer = fixture.get("/cdn/purges", headers);
        if *taken {
            assert_eq!(answer.status, 200, "{headers:?}: {}", answer.json);
        } else {
            refused(&answer, 401, "Unauthorized", "...");
            assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"cdn\"");
        }
        assert!(answer.headers.contains_key("x-cnc-request-id"));
    }
}

#[test]
fn every_path_asks_who_is_there_first() {
    let fixture = Fixture::new([account("acme", &["h"])]);
    for path in ["/cdn/purges", "/cdn/purges/x", "/cdn/purges/purgeTokens", "/cdn/webhooks/x", "/cdn/purges/a/b"] {
        for method in [Method::GET, Method::POST, Method::PUT] {
            refused(&fixture.send(method, path, &[], "{}"), 401, "Unauthorized", "...");
        }
    }
    for path in ["/cdn", "/cdn/", "/cdn/purge", "/cdn/purgesX", "/cdn/prefetches"] {
        let answer = fixture.get(path, &[]);
        assert_eq!((answer.status.as_u16(), answer.headers.get("x-cnc-request-id")), (404, None), "{path}");
    }
}

/// Header fields of a request signed by the AK/SK scheme.
struct Signed {
    timestamp: String,
    authorization: String,
}

impl Signed {
    fn new(at: u64, key: &str, signed_headers: &str, headers: &[&str], request: [&str; 4]) -> Self {
        let [method, path, query, body] = request;
        let lines: String = headers.iter().map(|line| format!("{line}\n")).collect();
        let hash = |text: &str| hexed(&Sha256::digest(text.as_bytes()));
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{signed_headers}\n{}", hash(body));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("CNC-HMAC-SHA256\n{at}\n{}", hash(&canonical)).as_bytes());
        let signature = hexed(&mac.finalize().into_bytes());
        Self { timestamp: at.to_string(), authorization: authorization(signed_headers, &signature) }
    }

    fn headers(&self) -> [(&str, &str); 6] {
        [
            ("host", "127.0.0.1:18080"),
            ("content-type", "application/json"),
            ("x-cnc-accesskey", "AK"),
            ("x-cnc-timestamp", &self.timestamp),
            ("x-cnc-auth-method", "AKSK"),
            ("authorization", &self.authorization),
        ]
    }
}

fn authorization(signed_headers: &str, signature: &str) -> String {
    format!("CNC-HMAC-SHA256 Credential=AK, SignedHeaders={signed_headers}, Signature={signature}")
}

fn hexed(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const LINES: [&str; 2] = ["content-type:application/json", "host:127.0.0.1:18080"];
const NAMES: &str = "content-type;host";

#[test]
fn signatures_of_the_vendors_client_are_taken() {
    let at = 1_795_172_402;
    let fixture = Fixture::new([keyed()]);
    fixture.clock.set(at * 1000);
    let cases = [
        (
            "/cdn/purges/5dca2205f9e9cc0001df7b33",
            "bddfdf251facaff3b55c3de78d38e6678fc0896d19f1c0ca62d4a1c897c2fe6b",
            404,
        ),
        ("/cdn/purges?limit=10&search=a%20b", "bda125b983e9c628300459398835cb5957c3bbd893f29576bad6c779b89ad2a2", 200),
        ("/cdn/purges?limit=10&search=a+b", "bda125b983e9c628300459398835cb5957c3bbd893f29576bad6c779b89ad2a2", 200),
        ("/cdn/purges?limit=11&search=a%20b", "bda125b983e9c628300459398835cb5957c3bbd893f29576bad6c779b89ad2a2", 401),
        ("/cdn/purges", "bddfdf251facaff3b55c3de78d38e6678fc0896d19f1c0ca62d4a1c897c2fe6b", 401),
    ];
    for (target, signature, status) in cases {
        let signed = Signed { timestamp: at.to_string(), authorization: authorization(NAMES, signature) };
        for _ in 0..2 {
            let answer = fixture.get(target, &signed.headers());
            assert_eq!(answer.status, status, "{target}: {}", answer.json);
        }
    }
}

#[test]
fn signatures_are_checked() {
    let fixture = Fixture::new([keyed()]);
    let at = NOW_MS / 1000;
    let request = ["GET", "/cdn/purges", "", ""];
    let right = Signed::new(at, "SK", NAMES, &LINES, request);
    assert_eq!(fixture.get("/cdn/purges", &right.headers()).status, 200);

    for (seconds, taken) in [(at - 300, true), (at - 301, false), (at + 300, true), (at + 301, false)] {
        let signed = Signed::new(seconds, "SK", NAMES, &LINES, request);
        let status = if taken { 200 } else { 401 };
        assert_eq!(fixture.get("/cdn/purges", &signed.headers()).status, status, "{seconds}");
    }
    let wrong = [
        Signed::new(at, "SK2", NAMES, &LINES, request),
        Signed::new(at, "", NAMES, &LINES, request),
        Signed::new(at, "SK", "content-type", &LINES[..1], request),
        Signed::new(at, "SK", "", &[], request),
        Signed { timestamp: (at - 1).to_string(), ..Signed::new(at, "SK", NAMES, &LINES, request) },
        Signed { timestamp: "soon".into(), ..Signed::new(at, "SK", NAMES, &LINES, request) },
    ];
    for signed in wrong {
        refused(&fixture.get("/cdn/purges", &signed.headers()), 401, "Unauthorized", "...");
    }
    let mut headers = right.headers();
    headers[2].1 = "AK2";
    refused(&fixture.get("/cdn/purges", &headers), 401, "Unauthorized", "x-cnc-accessKey is not...");
    let mut headers = right.headers();
    headers[0].1 = "127.0.0.1:18081";
    refused(&fixture.get("/cdn/purges", &headers), 401, "Unauthorized", "Wrong access key or signature.");
    assert_eq!(fixture.send(Method::DELETE, "/cdn/purges", &right.headers(), "").status, 401, "the method is signed");
}

#[test]
fn a_signed_change_is_taken_once() {
    let fixture = Fixture::new([keyed()]);
    let body = json!({ "fileUrls": ["http://h/a"], "target": "production" }).to_string();
    let at = NOW_MS / 1000;
    let signed = Signed::new(at, "SK", NAMES, &LINES, ["POST", "/cdn/purges", "", &body]);
    let send = |signed: &Signed, body: &str| fixture.send(Method::POST, "/cdn/purges", &signed.headers(), body);
    assert_eq!(send(&signed, &body.replace('a', "b")).status, 401);
    assert_eq!(send(&signed, &body).status, 201);
    refused(&send(&signed, &body), 401, "Unauthorized", "This signature was used before.");
    let (names, signature) = signed.authorization.split_once("Signature=").unwrap();
    let shouted = Signed {
        timestamp: signed.timestamp.clone(),
        authorization: format!("{names}Signature={}", signature.to_uppercase()),
    };
    refused(&send(&shouted, &body), 401, "Unauthorized", "This signature was used before.");

    // As the vendor's client does: several requests within a second.
    let other = body.replace("/a", "/b");
    assert_eq!(send(&Signed::new(at, "SK", NAMES, &LINES, ["POST", "/cdn/purges", "", &other]), &other).status, 201);
    let answer = fixture.send(
        Method::POST,
        "/cdn/purges?a=b",
        &Signed::new(at + 1, "SK", NAMES, &LINES, ["POST", "/cdn/purges", "", &body]).headers(),
        &body,
    );
    assert_eq!(answer.status, 201, "the query of a POST is not signed");
    // As long as its time is accepted, a signature is remembered, also one from the future.
    let ahead = Signed::new(at + 300, "SK", NAMES, &LINES, ["POST", "/cdn/purges", "", &body]);
    assert_eq!(send(&ahead, &body).status, 201);
    fixture.clock.set((at + 600) * 1000);
    refused(&send(&ahead, &body), 401, "Unauthorized", "This signature was used before.");
    fixture.clock.set((at + 601) * 1000);
    refused(&send(&ahead, &body), 401, "Unauthorized", "The request's time is...");
}

#[test]
fn credentials_are_checked_at_the_start() {
    let own = |user: &str, api_key: &str, access_key: &str, secret_key: &str| {
        let cdnetworks = Cdnetworks {
            user: user.into(),
            api_key: api_key.into(),
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            ..Cdnetworks::default()
        };
        Account { cdnetworks: Some(cdnetworks), ..Account::new("acme", ["h"]) }
    };
    let cases = [
        (vec![own("u", "k", "", ""), own("v", "k", "a", "s")], ""),
        (vec![own("u", "k", "", ""), own("u", "other", "", "")], "cdnetworks.user: another account has the same"),
        (vec![own("", "", "a", "s"), own("", "", "a", "t")], "cdnetworks.access_key: another account has the same"),
        (vec![own("", "", "", "")], "cdnetworks.user: empty, and so is access_key"),
        (vec![own("u", "", "", "")], "cdnetworks.api_key: empty, although user is given"),
        (vec![own("u", "k", "", "s")], "cdnetworks.access_key: empty, although secret_key is given"),
        (vec![own("u:v", "k", "", "")], "cdnetworks.user: a user name holds no ':'"),
    ];
    for (accounts, error) in cases {
        let cache = oust::Config::new().background_sweep(false).build().unwrap();
        let found = Api::new(cache, accounts).err().map_or_else(String::new, |error| error.to_string());
        let wanted = if error.is_empty() { String::new() } else { format!("account 'acme': {error}") };
        assert_eq!(found, wanted);
    }
}

#[test]
fn no_secret_is_printed() {
    let fixture = Fixture::new([keyed()]);
    let shown = format!("{:?}", fixture.api);
    for secret in ["example_apiKey", "SK"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
