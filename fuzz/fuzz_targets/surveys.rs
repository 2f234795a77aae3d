//! Any bytes as a FITS file of spectra in the layouts of DESI, LAMOST and SDSS.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_survey_spectra(bytes));
