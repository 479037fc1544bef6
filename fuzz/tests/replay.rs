//! Runs every checked-in case on a stable toolchain: `cargo test --no-default-features`.

use std::path::Path;

fn replay(name: &str, body: fn(&[u8])) {
    for kind in ["seeds", "regressions"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(name);
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.expect("readable directory").path();
            // Shown only if the case fails.
            println!("{}", path.display());
            body(&std::fs::read(&path).expect("readable case"));
        }
    }
}

#[test]
fn pattern_vs_reference() {
    replay("pattern_vs_reference", oust_fuzz::pattern_vs_reference);
}

#[test]
fn canonical_equivalence() {
    replay("canonical_equivalence", oust_fuzz::canonical_equivalence);
}

#[test]
fn ops_vs_model() {
    replay("ops_vs_model", oust_fuzz::ops_vs_model);
}

#[test]
fn rule_bomb() {
    replay("rule_bomb", oust_fuzz::rule_bomb);
}

#[test]
fn dialect_patterns() {
    replay("dialect_patterns", oust_fuzz::dialect_patterns);
}

#[test]
fn dialect_requests() {
    replay("dialect_requests", oust_fuzz::dialect_requests);
}

#[test]
fn directives() {
    replay("directives", oust_fuzz::directives);
}

#[test]
fn targeted() {
    replay("targeted", oust_fuzz::targeted);
}

#[test]
fn journal() {
    replay("journal", oust_fuzz::journal);
}

#[test]
fn segment() {
    replay("segment", oust_fuzz::segment);
}

#[test]
fn records_codec() {
    replay("records_codec", oust_fuzz::records_codec);
}

#[test]
fn directory() {
    replay("directory", oust_fuzz::directory);
}

#[test]
fn crash_vs_model() {
    replay("crash_vs_model", oust_fuzz::crash_vs_model);
}

#[test]
fn tiers_vs_model() {
    replay("tiers_vs_model", oust_fuzz::tiers_vs_model);
}

#[test]
fn canonical_vs_url() {
    replay("canonical_vs_url", oust_fuzz::canonical_vs_url);
}

#[test]
fn config() {
    replay("config", oust_fuzz::config);
}

#[test]
fn dates() {
    replay("dates", oust_fuzz::dates);
}

#[test]
fn framing() {
    replay("framing", oust_fuzz::framing);
}

#[test]
fn freshness() {
    replay("freshness", oust_fuzz::freshness);
}

#[test]
fn native_api() {
    replay("native_api", oust_fuzz::native_api);
}

#[test]
fn ranges() {
    replay("ranges", oust_fuzz::ranges);
}

#[test]
fn selectors_vs_crates() {
    replay("selectors_vs_crates", oust_fuzz::selectors_vs_crates);
}

#[test]
fn vary() {
    replay("vary", oust_fuzz::vary);
}
