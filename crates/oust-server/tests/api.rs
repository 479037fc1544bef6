//! The CDN purge APIs as a process serves them.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Origin, Oust, PATIENCE, Response, config_file, raw, request, run};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;

/// Two accounts with a dialect or more each; `h.test` and `other.test` are whose they say.
const ACCOUNTS: &str = r#"
[[account]]
name = "acme"
hosts = ["h.test"]
azion = { tokens = ["azion-secret"] }
naver = { access_key = "naver-key", secret_key = "naver-secret", edge_id = 7 }
medianova = { organization = "org", resources = { "res" = "h.test" }, tokens = ["medianova-secret"] }
cdnetworks = { user = "cdn-user", api_key = "cdn-secret" }
imagekit = { private_key = "imagekit-secret" }

[[account]]
name = "other"
hosts = ["other.test"]
azion = { tokens = ["azion-other"] }
imagekit = { private_key = "imagekit-other" }
"#;

fn config(origin: &Origin) -> String {
    format!("[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n{ACCOUNTS}", origin.url())
}

fn serve(name: &str, origin: &Origin) -> Oust {
    let file = config_file(name, &config(origin));
    Oust::logging("debug", &["--config", file.to_str().expect("a path of text"), "--api", "127.0.0.1:0"])
}

fn api(oust: &Oust) -> SocketAddr {
    oust.apis.expect("the purge APIs' address is in the log")
}

fn azion(oust: &Oust, token: &str, url: &str) -> Response {
    let authorization = format!("Token {token}");
    let headers = [("Host", "api.azion.com"), ("Authorization", &authorization), ("Content-Type", "application/json")];
    request(
        api(oust),
        "POST",
        "/purge/wildcard",
        &headers,
        json!({ "urls": [url], "method": "delete" }).to_string().as_bytes(),
    )
}

#[test]
fn check_tells_what_is_wrong_with_accounts() {
    let origin = Origin::versions();
    let good = config_file("accounts_good", &format!("[server]\napi = \"127.0.0.1:0\"\n{}", config(&origin)));
    let (code, out, err) = run(&["check", good.to_str().unwrap()], b"");
    assert_eq!(code, 0, "{out}{err}");
    let bad = config_file(
        "accounts_bad",
        "[server]\napi = \"127.0.0.1:0\"\n[[account]]\nname = \"a\"\nhosts = [\"h\"]\nazion = { tokens = [\"hush\"], speed = 1 }\n[[account]]\nname = \"b\"\nnaver = { access_key = \"hush\" }\n",
    );
    let (code, out, _) = run(&["check", bad.to_str().unwrap()], b"");
    assert_eq!(code, 2);
    for line in ["accounts_bad.toml:6:30: ", "accounts_bad.toml:7:1: ", "accounts_bad.toml:9:9: "] {
        assert!(out.contains(line), "{line} in {out}");
    }
    assert!(!out.contains("hush"), "{out}");
    let bad = config_file(
        "accounts_hosts",
        "[[account]]\nname = \"a\"\nhosts = [\"h\"]\nazion = { tokens = [\"t\"] }\n[[account]]\nname = \"b\"\nhosts = [\"http://h/\"]\nazion = { tokens = [\"u\"] }\n",
    );
    let (code, out, _) = run(&["check", bad.to_str().unwrap()], b"");
    assert!(code == 2 && out.contains("accounts_hosts.toml:5:1: ") && out.contains("http://h/"), "{out}");
    let none = config_file("accounts_none", "[server]\napi = \"127.0.0.1:0\"\n");
    let (code, out, _) = run(&["check", none.to_str().unwrap()], b"");
    assert!(code == 2 && out.contains("accounts_none.toml:2:7: "), "{out}");
}

#[test]
fn an_address_in_use_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let file = config_file("api_in_use", &config(&Origin::versions()));
    let free = "127.0.0.1:0";
    let args = ["serve", "--config", file.to_str().unwrap(), "--listen", free, "--admin", free, "--api", &addr];
    let (code, _, err) = run(&args, b"");
    assert!(code == 1 && err.contains(&addr), "{err}");
}

