//! The first binary table of a FITS file to columns.

use super::cfitsio::{Element, FitsFile, Logical, RawType, Status};
use super::{astropy, cards};
use crate::error::{Error, Result};
use crate::table::builder::is_float;
use crate::table::format::is_gzip;
use crate::table::gzip;
use crate::table::read::{Chunks, assemble, positions, unsupported};
use crate::table::{Column, ColumnSchema, ColumnType, Layout, Location, Shape, Table, ValueType, Values};
use fitsio_sys as sys;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The columns' descriptions, from the header alone.
pub(in crate::table) fn schema(location: &Location) -> Result<Vec<ColumnSchema>> {
    let path = location.file.as_path();
    let (_, header) = open(path)?;
    (1..=header.n_columns).map(|column| header.column_schema(path, column)).collect()
}

/// Number of rows by the header.
pub(in crate::table) fn row_count(location: &Location) -> Result<usize> {
    Ok(open(&location.file)?.1.n_rows)
}

/// Tables of at most `rows` rows.
pub(in crate::table) fn chunks(location: &Location, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let path = location.file.as_path();
    let (mut file, header) = open(path)?;
    let schemas = (1..=header.n_columns).map(|column| header.column_schema(path, column)).collect::<Result<Vec<_>>>()?;
    let available: Vec<String> = schemas.iter().map(|schema| schema.name.clone()).collect();
    let columns = positions(path, &available, names)?
        .into_iter()
        .map(|i| Source::new(path, &mut file, i + 1, schemas[i].clone()))
        .collect::<Result<Vec<_>>>()?;
    let block = file.rows_per_block().map_err(|error| Error::reading(path, error))?;
    let metadata = header.metadata();
    let reader =
        Reader { path: path.to_owned(), file, columns, metadata, n_rows: header.n_rows, heap_bytes: header.heap_bytes, block };
    Ok(Box::new(RowRanges { reader, next: 0, rows, started: false }))
}

fn open(path: &Path) -> Result<(FitsFile, Header)> {
    let reading = |error: Status| Error::reading(path, error).expected("a FITS file with a binary table");
    let (mut file, n_bytes) = if is_gzip(path)? {
        let bytes = gzip::read_all(path)?;
        let n_bytes = bytes.len() as u64;
        (FitsFile::from_bytes(bytes).map_err(reading)?, n_bytes)
    } else {
        let n_bytes = std::fs::metadata(path).map_err(|error| Error::reading(path, error))?.len();
        (FitsFile::open(path).map_err(reading)?, n_bytes)
    };
    if !file.move_to_first_table().map_err(reading)? {
        return Err(Error::data(path.display().to_string()).found("no binary table in it").expected("a FITS binary table"));
    }
    let header = Header::parse(path, &file.cards().map_err(reading)?)?;
    let needed = file.data_start().map_err(reading)?.saturating_add(header.n_bytes);
    if n_bytes < needed {
        return Err(Error::data(path.display().to_string())
            .found(format!("{n_bytes} bytes"))
            .expected(format!("{needed}, as its header says"))
            .remedy("The file is truncated: copy or download it again."));
    }
    Ok((file, header))
}

/// What the header says.
struct Header {
    entries: Vec<(String, String)>,
    /// Columns of astropy's COMMENT block.
    described: Vec<ColumnSchema>,
    n_rows: usize,
    n_columns: usize,
    /// Bytes of rows and heap.
    n_bytes: u64,
    heap_bytes: u64,
}

impl Header {
    fn parse(path: &Path, lines: &[String]) -> Result<Self> {
        let entries = cards::parse(lines);
        let number = |keyword: &str| -> Result<u64> {
            let value = entries.iter().find(|(name, _)| name == keyword).map(|(_, value)| value.as_str());
            value.and_then(|value| value.parse().ok()).ok_or_else(|| {
                Error::data(format!("{}, header keyword {keyword}", path.display()))
                    .found(value.map_or("nothing".into(), |value| format!("'{value}'")))
                    .expected("a count")
            })
        };
        let (width, n_rows, heap_bytes) = (number("NAXIS1")?, number("NAXIS2")?, number("PCOUNT")?);
        let n_bytes = width.saturating_mul(n_rows).saturating_add(heap_bytes);
        let n_columns = number("TFIELDS")?.min(999) as usize;
        Ok(Self { n_rows: n_rows as usize, n_columns, n_bytes, heap_bytes, entries, described: astropy::parse(lines) })
    }

