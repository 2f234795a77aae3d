//! The reading side of a fit: files to observations, in a thread that runs ahead of the engine.

use crate::cli::prepare::log_notes;
use crate::error::Result;
use crate::observations::{Grid, Observations, ReadOptions};
use crate::prefetch::prefetch;
use crate::run::identifiers::Identifiers;
use crate::run::shard::Shard;
use crate::survey::prepare::Summary;
use crate::survey::xp::refuse_epoch_spectra;
use crate::survey::{Source, SourceChunk, SourceReader, Stars};
use crate::table::{Chunks, Column, Table, read_chunks};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Stars read at once (about 30 kB each with XP covariances): columns that are small enough for the allocator
/// to use their memory again. Those of 8192 are new pages for every batch, which took a sixth of the
/// processor time of a fit; those of 2048 still were for a twentieth of it. Not of the number of threads, on
/// which pages of Parquet files would depend.
const ROWS: usize = 1024;
/// Stars read at once for an accelerator.
const ROWS_OF_A_DEVICE: usize = 8192;

/// What is read, and how.
pub struct Input {
    pub paths: Vec<PathBuf>,
    pub shard: Option<Shard>,
    /// For raw files of a survey.
    pub source: Option<Arc<dyn Source>>,
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

impl Input {
    /// The stars, in the order of files and rows; the iterator ends after an error (a star that occurs twice
    /// is one, in any of the files and whether or not the shard takes it). The next batch is read, prepared
    /// and whitened while the consumer works on one. What the preparation did goes to `summary` at the end.
    pub fn batches(self, summary: SharedSummary) -> Box<dyn Iterator<Item = Result<Batch>> + Send> {
        let reader = Reader {
            paths: self.paths.into_iter().peekable(),
            file: None,
            stars: Wanted { identifiers: Identifiers::default(), shard: self.shard },
            n_read: 0,
            raw: self.source.as_deref().map(Source::reader),
            source: self.source,
            options: self.options,
            rows: if self.on_cpu { ROWS } else { ROWS_OF_A_DEVICE },
            accepted: self.accepted,
            ended: false,
            summary,
        };
        prefetch(reader, 1)
    }
}

struct Reader {
    paths: Peekable<std::vec::IntoIter<PathBuf>>,
    file: Option<OpenFile>,
    stars: Wanted,
    n_read: usize,
    source: Option<Arc<dyn Source>>,
    /// Of the source.
    raw: Option<Box<dyn SourceReader>>,
    options: ReadOptions,
    rows: usize,
    accepted: Option<Grid>,
    ended: bool,
    summary: SharedSummary,
}

/// The stars of a shard; every star once, whether or not it is one of them.
struct Wanted {
    /// Those of all rows so far.
    identifiers: Identifiers,
    shard: Option<Shard>,
}

impl Stars for Wanted {
    fn note(&mut self, ids: &Column, file: &Path, first: usize) -> Result<()> {
        self.identifiers.add_column(ids, file, first).map(|_| ())
    }

    fn wants(&self, id: i64) -> bool {
        self.shard.is_none_or(|shard| shard.contains(id))
    }
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

/// A file of observations that is being read.
struct OpenFile {
    path: PathBuf,
    chunks: Chunks,
    n_rows: usize,
}

impl Reader {
    /// The next stars as rows of observations; `None` after the last file.
    fn chunk(&mut self) -> Result<Option<SourceChunk>> {
        loop {
            if let Some(mut file) = self.file.take()
                && let Some(table) = file.chunks.next().transpose()?
            {
                let chunk = self.observations(&mut file, table)?;
                self.file = Some(file);
                return Ok(Some(chunk));
            }
            if let Some(chunk) = self.raw_chunk()? {
                return Ok(Some(chunk));
            }
            let Some(path) = self.paths.next() else { return Ok(None) };
            self.file = Some(OpenFile { chunks: read_chunks(&path, self.rows)?, path, n_rows: 0 });
        }
    }

    /// The next stars of raw files, as long as these follow one another.
    fn raw_chunk(&mut self) -> Result<Option<SourceChunk>> {
        let (Some(source), Some(raw)) = (&self.source, &mut self.raw) else { return Ok(None) };
        raw.next(&mut || self.paths.next_if(|path| source.takes(path).unwrap_or(false)), &mut self.stars)
    }

    /// Rows of a file of observations.
    fn observations(&mut self, file: &mut OpenFile, mut table: Table) -> Result<SourceChunk> {
        let (first, n_read) = (file.n_rows, table.n_rows());
        self.stars.identifiers.add(&table, &file.path, first)?;
        file.n_rows += n_read;
        let place = format!("{}, rows {first}\u{2013}{}", file.path.display(), file.n_rows.saturating_sub(1));
        if let Some(shard) = self.stars.shard {
            table = shard.select(table)?;
        }
        let names = table.columns().iter().map(|column| column.schema.name.as_str());
        refuse_epoch_spectra(names).map_err(|error| error.within(&place))?;
        Ok(SourceChunk { file: file.path.clone(), place, n_read, table })
    }

    fn batch(&mut self) -> Result<Option<Batch>> {
        let Some(SourceChunk { file, place, n_read, table }) = self.chunk()? else { return Ok(None) };
        self.n_read += n_read;
        let file = file.display().to_string();
        let mut observations = Observations::from_table_of(&file, table, &self.options).map_err(|error| error.within(&place))?;
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
            && let Some(raw) = self.raw.take()
        {
            let summary = raw.summary();
            log_notes(&summary);
            self.summary.put(summary);
        }
        batch
    }
}
