//! Named arrays with metadata in a safetensors file.

use crate::error::{Error, Result};
use crate::tensor::file::{self, Entry};
use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::{Dtype, Metadata, SafeTensors};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

/// The bytes of a file whose header has been understood.
pub(super) struct TensorFile {
    place: String,
    header: Metadata,
    /// The tensors' own bytes, to which the offsets of the header refer.
    data: Vec<u8>,
}

impl TensorFile {
    /// Reads a file whole.
    ///
    /// # Errors
    /// When it cannot be read or is no complete safetensors file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut data = std::fs::read(path).map_err(|error| Error::reading(path, error))?;
        let place = path.display().to_string();
        // `deserialize` also compares the header with the length of the file.
        let (length, header) = SafeTensors::read_metadata(&data)
            .and_then(|header| SafeTensors::deserialize(&data).map(|_| header))
            .map_err(|error| {
                Error::data(&place)
                    .found(error.to_string())
                    .expected("a complete safetensors file")
                    .remedy("The file may be cut off: get or write it again.")
            })?;
        data.drain(..8 + length);
        Ok(Self { place, header, data })
    }

    /// Name of the file, for errors.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// A text of the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// An array of numbers of any type, or `None` where the file has none of that name.
    ///
    /// # Errors
    /// When its type is none of F64, F32, I64, I32 and U8.
    pub fn optional(&self, name: &str) -> Result<Option<ArrayD<f64>>> {
        let failed = |found: String| Error::data(format!("{}, tensor '{name}'", self.place)).found(found);
        let Some(entry) = self.header.info(name) else { return Ok(None) };
        let data = self.data.get(entry.data_offsets.0..entry.data_offsets.1).unwrap_or_default();
        let values: Vec<f64> = match entry.dtype {
            Dtype::F64 => data.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
            Dtype::F32 => data.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
            Dtype::I64 => data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect(),
            Dtype::I32 => data.as_chunks::<4>().0.iter().map(|bytes| f64::from(i32::from_le_bytes(*bytes))).collect(),
            Dtype::U8 => data.iter().map(|byte| f64::from(*byte)).collect(),
            other => {
                return Err(failed(format!("{other:?}"))
                    .expected("F64, F32, I64, I32 or U8")
                    .remedy("Convert the array to float32 before it is saved."));
            }
        };
        ArrayD::from_shape_vec(IxDyn(&entry.shape), values).map(Some).map_err(|error| failed(error.to_string()))
    }

    /// An array that must be there, of `axes` axes (as in `[N, L, W]`, for the error).
    ///
    /// # Errors
    /// When it is absent or has another number of axes.
    pub fn required(&self, name: &str, axes: &str) -> Result<ArrayD<f64>> {
        let Some(array) = self.optional(name)? else {
            return Err(Error::data(&self.place)
                .found(format!("the tensors {}", self.names().join(", ")))
                .expected(format!("'{name}' {axes} among them"))
                .remedy("The documentation has the layouts of all families under \"Spectra with a network per pixel\"."));
        };
        let n_axes = axes.split(',').count();
        if array.ndim() != n_axes {
            return Err(Error::data(format!("{}, tensor '{name}'", self.place))
                .found(format!("shape {:?}", array.shape()))
                .expected(format!("{n_axes} axes, {axes}")));
        }
        Ok(array)
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// How many tensors there are.
    pub fn n_tensors(&self) -> usize {
        self.header.tensors().len()
    }

    /// Names of the tensors, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.header.tensors().into_keys().collect();
        names.sort();
        names
    }
}

/// Arrays to be written.
#[derive(Default)]
pub(super) struct TensorWriter {
    parts: Vec<Entry>,
    metadata: HashMap<String, String>,
}

impl TensorWriter {
    /// Adds an array in single precision.
    pub fn single(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f32>) {
        self.parts.push(file::of_floats(name.into(), shape.to_vec(), values));
    }

    /// Adds an array in double precision.
    pub fn double(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f64>) {
        let bytes = values.into_iter().flat_map(f64::to_le_bytes).collect();
        self.parts.push((name.into(), Dtype::F64, shape.to_vec(), bytes));
    }

    /// Adds a text.
    pub fn text(&mut self, key: &str, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }

    /// Writes the file, atomically.
    ///
    /// # Errors
    /// When it exists and `overwrite` is false, or cannot be written.
    pub fn write(self, path: &Path, overwrite: bool) -> Result<()> {
        let failed = |error: safetensors::SafeTensorError| Error::output(path.display().to_string()).found(error.to_string());
        let bytes = file::bytes(&self.parts, Some(self.metadata.clone())).map_err(failed)?;
        crate::table::write_atomically(path, overwrite, |file| file.write_all(&in_order(bytes)))
    }
}

/// The same file with the keys of its header sorted: the library has them in the order of a hash table, which
/// differs between runs.
fn in_order(mut bytes: Vec<u8>) -> Vec<u8> {
    let Some((length, rest)) = bytes.split_first_chunk_mut::<8>() else { return bytes };
    let length = u64::from_le_bytes(*length) as usize;
    let sorted =
        rest.get(..length).and_then(|header| serde_json::from_slice::<BTreeMap<String, BTreeMap<String, Value>>>(header).ok());
    let sorted = sorted.and_then(|header| serde_json::to_vec(&header).ok());
    if let (Some(header), Some(mut sorted)) = (rest.get_mut(..length), sorted) {
        // The header is as long as before, spaces at the end included.
        if sorted.len() <= length {
            sorted.resize(length, b' ');
            header.copy_from_slice(&sorted);
        }
    }
    bytes
}
