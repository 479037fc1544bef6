//! Visiting.

use super::visit::is_in;
use super::*;
use crate::disk::media::Memory;

#[test]
fn a_visit_shows_what_a_filter_over_all_records_would() {
    let media = Memory::new();
    let store = open(&media, StoreOptions { capacity: 8 << 20, ..options() });
    let mut random = Random(3);
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for n in 0..400 {
        let (host, dir, leaf) = (random.below(4), random.below(3), random.below(30));
        let text = match random.below(4) {
            0 => format!("http://h{host}/{leaf}"),
            1 => format!("http://h{host}/d{dir}/{leaf}?q=/{dir}/"),
            2 => format!("https://h{host}:8{dir}/d{dir}/e/{leaf}@@v={dir}"),
            _ => format!("http://h{host}/?/{dir}/x"),
        };
        let (one, two) = (format!("t{}", random.below(20)), format!("u{}", random.below(3)));
        let tags = tags(&[&one, &two]);
        let id = try_put(&store, &text, &[], &tags, n + 1).unwrap();
        all.push((text, tags));
        assert!(id.superseded.len() <= 1);
    }
    // What was replaced is dead and not shown.
    let mut live: Vec<(String, Vec<u8>)> = Vec::new();
    for (text, tags) in all.into_iter().rev() {
        if live.iter().all(|(other, _)| *other != text) {
            live.push((text, tags));
        }
    }
    let scopes = |f: &mut dyn FnMut(Scope<'_>)| {
        f(Scope::Everything);
        for n in 0..21 {
            f(Scope::Tag(format!("t{n}").as_bytes()));
        }
        for (text, _) in live.iter().take(60) {
            f(Scope::Exact(crate::key::url_of(text.as_bytes())));
            f(Scope::Exact(&text.as_bytes()[..text.len() - 1]));
            for end in 1..=text.len() {
                f(Scope::Under(&text.as_bytes()[..end]));
            }
        }
        f(Scope::Under(b""));
        f(Scope::Under(b"zzz"));
        f(Scope::Exact(b"http://h1/none"));
    };
    for sealed in [false, true] {
        if sealed {
            store.seal();
            assert!(store.segments().iter().all(|info| info.sealed));
        }
        scopes(&mut |scope| {
            let mut shown: Vec<String> = Vec::new();
            for info in store.segments() {
                assert!(store.visit(info.id, scope, &mut |visited| {
                    assert!(visited.weight >= 128 && visited.seq > 0);
                    shown.push(String::from_utf8(visited.key.to_vec()).unwrap());
                }));
            }
            let mut expected: Vec<String> = live
                .iter()
                .filter(|(text, tags)| is_in(scope, text.as_bytes(), tags))
                .map(|(text, _)| text.clone())
                .collect();
            shown.sort_unstable();
            expected.sort_unstable();
            assert_eq!(shown, expected, "{scope:?}");
        });
    }
}

#[test]
fn a_sweep_may_mark_what_it_is_shown() {
    let media = Memory::new();
    let store = open(&media, options());
    for n in 0..30 {
        put(&store, &format!("http://h/d{}/{n}", n % 2), 1);
    }
    for sealed in [false, true] {
        let prefix = if sealed { "http://h/d1/" } else { "http://h/d0/" };
        for info in store.segments() {
            store.visit(info.id, Scope::Under(prefix.as_bytes()), &mut |visited| {
                let (url_hash, _) = hashes_of(visited.key).unwrap();
                assert!(store.set_mark(url_hash, visited.id, Mark::Dead, 0));
            });
        }
        assert_eq!(store.stats().objects, if sealed { 0 } else { 15 });
        store.seal();
    }
    store.index.validate();
}

#[test]
fn a_sealed_segment_without_a_match_is_not_read() {
    let media = crate::disk::media::Crash::new();
    let store = open(&media, options());
    for n in 0..20 {
        try_put(&store, &format!("http://h/d{}/{n}", n % 2), &[], &tags(&["t"]), 1).unwrap();
    }
    store.seal();
    media.power_off();
    for scope in [Scope::Under(b"http://a/"), Scope::Under(b"http://z/"), Scope::Exact(b"https://h/d0/1")] {
        for info in store.segments() {
            assert!(store.visit(info.id, scope, &mut |_| panic!("nothing matches")));
        }
    }
}
