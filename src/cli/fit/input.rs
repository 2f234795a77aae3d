//! The reading side of a fit: files to observations, in a thread that runs ahead of the engine.

use crate::cli::prepare::log_notes;
use crate::error::Result;
use crate::observations::{Grid, Observations, ReadOptions};
use crate::prefetch::prefetch;
use crate::run::identifiers::Identifiers;
use crate::run::shard::Shard;
use crate::survey::prepare::{Preparation, Summary};
use crate::survey::xp::{ColumnMap, SpectrumKind, columns_of_spectra, refuse_epoch_spectra};
use crate::table::{Chunks, Table, read_chunks, read_schema};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Stars read at once (about 30 kB each with XP covariances): columns that are small enough for the allocator to use their memory again. Those of 8192
/// are new pages for every batch, which took a sixth of the processor time of a fit. Not of the number of threads, on which pages of Parquet files would depend.
const ROWS: usize = 2048;
/// Stars read at once for an accelerator.
const ROWS_OF_A_DEVICE: usize = 8192;
/// Stars of raw XP files read at once (up to 60 kB each until they are prepared).
const RAW_ROWS: usize = 2048;

/// What is read, and how.
pub struct Input {
    pub paths: Vec<PathBuf>,
    pub shard: Option<Shard>,
    /// For raw XP files.
    pub preparation: Option<Preparation>,
    pub options: ReadOptions,
    /// Whether the stars are fitted on a processor.
    pub on_cpu: bool,
    /// The model's data vector, where XP samples of another instrument pass for the model's.
    pub accepted: Option<Grid>,
}

/// Stars that follow one another in a file; none where a shard takes none of the rows.
pub struct Batch {
    /// File and rows, for messages.
    pub place: String,
    /// Rows of all files that have been read so far, those of other shards included.
    pub n_read: usize,
    pub observations: Observations,
    /// The instrument of the XP samples, where it is not the model's.
    pub other_instrument: Option<String>,
}

/// Whether a file holds XP spectra as coefficients, in columns of the archive's names or those of a recipe's map.
///
/// # Errors
/// When it cannot be read.
pub fn is_raw(path: &Path, columns: &ColumnMap) -> Result<bool> {
    let schemas = read_schema(path)?;
    Ok(columns_of_spectra(&schemas, columns).is_some_and(|(kind, _)| kind == SpectrumKind::Continuous))
}

impl Input {
    /// The stars, in the order of files and rows; the iterator ends after an error (a star that occurs twice is one, in any of the
    /// files and whether or not the shard takes it). The next batch is read, prepared and whitened while the consumer works on one.
    /// What the preparation did goes to `summary` at the end.
    pub fn batches(self, summary: SharedSummary) -> Box<dyn Iterator<Item = Result<Batch>> + Send> {
        let paths = self.paths.into_iter();
        let reader = Reader {
            paths,
            file: None,
            identifiers: Identifiers::default(),
            n_read: 0,
            shard: self.shard,
            preparation: self.preparation,
            options: self.options,
            rows: if self.on_cpu { ROWS } else { ROWS_OF_A_DEVICE },
            accepted: self.accepted,
            last: String::new(),
            ended: false,
            summary,
        };
        prefetch(reader, 1)
    }
}

struct Reader {
    paths: std::vec::IntoIter<PathBuf>,
    file: Option<OpenFile>,
    /// Those of all rows so far.
    identifiers: Identifiers,
    n_read: usize,
    shard: Option<Shard>,
    preparation: Option<Preparation>,
    options: ReadOptions,
    rows: usize,
    accepted: Option<Grid>,
    /// The place of the last chunk, for messages.
    last: String,
    ended: bool,
    summary: SharedSummary,
}

/// What a preparation did, for both threads; nothing where there was none, or it has not come to its end.
#[derive(Clone, Default)]
pub struct SharedSummary(Arc<Mutex<Option<Summary>>>);

impl SharedSummary {
    /// What is known, once.
    pub fn take(&self) -> Option<Summary> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, summary: Summary) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary);
    }
}

/// A file that is being read.
struct OpenFile {
    path: PathBuf,
    chunks: Chunks,
    is_raw: bool,
    n_rows: usize,
}

/// Rows of a file.
struct Chunk {
    table: Table,
    file: String,
    /// The file and its rows.
    place: String,
    is_raw: bool,
}

impl Reader {
    fn open(&self, path: PathBuf) -> Result<OpenFile> {
        let takes = |preparation: &&Preparation| read_schema(&path).is_ok_and(|schemas| preparation.takes(&schemas));
        let raw = self.preparation.as_ref().filter(takes);
        let chunks = match raw {
            Some(preparation) => preparation.read_chunks(&path, RAW_ROWS)?,
            None => read_chunks(&path, self.rows)?,
        };
        Ok(OpenFile { is_raw: raw.is_some(), path, chunks, n_rows: 0 })
    }

    /// The next chunk and where it is from; `None` after the last file.
    fn chunk(&mut self) -> Result<Option<Chunk>> {
        loop {
            let file = match &mut self.file {
                Some(file) => file,
                None => match self.paths.next() {
                    Some(path) => {
                        let file = self.open(path)?;
                        self.file.insert(file)
                    }
                    None => return Ok(None),
                },
            };
            if let Some(chunk) = file.chunks.next().transpose()? {
                let first = file.n_rows;
                self.identifiers.add(&chunk, &file.path, first)?;
                file.n_rows += chunk.n_rows();
                self.n_read += chunk.n_rows();
                let place = format!("{}, rows {first}\u{2013}{}", file.path.display(), file.n_rows.saturating_sub(1));
                let file_name = file.path.display().to_string();
                return Ok(Some(Chunk { table: chunk, file: file_name, place, is_raw: file.is_raw }));
            }
            self.file = None;
        }
    }

    fn batch(&mut self) -> Result<Option<Batch>> {
        let Some(Chunk { table: mut chunk, file, place, is_raw }) = self.chunk()? else { return Ok(None) };
        self.last.clone_from(&place);
        if let Some(shard) = self.shard {
            chunk = shard.select(chunk)?;
        }
        let observations = match self.preparation.as_mut().filter(|_| is_raw) {
            Some(preparation) => preparation.chunk(chunk),
            None => refuse_epoch_spectra(chunk.columns().iter().map(|column| column.schema.name.as_str())).map(|()| chunk),
        };
        let observations = observations.and_then(|table| Observations::from_table_of(&file, table, &self.options));
        let mut observations = observations.map_err(|error| error.within(&place))?;
        let mut other_instrument = None;
        if let Some(model) = self.accepted.as_ref().filter(|model| !model.has_instrument_of(&observations.grid)) {
            other_instrument = Some(observations.grid.instrument.take().unwrap_or_default());
            observations.grid.instrument.clone_from(&model.instrument);
        }
        Ok(Some(Batch { observations, other_instrument, n_read: self.n_read, place }))
    }
}

impl Iterator for Reader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.ended {
            return None;
        }
        let batch = self.batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        if batch.is_none()
            && let Some(preparation) = self.preparation.take()
        {
            let usable = preparation.require_usable();
            let summary = preparation.finish();
            log_notes(&summary);
            self.summary.put(summary);
            return usable.err().map(|error| Err(error.within(&self.last)));
        }
        batch
    }
}
