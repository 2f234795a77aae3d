//! Any bytes as raw XP spectra (ECSV), down to sampled fluxes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_spectra(bytes));
