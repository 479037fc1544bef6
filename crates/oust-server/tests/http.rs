//! The proxy as HTTP sees it.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Origin, Oust, behind, gate, raw, request};

#[test]
fn fresh_answers_are_hits_with_an_age() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    let miss = oust.get("/p");
    assert_eq!(miss.status, 200);
    assert!(miss.cache_status().starts_with("oust; fwd=uri-miss; fwd-status=200; stored"), "{}", miss.cache_status());
    let hit = oust.get("/p");
    assert!(hit.is_hit(), "{}", hit.cache_status());
    assert!(hit.cache_status().contains("ttl="));
    assert!(hit.header("age").is_some_and(|age| age.parse::<u64>().is_ok()));
    assert!(hit.header("via").is_some_and(|via| via.contains("oust")));
    assert_eq!(hit.text(), "version 1");
    assert_eq!(origin.count(), 1);
}

#[test]
fn equivalent_urls_share_what_was_asked_for_by_their_canonical_form() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    oust.get("/a/../%7euser/x?q=1");
    assert!(oust.get("/~user/x?q=1").is_hit());
    assert_eq!(origin.seen()[0].target, "/~user/x?q=1");
}

#[test]
fn purge_connect_and_trace_are_refused() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    oust.get("/p");
    for method in ["PURGE", "purge"] {
        let answer = request(oust.listen, method, "/p", &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (403, None), "{method}");
    }
    let answer = request(oust.listen, "TRACE", "/p", &[], b"");
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").is_some());
    assert!(oust.get("/p").is_hit(), "an open PURGE would be a hole (H25)");
    assert_eq!(origin.count(), 1);
}

