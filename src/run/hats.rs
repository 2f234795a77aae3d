//! The layout of HATS catalogues (IVOA note "HATS: a standard for the hierarchical adaptive tiling scheme",
//! 2025): `dataset/Norder=o/Dir=d/Npix=p.parquet`, or files in a folder `Npix=p`, one per HEALPix pixel p of
//! order o, with d = p rounded down to 10 000; and a file of properties.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Properties, as in `hats.properties`.
pub type Properties = BTreeMap<String, String>;

/// Keys of the properties that name columns which readers of the catalogue need.
pub const COLUMN_KEYS: [&str; 3] = ["hats_col_healpix", "hats_col_ra", "hats_col_dec"];

/// The key of the number of rows.
pub const N_ROWS: &str = "hats_nrows";

/// The list of a catalogue's pixels, in its folder.
pub const PARTITION_INFO: &str = "partition_info.csv";

/// Names of the file of properties; older readers know the second alone.
pub const PROPERTIES_FILES: [&str; 2] = ["hats.properties", "properties"];

/// The place of a file in a HATS catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The catalogue's folder, above `dataset`.
    pub root: PathBuf,
    pub order: u32,
    pub pixel: u64,
    /// The file's name where the pixel is a folder.
    pub part: Option<String>,
}

impl Location {
    /// The place that a path shows, if it shows one.
    pub fn of(path: &Path) -> Option<Self> {
        let names: Vec<String> = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let first = names.iter().position(|name| name.starts_with("Norder="))?;
        let (last, part) = match &names[first..] {
            [_, _, last] => (last, None),
            [_, _, last, part] => (last, Some(part.clone())),
            _ => return None,
        };
        let order = names[first].strip_prefix("Norder=")?.parse().ok()?;
        names[first + 1].strip_prefix("Dir=")?.parse::<u64>().ok()?;
        let pixel = last.strip_prefix("Npix=")?;
        let (pixel, suffix) = pixel.split_at(pixel.find(|c: char| !c.is_ascii_digit()).unwrap_or(pixel.len()));
        if part.is_some() != suffix.is_empty() {
            return None;
        }
        let above = if first > 0 && names[first - 1] == "dataset" { first - 1 } else { first };
        let root = path.components().take(above).collect();
        Some(Self { root, order, pixel: pixel.parse().ok()?, part })
    }

    /// The relative path of the pixel's catalogue, always Parquet.
    pub fn name(&self) -> String {
        let (order, pixel, folder) = (self.order, self.pixel, self.pixel / 10_000 * 10_000);
        let file = match &self.part {
            Some(part) => format!("/{}", super::partition::as_parquet(part)),
            None => ".parquet".into(),
        };
        format!("dataset/Norder={order}/Dir={folder}/Npix={pixel}{file}")
    }
}

/// The folder of the catalogue itself: in a collection, which has margins and indices beside it, that of its
/// primary table.
///
/// # Errors
/// When a collection does not name its primary table.
pub fn primary_table(folder: &Path) -> Result<PathBuf> {
    let collection = folder.join("collection.properties");
    if !collection.is_file() {
        return Ok(folder.to_owned());
    }
    match read(&collection)?.get("hats_primary_table_url") {
        Some(name) => Ok(folder.join(name)),
        None => Err(Error::data(collection.display().to_string())
            .found("no hats_primary_table_url")
            .expected("the primary table")
            .remedy("Name the folder of that table itself.")),
    }
}

/// The properties of the catalogue in a folder; none where it has none.
///
/// # Errors
/// When they cannot be read, or show something else than a catalogue of objects or sources (a margin, say,
/// whose stars would be fitted twice).
pub fn read_properties(root: &Path) -> Result<Properties> {
    let Some(path) = PROPERTIES_FILES.iter().map(|name| root.join(name)).find(|path| path.is_file()) else {
        return Ok(Properties::new());
    };
    let properties = read(&path)?;
    match properties.get("dataproduct_type").map(String::as_str) {
        Some("object" | "source") | None => Ok(properties),
        Some(other) => Err(Error::usage(path.display().to_string())
            .found(format!("a HATS table of type '{other}'"))
            .expected("one of objects or sources")
            .remedy("Name the folder of the catalogue itself.")),
    }
}

