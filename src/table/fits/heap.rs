//! Lists of varying length: the rows hold their lengths and where they begin in the heap.

use super::form::{Code, Storage};
use super::source::Source;
use crate::error::Result;

/// Bytes read ahead where lists follow one another.
const AHEAD: u64 = 1 << 20;
/// Bytes read at once where they do not.
const ALONE: u64 = 1 << 12;
/// Bytes between two lists that still follow one another.
const NEAR: u64 = 1 << 14;

/// Length and place of a list, as a row holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Elements.
    pub count: u64,
    /// Bytes from the start of the heap.
    pub offset: u64,
}

impl Descriptor {
    /// The descriptor in a cell; an empty list where the cell is empty. Negative numbers become impossibly
    /// large ones.
    pub fn read(cell: &[u8], storage: Storage) -> Self {
        let (count, offset) = match (storage, cell.as_chunks::<4>().0, cell.as_chunks::<8>().0) {
            (Storage::Heap32, [count, offset], _) => {
                (i64::from(i32::from_be_bytes(*count)) as u64, i64::from(i32::from_be_bytes(*offset)) as u64)
            }
            (Storage::Heap64, _, [count, offset]) => (u64::from_be_bytes(*count), u64::from_be_bytes(*offset)),
            _ => (0, 0),
        };
        Self { count, offset }
    }

    /// Bytes of the list, where they lie within a heap of `heap_bytes` bytes.
    pub fn bytes(self, code: Code, heap_bytes: u64) -> Option<usize> {
        if self.count == 0 {
            return Some(0);
        }
        let bytes = code.bytes(usize::try_from(self.count).ok()?)?;
        (self.offset.checked_add(bytes as u64)? <= heap_bytes).then_some(bytes)
    }
}

/// A part of the heap in memory; one for every column, since the lists of a column follow one another in most
/// files.
#[derive(Debug, Default)]
pub(super) struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The `length` bytes from byte `start` of the file on, which end before `end`.
    ///
    /// # Errors
    /// When the file ends before, or cannot be read.
    pub fn get(&mut self, source: &Source, start: u64, length: usize, end: u64) -> Result<&[u8]> {
        if length == 0 {
            return Ok(&[]);
        }
        let held = self.start + self.bytes.len() as u64;
        if start < self.start || start + length as u64 > held {
            let follows = start >= self.start && start <= held + NEAR;
            let ahead = if follows { AHEAD } else { ALONE };
            let wanted = ahead.max(length as u64).min(end.saturating_sub(start)).max(length as u64);
            self.bytes.resize(wanted as usize, 0);
            self.start = start;
            if let Err(error) = source.read_at(start, &mut self.bytes) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let first = (start - self.start) as usize;
        Ok(&self.bytes[first..first + length])
    }
}
