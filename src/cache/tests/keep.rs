//! What embedders keep.

use std::io::ErrorKind;

use super::l2::{deep, on};
use super::*;

#[test]
fn what_is_kept_is_there_after_a_restart_and_after_the_epoch_has_changed() {
    let deep = deep();
    assert_eq!(deep.cache.kept("tasks"), None);
    deep.cache.keep("tasks", b"one").unwrap();
    deep.cache.keep("tasks", b"two").unwrap();
    deep.cache.keep("hooks_1-a", b"").unwrap();
    assert_eq!(deep.cache.kept("tasks").unwrap(), b"two");
    let deep = deep.restarted();
    assert_eq!((deep.cache.kept("tasks").unwrap(), deep.cache.kept("hooks_1-a").unwrap()), (b"two".to_vec(), vec![]));
    let media = deep.media.crash(3);
    let anew = on(media, |config| config.distrust(true));
    assert_ne!(anew.cache.engine.epoch(), deep.cache.engine.epoch());
    assert_eq!(anew.cache.kept("tasks").unwrap(), b"two");
}

#[test]
fn a_crash_does_not_lose_what_was_kept() {
    for seed in 0..20 {
        let deep = deep();
        deep.cache.keep("tasks", b"one").unwrap();
        assert_eq!(deep.crashed(seed).cache.kept("tasks").unwrap(), b"one");
    }
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let none = rig();
    let error = none.cache.keep("tasks", b"one").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("second tier"));
    assert_eq!(none.cache.kept("tasks"), None);
    let deep = deep();
    for name in ["", "A", "a.new", "../a", "a b", "\u{e4}", &"a".repeat(65)] {
        assert_eq!(deep.cache.keep(name, b"one").unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        assert_eq!(deep.cache.kept(name), None);
    }
    deep.cache.keep(&"a".repeat(64), b"one").unwrap();
    let error = deep.cache.keep("tasks", &vec![0; (16 << 20) + 1]).unwrap_err();
    assert!(error.to_string().contains("16777216"), "{error}");
    deep.cache.keep("tasks", &vec![0; 16 << 20]).unwrap();
}

#[test]
fn damage_is_as_good_as_nothing_kept() {
    let deep = deep();
    deep.cache.keep("tasks", b"one").unwrap();
    assert!(deep.media.flip("kept-tasks", 24, 1));
    assert_eq!(deep.cache.kept("tasks"), None);
    deep.cache.keep("tasks", b"two").unwrap();
    assert_eq!(deep.cache.kept("tasks").unwrap(), b"two");
}
