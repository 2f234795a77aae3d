//! The layout of one binary table: its columns in the row, its rows and heap in the file, and the names and
//! texts of its header.

use super::astropy;
use super::checksum::Declared;
use super::form::{Code, Form, Storage};
use super::hdu::{Hdu, Kind};
use super::header::Header;
use super::metadata;
use super::scaling::{self, Scaling};
use super::source::Source;
use super::votmeta::Described;
use crate::error::{Error, Result};
use crate::table::read::unsupported;
use crate::table::{ColumnSchema, ColumnType, Layout, UnreadColumn, ValueType, in_any_case};
use crate::warning::warn_once;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Columns that FITS allows.
const MOST_COLUMNS: u64 = 999;
/// Bytes that rows without bytes (columns of length zero) may add up to as nulls in memory, beyond those of
/// the file.
const FREE_CELLS: u64 = 1 << 24;

/// A binary table whose declared sizes agree with one another and with the file.
pub(super) struct BinaryTable {
    /// The file, with the table in brackets where one was chosen: for errors.
    pub place: PathBuf,
    /// How a user names the table.
    pub label: String,
    pub fields: Vec<Field>,
    pub row_bytes: usize,
    pub n_rows: usize,
    /// First byte of the rows.
    pub data: u64,
    /// First byte of the heap.
    pub heap: u64,
    /// Bytes from there to the end of the data.
    pub heap_bytes: u64,
    /// Bytes of rows, gap and heap.
    pub data_bytes: u64,
    /// CHECKSUM and DATASUM.
    pub declared: Declared,
    header: Header,
    /// What stands in the primary HDU beside the header.
    described: Described,
}

/// A column as it is stored.
pub(super) struct Field {
    /// Number in the table, from 1.
    pub number: usize,
    pub schema: ColumnSchema,
    pub form: Form,
    /// First byte in the row.
    pub offset: usize,
}

/// How the stored elements of a column become values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder {
    pub form: Form,
    pub offset: usize,
    pub scaling: Scaling,
    /// The stored integer that stands for null.
    pub null: Option<i64>,
    /// The stored float that stands for null: FITS has none, but some files state one.
    pub float_null: Option<f64>,
    pub column_type: ColumnType,
}

impl BinaryTable {
    /// Reads the header of a table.
    ///
    /// # Errors
    /// When the HDU is no plain binary table, or its header contradicts itself or the size of the file.
    pub fn read(source: &Source, hdu: &Hdu, place: &Path) -> Result<Self> {
        let header = Header::read(source, hdu.start, hdu.number)?.ok_or_else(|| source.truncated(hdu.data))?;
        require_plain(hdu, place)?;
        for (keyword, expected) in [("BITPIX", 8), ("NAXIS", 2), ("GCOUNT", 1)] {
            let found = header.count(keyword)?.unwrap_or(expected);
            if found != expected {
                return Err(header.wrong(keyword, &found.to_string(), &format!("{expected} in a binary table")));
            }
        }
        let (row_bytes, n_rows) = (header.required_count("NAXIS1")?, header.required_count("NAXIS2")?);
        let (n_columns, parameters) = (header.required_count("TFIELDS")?, header.count("PCOUNT")?.unwrap_or(0));
        if n_columns > MOST_COLUMNS {
            return Err(header.wrong("TFIELDS", &n_columns.to_string(), "at most 999 columns"));
        }
        if hdu.data.saturating_add(hdu.length) > source.length() {
            return Err(source.truncated(hdu.data.saturating_add(hdu.length)));
        }
        let table_bytes = row_bytes.saturating_mul(n_rows);
        let heap_start = header.count("THEAP")?.unwrap_or(table_bytes);
        if parameters > 0 && (heap_start < table_bytes || heap_start - table_bytes > parameters) {
            let expected = format!("{table_bytes} to {}, after the rows", table_bytes.saturating_add(parameters));
            return Err(header.wrong("THEAP", &heap_start.to_string(), &expected));
        }
        let heap_bytes = if parameters > 0 { parameters - (heap_start - table_bytes) } else { 0 };
        let described = Described::read(source, hdu)?;
        let fields = fields(&header, place, n_columns as usize, row_bytes, &described)?;
        require_bytes(&header, source, &fields, row_bytes, n_rows)?;
        Ok(Self {
            place: place.to_owned(),
            label: hdu.label(),
            fields,
            row_bytes: in_memory(&header, "NAXIS1", row_bytes)?,
            n_rows: in_memory(&header, "NAXIS2", n_rows)?,
            data: hdu.data,
            heap: hdu.data + heap_start.min(hdu.length),
            heap_bytes,
            data_bytes: hdu.length,
            declared: Declared::read(source, hdu, &header)?,
            header,
            described,
        })
    }