#[test]
fn bad_requests_are_refused_and_not_forwarded() {
    let origin = Origin::versions();
    let oust = Oust::configured(
        "unknown_host",
        &format!("[[site]]\nhosts = [\"h.test\"]\norigins = [\"{}\"]\n", origin.url()),
    );
    let refused = [
        (421, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: h.test\r\nHost: h.test\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: u@h.test\r\n\r\n"),
        (400, "GET /\\x HTTP/1.1\r\nHost: h te st\r\n\r\n"),
        (421, "GET https://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n"),
    ];
    for (status, text) in refused {
        let answer = raw(oust.listen, text.as_bytes(), false);
        assert_eq!(answer.status, status, "{text}");
        assert!(answer.cache_status().starts_with("oust"), "{text}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_request_has_one_length() {
    let origin = Origin::start(|seen, reply| {
        reply.send(200, &[], &String::from_utf8_lossy(&seen.body));
    });
    let oust = Oust::before(&origin);
    let text = "POST / HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(raw(oust.listen, text.as_bytes(), false).text(), "hello");
    for seen in origin.seen() {
        assert_eq!((seen.header("content-length"), seen.header("transfer-encoding")), (None, Some("chunked")));
    }
    for fields in ["Content-Length: 3\r\nContent-Length: 4", "Content-Length: +3", "Transfer-Encoding: gzip"] {
        let text = format!("POST / HTTP/1.1\r\nHost: h.test\r\n{fields}\r\n\r\nhell");
        assert_eq!(raw(oust.listen, text.as_bytes(), false).status, 400, "{fields}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn heads_are_answered_from_gets() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    let head = request(oust.listen, "HEAD", "/p", &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("9")));
    // The fill goes on after a HEAD has its answer; joining or hitting it, nobody asks again.
    assert_eq!(oust.get("/p").text(), "version 1");
    let head = request(oust.listen, "HEAD", "/p", &[], b"");
    assert!(head.is_hit());
    assert_eq!(head.header("content-length"), Some("9"));
    assert_eq!(origin.seen().iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["GET"]);
}

#[test]
fn a_clients_validators_are_answered_by_us_and_not_forwarded() {
    let origin = Origin::start(|_, reply| {
        reply.send(200, &[("Cache-Control", "max-age=60"), ("ETag", "\"e\"")], "body");
    });
    let oust = Oust::before(&origin);
    for _ in 0..2 {
        let answer = oust.get_with("/p", &[("If-None-Match", "\"e\""), ("Range", "bytes=0-1")]);
        assert_eq!(answer.status, 304);
        assert_eq!(answer.header("etag"), Some("\"e\""));
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].header("if-none-match"), seen[0].header("range")), (None, None));
    let answer = oust.get_with("/p", &[("Range", "bytes=0-1")]);
    assert_eq!((answer.status, answer.text().as_str()), (206, "bo"));
    assert_eq!(answer.header("content-range"), Some("bytes 0-1/4"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn hop_by_hop_and_forwarding_fields() {
    let origin = Origin::start(|_, reply| {
        reply.send(200, &[("Connection", "X-Hop"), ("X-Hop", "1"), ("Cache-Control", "max-age=60")], "body");
    });
    let oust = Oust::before(&origin);
    let fields = [
        ("Connection", "close, X-Mine"),
        ("X-Mine", "1"),
        ("Keep-Alive", "1"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Proto", "https"),
    ];
    let answer = oust.get_with("/p", &fields);
    assert_eq!(answer.header("x-hop"), None);
    let seen = &origin.seen()[0];
    assert_eq!((seen.header("x-mine"), seen.header("keep-alive"), seen.header("x-forwarded-host")), (None, None, None));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"), "nobody may choose a key's scheme");
    assert_eq!(seen.header("host"), Some("h.test"));
    assert!(seen.header("via").is_some_and(|via| via.contains("oust")));
}

#[test]
fn variants_and_keys_by_forwarding_fields_are_those_the_origin_was_told() {
    let origin = Origin::start(|seen, reply| {
        let told = seen.header("x-forwarded-for").unwrap_or("nobody").to_owned();
        reply.send(200, &[("Cache-Control", "max-age=60"), ("Vary", "X-Forwarded-For")], &told);
    });
    let site = |more: &str| {
        format!(
            "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[http]\ncache_status_key = true\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n{more}",
            origin.url()
        )
    };
    let oust = Oust::configured("variants", &site(""));
    for hit in [false, true] {
        for client in ["192.0.2.7", "192.0.2.8"] {
            let answer = oust.get_with("/p", &[("X-Forwarded-For", client)]);
            assert_eq!((answer.text(), answer.is_hit()), (format!("{client}, 127.0.0.1"), hit));
        }
        let answer = oust.get("/p");
        assert_eq!((answer.text(), answer.is_hit()), ("127.0.0.1".to_owned(), hit));
    }
    let oust = Oust::configured("keyed", &site("key = { headers = [\"X-Forwarded-For\"] }\n"));
    let key = oust.get_with("/p", &[("X-Forwarded-For", "192.0.2.7")]).cache_status().to_owned();
    assert!(key.contains("192.0.2.7") && key.contains("127.0.0.1"), "{key}");
}

#[test]
fn trusted_proxies_choose_the_scheme_of_a_key() {
    let origin = Origin::versions();
    let config = format!(
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[http]\ncache_status_key = true\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
        origin.url()
    );
    let oust = Oust::configured("trusted", &config);
    let answer = oust.get_with("/p", &[("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "192.0.2.7")]);
    assert!(answer.cache_status().contains("key=\"https://h.test/p\""), "{}", answer.cache_status());
    assert_eq!(origin.seen()[0].header("x-forwarded-proto"), Some("https"));
    assert_eq!(origin.seen()[0].header("x-forwarded-for"), Some("192.0.2.7, 127.0.0.1"));
    assert!(oust.get("/p").cache_status().contains("key=\"http://h.test/p\""));
}

#[test]
fn tags_are_for_us_and_not_shown() {
    let origin = Origin::start(|seen, reply| {
        let fields = [("Cache-Control", "max-age=60"), ("Surrogate-Key", "one two"), ("Cache-Tag", "three four, five")];
        reply.send(200, &fields, &format!("version {}", seen.number + 1));
    });
    let oust = Oust::before(&origin);
    for tag in ["one", "two", "three four", "five"] {
        let miss = oust.get("/p");
        assert!(oust.get("/p").is_hit());
        assert_eq!((miss.header("surrogate-key"), miss.header("cache-tag")), (None, None));
        oust.purge(r#"{"selectors":[{"tag":"three"}]}"#);
        assert!(oust.get("/p").is_hit(), "no such tag");
        oust.purge(&format!(r#"{{"selectors":[{{"tag":"{tag}"}}]}}"#));
        assert!(!oust.get("/p").is_hit(), "{tag}");
    }
}

#[test]
fn other_methods_pass_with_their_bodies() {
    let origin = Origin::start(|seen, reply| {
        let body = String::from_utf8_lossy(&seen.body).to_uppercase();
        reply.send(200, &[("Cache-Control", "max-age=60")], &format!("{} {body}", seen.method));
    });
    let oust = Oust::before(&origin);
    for method in ["POST", "PUT", "DELETE", "M-SEARCH"] {
        let answer = request(oust.listen, method, "/p?b&a", &[], b"hello");
        assert_eq!(answer.text(), format!("{method} HELLO"));
        assert!(answer.cache_status().contains("fwd=method"));
    }
    assert_eq!(origin.count(), 4);
}

#[test]
fn nothing_is_stored_that_must_not_be() {
    let origin = Origin::start(|seen, reply| {
        let control = seen.target.strip_prefix("/?").unwrap().replace("%22", "\"");
        reply.send(200, &[("Cache-Control", &control)], &format!("version {}", seen.number + 1));
    });
    let oust = Oust::before(&origin);
    for control in [
        "no-store,max-age=60",
        "private,max-age=60",
        "No-Store",
        "public",
        "max-age=60,private=%22a,vary,cache-control%22",
    ] {
        let path = format!("/?{control}");
        oust.get(&path);
        assert!(!oust.get(&path).is_hit(), "{control}");
    }
    assert!(!oust.get_with("/?max-age=60", &[("Authorization", "x")]).is_hit());
    assert!(!oust.get_with("/?max-age=60", &[("Cache-Control", "no-store")]).is_hit());
    oust.get("/?max-age=60");
    assert!(oust.get("/?max-age=60").is_hit());
}

#[test]
fn requests_may_demand_validation_or_no_forwarding() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    assert_eq!(oust.get_with("/p", &[("Cache-Control", "only-if-cached")]).status, 504);
    assert_eq!(origin.count(), 0);
    oust.get("/p");
    assert!(oust.get_with("/p", &[("Cache-Control", "only-if-cached")]).is_hit());
    let fresh = oust.get_with("/p", &[("Cache-Control", "no-cache")]);
    assert_eq!(fresh.text(), "version 2");
    assert!(fresh.cache_status().contains("fwd=request"), "{}", fresh.cache_status());
    assert_eq!(oust.get("/p").text(), "version 2");
}

#[test]
fn without_an_origin_stale_use_is_what_response_and_purge_allow() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = down.clone();
    let origin = Origin::start(move |_, reply| {
        if is_down.load(Ordering::SeqCst) {
            return reply.send(503, &[], "down");
        }
        reply.send(200, &[("Cache-Control", "max-age=60, stale-if-error=600"), ("ETag", "\"e\"")], "good");
    });
    let oust = Oust::before(&origin);
    for path in ["/soft", "/invalidate", "/delete"] {
        oust.get(path);
    }
    down.store(true, Ordering::SeqCst);
    for action in ["soft", "invalidate", "delete"] {
        let body = format!(r#"{{"selectors":[{{"url":"http://h.test/{action}"}}],"action":"{action}"}}"#);
        oust.purge(&body);
    }
    let soft = oust.get("/soft");
    assert_eq!((soft.status, soft.text().as_str()), (200, "good"));
    assert!(soft.cache_status().contains("purged-soft"), "{}", soft.cache_status());
    assert_eq!(oust.get("/invalidate").status, 503);
    assert_eq!(oust.get("/delete").status, 503);
    // Each peer looks like this: it must not be given the soft object as good.
    assert_eq!(oust.get_with("/soft", &[("Via", "1.1 peer")]).status, 503);
    down.store(false, Ordering::SeqCst);
    assert!(oust.get("/invalidate").cache_status().contains("fwd=stale"));
    assert_eq!(oust.get("/soft").text(), "good");
}

#[test]
fn an_origin_that_is_not_there() {
    let origin = Origin::versions();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let oust = Oust::serve(&["--origin", &format!("http://{closed}")]);
    assert_eq!(oust.get("/p").status, 502);
    assert_eq!(request(oust.listen, "POST", "/p", &[], b"x").status, 502);
    // One of two is enough.
    let config = format!("[[site]]\nhosts = [\"*\"]\norigins = [\"http://{closed}\", \"{}\"]\n", origin.url());
    let oust = Oust::configured("two_origins", &config);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(oust.get(path).status, 200);
    }
}

#[test]
fn a_connection_that_ends_before_an_answer_is_tried_again_for_safe_requests_only() {
    let origin = Origin::start(|seen, reply| {
        if seen.number % 2 == 0 {
            return reply.end();
        }
        reply.send(200, &[("Cache-Control", "max-age=60")], "good");
    });
    let oust = Oust::before(&origin);
    assert_eq!(oust.get("/p").text(), "good");
    assert_eq!(origin.count(), 2);
    assert_eq!(request(oust.listen, "POST", "/p", &[], b"x").status, 502);
    assert_eq!(origin.count(), 3);
}

#[test]
fn soft_stale_is_served_while_it_is_validated_but_not_to_a_peer() {
    let origin = Origin::start(|seen, reply| {
        reply.send(
            200,
            &[("Cache-Control", "max-age=60, stale-while-revalidate=600")],
            &format!("version {}", seen.number + 1),
        );
    });
    let oust = Oust::before(&origin);
    for from_peer in [false, true] {
        let path = format!("/{from_peer}");
        let before = oust.get(&path).text();
        oust.purge(&format!(r#"{{"selectors":[{{"url":"http://h.test{path}"}}],"action":"soft"}}"#));
        let headers: &[(&str, &str)] = if from_peer { &[("Via", "1.1 peer")] } else { &[] };
        let answer = oust.get_with(&path, headers);
        assert_eq!(answer.text() == before, !from_peer, "{}", answer.cache_status());
        assert_eq!(answer.is_hit(), !from_peer);
    }
}

#[test]
fn a_body_is_passed_on_as_it_comes() {
    use std::io::{Read, Write};
    let (gate, held) = gate();
    let origin = Origin::start(move |_, reply| {
        reply.begin(200, &[("Cache-Control", "max-age=60")], Some(10));
        reply.write(b"first");
        held.hold();
        reply.write(b"rest.");
    });
    let oust = Oust::before(&origin);
    let mut stream = std::net::TcpStream::connect(oust.listen).unwrap();
    stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
    stream.write_all(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n").unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"first") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the first part does not wait for the rest");
        got.push(byte[0]);
    }
    gate.arrived();
    // A second client joins and also gets the part that was there before it.
    let addr = oust.listen;
    let joined = behind(move || request(addr, "GET", "/p", &[], b""));
    // The first client goes away; the fill does not end with it.
    drop(stream);
    gate.release();
    assert_eq!(joined.join().unwrap().text(), "firstrest.");
    assert!(oust.get("/p").is_hit());
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_body_cut_off_by_the_origin_is_not_stored() {
    use std::io::{Read, Write};
    let (gate, held) = gate();
    let origin = Origin::start(move |seen, reply| {
        if seen.number == 0 {
            reply.begin(200, &[("Cache-Control", "max-age=60"), ("Connection", "close")], Some(10));
            reply.write(b"half");
            held.hold();
            panic!("ends the connection");
        }
        reply.send(200, &[("Cache-Control", "max-age=60")], "whole");
    });
    let oust = Oust::before(&origin);
    let mut client = std::net::TcpStream::connect(oust.listen).unwrap();
    client.set_read_timeout(Some(common::PATIENCE)).unwrap();
    client.write_all(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n").unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"half") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        got.push(byte[0]);
    }
    // The client reads the first half before the origin goes away.
    gate.arrived();
    gate.release();
    let mut rest = Vec::new();
    // An end or a reset: either way not the ten bytes that were announced.
    client.read_to_end(&mut rest).ok();
    assert!(rest.is_empty(), "the client sees it is cut off: {rest:?}");
    assert_eq!(oust.get("/p").text(), "whole");
}

#[test]
fn connections_are_kept_alive_both_ways() {
    use std::io::{BufReader, Read, Write};
    let origin = Origin::start(|_, reply| reply.send(200, &[("Cache-Control", "no-store")], "x"));
    let oust = Oust::before(&origin);
    let mut stream = std::net::TcpStream::connect(oust.listen).unwrap();
    stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..3 {
        stream.write_all(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\nx") {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
    }
    let stats = oust.api("GET", "/v1/stats", "").json();
    assert_eq!(stats["connections"]["total"], 1);
}

#[test]
fn what_a_request_changes_is_fetched_again() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    for path in ["/p", "/q"] {
        oust.get(path);
        assert!(oust.get(path).is_hit());
    }
    let change = request(oust.listen, "POST", "/p", &[], b"x");
    assert!(change.cache_status().starts_with("oust; fwd=method; fwd-status=200"), "{}", change.cache_status());
    assert!(!oust.get("/p").is_hit());
    assert!(oust.get("/q").is_hit());
}

#[test]
fn several_ranges_are_parts_of_one_body() {
    let origin = Origin::start(|_, reply| reply.send(200, &[("Cache-Control", "max-age=60")], "0123456789"));
    let oust = Oust::before(&origin);
    for _ in 0..2 {
        let answer = oust.get_with("/p", &[("Range", "bytes=1-2,-1")]);
        assert_eq!(answer.status, 206);
        let text = answer.text();
        assert!(text.contains("Content-Range: bytes 1-2/10\r\n\r\n12\r\n--"), "{text}");
        assert!(text.contains("Content-Range: bytes 9-9/10\r\n\r\n9\r\n--"), "{text}");
        assert_eq!(oust.get_with("/p", &[("Range", "bytes=10-")]).status, 416);
    }
    assert_eq!(origin.count(), 1);
}
