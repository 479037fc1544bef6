//! A short blind run of each target on a stable toolchain. `OUST_FUZZ_CASES` sets how many cases, `OUST_FUZZ_SEED` where they begin.

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn run(body: fn(&[u8]), longest: u64) {
    run_some(body, longest, 1);
}

/// One case for each `sparse` of the others.
fn run_some(body: fn(&[u8]), longest: u64, sparse: u64) {
    let from = number("OUST_FUZZ_SEED", 1);
    for seed in from..from + number("OUST_FUZZ_CASES", 300).div_ceil(sparse) {
        // Shown only if the case fails.
        println!("seed {seed}");
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let len = next() % longest;
        let data: Vec<u8> = (0..len).map(|_| u8::try_from(next() >> 8 & 0xFF).unwrap_or(0)).collect();
        body(&data);
    }
}

#[test]
fn pattern_vs_reference() {
    run(oust_fuzz::pattern_vs_reference, 1200);
}

#[test]
fn canonical_equivalence() {
    run(oust_fuzz::canonical_equivalence, 400);
}

#[test]
fn ops_vs_model() {
    run(oust_fuzz::ops_vs_model, 1200);
}

#[test]
fn rule_bomb() {
    // Floods are long: a tenth of the cases.
    run_some(oust_fuzz::rule_bomb, 400, 10);
}

#[test]
fn dialect_patterns() {
    run(oust_fuzz::dialect_patterns, 1200);
}

#[test]
fn dialect_requests() {
    run(oust_fuzz::dialect_requests, 1200);
}

#[test]
fn directives() {
    run(oust_fuzz::directives, 400);
}

#[test]
fn targeted() {
    run(oust_fuzz::targeted, 400);
}

#[test]
fn journal() {
    // Each makes and opens some directories: a part of the cases.
    run_some(oust_fuzz::journal, 300, 5);
}

#[test]
fn segment() {
    run_some(oust_fuzz::segment, 300, 5);
}

#[test]
fn records_codec() {
    run_some(oust_fuzz::records_codec, 300, 5);
}

#[test]
fn directory() {
    run_some(oust_fuzz::directory, 300, 5);
}

#[test]
fn crash_vs_model() {
    run_some(oust_fuzz::crash_vs_model, 300, 10);
}

#[test]
fn tiers_vs_model() {
    run_some(oust_fuzz::tiers_vs_model, 1200, 3);
}

#[test]
fn canonical_vs_url() {
    run(oust_fuzz::canonical_vs_url, 200);
}

#[test]
fn config() {
    run(oust_fuzz::config, 300);
}

#[test]
fn dates() {
    run(oust_fuzz::dates, 40);
}

#[test]
fn framing() {
    run(oust_fuzz::framing, 400);
}

#[test]
fn freshness() {
    run(oust_fuzz::freshness, 300);
}

#[test]
fn native_api() {
    run(oust_fuzz::native_api, 300);
}

#[test]
fn ranges() {
    run(oust_fuzz::ranges, 200);
}

#[test]
fn selectors_vs_crates() {
    run(oust_fuzz::selectors_vs_crates, 200);
}

#[test]
fn vary() {
    run(oust_fuzz::vary, 200);
}
