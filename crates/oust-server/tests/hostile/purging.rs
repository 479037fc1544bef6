//! Abuse of what purges: the PURGE method, the admin API and the vendors' APIs. Signatures, replays and foreign hosts of each vendor are in the tests of
//! `oust-api`, roles in `admin.rs`, webhooks in `api.rs` and beside `api/webhook.rs`.

use std::net::SocketAddr;

use serde_json::json;

use super::common::{Origin, Oust, Response, config_file, request};
use super::frames::{ask, block};
use super::wire::{all, plain, statuses};
use super::{costs, serve, until};

const ACCOUNTS: &str = r#"
[[account]]
name = "acme"
hosts = ["h.test", "*.acme.test"]
azion = { tokens = ["azion-secret"] }
[[account]]
name = "globex"
hosts = ["g.test"]
azion = { tokens = ["azion-globex"] }
"#;

fn with_api(name: &str, origin: &Origin) -> (Oust, SocketAddr) {
    let text = format!("[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n{ACCOUNTS}", origin.url());
    let file = config_file(&format!("hostile_{name}"), &text);
    let oust = Oust::serve(&["--config", file.to_str().unwrap(), "--api", "127.0.0.1:0"]);
    let api = oust.apis.unwrap();
    (oust, api)
}

fn azion(api: SocketAddr, token: &str, path: &str, urls: &[&str]) -> Response {
    let authorization = format!("Token {token}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    request(api, "POST", path, &headers, json!({ "urls": urls, "method": "delete" }).to_string().as_bytes())
}

#[test]
fn the_admin_api_is_not_on_the_public_listener() {
    let origin = Origin::start(|seen, reply| reply.send(404, &[], &format!("origin {}", seen.target)));
    let oust = Oust::before(&origin);
    for (method, path) in [
        ("GET", "/v1/stats"),
        ("GET", "/metrics"),
        ("GET", "/v1/purges"),
        ("POST", "/v1/purges"),
        ("POST", "/v1/reload"),
        ("GET", "/openapi.json"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/purge/url"),
    ] {
        for host in ["h.test", "localhost", "127.0.0.1"] {
            let body: &[u8] = if method == "POST" { br#"{"selectors":[{"all":true}]}"# } else { b"" };
            let answer = request(oust.listen, method, path, &[("Host", host)], body);
            assert_eq!((answer.status, answer.text()), (404, format!("origin {path}")), "{host}");
        }
    }
    let purges = oust.api("GET", "/v1/purges", "").json();
    assert_eq!(purges["purges"], json!([]));
}

#[test]
fn h25_purge_by_method_is_refused_in_every_disguise() {
    let origin = Origin::versions();
    let elsewhere = serve("purge_from", "purge_method_from = [\"10.0.0.0/8\"]", &origin.url());
    elsewhere.get("/p");
    let claims: [&[(&str, &str)]; 8] = [
        &[("X-Forwarded-For", "10.0.0.1")],
        &[("X-Real-IP", "10.0.0.1")],
        &[("Forwarded", "for=10.0.0.1")],
        &[("True-Client-IP", "10.0.0.1")],
        &[("CF-Connecting-IP", "10.0.0.1")],
        &[("X-Client-IP", "10.0.0.1"), ("X-Originating-IP", "10.0.0.1")],
        &[("Authorization", "Bearer x")],
        &[("Host", "10.0.0.1")],
    ];
    for fields in claims {
        assert_eq!(request(elsewhere.listen, "PURGE", "/p", fields, b"").status, 403, "{fields:?}");
    }
    // Not by another method that some take for it, and not by HTTP/2.
    for (method, fields) in [
        ("GET", &[("X-HTTP-Method-Override", "PURGE")][..]),
        ("GET", &[("X-Method-Override", "PURGE")]),
        ("GET", &[("Purge-Action", "delete")]),
        ("HEAD", &[("X-HTTP-Method", "PURGE")]),
    ] {
        request(elsewhere.listen, method, "/p", fields, b"");
        assert!(elsewhere.get("/p").is_hit(), "{method} {fields:?}");
    }
    for method in [&b"PURGE"[..], b"purge", b"Purge"] {
        let fields: [(&[u8], &[u8]); 4] =
            [(b":method", method), (b":scheme", b"http"), (b":authority", b"h.test"), (b":path", b"/p")];
        assert_eq!(ask(plain(elsewhere.listen), &block(&fields), None).status(), Some(403));
    }
    assert!(elsewhere.get("/p").is_hit());
    assert!(origin.seen().iter().all(|seen| !seen.method.eq_ignore_ascii_case("purge")), "none reaches an origin");
}

/// A purge takes one URL of one host: no target makes it take others.
#[test]
fn purge_by_method_takes_one_url_whatever_the_target() {
    let origin = Origin::versions();
    let oust = serve("purge_one", "purge_method_from = [\"127.0.0.1\"]", &origin.url());
    for host in ["h.test", "other.test"] {
        oust.get_with("/p", &[("Host", host)]);
        oust.get_with("/q", &[("Host", host)]);
    }
    for target in ["/*", "/**", "/.*", "*", "http://*/p", "/%2a", "/p*", "/@@x", "/p@@*"] {
        let said = all(
            plain(oust.listen),
            format!("PURGE {target} HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        assert!(statuses(&said).iter().all(|status| [200, 400].contains(status)), "{target}");
    }
    for host in ["*", "*.test", "h.*", "h.test@other.test", "h.test,other.test"] {
        let status = request(oust.listen, "PURGE", "/p", &[("Host", host)], b"").status;
        assert!([400, 421].contains(&status), "{host}: {status}");
    }
    for (host, path) in [("h.test", "/p"), ("h.test", "/q"), ("other.test", "/p"), ("other.test", "/q")] {
        assert!(oust.get_with(path, &[("Host", host)]).is_hit(), "{host}{path}");
    }
}

#[test]
fn an_account_reaches_no_host_of_another_however_it_is_written() {
    let origin = Origin::versions();
    let (oust, api) = with_api("foreign", &origin);
    let foreign = [("Host", "g.test")];
    oust.get_with("/p", &foreign);
    for url in [
        "http://g.test/p",
        "http://G.TEST/p",
        "http://g.test./p",
        "http://g.test:80/p",
        "//g.test/p",
        "http://%67.test/p",
        "http://h.test@g.test/p",
        "http://h.test/../../g.test/p",
        "http://h.test\\@g.test/p",
        "http://g.test#.acme.test/p",
        "http://g.test?.acme.test/p",
        "http://*/p",
        "http://*.test/p",
        "any://g.test/p",
        "g.test/p",
        "http://h.test /p",
        "http://h.test\r\nhttp://g.test/p",
    ] {
        for path in ["/purge/url", "/purge/wildcard", "/purge/cachekey"] {
            azion(api, "azion-secret", path, &[url]);
            // One that is one's own beside it makes no difference.
            azion(api, "azion-secret", path, &["http://h.test/own", url]);
            assert!(oust.get_with("/p", &foreign).is_hit(), "{path} {url}");
        }
    }
}

/// A flood is answered 429 for that account alone, and neither hits nor memory suffer.
#[test]
fn a_flood_of_purges_is_429_and_costs_no_other() {
    let origin = Origin::versions();
    let (oust, api) = with_api("flood", &origin);
    oust.get("/kept");
    let before = costs(&oust).0;
    let mut refused = 0;
    for number in 0..600 {
        // 200 a minute, by default as at the vendor.
        let answer = azion(api, "azion-secret", "/purge/url", &[&format!("http://h.test/{number}")]);
        assert!([201, 207, 429].contains(&answer.status), "{}", answer.text());
        refused += usize::from(answer.status == 429);
    }
    assert!(refused > 300, "{refused} of 600");
    assert_eq!(
        azion(api, "azion-globex", "/purge/url", &["http://g.test/x"]).status,
        207,
        "another account's is its own"
    );
    assert!(oust.get("/kept").is_hit());
    assert!(costs(&oust).0.saturating_sub(before) < 24 << 20);
    // Nobody guesses tokens for free of trace, or purges with none.
    for token in ["", "x", "azion-secre", "azion-secretx", "AZION-SECRET"] {
        assert_eq!(azion(api, token, "/purge/url", &["http://h.test/kept"]).status, 401, "{token}");
    }
    assert!(oust.get("/kept").is_hit());
}

/// Rules beyond the limit are refused as such, and those there are go on to count.
#[test]
fn a_bomb_of_rules_is_refused_and_takes_nothing_else_down() {
    let origin = Origin::versions();
    let text = format!("[purge]\nmax_rules = 50\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n", origin.url());
    let oust = Oust::configured("hostile_rules", &text);
    oust.get("/p");
    let mut refused = 0;
    for number in 0..200 {
        let body = format!(r#"{{"selectors":[{{"regex":"http://h.test/x{number}[ab]*a[ab]{{20}}"}}]}}"#);
        let answer = oust.api("POST", "/v1/purges", &body);
        assert!([200, 422, 429, 503].contains(&answer.status), "{} {}", answer.status, answer.text());
        refused += usize::from(answer.status != 200);
        assert!(oust.get("/p").is_hit());
    }
    eprintln!("{refused} of 200 refused");
    oust.purge_url("/p");
    assert!(!oust.get("/p").is_hit(), "one that is needed is taken");
}

/// What a URL, a field or a user agent holds ends up in a log as text, on one line, and moves no cursor.
#[test]
fn no_request_writes_lines_or_escapes_into_a_log() {
    let origin = Origin::versions();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile_access.log");
    drop(std::fs::remove_file(&path));
    let mut oust = serve("log", &format!("access_log = {path:?}"), &origin.url());
    let evil = "\u{1b}[2J\u{9b}2J \u{85} \u{202e} \u{2028}\u{7f}\",\"status\":999";
    let printable: String = evil.chars().filter(|&char| u32::from(char) > 0x7f || char == ' ').collect();
    oust.get_with(
        "/a%0d%0aGET%20/evil?%1b[2J",
        &[("User-Agent", &printable), ("Referer", "\",\"status\":200}"), ("X", "y")],
    );
    all(plain(oust.listen), format!("GET /{evil} HTTP/1.1\r\nHost: {evil}\r\n\r\n").as_bytes());
    all(plain(oust.listen), "GET /\u{9b}2J HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n".as_bytes());
    request(oust.listen, "PURGE", "/p\u{9b}", &[("User-Agent", &printable)], b"");
    oust.signal("TERM");
    assert_eq!(oust.exit_code(), Some(0));
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.lines().count() >= 3, "{log:?}");
    for text in [&log, &oust.log()] {
        let acts = |char: char| (char.is_control() && char != '\n') || matches!(char, '\u{2028}'..='\u{202e}');
        assert!(!text.chars().any(acts), "{text:?}");
    }
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["status"].as_u64() < Some(600), "{line}");
    }
    // It is escaped, not lost.
    let agent = log.lines().find(|line| line.contains("%0d%0a")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(agent).unwrap()["user_agent"], printable);
}

/// RFC 9111 4.4 asks to end a URL when an unsafe request succeeds. Where nobody knows whether it did, it is ended too; where it was not sent, or not
/// whole, it is not: that would be a purge for everybody.
#[test]
fn an_unsafe_request_without_an_answer_ends_its_url_if_it_may_have_been_carried_out() {
    let origin = Origin::scripted();
    let oust = serve("in_doubt", "body_timeout = \"300ms\"", &origin.url());
    let get = |path: &'static str| {
        let addr = oust.listen;
        super::common::behind(move || request(addr, "GET", path, &[], b""))
    };
    let fill = |path: &'static str| {
        let answer = get(path);
        let mut wire = origin.accept();
        wire.request().unwrap();
        wire.reply(200, "Cache-Control: max-age=600\r\nConnection: close\r\n", "stored");
        assert_eq!(answer.join().unwrap().text(), "stored");
        wire.ended();
    };
    let post = |path: &'static str| {
        let addr = oust.listen;
        super::common::behind(move || request(addr, "POST", path, &[], b"x").status)
    };
    let is_stored = |path: &'static str| oust.get_with(path, &[("Cache-Control", "only-if-cached")]).is_hit();
    for path in ["/timeout", "/reset", "/nonsense", "/unfinished", "/kept"] {
        fill(path);
        assert!(is_stored(path));
    }
    let answer = post("/timeout");
    let mut wire = origin.accept();
    wire.request().unwrap();
    assert_eq!(answer.join().unwrap(), 504);
    assert!(!is_stored("/timeout"));
    let answer = post("/reset");
    let mut wire2 = origin.accept();
    wire2.request().unwrap();
    wire2.reset();
    assert_eq!(answer.join().unwrap(), 502);
    assert!(!is_stored("/reset"));
    let answer = post("/nonsense");
    let mut wire3 = origin.accept();
    wire3.request().unwrap();
    wire3.write(b"nothing of the kind\r\n\r\n");
    assert_eq!(answer.join().unwrap(), 502);
    assert!(!is_stored("/nonsense"));
    drop((wire, wire3));
    // The client sends half of it: whoever could end a URL so would need no PURGE.
    let stream = plain(oust.listen);
    let said = std::thread::scope(|scope| {
        let asked = scope
            .spawn(|| all(&stream, b"POST /unfinished HTTP/1.1\r\nHost: h.test\r\nContent-Length: 10\r\n\r\nhalf"));
        let wire = origin.accept();
        let said = asked.join().unwrap();
        wire.ended();
        said
    });
    assert!(statuses(&said).iter().all(|&status| status >= 400));
    assert!(is_stored("/unfinished"));
    // Nobody is there to be asked.
    drop(origin);
    until("the origin is gone", || post("/kept").join().unwrap() == 502);
    assert!(is_stored("/kept"));
}
