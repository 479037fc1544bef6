#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oust_fuzz::ops_vs_model(data));
