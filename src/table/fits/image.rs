//! Images: arrays of numbers, read row by row along their slowest axis, scaled by BSCALE and BZERO, with
//! BLANK as NaN.
//!
//! | BITPIX | without BSCALE, BZERO | with integer ones | with others | with BLANK |
//! |---|---|---|---|---|
//! | 8, 16 | 32-bit integer | the smallest of both integer types that holds all | f32 | f64; f32 beside factors that are no integers |
//! | 32 | 32-bit integer | the same | f64 | f64 |
//! | 64 | 64-bit integer | 64-bit integer; f64 where that cannot hold all | f64 | f64 |
//! | -32, -64 | f32, f64 | f32, f64 | f32, f64 | no part of it: NaN is blank |
//!
//! Every declared size is compared with the file's before anything is allocated.

use super::checksum::{Declared, Sum};
use super::decode::Growing;
use super::form::{Code, Form, Storage};
use super::hdu::{Hdu, Kind};
use super::header::Header;
use super::layout::Decoder;
use super::scaling;
use super::source::Source;
use super::tiles::Tiles;
use crate::error::{Error, Result};
use crate::table::{ColumnType, Layout, Values};
use std::sync::Arc;

/// Bytes read at once.
const BLOCK: usize = 1 << 20;
/// Axes that are read; the standard allows 999.
const MOST_AXES: u64 = 16;

/// An image that is read from its first row on. A row is everything with one index of the slowest axis; an
/// image of one axis has one row.
#[derive(Debug)]
pub struct ImageRows {
    source: Arc<Source>,
    header: Header,
    /// Axes, the slowest first.
    shape: Vec<usize>,
    n_rows: usize,
    row_values: usize,
    row_bytes: usize,
    decoder: Decoder,
    stored: Stored,
    next: usize,
}

#[derive(Debug)]
enum Stored {
    /// Pixel after pixel from this byte of the file on, with the sums to compare.
    Plain {
        data: u64,
        declared: Declared,
        sum: Option<Sum>,
    },
    Tiles(Box<Tiles>),
}

/// Axes and the type of pixels of an image.
#[derive(Debug)]
pub(super) struct Extent {
    /// The fastest first, as in the header.
    pub axes: Vec<u64>,
    pub code: Code,
    /// Bytes of a pixel.
    pub pixel_bytes: u64,
    /// Bytes of the whole.
    pub bytes: u64,
}

impl Extent {
    /// Reads `<prefix>BITPIX`, `<prefix>NAXIS` and `<prefix>NAXISn`.
    ///
    /// # Errors
    /// When one is absent or impossible.
    pub fn read(header: &Header, prefix: &str) -> Result<Self> {
        let keyword = format!("{prefix}BITPIX");
        let text = header.value(&keyword).unwrap_or("nothing");
        let (code, pixel_bytes) = match text {
            "8" => (Code::Byte, 1),
            "16" => (Code::Short, 2),
            "32" => (Code::Int, 4),
            "64" => (Code::Long, 8),
            "-32" => (Code::Float, 4),
            "-64" => (Code::Double, 8),
            _ => return Err(header.wrong(&keyword, text, "8, 16, 32, 64, -32 or -64")),
        };
        let keyword = format!("{prefix}NAXIS");
        let n_axes = header.required_count(&keyword)?;
        if n_axes > MOST_AXES {
            return Err(header.wrong(&keyword, &n_axes.to_string(), &format!("at most {MOST_AXES} axes")));
        }
        let axes =
            (1..=n_axes).map(|axis| header.required_count(&format!("{prefix}NAXIS{axis}"))).collect::<Result<Vec<u64>>>()?;
        let pixels = if axes.is_empty() { Some(0) } else { axes.iter().try_fold(1_u64, |product, &n| product.checked_mul(n)) };
        let bytes = pixels.and_then(|pixels| pixels.checked_mul(pixel_bytes));
        let bytes = bytes.ok_or_else(|| header.wrong(&keyword, "axes whose product exceeds 64 bits", "what a file can hold"))?;
        Ok(Self { axes, code, pixel_bytes, bytes })
    }
}

