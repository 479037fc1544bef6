//! Commands, their output and exit codes.

mod common;

use common::{Origin, Oust, config_file, gate, request, run};

#[test]
fn check_lists_each_error_with_its_place() {
    let good =
        config_file("good", "[server]\nthreads = 1\n[[site]]\nhosts = [\"h\"]\norigins = [\"http://127.0.0.1:1\"]\n");
    let (code, out, _) = run(&["check", good.to_str().unwrap()], b"");
    assert_eq!((code, out.contains("ok")), (0, true), "{out}");
    let bad = config_file("bad", "[server]\nspeed = 1\n[edge]\nsize = \"big\"\n[l2]\ndir = \"x\"\n");
    let (code, out, _) = run(&["check", bad.to_str().unwrap()], b"");
    assert_eq!(code, 2);
    for place in ["bad.toml:2:1:", "bad.toml:4:8:", "bad.toml:5:"] {
        assert!(out.contains(place), "{place} in {out}");
    }
    assert!(out.contains("speed") && out.contains("[l2]") && out.contains("`size`"));
    assert_eq!(run(&["check", "/nowhere.toml"], b"").0, 2);
}

#[test]
fn hosts_are_in_one_site_only() {
    let site = "[[site]]\nhosts = [\"h.test\"]\norigins = [\"http://127.0.0.1:1\"]\n";
    let file = config_file("twice", &format!("{site}{site}"));
    let (code, out, _) = run(&["check", file.to_str().unwrap()], b"");
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("twice.toml:5:"), "{out}");
}

#[test]
fn bad_usage_is_2() {
    let config = config_file("unknown_field", "[sever]\n");
    for args in [
        &["serve"][..],
        &["serve", "--origin", "ftp://127.0.0.1:1"],
        &["serve", "--origin", "127.0.0.1:1"],
        &["serve", "--origin", "http://127.0.0.1:1", "--api", "127.0.0.1:0"],
        &["serve", "--origin", "http://127.0.0.1:1", "--l2-dir", "x"],
        &["serve", "--origin", "http://127.0.0.1:1", "--l2-dir", "x", "--l2-size", "1MiB"],
        &["serve", "--origin", "http://127.0.0.1:1", "--distrust-l2"],
        &["serve", "--origin", "http://127.0.0.1:1", "--edge-size", "big"],
        &["serve", "--origin", "http://127.0.0.1:1", "--threads", "0"],
        &["serve", "--origin", "http://127.0.0.1:1", "--admin", "0.0.0.0:0"],
        &["serve", "--config", config.to_str().unwrap()],
        &["serve", "--config", "/nowhere.toml"],
        &["inspect"],
        &["inspect", "/nowhere"],
        &["purge"],
        &["frobnicate"],
        &["match"],
        &["match", "--dialect", "azion", "x"],
        &["match", "--dialect", "azion-url", "--kind", "url", "x"],
    ] {
        let (code, _, err) = run(args, b"");
        assert_eq!(code, 2, "{args:?}: {err}");
    }
    let (_, _, err) = run(&["serve", "--origin", "http://127.0.0.1:1", "--api", "127.0.0.1:0"], b"");
    assert!(err.contains("[[account]]"), "{err}");
}

#[test]
fn an_address_in_use_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (flag, free) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let (code, _, err) = run(&["serve", "--origin", "http://127.0.0.1:1", flag, &addr, free, "127.0.0.1:0"], b"");
        assert_eq!(code, 1);
        assert!(err.contains(&addr), "{err}");
    }
}

#[test]
fn several_listeners() {
    let origin = Origin::versions();
    let oust =
        Oust::serve(&["--origin", &origin.url(), "--listen", "127.0.0.1:0", "--threads", "1", "--edge-size", "8MiB"]);
    let log = oust.log();
    let addrs: Vec<_> = log.lines().filter_map(|line| line.split_once("listening addr=")).collect();
    assert_eq!(addrs.len(), 2, "{log}");
    for (_, addr) in addrs {
        assert_eq!(request(addr.trim().parse().unwrap(), "GET", "/p", &[], b"").status, 200);
    }
    assert_eq!(origin.count(), 1, "they share the cache");
}

