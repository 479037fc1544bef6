//! A web page in a browser on the machine of an admin API without tokens. That it may use no other name than a loopback one, and no other content type
//! than JSON, is in `admin.rs`.

use super::common::{Origin, Oust, request};

#[test]
fn no_page_of_another_origin_is_answered() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    oust.get("/p");
    let own = oust.admin.to_string();
    let body = br#"{"selectors":[{"all":true}]}"#;
    for fields in [
        &[("Origin", "https://evil.test")][..],
        &[("Origin", "null")],
        &[("Origin", "http://localhost:3000")],
        &[("Origin", "http://127.0.0.1.evil.test")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
    ] {
        // A reload has no body, and so no content type: any page may send that without asking first.
        for (method, path, body) in [
            ("POST", "/v1/reload", &b""[..]),
            ("POST", "/v1/purges", body),
            ("GET", "/v1/stats", b""),
            ("GET", "/v1/objects?url=http://h.test/p", b""),
            ("GET", "/metrics", b""),
            ("OPTIONS", "/v1/purges", b""),
        ] {
            let mut headers = vec![("Host", own.as_str()), ("Content-Type", "application/json")];
            headers.extend_from_slice(fields);
            let answer = request(oust.admin, method, path, &headers, body);
            assert!([403, 405].contains(&answer.status), "{method} {path} {fields:?}: {}", answer.status);
            let allows = answer.headers.iter().any(|(name, _)| name.starts_with("access-control"));
            assert!(!allows, "{method} {path}");
        }
    }
    assert!(oust.get("/p").is_hit());
    // What is typed in, and a page of the server's own address.
    let this = format!("http://{own}");
    for fields in [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "same-origin"), ("Origin", this.as_str())] {
        assert_eq!(request(oust.admin, "GET", "/v1/stats", &[("Host", &own), fields], b"").status, 200, "{fields:?}");
    }
}

/// A name of somebody else's that resolves to this machine (DNS rebinding) is none the API answers to; several names are none.
#[test]
fn no_other_name_is_answered() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    for host in [
        "evil.test",
        "localhost.evil.test",
        "localhost@evil.test",
        "0x7f.1",
        "[::ffff:10.0.0.1]",
        "",
        "localhost, evil.test",
    ] {
        let answer = request(oust.admin, "POST", "/v1/reload", &[("Host", host)], b"");
        assert!([400, 403].contains(&answer.status), "{host}: {}", answer.status);
    }
    let twice = [("Host", "localhost"), ("Host", "evil.test")];
    assert!([400, 403].contains(&request(oust.admin, "POST", "/v1/reload", &twice, b"").status));
}