    /// Metadata of the header, and of what describes the table in the primary HDU.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = self.described.metadata.clone();
        metadata.extend(metadata::of_header(&self.header));
        metadata
    }

    /// How a column is read.
    ///
    /// # Errors
    /// When its type has no counterpart in [`crate::table::Values`], or its TSCAL, TZERO or TNULL is no
    /// number.
    pub fn decoder(&self, field: &Field) -> Result<Decoder> {
        let complex = || unsupported(&self.place, &field.schema.name, "complex numbers");
        let (scaling, values) = scaling::of_column(&self.header, field.number, field.form.code)?;
        let values = values.ok_or_else(complex)?;
        let form = field.form;
        let count = match form.code {
            Code::Text => form.repeat.checked_div(form.text_width).unwrap_or(1),
            _ => form.repeat,
        };
        let layout = match (form.storage, form.code, count) {
            // A text of varying length is one text.
            (Storage::Heap32 | Storage::Heap64, Code::Text, _) | (Storage::Row, _, 1) => Layout::Scalar,
            (Storage::Heap32 | Storage::Heap64, _, _) => Layout::Variable,
            (Storage::Row, _, count) => Layout::Fixed(count),
        };
        let is_integer = matches!(form.code, Code::Byte | Code::Short | Code::Int | Code::Long);
        let null = if is_integer { self.null(field, scaling)? } else { None };
        let is_float = matches!(form.code, Code::Float | Code::Double);
        let float_null = if is_float { self.float_null(field) } else { None };
        Ok(Decoder { form, offset: field.offset, scaling, null, float_null, column_type: ColumnType { values, layout } })
    }

    /// TNULL of a column of floats. FITS has it for integers alone, but who wrote it meant something.
    fn float_null(&self, field: &Field) -> Option<f64> {
        let keyword = format!("TNULL{}", field.number);
        let text = self.header.value(&keyword)?.trim();
        let place = format!("{}, column '{}'", self.place.display(), field.schema.name);
        match text.parse::<f64>() {
            Ok(null) => {
                warn_once(format!(
                    "{place}: {keyword} = {text} in a column of floats, for which FITS has NaN: {text} is taken for no value"
                ));
                Some(null)
            }
            Err(_) => {
                warn_once(format!("{place}: {keyword} = '{text}' is no number, and is passed over in a column of floats"));
                None
            }
        }
    }

    /// TNULL. Without it the smallest integer of 64 bits, which is nobody's value, is null all the same, as
    /// programs leave it that turn NaN into an integer or drop TNULL. The smallest of 32 bits can be a flag;
    /// in copies of our own files, which never hold it as a value, it is null too.
    fn null(&self, field: &Field, scaling: Scaling) -> Result<Option<i64>> {
        let keyword = format!("TNULL{}", field.number);
        if let Some(text) = self.header.value(&keyword) {
            return match text.parse() {
                Ok(null) => Ok(Some(null)),
                Err(_) => Err(self.header.wrong(&keyword, &format!("'{text}'"), "an integer")),
            };
        }
        Ok(match (field.form.code, scaling) {
            (Code::Int, Scaling::None) if self.is_ours() => Some(i32::MIN.into()),
            (Code::Long, Scaling::None) => Some(i64::MIN),
            _ => None,
        })
    }

    fn is_ours(&self) -> bool {
        is_ours(&self.header) || self.described.metadata.get("program").is_some_and(|program| program.starts_with("photosphere"))
    }

    /// The columns that [`crate::table::Values`] cannot hold.
    pub fn unread(&self) -> Vec<UnreadColumn> {
        let complex = |field: &&Field| matches!(field.form.code, Code::Complex | Code::DoubleComplex);
        let unread = |field: &Field| UnreadColumn { schema: field.schema.clone(), found: "complex numbers".into() };
        self.fields.iter().filter(complex).map(unread).collect()
    }
}

impl Field {
    /// Whether a table can hold the column.
    pub fn is_readable(&self) -> bool {
        !matches!(self.form.code, Code::Complex | Code::DoubleComplex)
    }
}

/// A count that this machine can address.
fn in_memory(header: &Header, keyword: &str, count: u64) -> Result<usize> {
    usize::try_from(count).map_err(|_| header.wrong(keyword, &count.to_string(), "what this machine can address"))
}

/// Whether the metadata name us as the program that made the table.
fn is_ours(header: &Header) -> bool {
    let program = header.value("PROGRAM").or_else(|| header.value("program"));
    program.is_some_and(|program| program.starts_with("photosphere"))
}

