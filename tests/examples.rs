//! The examples do what they say: they are run as they were built.

use std::path::PathBuf;
use std::process::Command;

/// What an example printed; it must have ended well.
fn printed(name: &str) -> String {
    // `cargo test` builds examples beside the directory of its tests.
    let own = std::env::current_exe().expect("a test has a path");
    let built: PathBuf =
        own.ancestors().nth(2).expect("tests are in a directory of the build's").join("examples").join(name);
    assert!(
        built.exists(),
        "{} is not built: `cargo test` without a choice of targets does it, or `cargo build --examples`",
        built.display()
    );
    let output = Command::new(built).output().expect("an example can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn embed_hits_what_it_stored_and_misses_what_it_purged() {
    let text = printed("embed");
    assert!(text.starts_with("hit, 6 bytes\n"), "{text}");
    assert!(text.ends_with("then a miss (purged-delete)\n") || text.ends_with("then a miss (uri-miss)\n"), "{text}");
}

#[test]
fn the_tour_sees_each_step() {
    let text = printed("tour");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("after")).collect();
    assert_eq!(lines.len(), 4, "{text}");
    for (line, seen) in
        lines.iter().zip(["hit, 6 bytes", "to be validated (purged-invalidate)", "hit, 6 bytes", "miss ("])
    {
        assert!(line.contains(seen), "{line}");
    }
}
