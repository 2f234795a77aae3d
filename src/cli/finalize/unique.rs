//! Whether every star is there once, in bounded memory: identifiers are strewn over files by their hash, and
//! each file, which has all occurrences of its identifiers, is sorted alone.

use crate::error::{Error, Result};
use crate::observations::hash64;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Files of identifiers: for 2·10⁸ stars, one holds 3·10⁶, which take 50 MB.
const N_FILES: usize = 64;
/// Bytes of an identifier and of the number of its partition.
const RECORD: usize = 12;
/// Seed of the hash.
const SEED: u64 = 2;

/// Identifiers with the numbers of their partitions.
pub struct Identifiers {
    folder: PathBuf,
    files: Vec<BufWriter<File>>,
}

/// An identifier that occurs twice, and in which partitions.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeated {
    pub id: i64,
    pub partitions: [u32; 2],
}

impl Identifiers {
    /// No identifiers yet; they will be kept on the disk of `folder` in files without names, which end with
    /// the process.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn new(folder: &Path) -> Result<Self> {
        let file = |_| tempfile::tempfile_in(folder).map(BufWriter::new);
        let files = (0..N_FILES).map(file).collect::<std::io::Result<_>>().map_err(|error| Error::writing(folder, error))?;
        Ok(Self { folder: folder.to_owned(), files })
    }

    /// Adds identifiers of a partition.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&mut self, partition: u32, ids: &[i64]) -> Result<()> {
        for id in ids {
            let file = &mut self.files[(hash64(*id, SEED) % N_FILES as u64) as usize];
            let written = file.write_all(&id.to_le_bytes()).and_then(|()| file.write_all(&partition.to_le_bytes()));
            written.map_err(|error| Error::writing(&self.folder, error))?;
        }
        Ok(())
    }

    /// The first identifier that occurs twice, if any does.
    ///
    /// # Errors
    /// When the files cannot be written to their end and read again.
    pub fn repeated(self) -> Result<Option<Repeated>> {
        for file in self.files {
            let mut records = records(file).map_err(|error| Error::writing(&self.folder, error))?;
            records.sort_unstable();
            if let Some(pair) = records.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Ok(Some(Repeated { id: pair[0].0, partitions: [pair[0].1, pair[1].1] }));
            }
        }
        Ok(None)
    }
}

fn records(file: BufWriter<File>) -> std::io::Result<Vec<(i64, u32)>> {
    let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    let n_records = file.stream_position()? as usize / RECORD;
    file.rewind()?;
    let mut reader = BufReader::new(file);
    let (mut id, mut partition) = ([0; 8], [0; 4]);
    let mut record = || {
        reader.read_exact(&mut id)?;
        reader.read_exact(&mut partition)?;
        Ok((i64::from_le_bytes(id), u32::from_le_bytes(partition)))
    };
    (0..n_records).map(|_| record()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repetition_among_many() {
        let folder = tempfile::tempdir().unwrap();
        let ids = |partition: i64| (0..5000).map(|star| (star << 35) + partition).collect::<Vec<_>>();
        let mut all = Identifiers::new(folder.path()).unwrap();
        (0..3).for_each(|partition| all.add(partition, &ids(partition.into())).unwrap());
        assert_eq!(all.repeated().unwrap(), None);
        let mut all = Identifiers::new(folder.path()).unwrap();
        (0..3).for_each(|partition| all.add(partition, &ids(partition.into())).unwrap());
        all.add(1, &[77 << 35]).unwrap();
        assert_eq!(all.repeated().unwrap(), Some(Repeated { id: 77 << 35, partitions: [0, 1] }));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
