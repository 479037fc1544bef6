//! Purges that meet fetches in flight (hazards H1 to H4, H8, H22, H23).

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Gate, Origin, Oust, behind, gate, request};

/// An origin that holds its first answer before the head.
fn held_before_head() -> (Origin, Gate) {
    let (gate, held) = gate();
    let origin = Origin::start(move |seen, reply| {
        let body = format!("version {}", seen.number + 1);
        if seen.number == 0 {
            held.hold();
        }
        reply.send(200, &[("Cache-Control", "max-age=60")], &body);
    });
    (origin, gate)
}

#[test]
fn h1_a_fill_begun_before_a_purge_serves_who_waited_and_nobody_else() {
    for action in ["delete", "invalidate", "soft"] {
        let (origin, gate) = held_before_head();
        let oust = Oust::before(&origin);
        let addr = oust.listen;
        let waiting = behind(move || request(addr, "GET", "/p", &[], b""));
        gate.arrived();
        oust.purge(&format!(r#"{{"selectors":[{{"url":"http://h.test/p"}}],"action":"{action}"}}"#));
        gate.release();
        let first = waiting.join().unwrap();
        assert_eq!(first.text(), "version 1", "{action}");
        let next = oust.get("/p");
        assert_eq!(next.text(), "version 2", "{action}: {}", next.cache_status());
        assert!(!next.is_hit());
        assert_eq!(oust.get("/p").text(), "version 2");
        assert!(oust.get("/p").is_hit(), "what was fetched after the purge is stored");
    }
}

#[test]
fn h1_also_when_the_purge_comes_in_the_middle_of_the_body() {
    let (gate, held) = gate();
    let origin = Origin::start(move |seen, reply| {
        reply.begin(200, &[("Cache-Control", "max-age=60")], Some(2));
        reply.write(if seen.number == 0 { b"a" } else { b"b" });
        if seen.number == 0 {
            held.hold();
        }
        reply.write(b".");
    });
    let oust = Oust::before(&origin);
    let addr = oust.listen;
    let waiting = behind(move || request(addr, "GET", "/p", &[], b""));
    gate.arrived();
    oust.purge(r#"{"selectors":[{"pattern":"http://h.test/**"}]}"#);
    gate.release();
    assert_eq!(waiting.join().unwrap().text(), "a.");
    assert_eq!(oust.get("/p").text(), "b.");
}

#[test]
fn h2_a_purge_of_what_is_not_there_yet_is_accepted_and_counts() {
    let (origin, gate) = held_before_head();
    let oust = Oust::before(&origin);
    let ack = oust.purge_url("/nothing");
    assert_eq!(ack["state"], "effective");
    let addr = oust.listen;
    let waiting = behind(move || request(addr, "GET", "/p", &[], b""));
    gate.arrived();
    assert_eq!(oust.purge_url("/p")["rules"], 1);
    gate.release();
    waiting.join().unwrap();
    assert_eq!(oust.get("/p").text(), "version 2");
}

#[test]
fn h3_a_request_after_the_ack_does_not_join_an_older_fill() {
    let (origin, gate) = held_before_head();
    let oust = Oust::before(&origin);
    let addr = oust.listen;
    let first = behind(move || request(addr, "GET", "/p", &[], b""));
    gate.arrived();
    oust.purge_url("/p");
    // The first fill is still held: an answer now can only come from a fetch of its own.
    let second = oust.get("/p");
    assert_eq!(second.text(), "version 2");
    gate.release();
    assert_eq!(first.join().unwrap().text(), "version 1");
    assert_eq!(oust.get("/p").text(), "version 2", "the older fill must not replace the newer object");
}

#[test]
fn a_request_before_any_purge_joins_the_fill() {
    let (origin, gate) = held_before_head();
    let oust = Oust::before(&origin);
    let addr = oust.listen;
    let clients: Vec<_> = (0..4).map(|_| behind(move || request(addr, "GET", "/p", &[], b""))).collect();
    gate.arrived();
    gate.release();
    for client in clients {
        assert_eq!(client.join().unwrap().text(), "version 1");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn h4_a_304_sent_before_a_purge_revives_nothing() {
    for (action, conditional_after) in [("delete", false), ("invalidate", true)] {
        let (gate, held) = gate();
        let origin = Origin::start(move |seen, reply| {
            let fields = [("Cache-Control", "no-cache"), ("ETag", "\"e\"")];
            if seen.number == 1 {
                held.hold();
            }
            if seen.header("if-none-match").is_some() {
                reply.send(304, &fields, "");
            } else {
                reply.send(200, &fields, &format!("version {}", seen.number + 1));
            }
        });
        let oust = Oust::before(&origin);
        assert_eq!(oust.get("/p").text(), "version 1");
        let addr = oust.listen;
        let validating = behind(move || request(addr, "GET", "/p", &[], b""));
        gate.arrived();
        oust.purge(&format!(r#"{{"selectors":[{{"url":"http://h.test/p"}}],"action":"{action}"}}"#));
        gate.release();
        assert_eq!(validating.join().unwrap().text(), "version 1", "who waited before the purge gets it");
        let next = oust.get("/p");
        let asked = origin.seen().last().unwrap().header("if-none-match").is_some();
        assert_eq!(asked, conditional_after, "{action}: {}", next.cache_status());
        assert_eq!(next.text(), if conditional_after { "version 1" } else { "version 3" }, "{action}");
    }
}

#[test]
fn h8_a_purge_without_headers_takes_every_variant() {
    let origin = Origin::start(|seen, reply| {
        let fields = [("Cache-Control", "max-age=60"), ("Vary", "a, b")];
        reply.send(200, &fields, &format!("version {}", seen.number + 1));
    });
    let oust = Oust::before(&origin);
    let variants = [&[("a", "1")][..], &[("a", "2")], &[("a", "1"), ("b", "1")], &[]];
    for variant in variants {
        assert!(!oust.get_with("/p", variant).is_hit());
        assert!(oust.get_with("/p", variant).is_hit());
    }
    let head = request(oust.listen, "HEAD", "/p", &[], b"");
    assert!(head.is_hit());
    oust.purge_url("/p");
    for variant in variants {
        assert!(!oust.get_with("/p", variant).is_hit());
    }
    // One variant alone.
    oust.purge(r#"{"selectors":[{"variant":{"key":"http://h.test/p","headers":{"A":"2"}}}]}"#);
    let hits: Vec<bool> = variants.iter().map(|variant| oust.get_with("/p", variant).is_hit()).collect();
    assert_eq!(hits, [true, false, true, true]);
}

#[test]
fn h23_negative_answers_and_uncacheable_marks_go_too() {
    let good = std::sync::Arc::new(AtomicBool::new(false));
    let now_good = good.clone();
    let origin = Origin::start(move |seen, reply| {
        let good = now_good.load(Ordering::SeqCst);
        match (seen.target.as_str(), good) {
            ("/missing", false) => reply.send(404, &[("Cache-Control", "max-age=60")], "none"),
            ("/private", false) => reply.send(200, &[("Cache-Control", "private")], "yours"),
            _ => reply.send(200, &[("Cache-Control", "max-age=60")], "good"),
        }
    });
    let oust = Oust::before(&origin);
    assert_eq!(oust.get("/missing").status, 404);
    assert!(oust.get("/missing").is_hit());
    assert!(!oust.get("/private").is_hit());
    assert!(!oust.get("/private").is_hit());
    good.store(true, Ordering::SeqCst);
    oust.purge(r#"{"selectors":[{"host":"h.test"}]}"#);
    for path in ["/missing", "/private"] {
        assert_eq!(oust.get(path).text(), "good");
        assert!(oust.get(path).is_hit(), "{path} is cacheable at once");
    }
}

#[test]
fn h22_after_a_purge_of_a_host_each_page_is_asked_for_once() {
    const PAGES: usize = 5;
    const CLIENTS: usize = 8;
    for (action, keeps_bodies) in [("invalidate", true), ("delete", false)] {
        let (gate, held) = gate();
        let storm = std::sync::Arc::new(AtomicBool::new(false));
        let storming = storm.clone();
        let origin = Origin::start(move |seen, reply| {
            let fields = [("Cache-Control", "max-age=60"), ("ETag", "\"1\"")];
            if storming.swap(false, Ordering::SeqCst) {
                // The clients of one page at least wait for its answer together.
                held.hold();
            }
            match seen.header("If-None-Match") {
                Some("\"1\"") => reply.send(304, &fields, ""),
                _ => reply.send(200, &fields, "page"),
            }
        });
        let oust = Oust::before(&origin);
        let path = |page: usize| format!("/page{page}");
        (0..PAGES).for_each(|page| assert_eq!(oust.get(&path(page)).text(), "page"));
        oust.purge(&format!(r#"{{"selectors":[{{"host":"h.test"}}],"action":"{action}"}}"#));
        storm.store(true, Ordering::SeqCst);
        let addr = oust.listen;
        let clients: Vec<_> = (0..CLIENTS * PAGES)
            .map(|n| behind(move || request(addr, "GET", &format!("/page{}", n % PAGES), &[], b"")))
            .collect();
        gate.arrived();
        gate.release();
        for client in clients {
            assert_eq!(client.join().unwrap().text(), "page");
        }
        let asked = &origin.seen()[PAGES..];
        // A client that comes when its page is good again hits; none asks the origin for what another is fetching.
        assert_eq!(asked.len(), PAGES, "{action}: {CLIENTS} clients for each of {PAGES} pages");
        let conditional = asked.iter().filter(|seen| seen.header("If-None-Match") == Some("\"1\"")).count();
        assert_eq!(conditional, if keeps_bodies { PAGES } else { 0 }, "{action}");
    }
}

#[test]
fn h22_an_origin_that_fails_after_a_purge_gets_nothing_purged_served() {
    for (control, action, served) in [
        // The window that holds where the origin says nothing, and one that it states.
        ("max-age=0", "none", true),
        ("max-age=60", "soft", true),
        ("max-age=0", "invalidate", false),
        ("max-age=60", "invalidate", false),
        ("max-age=60, stale-if-error=600", "invalidate", false),
        ("max-age=60", "delete", false),
        ("max-age=60, stale-if-error=600", "delete", false),
        // Without a purge, what forbids stale use wins.
        ("max-age=0, must-revalidate", "none", false),
        ("max-age=0, proxy-revalidate", "none", false),
        ("s-maxage=0", "none", false),
        ("no-cache", "none", false),
        ("max-age=0, stale-if-error=0", "none", false),
    ] {
        let origin = Origin::start(move |seen, reply| match seen.number {
            0 => reply.send(200, &[("Cache-Control", control), ("ETag", "\"1\"")], "old"),
            _ => reply.end(),
        });
        let oust = Oust::before(&origin);
        assert_eq!(oust.get("/p").text(), "old");
        if action != "none" {
            oust.purge(&format!(r#"{{"selectors":[{{"url":"http://h.test/p"}}],"action":"{action}"}}"#));
        }
        let answer = oust.get("/p");
        let told = format!("{control}, {action}: {} {}", answer.status, answer.cache_status());
        assert_eq!(answer.status == 200, served, "{told}");
        assert_eq!(answer.text() == "old", served, "{told}");
        assert!(origin.count() > 1, "{told}: it was asked");
    }
}