    fn column_schema(&self, path: &Path, column: usize) -> Result<ColumnSchema> {
        let text = |root: &str| {
            let keyword = format!("{root}{column}");
            self.entries.iter().find(|(name, _)| *name == keyword).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let name = text("TTYPE");
        if name.is_empty() {
            return Err(Error::data(format!("{}, column {column}", path.display())).found("no name (TTYPE)").expected("a name"));
        }
        let mut schema =
            ColumnSchema { name, unit: text("TUNIT"), ucd: text("TUCD"), description: text("TCOMM"), ..ColumnSchema::default() };
        if let Some(described) = self.described.iter().find(|described| described.name == schema.name) {
            for (text, fallback) in [(&mut schema.ucd, &described.ucd), (&mut schema.description, &described.description)] {
                if text.is_empty() {
                    text.clone_from(fallback);
                }
            }
        }
        Ok(schema)
    }

    /// The entries that describe neither the layout nor a column.
    fn metadata(&self) -> BTreeMap<String, String> {
        const LAYOUT: [&str; 13] = [
            "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP", "CHECKSUM", "DATASUM",
            "LONGSTRN", "EXTNAME",
        ];
        const COLUMN: [&str; 15] = [
            "TTYPE", "TFORM", "TUNIT", "TUCD", "TCOMM", "TNULL", "TSCAL", "TZERO", "TDISP", "TDIM", "TLMIN", "TLMAX", "TDMIN",
            "TDMAX", "TUTYP",
        ];
        let is_column = |name: &str| {
            COLUMN.iter().any(|root| {
                name.strip_prefix(root).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
            })
        };
        let kept = self.entries.iter().filter(|(name, _)| !LAYOUT.contains(&name.as_str()) && !is_column(name));
        kept.cloned().collect::<HashMap<_, _>>().into_iter().collect()
    }
}

/// A column of the file and how it is read.
struct Source {
    /// Position from 1.
    number: usize,
    schema: ColumnSchema,
    raw: RawType,
    column_type: ColumnType,
}

impl Source {
    fn new(path: &Path, file: &mut FitsFile, number: usize, schema: ColumnSchema) -> Result<Self> {
        let raw = file.raw_type(number).map_err(|error| Error::reading(path, error))?;
        let values = match raw.code {
            sys::TLOGICAL => ValueType::Bool,
            sys::TBYTE | sys::TSBYTE | sys::TSHORT | sys::TUSHORT | sys::TINT | sys::TLONG => ValueType::Int32,
            sys::TUINT | sys::TULONG | sys::TLONGLONG | sys::TULONGLONG => ValueType::Int64,
            sys::TFLOAT => ValueType::Float32,
            sys::TDOUBLE => ValueType::Float64,
            sys::TSTRING => ValueType::Text,
            sys::TBIT => return Err(unsupported(path, &schema.name, "bits")),
            _ => return Err(unsupported(path, &schema.name, "complex numbers")),
        };
        let count = match values {
            ValueType::Text if raw.width > 0 => raw.repeat / raw.width,
            ValueType::Text => 1,
            _ => raw.repeat,
        };
        let layout = match (raw.is_variable, values, count) {
            // A text of varying length is one text.
            (true, ValueType::Text, _) | (false, _, 1) => Layout::Scalar,
            (true, _, _) => Layout::Variable,
            (false, _, count) => Layout::Fixed(count),
        };
        Ok(Self { number, schema, raw, column_type: ColumnType { values, layout } })
    }
}

struct Reader {
    path: PathBuf,
    file: FitsFile,
    columns: Vec<Source>,
    metadata: BTreeMap<String, String>,
    n_rows: usize,
    heap_bytes: u64,
    /// Rows read column by column before going on.
    block: usize,
}

impl Reader {
    fn read(&mut self, start: usize, end: usize) -> Result<Table> {
        let mut table = self.read_block(start, end.min(start + self.block))?;
        let mut next = start + table.n_rows();
        while next < end {
            let block = self.read_block(next, end.min(next + self.block))?;
            next += block.n_rows();
            table.append(block)?;
        }
        Ok(table)
    }

