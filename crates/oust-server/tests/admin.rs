//! The admin API: statuses, shapes, who may.

mod common;

use common::{Origin, Oust, Response, gate, raw, request};

fn problem(answer: &Response, status: u16) -> serde_json::Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

#[test]
fn malformed_purges_are_refused_whole() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    oust.get("/p");
    for body in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"selectors":[]}"#,
        r#"{"selectors":[{}]}"#,
        r#"{"selectors":[{"url":"http://h.test/p"}],"speed":1}"#,
        r#"{"selectors":[{"url":"http://h.test/p"}],"action":"burn"}"#,
        r#"{"selectors":[{"url":"http://h.test/p"}],"layers":[]}"#,
        r#"{"selectors":[{"url":"http://h.test/p"}],"layers":["l2"]}"#,
        r#"{"selectors":[{"url":"http://h.test/p"}],"layers":["edge","l2"]}"#,
        r#"{"selectors":[{"url":"http://h.test/p"}],"layers":["tape"]}"#,
        r#"{"selectors":[{"url":"http://h.test/p"}],"durability":"stone"}"#,
        r#"{"selectors":[{"url":"http://h.test/p","host":"h.test"}]}"#,
    ] {
        let headers = [("Host", "localhost"), ("Content-Type", "application/json")];
        problem(&request(oust.admin, "POST", "/v1/purges", &headers, body.as_bytes()), 400);
    }
    // One bad selector among good ones: its index and position, and nothing happens.
    let body = r#"{"selectors":[{"url":"http://h.test/p"},{"pattern":"http://h.test/%4*"}]}"#;
    let found = problem(&oust.api("POST", "/v1/purges", body), 400);
    assert_eq!(found["selector"], 1);
    assert!(found["position"].is_u64(), "{found}");
    assert!(oust.get("/p").is_hit(), "all or nothing");
}

