//! From simulated stars to catalogue files: train a small model, fit new stars, write FITS, Parquet and ECSV.
//!
//! `cargo run --release --example catalogue_files FOLDER` — `.ci/check_catalogue.py` opens the files with
//! astropy and pandas.

mod support;

use photosphere::error::{Error, Result};
use photosphere::infer::FitOptions;
use photosphere::model::Registry;
use photosphere::table::write;
use std::path::PathBuf;

fn main() -> Result<()> {
    let folder = std::env::args()
        .nth(1)
        .map(PathBuf::from)
        .ok_or_else(|| Error::usage("catalogue_files").found("no argument").expected("a folder for the catalogue's files"))?;
    std::fs::create_dir_all(&folder).map_err(|error| Error::writing(&folder, error))?;

    let trained = support::train_on(support::survey(2000, 0)?, &support::short_recipe(20)?, &Registry::standard())?;
    let (estimates, _) = support::fit_all(&trained, support::survey(300, 1_000_000)?, &FitOptions::default())?;
    let catalogue = estimates.to_table(trained.id())?;
    for name in ["catalogue.fits", "catalogue.parquet", "catalogue.ecsv"] {
        write(&catalogue, &folder.join(name), true)?;
    }
    // The identifiers once more as text, so that a reader can be checked for lost digits.
    let ids: Vec<String> = estimates.ids.iter().map(i64::to_string).collect();
    let path = folder.join("source_ids.txt");
    std::fs::write(&path, ids.join("\n")).map_err(|error| Error::writing(&path, error))?;
    println!("{} stars in {}", estimates.len(), folder.display());
    Ok(())
}
