//! Everything that a training run carries from epoch to epoch, so that it can be stopped and resumed to the
//! bit.

use super::binaries::Binaries;
use super::recipe::DataRecipe;
use crate::error::{Error, Result};
use crate::learn::Parts;
use crate::model::{ForwardModel, Transform};
use crate::observations::{Observations, hash64, in_validation};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Name of the stars' coordinates among what was learned.
const COORDINATES: &str = "coordinates";

/// What a star is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The weights are trained on it.
    Training,
    /// It never trains, and decides which state of the weights is kept.
    Stopping,
    /// It neither trains nor decides: the errors of the model are estimated from it.
    Testing,
}

/// One line of the training history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    pub stage: String,
    /// Epoch over the whole run, from zero.
    pub epoch: u32,
    pub learning_rate: f64,
    /// Mean flux loss of the training stars per finite flux.
    pub training_loss: f64,
    /// The same for the stopping stars, a part of the validation stars, where they have followed the weights
    /// if stars move.
    pub validation_loss: f64,
}

/// Weights, stars and bookkeeping.
#[derive(Clone)]
pub struct TrainingState {
    pub model: ForwardModel,
    /// Coordinates of all stars `[N, P]`.
    pub coordinates: Array2<f64>,
    /// Stars that have not been removed by cleaning `[N]`.
    pub kept: Vec<bool>,
    /// What every star is used for `[N]`.
    pub part: Vec<Part>,
    /// The unresolved binaries among them, where the recipe asks for them and they have been estimated.
    pub binaries: Option<Binaries>,
    /// Index of the current stage.
    pub stage: usize,
    pub history: Vec<EpochRecord>,
}

impl TrainingState {
    /// The testing stars, kept or not, that are single as far as is known: a pair says nothing of the zero
    /// point of its parallax.
    pub(super) fn single_testing_stars(&self) -> Vec<usize> {
        let is_pair = |star: usize| self.binaries.as_ref().is_some_and(|binaries| binaries.probability[star] > 0.5);
        (0..self.part.len()).filter(|&star| self.part[star] == Part::Testing && !is_pair(star)).collect()
    }

    /// Weights and coordinates, by name.
    pub(super) fn learned(&self) -> Result<Parts> {
        let mut parts = Parts::default();
        for name in self.model.weights.names() {
            parts.numbers.insert(format!("weights.{name}"), self.model.weights.values(name)?);
        }
        parts.numbers.insert(COORDINATES.to_owned(), self.coordinates.iter().copied().collect());
        Ok(parts)
    }

    /// Takes up what [`TrainingState::learned`] gave.
    ///
    /// # Errors
    /// When it is of another model or of other stars.
    pub(super) fn restore(&mut self, parts: &Parts) -> Result<()> {
        let device = self.model.device().clone();
        for name in self.model.weights.names().to_vec() {
            self.model.weights.set(&name, parts.numbers_of(&format!("weights.{name}"))?, &device)?;
        }
        let coordinates = parts.numbers_of(COORDINATES)?.to_vec();
        self.coordinates = Array2::from_shape_vec(self.coordinates.dim(), coordinates)
            .map_err(|error| Error::data("coordinates of the stars").found(error.to_string()).expected("those of this run"))?;
        Ok(())
    }

    /// Stars at their measured values, labels standardised by the training stars, the emulator at the mean
    /// spectrum.
    ///
    /// # Errors
    /// When the model cannot be evaluated.
    pub fn start(mut model: ForwardModel, observations: &Observations, recipe: &DataRecipe) -> Result<Self> {
        let part: Vec<Part> = observations.ids.iter().map(|&id| Part::of(id, recipe)).collect();
        let training: Vec<usize> = (0..observations.len()).filter(|&star| part[star] == Part::Training).collect();
        standardise(&mut model, observations, &training);
        let coordinates = measured_coordinates(&model, observations);
        absorb_mean_spectrum(&mut model, observations, &training, &coordinates)?;
        let n = observations.len();
        Ok(Self { model, coordinates, kept: vec![true; n], part, binaries: None, stage: 0, history: Vec::new() })
    }

