#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oust_fuzz::framing(data));