#[test]
fn accounts_without_a_listener_are_said_so() {
    let oust = Oust::configured("accounts_unused", &config(&Origin::versions()));
    assert!(oust.apis.is_none());
    assert!(oust.log().contains("WARN") && oust.log().contains("accounts"), "{}", oust.log());
}

#[test]
fn what_the_listener_answers_itself() {
    let origin = Origin::versions();
    let oust = serve("api_own", &origin);
    let api = api(&oust);
    for host in ["api.azion.com", "localhost", "evil.test"] {
        let description = request(api, "GET", "/openapi.json", &[("Host", host)], b"");
        assert_eq!((description.status, description.header("content-type")), (200, Some("application/json")));
        assert_eq!(description.json(), oust.api("GET", "/openapi.json", "").json());
    }
    let refused = request(api, "POST", "/openapi.json", &[], b"{}");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    for path in ["/", "/v1/purges", "/v1/stats", "/purge", "//openapi.json"] {
        let unknown = request(api, "GET", path, &[], b"");
        assert_eq!(unknown.status, 404, "{path}");
        assert!(unknown.json()["message"].is_string());
    }
    // Told by its length alone: nobody has to send it.
    let length = oust_api::MAX_BODY + 1;
    let long = format!("POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(raw(api, long.as_bytes(), false).status, 413);
    assert_eq!(request(oust.listen, "GET", "/p", &[], b"").status, 200);
}

#[test]
fn its_limits_are_the_servers() {
    let origin = Origin::versions();
    let text = "[server]\nheader_timeout = \"100ms\"\nbody_timeout = \"100ms\"\nmax_connections = 1\n".to_owned()
        + &config(&origin);
    let file = config_file("api_limits", &text);
    let oust = Oust::serve(&["--config", file.to_str().unwrap(), "--api", "127.0.0.1:0"]);
    let connect = || {
        let stream = TcpStream::connect(api(&oust)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    for (sent, status) in [
        ("", "HTTP/1.1 408"),
        ("POST /x HT", "HTTP/1.1 408"),
        ("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 408"),
    ] {
        let mut stream = connect();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut rest = String::new();
        drop(stream.read_to_string(&mut rest));
        assert!(rest.is_empty() || rest.starts_with(status), "{sent:?}: {rest}");
    }
    // A second connection waits for the first to end, which its silence sees to.
    let begun = Instant::now();
    let first = connect();
    assert_eq!(request(api(&oust), "GET", "/openapi.json", &[], b"").status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    drop(first);
}

#[test]
fn a_drain_lets_a_request_end_and_takes_no_other() {
    let origin = Origin::versions();
    let mut oust = serve("api_drain", &origin);
    let mut stream = TcpStream::connect(api(&oust)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"POST /purge/url HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .unwrap();
    // Being read, then: the server asks for the body.
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");
    oust.signal("TERM");
    let waited = Instant::now();
    while oust.api("GET", "/readyz", "").status == 200 {
        assert!(waited.elapsed() < PATIENCE);
    }
    stream.write_all(b"null").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\r\n\r\nHTTP/1.1 4"), "{rest}");
    assert_eq!(oust.exit_code(), Some(0), "{}", oust.log());
}

#[test]
fn the_log_tells_requests_without_secrets() {
    let origin = Origin::versions();
    let oust = serve("api_log", &origin);
    azion(&oust, "azion-secret", "http://h.test/*");
    let headers = [("Authorization", "Basic aHVzaDo="), ("x-ncp-iam-access-key", "hush-1")];
    request(
        api(&oust),
        "POST",
        "/api/v1/auth/login/token?key=hush-2",
        &headers,
        br#"{"api_key":"hush-3","api_secret":"hush-4"}"#,
    );
    // Written before the answers, read by us when it is.
    let begun = Instant::now();
    while oust.log().matches("purge API answered").count() < 2 {
        assert!(begun.elapsed() < PATIENCE, "{}", oust.log());
    }
    let log = oust.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("purge API answered")).collect();
    assert!(lines[1].contains("path=\"/api/v1/auth/login/token\"") && lines[1].contains("status="), "{log}");
    for secret in ["azion-secret", "aHVzaDo", "hush"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn purges_by_every_listener_are_one_history() {
    let origin = Origin::versions();
    let oust = serve("api_purges", &origin);
    let warm = |path| {
        oust.get(path);
        assert!(oust.get(path).is_hit(), "{path}");
    };
    warm("/a/1");
    warm("/b/1");
    assert_eq!(azion(&oust, "azion-secret", "http://h.test/a/*").status, 201);
    assert!(!oust.get("/a/1").is_hit() && oust.get("/b/1").is_hit());
    oust.purge_url("/b/1");
    assert!(!oust.get("/b/1").is_hit());
    // Not with another's token, nor with none; nothing is purged then.
    warm("/a/1");
    for (token, status) in [("nobodys", 401), ("azion-other", 403)] {
        assert_eq!(azion(&oust, token, "http://h.test/a/*").status, status, "{token}");
        assert!(oust.get("/a/1").is_hit(), "{token}");
    }
    let body = json!({ "url": "http://h.test/a/1" }).to_string();
    let imagekit = |key: &str| {
        let basic = format!("Basic {}", STANDARD.encode(format!("{key}:")));
        request(api(&oust), "POST", "/v1/files/purge", &[("Authorization", &basic)], body.as_bytes())
    };
    assert_eq!((imagekit("nobodys").status, imagekit("imagekit-other").status), (401, 403));
    assert!(oust.get("/a/1").is_hit());
    assert_eq!(imagekit("imagekit-secret").status, 201);
    assert!(!oust.get("/a/1").is_hit());
    let history = oust.api("GET", "/v1/purges", "").json();
    let by: Vec<_> = history["purges"].as_array().unwrap().iter().map(|purge| purge["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["acme", "local", "acme"], "{history}");
}

#[test]
fn the_history_is_bounded() {
    let origin = Origin::versions();
    let file = config_file("api_history", &format!("[purge]\nhistory = 3\n{}", config(&origin)));
    let oust = Oust::serve(&["--config", file.to_str().unwrap(), "--api", "127.0.0.1:0"]);
    for n in 0..20 {
        assert_eq!(azion(&oust, "azion-secret", &format!("http://h.test/{n}/*")).status, 201);
    }
    // Purges not yet swept are kept whatever the bound.
    let begun = Instant::now();
    loop {
        let history = oust.api("GET", "/v1/purges", "").json();
        let purges = history["purges"].as_array().unwrap();
        assert_eq!(purges[0]["by"], "acme");
        if purges.len() == 3 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{history}");
        // What is retired by a purge is so at the next one.
        azion(&oust, "azion-secret", "http://h.test/more/*");
    }
}

fn hmac_sha1(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn cdnetworks(oust: &Oust, method: &str, path: &str, body: &Value) -> Response {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let basic = format!("Basic {}", STANDARD.encode(format!("cdn-user:{}", hmac_sha1("cdn-secret", &date))));
    let headers = [("Authorization", basic.as_str()), ("Date", &date)];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    request(api(oust), method, path, &headers, body.as_bytes())
}

#[test]
fn a_signature_of_naver_is_checked() {
    let origin = Origin::versions();
    let oust = serve("api_naver", &origin);
    let ask = |method: &str, target: &str, secret: &str, body: &str| {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{method} {target}\n{ms}\nnaver-key").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let headers = [
            ("x-ncp-apigw-timestamp", ms.as_str()),
            ("x-ncp-iam-access-key", "naver-key"),
            ("x-ncp-apigw-signature-v2", &signature),
        ];
        request(api(&oust), method, target, &headers, body.as_bytes())
    };
    let body = json!({ "edgeId": 7, "purgeType": "DIRECTORY", "purgeTarget": ["/d/*"] }).to_string();
    oust.get("/d/e/f");
    assert_eq!(ask("POST", "/api/v1/purge", "wrong", &body).status, 401);
    assert!(oust.get("/d/e/f").is_hit());
    let done = ask("POST", "/api/v1/purge", "naver-secret", &body);
    assert_eq!((done.status, &done.json()["code"]), (200, &"0000".into()), "{}", done.text());
    assert!(!oust.get("/d/e/f").is_hit());
    let state = ask("GET", &format!("/api/v1/purge/{}?regionCode=KR", done.json()["result"][0]), "naver-secret", "");
    assert_eq!((state.status, &state.json()["result"]["clientIp"]), (200, &"127.0.0.1".into()), "{}", state.text());
}

#[test]
fn webhooks_are_called() {
    let (called, calls) = mpsc::channel();
    // Takes the second call only, so that a retry is seen.
    let receiver = Origin::start(move |seen, reply| {
        reply.send(if seen.number == 0 { 503 } else { 204 }, &[], "");
        drop(called.send(seen.clone()));
    });
    let origin = Origin::versions();
    let mut oust = serve("api_webhook", &origin);
    let hook = json!({
        "name": "hook",
        "url": format!("{}/hook?x=1", receiver.url()),
        "credentials": { "user": "me", "secretKey": "mine" },
    });
    let made = cdnetworks(&oust, "POST", "/cdn/webhooks", &hook);
    assert_eq!(made.status, 201, "{}", made.text());
    let location = made.header("location").unwrap().to_owned();
    let hook_path = location.get(location.find("/cdn/webhooks/").unwrap()..).unwrap().to_owned();
    let hook_id = hook_path.rsplit('/').next().unwrap();
    let purge = json!({ "dirUrls": ["http://h.test/d/**"], "target": "production", "webhook": hook_id });
    let made = cdnetworks(&oust, "POST", "/cdn/purges", &purge);
    assert_eq!(made.status, 201, "{}", made.text());
    let purge_id = made.header("location").unwrap().rsplit('/').next().unwrap().to_owned();
    for _ in 0..2 {
        let call = calls.recv_timeout(PATIENCE).expect("it is called");
        assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/hook?x=1"));
        assert_eq!(call.header("host"), Some(receiver.addr.to_string().as_str()));
        assert!(call.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{call:?}");
        let basic = STANDARD.encode(format!("me:{}", hmac_sha1("mine", call.header("date").unwrap())));
        assert_eq!(call.header("authorization"), Some(format!("Basic {basic}").as_str()));
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        assert_eq!((&body["taskType"], &body["taskList"][0]["taskId"]), (&"purge".into(), &purge_id.as_str().into()));
    }
    let begun = Instant::now();
    while cdnetworks(&oust, "GET", &hook_path, &Value::Null).json()["metaData"]["totalCalls"] != 2 {
        assert!(begun.elapsed() < PATIENCE);
    }
    // One that is due when the drain begins is still called.
    assert_eq!(cdnetworks(&oust, "POST", "/cdn/purges", &purge).status, 201);
    let begun = Instant::now();
    while calls.try_recv().is_err() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    oust.signal("TERM");
    assert_eq!(oust.exit_code(), Some(0));
}

#[test]
fn webhooks_call_private_addresses_only_if_they_may() {
    let receiver = Origin::start(|_, reply| reply.send(204, &[], ""));
    let origin = Origin::versions();
    // Not loopback, hence open to more than this machine.
    for (private, called) in [("false", false), ("true", true)] {
        let name = format!("api_private_{private}");
        let text = format!(
            "[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n[[account]]\nname = \"acme\"\nhosts = [\"h.test\"]\ncdnetworks = {{ user = \"cdn-user\", api_key = \"cdn-secret\" }}\nwebhook_private = {private}\n",
            origin.url()
        );
        let file = config_file(&name, &text);
        let oust = Oust::serve(&["--config", file.to_str().unwrap(), "--api", "0.0.0.0:0"]);
        let made = cdnetworks(&oust, "POST", "/cdn/webhooks", &json!({ "name": "hook", "url": receiver.url() }));
        let id = made.header("location").unwrap().rsplit('/').next().unwrap().to_owned();
        let purge = json!({ "dirUrls": ["http://h.test/d/**"], "target": "production", "webhook": id });
        assert_eq!(cdnetworks(&oust, "POST", "/cdn/purges", &purge).status, 201);
        let begun = Instant::now();
        while receiver.count() == 0 && !oust.log().contains("an address that is not public") {
            assert!(begun.elapsed() < PATIENCE, "{}", oust.log());
        }
        assert_eq!(receiver.count(), usize::from(called), "{}", oust.log());
    }
}

/// Paths of the five vendors' documentation, and the methods each has.
const DOCUMENTED: &[(&str, &[&str])] = &[
    ("/purge/url", &["post"]),
    ("/purge/cachekey", &["post"]),
    ("/purge/wildcard", &["post"]),
    ("/v4/workspace/purge/url", &["post"]),
    ("/v4/workspace/purge/cachekey", &["post"]),
    ("/v4/workspace/purge/wildcard", &["post"]),
    ("/v4/edge/purge/url", &["post"]),
    ("/v4/edge/purge/cachekey", &["post"]),
    ("/v4/edge/purge/wildcard", &["post"]),
    ("/api/v1/purge", &["post"]),
    ("/api/v1/purge/{purgeRequestId}", &["get"]),
    ("/api/v1/auth/login/token", &["post"]),
    ("/api/v1/cdn/{organization_uuid}/job/{resource_uuid}/purge", &["get", "post"]),
    ("/cdn/purges", &["get", "post"]),
    ("/cdn/purges/{id}", &["get"]),
    ("/cdn/purges/purgeSummary", &["get"]),
    ("/cdn/purges/purgeTokens", &["get"]),
    ("/cdn/webhooks", &["get", "post"]),
    ("/cdn/webhooks/{id}", &["get", "patch", "delete"]),
    ("/v1/files/purge", &["post"]),
    ("/v1/files/purge/{requestId}", &["get"]),
];

/// The operations of the description that `api` answers: path and method.
fn described(description: &Value) -> Vec<(String, String)> {
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if operation["tags"].as_array().is_some_and(|tags| !tags.contains(&"admin".into())) {
                operations.push((path.clone(), method.clone()));
            }
        }
    }
    operations
}

#[test]
fn what_vendors_document_is_described() {
    let oust = serve("api_described", &Origin::versions());
    let described = described(&request(api(&oust), "GET", "/openapi.json", &[], b"").json());
    for (path, methods) in DOCUMENTED {
        for method in *methods {
            assert!(described.contains(&((*path).to_owned(), (*method).to_owned())), "{method} {path}");
        }
    }
    for (path, _) in &described {
        assert!(DOCUMENTED.iter().any(|(documented, _)| documented == path), "{path} is of no vendor");
    }
}

#[test]
fn what_is_described_is_there() {
    let oust = serve("api_routed", &Origin::versions());
    let described = described(&request(api(&oust), "GET", "/openapi.json", &[], b"").json());
    assert!(!described.is_empty());
    for (path, method) in described {
        let target = path.replace(['{', '}'], "");
        // Who asks is not known, which is told before anything else.
        let answer = request(api(&oust), &method.to_uppercase(), &target, &[], b"");
        let wanted = if path == "/api/v1/auth/login/token" { 422 } else { 401 };
        assert_eq!(answer.status, wanted, "{method} {path}: {}", answer.text());
    }
}
