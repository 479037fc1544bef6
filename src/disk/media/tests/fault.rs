//! Pages that cannot be brought back, for real: a mapped file is cut from outside.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use crate::disk::media::map::provoke;
use crate::disk::media::{Access, Directory, install_sigbus_handler};
use crate::disk::{File, Media};

const PATH: &str = "OUST_TEST_PATH";

/// AddressSanitizer has a handler of its own, which would end a child in its own way.
const NO_SANITIZER: (&str, &str) = ("ASAN_OPTIONS", "handle_sigbus=0");

/// What became of a process that ran one test alone.
pub(super) struct Child(Output);

/// Runs one ignored test of this program in a process of its own.
pub(super) fn in_a_child(test: &str, path: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]).env(PATH, path);
    command.env(NO_SANITIZER.0, NO_SANITIZER.1);
    Child(command.output().unwrap())
}

/// The same with a new file system of type `kind` at `path`, which no one else sees.
pub(super) fn in_a_child_with_a_mount(test: &str, kind: &str, options: &str, path: &Path) -> Child {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        r#"mount -t "$1" -o "$2" none "$3" && exec "$4" --exact "$5" --ignored --nocapture"#,
        "sh",
    ]);
    command.args([kind, options]).arg(path).arg(std::env::current_exe().unwrap()).arg(test).env(PATH, path);
    Child(command.output().unwrap())
}

/// What the parent has given a child.
pub(super) fn child_path() -> PathBuf {
    std::env::var_os(PATH).unwrap().into()
}

impl Child {
    pub(super) fn succeeds(&self) {
        let text = String::from_utf8_lossy(&self.0.stdout);
        assert!(self.0.status.success(), "{:?}\n{text}\n{}", self.0.status, String::from_utf8_lossy(&self.0.stderr));
        assert!(text.contains("1 passed"), "there is no such test: {text}");
    }

    fn dies_of(&self, signal: i32) {
        assert_eq!(self.0.status.signal(), Some(signal), "{:?}", self.0);
    }
}

fn run(name: &str) -> Child {
    let parent = tempfile::tempdir().unwrap();
    in_a_child(&format!("disk::media::tests::fault::{name}"), parent.path())
}

const LEN: u64 = 1 << 20;

/// A mapped file of sevens, one that stays as it is, and what cuts the first.
fn two_files() -> (Arc<dyn File>, Arc<dyn File>, impl Fn(u64)) {
    let media = Directory::open(child_path(), Access::Mmap).unwrap();
    let [lost, kept] = ["lost", "kept"].map(|name| {
        let file = media.create(name, LEN).unwrap();
        file.write_at(0, &vec![7; usize::try_from(LEN).unwrap()]).unwrap();
        file.sync().unwrap();
        file.freeze().unwrap();
        file
    });
    let cut =
        |len| std::fs::OpenOptions::new().write(true).open(child_path().join("lost")).unwrap().set_len(len).unwrap();
    (lost, kept, cut)
}

#[test]
fn a_lost_page_is_told_and_ends_nothing() {
    run("child_that_loses_a_page").succeeds();
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_loses_a_page() {
    install_sigbus_handler().unwrap();
    install_sigbus_handler().unwrap();
    let (lost, kept, cut) = two_files();
    let view = lost.bytes(0..LEN).unwrap();
    let other = kept.bytes(0..LEN).unwrap();
    assert_eq!(view.iter().position(|byte| *byte != 7), None);
    cut(8192);
    assert!(lost.is_intact(), "no one has missed it yet");
    assert_eq!(view[8191], 7);
    assert!(lost.is_intact());
    assert_eq!(view[8192], 0);
    assert!(!lost.is_intact());
    assert_eq!(view[8191], 7, "one page, and no more, is zeros");
    assert!(view[8192..].iter().all(|byte| *byte == 0), "the other pages too, each in its turn");
    assert!(other.iter().all(|byte| *byte == 7));
    assert!(kept.is_intact());

    assert_eq!(&lost.bytes(8190..8192).unwrap()[..], [7, 7], "read, not viewed");
    lost.bytes(8192..8193).unwrap_err();
    cut(LEN);
    assert!(!lost.is_intact(), "forever");
    drop((view, lost));

    // The place in the register is used again, clean.
    let media = Directory::inspect(child_path());
    assert!(media.is_err(), "the other file holds the lock");
    drop((other, kept));
    let media = Directory::open(child_path(), Access::Mmap).unwrap();
    for _ in 0..3 {
        let again = media.open("kept").unwrap();
        again.freeze().unwrap();
        assert_eq!(again.bytes(0..LEN).unwrap()[0], 7);
        assert!(again.is_intact());
    }
}

#[test]
fn many_threads_lose_pages_at_once() {
    run("child_whose_threads_lose_pages").succeeds();
}

#[test]
#[ignore = "run as a child of another test"]
fn child_whose_threads_lose_pages() {
    install_sigbus_handler().unwrap();
    let (lost, kept, cut) = two_files();
    let view = lost.bytes(0..LEN).unwrap();
    let (lost, kept, view) = (&lost, &kept, &view);
    cut(0);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            scope.spawn(move || {
                for at in (thread * 512..view.len()).step_by(2048) {
                    if view[at] == 0 {
                        assert!(!lost.is_intact(), "whoever has read a zero sees the mark");
                    }
                }
            });
        }
        scope.spawn(|| {
            let media = kept.bytes(0..LEN).unwrap();
            assert!(media.iter().all(|byte| *byte == 7));
        });
    });
    assert!(kept.is_intact());
}

