//! Tile-compressed images (FITS 4.0, section 10): a binary table with a compressed tile in every row. Read
//! are GZIP_1, GZIP_2 and RICE_1 without quantisation, in tiles that follow one another in the image, which
//! is what masks and fluxes of surveys have.

use super::form::{Code, Storage};
use super::hdu::{Hdu, Kind};
use super::header::Header;
use super::heap::{Descriptor, Window};
use super::image::Extent;
use super::layout::BinaryTable;
use super::rice;
use super::source::Source;
use super::{checksum::Sum, layout::Field};
use crate::error::{Error, Result};
use crate::table::limits;
use flate2::read::GzDecoder;
use std::io::Read;

/// Bytes read at once for the sum.
const BLOCK: u64 = 1 << 20;
const REMEDY: &str =
    "Uncompress it with `funpack`, or with astropy: `fits.open(file)` shows the plain image, write that to a new file.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Gzip,
    /// The bytes of the pixels apart: first all leading ones.
    ShuffledGzip,
    Rice {
        block: usize,
        bytes: usize,
    },
    None,
}

/// The tiles of an image, decompressed one after the other.
#[derive(Debug)]
pub(super) struct Tiles {
    place: String,
    algorithm: Algorithm,
    pixel_bytes: usize,
    /// Bytes of the slices into which the tiles cut the image, and of a tile; the last one of a slice may
    /// be smaller.
    slice_bytes: usize,
    tile_bytes: usize,
    n_tiles: usize,
    next: usize,
    /// First byte of the table's rows, their length, the place of the descriptor in them, and its storage.
    rows: (u64, usize, usize, Storage),
    heap: (u64, u64),
    window: Window,
    /// The current tile, and how much of it has been given away.
    tile: Vec<u8>,
    taken: usize,
}

impl Tiles {
    /// # Errors
    /// As [`super::FitsFile::image`].
    pub fn new(source: &Source, hdu: &Hdu, header: &Header, extent: &Extent) -> Result<Self> {
        let place = header.place.clone();
        let refused = |found: String, expected: &str| Err(Error::data(&place).found(found).expected(expected).remedy(REMEDY));
        let plain = Hdu { kind: Kind::Table, ..hdu.clone() };
        let table = BinaryTable::read(source, &plain, &source.path)?;
        let algorithm = match header.value("ZCMPTYPE").map(str::trim) {
            Some("GZIP_1") => Algorithm::Gzip,
            Some("GZIP_2") => Algorithm::ShuffledGzip,
            Some("RICE_1" | "RICE_ONE") => rice_of(header, extent)?,
            Some("NOCOMPRESS") => Algorithm::None,
            other => {
                let found = format!("tiles compressed by {}", other.unwrap_or("an algorithm that is not named (ZCMPTYPE)"));
                return refused(found, "GZIP_1, GZIP_2 or RICE_1");
            }
        };
        let is_float = matches!(extent.code, Code::Float | Code::Double);
        let has = |name: &str| table.fields.iter().any(|field| field.schema.name.eq_ignore_ascii_case(name));
        if is_float && (has("ZSCALE") || has("ZZERO") || header.value("ZSCALE").is_some()) {
            return refused("floats that were rounded to integers (ZSCALE, ZZERO)".into(), "an image without quantisation");
        }
        if has("ZSCALE") || has("NULL_PIXEL_MASK") {
            return refused("tiles with scales or null masks of their own".into(), "plain tiles");
        }
        let is_data = |field: &&Field| field.schema.name.eq_ignore_ascii_case("COMPRESSED_DATA");
        let Some(field) = table.fields.iter().find(is_data) else {
            return refused("no column COMPRESSED_DATA".into(), "a tile-compressed image");
        };
        if field.form.storage == Storage::Row || field.form.code != Code::Byte || field.form.repeat == 0 {
            return refused("a column COMPRESSED_DATA of another form".into(), "bytes of varying length");
        }
        let (tile_pixels, slice_pixels, n_tiles) = cut(header, extent)?;
        if table.n_rows as u64 != n_tiles {
            let expected = format!("{n_tiles}, as ZTILEn cut the image");
            return Err(header.wrong("NAXIS2", &table.n_rows.to_string(), &expected));
        }
        limits::check(&source.path, source.length(), extent.bytes)?;
        if table.declared.is_present() {
            table.declared.check(sum_of(source, hdu)?)?;
        }
        // The whole was held against what the file may become.
        let bytes = |pixels: u64| usize::try_from(pixels * extent.pixel_bytes).unwrap_or(usize::MAX);
        Ok(Self {
            algorithm,
            pixel_bytes: extent.pixel_bytes as usize,
            slice_bytes: bytes(slice_pixels),
            tile_bytes: bytes(tile_pixels),
            n_tiles: table.n_rows,
            next: 0,
            rows: (table.data, table.row_bytes, field.offset, field.form.storage),
            heap: (table.heap, table.heap_bytes),
            window: Window::default(),
            tile: Vec::new(),
            taken: 0,
            place,
        })
    }

