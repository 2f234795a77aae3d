//! What fits of two stars say of every star, and its columns.

use crate::table::{Column, ColumnSchema};
use ndarray::Array2;

/// The fit of two stars to one star, in file units.
pub struct PairOfStar {
    pub delta_loss: f64,
    pub chi_square: f64,
    pub flux_fraction: f64,
    pub has_converged: bool,
    pub values: Vec<f64>,
    pub errors: Vec<f64>,
}

/// A parameter of two stars, as a catalogue has it.
#[derive(Debug, Clone)]
pub struct PairParameter {
    pub column: String,
    pub unit: String,
    pub description: String,
    pub ucd: String,
}

/// Fits of two stars to each of N stars, in file units; NaN where there is none.
#[derive(Debug, Clone)]
pub struct SecondStars {
    /// −2 ln P of the star less that of the pair: positive where two stars are better than one.
    pub delta_loss: Vec<f64>,
    /// χ² of the flux of the pair.
    pub chi_square: Vec<f64>,
    /// Mean over the wavelengths of the second star's part of the flux.
    pub flux_fraction: Vec<f64>,
    /// Whether the fit of two stars converged.
    pub has_converged: Vec<bool>,
    /// Parameters `[N, F]` of the model of two stars, in its order: those of the first star and of both, then
    /// the second star's own labels.
    pub values: Array2<f64>,
    /// Their errors by the curvature of −2 ln P, priors included; NaN at a limit, and where the fit did not
    /// converge.
    pub errors: Array2<f64>,
    /// Δ above which a star is flagged.
    pub(super) flag_above: f64,
    pub(super) parameters: Vec<PairParameter>,
}

impl SecondStars {
    pub(in crate::infer) fn put(&mut self, star: usize, pair: &PairOfStar) {
        self.delta_loss[star] = pair.delta_loss;
        self.chi_square[star] = pair.chi_square;
        self.flux_fraction[star] = pair.flux_fraction;
        self.has_converged[star] = pair.has_converged;
        self.values.row_mut(star).iter_mut().zip(&pair.values).for_each(|(to, from)| *to = *from);
        self.errors.row_mut(star).iter_mut().zip(&pair.errors).for_each(|(to, from)| *to = *from);
    }

    /// Names of the columns of the parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| parameter.column.as_str())
    }

    /// Of a star: name, unit, value and error of every parameter.
    pub fn parameters(&self, star: usize) -> impl Iterator<Item = (&str, &str, f64, f64)> {
        self.parameters.iter().enumerate().map(move |(index, parameter)| {
            let (value, error) = (self.values[[star, index]], self.errors[[star, index]]);
            (parameter.column.as_str(), parameter.unit.as_str(), value, error)
        })
    }

    /// Whether two stars are better than one, by more than the options say, in a fit that converged.
    pub fn is_flagged(&self, star: usize) -> bool {
        self.has_converged[star] && self.delta_loss[star] > self.flag_above
    }

    /// The columns.
    pub(in crate::infer) fn columns(&self) -> Vec<Column> {
        let scalar = |name: &str, description: &str, ucd: &str, values: &[f64]| {
            Column::nullable(ColumnSchema::new(name, "", description).with_ucd(ucd), values.to_vec())
        };
        let delta = format!(
            "-2 ln posterior of one star less that of two of the same shared labels, dust and distance, positive where two are better; \
             both have the normalised mixture prior (teff in kK), that of the second star given the shared labels; flagged (bit 18) \
             above {} where both fits converged",
            self.flag_above
        );
        let fraction = "mean over the wavelengths of the second star's part of the flux of two stars fitted to one";
        let mut columns = vec![
            scalar("pair_delta_loss", &delta, "stat.probability;arith.diff", &self.delta_loss),
            scalar("pair_chi2", "chi-square of the flux of two stars fitted to one", "stat.fit.chi2", &self.chi_square),
            scalar("companion_flux_fraction", fraction, "phot.flux;arith.ratio", &self.flux_fraction),
        ];
        for (index, PairParameter { column, unit, description, ucd }) in self.parameters.iter().enumerate() {
            let schema = ColumnSchema::new(column, unit, description).with_ucd(ucd);
            columns.push(Column::nullable(schema, self.values.column(index).to_vec()));
            let description = format!("1-sigma error of {column} (curvature of -2 ln posterior, priors included)");
            let schema = ColumnSchema::new(format!("{column}_error"), unit, description).with_ucd(format!("stat.error;{ucd}"));
            columns.push(Column::nullable(schema, self.errors.column(index).to_vec()));
        }
        columns
    }
}
