//! Which partitions there are: files, all tables below a folder, or what a list names; in an order that does not depend on the
//! machine.

use super::hats::{self, Location, Properties};
use crate::error::{Error, Result};
use crate::table::Format;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// An input, and the relative path of its catalogue in the output folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub name: String,
    pub input: PathBuf,
}

/// All partitions of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    pub partitions: Vec<Partition>,
    /// Properties of the HATS catalogue whose partitions these are, if they are.
    pub hats: Option<Properties>,
}

/// A file to be fitted, with its path relative to the folder that was named.
struct Found {
    path: PathBuf,
    relative: String,
}

/// The files that arguments name: files themselves, `@list` for the lines of a file, folders for all tables in them.
///
/// # Errors
/// When a list or folder cannot be read, or there is no table in it.
pub fn expand(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    Ok(find(arguments)?.into_iter().map(|found| found.path).collect())
}

impl Survey {
    /// The partitions that arguments name (as in [`expand`]), in the order of the arguments and, within a folder, of the paths.
    ///
    /// # Errors
    /// As [`expand`]; when two inputs would give the same catalogue; and when a HATS table is no catalogue of objects.
    pub fn of(arguments: &[PathBuf]) -> Result<Self> {
        let (mut partitions, mut taken, mut roots) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for found in find(arguments)? {
            let location = Location::of(&found.path);
            let name = location.as_ref().map_or_else(|| as_parquet(&found.relative), Location::name);
            if !taken.insert(name.clone()) {
                return Err(Error::usage(found.path.display().to_string())
                    .found(format!("a second input that would give {name}"))
                    .remedy("Fit inputs of the same name into different folders."));
            }
            roots.insert(location.map(|location| location.root));
            partitions.push(Partition { name, input: found.path });
        }
        let hats = match roots.pop_first() {
            Some(Some(root)) if roots.is_empty() => Some(hats::read_properties(&root)?),
            _ => None,
        };
        Ok(Self { partitions, hats })
    }

    /// Columns that the catalogue needs to be a HATS catalogue as its input is.
    pub fn columns_to_keep(&self) -> impl Iterator<Item = String> {
        let properties = self.hats.iter();
        properties.flat_map(|properties| hats::COLUMN_KEYS.iter().filter_map(|key| properties.get(*key))).cloned()
    }
}

fn find(arguments: &[PathBuf]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for argument in arguments {
        match argument.to_string_lossy().strip_prefix('@') {
            Some(list) => {
                let list = Path::new(list);
                let text = std::fs::read_to_string(list).map_err(|error| Error::reading(list, error))?;
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                lines.into_iter().try_for_each(|line| add(Path::new(line), &mut found))?;
            }
            None => add(argument, &mut found)?,
        }
    }
    if found.is_empty() {
        return Err(Error::usage("inputs").found("lists without a line").expected("at least one observation file"));
    }
    Ok(found)
}

fn add(path: &Path, found: &mut Vec<Found>) -> Result<()> {
    if path.is_dir() {
        return add_folder(path, found);
    }
    let relative = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    found.push(Found { path: path.to_owned(), relative });
    Ok(())
}

/// Adds the tables below a folder; where it is a HATS catalogue, only those that are pixels.
fn add_folder(folder: &Path, found: &mut Vec<Found>) -> Result<()> {
    let folder = hats::primary_table(folder)?;
    let is_shown = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with(['.', '_']);
    let mut files = Vec::new();
    for entry in WalkDir::new(&folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(is_shown) {
        let entry = entry.map_err(|error| Error::reading(&folder, error))?;
        // JSON beside tables is rarely one: such files are read where they are named.
        let is_table = Format::from_extension(entry.path()).is_some_and(|format| format != Format::Json);
        if entry.file_type().is_file() && is_table {
            files.push(entry.into_path());
        }
    }
    if files.iter().any(|file| Location::of(file).is_some()) {
        files.retain(|file| Location::of(file).is_some());
    }
    if files.is_empty() {
        return Err(Error::usage(folder.display().to_string())
            .found("a folder without tables")
            .expected("files with names in .parquet, .fits, .ecsv, .csv (also .gz) or .xml"));
    }
    found.extend(files.into_iter().map(|path| {
        let below = path.strip_prefix(&folder).unwrap_or(&path);
        let parts: Vec<String> = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        Found { relative: parts.join("/"), path }
    }));
    Ok(())
}

/// The name with `.parquet` in place of the extensions that show a format.
pub(super) fn as_parquet(name: &str) -> String {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let stem = match Format::from_extension(Path::new(plain)) {
        Some(_) => plain.rsplit_once('.').map_or(plain, |(stem, _)| stem),
        None => plain,
    };
    format!("{stem}.parquet")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }

    fn names(arguments: &[PathBuf]) -> Vec<String> {
        Survey::of(arguments).unwrap().partitions.into_iter().map(|partition| partition.name).collect()
    }

    #[test]
    fn files_are_named_after_their_inputs() {
        assert_eq!(names(&["x/a.csv.gz".into(), "b.c.fits".into()]), ["a.parquet", "b.c.parquet"]);
        let error = Survey::of(&["a.fits".into(), "y/a.csv".into()]).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("a.parquet"), "{error}");
    }

    #[test]
    fn folders_keep_their_layout() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["b/2.csv.gz", "a.fits", "b/1.parquet", ".hidden/3.fits", "_x.fits", "notes.txt", ".a.parquet"]);
        assert_eq!(names(&[folder.path().into()]), ["a.parquet", "b/1.parquet", "b/2.parquet"]);
        assert_eq!(names(&["absent.fits".into()]), ["absent.parquet"], "which fails when its turn comes");
        touch(folder.path(), &["empty/readme"]);
        assert!(expand(&[folder.path().join("empty")]).unwrap_err().to_string().contains("without tables"));
    }

    #[test]
    fn hats_catalogues_keep_pixels_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let pixels = ["dataset/Norder=0/Dir=0/Npix=4.parquet", "dataset/Norder=1/Dir=0/Npix=3/part0.parquet"];
        touch(folder.path(), &pixels);
        touch(folder.path(), &["dataset/_metadata", "partition_info.csv", "point_map.fits", "data_thumbnail.parquet"]);
        std::fs::write(folder.path().join("properties"), "hats_col_ra=ra").unwrap();
        let survey = Survey::of(&[folder.path().into()]).unwrap();
        assert_eq!(survey.partitions.iter().map(|partition| partition.name.as_str()).collect::<Vec<_>>(), pixels);
        assert_eq!(survey.hats.clone().unwrap()["hats_col_ra"], "ra");
        // The same from the folder below, or from a list of its files.
        assert_eq!(Survey::of(&[folder.path().join("dataset")]).unwrap(), survey);
        let list = folder.path().join("list.txt");
        let lines: Vec<String> = pixels.iter().map(|name| folder.path().join(name).display().to_string()).collect();
        std::fs::write(&list, format!("# pixels\n\n{}\n", lines.join("\n"))).unwrap();
        assert_eq!(Survey::of(&[format!("@{}", list.display()).into()]).unwrap(), survey);
    }
}