    /// Fills `buffer` with what follows in the image.
    ///
    /// # Errors
    /// When a tile is damaged, or there are no more.
    pub fn read(&mut self, source: &Source, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            if self.taken == self.tile.len() {
                self.advance(source)?;
            }
            let n = buffer.len().min(self.tile.len() - self.taken);
            let (now, later) = buffer.split_at_mut(n);
            now.copy_from_slice(&self.tile[self.taken..self.taken + n]);
            self.taken += n;
            buffer = later;
        }
        Ok(())
    }

    fn advance(&mut self, source: &Source) -> Result<()> {
        let number = self.next;
        let damaged = |found: String, expected: String| {
            Error::data(format!("{}, tile {}", self.place, number + 1))
                .found(found)
                .expected(expected)
                .remedy("The file is damaged: copy or download it again.")
        };
        if number >= self.n_tiles {
            return Err(damaged("no such tile".into(), format!("{} tiles to hold the image", self.n_tiles)));
        }
        let tiles_per_slice = self.slice_bytes.div_ceil(self.tile_bytes.max(1)).max(1);
        let start = (number % tiles_per_slice) * self.tile_bytes;
        let length = self.tile_bytes.min(self.slice_bytes - start);
        let (data, row_bytes, offset, storage) = self.rows;
        let mut cell = [0; 16];
        let cell = &mut cell[..if storage == Storage::Heap32 { 8 } else { 16 }];
        source.read_at(data + (number * row_bytes + offset) as u64, cell)?;
        let descriptor = Descriptor::read(cell, storage);
        let Some(bytes) = descriptor.bytes(Code::Byte, self.heap.1).filter(|&bytes| bytes > 0) else {
            let found = format!("{} bytes at byte {} of the heap", descriptor.count as i64, descriptor.offset as i64);
            return Err(damaged(found, format!("a compressed tile within the heap of {} bytes", self.heap.1)));
        };
        let start = self.heap.0.saturating_add(descriptor.offset);
        let packed = self.window.get(source, start, bytes, self.heap.0 + self.heap.1)?;
        let tile = match self.algorithm {
            Algorithm::None => Ok(packed.to_vec()),
            Algorithm::Gzip => inflate(packed, length),
            Algorithm::ShuffledGzip => inflate(packed, length).map(|bytes| unshuffled(&bytes, self.pixel_bytes)),
            Algorithm::Rice { block, bytes } => {
                rice::decode(packed, length / self.pixel_bytes, block, bytes).map(|pixels| to_bytes(&pixels, self.pixel_bytes))
            }
        };
        let tile = tile.map_err(|found| damaged(found, "compressed pixels".into()))?;
        if tile.len() != length {
            return Err(damaged(format!("{} bytes or more", tile.len()), format!("{length}")));
        }
        self.tile = tile;
        self.taken = 0;
        self.next += 1;
        Ok(())
    }
}

