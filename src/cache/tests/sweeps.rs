//! Sweeps of many rules at once, which are judged by the rule table instead of one by one.

use super::*;
use crate::purge::Matcher;
use crate::site::Sites;

/// More rules of one directory than are asked one by one.
fn many(rig: &Rig, of: impl Fn(usize) -> String) -> Vec<PurgeRecord> {
    (0..8).map(|n| rig.purge(Selector::Pattern(of(n)))).collect()
}

fn ended(rig: &Rig, purge: &PurgeRecord) -> u64 {
    rig.cache.purge_record(purge.id).unwrap().edge.objects
}

#[test]
fn g6_many_rules_of_a_directory_end_what_they_take_and_nothing_else() {
    let rig = rig();
    for n in 0..8 {
        for url in [format!("http://h/d/{n}.x"), format!("http://h/d/e/{n}.x"), format!("http://h/d/{n}.y")] {
            rig.store(&url, "body");
        }
    }
    let purges = many(&rig, |n| format!("http://h/d/{n}*.x"));
    rig.cache.sweep();
    for (n, purge) in purges.iter().enumerate() {
        assert_eq!(ended(&rig, purge), 1, "each object counts for the purge that took it");
        assert!(!rig.hits(&format!("http://h/d/{n}.x")));
        assert!(rig.hits(&format!("http://h/d/{n}.y")) && rig.hits(&format!("http://h/d/e/{n}.x")));
    }
    assert_eq!(rig.cache.stats().objects, 16);
    rig.check();
}

#[test]
fn h26_a_sweep_by_the_table_leaves_what_is_newer_than_the_rule() {
    let rig = rig();
    rig.store(A, "old");
    let purges = many(&rig, |n| if n == 0 { "http://h/d/a*".into() } else { format!("http://h/d/{n}*") });
    rig.store(A, "new");
    rig.cache.sweep();
    assert_eq!(rig.body(A, &HeaderMap::new()).as_deref(), Some("new"));
    assert_eq!(ended(&rig, &purges[0]), 1, "the old one, when the new one was asked for");
    rig.check();
}

#[test]
fn what_a_walk_by_the_table_has_passed_is_not_walked_again_and_what_it_has_not_is() {
    let rig = rig();
    let deep = ["http://h/d/e/1.x", "http://h/d/e/f/2.x", "http://h/da/3.x", "http://h/d/4.x", "http://g/d/e/5.x"];
    deep.iter().for_each(|url| rig.store(url, "body"));
    // Eight on `/d/` that reach below it, some below that are covered, some beside that are not.
    let above = many(&rig, |n| format!("http://h/d/q{n}**"));
    let below = ["http://h/d/e/*", "http://h/d/e/f/**", "http://h/da/*", "http://h/d/*", "http://g/d/**"];
    let below: Vec<PurgeRecord> = below.map(|pattern| rig.purge(Selector::Pattern(pattern.into()))).into();
    rig.cache.sweep();
    assert_eq!(rig.cache.stats().objects, 0);
    assert_eq!(below.iter().map(|purge| ended(&rig, purge)).collect::<Vec<_>>(), [1; 5]);
    assert_eq!(above.iter().map(|purge| ended(&rig, purge)).sum::<u64>(), 0);
    // Eight that stay in `/d/` pass nothing below it.
    let rig = self::rig();
    deep.iter().for_each(|url| rig.store(url, "body"));
    many(&rig, |n| format!("http://h/d/q{n}*"));
    rig.purge(Selector::Pattern("http://h/d/e/**".into()));
    rig.cache.sweep();
    assert_eq!(rig.cache.stats().objects, 3);
    rig.check();
}

#[test]
fn the_strongest_of_many_rules_counts_and_soft_ones_from_when_they_were_published() {
    let rig = rig();
    rig.store(A, "a");
    rig.store(B, "b");
    many(&rig, |n| format!("http://h/d/q{n}*"));
    let soft = |pattern: &str| Purge::new(Selector::Pattern(pattern.into())).action(Action::Soft);
    rig.cache.purge(&soft("http://h/d/*")).unwrap();
    let delete = rig.purge(Selector::Pattern("http://h/d/a*".into()));
    rig.clock.advance(Duration::from_secs(5));
    rig.cache.sweep();
    assert!(matches!(rig.look(A), Lookup::Miss(_)));
    assert_eq!(ended(&rig, &delete), 1);
    let Lookup::MustValidate(hit, _) = rig.look(B) else { panic!("softly expired") };
    assert_eq!(hit.ttl(), -5, "expired when it was purged, not when it was swept");
    rig.check();
}

