//! Any bytes as a table: `.parquet`.
#![no_main]

// The reader turns panics of the Parquet library into errors; libFuzzer's hook would end the process before it can.
libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |bytes: &[u8]| {
    photosphere_fuzz::read_table(bytes, "table.parquet")
});
