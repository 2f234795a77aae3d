//! Any bytes as a table: `.ecsv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_table(bytes, "table.ecsv"));
