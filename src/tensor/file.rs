//! Numbers as the bytes of a safetensors file.

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;

/// One tensor of a file: its name, type, shape and little-endian bytes.
pub(crate) type Entry = (String, Dtype, Vec<usize>, Vec<u8>);

/// A tensor of 32-bit floats.
pub(crate) fn of_floats(name: String, shape: Vec<usize>, values: impl IntoIterator<Item = f32>) -> Entry {
    (name, Dtype::F32, shape, values.into_iter().flat_map(f32::to_le_bytes).collect())
}

/// The bytes of a file with these tensors and texts.
///
/// # Errors
/// When a shape is not that of its bytes.
pub(crate) fn bytes(entries: &[Entry], texts: Option<HashMap<String, String>>) -> Result<Vec<u8>, SafeTensorError> {
    let views = entries
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.clone(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()?;
    safetensors::serialize(views, texts)
}