#[test]
fn a_lost_page_is_an_error_where_it_is_asked_for() {
    run("child_that_asks_for_a_lost_page").succeeds();
}

/// Without handler: nothing touches the page.
#[test]
#[ignore = "run as a child of another test"]
fn child_that_asks_for_a_lost_page() {
    let (lost, _kept, cut) = two_files();
    cut(8192);
    assert!(!lost.is_warm(8192..8193));
    assert_eq!(lost.bytes(8000..8192).unwrap().len(), 192);
    assert!(lost.is_intact());
    let error = lost.bytes(8000..8193).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(!lost.is_intact());
}

#[test]
fn without_the_handler_a_lost_page_ends_the_process() {
    run("child_without_handler").dies_of(libc::SIGBUS);
}

#[test]
#[ignore = "run as a child of another test"]
fn child_without_handler() {
    let (lost, _kept, cut) = two_files();
    let view = lost.bytes(0..LEN).unwrap();
    cut(0);
    println!("{}", view[0]);
}

#[test]
fn a_fault_elsewhere_ends_the_process_as_ever() {
    run("child_that_faults_elsewhere").dies_of(libc::SIGBUS);
    run("child_that_faults_elsewhere_by_default").dies_of(libc::SIGBUS);
    run("child_that_faults_elsewhere_ignoring").dies_of(libc::SIGBUS);
}

fn fault_elsewhere() {
    install_sigbus_handler().unwrap();
    let (_lost, _kept, cut) = two_files();
    let elsewhere = provoke::unregistered(&std::fs::File::open(child_path().join("lost")).unwrap());
    cut(0);
    println!("{}", elsewhere[0]);
}

/// The handler before is that of the standard library.
#[test]
#[ignore = "run as a child of another test"]
fn child_that_faults_elsewhere() {
    fault_elsewhere();
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_faults_elsewhere_by_default() {
    provoke::unhandled(false);
    fault_elsewhere();
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_faults_elsewhere_ignoring() {
    provoke::unhandled(true);
    fault_elsewhere();
}

#[test]
fn a_signal_that_is_sent_does_what_it_ever_did() {
    run("child_that_is_sent_the_signal").dies_of(libc::SIGBUS);
    run("child_that_is_sent_the_signal_by_default").dies_of(libc::SIGBUS);
    run("child_that_is_sent_the_signal_ignoring").succeeds();
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_is_sent_the_signal() {
    install_sigbus_handler().unwrap();
    let _files = two_files();
    // What the handler of the standard library makes of the first is to handle no second.
    provoke::raise();
    provoke::raise();
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_is_sent_the_signal_by_default() {
    provoke::unhandled(false);
    install_sigbus_handler().unwrap();
    let _files = two_files();
    provoke::raise();
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_is_sent_the_signal_ignoring() {
    provoke::unhandled(true);
    install_sigbus_handler().unwrap();
    let (lost, ..) = two_files();
    provoke::raise();
    assert!(lost.is_intact());
}
