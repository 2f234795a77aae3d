//! Flux, its errors and its whitening from the columns of an observation file. One meaning of null: a list
//! that is null or empty, or an element that is NaN, is missing, whatever the format and the type of the
//! column.

use super::flux_unit::FluxUnits;
use super::{Grid, ReadOptions, columns, input_flag};
use crate::error::{Error, Result};
use crate::noise::{Whitening, triangle};
use crate::quantity::is_sentinel;
use crate::table::{Column, Shape, Table, Values};
use ndarray::{Array2, ArrayView2, s};
use std::borrow::Cow;

/// No flux in single precision is known better than this part of it.
const LEAST_ERROR: f32 = 0.5 * f32::EPSILON;

/// Flux `[N, W]` (0 where missing) with errors `[N, W]` (infinite where missing).
pub(super) struct Flux {
    pub(super) flux: Array2<f32>,
    pub(super) error: Array2<f32>,
}

impl Flux {
    /// Takes both columns out of the table. A flux that is infinite or beyond reason, or whose error is zero
    /// or negative, is missing and flagged.
    pub(super) fn read(table: &mut Table, w: usize, units: &FluxUnits, flags: &mut [u32]) -> Result<Self> {
        let mut matrix = |name: &str, factor: f64, judge: Option<fn(f64) -> bool>| -> Result<Array2<f32>> {
            match table.take(name) {
                Some(column) => single_precision(column, w, factor, judge),
                // Its error says which columns there are.
                None => table.column(name).map(|_| Array2::zeros((0, w))),
            }
        };
        let (mut flux, mut error) =
            (matrix(columns::FLUX, units.flux, Some(is_no_flux))?, matrix(columns::FLUX_ERROR, units.error, None)?);
        let largest = units.largest();
        for (star, flags) in flags.iter_mut().enumerate() {
            for (flux, error) in flux.row_mut(star).iter_mut().zip(error.row_mut(star)) {
                let absent = flux.is_nan() || error.is_nan() || *error == f32::INFINITY;
                let is_no_error = *error <= 0.0 || *error > largest || *error < LEAST_ERROR * flux.abs();
                let impossible = flux.is_infinite() || flux.abs() > largest || is_no_error;
                if impossible && !absent {
                    *flags |= input_flag::BAD_FLUX;
                }
                if impossible || absent {
                    (*flux, *error) = (0.0, f32::INFINITY);
                }
            }
        }
        Ok(Self { flux, error })
    }

    /// Makes a sample missing; the star is flagged if it was not yet.
    fn drop(&mut self, star: usize, sample: usize, flags: &mut [u32]) {
        if self.error[[star, sample]].is_finite() {
            (self.flux[[star, sample]], self.error[[star, sample]]) = (0.0, f32::INFINITY);
            flags[star] |= input_flag::BAD_FLUX;
        }
    }

    /// Takes the covariance column out of the table and whitens, with the model's error on the diagonal.
    /// Samples whose variance is not finite and positive, and as few as possible of those with covariances
    /// that are not finite, become missing and the star flagged; so do all samples of a star whose covariance
    /// is null.
    pub(super) fn whiten(
        &mut self,
        table: &mut Table,
        grid: &Grid,
        units: &FluxUnits,
        options: &ReadOptions,
        flags: &mut [u32],
    ) -> Result<Whitening> {
        let (n, w) = self.flux.dim();
        let column = table.take(columns::COVARIANCE).or_else(|| table.take(columns::XP_COVARIANCE));
        let Some(column) = column else {
            self.widen(options);
            return Ok(Whitening::diagonal(self.error.view()));
        };
        let length = covariance_length(&column, grid);
        let block = triangle::side(length).filter(|&block| block <= w).ok_or_else(|| {
            Error::data(format!("column '{}'", column.schema.name))
                .found(format!("{length} values"))
                .expected(format!("B(B+1)/2 with B ≤ {w}, the length of the data vector"))
                .remedy("Write the upper triangle of the covariance row by row, its diagonal included.")
        })?;
        let mut covariance = single_precision(column, length, units.covariance, None)?;
        let largest = units.largest();
        for star in 0..n {
            let mut position = 0;
            for i in 0..block {
                // The file's variance is judged before the model's error makes it positive.
                let diagonal = &mut covariance[[star, position]];
                let error = diagonal.sqrt();
                let is_possible = error > LEAST_ERROR * self.flux[[star, i]].abs() && error <= largest;
                if !(diagonal.is_finite() && *diagonal > 0.0 && is_possible) {
                    self.drop(star, i, flags);
                }
                // A missing flux has no finite variance, whatever the covariance says.
                let is_missing = self.error[[star, i]].is_infinite();
                *diagonal = if is_missing { f32::NAN } else { *diagonal + self.model_variance(star, i, options) as f32 };
                position += block - i;
            }
        }
        self.widen(options);
        let tail: ArrayView2<f32> = self.error.slice(s![.., block..]);
        let whitening = Whitening::from_covariances(covariance.view(), tail, options.floor)?;
        for star in 0..n {
            for i in (0..block).filter(|&i| !whitening.is_present(star, i)) {
                self.drop(star, i, flags);
            }
        }
        Ok(whitening)
    }