/// Pixels of a tile, pixels between tiles that begin anew, and the number of tiles.
///
/// # Errors
/// When tiles do not follow one another in the image: all axes before the one that is cut have to be whole,
/// all after it of length one.
fn cut(header: &Header, extent: &Extent) -> Result<(u64, u64, u64)> {
    let mut lengths = Vec::with_capacity(extent.axes.len());
    for (i, &axis) in extent.axes.iter().enumerate() {
        let keyword = format!("ZTILE{}", i + 1);
        let length = header.count(&keyword)?.unwrap_or(if i == 0 { axis } else { 1 });
        if length == 0 && axis > 0 {
            return Err(header.wrong(&keyword, "0", "a length of tiles"));
        }
        lengths.push(length.min(axis));
    }
    let cut_axis = (0..lengths.len()).find(|&i| lengths[i] != extent.axes[i]).unwrap_or(lengths.len().saturating_sub(1));
    if lengths.iter().skip(cut_axis + 1).any(|&length| length > 1) {
        return Err(Error::data(header.place.clone())
            .found(format!("tiles of {lengths:?} pixels of an image of {:?}", extent.axes))
            .expected("tiles that follow one another in the image, as whole rows do")
            .remedy(REMEDY));
    }
    // All products are below that of the axes.
    let tile: u64 = lengths.iter().product();
    let slice: u64 = extent.axes.iter().take(cut_axis + 1).product();
    let slices: u64 = extent.axes.iter().skip(cut_axis + 1).product();
    let n_tiles = if tile == 0 { 0 } else { slice.div_ceil(tile) * slices };
    Ok((tile, slice, n_tiles))
}

/// Parameters of RICE_1 (ZNAMEn, ZVALn): pixels of a block (32) and bytes of a pixel (4).
fn rice_of(header: &Header, extent: &Extent) -> Result<Algorithm> {
    let (mut block, mut bytes) = (32, 4);
    for i in 1..=9 {
        let Some(name) = header.value(&format!("ZNAME{i}")).map(str::trim) else { break };
        let value = header.required_count(&format!("ZVAL{i}"))?;
        match name {
            "BLOCKSIZE" => block = value,
            "BYTEPIX" => bytes = value,
            _ => {}
        }
    }
    let is_integer = matches!(extent.code, Code::Byte | Code::Short | Code::Int);
    if !(1..=4096).contains(&block) || ![1, 2, 4].contains(&bytes) || !is_integer {
        return Err(Error::data(header.place.clone())
            .found(format!(
                "RICE_1 in blocks of {block} pixels of {bytes} bytes, of an image of {} bytes a pixel",
                extent.pixel_bytes
            ))
            .expected("integers of 1, 2 or 4 bytes")
            .remedy(REMEDY));
    }
    Ok(Algorithm::Rice { block: block as usize, bytes: bytes as usize })
}

fn sum_of(source: &Source, hdu: &Hdu) -> Result<u32> {
    let mut sum = Sum::default();
    let mut next = hdu.data;
    let end = hdu.data + hdu.length;
    let mut buffer = Vec::new();
    while next < end {
        buffer.resize((end - next).min(BLOCK) as usize, 0);
        source.read_at(next, &mut buffer)?;
        sum.add(&buffer);
        next += buffer.len() as u64;
    }
    Ok(sum.value())
}

/// Decompresses at most one byte more than is expected.
fn inflate(packed: &[u8], expected: usize) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(expected);
    let limit = (expected as u64).saturating_add(1);
    GzDecoder::new(packed).take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn unshuffled(bytes: &[u8], pixel_bytes: usize) -> Vec<u8> {
    let n = bytes.len() / pixel_bytes;
    (0..n * pixel_bytes).map(|i| bytes[(i % pixel_bytes) * n + i / pixel_bytes]).collect()
}

/// Pixels as big-endian bytes of the image's own width.
fn to_bytes(pixels: &[u32], pixel_bytes: usize) -> Vec<u8> {
    pixels.iter().flat_map(|pixel| pixel.to_be_bytes().into_iter().skip(4 - pixel_bytes)).collect()
}
