//! Loss of power at a moment and in a history that the input chooses, held against the model of `tests/crash.rs`.

#[allow(clippy::unwrap_used, reason = "a failure there is the test's")]
#[path = "../../tests/crash/history.rs"]
mod history;
#[path = "../../tests/crash/model.rs"]
mod model;
#[allow(clippy::unwrap_used, reason = "a failure there is the test's")]
#[path = "../../tests/crash/world.rs"]
mod world;

use world::Random;

/// One history.
pub fn crash_vs_model(data: &[u8]) {
    match history::run_by(Random::chosen(data.to_vec())) {
        Ok(figures) => {
            if std::env::var_os("OUST_FUZZ_TRACE").is_some() {
                eprintln!("{figures:?}");
            }
        }
        Err(what) => panic!("{what}"),
    }
}
