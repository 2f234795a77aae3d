//! The rows of one table, in order: read whole in blocks, summed for DATASUM as they pass, and taken apart by
//! column.

use super::checksum::Sum;
use super::decode::{Fault, Growing};
use super::form::Storage;
use super::heap::{Descriptor, Window};
use super::layout::{BinaryTable, Decoder};
use super::source::Source;
use crate::error::{Error, Result};
use crate::table::{Column, ColumnSchema, Unheld, ValueType, limits};
use crate::warning::warn_once;
use std::sync::Arc;

/// Bytes of rows read at once.
const BLOCK: usize = 1 << 20;

/// A column that is wanted.
struct Wanted {
    schema: ColumnSchema,
    decoder: Decoder,
    window: Window,
}

/// Reads the rows of a table from the first on.
pub(super) struct Rows {
    source: Arc<Source>,
    table: BinaryTable,
    wanted: Vec<Wanted>,
    next: usize,
    buffer: Vec<u8>,
    sum: Option<Sum>,
    /// Bytes in memory of the lists read so far.
    heap_taken: u64,
}

impl Rows {
    /// Prepares reading the columns at these positions.
    ///
    /// # Errors
    /// As [`BinaryTable::decoder`].
    pub fn new(source: Arc<Source>, table: BinaryTable, positions: &[usize]) -> Result<Self> {
        let wanted = |&position: &usize| {
            let field = &table.fields[position];
            Ok(Wanted { schema: field.schema.clone(), decoder: table.decoder(field)?, window: Window::default() })
        };
        let wanted = positions.iter().map(wanted).collect::<Result<Vec<_>>>()?;
        let sum = (table.declared.is_present() && !wanted.is_empty()).then(Sum::default);
        Ok(Self { source, table, wanted, next: 0, buffer: Vec::new(), sum, heap_taken: 0 })
    }

    /// The wanted columns of the next `rows` rows, which the table must have. With the last row the sum of
    /// the data is compared.
    ///
    /// # Errors
    /// When the file cannot be read, lists lie outside the heap or take more memory
    /// than the file accounts for, or the data are not those of DATASUM.
    pub fn read(&mut self, rows: usize) -> Result<Vec<Column>> {
        let first = self.next;
        let mut columns: Vec<Growing> = self.wanted.iter().map(|wanted| Growing::new(wanted.decoder, rows)).collect();
        let width = self.table.row_bytes;
        let rows_per_block = BLOCK.checked_div(width).unwrap_or(rows).max(1);
        let end = first + if self.wanted.is_empty() { 0 } else { rows };
        while self.next < end {
            let n = rows_per_block.min(end - self.next);
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(n * width, 0);
            let start = self.table.data + (self.next * width) as u64;
            self.source.read_at(start, &mut buffer)?;
            if let Some(sum) = &mut self.sum {
                sum.add(&buffer);
            }
            for (i, column) in columns.iter_mut().enumerate() {
                self.append(i, column, &buffer, n)?;
            }
            self.buffer = buffer;
            self.next += n;
        }
        self.next = first + rows;
        if self.next >= self.table.n_rows {
            self.check_sum()?;
        }
        let finish = |(column, wanted): (Growing, &Wanted)| {
            if column.is_latin {
                warn_once(format!(
                    "{}: it holds text that is not UTF-8; every byte is read as a character of Latin-1",
                    self.place(&wanted.schema)
                ));
            }
            let (column, fault) = column.finish(wanted.schema.clone(), rows);
            match fault {
                Some(fault) => column.with_unheld(self.unheld(first, &fault)),
                None => column,
            }
        };
        Ok(columns.into_iter().zip(&self.wanted).map(finish).collect())
    }

