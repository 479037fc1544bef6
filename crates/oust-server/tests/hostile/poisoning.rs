//! Cache poisoning: what is not part of the key must not choose what is stored under it.

use super::common::{Origin, Oust, raw, request};
use super::frames::{ask, get};
use super::wire::{all, plain, statuses};

/// An origin as frameworks are: it believes every field that is said to override something, and shows it.
fn believer() -> Origin {
    Origin::start(|seen, reply| {
        let fields = [
            "x-forwarded-host",
            "x-forwarded-scheme",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-forwarded-server",
            "x-forwarded-path",
            "x-forwarded-ssl",
            "forwarded",
            "x-original-url",
            "x-rewrite-url",
            "x-original-host",
            "x-host",
            "x-http-host-override",
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "x-url-scheme",
            "front-end-https",
        ];
        let seen_fields: Vec<_> =
            fields.iter().filter_map(|name| Some(format!("{name}={}", seen.header(name)?))).collect();
        reply.send(200, &[("Cache-Control", "max-age=60")], &format!("{} {}", seen.target, seen_fields.join(" ")));
    })
}

/// Each claim alone, on a URL of its own: what is stored is what a request without it gets.
#[test]
fn claims_about_host_scheme_method_and_path_are_not_asked_with() {
    let origin = believer();
    let oust = Oust::before(&origin);
    for (number, (name, value)) in [
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Scheme", "nothttps"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "1337"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Forwarded-Server", "evil.test"),
        ("X-Forwarded-Path", "/evil"),
        ("X-Forwarded-Ssl", "on"),
        ("Forwarded", "host=evil.test;proto=https"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-Original-Host", "evil.test"),
        ("X-Host", "evil.test"),
        ("X-HTTP-Host-Override", "evil.test"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "HEAD"),
        ("x-method-override", "PUT"),
        ("X-Url-Scheme", "https"),
        ("Front-End-Https", "on"),
    ]
    .into_iter()
    .enumerate()
    {
        for method in ["GET", "HEAD"] {
            let path = format!("/{method}/{number}");
            let plain = format!("{path} x-forwarded-proto=http");
            request(oust.listen, method, &path, &[(name, value)], b"");
            assert_eq!(oust.get(&path).text(), plain, "{name}");
        }
        // By HTTP/2 as well.
        let path = format!("/2/{number}");
        let lower = name.to_ascii_lowercase();
        let end = ask(plain(oust.listen), &get(path.as_bytes(), &[(lower.as_bytes(), value.as_bytes())]), None);
        assert_eq!(end.text(), format!("{path} x-forwarded-proto=http"), "{name}");
    }
    // What is not stored may be overridden: that is a matter between client and origin.
    let post = request(oust.listen, "POST", "/form", &[("X-HTTP-Method-Override", "DELETE")], b"x");
    assert!(post.text().contains("x-http-method-override=DELETE"), "{}", post.text());
}

/// A site that has such a field in its key is asked with it: then it is no other URL's.
#[test]
fn what_is_in_the_key_is_asked_with() {
    let origin = believer();
    let text =
        format!("[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\nkey = {{ headers = [\"X-Host\"] }}\n", origin.url());
    let oust = Oust::configured("hostile_keyed", &text);
    assert!(oust.get_with("/p", &[("X-Host", "a")]).text().contains("x-host=a"));
    assert_eq!(oust.get("/p").text(), "/p x-forwarded-proto=http");
    assert!(oust.get_with("/p", &[("X-Host", "a")]).is_hit());
}

/// GET with a body: neither stored nor answered from what is.
#[test]
fn fat_gets_pass_by_the_store() {
    let origin = Origin::start(|seen, reply| {
        let body = String::from_utf8_lossy(&seen.body);
        reply.send(200, &[("Cache-Control", "max-age=60")], &format!("{}<{body}>", seen.target));
    });
    let oust = Oust::before(&origin);
    for coding in [false, true] {
        let fat = |path: &str| {
            let (field, body) = if coding {
                ("Transfer-Encoding: chunked", "4\r\nevil\r\n0\r\n\r\n")
            } else {
                ("Content-Length: 4", "evil")
            };
            raw(oust.listen, format!("GET {path} HTTP/1.1\r\nHost: h.test\r\n{field}\r\n\r\n{body}").as_bytes(), false)
        };
        let path = format!("/{coding}");
        assert_eq!(fat(&path).text(), format!("{path}<evil>"));
        assert_eq!(oust.get(&path).text(), format!("{path}<>"));
        assert_eq!(fat(&path).text(), format!("{path}<evil>"));
        assert!(oust.get(&path).is_hit());
    }
}

