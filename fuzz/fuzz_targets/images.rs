//! Any bytes as a FITS file of images, plain or in tiles.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| photosphere_fuzz::read_images(bytes));
