//! Pixel networks as named tensors: `w0 [W,H,L]`, `b0 [W,H]`, `w1 [W,H]`, `b1 [W]`; with two hidden layers
//! `w1 [W,H2,H]`, `b1 [W,H2]`, `w2 [W,H2]`, `b2 [W]`; `minimum [L]`, `maximum [L]`, `wavelength [W]`. The
//! published names (`w_array_0`, `b_array_0`, …, `x_min`, `x_max`) are read too.

use super::activation::Activation;
use super::labels::LabelSpace;
use super::network::{Architecture, PixelNetworks};
use super::space_file::{LayerNames, read_space, require_numbers, require_shape, write_space};
use super::tensor_file::{TensorFile, TensorWriter};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayD, ArrayView2, s};
use std::path::Path;

impl PixelNetworks {
    /// Writes the networks.
    ///
    /// # Errors
    /// When the file exists and `overwrite` is false, or cannot be written.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        let mut file = TensorWriter::default();
        let w = self.n_pixels();
        let last = self.architecture.widths.len() - 1;
        for (index, (inputs, outputs)) in self.architecture.layers().enumerate() {
            let (kernel, bias) = self.architecture.place(index);
            let shape: &[usize] = if index == last { &[w, inputs] } else { &[w, outputs, inputs] };
            file.single(&format!("w{index}"), shape, self.parameters.slice(s![.., kernel]).iter().copied());
            let shape: &[usize] = if index == last { &[w] } else { &[w, outputs] };
            file.single(&format!("b{index}"), shape, self.parameters.slice(s![.., bias]).iter().copied());
        }
        write_space(&mut file, &self.space, &self.wavelength);
        file.text("activation", self.architecture.activation.name());
        file.write(path, overwrite)
    }

    /// Reads networks, also those of the published layout, whose activation is the sigmoid unless the
    /// metadata say `activation`.
    ///
    /// # Errors
    /// When the file is damaged, lacks a tensor, or shapes contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        let names = LayerNames::of(&file);
        let first = file.required(&names.name("w", 0), "[W, H, L]")?;
        require_numbers(&file, &names.name("w", 0), &first)?;
        let [w, hidden, n] = [first.shape()[0], first.shape()[1], first.shape()[2]];
        let n_layers = if file.has(&names.name("w", 2)) { 3 } else { 2 };
        let mut widths = vec![hidden];
        if n_layers == 3 {
            let second = file.required(&names.name("b", 1), "[W, H2]")?;
            require_numbers(&file, &names.name("b", 1), &second)?;
            widths.push(second.shape()[1]);
        }
        let activation = names.activation(&file, Activation::Sigmoid)?;
        let architecture = Architecture::new(n, &widths, activation).map_err(|error| error.within(file.place()))?;
        let mut layers = Vec::new();
        for (index, (inputs, outputs)) in architecture.layers().enumerate() {
            let (kernel, bias) = architecture.place(index);
            let is_last = index + 1 == n_layers;
            let (kernel_axes, bias_axes) = if is_last { ("[W, H]", "[W]") } else { ("[W, H, inputs]", "[W, H]") };
            let (kernel_shape, bias_shape) =
                if is_last { (vec![w, inputs], vec![w]) } else { (vec![w, outputs, inputs], vec![w, outputs]) };
            for (kind, axes, shape, place) in [("w", kernel_axes, kernel_shape, kernel), ("b", bias_axes, bias_shape, bias)] {
                let name = names.name(kind, index);
                let tensor: ArrayD<f64> = file.required(&name, axes)?;
                require_shape(&file, &name, &tensor, &shape)?;
                let values = tensor.iter().map(|value| *value as f32).collect();
                let values = Array2::from_shape_vec((w, place.len()), values)
                    .map_err(|error| Error::model(file.place()).found(error.to_string()))?;
                layers.push((place, values));
            }
        }
        // Every number of it has been read from the file.
        let mut parameters = Array2::<f32>::zeros((w, architecture.n_parameters()));
        for (place, values) in layers {
            parameters.slice_mut(s![.., place]).assign(&values);
        }
        let (space, wavelength) = read_space(&file, n, names.published)?;
        Self::new(space, wavelength, architecture, parameters).map_err(|error| error.within(file.place()))
    }
}

/// Writes labels `[N, L]` of a space, by the name `labels`.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_labels(path: &Path, space: &LabelSpace, labels: ArrayView2<f64>) -> Result<()> {
    let mut file = TensorWriter::default();
    file.double("labels", &[labels.nrows(), labels.ncols()], labels.iter().copied());
    file.text("label_names", space.names.join(","));
    file.write(path, false)
}

/// Reads labels `[N, L]` of a space.
///
/// # Errors
/// When the file is damaged, or has other labels.
pub fn read_labels(path: &Path, space: &LabelSpace) -> Result<Array2<f64>> {
    let file = TensorFile::read(path)?;
    let expected = space.names.join(",");
    if file.text("label_names") != Some(&expected) {
        return Err(Error::model(format!("{}, metadata 'label_names'", file.place()))
            .found(file.text("label_names").unwrap_or("nothing"))
            .expected(expected));
    }
    let labels = file.required("labels", "[N, L]")?;
    let labels = labels.into_dimensionality().map_err(|error| Error::model(file.place()).found(error.to_string()))?;
    super::labels::check_columns(file.place(), space.len(), labels.view())?;
    Ok(labels)
}