    /// All kept stars, in order.
    pub fn kept_stars(&self) -> Vec<usize> {
        (0..self.kept.len()).filter(|&star| self.kept[star]).collect()
    }

    /// The kept stars of a part, in order.
    pub fn stars(&self, part: Part) -> Vec<usize> {
        (0..self.kept.len()).filter(|&star| self.kept[star] && self.part[star] == part).collect()
    }
}

impl Part {
    /// The part of a star, by hashes of its identifier.
    fn of(id: i64, recipe: &DataRecipe) -> Self {
        // The seed of the second hash makes it independent of the first, which decides on validation.
        match in_validation(id, recipe.validation_fraction) {
            false => Self::Training,
            true if (hash64(id, 1) as f64) < recipe.stopping_fraction * (u64::MAX as f64) => Self::Stopping,
            true => Self::Testing,
        }
    }
}

/// Θ₀ = median and s = ½(p84 − p16) of the measured training labels, and their 0.5–99.5 percentile range
/// (spec 1 §1).
fn standardise(model: &mut ForwardModel, observations: &Observations, training: &[usize]) {
    for parameter in &mut model.space.parameters {
        let factor = parameter.model_units_per_file_unit;
        let measured = training.iter().filter_map(|&star| observations.constraint(&parameter.name, star));
        let mut values: Vec<f64> = measured.map(|(value, _)| value * factor).collect();
        if values.is_empty() {
            continue;
        }
        values.sort_by(f64::total_cmp);
        let percentile = |fraction: f64| values[(fraction * (values.len() - 1) as f64).round() as usize];
        parameter.training_range = Some([percentile(0.005), percentile(0.995)]);
        if parameter.is_label() {
            let transformed = |fraction: f64| parameter.transformed(percentile(fraction));
            // A sample without spread (one star, a constant column) keeps the unit scale.
            let scale = 0.5 * (transformed(0.84) - transformed(0.16));
            parameter.centre = transformed(0.5);
            parameter.scale = if scale > 0.0 { scale } else { 1.0 };
        }
    }
}

/// Coordinates at the measured values `[N, P]`; where the parameter starts where there is no measurement.
///
/// Positive parameters start where a flat prior on them puts the maximum, which is positive for any measured
/// value.
fn measured_coordinates(model: &ForwardModel, observations: &Observations) -> Array2<f64> {
    Array2::from_shape_fn((observations.len(), model.space.len()), |(star, position)| {
        let parameter = &model.space.parameters[position];
        let factor = parameter.model_units_per_file_unit;
        match (observations.constraint(&parameter.name, star), parameter.transform) {
            (Some((value, error)), Transform::Logarithm) => {
                parameter.coordinate(crate::prior::maximum_a_posteriori(value * factor, error * factor))
            }
            (Some((value, _)), Transform::Identity) => parameter.coordinate(value * factor),
            (None, _) => parameter.start_coordinate(),
        }
    })
}

/// Adds the median of ln(f_obs/f_pred) at every wavelength to the emulator, so that training starts at the
/// mean star.
fn absorb_mean_spectrum(
    model: &mut ForwardModel,
    observations: &Observations,
    training: &[usize],
    coordinates: &Array2<f64>,
) -> Result<()> {
    // A few thousand stars fix a median to a per cent, and a start needs no more.
    let sample: Vec<usize> = training.iter().copied().step_by(training.len().div_ceil(4000).max(1)).collect();
    let predicted = model.predict(coordinates.select(ndarray::Axis(0), &sample).view())?;
    let offsets: Vec<f64> = (0..model.grid.len())
        .map(|w| {
            let ratio = |(row, &star): (usize, &usize)| {
                let (flux, error) = (observations.flux[[star, w]], observations.flux_error[[star, w]]);
                (flux > 3.0 * error).then(|| (f64::from(flux) / predicted[[row, w]]).ln())
            };
            let mut ratios: Vec<f64> = sample.iter().enumerate().filter_map(ratio).filter(|ln| ln.is_finite()).collect();
            ratios.sort_by(f64::total_cmp);
            ratios.get(ratios.len() / 2).copied().unwrap_or(0.0)
        })
        .collect();
    model.absorb_offset(&offsets)
}
