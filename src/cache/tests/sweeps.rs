//! Sweeps of many rules together, which ask the table, against the rules one by one.

use super::*;
use crate::purge::Matcher;
use crate::site::Sites;

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