/// Query parameters that the key leaves out are not asked for either; by default all are in the key.
#[test]
fn no_parameter_is_asked_for_that_the_key_leaves_out() {
    let origin = Origin::start(|seen, reply| reply.send(200, &[("Cache-Control", "max-age=60")], &seen.target));
    let text = format!(
        "[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\nkey = {{ query = {{ deny = [\"utm_source\"] }} }}\n",
        origin.url()
    );
    let oust = Oust::configured("hostile_parameters", &text);
    for query in [
        "utm_source=%22%3E%3Cscript",
        "id=1&utm_source=x",
        "id=1;utm_source=x",
        "utm%5Fsource=x",
        "utm_source=x&utm_source=id=9",
        "id=1&utm_source=x%26id=2",
        "UTM_source=x",
        "id=1&id=2&utm_source",
    ] {
        let first = oust.get(&format!("/p?{query}")).text();
        // The origin, asked for exactly this, says the same: nothing was left out of one and not of the other.
        assert_eq!(oust.get(&first).text(), first, "{query}");
        assert!(oust.get(&first).is_hit(), "{query}");
    }
    assert!(origin.seen().iter().all(|seen| !seen.target.contains("?utm_source=%22")), "{:?}", origin.seen());
}

/// `Connection` that names other fields strips nothing an answer may depend on without the key knowing.
#[test]
fn fields_that_connection_names_are_neither_keyed_nor_asked_with() {
    let origin = Origin::start(|seen, reply| {
        let has = |name: &str| u8::from(seen.header(name).is_some());
        let body = format!(
            "auth={} cookie={} xfp={} xff={} host={}",
            has("authorization"),
            has("cookie"),
            has("x-forwarded-proto"),
            has("x-forwarded-for"),
            seen.header("host").unwrap_or("none")
        );
        reply.send(200, &[("Cache-Control", "max-age=60"), ("Vary", "Cookie, Authorization")], &body);
    });
    let oust = Oust::before(&origin);
    let names = "close, Authorization, Cookie, Host, X-Forwarded-For, X-Forwarded-Proto, Via, Cache-Control, Content-Length, x y, :path";
    let text = format!(
        "GET /p HTTP/1.1\r\nHost: h.test\r\nConnection: {names}\r\nAuthorization: Basic x\r\nCookie: a=b\r\n\r\n"
    );
    let said = String::from_utf8_lossy(&all(plain(oust.listen), text.as_bytes())).into_owned();
    assert!(said.ends_with("auth=0 cookie=0 xfp=1 xff=1 host=h.test"), "{said}");
    // The same as of a request without them; others have their own.
    assert!(oust.get("/p").is_hit());
    let own = oust.get_with("/p", &[("Cookie", "a=b")]);
    assert_eq!((own.is_hit(), own.text().as_str()), (false, "auth=0 cookie=1 xfp=1 xff=1 host=h.test"));
}

