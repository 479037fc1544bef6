//! `OUST_SCHEDULES=n` schedules of each combination of operations, `OUST_SCHEDULE_SEED=n` the first one's seed; arguments are parts of names of
//! combinations. See `docs/testing.md`.

#[cfg(oust_shuttle)]
fn main() -> std::process::ExitCode {
    oust_schedules::scenario::main()
}

#[cfg(not(oust_shuttle))]
fn main() {}
