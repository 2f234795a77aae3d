//! Which partitions there are: files, all tables below a folder, or what a list names; in an order that does
//! not depend on the machine.

use super::RunFolder;
use super::hats::{self, Location, Properties};
use crate::error::{Error, Result};
use crate::table::{self, Format};
use crate::warning::warn_once;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// An input, and the relative path of its catalogue in the output folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub name: String,
    pub input: PathBuf,
}

/// A folder or file below a folder that cannot be looked at or named, while the others can.
#[derive(Debug)]
pub struct Unlisted {
    pub path: PathBuf,
    pub error: Error,
}

/// All partitions of a run.
#[derive(Debug)]
pub struct Survey {
    pub partitions: Vec<Partition>,
    /// What may hold partitions too, but does not let itself be listed.
    pub unlisted: Vec<Unlisted>,
    /// The folders that were named, and the HATS catalogues that the partitions are of.
    pub folders: Vec<PathBuf>,
    /// Properties of the HATS catalogue whose partitions these are, if they are.
    pub hats: Option<Properties>,
}

/// A file to be fitted, with its path relative to the folder that was named.
struct Found {
    path: PathBuf,
    relative: String,
}

/// What was found, and what could not be looked at.
#[derive(Default)]
struct Listing {
    found: Vec<Found>,
    unlisted: Vec<Unlisted>,
}

/// The files that arguments name: files themselves (which may choose tables, `a.fits[X]`), `@list` for the
/// lines of a file, folders for all tables in them.
///
/// # Errors
/// When a list or folder cannot be read, a folder below it neither, or there is no table in it.
pub fn expand(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let listing = find(arguments)?;
    match listing.unlisted.into_iter().next() {
        None => Ok(listing.found.into_iter().map(|found| found.path).collect()),
        Some(unlisted) => Err(unlisted.error),
    }
}

impl Survey {
    /// The partitions that arguments name (as in [`expand`]), in the order of the arguments and, within a
    /// folder, of the paths.
    ///
    /// # Errors
    /// When a list or a folder that is named cannot be read, or there is no table in it; when two inputs
    /// would give the same catalogue; and when a HATS table is no catalogue of objects. What lies below a
    /// folder and cannot be looked at is no error, but unlisted.
    pub fn of(arguments: &[PathBuf]) -> Result<Self> {
        let (mut partitions, mut taken, mut roots) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let Listing { found, unlisted } = find(arguments)?;
        for found in found {
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
        let mut folders: Vec<PathBuf> = arguments.iter().filter(|argument| argument.is_dir()).cloned().collect();
        folders.extend(roots.iter().flatten().filter(|root| **root != Path::new("")).cloned());
        let hats = match roots.pop_first() {
            Some(Some(root)) if roots.is_empty() => Some(hats::read_properties(&root)?),
            _ => None,
        };
        Ok(Self { partitions, unlisted, folders, hats })
    }

    /// Columns that the catalogue needs to be a HATS catalogue as its input is.
    pub fn columns_to_keep(&self) -> impl Iterator<Item = String> {
        let properties = self.hats.iter();
        properties.flat_map(|properties| hats::COLUMN_KEYS.iter().filter_map(|key| properties.get(*key))).cloned()
    }
}

fn find(arguments: &[PathBuf]) -> Result<Listing> {
    let mut listing = Listing::default();
    for argument in arguments {
        match argument.to_string_lossy().strip_prefix('@') {
            Some(list) => {
                let list = Path::new(list);
                let text = std::fs::read_to_string(list).map_err(|error| Error::reading(list, error))?;
                let lines = text
                    .trim_start_matches('\u{feff}')
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty() && !line.starts_with('#'));
                lines.into_iter().try_for_each(|line| listing.add(Path::new(line)))?;
            }
            None => listing.add(argument)?,
        }
    }
    if listing.found.is_empty() {
        return Err(match listing.unlisted.into_iter().next() {
            Some(unlisted) => unlisted.error,
            None => Error::usage("inputs")
                .found("lists without a line")
                .expected("at least one observation file")
                .remedy("Write the path of a file into every line of the list."),
        });
    }
    Ok(listing)
}

