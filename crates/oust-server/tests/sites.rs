//! Sites: aliases, merged schemes and key policies, for requests and purges alike.

mod common;

use common::{Origin, Oust, request};

#[test]
fn aliases_share_keys_with_the_first_host_and_other_hosts_do_not() {
    let origin = Origin::versions();
    let other = Origin::versions();
    let config = format!(
        "[[site]]\nhosts = [\"www.a.test\", \"img.a.test\"]\naliases = [\"a.test\"]\norigins = [\"{}\"]\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
        origin.url(),
        other.url()
    );
    let oust = Oust::configured("aliases", &config);
    let get = |host: &str| oust.get_with("/p", &[("Host", host)]);
    assert!(!get("A.test.").is_hit());
    assert!(get("www.a.test").is_hit());
    assert!(!get("img.a.test").is_hit());
    assert!(!get("b.test:81").is_hit());
    let hosts: Vec<_> = origin.seen().iter().map(|seen| seen.header("host").unwrap_or_default().to_owned()).collect();
    assert_eq!(hosts, ["www.a.test", "img.a.test"], "the origin is asked by the name of the key");
    assert_eq!(other.seen()[0].header("host"), Some("b.test:81"));
    oust.purge(r#"{"selectors":[{"url":"http://a.test/p"}]}"#);
    assert!(get("img.a.test").is_hit());
    assert!(get("b.test:81").is_hit());
    assert!(!get("www.a.test").is_hit());
    oust.purge(r#"{"selectors":[{"host":"b.test"}]}"#);
    assert!(!get("b.test:81").is_hit(), "a host without a port is all its ports");
}

#[test]
fn merged_schemes_share_keys() {
    let origin = Origin::versions();
    let config = format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[[site]]\nhosts = [\"h.test\"]\nmerge_schemes = true\norigins = [\"{}\"]\n",
        origin.url()
    );
    let oust = Oust::configured("merged", &config);
    assert!(!oust.get("/p").is_hit());
    let https = [("X-Forwarded-Proto", "https")];
    assert!(oust.get_with("/p", &https).is_hit());
    oust.purge(r#"{"selectors":[{"url":"https://h.test/p"}]}"#);
    assert!(!oust.get("/p").is_hit());
}

#[test]
fn key_policies_tell_variations_apart() {
    let origin = Origin::start(|seen, reply| {
        reply.send(200, &[("Cache-Control", "max-age=60")], &format!("{} {}", seen.number, seen.target));
    });
    let config = format!(
        "[http]\ncache_status_key = true\n[[site]]\nhosts = [\"h.test\"]\norigins = [\"{}\"]\nkey = {{ query = {{ allow = [\"id\"] }}, cookies = [\"cur\"], headers = [\"X-Lang\"], device = true }}\n",
        origin.url()
    );
    let oust = Oust::configured("policy", &config);
    let fields = [("Cookie", "x=1; cur=E;UR"), ("X-Lang", "pt BR"), ("User-Agent", "Mozilla/5.0 (iPhone) Mobile")];
    let answer = oust.get_with("/p?utm=1&id=2", &fields);
    let status = answer.cache_status();
    assert!(status.contains("key=\"http://h.test/p?id=2@@x-lang=pt%20BR;cur=E;device=mobile\""), "{status}");
    assert_eq!(answer.text(), "0 /p?id=2", "what is not in the key is not asked for");
    assert!(oust.get_with("/p?id=2&utm=2", &fields).is_hit());
    assert!(!oust.get("/p?id=2").is_hit());
    // A client cannot name a variation in its URL.
    assert!(!oust.get("/p@@x-lang=pt%20BR;cur=E;device=mobile").is_hit());
    oust.purge(r#"{"selectors":[{"key":"http://h.test/p?id=2@@x-lang=pt%20BR;cur=E;device=mobile"}]}"#);
    assert!(oust.get("/p?id=2").is_hit());
    assert!(!oust.get_with("/p?id=2", &fields).is_hit());
    oust.purge(r#"{"selectors":[{"url":"http://h.test/p?utm=7&id=2"}]}"#);
    assert!(!oust.get("/p?id=2").is_hit());
    assert!(!oust.get_with("/p?id=2", &fields).is_hit());
}

#[test]
fn what_passes_keeps_its_query() {
    let origin = Origin::start(|seen, reply| reply.send(200, &[], &seen.target));
    let config =
        format!("[[site]]\nhosts = [\"h.test\"]\norigins = [\"{}\"]\nkey = {{ query = \"drop\" }}\n", origin.url());
    let oust = Oust::configured("drop", &config);
    assert_eq!(oust.get("/p?a=1").text(), "/p");
    assert_eq!(request(oust.listen, "POST", "/p?a=1", &[], b"x").text(), "/p?a=1");
}
