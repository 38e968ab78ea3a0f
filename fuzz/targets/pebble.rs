//! See [`fuzz::pebble`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::pebble(data));