impl Listing {
    fn add(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return self.add_folder(path);
        }
        let relative = relative_name(path);
        self.found.push(Found { path: path.to_owned(), relative });
        Ok(())
    }

    /// Adds the tables below a folder; where it is a HATS catalogue, only those that are pixels, and those of
    /// its list of pixels that are not there: partitions that fail as long as they are missing. Folders
    /// below it into which a run has written its catalogues are passed over.
    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let folder = hats::primary_table(folder)?;
        let is_shown = |entry: &DirEntry| {
            entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with(['.', '_']) && !is_output_of_a_run(entry)
        };
        let (mut files, n_unlisted) = (Vec::new(), self.unlisted.len());
        for entry in WalkDir::new(&folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(is_shown) {
            match entry {
                Ok(entry) if entry.file_type().is_file() && is_table(entry.path()) => match entry.path().to_str() {
                    Some(_) => files.push(entry.into_path()),
                    None => self.unlisted.push(not_utf8(entry.path())),
                },
                Ok(_) => {}
                Err(error) => self.unlisted.extend(unlisted(&folder, error)?),
            }
        }
        if files.iter().any(|file| Location::of(file).is_some()) {
            files.retain(|file| Location::of(file).is_some());
            files.extend(missing_pixels(&folder, &files)?);
        }
        if files.is_empty() && self.unlisted.len() == n_unlisted {
            return Err(Error::usage(folder.display().to_string())
                .found("a folder without tables")
                .expected("files with names in .parquet, .fits, .ecsv, .csv (also .gz) or .xml")
                .remedy("Name another folder, or the files themselves."));
        }
        self.found.extend(files.into_iter().map(|path| {
            let below = path.strip_prefix(&folder).unwrap_or(&path);
            let parts: Vec<String> = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            Found { relative: parts.join("/"), path }
        }));
        Ok(())
    }
}

/// The files of pixels that the list of a HATS catalogue has and `files` have not, with a warning.
fn missing_pixels(folder: &Path, files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let found: BTreeSet<(u32, u64)> =
        files.iter().filter_map(|file| Location::of(file)).map(|location| (location.order, location.pixel)).collect();
    let listed = hats::listed_pixels(folder)?;
    let missing = listed
        .into_iter()
        .filter(|pixel| !found.contains(pixel))
        .map(|(order, pixel)| folder.join(Location { root: PathBuf::new(), order, pixel, part: None }.name()));
    let missing: Vec<PathBuf> = missing.collect();
    if let [first, ..] = missing.as_slice() {
        warn_once(format!(
            "{}: {} of the pixels in {} have no file, {} for one: get them, or correct the list",
            folder.display(),
            missing.len(),
            hats::PARTITION_INFO,
            first.display()
        ));
    }
    Ok(missing)
}

/// The name of a file of its own: that of the file, with the tables that the path chooses before the
/// extension (`a.X.parquet`).
fn relative_name(path: &Path) -> String {
    let table::Location { file, tables } = table::Location::parse(path);
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if tables.is_empty() {
        return name;
    }
    let chosen = tables.join("+").replace(['/', '\\'], "_");
    let plain = as_parquet(&name);
    format!("{}.{chosen}.parquet", plain.strip_suffix(".parquet").unwrap_or(&plain))
}

/// Whether the name is that of a table, also where it is not UTF-8. JSON beside tables is rarely one: such
/// files are read where they are named.
fn is_table(path: &Path) -> bool {
    Format::from_extension(path).is_some_and(|format| format != Format::Json)
}

/// Whether it is a folder that `photosphere fit` has filled: its catalogues are no observations.
fn is_output_of_a_run(entry: &DirEntry) -> bool {
    let is_output = entry.file_type().is_dir() && RunFolder::new(entry.path()).manifest().is_file();
    if is_output {
        warn_once(format!("{}: passed over, the output folder of a run", entry.path().display()));
    }
    is_output
}

fn not_utf8(path: &Path) -> Unlisted {
    let error = Error::data(path.display().to_string())
        .found("a name that is not UTF-8")
        .expected("one that can be the name of a catalogue")
        .remedy("Rename the file.");
    Unlisted { path: path.to_owned(), error }
}

