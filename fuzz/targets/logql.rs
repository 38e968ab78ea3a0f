//! See [`fuzz::logql`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::logql(data));
