//! Cuts: which stars of a set enter a stage of training.

use super::Stars;
use crate::error::{Error, Result};
use crate::quantity::{Notices, Quantity, Role};
use crate::unit;
use serde::{Deserialize, Serialize};

/// An allowed range of a quantity. Stars without the quantity do not pass.
///
/// A quantity is a column of the file (`ruwe`, `teff`), the error of a constraint (`teff_error`), or a
/// constraint's signal-to-noise ratio (`parallax_over_error`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    pub quantity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
}

impl Cut {
    fn values(&self, stars: &Stars) -> Result<Vec<f64>> {
        let constraint = |name: &str, pick: fn((f64, f64)) -> f64| -> Option<Vec<f64>> {
            let constraint = stars.constraints.get(name)?;
            Some((0..stars.len()).map(|star| constraint.get(star).map_or(f64::NAN, pick)).collect())
        };
        let derived = match self.quantity.strip_suffix("_over_error") {
            Some(name) => constraint(name, |(value, error)| value / error),
            None => match self.quantity.strip_suffix("_error") {
                Some(name) => constraint(name, |(_, error)| error),
                None => constraint(&self.quantity, |(value, _)| value),
            },
        };
        match derived {
            Some(values) => Ok(values),
            None => self
                .of_column(stars)
                .map_err(|error| Error::usage(format!("cut on '{}'", self.quantity)).found(error.to_string())),
        }
    }
    /// A column of the file, in the unit of what its name says; magnitudes are told by their unit. What is no
    /// value is not in any range.
    fn of_column(&self, stars: &Stars) -> Result<Vec<f64>> {
        let column = stars.auxiliary.column(&self.quantity)?;
        let known = Quantity::of(&self.quantity);
        let is_magnitude = known.unit.is_none() && unit::conversion(&column.schema.unit, "mag").is_some();
        let quantity = if is_magnitude { Quantity::magnitude(&self.quantity, None) } else { known };
        // What is said of units is said where the columns are read.
        quantity.read_from(column.clone(), Role::Value, None, 0, &mut Notices::default())?.to_f64()
    }
}

/// The stars that pass all cuts, in order.
///
/// # Errors
/// When a cut names a quantity that the stars do not have.
pub fn select(stars: &Stars, cuts: &[Cut]) -> Result<Vec<usize>> {
    let mut passes = vec![true; stars.len()];
    for cut in cuts {
        for (passes, value) in passes.iter_mut().zip(cut.values(stars)?) {
            let inside = cut.minimum.is_none_or(|minimum| value >= minimum) && cut.maximum.is_none_or(|maximum| value <= maximum);
            *passes &= inside && !value.is_nan();
        }
    }
    Ok((0..passes.len()).filter(|&star| passes[star]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::{Observations, ReadOptions};
    use crate::table::{Column, ColumnSchema, Table, Values};

    /// Numbers of a column are in the unit that it states, and what stands for no value is none.
    #[test]
    fn cuts_know_units_and_values_that_are_none() {
        let list = |name: &str, value: f64| {
            Column::fixed(ColumnSchema::new(name, "10**-18 W.m**-2.nm**-1", ""), Values::Float64(vec![value; 4]), 1)
        };
        let of = |name: &str, unit: &str, values: [f64; 4]| {
            Column::scalar(ColumnSchema::new(name, unit, ""), Values::Float64(values.to_vec()))
        };
        let mut table = Table::new(vec![
            Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((1..5).collect())),
            list("flux", 1.0),
            list("flux_error", 0.1),
            of("phot_g_mean_mag", "mmag", [14_000.0, 16_000.0, -9999.0, f64::NAN]),
            of("ruwe", "", [1.0, 2.0, -99.0, 1.1]),
        ])
        .unwrap();
        table.metadata.insert("wavelengths".into(), "[500.0]".into());
        table.metadata.insert("bands".into(), "[\"b\"]".into());
        let observations = Observations::from_table(table, &ReadOptions::default()).unwrap();
        let cut = |quantity: &str, maximum: f64| Cut { quantity: quantity.into(), minimum: None, maximum: Some(maximum) };
        assert_eq!(select(&observations, &[cut("phot_g_mean_mag", 15.0)]).unwrap(), [0]);
        assert_eq!(select(&observations, &[cut("ruwe", 1.4)]).unwrap(), [0, 3]);
    }
}