    fn read_block(&mut self, start: usize, end: usize) -> Result<Table> {
        let rows = end - start;
        let mut columns = Vec::with_capacity(self.columns.len());
        for source in &self.columns {
            let place = || format!("{}, column '{}'", self.path.display(), source.schema.name);
            let column = source.read(&mut self.file, start, rows, self.heap_bytes).map_err(|problem| match problem {
                Problem::Cfitsio(status) => {
                    Error::data(place()).found(format!("a read error ({status})")).expected("a whole FITS file").source(status)
                }
                Problem::NullInList(row) => Error::data(place())
                    .found(format!("a null (TNULL) inside the list of row {row}"))
                    .expected("lists of integers or booleans without nulls, or null throughout")
                    .remedy("Read only the columns that are needed."),
                Problem::ListLength(row, length) => Error::data(place())
                    .found(format!("a list of {length} values in row {row}"))
                    .expected(format!("at most what the heap of {} bytes holds", self.heap_bytes))
                    .remedy("The file is damaged: copy or download it again."),
            })?;
            columns.push(column);
        }
        assemble(&self.path, columns, rows, &self.metadata)
    }
}

enum Problem {
    Cfitsio(Status),
    NullInList(usize),
    ListLength(usize, i64),
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self::Cfitsio(status)
    }
}

impl Source {
    fn read(&self, file: &mut FitsFile, start: usize, rows: usize, heap_bytes: u64) -> std::result::Result<Column, Problem> {
        let (values, nulls, shape) = match (self.raw.is_variable, self.column_type.layout) {
            (true, _) => self.read_variable(file, start, rows, heap_bytes)?,
            (false, Layout::Fixed(length)) => {
                let (values, nulls) = self.elements(file, start, rows * length)?;
                (values, nulls, Shape::Fixed(length))
            }
            (false, _) => {
                let (values, nulls) = self.elements(file, start, rows)?;
                (values, nulls, Shape::Scalar)
            }
        };
        let is_text = self.column_type.values == ValueType::Text;
        let column = Column { schema: self.schema.clone(), values, shape, valid: None };
        if column.shape == Shape::Fixed(0) {
            return Ok(column.with_valid(vec![false; rows]));
        }
        let mut valid = Vec::with_capacity(rows);
        for row in 0..rows {
            let range = column.range(row);
            let n_null = nulls[range.clone()].iter().filter(|&&null| null).count();
            let is_null = n_null == range.len();
            if n_null > 0 && !is_null && !is_float(self.column_type.values) && !is_text {
                return Err(Problem::NullInList(start + row));
            }
            valid.push(!is_null);
        }
        let column = if is_float(self.column_type.values) { with_nan(column, &nulls) } else { column };
        Ok(column.with_valid(valid))
    }

    /// Flat values from row `start` on, and which are null.
    fn elements(&self, file: &mut FitsFile, start: usize, count: usize) -> std::result::Result<(Values, Vec<bool>), Status> {
        fn read<T: Element>(
            source: &Source,
            file: &mut FitsFile,
            start: usize,
            count: usize,
        ) -> std::result::Result<(Vec<T>, Vec<bool>), Status> {
            file.read(source.number, start, count)
        }
        Ok(match self.column_type.values {
            ValueType::Bool => {
                let (values, nulls) = read::<Logical>(self, file, start, count)?;
                (Values::Bool(values.into_iter().map(bool::from).collect()), nulls)
            }
            ValueType::Int32 => read(self, file, start, count).map(|(values, nulls)| (Values::Int32(values), nulls))?,
            ValueType::Int64 => read(self, file, start, count).map(|(values, nulls)| (Values::Int64(values), nulls))?,
            ValueType::Float32 => read(self, file, start, count).map(|(values, nulls)| (Values::Float32(values), nulls))?,
            ValueType::Float64 => read(self, file, start, count).map(|(values, nulls)| (Values::Float64(values), nulls))?,
            ValueType::Text => {
                let texts = match self.raw.width {
                    0 => vec![String::new(); count],
                    width => file.read_text(self.number, start, count, width)?,
                };
                let nulls = texts.iter().map(String::is_empty).collect();
                (Values::Text(texts), nulls)
            }
        })
    }

