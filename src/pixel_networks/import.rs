//! Models of spectra that were trained elsewhere: a file of tensors becomes a package.

use super::package::{PixelCard, SpectralCore, SpectralPackage};
use super::spectral_model::SpectralModel;
use super::training::ANGSTROM;
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::per_pixel::{Family, JointNetwork, LabelSpace, PixelNetworks, PixelPolynomials};
use crate::spectrum::Medium;
use crate::statistics::evenly_filling_steps;
use ndarray::{Array2, Axis};
use std::path::Path;
use std::sync::Arc;

/// Labels at which fits begin.
const TEMPLATES: usize = 200;

/// What a file of tensors does not say.
#[derive(Debug, Clone, Default)]
pub struct Import {
    pub description: String,
    /// Resolving power λ/FWHM of the spectra that trained it; 0 where it is not known.
    pub resolution: f64,
    /// Labels `[n, L]` of its training stars, at some of which fits begin, and what they are of, for
    /// messages; without any, fits begin at labels that fill its ranges.
    pub stars: Option<(String, Array2<f64>)>,
}

/// Reads a model of any family that is built in, with its wavelengths (Å, vacuum), in the layouts of
/// `docs/src/payne.md` or of the published programs, and writes its package.
///
/// # Errors
/// When the file is damaged, lacks a tensor, or its content contradicts itself; when none of the stars is
/// within the model's ranges; when the folder cannot be written.
pub fn import(file: &Path, import: &Import, output: &Path, overwrite: bool) -> Result<Arc<SpectralCore>> {
    match Family::of(file)? {
        Family::Networks => save::<PixelNetworks>(file, import, output, overwrite),
        Family::Polynomials => save::<PixelPolynomials>(file, import, output, overwrite),
        Family::Joint => save::<JointNetwork>(file, import, output, overwrite),
    }
}

/// The labels of a model in a file, in their order.
///
/// # Errors
/// As [`import`].
pub fn labels_of(file: &Path) -> Result<LabelSpace> {
    fn space<M: SpectralModel>(file: &Path) -> Result<LabelSpace> {
        Ok(M::read(file)?.engine().space().clone())
    }
    match Family::of(file)? {
        Family::Networks => space::<PixelNetworks>(file),
        Family::Polynomials => space::<PixelPolynomials>(file),
        Family::Joint => space::<JointNetwork>(file),
    }
}

fn save<M: SpectralModel>(file: &Path, import: &Import, output: &Path, overwrite: bool) -> Result<Arc<SpectralCore>> {
    let place = file.display().to_string();
    if !(import.resolution.is_finite() && import.resolution >= 0.0) {
        return Err(Error::usage("resolution").found(import.resolution.to_string()).expected("the resolving power λ/FWHM"));
    }
    let model = M::read(file)?;
    let engine = model.engine();
    let wavelength = engine.wavelength();
    if wavelength.is_empty() {
        return Err(Error::data(&place)
            .found("no tensor 'wavelength'")
            .expected("'wavelength' [W], the pixels of the model, vacuum Å")
            .remedy("Add it to the file, as the documentation shows under \"Networks from elsewhere\"."));
    }
    if !wavelength.is_sorted_by(|one, next| one < next) {
        return Err(Error::data(format!("{place}, tensor 'wavelength'"))
            .found("wavelengths that do not rise")
            .expected("vacuum Å in rising order"));
    }
    let names = (0..wavelength.len()).map(|pixel| format!("pixel_{pixel}")).collect();
    let mut grid = Grid::new(wavelength.iter().map(|angstrom| angstrom / ANGSTROM).collect(), names)?;
    grid.medium = Some(Medium::Vacuum);
    let templates = match &import.stars {
        Some((name, stars)) => some_of(stars, engine.space()).map_err(|error| error.within(name))?,
        None => filling(engine.space(), TEMPLATES),
    };
    let card =
        PixelCard { description: import.description.clone(), resolution: import.resolution, ..PixelCard::of_grid::<M>(grid) };
    let package = SpectralPackage::new(card, model, templates).map_err(|error| error.within(&place))?;
    package.save(output, overwrite, |_| Ok(()))?;
    Ok(package.core)
}

/// Some of the stars that have all labels within the ranges, spread evenly over the table.
fn some_of(stars: &Array2<f64>, space: &LabelSpace) -> Result<Array2<f64>> {
    let is_within = |star: &usize| {
        let labels = stars.row(*star);
        (0..space.len()).all(|k| (space.minimum[k]..=space.maximum[k]).contains(&labels[k]))
    };
    let known: Vec<usize> = (0..stars.nrows()).filter(is_within).collect();
    if known.is_empty() {
        return Err(Error::data("stars")
            .found(format!("none of {} with all of {} within the model's ranges", stars.nrows(), space.names.join(", ")))
            .expected("labels of the training stars")
            .remedy("Check names and units of the columns, or leave the table out."));
    }
    let n = known.len().min(TEMPLATES);
    let some: Vec<usize> = (0..n).map(|i| known[i * known.len() / n]).collect();
    Ok(stars.select(Axis(0), &some))
}

/// Labels that fill the ranges of the core labels evenly, with abundance ratios as near to 0 as their ranges
/// go.
fn filling(space: &LabelSpace, n: usize) -> Array2<f64> {
    let ratios = space.abundance_ratios();
    let mut steps = evenly_filling_steps(ratios.iter().filter(|is_ratio| !**is_ratio).count()).into_iter().peekable();
    let mut labels = Array2::zeros((n, space.len()));
    for (k, is_ratio) in ratios.into_iter().enumerate() {
        let (minimum, maximum) = (space.minimum[k], space.maximum[k]);
        let Some(step) = steps.next_if(|_| !is_ratio) else {
            labels.column_mut(k).fill(0.0_f64.clamp(minimum, maximum));
            continue;
        };
        for (i, label) in labels.column_mut(k).iter_mut().enumerate() {
            *label = minimum + space.width(k) * (0.5 + step * i as f64).fract();
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_fill_the_ranges() {
        let names = ["teff", "logg", "feh", "mg_fe", "c_fe"].map(String::from).to_vec();
        let (low, high) = (vec![4000.0, 0.0, -2.5, -0.3, 0.1], vec![8000.0, 5.0, 0.5, 0.6, 0.9]);
        let space = LabelSpace::new(names, vec![String::new(); 5], low, high).unwrap();
        let labels = filling(&space, 200);
        assert!(labels.column(3).iter().all(|label| *label == 0.0) && labels.column(4).iter().all(|label| *label == 0.1));
        // Every eighth of the cube of core labels has some of 200 points (25 on average; 21 to 29 seen).
        let scaled = space.scale(labels.view());
        let mut counts = [0; 8];
        for row in scaled.outer_iter() {
            assert!((0..3).all(|k| (-0.5..=0.5).contains(&row[k])));
            counts[(0..3).map(|k| usize::from(row[k] > 0.0) << k).sum::<usize>()] += 1;
        }
        assert!(counts.iter().all(|count| (18..33).contains(count)), "{counts:?}");
        let stars = ndarray::array![[5000.0, 4.0, 0.0, 0.0, 0.5], [5000.0, f64::NAN, 0.0, 0.0, 0.5], [5.0, 4.0, 0.0, 0.0, 0.5]];
        assert_eq!(some_of(&stars, &space).unwrap(), stars.select(Axis(0), &[0]));
        let error = some_of(&stars.select(Axis(0), &[1, 2]), &space).unwrap_err().to_string();
        assert!(error.contains("none of 2") && error.contains("units"), "{error}");
    }
}
