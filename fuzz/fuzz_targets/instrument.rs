//! Any bytes as the file of an XP instrument, down to design matrices.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_instrument(bytes));
