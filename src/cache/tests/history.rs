//! The purge history over restarts.

use super::l2::{Deep, EDGE, L2, deep, on};
use super::*;
use crate::config::L2Config;
use crate::disk::media::{Crash, Failure, Media, Operation};
use crate::l2::history::NAME;
use crate::purge::Count;

fn variant() -> Selector {
    Selector::Variant { key: B.into(), headers: vec![("accept".into(), "text/css".into())] }
}

/// Everything of a record that is told, for comparison.
fn told(record: &PurgeRecord) -> String {
    format!("{record:?}")
}

/// Like [`on`], with a history of so many rules.
fn bounded(media: Crash, rules: usize) -> Deep {
    let (clock, media) = (Arc::new(ManualClock::new(2_000_000_000)), Arc::new(media));
    let config = crate::Config::new().edge_size(16 << 20).shards(1).background_sweep(false).clock(clock.clone());
    let l2 = L2Config::media(media.clone(), 32 << 20).segment_size(1 << 20);
    Deep { rig: Rig { cache: config.history(rules).l2(l2).build().unwrap(), clock }, media }
}

#[test]
fn g10_purges_come_back_after_a_restart_with_what_became_of_them() {
    let deep = deep();
    deep.keep(A, "a");
    let swept = deep
        .cache
        .purge(&Purge::batch(vec![Selector::Url(A.into()), variant()]).action(Action::Delete).by("ci"))
        .unwrap();
    deep.clock.advance(Duration::from_secs(3));
    deep.cache.sweep();
    let live = deep.cache.purge(&Purge::new(Selector::Host("h".into())).action(Action::Soft).layers(L2)).unwrap();
    let before = [swept.id, live.id].map(|id| told(&deep.cache.purge_record(id).unwrap()));
    let deep = deep.restarted();
    assert_eq!(deep.cache.history_notice(), None);
    let after = [swept.id, live.id].map(|id| told(&deep.cache.purge_record(id).unwrap()));
    assert_eq!(after, before);
    let record = deep.cache.purge_record(swept.id).unwrap();
    let one = |count: Count| count.objects == 1 && count.bytes > 0;
    assert!(one(record.edge) && one(record.l2) && record.durable && record.state == PurgeState::Swept);
    assert!(record.swept_ms.unwrap() >= record.created_ms + 3000);
    let ids: Vec<_> = deep.cache.purge_records(None, 10).iter().map(|record| record.id).collect();
    assert_eq!(ids, [live.id, swept.id]);
    // What was live is swept later, and that is kept as well.
    deep.cache.sweep();
    let deep = deep.restarted().restarted();
    assert_eq!(deep.cache.purge_record(live.id).unwrap().state, PurgeState::Swept);
    assert_eq!(deep.cache.purge_records(None, 10).len(), 2);
}

#[test]
fn an_acknowledgement_waits_for_no_history() {
    let deep = deep();
    let changes = deep.media.count(Operation::Change);
    deep.cache.purge(&Purge::new(Selector::All).durability(Durability::Memory)).unwrap();
    assert!(!deep.media.names().contains(&NAME.to_owned()));
    assert_eq!(deep.media.count(Operation::Change), changes);
    deep.cache.flush().unwrap();
    assert!(deep.media.names().contains(&NAME.to_owned()));
}

#[test]
fn a_crash_loses_at_most_the_tail_and_never_a_rule_in_force() {
    for seed in 0..40 {
        let deep = deep();
        let first = deep.purge_url(A);
        deep.cache.sweep();
        deep.cache.flush().unwrap();
        let second = deep.purge_url(B);
        deep.media.power_off_at(deep.media.count(Operation::Change) + seed % 4);
        drop(deep.cache.flush());
        let after = deep.crashed(seed);
        assert_eq!(after.cache.history_notice(), None, "{seed}");
        let record = after.cache.purge_record(first.id).unwrap();
        assert_eq!((record.state, record.durable), (PurgeState::Swept, true), "{seed}");
        let record = after.cache.purge_record(second.id).unwrap();
        assert_eq!((record.state, record.durable), (PurgeState::Effective, true), "{seed}");
        let third = after.purge_url(A);
        assert!(third.id.seq > second.id.seq);
        let ids: Vec<_> = after.restarted().cache.purge_records(None, 9).iter().map(|record| record.id).collect();
        assert_eq!(ids, [third.id, second.id, first.id], "{seed}");
    }
}

#[test]
fn a_purge_that_a_crash_undid_is_not_told_as_in_force() {
    let deep = deep();
    let undone = deep.cache.purge(&Purge::new(Selector::All).durability(Durability::Memory)).unwrap();
    let l2 = deep.cache.engine.l2.as_ref().unwrap();
    l2.history.write(&*l2.media, &deep.cache.engine.history);
    assert!(deep.media.names().contains(&NAME.to_owned()));
    assert!(deep.crashed(0).cache.purge_record(undone.id).is_none());
}

