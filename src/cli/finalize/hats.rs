//! The metadata that make a folder of pixels a HATS catalogue: properties, the list of pixels, and the
//! Parquet dataset's metadata.

use crate::error::Result;
use crate::run::hats::{COLUMN_KEYS, Location, N_ROWS, PARTITION_INFO, PROPERTIES_FILES, Properties};
use crate::run::{RunFolder, replace};
use crate::table::{remove_leftovers, write_dataset_metadata};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The folder of the pixels, to which the dataset's metadata belong.
const DATASET: &str = "dataset";

/// Writes the metadata of a catalogue of these partitions, `metadata` among those of the dataset; older ones
/// are replaced.
///
/// # Errors
/// When a catalogue cannot be read, their columns differ, or a file cannot be written.
pub fn write(
    folder: &RunFolder,
    metadata: &BTreeMap<String, String>,
    input: &Properties,
    finished: &[&String],
    n_stars: usize,
) -> Result<()> {
    let pixels: BTreeSet<(u32, u64)> = places(finished).map(|place| (place.order, place.pixel)).collect();
    let list = pixels.iter().map(|(order, pixel)| format!("{order},{pixel}\n"));
    replace(&folder.root().join(PARTITION_INFO), &format!("Norder,Npix\n{}", list.collect::<String>()))?;
    let properties = properties(input, finished, n_stars);
    for name in PROPERTIES_FILES {
        replace(&folder.root().join(name), &properties)?;
    }
    let dataset = folder.root().join(DATASET);
    for name in ["_metadata", "_common_metadata"] {
        remove_leftovers(&dataset.join(name));
    }
    let prefix = format!("{DATASET}/");
    let mut files: Vec<(Option<(u32, u64)>, String)> = finished
        .iter()
        .map(|name| (Location::of(Path::new(name)).map(|place| (place.order, place.pixel)), name.replacen(&prefix, "", 1)))
        .collect();
    files.sort();
    let files: Vec<String> = files.into_iter().map(|(_, name)| name).collect();
    write_dataset_metadata(&dataset, &files, metadata)
}

fn places(names: &[&String]) -> impl Iterator<Item = Location> {
    names.iter().filter_map(|name| Location::of(Path::new(name)))
}

/// The file of properties. It has no date, so that the same run gives the same file.
fn properties(input: &Properties, finished: &[&String], n_stars: usize) -> String {
    let known = |key: &str, otherwise: &str| input.get(key).cloned().unwrap_or_else(|| otherwise.into());
    let suffix = if places(finished).any(|place| place.part.is_some()) { "/" } else { ".parquet" };
    let highest = places(finished).map(|place| place.order).max().unwrap_or(0);
    let mut lines = BTreeMap::from([
        ("obs_collection", format!("{}_photosphere", known("obs_collection", "stars"))),
        ("dataproduct_type", known("dataproduct_type", "object")),
        (N_ROWS, n_stars.to_string()),
        ("hats_col_ra", known("hats_col_ra", "ra")),
        ("hats_col_dec", known("hats_col_dec", "dec")),
        ("hats_npix_suffix", suffix.into()),
        ("hats_order", highest.to_string()),
        ("hats_builder", concat!("photosphere v", env!("CARGO_PKG_VERSION")).into()),
        ("hats_version", known("hats_version", "v1.0")),
    ]);
    for key in COLUMN_KEYS.iter().chain(&["hats_col_healpix_order"]) {
        if let Some(value) = input.get(*key) {
            lines.insert(key, value.clone());
        }
    }
    let lines = lines.into_iter().map(|(key, value)| format!("{key}={value}\n"));
    format!("#HATS catalog\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_follow_the_input() {
        let names = ["dataset/Norder=0/Dir=0/Npix=3.parquet", "dataset/Norder=2/Dir=0/Npix=9.parquet"].map(String::from);
        let input = Properties::from([("hats_col_ra".into(), "RA".into()), ("hats_col_healpix".into(), "_healpix_29".into())]);
        let text = properties(&input, &names.each_ref(), 12);
        for line in ["hats_col_ra=RA", "hats_col_dec=dec", "hats_nrows=12", "hats_order=2", "hats_col_healpix=_healpix_29"] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.contains("hats_npix_suffix=.parquet") && !text.contains("hats_col_healpix_order"), "{text}");
    }
}
