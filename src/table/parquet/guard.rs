//! What the pages of a Parquet file declare, held against what its size allows before they are read: a page
//! of a few bytes may say that it becomes gigabytes, and a run of one value that it is two thousand million.

use super::thrift::PageHeader;
use crate::error::{Error, Result};
use crate::table::limits;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::collections::HashMap;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes read for a page header at first, and at most (statistics of long texts are part of it).
const HEADER: u64 = 4096;
const LONGEST_HEADER: u64 = 16 << 20;
/// Bytes that a page may become without being counted, whatever its codec.
const UNCOUNTED: u64 = 64 << 20;

/// A file whose pages are looked at before they are given to the decoder.
pub(super) struct Guarded<R> {
    file: R,
    pages: Arc<Pages>,
}

/// The wanted column chunks of a file, and what their pages hold at present.
pub(super) struct Pages {
    path: PathBuf,
    file_bytes: u64,
    /// By start.
    chunks: Vec<Chunk>,
    state: Mutex<State>,
}

/// The pages of one column in one row group.
struct Chunk {
    start: u64,
    end: u64,
    leaf: usize,
    codec: Compression,
    /// Bytes in memory of a value with its levels.
    value_bytes: u64,
}

#[derive(Default)]
struct State {
    /// Bytes of the values of the pages that were begun for the current batch.
    batch: u64,
    /// By column: what is known of its pages.
    columns: HashMap<usize, Column>,
    /// Bytes in memory of all dictionaries and current pages.
    held: u64,
    refused: Option<Error>,
}

#[derive(Default)]
struct Column {
    next_header: u64,
    /// Where the bytes of the current page start, and its header.
    page: Option<(u64, PageHeader)>,
    /// Bytes in memory of the dictionary and of the current page.
    dictionary: u64,
    current: u64,
}

impl Pages {
    /// The chunks of these leaf columns.
    pub fn new(path: &Path, file_bytes: u64, metadata: &ParquetMetaData, leaves: &[usize]) -> Arc<Self> {
        let chunk = |leaf: usize, group: usize| {
            let column = metadata.row_group(group).column(leaf);
            let (offset, length) = match column.dictionary_page_offset() {
                Some(offset) => (offset, column.compressed_size()),
                None => (column.data_page_offset(), column.compressed_size()),
            };
            let (start, length) = (u64::try_from(offset).ok()?, u64::try_from(length).ok()?);
            Some(Chunk {
                start,
                end: start.checked_add(length)?,
                leaf,
                codec: column.compression(),
                value_bytes: value_bytes(column.column_type()) + level_bytes(metadata, leaf),
            })
        };
        let groups = 0..metadata.num_row_groups();
        let mut chunks: Vec<Chunk> = groups.flat_map(|group| leaves.iter().filter_map(move |&leaf| chunk(leaf, group))).collect();
        chunks.sort_by_key(|chunk| chunk.start);
        Arc::new(Self { path: path.to_owned(), file_bytes, chunks, state: Mutex::default() })
    }

    /// To be called before every batch.
    pub fn begin_batch(&self) {
        self.lock().batch = 0;
    }