#[test]
fn damage_anywhere_loses_the_history_with_a_notice_and_nothing_else() {
    let deep = deep();
    deep.sink(B, "b");
    let swept = deep.purge_url(A);
    deep.cache.sweep();
    deep.cache.flush().unwrap();
    let live = deep.purge_url(B);
    let deep = deep.restarted();
    // Opening wrote nothing, so the file is that of the first process: a checkpoint, then what came.
    let used = {
        let file = deep.media.open(NAME).unwrap();
        let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
        file.read_at(0, &mut bytes).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
    };
    let (mut lost, mut cut) = (0, 0);
    for at in (0..used).step_by(5) {
        let media = deep.media.crash(0);
        assert!(media.flip(NAME, at, 0x10));
        let after = on(media, |config| config);
        let known = after.cache.purge_record(swept.id);
        match after.cache.history_notice() {
            Some(notice) => {
                lost += 1;
                assert!(notice.contains(NAME) && known.is_none(), "{notice}");
            }
            // The last write: no reader can tell it from one that was cut off.
            None => cut += u64::from(known.is_some()),
        }
        assert!(after.cache.l2_notice().is_none() && !after.hits(B), "the rule is the journal's");
        assert_eq!(after.cache.purge_record(live.id).unwrap().state, PurgeState::Effective);
        let again = after.purge_url(A);
        let after = after.restarted();
        assert!(after.cache.history_notice().is_none() && after.cache.purge_record(again.id).is_some());
    }
    assert!(lost > 10 && cut > 10, "{lost} {cut}");
}

#[test]
fn bytes_of_any_kind_are_read_or_refused() {
    let deep = deep();
    deep.purge_url(A);
    deep.cache.sweep();
    deep.cache.flush().unwrap();
    let file = deep.media.open(NAME).unwrap();
    let mut bytes = vec![0; 2048];
    file.read_at(0, &mut bytes).unwrap();
    for cut in 0..bytes.len() {
        drop(crate::l2::history::read(&bytes[..cut], None));
        let mut damaged = bytes.clone();
        damaged[cut] = !damaged[cut];
        drop(crate::l2::history::read(&damaged, None));
    }
}

#[test]
fn the_history_of_another_epoch_is_not_told() {
    let deep = deep();
    let old = deep.purge_url(A);
    deep.cache.sweep();
    let media = deep.media.clone();
    drop(deep);
    let anew = on(media.crash(0), |config| config.distrust(true));
    assert!(anew.cache.l2_notice().is_some());
    assert_eq!(anew.cache.history_notice(), None);
    assert!(anew.cache.purge_record(old.id).is_none() && anew.cache.purge_records(None, 9).is_empty());
    let new = anew.purge_url(A);
    let again = anew.restarted();
    let ids: Vec<_> = again.cache.purge_records(None, 9).iter().map(|record| record.id).collect();
    assert_eq!(ids, [new.id]);
}

#[test]
fn the_file_is_bounded_and_holds_the_newest_purges() {
    let text = |n: usize| format!("{n}{}", "x".repeat(1000));
    let deep = bounded(Crash::new(), 50);
    let mut ids = Vec::new();
    for n in 0..3000 {
        ids.push(deep.purge(Selector::Tag(text(n))).id);
        if n % 50 == 0 {
            deep.cache.sweep();
            deep.cache.flush().unwrap();
            assert_eq!(deep.media.open(NAME).unwrap().size().unwrap(), 1 << 20);
        }
    }
    let media = Arc::clone(&deep.media);
    drop(deep);
    let deep = bounded(media.crash(0), 50);
    deep.cache.sweep();
    let kept: Vec<_> = deep.cache.purge_records(None, 1000).iter().map(|record| record.id).collect();
    ids.reverse();
    assert_eq!(kept, ids[..50]);
    let media = Arc::clone(&deep.media);
    drop(deep);
    let fewer = bounded(media.crash(0), 7);
    assert_eq!(fewer.cache.purge_records(None, 1000).len(), 7);
}

#[test]
fn a_disk_that_fails_costs_the_history_alone_and_only_for_as_long() {
    for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncDir] {
        let deep = deep();
        let first = deep.purge_url(A);
        deep.cache.flush().unwrap();
        deep.cache.purge(&Purge::new(Selector::Url(B.into())).layers(EDGE)).unwrap();
        let l2 = deep.cache.engine.l2.as_ref().unwrap();
        deep.media.fail_all(operation, Failure::Full);
        l2.history.write(&*l2.media, &deep.cache.engine.history);
        l2.history.note(Note::Changed, &deep.cache.engine.history.of_rule(1).unwrap());
        l2.history.write(&*l2.media, &deep.cache.engine.history);
        deep.media.heal();
        let failed = deep.cache.stats().l2.unwrap().history_errors;
        assert_eq!(failed > 0, !matches!(operation, Operation::Create | Operation::Rename | Operation::SyncDir));
        let second = deep.purge_url(B);
        deep.cache.flush().unwrap();
        let deep = deep.restarted();
        assert_eq!(deep.cache.history_notice(), None);
        assert!(deep.cache.purge_record(first.id).is_some() && deep.cache.purge_record(second.id).is_some());
        assert_eq!(deep.cache.purge_records(None, 9).len(), 3);
    }
}