/// What could not be looked at below `folder`; nothing where it is a link to a folder above it, which is only
/// said.
///
/// # Errors
/// When it is `folder` itself.
fn unlisted(folder: &Path, error: walkdir::Error) -> Result<Option<Unlisted>> {
    let path = error.path().unwrap_or(folder).to_owned();
    if let Some(above) = error.loop_ancestor() {
        warn_once(format!("{}: passed over, a link to {}, which holds it", path.display(), above.display()));
        return Ok(None);
    }
    let is_top = error.depth() == 0;
    let error = Error::data(path.display().to_string())
        .found(format!("something that cannot be looked at ({error})"))
        .expected("folders and files that may be read")
        .remedy("Allow reading it, mend or remove the link, or name the files one by one.")
        .source(error);
    if is_top { Err(error) } else { Ok(Some(Unlisted { path, error })) }
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

    /// A partition that the catalogue's own list has, and that fails when its turn comes.
    #[test]
    fn pixels_that_are_listed_and_missing_are_partitions() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["dataset/Norder=0/Dir=0/Npix=3.parquet", "dataset/Norder=1/Dir=0/Npix=47.parquet"]);
        std::fs::write(folder.path().join("partition_info.csv"), "Norder,Npix\n0,3\n0,7\n1,47\n").unwrap();
        let all = [3, 7].map(|pixel| format!("dataset/Norder=0/Dir=0/Npix={pixel}.parquet"));
        let survey = Survey::of(&[folder.path().into()]).unwrap();
        let found: Vec<&str> = survey.partitions.iter().map(|partition| partition.name.as_str()).collect();
        assert_eq!(found, [all[0].as_str(), "dataset/Norder=1/Dir=0/Npix=47.parquet", all[1].as_str()]);
        assert!(!survey.partitions[2].input.exists());
        assert!(crate::warning::said().iter().any(|text| text.contains("1 of the pixels") && text.contains("Npix=7.parquet")));
    }

    #[test]
    fn files_are_named_after_their_inputs() {
        assert_eq!(names(&["x/a.csv.gz".into(), "b.c.fits".into()]), ["a.parquet", "b.c.parquet"]);
        let error = Survey::of(&["a.fits".into(), "y/a.csv".into()]).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("a.parquet"), "{error}");
    }

    #[test]
    fn lists_may_begin_with_a_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        std::fs::write(&list, "\u{feff}a.fits\n# b.fits\n").unwrap();
        assert_eq!(names(&[format!("@{}", list.display()).into()]), ["a.parquet"]);
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
        let same = |argument: PathBuf| {
            let found = Survey::of(&[argument]).unwrap();
            assert_eq!((found.partitions, found.hats), (survey.partitions.clone(), survey.hats.clone()));
        };
        same(folder.path().join("dataset"));
        let list = folder.path().join("list.txt");
        let lines: Vec<String> = pixels.iter().map(|name| folder.path().join(name).display().to_string()).collect();
        std::fs::write(&list, format!("# pixels\n\n{}\n", lines.join("\n"))).unwrap();
        same(format!("@{}", list.display()).into());
    }

    #[test]
    fn chosen_tables_are_partitions_of_their_own() {
        assert_eq!(
            names(&["x/a.fits.gz[RVTAB+FIBERMAP]".into(), "x/a.fits.gz".into()]),
            ["a.RVTAB+FIBERMAP.parquet", "a.parquet"]
        );
        assert_eq!(names(&["x/a.fits[../1]".into()]), ["a..._1.parquet"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_listed_does_not_stop_the_others() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["a.fits", "b/c.fits", "run/.photosphere/run.json", "run/a.parquet"]);
        std::os::unix::fs::symlink("..", folder.path().join("b/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("b/dangling.fits")).unwrap();
        std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.fits")), "").unwrap();
        let survey = Survey::of(&[folder.path().into()]).unwrap();
        assert_eq!(
            survey.partitions.iter().map(|partition| partition.name.as_str()).collect::<Vec<_>>(),
            ["a.parquet", "b/c.parquet"]
        );
        let mut errors: Vec<String> = survey.unlisted.iter().map(|unlisted| unlisted.error.to_string()).collect();
        errors.sort();
        assert!(errors.len() == 2 && errors[0].contains("dangling.fits") && errors[1].contains("not UTF-8"), "{errors:?}");
        assert!(expand(&[folder.path().into()]).is_err(), "one catalogue of all has to have all");
    }
}
