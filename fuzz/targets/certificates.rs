//! See [`fuzz::certificates`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::certificates(data));
