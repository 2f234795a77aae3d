//! A joint network as named tensors: `w0 [H, L]`, `b0 [H]`, `w1 [H2, H]`, …, of the last layer `[W, H]` and
//! `[W]`; labels and wavelengths as networks per pixel have them. The Payne's own names (`w_array_0`,
//! `b_array_0`, …, `x_min`, `x_max`) are read too; its public code has the leaky ReLU.

use super::super::activation::Activation;
use super::super::space_file::{LayerNames, read_space, require_numbers, require_shape, write_space};
use super::super::tensor_file::{TensorFile, TensorWriter};
use super::{DenseLayer, JointNetwork};
use crate::error::{Error, Result};
use std::path::Path;

impl JointNetwork {
    /// Writes the network.
    ///
    /// # Errors
    /// When the file exists and `overwrite` is false, or cannot be written.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        let mut file = TensorWriter::default();
        for (index, layer) in self.layers.iter().enumerate() {
            let (outputs, inputs) = layer.kernel.dim();
            file.single(&format!("w{index}"), &[outputs, inputs], layer.kernel.iter().copied());
            file.single(&format!("b{index}"), &[outputs], layer.bias.iter().copied());
        }
        write_space(&mut file, &self.space, &self.wavelength);
        file.text("activation", self.activation.name());
        file.write(path, overwrite)
    }

    /// Reads a network, also of the published layout, whose activation is the leaky ReLU unless the metadata
    /// say `activation`.
    ///
    /// # Errors
    /// When the file is damaged, lacks a tensor, or shapes contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        let names = LayerNames::of(&file);
        // Up to the last one: `required` names one that is missing between.
        let n_layers = (0..file.n_tensors()).rfind(|&index| file.has(&names.name("w", index))).map_or(1, |last| last + 1);
        let mut layers = Vec::new();
        for index in 0..n_layers {
            let (kernel_name, bias_name) = (names.name("w", index), names.name("b", index));
            let (kernel, bias) = (file.required(&kernel_name, "[outputs, inputs]")?, file.required(&bias_name, "[outputs]")?);
            require_numbers(&file, &kernel_name, &kernel)?;
            require_shape(&file, &bias_name, &bias, &kernel.shape()[..1])?;
            let failed = |error: ndarray::ShapeError| Error::model(file.place()).found(error.to_string());
            layers.push(DenseLayer {
                kernel: kernel.mapv(|value| value as f32).into_dimensionality().map_err(failed)?,
                bias: bias.mapv(|value| value as f32).into_dimensionality().map_err(failed)?,
            });
        }
        let activation = names.activation(&file, Activation::LeakyRelu)?;
        let (space, wavelength) = read_space(&file, layers[0].kernel.ncols(), names.published)?;
        Self::new(space, wavelength, activation, layers).map_err(|error| error.within(file.place()))
    }
}