    /// Adds the model's error to the errors.
    fn widen(&mut self, options: &ReadOptions) {
        let (n, w) = self.flux.dim();
        for star in 0..n {
            for i in 0..w {
                let error = f64::from(self.error[[star, i]]);
                self.error[[star, i]] = (error.powi(2) + self.model_variance(star, i, options)).sqrt() as f32;
            }
        }
    }

    fn model_variance(&self, star: usize, i: usize, options: &ReadOptions) -> f64 {
        let fraction = options.model_error.get(i).copied().unwrap_or(0.0);
        (fraction * f64::from(self.flux[[star, i]])).powi(2)
    }
}

/// Number of values of every star that has a covariance; where none has, that of all samples, or of the
/// leading XP samples.
fn covariance_length(column: &Column, grid: &Grid) -> usize {
    let length = |row: usize| Some(column.range(row).len()).filter(|&length| length > 0 && column.is_valid(row));
    let of_type = match column.shape {
        Shape::Fixed(length) => Some(length),
        Shape::Scalar | Shape::Variable(_) => (0..column.n_rows()).find_map(length),
    };
    of_type.unwrap_or_else(|| {
        triangle::length(if column.schema.name == columns::COVARIANCE { grid.len() } else { grid.n_xp_samples() })
    })
}

/// The column with empty lists as null rows: some programs write the one, some the other.
fn lists(column: &Column) -> Cow<'_, Column> {
    let Shape::Variable(offsets) = &column.shape else { return Cow::Borrowed(column) };
    let is_empty = |row: usize| offsets[row] == offsets[row + 1];
    if (0..column.n_rows()).all(|row| !is_empty(row)) {
        return Cow::Borrowed(column);
    }
    let valid = (0..column.n_rows()).map(|row| column.is_valid(row) && !is_empty(row)).collect();
    Cow::Owned(Column { valid: Some(valid), ..column.clone() })
}

/// Whether a flux as it stands in the file is one of the numbers that mean "no value".
fn is_no_flux(value: f64) -> bool {
    value < -90.0 && is_sentinel(value)
}

/// A list column times `factor` as `[rows, length]` in single precision, without a copy where it is that
/// already (fluxes and covariances are large). What `is_no_value` says of the number in the file, before any
/// conversion, becomes −∞: it is no longer the file's number afterwards.
fn single_precision(column: Column, length: usize, factor: f64, is_no_value: Option<fn(f64) -> bool>) -> Result<Array2<f32>> {
    column.require_held()?;
    let n = column.n_rows();
    let convert = |value: f64| if is_no_value.is_some_and(|is| is(value)) { f32::NEG_INFINITY } else { (factor * value) as f32 };
    match column {
        Column { values: Values::Float32(mut values), shape: Shape::Fixed(found), valid: None, schema } if found == length => {
            if factor != 1.0 || is_no_value.is_some() {
                values.iter_mut().for_each(|value| *value = convert(f64::from(*value)));
            }
            Array2::from_shape_vec((n, length), values)
                .map_err(|error| Error::data(format!("column '{}'", schema.name)).found(error.to_string()))
        }
        column => Ok(lists(&column).to_matrix(length)?.mapv(convert)),
    }
}