    fn read_variable(
        &self,
        file: &mut FitsFile,
        start: usize,
        rows: usize,
        heap_bytes: u64,
    ) -> std::result::Result<(Values, Vec<bool>, Shape), Problem> {
        let mut column =
            Column { schema: self.schema.clone(), values: self.column_type.values.empty(), shape: Shape::Scalar, valid: None };
        let (mut nulls, mut offsets) = (Vec::new(), vec![0]);
        for (i, length) in file.list_lengths(self.number, start, rows)?.into_iter().enumerate() {
            let count = u64::try_from(length).ok().filter(|&count| count <= heap_bytes);
            let count = count.ok_or(Problem::ListLength(start + i, length))? as usize;
            let (values, null) = if self.column_type.values == ValueType::Text {
                let text = if count == 0 { vec![String::new()] } else { file.read_text(self.number, start + i, 1, count)? };
                let null = vec![text[0].is_empty()];
                (Values::Text(text), null)
            } else {
                self.elements(file, start + i, count)?
            };
            nulls.extend(null);
            column.values.append(values);
            offsets.push(column.values.len());
        }
        let shape = if self.column_type.layout == Layout::Scalar { Shape::Scalar } else { Shape::Variable(offsets) };
        Ok((column.values, nulls, shape))
    }
}

fn with_nan(mut column: Column, nulls: &[bool]) -> Column {
    (0..nulls.len()).filter(|&i| nulls[i]).for_each(|i| column.values.fill_null(i..i + 1));
    column
}

/// Row ranges one after the other; at least one, perhaps empty.
struct RowRanges {
    reader: Reader,
    next: usize,
    rows: usize,
    started: bool,
}

impl Iterator for RowRanges {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.started && self.next >= self.reader.n_rows {
            return None;
        }
        self.started = true;
        let end = self.reader.n_rows.min(self.next.saturating_add(self.rows));
        let table = self.reader.read(self.next, end);
        self.next = if table.is_ok() { end } else { self.reader.n_rows };
        Some(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored integers behind TSCAL, TZERO and TNULL, and a text of varying length.
    #[test]
    fn scaled_unsigned_and_null_integers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.fits");
        let text = |list: &[&str]| -> Vec<String> { list.iter().map(|&text| text.to_owned()).collect() };
        let names = text(&["u16", "u32", "u64", "scaled", "short", "byte", "text"]);
        let mut file =
            FitsFile::create_table(&path, &names, &text(&["I", "J", "K", "I", "I", "B", "1PA"]), &vec![String::new(); 7])
                .unwrap();
        file.append_rows(0, 2).unwrap();
        file.write(1, 0, &[-32_768, 32_767]).unwrap();
        file.write(2, 0, &[i32::MIN, i32::MAX]).unwrap();
        file.write(3, 0, &[i64::MIN, i64::MIN + 5_853_498_713_190_525_696]).unwrap();
        file.write(4, 0, &[5, 20]).unwrap();
        file.write(5, 0, &[3, -99]).unwrap();
        file.write(6, 0, &[1, 255]).unwrap();
        file.write_text(7, 0, &text(&["hello"])).unwrap();
        let keys = [
            "TZERO1  = 32768",
            "TZERO2  = 2147483648",
            "TZERO3  = 9223372036854775808",
            "TSCAL4  = 0.5",
            "TZERO4  = 5",
            "TNULL5  = -99",
        ];
        file.append_cards(&text(&keys)).unwrap();
        file.close().unwrap();

        let table = crate::table::read(&path).unwrap();
        assert_eq!(table.column("u16").unwrap().values, Values::Int32(vec![0, 65_535]));
        assert_eq!(table.column("u32").unwrap().values, Values::Int64(vec![0, 4_294_967_295]));
        assert_eq!(table.column("u64").unwrap().values, Values::Int64(vec![0, 5_853_498_713_190_525_696]));
        assert_eq!(table.column("scaled").unwrap().to_f64().unwrap(), [7.5, 15.0]);
        assert_eq!(table.column("short").unwrap().valid, Some(vec![true, false]));
        assert_eq!(table.column("byte").unwrap().values, Values::Int32(vec![1, 255]));
        assert_eq!(table.column("text").unwrap().values, Values::Text(vec!["hello".into(), String::new()]));
        assert!(table.metadata.is_empty());
    }
}