/// However it is noticed: by a lookup, a sweep that asks rules in turn, or one that asks the table.
#[test]
fn of_several_soft_rules_the_first_counts() {
    let purge = |rig: &Rig| {
        let soft = |selector| rig.cache.purge(&Purge::new(selector).action(Action::Soft)).unwrap();
        soft(Selector::Tag("t".into()));
        rig.clock.advance(Duration::from_secs(3));
        soft(Selector::Url(A.into()));
        rig.clock.advance(Duration::from_secs(4));
        soft(Selector::Pattern("http://h/d/*".into()));
        rig.clock.advance(Duration::from_secs(5));
    };
    for (what, rules, sweeps) in [("a lookup", 0, false), ("a short sweep", 0, true), ("a long sweep", 40, true)] {
        let rig = rig();
        rig.lead(A).store(head(&[]), "a".into(), fresh().unwrap(), &[b"t"]);
        (0..rules).for_each(|n| drop(rig.purge(Selector::Pattern(format!("http://h/d/q{n}*")))));
        purge(&rig);
        if sweeps {
            rig.cache.sweep();
        }
        let Lookup::MustValidate(hit, Reason::PurgedSoft) = rig.look(A) else { panic!("{what}: softly expired") };
        assert_eq!(hit.ttl(), -12, "{what}");
    }
}

#[test]
fn many_rules_of_hosts_and_of_hosts_below_a_name() {
    let rig = rig();
    let urls: Vec<String> = (0..8).map(|n| format!("http://{n}.h/d/a")).collect();
    urls.iter().for_each(|url| rig.store(url, "body"));
    rig.store("http://h/d/a", "body");
    for n in 0..3 {
        rig.purge(Selector::Host(format!("{n}.h")));
    }
    many(&rig, |n| format!("http://*.{n}.h/d/**"));
    let all_below = rig.purge(Selector::Pattern("http://*.h/d/*".into()));
    rig.cache.sweep();
    assert!(rig.hits("http://h/d/a"));
    assert_eq!(rig.cache.stats().objects, 1);
    assert!(ended(&rig, &all_below) >= 5);
    rig.check();
}

