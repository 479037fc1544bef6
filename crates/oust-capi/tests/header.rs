//! The header in `include/` is what the functions are, and both C and C++ take it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn made() -> String {
    let config = cbindgen::Config::from_file(Path::new(ROOT).join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_crate(ROOT).with_config(config).generate().unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_the_one_of_the_functions() {
    let path = Path::new(ROOT).join("include/oust.h");
    let made = made();
    if std::env::var_os("OUST_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let differs = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    assert!(kept == made, "include/oust.h differs from line {differs:?} on; run this with OUST_WRITE_HEADER=1");
}

#[test]
fn the_header_is_c99_and_c11_and_cpp11() {
    let dir = tempfile::tempdir().unwrap();
    let text = "#include \"oust.h\"\nint main(void) { return (int)oust_abi_version() - OUST_ABI_VERSION; }\n";
    for (compiler, file, standard) in [("cc", "a.c", "c99"), ("cc", "b.c", "c11"), ("c++", "c.cc", "c++11")] {
        let path = dir.path().join(file);
        std::fs::write(&path, text).unwrap();
        let ran = Command::new(compiler)
            .args([&format!("-std={standard}"), "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
            .arg(Path::new(ROOT).join("include"))
            .arg(&path)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{compiler} {standard}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}