/// CPDoS: an origin that refuses a request for what no key has, and says that its refusal may be stored. It is for that client alone.
#[test]
fn an_error_that_one_request_provoked_is_not_everybodys() {
    let origin = Origin::start(|seen, reply| {
        let size: usize = seen.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let meta = seen.headers.iter().any(|(_, value)| value.bytes().any(|byte| byte > 126));
        let status = match seen.header("x-want") {
            Some(status) => status.parse().unwrap(),
            None if size > 8 << 10 || meta => 400,
            None => 200,
        };
        reply.send(status, &[("Cache-Control", "public, max-age=600")], &format!("{status}"));
    });
    let oust = Oust::before(&origin);
    // HHO: more than the origin takes, less than we do. HMC: what we take for text and it does not.
    let long = "x".repeat(20 << 10);
    for (path, field) in [("/hho", ("X-Oversized", long.as_str())), ("/hmc", ("X-Meta", "caf\u{e9}"))] {
        assert_eq!(oust.get_with(path, &[field]).status, 400, "{path}");
        assert_eq!(oust.get(path).status, 200, "{path}");
    }
    for status in ["400", "408", "413", "417", "421", "428", "429", "431", "511"] {
        let path = format!("/{status}");
        assert_eq!(oust.get_with(&path, &[("X-Want", status)]).status.to_string(), status);
        assert_eq!(oust.get(&path).status, 200, "{status}");
    }
    // Control characters in a value reach nobody.
    for byte in ["\x07", "\x1b", "\x7f", "\x08"] {
        let text = format!("GET /ctl HTTP/1.1\r\nHost: h.test\r\nX: a{byte}b\r\nConnection: close\r\n\r\n");
        assert_eq!(statuses(&all(plain(oust.listen), text.as_bytes())), [400], "{byte:?}");
    }
}

/// Errors that are about the resource are stored as they say, no longer: without a word of the origin's a 5xx never is.
#[test]
fn errors_without_freshness_are_not_stored() {
    let origin = Origin::start(|seen, reply| {
        let status = if seen.number % 2 == 0 { seen.target[1..4].parse().unwrap() } else { 200 };
        reply.send(status, &[], "");
    });
    let oust = Oust::before(&origin);
    for status in ["400", "401", "403", "500", "502", "503", "504"] {
        let path = format!("/{status}");
        assert_eq!(oust.get(&path).status.to_string(), status);
        assert_eq!(oust.get(&path).status, 200, "{status}");
    }
}

/// A redirect that shows the host is stored under that host: nobody else is sent there.
#[test]
fn redirects_with_a_reflected_host_are_of_that_host() {
    let origin = Origin::start(|seen, reply| {
        let to = format!(
            "https://{}{}",
            seen.header("x-forwarded-host").or_else(|| seen.header("host")).unwrap(),
            seen.target
        );
        reply.send(301, &[("Location", &to), ("Cache-Control", "max-age=600")], "");
    });
    let oust = Oust::before(&origin);
    let get = |host: &str| {
        let answer = oust.get_with("/p", &[("Host", host), ("X-Forwarded-Host", "evil.test")]);
        answer.header("location").unwrap_or_default().to_owned()
    };
    for (host, told) in [
        ("evil.test", "evil.test"),
        ("h.test", "h.test"),
        ("H.TEST", "h.test"),
        ("h.test.", "h.test"),
        ("h.test:80", "h.test"),
        ("h.test:", "h.test"),
        ("h.test:1337", "h.test:1337"),
        ("h.test:0080", "h.test"),
    ] {
        assert_eq!(get(host), format!("https://{told}/p"), "{host}");
    }
    assert_eq!(get("h.test"), "https://h.test/p", "still");
    assert_eq!(origin.seen().iter().filter(|seen| seen.header("host") == Some("h.test")).count(), 1);
}

/// Cookies and languages nobody keys by are not in what is stored, unless `Vary` says so; a session's answer is not stored.
#[test]
fn what_one_client_is_told_is_not_told_to_others() {
    let origin = Origin::start(|seen, reply| {
        let cookie = seen.header("cookie").unwrap_or("none").to_owned();
        let mut fields = vec![("Cache-Control", "max-age=60")];
        match seen.target.as_str() {
            "/vary" => fields.push(("Vary", "Cookie")),
            "/star" => fields.push(("Vary", "*")),
            "/set" => fields.push(("Set-Cookie", "id=1")),
            _ => {}
        }
        reply.send(200, &fields, &cookie);
    });
    let oust = Oust::before(&origin);
    for path in ["/vary", "/star", "/set"] {
        assert_eq!(oust.get_with(path, &[("Cookie", "evil")]).text(), "evil");
        let other = oust.get(path);
        assert_eq!((other.is_hit(), other.text().as_str()), (false, "none"), "{path}");
    }
}
