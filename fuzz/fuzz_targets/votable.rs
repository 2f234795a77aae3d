//! Any bytes as a table: `.xml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_table(bytes, "table.xml"));
