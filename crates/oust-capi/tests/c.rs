//! The C programs of `tests/c` and `examples/c`, compiled and run against the static library: plain, under valgrind, and with the C side under
//! AddressSanitizer. `tests/sanitize.sh` has the Rust side under it too.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the static library needs of the system, as `rustc --print native-static-libs` says.
const NATIVE: [&str; 3] = ["-lpthread", "-ldl", "-lm"];

/// The static library that was built together with this test: cargo makes all kinds of a library in one go, beside its tests.
fn library() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let deps = own.parent().unwrap();
    let library = deps.join("liboust_capi.a");
    assert!(library.exists(), "{} is not there: cargo puts it elsewhere now", library.display());
    library
}

fn compile(sources: &[&str], into: &Path, more: &[&str]) -> PathBuf {
    let program = into.join("program");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-D_GNU_SOURCE", "-I"]);
    compiler.arg(Path::new(ROOT).join("include")).args(more);
    compiler.args(sources.iter().map(|source| Path::new(ROOT).join(source)));
    compiler.arg(library()).args(NATIVE).arg("-o").arg(&program);
    said_yes(&compiler.output().unwrap(), "cc");
    program
}

fn said_yes(output: &Output, what: &str) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

fn run(program: &mut Command, into: &Path, what: &str) -> String {
    let tier = into.join("l2");
    said_yes(&program.arg(tier).output().unwrap(), what)
}

#[test]
fn all_of_the_abi_from_c() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(&["tests/c/main.c"], dir.path(), &[]);
    assert_eq!(run(&mut Command::new(program), dir.path(), "plain"), "all of the ABI: ok\n");
}

#[test]
fn all_of_the_abi_under_valgrind() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: valgrind is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = compile(&["tests/c/main.c"], dir.path(), &[]);
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--error-exitcode=1", "--leak-check=full", "--fair-sched=yes"]).arg(program);
    assert_eq!(run(&mut valgrind, dir.path(), "valgrind"), "all of the ABI: ok\n");
}

#[test]
fn all_of_the_abi_with_c_under_address_sanitizer() {
    let dir = tempfile::tempdir().unwrap();
    let program =
        compile(&["tests/c/main.c"], dir.path(), &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    let mut program = Command::new(program);
    assert_eq!(run(&mut program, dir.path(), "AddressSanitizer"), "all of the ABI: ok\n");
}

#[test]
fn the_example_shows_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(&["../../examples/c/embed.c"], dir.path(), &[]);
    let said = run(&mut Command::new(program), dir.path(), "example");
    assert!(said.ends_with("ok\n"), "{said}");
}
