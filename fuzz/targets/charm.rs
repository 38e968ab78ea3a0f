//! See [`fuzz::charm`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::charm(data));
