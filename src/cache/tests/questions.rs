//! Questions that change nothing, asked of both tiers.

use super::l2::{Deep, EDGE, L2, deep};
use super::*;
use crate::Explained;
use crate::disk::media::Operation;
use crate::purge::Count;

const C: &str = "http://h/d/e/c";

fn explain(deep: &Deep, selector: Selector, layers: Layers) -> Explained {
    deep.cache.explain(&Purge::new(selector).layers(layers), Duration::from_secs(60)).unwrap()
}

#[test]
fn explain_counts_each_layer_and_names_a_key_once() {
    let deep = deep();
    deep.keep(A, "a");
    deep.sink(B, "bb");
    deep.store(C, "c");
    let all = explain(&deep, Selector::Host("h".into()), BOTH);
    assert_eq!((all.edge.objects, all.l2.objects, all.partial), (2, 2, false));
    assert!(all.l2.bytes >= 2 * 128);
    let mut sample = all.sample.clone();
    sample.sort_unstable();
    assert_eq!(sample, [A, B, C]);
    let only = explain(&deep, Selector::Pattern("http://h/d/*".into()), L2);
    assert_eq!((only.edge.objects, only.l2.objects), (0, 2));
    let only = explain(&deep, Selector::Pattern("http://h/d/**".into()), EDGE);
    assert_eq!((only.edge.objects, only.l2.objects), (2, 0));
    assert!(deep.in_edge(A) && deep.in_l2(A) && !deep.in_edge(B) && deep.in_l2(B));
}

#[test]
fn explain_says_what_a_purge_ends_whatever_the_selector() {
    let urls = [A, B, C, "http://other/x.css"];
    let selectors = [
        Selector::Url(A.into()),
        Selector::Key(B.into()),
        Selector::Pattern("http://h/d/*".into()),
        Selector::Pattern("http://h/d/**".into()),
        Selector::Glob("http://other/*.css".into()),
        Selector::Regex("http://h/d/[ab]\\.[a-z]+$".into()),
        Selector::Host("h".into()),
        Selector::All,
    ];
    for selector in selectors {
        for sealed in [false, true] {
            let deep = deep();
            for url in urls {
                deep.sink(url, "x");
            }
            let deep = if sealed { deep.restarted() } else { deep };
            let told = explain(&deep, selector.clone(), BOTH);
            let record = deep.purge(selector.clone());
            assert_eq!(explain(&deep, selector.clone(), BOTH).l2, Count::default(), "what is purged is not counted");
            deep.cache.sweep();
            let ended = deep.cache.purge_record(record.id).unwrap();
            assert!(told.l2.objects > 0);
            assert_eq!(told.l2, ended.l2, "{selector:?}");
        }
    }
}

#[test]
fn selectors_that_overlap_count_an_object_once() {
    let deep = deep();
    deep.sink(A, "a");
    let selectors = vec![Selector::Url(A.into()), Selector::Key(A.into()), Selector::Pattern("http://h/d/*".into())];
    let told = deep.cache.explain(&Purge::batch(selectors), Duration::from_secs(60)).unwrap();
    assert_eq!((told.l2.objects, told.sample), (1, vec![A.to_owned()]));
}

#[test]
fn an_older_copy_of_a_key_is_not_counted() {
    let deep = deep();
    deep.sink(A, "old");
    deep.store(A, "new");
    deep.settle(A);
    assert_eq!(explain(&deep, Selector::All, L2).l2.objects, 1);
    let deep = deep.restarted();
    assert_eq!(explain(&deep, Selector::All, L2).l2.objects, 1);
}

#[test]
fn explain_stops_when_its_time_is_over() {
    let deep = deep();
    deep.sink(A, "a");
    let told = deep.cache.explain(&Purge::new(Selector::All).layers(L2), Duration::ZERO).unwrap();
    assert!(told.partial);
}

#[test]
fn objects_of_both_tiers_are_described() {
    let deep = deep();
    deep.keep(A, "a");
    deep.clock.advance(Duration::from_secs(5));
    let listed = deep.cache.objects(&Selector::Url(A.into())).unwrap();
    let layers: Vec<_> = listed.iter().map(|object| object.layer).collect();
    assert_eq!(layers, ["edge", "l2"]);
    let (edge, l2) = (&listed[0], &listed[1]);
    assert_eq!((&l2.key, l2.status, l2.age, l2.ttl), (&edge.key, edge.status, edge.age, edge.ttl));
    assert_eq!((&l2.variant, &l2.tags, l2.mark, l2.verdict.as_str()), (&edge.variant, &edge.tags, "none", "hit"));
    assert_eq!(l2.age, 5);
    let seq = deep.purge_from(Selector::Url(A.into()), Action::Soft, L2).id.seq;
    for swept in [false, true] {
        if swept {
            deep.cache.sweep();
        }
        deep.clock.advance(Duration::from_secs(2));
        let listed = deep.cache.objects(&Selector::Url(A.into())).unwrap();
        assert_eq!((listed[0].mark, listed[1].mark), ("none", "soft"), "a purge of one layer");
        assert!(listed[1].ttl < 0 && listed[1].verdict != "hit", "{:?}", listed[1]);
        assert_eq!(listed[1].stamp >= seq, swept, "the effective stamp");
    }
    deep.purge_from(Selector::Url(A.into()), Action::Invalidate, L2);
    let listed = deep.cache.objects(&Selector::Url(A.into())).unwrap();
    assert_eq!(listed[1].mark, "invalidate");
    deep.purge_from(Selector::Url(A.into()), Action::Delete, L2);
    assert_eq!(deep.cache.objects(&Selector::Url(A.into())).unwrap().len(), 1);
}

#[test]
fn questions_write_nothing_and_promote_nothing() {
    let deep = deep();
    deep.sink(A, "a");
    let deep = deep.restarted();
    let changes = deep.media.count(Operation::Change);
    for _ in 0..5 {
        explain(&deep, Selector::All, BOTH);
        assert_eq!(deep.cache.objects(&Selector::All).unwrap().len(), 1);
    }
    assert_eq!(deep.media.count(Operation::Change), changes);
    assert!(!deep.in_edge(A));
    let stats = deep.cache.stats().l2.unwrap();
    assert_eq!((stats.promoted, stats.hits), (0, 0));
    let key = key(A);
    let held = deep.cache.engine.l2.as_ref().unwrap().store.find(key.url_hash(), key.hash());
    assert_eq!((held[0].hits, held[0].verified), (0, false));
}
