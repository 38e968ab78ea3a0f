//! See [`fuzz::jujuc`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::jujuc(data));