#[test]
fn every_selector_kind_is_accepted() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    for selector in [
        r#"{"url":"any://h.test/p"}"#,
        r#"{"key":"http://h.test/p"}"#,
        r#"{"variant":{"key":"http://h.test/p","headers":{"Accept":"x"}}}"#,
        r#"{"pattern":"http://h.test/*"}"#,
        r#"{"glob":"http://h.test/*"}"#,
        r#"{"regex":"http://h.test/p$"}"#,
        r#"{"host":"h.test"}"#,
        r#"{"all":true}"#,
    ] {
        oust.get("/p");
        assert!(oust.get("/p").is_hit());
        let explained = oust.api("POST", "/v1/explain", &format!(r#"{{"selectors":[{selector}]}}"#)).json();
        assert_eq!(explained["edge"]["objects"], 1, "{selector}");
        assert_eq!(explained["edge"]["sample"][0], "http://h.test/p");
        assert!(oust.get("/p").is_hit(), "explaining changes nothing");
        let ack = oust.purge(&format!(r#"{{"selectors":[{selector}],"layers":["edge"],"durability":"memory"}}"#));
        assert_eq!((&ack["state"], &ack["durable"]), (&"effective".into(), &false.into()));
        assert_eq!(ack["id"], format!("{}-{}", ack["epoch"], ack["seq"]));
        assert!(!oust.get("/p").is_hit(), "{selector}");
    }
}

#[test]
fn history() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    oust.get("/p");
    let first = oust.purge(r#"{"selectors":[{"url":"http://h.test/p"},{"tag":"t"}],"action":"invalidate"}"#);
    let second = oust.purge(r#"{"selectors":[{"all":true}]}"#);
    let id = first["id"].as_str().unwrap();
    let mut record = oust.api("GET", &format!("/v1/purges/{id}"), "").json();
    let begun = std::time::Instant::now();
    while record["state"] != "swept" {
        assert!(begun.elapsed() < common::PATIENCE, "{record}");
        record = oust.api("GET", &format!("/v1/purges/{id}"), "").json();
    }
    assert_eq!(record["selectors"], serde_json::json!([{ "url": "http://h.test/p" }, { "tag": "t" }]));
    assert_eq!((&record["action"], &record["by"]), (&"invalidate".into(), &"local".into()));
    assert_eq!(record["layers"], serde_json::json!(["edge"]));
    assert_eq!(record["edge"]["objects"], 1);
    assert!(record["created"].as_str().is_some_and(|text| text.ends_with('Z')), "{record}");
    assert!(record["swept_at"].is_string());
    let list = oust.api("GET", "/v1/purges?limit=1", "").json();
    assert_eq!(list["purges"][0]["id"], second["id"]);
    let next = list["next"].as_str().unwrap();
    let list = oust.api("GET", &format!("/v1/purges?before={next}"), "").json();
    assert_eq!(list["purges"][0]["id"], first["id"]);
    assert_eq!(list["purges"].as_array().map(Vec::len), Some(1));
    for unknown in ["0-1", "nonsense", "1", "-"] {
        problem(&oust.api("GET", &format!("/v1/purges/{unknown}"), ""), 404);
    }
    for bad in ["limit=0", "limit=x", "before=x", "page=2"] {
        problem(&oust.api("GET", &format!("/v1/purges?{bad}"), ""), 400);
    }
}

#[test]
fn objects_tell_what_is_stored_and_why_it_would_be_served() {
    let origin = Origin::start(|_, reply| {
        reply.send(200, &[("Cache-Control", "max-age=60"), ("Vary", "accept"), ("Surrogate-Key", "t u")], "body");
    });
    let oust = Oust::before(&origin);
    oust.get_with("/p", &[("Accept", "x")]);
    let list = oust.api("GET", "/v1/objects?url=http://h.test/p", "").json();
    let object = &list["objects"][0];
    assert_eq!(object["key"], "http://h.test/p");
    assert_eq!(object["variant"], serde_json::json!({ "accept": "x" }));
    assert_eq!(object["tags"], serde_json::json!(["t", "u"]));
    assert_eq!((&object["layer"], &object["status"], &object["verdict"]), (&"edge".into(), &200.into(), &"hit".into()));
    oust.purge(r#"{"selectors":[{"url":"http://h.test/p"}],"action":"invalidate"}"#);
    let list = oust.api("GET", "/v1/objects?key=http://h.test/p", "").json();
    assert_ne!(list["objects"][0]["verdict"], "hit");
    for bad in ["", "?url=http://h.test/p&key=http://h.test/p", "?url=nonsense", "?path=x"] {
        problem(&oust.api("GET", &format!("/v1/objects{bad}"), ""), 400);
    }
}

#[test]
fn requests_that_are_not_purges() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    let good = r#"{"selectors":[{"all":true}]}"#;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let headers = [("Host", "localhost"), ("Content-Type", content_type)];
        problem(&request(oust.admin, "POST", "/v1/purges", &headers, good.as_bytes()), 415);
    }
    problem(&request(oust.admin, "POST", "/v1/purges", &[("Host", "localhost")], good.as_bytes()), 415);
    let headers = [("Host", "localhost"), ("Content-Type", "application/json; charset=utf-8")];
    assert_eq!(request(oust.admin, "POST", "/v1/purges", &headers, good.as_bytes()).status, 200);
    // Told by its length alone: nobody has to send it.
    let huge = "POST /v1/purges HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n";
    assert!(problem(&raw(oust.admin, huge.as_bytes(), false), 413)["limit"].is_object());
    problem(&oust.api("DELETE", "/v1/purges", ""), 405);
    assert!(oust.api("PUT", "/v1/explain", "").header("allow").is_some_and(|allow| allow.contains("POST")));
    problem(&oust.api("GET", "/v1/nothing", ""), 404);
}

#[test]
fn batches_over_the_limit_are_413_and_name_it() {
    let origin = Origin::versions();
    let config = format!("[purge]\nmax_batch = 3\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n", origin.url());
    let oust = Oust::configured("small_batch", &config);
    let batch = |n: usize| {
        let selectors: Vec<String> = (0..n).map(|i| format!(r#"{{"url":"http://h.test/{i}"}}"#)).collect();
        format!(r#"{{"selectors":[{}]}}"#, selectors.join(","))
    };
    assert_eq!(oust.purge(&batch(3))["rules"], 3);
    let found = problem(&oust.api("POST", "/v1/purges", &batch(4)), 413);
    assert_eq!(found["limit"], serde_json::json!({ "name": "max_batch", "value": 3 }));
}

#[test]
fn over_a_budget_is_422_and_names_it() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    let bomb = r#"{"selectors":[{"regex":"http://h.test/(((a{1,59}){1,59}){1,59}){1,59}"}]}"#;
    let found = problem(&oust.api("POST", "/v1/purges", bomb), 422);
    assert_eq!(found["selector"], 0);
    assert!(found["limit"]["name"].is_string() && found["limit"]["value"].is_u64(), "{found}");
}

#[test]
fn no_web_page_may_purge() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    let body = br#"{"selectors":[{"all":true}]}"#;
    for host in ["evil.test", "evil.test:80", "127.0.0.1.evil.test", "10.0.0.1"] {
        let headers = [("Host", host), ("Content-Type", "application/json")];
        problem(&request(oust.admin, "POST", "/v1/purges", &headers, body), 403);
        problem(&request(oust.admin, "GET", "/v1/stats", &[("Host", host)], b""), 403);
    }
    let own = oust.admin.to_string();
    let headers = [("Host", own.as_str()), ("Content-Type", "application/json")];
    assert_eq!(request(oust.admin, "POST", "/v1/purges", &headers, body).status, 200);
}

#[test]
fn roles() {
    let origin = Origin::versions();
    let config = format!(
        "[server]\nadmin_tokens = [\"all\", {{ name = \"ci\", token = \"pp\", role = \"purge\" }}, {{ name = \"eye\", token = \"rr\", role = \"read\" }}]\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
        origin.url()
    );
    let oust = Oust::configured("roles", &config);
    let ask = |method: &str, path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Host", "any.test"), ("Content-Type", "application/json")];
        if !token.is_empty() {
            headers.push(("Authorization", &bearer));
        }
        let body: &[u8] = if method == "POST" { br#"{"selectors":[{"host":"h.test"}]}"# } else { b"" };
        request(oust.admin, method, path, &headers, body)
    };
    for (method, path, none, read, purge, admin) in [
        ("POST", "/v1/purges", 401, 403, 200, 200),
        ("GET", "/v1/purges", 401, 200, 200, 200),
        ("POST", "/v1/explain", 401, 200, 200, 200),
        ("GET", "/v1/objects?url=http://h.test/", 401, 200, 200, 200),
        ("GET", "/v1/stats", 401, 200, 200, 200),
        ("GET", "/metrics", 401, 200, 200, 200),
        ("POST", "/v1/reload", 401, 403, 403, 200),
        ("GET", "/healthz", 200, 200, 200, 200),
        ("GET", "/readyz", 200, 200, 200, 200),
        ("GET", "/openapi.json", 200, 200, 200, 200),
    ] {
        for (token, wanted) in [("", none), ("wrong", none), ("rr", read), ("pp", purge), ("all", admin)] {
            assert_eq!(ask(method, path, token).status, wanted, "{method} {path} {token:?}");
        }
    }
    assert_eq!(ask("POST", "/v1/purges", "").header("www-authenticate"), Some("Bearer"));
    let list = ask("GET", "/v1/purges", "rr").json();
    let by: Vec<_> = list["purges"].as_array().unwrap().iter().map(|purge| purge["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["admin", "ci"]);
}

#[test]
fn figures() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    oust.get("/p");
    oust.get("/p");
    oust.purge_url("/p");
    oust.get("/p");
    let stats = oust.api("GET", "/v1/stats", "").json();
    assert_eq!(stats["lookups"]["hits"], 1, "{stats}");
    assert_eq!(stats["fills"]["stored"], 2);
    assert_eq!(stats["edge"]["objects"], 1);
    assert!(stats["edge"]["capacity"].as_u64() > stats["edge"]["bytes"].as_u64());
    let metrics = oust.api("GET", "/metrics", "");
    assert!(metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let text = metrics.text();
    for line in [
        "oust_hits_total 1\n",
        "oust_stored_total 2\n",
        "oust_layer_objects{layer=\"edge\"} 1\n",
        "oust_l2_state{state=\"off\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn the_description_covers_what_there_is() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    let openapi = oust.api("GET", "/openapi.json", "").json();
    assert_eq!(openapi["openapi"], "3.1.0");
    let mut covered = 0;
    for (path, operations) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            // The CDNs' APIs are on another listener.
            if operation["tags"][0] != "admin" {
                continue;
            }
            covered += 1;
            let path = path.replace("{id}", "0-0");
            let answer = oust.api(&method.to_uppercase(), &path, "");
            assert_ne!(answer.status, 405, "{method} {path}");
            let unknown = answer.status == 404 && !path.contains("0-0");
            assert!(!unknown, "{method} {path}");
        }
    }
    assert!(covered > 10, "{covered}");
}

#[test]
fn a_drain_lets_requests_in_flight_end_and_is_not_ready() {
    let (gate, held) = gate();
    let origin = Origin::start(move |_, reply| {
        held.hold();
        reply.send(200, &[("Cache-Control", "max-age=60")], "late");
    });
    let mut oust = Oust::before(&origin);
    assert_eq!(oust.api("GET", "/readyz", "").status, 200);
    let addr = oust.listen;
    let waiting = common::behind(move || request(addr, "GET", "/p", &[], b""));
    gate.arrived();
    oust.signal("TERM");
    let begun = std::time::Instant::now();
    while oust.api("GET", "/readyz", "").status == 200 {
        assert!(begun.elapsed() < common::PATIENCE);
    }
    let ready = oust.api("GET", "/readyz", "");
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["reasons"][0], "draining");
    gate.release();
    assert_eq!(waiting.join().unwrap().text(), "late");
    assert_eq!(oust.exit_code(), Some(0), "{}", oust.log());
}