/// A walk leaves out the directories in which an automaton has died, and none else.
#[test]
fn directories_where_nothing_can_match_are_not_entered() {
    let rig = rig();
    let urls: Vec<String> = ["a/", "a/b/", "a/b/c/", "b/", "b/a/", "x/", "x/a/b/", ""]
        .iter()
        .flat_map(|dir| ["", "a", "b.x", "c/a.x?q=/a"].map(|name| format!("http://h/{dir}{name}")))
        .collect();
    for selector in [
        Selector::Regex("http://h/[ab]/[bc]*/?a".into()),
        Selector::Regex("http://h/(a|b/a)/.{0,3}x$".into()),
        Selector::Regex("http://h/[a-c/.]+x".into()),
        Selector::Regex("http://h/[^x]/.*\\.x$".into()),
        Selector::Pattern("http://h/*/b/**x*".into()),
        Selector::Pattern("http://h/a*/**c/*a*".into()),
        Selector::Glob("http://h/*b*c*x*".into()),
    ] {
        urls.iter().for_each(|url| drop(rig.cache.purge(&Purge::new(Selector::Url(url.clone())))));
        rig.cache.sweep();
        urls.iter().for_each(|url| rig.store(url, "body"));
        let matcher = Matcher::new(&selector, &Sites::default()).unwrap();
        let taken = urls.iter().filter(|url| matcher.matches(key(url).as_ref())).count();
        let purge = Purge::new(selector.clone());
        assert_eq!(
            rig.cache.explain(&purge, Duration::from_secs(60)).unwrap().edge.objects,
            taken as u64,
            "{selector:?}"
        );
        let purge = rig.purge(selector.clone());
        rig.cache.sweep();
        assert_eq!(ended(&rig, &purge), taken as u64, "{selector:?}");
        assert!(taken > 0 && taken < urls.len(), "{selector:?} takes {taken}");
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn path(&mut self) -> String {
        (0..self.below(5)).map(|_| ["a/", "b/", "a", "b", ".c"][self.below(5)]).collect()
    }

    fn selector(&mut self) -> Selector {
        let (host, path, name) = (["h", "x.h"][self.below(2)], self.path(), ["a", "b", "c", ".c"][self.below(4)]);
        match self.below(14) {
            0 => Selector::Pattern(format!("http://{host}/{path}*")),
            1 => Selector::Pattern(format!("http://{host}/{path}**{name}")),
            2..=4 => Selector::Pattern(format!("http://{host}/{path}*{name}")),
            5 | 6 => Selector::Glob(format!("http://{host}/{path}*{name}*a*b")),
            7 => Selector::Regex(format!("http://{host}/{}.*{name}[ab]$", path.replace('.', "\\."))),
            8 => Selector::Tag(name.into()),
            9 => Selector::Pattern(format!("http://*.h/{path}*{name}")),
            10 => Selector::Host(["x.h:81", "*.z", "h:81"][self.below(3)].into()),
            11 => Selector::Pattern(format!("http://*.h/{path}/**{name}")),
            _ => Selector::Url(format!("http://{host}/{path}{name}")),
        }
    }
}

/// What is left after a sweep, and what each record counts, for so many rules that some walks ask the table.
#[test]
fn a_sweep_of_many_rules_ends_what_they_take_one_by_one() {
    let mut ended_in_all = 0;
    for seed in 0..9 {
        let mut random = Random(seed);
        let rig = sharded(64 << 20, 4);
        let mut stored: Vec<(Key, Vec<&str>)> = Vec::new();
        for _ in 0..150 {
            let url = format!("http://{}/{}", ["h", "x.h", "y.z"][random.below(3)], random.path());
            let tags: Vec<&str> = ["a", "b", "c"].into_iter().filter(|_| random.below(8) == 0).collect();
            if !stored.iter().any(|(known, _)| *known == key(&url)) {
                let bytes: Vec<&[u8]> = tags.iter().map(|tag| tag.as_bytes()).collect();
                rig.store_with(&url, &HeaderMap::new(), head(&[]), &bytes, "x");
                stored.push((key(&url), tags));
            }
        }
        let rules: Vec<(Selector, Action)> = (0..[6, 25, 60][seed as usize % 3])
            .map(|_| (random.selector(), [Action::Soft, Action::Invalidate, Action::Delete][random.below(3)]))
            .collect();
        let takes = |selector: &Selector, (key, tags): &(Key, Vec<&str>)| match selector {
            Selector::Tag(tag) => tags.contains(&&**tag),
            selector => Matcher::new(selector, &Sites::default()).unwrap().matches(key.as_ref()),
        };
        let purge = |(selector, action): &(Selector, Action)| {
            rig.cache.purge(&Purge::new(selector.clone()).action(*action)).unwrap()
        };
        let records: Vec<PurgeRecord> = rules.iter().map(purge).collect();
        rig.cache.sweep();
        rig.check();
        let strongest = |object: &(Key, Vec<&str>)| {
            rules.iter().filter(|(selector, _)| takes(selector, object)).map(|(_, action)| *action).max()
        };
        let left = stored.iter().filter(|object| strongest(object) != Some(Action::Delete)).count();
        assert_eq!(rig.cache.stats().objects, left as u64, "seed {seed}");
        for object in &stored {
            let look = rig.cache.lookup(&object.0, &HeaderMap::new());
            let agrees = match strongest(object) {
                None => matches!(look, Lookup::Hit(_)),
                Some(Action::Delete) => matches!(look, Lookup::Miss(..)),
                Some(_) => matches!(look, Lookup::Stale(..) | Lookup::MustValidate(..)),
            };
            assert!(agrees, "seed {seed}, {}: {look:?}, {:?}", object.0, strongest(object));
        }
        // Every object is counted once or more often, and by no rule that does not take it.
        let mut counted = 0;
        for ((selector, _), record) in rules.iter().zip(&records) {
            let objects = rig.cache.purge_record(record.id).unwrap().edge.objects;
            assert!(objects <= stored.iter().filter(|object| takes(selector, object)).count() as u64, "{selector:?}");
            counted += objects;
        }
        let ended = stored.iter().filter(|object| strongest(object).is_some()).count() as u64;
        assert!(counted >= ended, "seed {seed}: {counted} of {ended}");
        ended_in_all += ended;
    }
    assert!(ended_in_all > 100, "{ended_in_all}");
}
