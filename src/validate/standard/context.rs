//! What the sections share: truth, selections, pulls, and columns by name.

use super::SurveyReportInput;
use crate::error::{Error, Result};
use crate::infer::{Estimates, flags};
use crate::model::{ParameterSpace, Transform};
use crate::observations::Observations;
use crate::statistics::median;
use crate::table::{Table, Values};
use ndarray::{Array2, ArrayView1};

/// Least ratio of the true E to its error for stars whose pulls are judged.
const LEAST_EXTINCTION_SIGNAL: f64 = 3.0;

/// Flags that say that a fit is wrong or doubtful: bits 3 to 6 and 11. The others, such as a missing
/// parallax, only say what to beware of.
const DOUBTFUL: i32 =
    flags::POOR_FIT | flags::UNLIKELY_LABELS | flags::PARALLAX_DISAGREES | flags::NOT_CONVERGED | flags::NOT_FITTED;

/// The input with what is derived from it once.
pub(super) struct Context<'a> {
    pub input: SurveyReportInput<'a>,
    /// Stars whose pulls are judged, chosen by their true values; `None` without truth.
    pub selected: Option<Vec<usize>>,
}

impl<'a> Context<'a> {
    pub fn new(input: SurveyReportInput<'a>) -> Result<Self> {
        for estimates in [Some(input.map), input.likelihood].into_iter().flatten() {
            if estimates.ids != input.new_stars.ids {
                return Err(Error::data("estimates of a report")
                    .found(format!("{} stars", estimates.len()))
                    .expected(format!("the {} stars of the observations, in their order", input.new_stars.len())));
            }
        }
        let model = &input.trained.model;
        model.grid.require_same(&input.new_stars.grid)?;
        if let Some(training) = input.training {
            model.grid.require_same(&training.grid)?;
        }
        if let Some(curve) = input.truth_curve.filter(|curve| curve.len() != model.grid.len()) {
            return Err(Error::data("true extinction curve of a report")
                .found(format!("{} values", curve.len()))
                .expected(format!("{}, one per entry of the data vector", model.grid.len())));
        }
        let selected = selected_by_truth(&input);
        Ok(Self { input, selected })
    }

    /// The fit whose errors are judged: without priors if there is one.
    pub fn judged(&self) -> &'a Estimates {
        self.input.likelihood.unwrap_or(self.input.map)
    }

    /// True values of a parameter of the new stars, if they are known.
    pub fn truth(&self, parameter: &str) -> Option<Vec<f64>> {
        numbers(&self.input.new_stars.auxiliary, &format!("true_{parameter}"))
    }

    /// (estimate − truth)/σ of the fitted parameter `index` for `stars`; `None` without truth.
    pub fn pulls(&self, estimates: &Estimates, index: usize, stars: &[usize]) -> Option<Vec<f64>> {
        let position = estimates.fitted[index];
        let truth = self.truth(&estimates.parameters[position].0)?;
        let pull = |&star: &usize| (estimates.values[[star, position]] - truth[star]) / estimates.error(star, index);
        Some(stars.iter().map(pull).collect())
    }

    /// Stars of the default fit without any of the [`DOUBTFUL`] flags.
    pub fn reliable(&self) -> Vec<usize> {
        let map = self.input.map;
        (0..map.len()).filter(|&star| map.flags[star] & DOUBTFUL == 0).collect()
    }

    /// Entries of the data vector by increasing wavelength.
    pub fn ascending(&self) -> Vec<usize> {
        let wavelength = &self.input.trained.model.grid.wavelength;
        let mut order: Vec<usize> = (0..wavelength.len()).collect();
        order.sort_by(|&a, &b| wavelength[a].total_cmp(&wavelength[b]));
        order
    }
}

/// Single stars whose true labels are inside the training range and whose true E is detected.
fn selected_by_truth(input: &SurveyReportInput<'_>) -> Option<Vec<usize>> {
    let table = &input.new_stars.auxiliary;
    let judged = input.likelihood.unwrap_or(input.map);
    let mut stars = inside_training_range(&input.trained.model.space, table)?;
    if let Some(binary) = booleans(table, "true_is_binary") {
        stars.retain(|&star| !binary[star]);
    }
    let index = judged.fitted.iter().position(|&position| judged.parameters[position].0 == "extinction");
    if let (Some(index), Some(truth)) = (index, numbers(table, "true_extinction")) {
        stars.retain(|&star| truth[star] > LEAST_EXTINCTION_SIGNAL * judged.error(star, index));
    }
    Some(stars)
}

/// Stars of a table whose true labels are inside the training range; `None` without the truth.
pub(super) fn inside_training_range(space: &ParameterSpace, table: &Table) -> Option<Vec<usize>> {
    let mut stars: Vec<usize> = (0..table.n_rows()).collect();
    for parameter in space.parameters.iter().filter(|parameter| parameter.is_label()) {
        let truth = numbers(table, &format!("true_{}", parameter.name))?;
        let Some([low, high]) = parameter.training_range else { continue };
        stars.retain(|&star| (low..=high).contains(&(truth[star] * parameter.model_units_per_file_unit)));
    }
    Some(stars)
}

/// A column of numbers, if the table has it.
pub(super) fn numbers(table: &Table, name: &str) -> Option<Vec<f64>> {
    table.get(name).and_then(|column| column.to_f64().ok())
}

/// A column of booleans, if the table has it.
pub(super) fn booleans(table: &Table, name: &str) -> Option<Vec<bool>> {
    match &table.get(name)?.values {
        Values::Bool(values) => Some(values.clone()),
        _ => None,
    }
}

/// Picks the values of some rows.
pub(super) fn pick(values: &[f64], rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|&row| values[row]).collect()
}

/// Coordinates `[N, P]` of parameter values in file units, one column a parameter. Values that a logarithm
/// cannot take are replaced by a small positive one.
pub(super) fn coordinates(space: &ParameterSpace, values: &[Vec<f64>]) -> Array2<f64> {
    const SMALL: f64 = 1e-3;
    let n = values.first().map_or(0, Vec::len);
    Array2::from_shape_fn((n, space.len()), |(star, position)| {
        let parameter = &space.parameters[position];
        let value = values[position][star] * parameter.model_units_per_file_unit;
        let positive = parameter.transform == Transform::Logarithm && value <= 0.0;
        parameter.coordinate(if positive { SMALL } else { value })
    })
}

/// Observed minus predicted magnitude of a star: the median over the wavelengths with a positive observed
/// flux.
pub(super) fn magnitude_offset(observations: &Observations, star: usize, predicted: ArrayView1<'_, f64>) -> f64 {
    let magnitudes: Vec<f64> = (observations.flux.row(star).iter().zip(observations.flux_error.row(star)).zip(predicted))
        .filter(|((flux, error), _)| error.is_finite() && **flux > 0.0)
        .map(|((&flux, _), predicted)| -2.5 * (f64::from(flux) / predicted).log10())
        .collect();
    median(&magnitudes)
}