    /// Appends the cells of `n` rows in `buffer` to the `i`-th wanted column.
    fn append(&mut self, i: usize, column: &mut Growing, buffer: &[u8], n: usize) -> Result<()> {
        let decoder = self.wanted[i].decoder;
        let (width, offset) = (self.table.row_bytes, decoder.offset);
        let length = decoder.form.width().unwrap_or(0);
        let cells = (0..n).map(|row| &buffer[row * width + offset..row * width + offset + length]);
        if decoder.form.storage == Storage::Row {
            column.extend(cells, decoder.form.repeat);
            return Ok(());
        }
        let storage = decoder.form.storage;
        let descriptors: Vec<Descriptor> = cells.map(|cell| Descriptor::read(cell, storage)).collect();
        self.require_heap(i, &descriptors)?;
        for descriptor in descriptors {
            // The lengths have just been checked.
            let bytes = descriptor.bytes(decoder.form.code, self.table.heap_bytes).unwrap_or(0);
            let start = self.table.heap.saturating_add(descriptor.offset);
            let end = self.table.heap + self.table.heap_bytes;
            let list = self.wanted[i].window.get(&self.source, start, bytes, end)?;
            column.extend([list].into_iter(), descriptor.count as usize);
            column.end_list();
        }
        Ok(())
    }

    /// Refuses lists outside the heap, and lists that share it so often that they would fill the memory,
    /// before any is read.
    fn require_heap(&mut self, i: usize, descriptors: &[Descriptor]) -> Result<()> {
        let Wanted { schema, decoder, .. } = &self.wanted[i];
        let size = match decoder.column_type.values {
            ValueType::Bool | ValueType::Text => 1,
            ValueType::Int32 | ValueType::Float32 => 4,
            ValueType::Int64 | ValueType::Float64 => 8,
        };
        for (row, descriptor) in descriptors.iter().enumerate() {
            if descriptor.bytes(decoder.form.code, self.table.heap_bytes).is_none() {
                return Err(Error::data(format!("{}, row {}", self.place(schema), self.next + row))
                    .found(format!(
                        "a list of {} values at byte {} of the heap",
                        descriptor.count as i64, descriptor.offset as i64
                    ))
                    .expected(format!("lists within the heap of {} bytes", self.table.heap_bytes))
                    .remedy("The file is damaged: copy or download it again."));
            }
            self.heap_taken = self.heap_taken.saturating_add(descriptor.count.saturating_mul(size));
        }
        if self.heap_taken > limits::allowed(self.source.length()) {
            return Err(Error::data(self.place(schema))
                .found(format!(
                    "lists that share a heap of {} bytes and become {} bytes or more",
                    self.table.heap_bytes, self.heap_taken
                ))
                .expected(format!(
                    "at most {} bytes from a file of {}",
                    limits::allowed(self.source.length()),
                    self.source.length()
                ))
                .remedy("If the file is to be trusted, give --max-expansion with a larger number."));
        }
        Ok(())
    }

    fn check_sum(&mut self) -> Result<()> {
        let Some(mut sum) = self.sum.take() else { return Ok(()) };
        let mut next = self.table.data + (self.table.n_rows * self.table.row_bytes) as u64;
        let end = self.table.data + self.table.data_bytes;
        while next < end {
            self.buffer.resize((end - next).min(BLOCK as u64) as usize, 0);
            self.source.read_at(next, &mut self.buffer)?;
            sum.add(&self.buffer);
            next += self.buffer.len() as u64;
        }
        self.table.declared.check(sum.value())
    }

    fn place(&self, schema: &ColumnSchema) -> String {
        format!("{}, column '{}'", self.table.place.display(), schema.name)
    }

    /// What a column whose first row is row `first` of the table does not hold.
    fn unheld(&self, first: usize, fault: &Fault) -> Unheld {
        let place = |row: usize| format!("{}, row {}", self.table.place.display(), first + row);
        match *fault {
            Fault::Logical { row, byte } => Unheld {
                place: place(row),
                found: format!("the byte {byte} in a column of booleans"),
                expected: "T, F, or 0 for null".to_owned(),
                remedy: "The file is damaged or was written wrongly: write the column again.".to_owned(),
            },
            Fault::TooLarge { row, value } => Unheld::too_large(place(row), value.to_string()),
            Fault::NullInList { row } => Unheld::null_in_list(place(row), "a null (TNULL) inside the list"),
        }
    }
}