#[test]
fn a_drain_ends_after_its_timeout_and_is_0() {
    let (gate, held) = gate();
    let origin = Origin::start(move |_, reply| {
        held.hold();
        reply.send(200, &[], "never");
    });
    let config =
        format!("[server]\ndrain_timeout = \"100ms\"\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n", origin.url());
    let mut oust = Oust::configured("short_drain", &config);
    let addr = oust.listen;
    let _waiting = common::behind(move || {
        // Cut off by the end of the server, whatever it reads is right.
        drop(std::panic::catch_unwind(|| request(addr, "GET", "/p", &[], b"")));
    });
    gate.arrived();
    oust.signal("HUP");
    assert_eq!(oust.api("GET", "/healthz", "").status, 200, "SIGHUP does not end it");
    oust.signal("INT");
    assert_eq!(oust.exit_code(), Some(0));
}

#[test]
fn matching_streams_keys() {
    let keys = b"http://h/a\nnot a key\nHTTP://H/%61?q\r\nhttp://h/ab\nhttps://h/a\nhttp://h/b/a";
    let (code, out, _) = run(&["match", "http://h/a*"], keys);
    assert_eq!((code, out.as_str()), (0, "http://h/a\nHTTP://H/%61?q\r\nhttp://h/ab\n"));
    let (code, out, _) = run(&["match", "--kind", "url", "http://h/ab", "any://h/a"], keys);
    assert_eq!((code, out.as_str()), (0, "http://h/a\nhttp://h/ab\nhttps://h/a\n"));
    let (code, out, _) = run(&["match", "--kind", "glob", "http://h/*a"], keys);
    assert_eq!((code, out.as_str()), (0, "http://h/a\nhttp://h/b/a"));
    assert_eq!(run(&["match", "http://h/z*"], keys).0, 1);
    assert_eq!(run(&["match", "http://h/z*"], b"").0, 1);
    let (code, _, err) = run(&["match", "--", "http://h/a%4*"], keys);
    assert_eq!(code, 2);
    let lines: Vec<&str> = err.lines().collect();
    let mark = lines.iter().position(|line| line.trim() == "^").expect("position is marked");
    let column = lines[mark].find('^').unwrap();
    assert_eq!(&lines[mark - 1][column..=column], "*", "{err}");
}

