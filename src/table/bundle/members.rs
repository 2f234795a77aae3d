//! The members of an archive that are tables, and their contents one after the other.

use crate::error::{Error, Result};
use crate::table::{Format, Location, limits};
use crate::warning::warn_once;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::PathBuf;
use zip::ZipArchive;
use zip::result::ZipError;

/// Names that messages list.
const SHOWN: usize = 5;

/// A member that is a table.
#[derive(Debug, Clone)]
pub(super) struct Member {
    index: usize,
    pub name: String,
    format: Format,
}

/// An open archive.
pub(super) struct Archive {
    pub path: PathBuf,
    /// In the order of their names.
    pub members: Vec<Member>,
    archive: ZipArchive<BufReader<File>>,
    /// Bytes of the archive, and those that its members have become so far.
    n_bytes: u64,
    n_expanded: u64,
    folder: tempfile::TempDir,
}

impl Archive {
    /// Opens an archive and lists its tables; what is none is passed over with a warning.
    ///
    /// # Errors
    /// When it cannot be read, has a name twice, or holds no table that is wanted.
    pub fn open(location: &Location) -> Result<Self> {
        let path = location.file.clone();
        let reading = |error| Error::reading(&path, error);
        let file = File::open(&path).map_err(reading)?;
        let n_bytes = file.metadata().map_err(reading)?.len();
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(path.display().to_string(), error))?;
        if archive.has_duplicate_names() {
            return Err(Error::data(path.display().to_string())
                .found("two members of the same name")
                .expected("distinct names")
                .remedy("Unpack the archive, and read the files."));
        }
        let (mut members, mut others) = (Vec::new(), Vec::new());
        let mut n_compressed = 0_u64;
        for index in 0..archive.len() {
            let member = archive.by_index_raw(index).map_err(|error| damaged(path.display().to_string(), error))?;
            n_compressed = n_compressed.saturating_add(member.compressed_size());
            let name = String::from_utf8_lossy(member.name_raw()).into_owned();
            let is_hidden = name.split('/').any(|part| part.starts_with('.') && part != "..") || name.starts_with("__MACOSX/");
            if member.is_dir() || is_hidden {
                continue;
            }
            match Format::from_extension(std::path::Path::new(&name)) {
                Some(format) if format != Format::Bundle => members.push(Member { index, name, format }),
                _ => others.push(name),
            }
        }
        if n_compressed > n_bytes {
            return Err(Error::data(path.display().to_string())
                .found(format!("members of {n_compressed} compressed bytes in {n_bytes}, so that some share their content"))
                .expected("members of their own")
                .remedy("Do not trust the archive: it is made to grow."));
        }
        if !others.is_empty() {
            warn_once(format!("{}: members that are no tables are passed over ({})", path.display(), listed(&others)));
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let all: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let parts = &location.tables;
        members.retain(|member| parts.is_empty() || parts.iter().any(|part| member.name.contains(part.as_str())));
        if members.is_empty() {
            let (found, expected) = match (all.is_empty(), parts.is_empty()) {
                (true, _) => ("no tables in it".to_owned(), "members such as .csv, .ecsv, .fits, .xml or .parquet".to_owned()),
                _ => {
                    (format!("the members {}", listed(&all)), format!("members in whose names '{}' stands", parts.join("' or '")))
                }
            };
            return Err(Error::data(path.display().to_string())
                .found(found)
                .expected(expected)
                .remedy("Name another archive, or another part of the members' names between the brackets."));
        }
        let prefix: String =
            path.file_name().unwrap_or_default().to_string_lossy().chars().filter(|c| c.is_alphanumeric()).take(40).collect();
        let folder = tempfile::Builder::new().prefix(&format!("{prefix}-")).tempdir().map_err(|error| {
            Error::reading(&path, error)
                .expected("a folder for temporary files")
                .remedy("Set TMPDIR to a folder with space left.")
        })?;
        Ok(Self { path, members, archive, n_bytes, n_expanded: 0, folder })
    }

    /// Writes the content of a member to a temporary file, which takes the place of the last member's.
    ///
    /// # Errors
    /// When it is damaged, encrypted, compressed by another method than DEFLATE, or becomes too large.
    pub fn extract(&mut self, member: &Member) -> Result<PathBuf> {
        let place = || format!("{}, member '{}'", self.path.display(), member.name);
        let to = self.folder.path().join(match member.format {
            Format::Parquet => "member.parquet",
            Format::Fits => "member.fits",
            Format::Csv | Format::Bundle => "member.csv",
            Format::Ecsv => "member.ecsv",
            Format::VoTable => "member.xml",
            Format::Hdf5 => "member.h5",
            Format::Json => "member.json",
        });
        let content = self.archive.by_index(member.index).map_err(|error| damaged(place(), error))?;
        let left = limits::allowed(self.n_bytes).saturating_sub(self.n_expanded);
        let reading = |error: std::io::Error| {
            Error::data(place())
                .found(format!("a read error ({error})"))
                .expected("a whole member")
                .remedy("Download the archive again; the folder of temporary files (TMPDIR) must have space left.")
                .source(error)
        };
        // Writing over a file makes ext4 put it on the disk at once, 2 ms each; a new one is never written
        // there.
        std::fs::remove_file(&to)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(reading)?;
        #[expect(clippy::disallowed_methods, reason = "a file in a temporary folder of our own")]
        let mut file = File::create_new(&to).map_err(reading)?;
        let n_written = std::io::copy(&mut content.take(left.saturating_add(1)), &mut file).map_err(reading)?;
        self.n_expanded = self.n_expanded.saturating_add(n_written);
        limits::check(&self.path, self.n_bytes, self.n_expanded)?;
        Ok(to)
    }
}

/// The first names of many.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn damaged(place: String, error: ZipError) -> Error {
    Error::data(place)
        .found(format!("a read error ({error})"))
        .expected("a whole zip archive, stored or with DEFLATE, without a password")
        .remedy("If it is truncated, download it again; else unpack it, and read the files.")
        .source(error)
}
