//! Observations from arrays, without a table.

use super::{Constraint, Grid, Observations, Stars, input_flag};
use crate::error::{Error, Result};
use crate::noise::Whitening;
use crate::table::Table;
use ndarray::{Array2, Zip};

impl Observations {
    /// Stars with independent errors, no constraints and a flux without a unit (see [`Stars::flux_unit`]).
    ///
    /// A flux that is NaN, and one whose error is NaN or infinite, is missing; one that is infinite, or whose
    /// error is zero or negative, counts as missing and is flagged.
    ///
    /// # Shapes
    /// `ids [N]`, `flux [N, W]`, `flux_error [N, W]` (1σ).
    ///
    /// # Errors
    /// When the shapes do not belong together.
    pub fn new(grid: Grid, ids: Vec<i64>, mut flux: Array2<f32>, mut flux_error: Array2<f32>) -> Result<Self> {
        let expected = (ids.len(), grid.len());
        for (name, found) in [("flux", flux.dim()), ("flux_error", flux_error.dim())] {
            if found != expected {
                return Err(shape(name, &found, &expected));
            }
        }
        let mut input_flags = vec![0; ids.len()];
        for ((mut flux, mut error), flags) in flux.rows_mut().into_iter().zip(flux_error.rows_mut()).zip(&mut input_flags) {
            Zip::from(&mut flux).and(&mut error).for_each(|flux, error| {
                if flux.is_infinite() || *error <= 0.0 {
                    *flags |= input_flag::BAD_FLUX;
                }
                if !(flux.is_finite() && error.is_finite() && *error > 0.0) {
                    (*flux, *error) = (0.0, f32::INFINITY);
                }
            });
            *flags |= if error.iter().all(|error| error.is_infinite()) { input_flag::NO_FLUX } else { 0 };
        }
        let stars = Stars {
            auxiliary: Table::with_rows(ids.len()),
            grid,
            ids,
            flux_unit: String::new(),
            constraints: Default::default(),
            input_flags,
        };
        Ok(Self { stars, whitening: Whitening::diagonal(flux_error.view()), flux, flux_error })
    }

    /// The same with measured values of a parameter and their 1σ errors `[N]`, in the parameter's file unit;
    /// NaN where there is none.
    ///
    /// # Errors
    /// When there are not N of both.
    pub fn with_constraint(mut self, parameter: &str, value: Vec<f64>, error: Vec<f64>) -> Result<Self> {
        if (value.len(), error.len()) != (self.len(), self.len()) {
            return Err(shape(parameter, &(value.len(), error.len()), &(self.len(), self.len())));
        }
        let (constraint, bad) = Constraint::new(value, error);
        let bad = self.input_flags.iter_mut().zip(bad).filter(|(_, bad)| *bad);
        bad.for_each(|(flags, _)| *flags |= input_flag::BAD_CONSTRAINT);
        self.constraints.insert(parameter.into(), constraint);
        Ok(self)
    }
}

fn shape(place: &str, found: &(usize, usize), expected: &(usize, usize)) -> Error {
    Error::data(format!("observations, {place}"))
        .found(format!("{found:?} values"))
        .expected(format!("{expected:?}"))
        .remedy("Give as many of each as there are identifiers and wavelengths.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_bad_are_told_apart() {
        let grid = || Grid::new(vec![500.0, 600.0], vec!["a".into(), "b".into()]).unwrap();
        let flux = ndarray::array![[1.0, f32::NAN], [f32::INFINITY, 2.0], [1.0, 1.0], [f32::NAN, 1.0]];
        let error = ndarray::array![[0.1, 0.1], [0.1, 0.2], [-1.0, 0.1], [0.1, f32::NAN]];
        let stars = Observations::new(grid(), vec![1, 2, 3, 4], flux.clone(), error).unwrap();
        assert_eq!((0..4).map(|star| stars.n_fluxes(star)).collect::<Vec<_>>(), [1, 1, 1, 0]);
        assert_eq!(stars.input_flags, [0, input_flag::BAD_FLUX, input_flag::BAD_FLUX, input_flag::NO_FLUX]);
        assert_eq!(stars.whitening.row(0).chi_square(&[0.2, 9.0]), f64::from(1.0_f32 / 0.1).powi(2) * 0.04);
        let stars = stars.with_constraint("teff", vec![5e3, f64::NAN, 6e3, 7e3], vec![10.0, 10.0, 0.0, f64::NAN]).unwrap();
        assert_eq!((0..4).map(|star| stars.constraint("teff", star)).collect::<Vec<_>>(), [Some((5e3, 10.0)), None, None, None]);
        assert_eq!(stars.input_flags[2], input_flag::BAD_FLUX | input_flag::BAD_CONSTRAINT);
        assert!(stars.with_constraint("teff", vec![1.0], vec![1.0]).is_err());
        let message = Observations::new(grid(), vec![1], flux.clone(), flux).unwrap_err().to_string();
        assert!(message.contains("flux") && message.contains("(1, 2)"), "{message}");
    }
}