/// The pixels that a catalogue says it has (`partition_info.csv`): order and number. None where it does not
/// say.
///
/// # Errors
/// When the list cannot be read, or a row of it is none of a pixel.
pub fn listed_pixels(root: &Path) -> Result<Vec<(u32, u64)>> {
    let path = root.join(PARTITION_INFO);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).map_err(|error| Error::reading(&path, error))?;
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
    let fields = |line: &str| line.split(',').map(|field| field.trim().to_owned()).collect::<Vec<String>>();
    let Some(names) = lines.next().map(fields) else { return Ok(Vec::new()) };
    let column = |wanted: &str| names.iter().position(|name| name == wanted);
    let fault = |found: String| {
        Error::data(path.display().to_string())
            .found(found)
            .expected("columns Norder and Npix, integers")
            .remedy("Write the catalogue's list of pixels anew (`hats.io`), or remove it: then the files alone tell the pixels.")
    };
    let (Some(order), Some(pixel)) = (column("Norder"), column("Npix")) else {
        return Err(fault(format!("the columns {}", names.join(", "))));
    };
    let pixel_of = |line: &str| {
        let fields = fields(line);
        let number = |position: usize| fields.get(position).cloned().unwrap_or_default();
        match (number(order).parse(), number(pixel).parse()) {
            (Ok(order), Ok(pixel)) => Ok((order, pixel)),
            _ => Err(fault(format!("the row '{line}'"))),
        }
    };
    lines.map(pixel_of).collect()
}

/// A file of `key=value` lines.
fn read(path: &Path) -> Result<Properties> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::reading(path, error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
    Ok(lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim().into(), value.trim().into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_their_names() {
        let place = |path: &str| Location::of(Path::new(path));
        let name = |path: &str| place(path).unwrap().name();
        let found = place("/data/gaia/dataset/Norder=2/Dir=0/Npix=9.parquet").unwrap();
        assert_eq!((found.root.as_path(), found.order, found.pixel), (Path::new("/data/gaia"), 2, 9));
        assert_eq!(found.name(), "dataset/Norder=2/Dir=0/Npix=9.parquet");
        assert_eq!(place("Norder=2/Dir=0/Npix=9.parquet").unwrap().root, Path::new(""));
        assert_eq!(name("x/Norder=7/Dir=40000/Npix=40001.snappy.parquet"), "dataset/Norder=7/Dir=40000/Npix=40001.parquet");
        assert_eq!(name("dataset/Norder=7/Dir=0/Npix=1/part0.pq"), "dataset/Norder=7/Dir=0/Npix=1/part0.parquet");
        for other in ["a/Npix=1.parquet", "Norder=a/Dir=0/Npix=1.parquet", "Norder=1/Dir=0/Npix=1", "Norder=1/Dir=0/a.parquet"] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn lists_of_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join("partition_info.csv"), text).unwrap();
            listed_pixels(folder.path())
        };
        assert_eq!(listed_pixels(folder.path()).unwrap(), []);
        assert_eq!(read("Norder,Npix\n0,3\n1, 47\n").unwrap(), [(0, 3), (1, 47)]);
        assert_eq!(read("Norder,Dir,Npix,num_rows\n2,0,9,100\n").unwrap(), [(2, 9)]);
        assert!(read("Norder,Npix\n0,x\n").unwrap_err().to_string().contains("the row '0,x'"));
        assert!(read("a,b\n").unwrap_err().to_string().contains("the columns a, b"));
    }

    #[test]
    fn margins_are_refused_and_collections_seen_through() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("hats.properties", "#HATS catalog\nhats_col_ra=ra\ndataproduct_type = object\n");
        assert_eq!(read_properties(folder.path()).unwrap()["hats_col_ra"], "ra");
        write("hats.properties", "dataproduct_type=margin");
        assert!(read_properties(folder.path()).unwrap_err().to_string().contains("'margin'"));
        assert_eq!(primary_table(folder.path()).unwrap(), folder.path());
        write("collection.properties", "obs_collection=x\nhats_primary_table_url=stars\n");
        assert_eq!(primary_table(folder.path()).unwrap(), folder.path().join("stars"));
    }
}
