//! Protocols, PURGE, upgrades and the access log, over real connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use common::{Origin, Oust, PATIENCE, Response, config_file, gate, raw, request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

fn config(server: &str, origin: &Origin) -> String {
    format!("[server]\n{server}\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n", origin.url())
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("in time") })
}

fn ask(uri: String) -> http::Request<Empty<Bytes>> {
    http::Request::get(uri).body(Empty::new()).unwrap()
}

async fn whole(response: http::Response<hyper::body::Incoming>) -> (http::response::Parts, String) {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts, String::from_utf8_lossy(&bytes).into_owned())
}

async fn h2c(addr: SocketAddr) -> http2::SendRequest<Empty<Bytes>> {
    let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

/// A certificate for these names, as PEM files called `name`.
fn certificate(name: &str, names: &[&str]) -> (PathBuf, PathBuf, rcgen::CertifiedKey<rcgen::KeyPair>) {
    let made =
        rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (cert, key) = (dir.join(format!("{name}.cert.pem")), dir.join(format!("{name}.key.pem")));
    std::fs::write(&cert, pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
    (cert, key, made)
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A TLS connection as `name`, trusting these; what it was shown; or why there is none.
async fn greet(
    addr: SocketAddr,
    name: &str,
    alpn: &[&str],
    trusted: &[&rcgen::CertifiedKey<rcgen::KeyPair>],
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    for trusted in trusted {
        roots.add(trusted.cert.der().clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

fn tls_addr(oust: &Oust) -> SocketAddr {
    let log = oust.log();
    log.split_once(" tls addr=").and_then(|(_, rest)| rest.lines().next()).unwrap().trim().parse().unwrap()
}

#[test]
fn http2_by_prior_knowledge_shares_the_cache() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    assert_eq!(oust.get("/p").text(), "version 1");
    run(async {
        let mut send = h2c(oust.listen).await;
        let (parts, body) = whole(send.send_request(ask("http://h.test/p".into())).await.unwrap()).await;
        assert_eq!(
            (parts.version, parts.status, body.as_str()),
            (http::Version::HTTP_2, http::StatusCode::OK, "version 1")
        );
        assert!(parts.headers["cache-status"].to_str().unwrap().starts_with("oust; hit"));
        // Many at once on one connection.
        let all: Vec<_> = (0..100).map(|n| send.send_request(ask(format!("http://h.test/{n}")))).collect();
        for answer in all {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        let refused = send
            .send_request(http::Request::get("http://h.test/p").header("host", "x.test").body(Empty::new()).unwrap());
        assert_eq!(refused.await.unwrap().status(), 400, "the authority and Host differ");
    });
    assert_eq!(origin.count(), 101);
    let stats = oust.api("GET", "/v1/stats", "").json();
    assert_eq!((&stats["connections"]["http1"], &stats["connections"]["http2"]), (&1.into(), &1.into()));
}

#[test]
fn tls_speaks_both_protocols_and_shows_the_certificate_of_the_name() {
    let origin = Origin::versions();
    let (cert_a, key_a, a) = certificate("tls_a", &["a.test"]);
    let (cert_b, key_b, b) = certificate("tls_b", &["*.b.test"]);
    let entry = |cert: &PathBuf, key: &PathBuf| format!("[[certificate]]\ncert = {cert:?}\nkey = {key:?}\n");
    let text = config("tls_listen = [\"127.0.0.1:0\", \"[::1]:0\"]", &origin)
        + "[http]\ncache_status_key = true\n"
        + &entry(&cert_a, &key_a)
        + &entry(&cert_b, &key_b);
    let oust = Oust::configured("tls", &text);
    let addr = tls_addr(&oust);
    run(async {
        for (name, alpn, trusted) in [("a.test", "h2", &a), ("img.b.test", "http/1.1", &b)] {
            let stream = greet(addr, name, &[alpn], &[trusted]).await.expect(name);
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
            let uri = format!("https://{name}/p");
            let answer = if alpn == "h2" {
                let (mut send, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                send.send_request(ask(uri)).await.unwrap()
            } else {
                let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                let request = http::Request::get("/p").header("host", name).body(Empty::<Bytes>::new()).unwrap();
                send.send_request(request).await.unwrap()
            };
            let status = answer.headers()["cache-status"].to_str().unwrap().to_owned();
            assert!(status.contains(&format!("key=\"https://{name}/p\"")), "{status}");
        }
        // Nobody else's name is shown one that fits; no certificate is trusted there.
        assert!(greet(addr, "a.test", &[], &[&b]).await.is_err());
    });
    let metrics = oust.api("GET", "/metrics", "").text();
    assert!(metrics.contains("oust_tls_handshakes_total 2"), "{metrics}");
    assert_eq!(oust.get("/p").status, 200, "plain connections go on beside them");
}

#[test]
fn certificates_sites_tokens_and_limits_are_reloaded_without_ending_connections() {
    let origin = Origin::versions();
    let other = Origin::start(|_, reply| reply.send(200, &[("Cache-Control", "no-store")], "other"));
    let (cert, key, old) = certificate("reload", &["a.test"]);
    let entry = format!("[[certificate]]\ncert = {cert:?}\nkey = {key:?}\n");
    let text = config("tls_listen = [\"127.0.0.1:0\"]", &origin) + &entry;
    let oust = Oust::configured("reload", &text);
    let addr = tls_addr(&oust);
    let mut kept = TcpStream::connect(oust.listen).unwrap();
    kept.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut on_kept = |path: &str| {
        kept.write_all(format!("GET {path} HTTP/1.1\r\nHost: h.test\r\n\r\n").as_bytes()).unwrap();
        let mut got = [0; 4096];
        let mut all = Vec::new();
        while !all.ends_with(b"version 1") && !all.ends_with(b"other") {
            let read = kept.read(&mut got).unwrap();
            assert!(read > 0, "the connection goes on");
            all.extend_from_slice(&got[..read]);
        }
        String::from_utf8_lossy(&all).into_owned()
    };
    assert!(on_kept("/p").ends_with("version 1"));
    run(async { greet(addr, "a.test", &[], &[&old]).await.expect("the first certificate") });

    // A broken one changes nothing, and says where it is wrong.
    config_file("reload", &text.replace("[server]", "[server]\nspeed = 1"));
    let refused = oust.api("POST", "/v1/reload", "");
    assert_eq!(refused.status, 400);
    assert!(refused.json()["errors"][0].as_str().unwrap().contains("reload.toml:2:1:"), "{}", refused.text());
    assert!(on_kept("/p").ends_with("version 1"));

    let (_, _, new) = certificate("reload", &["a.test"]);
    let changed = text
        .replace(&origin.url(), &other.url())
        .replace("[server]", "[server]\nthreads = 3\nadmin_tokens = [\"s3cret\"]");
    config_file("reload", &changed);
    let taken = oust.api("POST", "/v1/reload", "");
    assert_eq!((taken.status, taken.json()["restart"].clone()), (200, serde_json::json!(["server.threads"])));
    assert!(on_kept("/q").ends_with("other"), "the same connection asks the new origin");
    assert!(on_kept("/p").ends_with("version 1"), "and what is stored is still there");
    run(async {
        greet(addr, "a.test", &[], &[&new]).await.expect("the second certificate");
        assert!(greet(addr, "a.test", &[], &[&old]).await.is_err(), "not the first any more");
    });
    assert_eq!(oust.api("GET", "/v1/stats", "").status, 401, "tokens count from now on");

    // Other keys: what was stored under the old ones is gone, and does not come back with them.
    let bearer = [("Host", "localhost"), ("Authorization", "Bearer s3cret")];
    let reload = |text: &str| {
        config_file("reload", text);
        let answer = request(oust.admin, "POST", "/v1/reload", &bearer, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    reload(&changed.replace(&entry, &format!("key = {{ query = \"drop\" }}\n{entry}")));
    assert!(on_kept("/p?q=1").ends_with("other"));
    reload(&changed);
    assert!(on_kept("/p").ends_with("other"));
    // SIGHUP does the same; its outcome is in the figures.
    config_file("reload", &changed.replace("s3cret", "other"));
    oust.signal("HUP");
    let began = std::time::Instant::now();
    let bearer = [("Host", "localhost"), ("Authorization", "Bearer other")];
    while request(oust.admin, "GET", "/v1/stats", &bearer, b"").status != 200 {
        assert!(began.elapsed() < PATIENCE, "{}", oust.log());
        std::thread::yield_now();
    }
}

#[test]
fn purge_is_for_those_who_may_and_for_nobody_by_default() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    for host in ["h.test", "", "a b"] {
        assert_eq!(request(oust.listen, "PURGE", "/p", &[("Host", host)], b"").status, 403, "{host:?}");
    }
    let metrics = oust.api("GET", "/metrics", "").text();
    assert!(metrics.contains("oust_refused_total{reason=\"purge\"} 3"), "{metrics}");

    let oust = Oust::configured("purge_method", &config("purge_method_from = [\"127.0.0.0/8\"]", &origin));
    oust.get("/p");
    oust.get("/q");
    let answer = request(oust.listen, "PURGE", "/p", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    assert_eq!((&told["state"], &told["rules"]), (&"effective".into(), &1.into()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(!oust.get("/p").is_hit());
    assert!(oust.get("/q").is_hit(), "one URL and no other");
    let record = oust.api("GET", &format!("/v1/purges/{}", told["id"].as_str().unwrap()), "").json();
    assert_eq!((&record["by"], &record["action"]), (&"PURGE 127.0.0.1".into(), &"delete".into()));
    let soft = request(oust.listen, "PURGE", "/q", &[("Purge-Action", "soft")], b"").json();
    let record = oust.api("GET", &format!("/v1/purges/{}", soft["id"].as_str().unwrap()), "").json();
    assert_eq!(record["action"], "soft");
    assert_eq!(request(oust.listen, "PURGE", "/q", &[("Purge-Action", "shred")], b"").status, 400);
    assert_eq!(request(oust.listen, "purge", "/q", &[], b"").status, 403, "methods are case-sensitive");
    let elsewhere = Oust::configured("purge_elsewhere", &config("purge_method_from = [\"10.0.0.0/8\"]", &origin));
    let claims = [("X-Forwarded-For", "10.0.0.1"), ("Forwarded", "for=10.0.0.1")];
    assert_eq!(request(elsewhere.listen, "PURGE", "/p", &claims, b"").status, 403);
}

#[test]
fn a_websocket_is_passed_through_and_other_answers_are_as_they_are() {
    let origin = Origin::start(|seen, reply| {
        if seen.target == "/no" || seen.header("upgrade") != Some("websocket") {
            return reply.send(200, &[], &format!("plain {:?}", seen.header("upgrade")));
        }
        reply.begin(101, &[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")], None);
        reply.write(b"hello\n\n");
    });
    let oust = Oust::before(&origin);
    let mut stream = TcpStream::connect(oust.listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The first words come right behind the head.
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nHost: h.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\nhello\n\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&got)));
        got.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&got).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
    assert!(head.contains("sec-websocket-accept: x"), "{head}");
    assert_eq!(oust.api("GET", "/v1/stats", "").json()["connections"]["upgraded"], 1);
    // From here on nothing is looked at, either way: no field is added to what passes.
    stream.write_all(b"GET /through HTTP/1.1\nOdd : 1\n\n").unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"plain None") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        got.push(byte[0]);
    }
    let seen = origin.seen().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.headers), ("/through", vec![("odd ".to_owned(), "1".to_owned())]));
    drop(stream);

    let ask = |path: &str, fields: &str| {
        raw(oust.listen, format!("GET {path} HTTP/1.1\r\nHost: h.test\r\n{fields}\r\n").as_bytes(), false)
    };
    let refused = ask("/no", "Connection: upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!((refused.status, refused.text().as_str()), (200, "plain Some(\"websocket\")"));
    assert_eq!(refused.header("connection"), Some("close"));
    let unnamed = ask("/ws", "Upgrade: websocket\r\n");
    assert_eq!(unnamed.text(), "plain None", "it is not meant for us without Connection");
}

#[test]
fn each_request_has_a_line_in_the_access_log() {
    let origin = Origin::versions();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("access.log");
    let moved = path.with_extension("1");
    drop(std::fs::remove_file(&path));
    let mut oust = Oust::configured("access_log", &config(&format!("access_log = {path:?}"), &origin));
    oust.get_with("/p?q=1", &[("User-Agent", "a \"b\""), ("Referer", "http://r.test/")]);
    oust.get("/p?q=1");
    request(oust.listen, "POST", "/x", &[], b"hello");
    // Rotated as logrotate does it.
    std::fs::rename(&path, &moved).unwrap();
    let reloaded = oust.api("POST", "/v1/reload", "");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    oust.get("/after");
    oust.signal("TERM");
    assert_eq!(oust.exit_code(), Some(0));
    let lines = |path: &PathBuf| -> Vec<serde_json::Value> {
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (before, after) = (lines(&moved), lines(&path));
    assert_eq!((before.len(), after.len()), (3, 1));
    let first = &before[0];
    for (field, value) in [
        ("method", "GET"),
        ("path", "/p?q=1"),
        ("host", "h.test"),
        ("scheme", "http"),
        ("protocol", "HTTP/1.1"),
        ("user_agent", "a \"b\""),
        ("referer", "http://r.test/"),
    ] {
        assert_eq!(first[field], value, "{first}");
    }
    assert_eq!((&first["status"], &first["bytes"], &first["complete"]), (&200.into(), &9.into(), &true.into()));
    assert!(first["peer"].as_str().unwrap().starts_with("127.0.0.1:") && first["duration_us"].is_u64());
    assert!(before[1]["cache_status"].as_str().unwrap().starts_with("oust; hit"));
    assert_eq!((&before[2]["method"], &after[0]["path"]), (&"POST".into(), &"/after".into()));
}

#[test]
fn a_drain_lets_http2_requests_end() {
    let (gate, held) = gate();
    let origin = Origin::start(move |_, reply| {
        held.hold();
        reply.send(200, &[], "late");
    });
    let mut oust = Oust::before(&origin);
    run(async {
        let mut send = h2c(oust.listen).await;
        let answer = send.send_request(ask("http://h.test/slow".into()));
        let answer = tokio::spawn(answer);
        let gate = tokio::task::spawn_blocking(move || {
            gate.arrived();
            gate
        });
        let gate = gate.await.unwrap();
        oust.signal("TERM");
        let began = std::time::Instant::now();
        let ready = || request(oust.admin, "GET", "/readyz", &[("Host", "localhost")], b"").status;
        while ready() != 503 {
            assert!(began.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
        gate.release();
        let (parts, body) = whole(answer.await.unwrap().unwrap()).await;
        assert_eq!((parts.status.as_u16(), body.as_str()), (200, "late"));
    });
    assert_eq!(oust.exit_code(), Some(0));
}

#[test]
fn clients_that_do_not_go_on_are_closed_whichever_protocol_they_speak() {
    let origin = Origin::versions();
    let oust = Oust::configured("slow", &config("header_timeout = \"100ms\"\nkeep_alive_timeout = \"150ms\"", &origin));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let begun = [0, 0, 9, 1, 0, 0, 0, 0, 1, 0x82];
    let unfinished = [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    let whole = b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n";
    for sent in [
        &b""[..],
        b"PRI * HTTP/2.0\r\n",
        &[&preface[..], &settings].concat(),
        &[&preface[..], &settings, &begun].concat(),
        &[&preface[..], &settings, &unfinished].concat(),
        whole,
        &[&whole[..], b"GET /p HT"].concat(),
    ] {
        let mut stream = TcpStream::connect(oust.listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(sent).unwrap();
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{sent:?}"),
        }
    }
    // The server counts it just after the client sees it.
    let began = std::time::Instant::now();
    while oust.api("GET", "/v1/stats", "").json()["connections"]["open"] != 0 {
        assert!(began.elapsed() < PATIENCE);
    }
    let metrics = oust.api("GET", "/metrics", "").text();
    assert!(metrics.contains("oust_refused_total{reason=\"header-timeout\"} 5"), "{metrics}");
}

#[test]
fn clients_that_take_nothing_are_cut_whichever_protocol_they_speak() {
    let origin = Origin::start(|_, reply| {
        reply.begin(200, &[("Cache-Control", "max-age=60")], Some(32 << 20));
        for _ in 0..32 {
            reply.write(&vec![b'x'; 1 << 20]);
        }
    });
    let oust = Oust::configured("stuck", &config("body_timeout = \"150ms\"", &origin));
    let mut http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
    http2.extend(b"\x00\x00\x0b\x01\x05\x00\x00\x00\x01\x82\x84\x86\x41\x06h.test");
    for sent in [b"GET / HTTP/1.1\r\nHost: h.test\r\n\r\n".to_vec(), http2] {
        let mut stream = TcpStream::connect(oust.listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&sent).unwrap();
        // It has an answer, and nothing of the rest is read.
        stream.read_exact(&mut [0; 64]).unwrap();
        let began = std::time::Instant::now();
        while oust.api("GET", "/v1/stats", "").json()["connections"]["open"] != 0 {
            assert!(began.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&sent));
        }
    }
}

/// A flood of streams that are reset at once ends its connection (CVE-2023-44487), and nothing else.
#[test]
fn a_flood_of_resets_ends_its_connection() {
    let (gate, held) = gate();
    let origin = Origin::start(move |_, _| held.hold());
    let oust = Oust::before(&origin);
    let mut stream = TcpStream::connect(oust.listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
    for number in 0..2000_u32 {
        let id = u8::try_from((2 * number + 1) >> 8).unwrap();
        let low = u8::try_from((2 * number + 1) & 255).unwrap();
        // GET / of h.test by http: indexed fields and a literal authority.
        bytes.extend([0, 0, 11, 1, 5, 0, 0, id, low, 0x82, 0x84, 0x86, 0x41, 6]);
        bytes.extend(b"h.test");
        bytes.extend([0, 0, 4, 3, 0, 0, 0, id, low, 0, 0, 0, 8]);
    }
    drop(stream.write_all(&bytes));
    let mut rest = Vec::new();
    let reset = stream.read_to_end(&mut rest).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
    // GOAWAY (7) with ENHANCE_YOUR_CALM (11), unless a reset of the connection overtook it.
    let calm = rest.windows(17).any(|frame| frame[3] == 7 && frame[13..] == [0, 0, 0, 11]);
    assert!(calm || reset, "{rest:?}");
    drop(gate);
    let answer: Response = request(oust.listen, "TRACE", "/", &[], b"");
    assert_eq!(answer.status, 405, "others are served");
}

#[test]
fn an_unsafe_request_that_asks_for_another_protocol_still_ends_its_url() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    for (number, method) in ["POST", "DELETE", "PUT"].into_iter().enumerate() {
        let path = format!("/{number}");
        oust.get(&path);
        assert!(oust.get(&path).is_hit());
        let bytes = format!("{method} {path} HTTP/1.1\r\nHost: h.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        assert_eq!(raw(oust.listen, bytes.as_bytes(), false).status, 200);
        assert!(!oust.get(&path).is_hit(), "{method}");
    }
}

#[test]
fn h25_the_clients_of_a_trusted_proxy_may_not_purge_because_the_proxy_may() {
    let origin = Origin::versions();
    let from = "purge_method_from = [\"127.0.0.1\", \"192.0.2.0/24\"]\ntrusted_proxies = [\"127.0.0.1\"]";
    let oust = Oust::configured("purge_proxied", &config(from, &origin));
    let purge = |fields: &[(&str, &str)]| request(oust.listen, "PURGE", "/p", fields, b"").status;
    for claim in ["198.51.100.7", "192.0.2.1, 198.51.100.7", "unknown", "", "192.0.2.1:80"] {
        assert_eq!(purge(&[("X-Forwarded-For", claim)]), 403, "{claim:?}");
    }
    assert_eq!(purge(&[("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "198.51.100.7")]), 403);
    assert_eq!(purge(&[("X-Forwarded-For", "198.51.100.7, 192.0.2.1")]), 200);
    assert_eq!(purge(&[]), 200);
}

#[test]
fn h16_a_purge_through_a_trusted_proxy_takes_what_a_get_through_it_stores() {
    let origin = Origin::versions();
    let oust = Oust::configured(
        "purge_scheme",
        &config("purge_method_from = [\"127.0.0.1\"]\ntrusted_proxies = [\"127.0.0.1\"]", &origin),
    );
    let https = [("X-Forwarded-Proto", "https")];
    oust.get_with("/p", &https);
    oust.get("/p");
    assert_eq!(request(oust.listen, "PURGE", "/p", &https, b"").status, 200);
    assert!(!oust.get_with("/p", &https).is_hit());
    assert!(oust.get("/p").is_hit(), "the other scheme is another URL");
}

#[test]
fn a_trusted_proxy_may_name_the_scheme_of_its_own_connection() {
    let origin = Origin::versions();
    let oust = Oust::configured("proxied_target", &config("trusted_proxies = [\"127.0.0.1\"]", &origin));
    let get = |scheme: &str| {
        let fields = [("X-Forwarded-Proto", "https")];
        request(oust.listen, "GET", &format!("{scheme}://h.test/p"), &fields, b"").status
    };
    assert_eq!((get("http"), get("https"), get("ftp")), (200, 200, 421));
    // Who is not trusted names that of its connection.
    let plain = Oust::before(&origin);
    assert_eq!(request(plain.listen, "GET", "https://h.test/p", &[], b"").status, 421);
}

#[test]
fn a_drain_does_not_wait_for_http2_clients_that_want_nothing_and_say_nothing() {
    let origin = Origin::versions();
    let limits = "header_timeout = \"100ms\"\ndrain_timeout = \"600s\"\nkeep_alive_timeout = \"600s\"";
    let mut oust = Oust::configured("drain_silent", &config(limits, &origin));
    let mut stream = TcpStream::connect(oust.listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The preface and empty settings; then it acknowledges nothing.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    stream.read_exact(&mut [0; 9]).unwrap();
    oust.signal("TERM");
    assert_eq!(oust.exit_code(), Some(0));
}