#[test]
fn dialects_match_as_their_apis_do() {
    const KEYS: &[&str] = &[
        "http://h/d/a.jpg",
        "https://h/d/a.jpg",
        "http://other:8080/d/a.jpg",
        "http://h/d/a.jpg?v=1",
        "http://h/d/a.jpg@@c=1",
        "http://h/d/e/a.jpg",
        "http://h/d",
        "http://h/dd",
        "no key",
    ];
    for (dialect, pattern, taken) in [
        ("azion-url", "http://h/d/a.jpg", &[0][..]),
        ("azion-url", "h/d/a.jpg", &[0, 1]),
        ("azion-cachekey", "httph/d/a.jpg@@c=1", &[4]),
        ("azion-wildcard", "http://h/*.jpg", &[0, 4, 5]),
        ("naver-directory", "/d/*", &[0, 1, 2, 3, 4, 5]),
        ("naver-pattern", "/d/*.jpg", &[0, 1, 2, 3, 4, 5]),
        ("naver-url", "/d/a.jpg?v=1", &[3]),
        ("naver-url", "/d", &[6]),
        ("medianova", "/d*", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("medianova", "/d/a.jpg", &[0, 1, 2, 4]),
        ("cdnetworks-file", "http://h/d/a.jpg", &[0]),
        ("cdnetworks-dir", "http://h/d/*", &[0, 3, 4]),
        ("cdnetworks-dir", "http://h/d/a.jpg", &[0, 4]),
        ("cdnetworks-regex", "any://h/d/.*jpg$", &[0, 1, 4, 5]),
        ("imagekit", "http://h/d/a.jpg", &[0, 4]),
        ("imagekit", "http://h/d/a.jpg*", &[0, 3, 4]),
    ] {
        let (code, out, err) = run(&["match", "--dialect", dialect, "--", pattern], KEYS.join("\n").as_bytes());
        let wanted: Vec<&str> = taken.iter().map(|&index| KEYS[index]).collect();
        assert_eq!(out.lines().collect::<Vec<_>>(), wanted, "{dialect} {pattern}: {err}");
        assert_eq!(code, 0, "{dialect} {pattern}");
        assert_eq!(run(&["match", "--dialect", dialect, "--", pattern], b"http://h/nothing").0, 1, "{dialect}");
    }
    for (dialect, pattern, words) in [
        ("azion-url", "ftp://h/a", "scheme"),
        ("naver-pattern", "/a/b*.png", "PATTERN"),
        ("naver-url", "/a*", "wildcard"),
        ("medianova", "a", "starts with /"),
        ("cdnetworks-file", "http://h/a*", "asterisk"),
        ("cdnetworks-dir", "http://h/[a]/*", "Special letters"),
        ("cdnetworks-regex", "h/a", "h/a"),
        ("imagekit", "http://h/*a", "wildcard"),
    ] {
        let (code, out, err) = run(&["match", "--dialect", dialect, "--", pattern], KEYS.join("\n").as_bytes());
        assert_eq!((code, out.as_str()), (2, ""), "{dialect} {pattern}: {err}");
        assert!(err.contains("bad pattern") && err.contains(words), "{dialect} {pattern}: {err}");
    }
    // What the engine finds is marked in the pattern as it was given.
    for (dialect, pattern, column) in [("naver-directory", "/a%4/*", 2), ("cdnetworks-regex", "http://h/a(b", 10)] {
        let (code, _, err) = run(&["match", "--dialect", dialect, "--", pattern], b"");
        assert_eq!(code, 2);
        let lines: Vec<&str> = err.lines().collect();
        let mark = lines.iter().position(|line| line.trim() == "^").unwrap_or_else(|| panic!("{err}"));
        assert!(lines[mark - 1].ends_with(pattern), "{err}");
        let shift = lines[mark - 1].len() - pattern.len();
        assert_eq!(lines[mark].find('^').map(|at| at - shift), Some(column), "{err}");
    }
}

#[test]
fn clients_of_a_running_server() {
    let origin = Origin::versions();
    let config =
        format!("[server]\nadmin_tokens = [\"tt\"]\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n", origin.url());
    let oust = Oust::configured("clients", &config);
    let admin = format!("http://{}", oust.admin);
    oust.get("/a");
    oust.get("/b");
    let (code, out, _) =
        run(&["explain", "--admin", &admin, "--token", "tt", "--url", "http://h.test/a", "--json"], b"");
    let explained: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &explained["edge"]["objects"]), (0, &1.into()));
    let (code, out, err) = run(
        &["purge", "--admin", &admin, "--token", "tt", "--url", "http://h.test/a", "--tag", "t", "--wait", "--json"],
        b"",
    );
    assert_eq!(code, 0, "{err}");
    let record: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&record["state"], &record["rules"]), (&"swept".into(), &2.into()));
    assert!(!oust.get("/a").is_hit());
    assert!(oust.get("/b").is_hit());
    let (code, out, _) = run(&["purge", "--admin", &admin, "--token", "tt", "--all", "--action", "soft"], b"");
    assert!(code == 0 && out.contains("effective"), "{out}");
    let (code, out, _) = run(&["stats", "--admin", &admin, "--token", "tt"], b"");
    assert!(code == 0 && out.contains("edge.objects"), "{out}");
    let (code, out, _) = run(&["stats", "--admin", &admin, "--token", "tt", "--json"], b"");
    assert!(code == 0 && serde_json::from_str::<serde_json::Value>(&out).is_ok());
    let (code, _, err) = run(&["purge", "--admin", &admin, "--token", "wrong", "--all"], b"");
    assert!(code == 1 && err.contains("401"), "{err}");
    let (code, _, err) = run(&["purge", "--admin", &admin, "--token", "tt", "--pattern", "http://h.test/%4*"], b"");
    assert!(code == 1 && err.contains("400") && err.contains("position"), "{err}");
    let (code, _, err) = run(&["purge", "--admin", &admin, "--token", "tt", "--all", "--layer", "l2"], b"");
    assert!(code == 1 && err.contains("400"), "{err}");
    assert_eq!(run(&["stats", "--admin", "http://127.0.0.1:1"], b"").0, 1);
}

#[test]
fn the_demo_is_true() {
    let (code, out, err) = run(&["demo", "--once"], b"");
    assert_eq!(code, 0, "{out}{err}");
    assert!(!out.contains("NOT TRUE"));
}
