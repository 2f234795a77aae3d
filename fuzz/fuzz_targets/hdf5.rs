//! Any bytes as a table: `.h5`. The library's panics are caught by the reader, which is no finding here.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_hdf5(bytes));
