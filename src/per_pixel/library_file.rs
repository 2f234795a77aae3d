//! Gradient libraries in files: safetensors, because every language of synthesis codes writes it in a line,
//! arrays keep their three axes, and models use it too (in Parquet, `[N, L, W]` would be lists of lists).

use super::labels::canonical_name;
use super::library::GradientLibrary;
use super::tensor_file::{TensorFile, TensorWriter};
use crate::error::{Error, Result};
use ndarray::{Array, Array1, Array2, Array3, ArrayD, Dimension};
use std::path::Path;

/// Below this, `atmosphere_quality` says that the model atmosphere is doubtful.
const DOUBTFUL_ATMOSPHERE: f64 = 0.006;

impl GradientLibrary {
    /// Reads a library; references with a doubtful atmosphere are left out.
    ///
    /// # Errors
    /// When the file is damaged, lacks a tensor, or its content contradicts itself
    /// ([`GradientLibrary::check`]).
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        let metadata = |key: &str| {
            file.text(key).ok_or_else(|| {
                Error::data(file.place())
                    .found(format!("no '{key}' in the metadata"))
                    .expected("label_names, resolution and wavelength")
                    .remedy("Pass `metadata={…}` to safetensors' save_file, as the documentation of the layout shows.")
            })
        };
        let names: Vec<String> = metadata("label_names")?.split(',').map(canonical_name).collect();
        let units = match file.text("label_units") {
            Some(units) => units.split(',').map(|unit| unit.trim().to_owned()).collect(),
            None => vec![String::new(); names.len()],
        };
        let resolution = resolution_of(file.place(), metadata("resolution")?)?;
        let medium = metadata("wavelength")?;
        if !medium.to_lowercase().contains("vacuum") {
            return Err(Error::data(format!("{}, metadata 'wavelength'", file.place()))
                .found(format!("'{medium}'"))
                .expected("'vacuum angstrom'")
                .remedy("Convert the wavelengths to vacuum, in Å."));
        }
        let wavelength: Vec<f64> = match file.optional("log10_wavelength")? {
            Some(logarithms) => logarithms.iter().map(|value| 10_f64.powf(*value)).collect(),
            None => file.required("wavelength", "[W]")?.iter().copied().collect(),
        };
        let labels: Array2<f64> = axes(&file, "labels", file.required("labels", "[N, L]")?)?;
        let flux: Array2<f64> = axes(&file, "flux", file.required("flux", "[N, W]")?)?;
        let gradient: Array3<f64> = axes(&file, "gradient", file.required("gradient", "[N, L, W]")?)?;
        let steps: Array1<f64> = match file.optional("steps")? {
            Some(steps) => axes(&file, "steps", steps)?,
            None => Array1::zeros(names.len()),
        };
        let library = Self {
            names,
            units,
            wavelength,
            resolution,
            labels,
            flux: flux.mapv(|value| value as f32),
            gradient: gradient.mapv(|value| value as f32),
            steps: steps.to_vec(),
            origin: file.place().to_owned(),
        };
        library.check()?;
        let Some(quality) = file.optional("atmosphere_quality")? else { return Ok(library) };
        let quality: Array1<f64> = axes(&file, "atmosphere_quality", quality)?;
        if quality.len() != library.labels.nrows() {
            return Err(Error::data(format!("{}, tensor 'atmosphere_quality'", file.place()))
                .found(format!("{} numbers", quality.len()))
                .expected(format!("{}, one a reference", library.labels.nrows())));
        }
        let good: Vec<usize> = (0..quality.len()).filter(|&i| quality[i] >= DOUBTFUL_ATMOSPHERE).collect();
        Ok(if good.len() < quality.len() { library.select(&good) } else { library })
    }

    /// Writes the library.
    ///
    /// # Errors
    /// As [`GradientLibrary::check`]; when the file exists and `overwrite` is false, or cannot be written.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        self.check()?;
        let mut file = TensorWriter::default();
        file.text("label_names", self.names.join(","));
        file.text("label_units", self.units.join(","));
        file.text("wavelength", "vacuum angstrom");
        file.text("gradient_units", "per unit of the label");
        file.text("resolution", format!("{} (FWHM, Gaussian)", self.resolution));
        file.text("origin", &self.origin);
        let (n, l, w) = self.gradient.dim();
        file.double("labels", &[n, l], self.labels.iter().copied());
        file.double("wavelength", &[w], self.wavelength.iter().copied());
        file.double("steps", &[l], self.steps.iter().copied());
        file.single("flux", &[n, w], self.flux.iter().copied());
        file.single("gradient", &[n, l, w], self.gradient.iter().copied());
        file.write(path, overwrite)
    }
}

/// The number at the start of "1800 (FWHM, Gaussian)".
fn resolution_of(place: &str, text: &str) -> Result<f64> {
    let number = text.split([' ', '(']).next().unwrap_or_default();
    number.parse().map_err(|_| {
        Error::data(format!("{place}, metadata 'resolution'"))
            .found(format!("'{text}'"))
            .expected("the resolving power λ/FWHM, as in \"1800 (FWHM, Gaussian)\"")
    })
}

fn axes<D: Dimension>(file: &TensorFile, name: &str, array: ArrayD<f64>) -> Result<Array<f64, D>> {
    array
        .into_dimensionality()
        .map_err(|error| Error::data(format!("{}, tensor '{name}'", file.place())).found(error.to_string()))
}
