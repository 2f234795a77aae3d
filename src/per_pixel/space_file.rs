//! What models have in common in their files: names of layers, the activation, labels and wavelengths as
//! `minimum [L]`, `maximum [L]`, `wavelength [W]` (may be absent), metadata `label_names`, `label_units`.
//! Published files have `w_array_0`, `b_array_0`, …, `x_min`, `x_max`.

use super::activation::Activation;
use super::labels::{LabelSpace, canonical_name};
use super::tensor_file::{TensorFile, TensorWriter};
use crate::error::{Error, Result};
use crate::quantity::Quantity;
use ndarray::ArrayD;

/// Names of the tensors of a network's layers.
#[derive(Clone, Copy)]
pub(super) struct LayerNames {
    /// The published layout.
    pub published: bool,
}

impl LayerNames {
    /// Those that a file has.
    pub fn of(file: &TensorFile) -> Self {
        Self { published: file.has("w_array_0") }
    }

    /// Name of the kernel (`w`) or bias (`b`) of a layer.
    pub fn name(self, kind: &str, layer: usize) -> String {
        if self.published { format!("{kind}_array_{layer}") } else { format!("{kind}{layer}") }
    }

    /// The activation of the metadata, which published files may lack.
    ///
    /// # Errors
    /// `Model`, when it is absent from a file of our own, or unknown.
    pub fn activation(self, file: &TensorFile, of_published: Activation) -> Result<Activation> {
        match file.text("activation") {
            None if self.published => Ok(of_published),
            text => text.and_then(Activation::named).ok_or_else(|| {
                Error::model(format!("{}, metadata 'activation'", file.place()))
                    .found(text.unwrap_or("nothing"))
                    .expected("tanh, sigmoid or leaky_relu")
            }),
        }
    }
}

/// Adds labels and wavelengths.
pub(super) fn write_space(file: &mut TensorWriter, space: &LabelSpace, wavelength: &[f64]) {
    let n = space.len();
    file.double("minimum", &[n], space.minimum.iter().copied());
    file.double("maximum", &[n], space.maximum.iter().copied());
    if !wavelength.is_empty() {
        file.double("wavelength", &[wavelength.len()], wavelength.iter().copied());
    }
    file.text("label_names", space.names.join(","));
    file.text("label_units", space.units.join(","));
}

/// Reads labels, of which there are `n`, and wavelengths.
///
/// # Errors
/// When a tensor or the names are absent, or contradict each other.
pub(super) fn read_space(file: &TensorFile, n: usize, published: bool) -> Result<(LabelSpace, Vec<f64>)> {
    let ranges = if published { ["x_min", "x_max"] } else { ["minimum", "maximum"] };
    let [minimum, maximum] = [file.required(ranges[0], "[L]")?, file.required(ranges[1], "[L]")?];
    let text = |key: &str| file.text(key).map(|text| text.split(',').map(|part| part.trim().to_owned()).collect());
    let names: Vec<String> = text("label_names").ok_or_else(|| {
        Error::model(file.place())
            .found("no 'label_names' in the metadata")
            .expected(format!("the names of the {n} labels, separated by commas"))
            .remedy("Pass `metadata={\"label_names\": \"teff,logg,…\"}` to safetensors' save_file.")
    })?;
    let units = text("label_units").unwrap_or_else(|| vec![String::new(); names.len()]);
    // Models of our own have the names of the columns that they were trained with.
    let names = if published { names.iter().map(|name| canonical_name(name)).collect() } else { names };
    let space = LabelSpace::new(names, units, minimum.iter().copied().collect(), maximum.iter().copied().collect())
        .map_err(|error| error.within(file.place()))?;
    if published {
        require_possible(&space).map_err(|error| error.within(file.place()))?;
    }
    let wavelength = file.optional("wavelength")?.map(|values| values.iter().copied().collect()).unwrap_or_default();
    Ok((space, wavelength))
}

/// Fails where the range of a label is one that no star has: published files state neither names nor units,
/// and whoever adds them may take another order or another unit than the training did.
///
/// # Errors
/// `Model`, naming the label, what was found and what is possible.
fn require_possible(space: &LabelSpace) -> Result<()> {
    for (k, name) in space.names.iter().enumerate() {
        let quantity = Quantity::of(name).with_unit(&space.units[k]);
        let is_possible = |factor: f64| {
            let within = |value: f64| (quantity.range[0]..=quantity.range[1]).contains(&(factor * value));
            within(space.minimum[k]) && within(space.maximum[k])
        };
        if is_possible(1.0) {
            continue;
        }
        let unit = quantity.unit.clone().unwrap_or_default();
        let guess = if unit == "K" && is_possible(1e3) { ", which looks like kK" } else { "" };
        return Err(Error::model(format!("range of label '{name}'"))
            .found(format!("{} to {} {unit}{guess}", space.minimum[k], space.maximum[k]))
            .expected(quantity.possible())
            .remedy(
                "State the units of the labels in the metadata 'label_units', and the names in the order of x_min and x_max.",
            ));
    }
    Ok(())
}

/// Fails where a tensor has no numbers: it may claim any size along its other axes.
///
/// # Errors
/// `Model`, naming it.
pub(super) fn require_numbers(file: &TensorFile, name: &str, tensor: &ArrayD<f64>) -> Result<()> {
    match tensor.is_empty() {
        false => Ok(()),
        true => Err(Error::model(format!("{}, tensor '{name}'", file.place()))
            .found(format!("shape {:?}", tensor.shape()))
            .expected("no axis of length 0")),
    }
}

/// Fails where a tensor has another shape than the others ask for.
///
/// # Errors
/// `Model`, naming it.
pub(super) fn require_shape(file: &TensorFile, name: &str, tensor: &ArrayD<f64>, shape: &[usize]) -> Result<()> {
    match tensor.shape() == shape {
        true => Ok(()),
        false => Err(Error::model(format!("{}, tensor '{name}'", file.place()))
            .found(format!("shape {:?}", tensor.shape()))
            .expected(format!("{shape:?}, by the shapes of the layers before"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_no_star_has_are_a_wrong_order_or_unit() {
        let fault = |names: [&str; 2], unit: &str, range: [f64; 2]| {
            let units = names.map(|name| if name == "teff" { unit.to_owned() } else { String::new() });
            let names = names.map(String::from).to_vec();
            let space = LabelSpace::new(names, units.to_vec(), vec![range[0], 0.5], vec![range[1], 5.0]).unwrap();
            require_possible(&space).err().map(|error| error.to_string())
        };
        assert_eq!(fault(["teff", "logg"], "K", [4000.0, 8000.0]), None);
        assert_eq!(fault(["teff", "logg"], "", [4000.0, 8000.0]), None);
        assert_eq!(fault(["teff", "logg"], "kK", [4.0, 8.0]), None);
        for unit in ["K", ""] {
            let error = fault(["teff", "logg"], unit, [4.0, 8.0]).unwrap();
            assert!(error.contains("'teff'") && error.contains("4 to 8 K, which looks like kK"), "{error}");
        }
        let error = fault(["logg", "teff"], "K", [4000.0, 8000.0]).unwrap();
        assert!(error.contains("'logg'") && error.contains("4000 to 8000") && error.contains("order"), "{error}");
        let error = fault(["teff", "logg"], "kK", [4000.0, 8000.0]).unwrap();
        assert!(error.contains("4000 to 8000 kK"), "{error}");
    }
}