impl ImageRows {
    /// # Errors
    /// As [`super::FitsFile::image`].
    pub(super) fn new(source: Arc<Source>, hdu: &Hdu, header: Header) -> Result<Self> {
        let is_compressed = match hdu.kind {
            Kind::Image => false,
            Kind::CompressedImage => true,
            kind => {
                return Err(Error::data(header.place)
                    .found(kind.words())
                    .expected("an image")
                    .remedy("Name an image of the file."));
            }
        };
        let extent = Extent::read(&header, if is_compressed { "Z" } else { "" })?;
        if !is_compressed {
            for (keyword, expected) in [("PCOUNT", 0), ("GCOUNT", 1)] {
                let found = header.count(keyword)?.unwrap_or(expected);
                if found != expected || header.is_true("GROUPS") {
                    return Err(header.wrong(keyword, &found.to_string(), &format!("{expected} in an image (no random groups)")));
                }
            }
        }
        let (scaling, values, null) = scaling::of_image(&header, extent.code)?;
        let address = |count: u64| {
            usize::try_from(count).map_err(|_| header.wrong("NAXISn", &count.to_string(), "what this machine can address"))
        };
        let shape = extent.axes.iter().rev().map(|&n| address(n)).collect::<Result<Vec<usize>>>()?;
        let bytes = address(extent.bytes)?;
        let n_rows = match shape.as_slice() {
            [] => 0,
            [_] => 1,
            [slowest, ..] => *slowest,
        };
        let row_bytes = bytes.checked_div(n_rows).unwrap_or(0);
        let row_values = row_bytes / extent.pixel_bytes as usize;
        let form = Form { code: extent.code, storage: Storage::Row, repeat: row_values, text_width: row_values };
        let column_type = ColumnType { values, layout: Layout::Fixed(row_values) };
        let decoder = Decoder { form, offset: 0, scaling, null, float_null: None, column_type };
        let stored = if is_compressed {
            Stored::Tiles(Box::new(Tiles::new(&source, hdu, &header, &extent)?))
        } else {
            let end = hdu.data.saturating_add(extent.bytes);
            if end > source.length() || extent.bytes > hdu.length {
                return Err(source.truncated(end));
            }
            let declared = Declared::read(&source, hdu, &header)?;
            let sum = declared.is_present().then(Sum::default);
            Stored::Plain { data: hdu.data, declared, sum }
        };
        Ok(Self { source, header, shape, n_rows, row_values, row_bytes, decoder, stored, next: 0 })
    }

    /// Lengths of the axes, the slowest first: `[spectra, pixels]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values of a row.
    pub fn row_values(&self) -> usize {
        self.row_values
    }

    /// The text of a keyword of its header.
    pub fn text(&self, keyword: &str) -> Option<&str> {
        self.header.value(keyword).map(str::trim)
    }

    /// File and HDU: for errors.
    pub fn place(&self) -> &str {
        &self.header.place
    }

    /// The next `rows` rows, fewer at the end, flattened. With the last row the sum of the data is compared
    /// with DATASUM: damaged data are an error, sums left over from another image (slices that were cut out
    /// of a file have them) a warning.
    ///
    /// # Errors
    /// When the file cannot be read, tiles are damaged, a scaled integer exceeds 64 bits, or the data are
    /// not those of DATASUM.
    pub fn read(&mut self, rows: usize) -> Result<Values> {
        let end = self.n_rows.min(self.next.saturating_add(rows));
        let mut growing = Growing::new(self.decoder, end - self.next);
        let rows_per_block = BLOCK.checked_div(self.row_bytes).unwrap_or(1).max(1);
        let mut buffer = Vec::new();
        while self.next < end && self.row_bytes > 0 {
            let n = rows_per_block.min(end - self.next);
            buffer.resize(n * self.row_bytes, 0);
            match &mut self.stored {
                Stored::Plain { data, sum, .. } => {
                    self.source.read_at(*data + (self.next * self.row_bytes) as u64, &mut buffer)?;
                    if let Some(sum) = sum {
                        sum.add(&buffer);
                    }
                }
                Stored::Tiles(tiles) => tiles.read(&self.source, &mut buffer)?,
            }
            growing.extend(buffer.chunks_exact(self.row_bytes), self.row_values);
            if let Some(value) = growing.too_large() {
                return Err(Error::data(format!("{}, row {}", self.header.place, self.next))
                    .found(format!("the integer {value}"))
                    .expected("at most 64 bits with a sign")
                    .remedy("Convert the image."));
            }
            self.next += n;
        }
        self.next = end;
        if self.next == self.n_rows
            && let Stored::Plain { declared, sum, .. } = &mut self.stored
            && let Some(sum) = sum.take()
        {
            declared.check(sum.value())?;
        }
        Ok(growing.values)
    }

    /// As [`Self::read`], in single precision.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_f32(&mut self, rows: usize) -> Result<Vec<f32>> {
        Ok(match self.read(rows)? {
            Values::Float32(values) => values,
            Values::Float64(values) => values.into_iter().map(|value| value as f32).collect(),
            Values::Int32(values) => values.into_iter().map(|value| value as f32).collect(),
            Values::Int64(values) => values.into_iter().map(|value| value as f32).collect(),
            Values::Bool(_) | Values::Text(_) => Vec::new(),
        })
    }

    /// As [`Self::read`], in double precision.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_f64(&mut self, rows: usize) -> Result<Vec<f64>> {
        Ok(match self.read(rows)? {
            Values::Float32(values) => values.into_iter().map(f64::from).collect(),
            Values::Float64(values) => values,
            Values::Int32(values) => values.into_iter().map(f64::from).collect(),
            Values::Int64(values) => values.into_iter().map(|value| value as f64).collect(),
            Values::Bool(_) | Values::Text(_) => Vec::new(),
        })
    }

    /// As [`Self::read`], as integers of 64 bits.
    ///
    /// # Errors
    /// As [`Self::read`]; when the pixels are floats.
    pub fn read_i64(&mut self, rows: usize) -> Result<Vec<i64>> {
        match self.read(rows)? {
            Values::Int32(values) => Ok(values.into_iter().map(i64::from).collect()),
            Values::Int64(values) => Ok(values),
            other => Err(Error::data(self.header.place.clone())
                .found(format!("pixels of the type {}", other.value_type()))
                .expected("integers")
                .remedy("Check that it is the HDU that is meant; bit masks are integers.")),
        }
    }
}
