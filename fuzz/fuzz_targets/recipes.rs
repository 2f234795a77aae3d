//! Any text as a recipe of every kind.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_recipes(bytes));
