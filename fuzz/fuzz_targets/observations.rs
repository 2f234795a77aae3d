//! Any bytes as an observation file (ECSV), down to whitened fluxes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_observations(bytes));