/// The names of the columns: TTYPE, or `col` and the number, as astropy has it, for a column without a name.
/// Our own names have no capitals; where a program has written a copy of our file with nothing but capitals,
/// which FITS takes for the same, they are ours again.
fn names_of_columns(header: &Header, n_columns: u64) -> Vec<String> {
    let name = |number: u64| match header.value(&format!("TTYPE{number}")).map(str::trim) {
        None | Some("") => format!("col{number}"),
        Some(name) => name.to_owned(),
    };
    let mut names: Vec<String> = (1..=n_columns).map(name).collect();
    let has_lower_case = |name: &String| name.chars().any(char::is_lowercase);
    if is_ours(header) && !names.iter().any(has_lower_case) {
        names.iter_mut().for_each(|name| name.make_ascii_lowercase());
    }
    names
}

/// The names of a table's columns, for messages about tables that are not read; none if its header is
/// damaged.
pub(super) fn names(source: &Source, hdu: &Hdu) -> Vec<String> {
    let header = Header::read(source, hdu.start, hdu.number).ok().flatten();
    header.map_or_else(Vec::new, |header| names_of_columns(&header, hdu.n_columns.min(MOST_COLUMNS)))
}

fn require_plain(hdu: &Hdu, place: &Path) -> Result<()> {
    let remedy = match hdu.kind {
        Kind::Table => return Ok(()),
        Kind::CompressedTable => {
            "Uncompress it with `funpack`, or with astropy: read it with `Table.read` where that undoes the tiles, and write it anew."
        }
        Kind::AsciiTable => "Convert it, with astropy `Table.read(file).write(\"new.fits\")`, or name a binary table.",
        _ => "Name a binary table of the file.",
    };
    Err(Error::data(place.display().to_string())
        .found(format!("{} (HDU {})", hdu.kind.words(), hdu.number))
        .expected("a binary table")
        .remedy(remedy))
}

fn fields(header: &Header, place: &Path, n_columns: usize, row_bytes: u64, votmeta: &Described) -> Result<Vec<Field>> {
    let described = astropy::parse(header.comments()).map_err(|error| error.within(place.display()))?;
    let mut fields = Vec::with_capacity(n_columns);
    let mut offset = 0_usize;
    for (number, name) in (1..=n_columns).zip(names_of_columns(header, n_columns as u64)) {
        let text = |root: &str| header.value(&format!("{root}{number}")).unwrap_or_default().trim().to_owned();
        let is_utf8 = header.entry(&format!("TTYPE{number}")).is_none_or(|entry| entry.is_utf8);
        if !is_utf8 {
            warn_once(format!(
                "{}, column {number}: its name is not UTF-8; every byte is read as a character of Latin-1: '{name}'",
                place.display()
            ));
        }
        let keyword = format!("TFORM{number}");
        let form = header.value(&keyword).and_then(Form::parse);
        let width = form.and_then(|form| form.width());
        let (Some(form), Some(end)) = (form, width.and_then(|width| offset.checked_add(width))) else {
            let found = header.value(&keyword).map_or("nothing".into(), |form| format!("'{form}'"));
            return Err(header.wrong(&keyword, &found, "the form of a column, as '66E', '1QD' or '12A'"));
        };
        let mut schema =
            ColumnSchema { name, unit: text("TUNIT"), ucd: text("TUCD"), description: text("TCOMM"), ..ColumnSchema::default() };
        let others = [&described, &votmeta.columns].map(|columns| in_any_case(columns, |other| &other.name, &schema.name));
        for described in others.into_iter().flatten() {
            for (text, fallback) in [(&mut schema.ucd, &described.ucd), (&mut schema.description, &described.description)] {
                if text.is_empty() {
                    text.clone_from(fallback);
                }
            }
        }
        let form = header.value(&format!("TDIM{number}")).map_or(form, |dimensions| form.with_dimensions(dimensions));
        fields.push(Field { number, schema, form, offset });
        offset = end;
    }
    if offset as u64 != row_bytes {
        return Err(header.wrong("NAXIS1", &row_bytes.to_string(), &format!("{offset}, the bytes of the columns (TFORMn)")));
    }
    Ok(fields)
}

/// Refuses rows that take no room in the file but would fill the memory: columns of length zero are nulls,
/// one a row.
fn require_bytes(header: &Header, source: &Source, fields: &[Field], row_bytes: u64, n_rows: u64) -> Result<()> {
    let n_empty = fields.iter().filter(|field| field.form.repeat == 0).count() as u64;
    let unbacked = if row_bytes == 0 { n_rows.max(n_rows.saturating_mul(n_empty)) } else { n_rows.saturating_mul(n_empty) };
    if unbacked > source.length().saturating_add(FREE_CELLS) {
        let found = format!("{n_rows} rows of {row_bytes} bytes, with {n_empty} columns of length zero");
        return Err(header.wrong("NAXIS2", &found, &format!("no more than a file of {} bytes accounts for", source.length())));
    }
    Ok(())
}

/// Whether values of a type are integers or booleans, which have no null of their own.
pub(super) fn is_whole(values: ValueType) -> bool {
    matches!(values, ValueType::Bool | ValueType::Int32 | ValueType::Int64)
}
