//! A second optimum: nearly as good as the best one, and another star by its labels.
//!
//! Neither the width of the best optimum nor a difference of −2 ln P of a few says whether there is one:
//! σ(log g) of a dwarf knows nothing of the giant that has nearly its colours, and an emulator's own errors
//! move the two against one another by more than the noise does.

use crate::error::{Error, Result};
use crate::model::{Parameter, ParameterSpace};
use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Difference of temperatures (K) from which two optima are two stars.
const OTHER_TEMPERATURE: f64 = 300.0;
/// The same of labels without unit, which are logarithms (dex).
const OTHER_LOGARITHM: f64 = 0.3;
/// The same of other labels, over the scale of their standardisation.
const OTHER_SCALE: f64 = 0.5;

/// What counts as a second optimum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecondOptimumOptions {
    /// Most by which −2 ln P of a second optimum is above that of the first. The errors of an emulator itself
    /// move two optima against each other by as much: of fourteen stars with a confident wrong optimum,
    /// twelve had the right one 4 to 20 above it.
    pub window: f64,
    /// Differences of labels (file units) from which an optimum is another star, where they are not the
    /// default: 300 K for temperatures, 0.3 for labels without unit (dex), half of the scale of the
    /// standardisation for others.
    pub separations: BTreeMap<String, f64>,
}

impl Default for SecondOptimumOptions {
    fn default() -> Self {
        Self { window: 20.0, separations: BTreeMap::new() }
    }
}

impl SecondOptimumOptions {
    /// Checks the numbers.
    ///
    /// # Errors
    /// `Usage`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        let numbers = self.separations.iter().map(|(name, &value)| (format!("separations.{name}"), value));
        for (name, value) in numbers.chain([("window".to_owned(), self.window)]) {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::usage(format!("fit option second_optimum.{name}"))
                    .found(value.to_string())
                    .expected("zero or a positive number")
                    .remedy("Leave the option out for its default; `photosphere recipe fit` prints all of them."));
            }
        }
        Ok(())
    }

    /// The difference of a label (file units) from which an optimum is another star.
    pub fn separation(&self, parameter: &Parameter) -> f64 {
        self.separations.get(&parameter.name).copied().unwrap_or(match parameter.unit.as_str() {
            "K" => OTHER_TEMPERATURE,
            "" => OTHER_LOGARITHM,
            _ => OTHER_SCALE * parameter.scale / parameter.model_units_per_file_unit,
        })
    }
}

/// When two points in free coordinates are two stars.
pub(super) struct Separations {
    /// Place among the free parameters, the parameter, and the difference of its model values.
    labels: Vec<(usize, Parameter, f64)>,
    /// Most by which −2 ln P of a second optimum is above that of the first.
    pub window: f64,
}

impl Separations {
    /// For the `free` parameters of a space.
    pub fn new(space: &ParameterSpace, free: &[usize], options: &SecondOptimumOptions) -> Self {
        let parameters = free.iter().map(|&position| &space.parameters[position]).enumerate();
        let labels = parameters.filter(|(_, parameter)| parameter.is_label()).map(|(place, parameter)| {
            (place, parameter.clone(), options.separation(parameter) * parameter.model_units_per_file_unit)
        });
        Self { labels: labels.collect(), window: options.window }
    }

    /// Whether a label of two points `[F]` differs by more than its separation.
    pub fn are_apart(&self, a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> bool {
        self.labels.iter().any(|(place, parameter, least)| {
            let value = |at: ArrayView1<'_, f64>| parameter.model_value(at[*place]);
            (value(a) - value(b)).abs() > *least
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn stars_are_apart_by_the_scales_of_their_labels() {
        let mut teff = Parameter::label("teff");
        (teff.centre, teff.scale) = (5.0, 0.8);
        let mut rotation = Parameter { unit: "km.s**-1".into(), ..Parameter::label("vsini") };
        rotation.scale = 20.0;
        let parallax = Parameter::new("parallax", "mas", "");
        let space = ParameterSpace { parameters: vec![parallax, teff, Parameter::label("logg"), rotation] };
        let here = array![1.0, 0.0, 4.5, 1.0];
        let is_apart = |options: &SecondOptimumOptions, there: [f64; 4]| {
            Separations::new(&space, &[0, 1, 2, 3], options).are_apart(here.view(), ArrayView1::from(&there))
        };
        let default = SecondOptimumOptions::default();
        assert!(!is_apart(&default, [9.0, 0.37, 4.25, 1.4]), "the distance alone, 296 K, 0.25 dex and 8 km/s");
        assert!(is_apart(&default, [1.0, 0.38, 4.5, 1.0]), "304 K");
        assert!(is_apart(&default, [1.0, 0.0, 4.15, 1.0]) && is_apart(&default, [1.0, 0.0, 4.5, 1.6]));
        let narrow = SecondOptimumOptions { separations: [("logg".to_owned(), 0.1)].into(), ..default.clone() };
        assert!(is_apart(&narrow, [1.0, 0.0, 4.35, 1.0]) && !is_apart(&default, [1.0, 0.0, 4.35, 1.0]));
        // With log g held, the others count.
        let held = Separations::new(&space, &[1, 3], &default);
        assert!(!held.are_apart(array![0.0, 1.0].view(), array![0.1, 1.0].view()));
        assert!(held.are_apart(array![0.0, 1.0].view(), array![0.5, 1.0].view()));
        for bad in [f64::NAN, -1.0] {
            assert!(SecondOptimumOptions { window: bad, ..default.clone() }.validate().is_err());
        }
    }
}
