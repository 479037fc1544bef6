#!/bin/sh
# The test program of tests/c with both sides under AddressSanitizer: the Rust side as it is, built anew with the standard library as it comes.
# Needs the C compiler clang or gcc whose AddressSanitizer the linker finds. Prints "all of the ABI: ok" and exits 0, or tells what was found.
set -eu
crate=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$crate/../../target}/sanitize
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
host=$(rustc -vV | sed -n 's/^host: //p')

RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$target \
    cargo rustc --manifest-path "$crate/Cargo.toml" --lib --crate-type staticlib --target "$host"

${CC:-cc} -std=c11 -O1 -g -D_GNU_SOURCE -fsanitize=address -fno-omit-frame-pointer -I"$crate/include" \
    "$crate/tests/c/main.c" "$target/$host/debug/liboust_capi.a" -lpthread -ldl -lm -o "$work/program"

# Leaks as well.
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} "$work/program" "$work/l2"
