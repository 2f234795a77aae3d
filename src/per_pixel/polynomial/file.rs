//! Polynomials as named tensors: `coefficients [W, T]`, `powers [T, L]`, labels and wavelengths as networks
//! have them.

use super::super::space_file::{read_space, require_numbers, require_shape, write_space};
use super::super::tensor_file::{TensorFile, TensorWriter};
use super::{PixelPolynomials, Terms};
use crate::error::{Error, Result};
use std::path::Path;

impl PixelPolynomials {
    /// Writes the polynomials.
    ///
    /// # Errors
    /// When the file exists and `overwrite` is false, or cannot be written.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        let mut file = TensorWriter::default();
        let (w, t) = self.coefficients.dim();
        file.single("coefficients", &[w, t], self.coefficients.iter().copied());
        file.single("powers", &[t, self.space.len()], self.terms.powers().iter().flatten().map(|power| f32::from(*power)));
        write_space(&mut file, &self.space, &self.wavelength);
        file.write(path, overwrite)
    }

    /// Reads polynomials.
    ///
    /// # Errors
    /// When the file is damaged, lacks a tensor, or shapes contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        let (coefficients, powers) = (file.required("coefficients", "[W, T]")?, file.required("powers", "[T, L]")?);
        require_numbers(&file, "coefficients", &coefficients)?;
        require_numbers(&file, "powers", &powers)?;
        let (w, t, l) = (coefficients.shape()[0], coefficients.shape()[1], powers.shape()[1]);
        require_shape(&file, "powers", &powers, &[t, l])?;
        let power = |value: &f64| match value.fract() == 0.0 && (0.0..=255.0).contains(value) {
            true => Ok(*value as u8),
            false => {
                Err(Error::model(format!("{}, tensor 'powers'", file.place())).found(value.to_string()).expected("whole numbers"))
            }
        };
        let powers: Vec<Vec<u8>> =
            powers.outer_iter().map(|row| row.iter().map(power).collect::<Result<_>>()).collect::<Result<_>>()?;
        let (space, wavelength) = read_space(&file, l, false)?;
        let terms = Terms::new(l, powers).map_err(|error| error.within(file.place()))?;
        let coefficients = coefficients
            .mapv(|value| value as f32)
            .into_shape_with_order((w, t))
            .map_err(|error| Error::model(file.place()).found(error.to_string()))?;
        Self::new(space, wavelength, terms, coefficients).map_err(|error| error.within(file.place()))
    }
}
