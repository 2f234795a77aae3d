//! The seeds of the fuzz targets go through what the targets do (`fuzz/`), so that both keep compiling and no
//! seed does harm.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

#[test]
fn seeds_do_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut n_seeds = 0;
    for target in std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()) {
        for seed in std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().path()) {
            let bytes = std::fs::read(&seed).unwrap();
            match target.file_name().unwrap().to_str().unwrap() {
                "gzip" => targets::read_table(&bytes, "table.csv.gz"),
                "observations" => targets::read_observations(&bytes),
                "spectra" => targets::read_spectra(&bytes),
                "recipes" => targets::read_recipes(&bytes),
                "images" => targets::read_images(&bytes),
                "instrument" => targets::read_instrument(&bytes),
                "hdf5" => targets::read_hdf5(&bytes),
                "surveys" => targets::read_survey_spectra(&bytes),
                "votable" => targets::read_table(&bytes, "table.xml"),
                format => targets::read_table(&bytes, &format!("table.{format}")),
            }
            n_seeds += 1;
        }
    }
    assert!(n_seeds > 30);
}
