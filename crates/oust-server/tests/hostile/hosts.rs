//! Games with hosts: which site, which key, which origin.

use super::common::{Origin, Oust, config_file, run};
use super::echo;
use super::wire::{all, plain, statuses};

/// The status a GET with this `Host` gets, and what it is told if that is 200.
fn get(oust: &Oust, host: &[u8]) -> (u16, String) {
    let text = [b"GET /p HTTP/1.1\r\nHost: ", host, b"\r\nConnection: close\r\n\r\n"].concat();
    let said = all(plain(oust.listen), &text);
    let [status] = statuses(&said)[..] else { panic!("{}", String::from_utf8_lossy(&said)) };
    let body = String::from_utf8_lossy(&said).rsplit("\r\n\r\n").next().unwrap_or_default().to_owned();
    (status, body)
}

#[test]
fn hosts_that_are_none_are_refused() {
    let origin = echo();
    let oust = Oust::before(&origin);
    let long = "x".repeat(5000);
    let labels = "a.".repeat(200);
    for host in [
        "",
        " ",
        ":80",
        ".",
        "..",
        "h..test",
        "@h.test",
        "u@h.test",
        "u:p@h.test",
        "h.test/",
        "h.test?x",
        "h.test#x",
        "h.test\\x",
        "h.test:x",
        "h.test:-1",
        "h.test:99999",
        "h.test:80:80",
        "h.test, evil.test",
        "h test",
        "h.test evil.test",
        "[::1",
        "::1]",
        "[::g]",
        "[]",
        "[v1.x]",
        "%68.test",
        "h.test%00",
        "h%2etest",
        "<h>",
        "\"h\"",
        long.as_str(),
        labels.as_str(),
    ] {
        let (status, _) = get(&oust, host.as_bytes());
        assert!([400, 421].contains(&status), "{host:?}: {status}");
        assert_eq!(origin.count(), 0, "{host:?}: {:?}", origin.seen());
    }
    // Beyond ASCII there are only A-labels on the wire; what looks like a dot or a slash there is none.
    for host in [
        &b"h\0.test"[..],
        b"h\x01.test",
        b"h.test\xff",
        "b\u{fc}cher.test".as_bytes(),
        "h\u{3002}test".as_bytes(),
        "h.test\u{2044}x".as_bytes(),
    ] {
        let (status, _) = get(&oust, host);
        assert!([400, 421].contains(&status), "{host:?}: {status}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn spellings_of_a_host_are_one_host() {
    let origin = echo();
    let oust = Oust::before(&origin);
    for (hosts, asked) in [
        (&["h.test", "H.Test", "h.test.", "h.test:80", "h.test:", "h.test.:80"][..], "h.test"),
        (&["xn--bcher-kva.test", "XN--BCHER-KVA.TEST", "Xn--Bcher-kva.test."], "xn--bcher-kva.test"),
        (&["[::1]", "[::1]:80", "[0:0:0:0:0:0:0:1]"], "[::1]"),
        (&["127.0.0.1", "127.0.0.1:80"], "127.0.0.1"),
        (&["h.test:8080", "H.TEST:8080"], "h.test:8080"),
    ] {
        let before = origin.count();
        for host in hosts {
            assert_eq!(get(&oust, host.as_bytes()), (200, format!("{before} {asked}/p")), "{host}");
        }
        assert_eq!(origin.count(), before + 1, "{hosts:?}");
    }
}

#[test]
fn a_site_answers_for_its_hosts_and_no_others() {
    let own = echo();
    let site =
        |host: &str| format!("[[site]]\nhosts = [\"{host}\", \"xn--bcher-kva.test\"]\norigins = [\"{}\"]\n", own.url());
    let oust = Oust::configured("hostile_sites", &site("h.test"));
    for host in [
        "evil.test",
        "h.test.evil.test",
        "evilh.test",
        "xh.test",
        "a.h.test",
        "*.test",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "h.tes",
        "h.test1",
    ] {
        let status = get(&oust, host.as_bytes()).0;
        assert!([400, 421].contains(&status), "{host}: {status}");
    }
    assert_eq!(own.count(), 0);
    for host in ["h.test", "H.TEST.", "h.test:81", "xn--bcher-kva.test"] {
        assert_eq!(get(&oust, host.as_bytes()).0, 200, "{host}");
    }
    // A wildcard is every host or none: one that would take more than it seems to is no configuration.
    for host in ["*.h.test", "h.*", "**", "h*.test"] {
        let file = config_file("hostile_wildcard", &site(host));
        assert_eq!(run(&["check", file.to_str().unwrap()], b"").0, 2, "{host}");
    }
}

/// Many names for one wildcard: each is a key of its own, none a line of the figures, and the store stays within its size.
#[test]
fn made_up_hosts_fill_neither_the_figures_nor_more_than_the_store() {
    let origin = Origin::start(|_, reply| reply.send(200, &[("Cache-Control", "max-age=60")], &"x".repeat(64 << 10)));
    let text = format!("[edge]\nsize = \"4MiB\"\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n", origin.url());
    let oust = Oust::configured("hostile_many_hosts", &text);
    let lines = || oust.api("GET", "/metrics", "").text().lines().count();
    get(&oust, b"first.test");
    let before = lines();
    for number in 0..300 {
        assert_eq!(get(&oust, format!("made-up-{number}.test").as_bytes()).0, 200);
    }
    let text = oust.api("GET", "/metrics", "").text();
    assert!(!text.contains("made-up"), "{text}");
    assert_eq!(text.lines().count(), before);
    let edge = oust.api("GET", "/v1/stats", "").json()["edge"].clone();
    assert!(edge["bytes"].as_u64() <= edge["capacity"].as_u64(), "{edge}");
}
