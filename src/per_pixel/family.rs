//! Which family of models a file of tensors is of.

use super::tensor_file::TensorFile;
use crate::error::{Error, Result};
use std::path::Path;

/// Families of models of spectra, told by their tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// [`PixelNetworks`](super::PixelNetworks): a first layer `[W, H, L]`.
    Networks,
    /// [`PixelPolynomials`](super::PixelPolynomials): `coefficients`.
    Polynomials,
    /// [`JointNetwork`](super::JointNetwork): a first layer `[H, L]`.
    Joint,
}

impl Family {
    /// That of a file.
    ///
    /// # Errors
    /// When the file cannot be read, or has the tensors of none.
    pub fn of(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        if file.has("coefficients") {
            return Ok(Self::Polynomials);
        }
        let first = ["w_array_0", "w0"].into_iter().find_map(|name| file.optional(name).transpose()).transpose()?;
        match first.as_ref().map(|first| first.ndim()) {
            Some(3) => Ok(Self::Networks),
            Some(2) => Ok(Self::Joint),
            found => Err(Error::data(file.place())
                .found(match found {
                    Some(axes) => format!("a first layer of {axes} axes"),
                    None => "no first layer of a network, and no coefficients".into(),
                })
                .expected(
                    "'w_array_0' (or 'w0') [W, H, L] of networks per pixel or [H, L] of one network, or 'coefficients' [W, T]",
                )
                .remedy("The documentation has the layouts of all families under \"Spectra with a network per pixel\".")),
        }
    }
}