    /// Why the pages were refused, if they were.
    pub fn refusal(&self) -> Option<Error> {
        self.lock().refused.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunk_of(&self, position: u64) -> Option<&Chunk> {
        let after = self.chunks.partition_point(|chunk| chunk.start <= position);
        self.chunks[..after].last().filter(|chunk| position < chunk.end)
    }

    /// Whether the header of a page of `chunk` stands at `position`, rather than the page itself.
    fn is_header(&self, chunk: &Chunk, position: u64) -> bool {
        position == chunk.start || self.lock().columns.get(&chunk.leaf).is_some_and(|column| column.next_header == position)
    }

    /// Takes note of a page. An error is kept for [`Pages::refusal`].
    fn begin_page(&self, chunk: &Chunk, position: u64, header: PageHeader) -> std::result::Result<(), ParquetError> {
        let mut state = self.lock();
        let values = header.n_values.saturating_mul(chunk.value_bytes);
        let State { columns, held, batch, .. } = &mut *state;
        let column = columns.entry(chunk.leaf).or_default();
        let before = column.dictionary.saturating_add(column.current);
        let data = position.saturating_add(header.length);
        column.next_header = data.saturating_add(header.compressed);
        column.page = Some((data, header));
        if header.is_dictionary {
            column.dictionary = header.uncompressed.saturating_add(values);
        } else {
            if position == chunk.start {
                column.dictionary = 0;
            }
            column.current = header.uncompressed;
            *batch = batch.saturating_add(values);
        }
        // The sum over all columns, without going through them for every page of a table of very many.
        *held = held.saturating_sub(before).saturating_add(column.dictionary.saturating_add(column.current));
        let result = limits::check(&self.path, self.file_bytes, (*held).max(*batch));
        self.keep(&mut state, result)
    }

    /// Counts what a page becomes where its codec goes on for as long as there is something, whatever the
    /// header says.
    fn count(&self, chunk: &Chunk, position: u64, bytes: &Bytes) -> std::result::Result<(), ParquetError> {
        let ratio = match chunk.codec {
            Compression::GZIP(_) => 1032,
            Compression::LZ4 => 255,
            Compression::BROTLI(_) => u64::MAX,
            _ => return Ok(()),
        };
        let header = match self.lock().columns.get(&chunk.leaf).and_then(|column| column.page) {
            Some((start, header)) if start == position => header,
            _ => return Ok(()),
        };
        let n_plain = usize::try_from(header.n_plain).unwrap_or(usize::MAX).min(bytes.len());
        let compressed = &bytes[n_plain..];
        if (compressed.len() as u64).saturating_mul(ratio) <= UNCOUNTED {
            return Ok(());
        }
        let most = header.uncompressed.saturating_add(1);
        let n = match chunk.codec {
            Compression::GZIP(_) => expanded(MultiGzDecoder::new(compressed), most),
            Compression::BROTLI(_) => expanded(brotli::Decompressor::new(compressed, 1 << 16), most),
            _ => expanded(lz4_flex::frame::FrameDecoder::new(compressed), most),
        };
        if n < most {
            return Ok(());
        }
        let result = Err(Error::data(self.path.display().to_string())
            .found("a compressed page that becomes more bytes than it says")
            .expected(format!("{}", header.uncompressed))
            .remedy("The file is damaged: copy or download it again."));
        self.keep(&mut self.lock(), result)
    }

    fn keep(&self, state: &mut State, result: Result<()>) -> std::result::Result<(), ParquetError> {
        result.map_err(|error| {
            let text = error.to_string();
            state.refused = Some(error);
            ParquetError::General(text)
        })
    }
}

/// Bytes that a stream gives, counted up to `most`; what is damaged is left to the decoder.
fn expanded(stream: impl Read, most: u64) -> u64 {
    let mut stream = stream.take(most);
    let (mut buffer, mut n) = ([0; 1 << 14], 0);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        n += length as u64;
    }
    n
}

/// Bytes in memory of a value of a physical type, without the characters of texts.
pub(super) fn value_bytes(physical: Type) -> u64 {
    match physical {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => 24,
    }
}

/// Bytes of the levels that are decoded with every value: two for each kind of level that the column has.
fn level_bytes(metadata: &ParquetMetaData, leaf: usize) -> u64 {
    let column = metadata.file_metadata().schema_descr().column(leaf);
    if column.max_rep_level() > 0 { 4 } else { 0 }
}

impl<R: ChunkReader> Guarded<R> {
    pub fn new(file: R, pages: Arc<Pages>) -> Self {
        Self { file, pages }
    }
}

impl<R: ChunkReader> Length for Guarded<R> {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl<R: ChunkReader> ChunkReader for Guarded<R> {
    type T = io::Chain<Cursor<Vec<u8>>, R::T>;

    /// The decoder asks for a reader where a page header stands (and, without reading, where its page
    /// starts).
    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut read = self.file.get_read(start)?;
        let mut block = Vec::new();
        if let Some(chunk) = self.pages.chunk_of(start).filter(|chunk| self.pages.is_header(chunk, start)) {
            let mut most = HEADER;
            loop {
                let n_before = block.len();
                read.by_ref().take(most - n_before as u64).read_to_end(&mut block)?;
                if let Some(header) = PageHeader::parse(&block) {
                    self.pages.begin_page(chunk, start, header)?;
                    break;
                }
                if block.len() == n_before || most >= LONGEST_HEADER {
                    return Err(ParquetError::General("a damaged page header".to_owned()));
                }
                most *= 16;
            }
        }
        Ok(Cursor::new(block).chain(read))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.file.get_bytes(start, length)?;
        if let Some(chunk) = self.pages.chunk_of(start) {
            self.pages.count(chunk, start, &bytes)?;
        }
        Ok(bytes)
    }
}
