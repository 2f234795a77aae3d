//! From the documented observation table to [`Observations`].

use super::{Constraint, Grid, Observations, input_flag};
use crate::error::{Error, Result};
use crate::noise::{EigenvalueFloor, Whitening, triangle};
use crate::table::{Column, Shape, Table, Values};
use ndarray::{Array2, ArrayView2, s};
use std::collections::{BTreeMap, HashSet};

/// Names of the columns and metadata of an observation file.
pub mod columns {
    /// 64-bit identifier.
    pub const ID: &str = "source_id";
    /// Flux `[W]`; NaN is missing.
    pub const FLUX: &str = "flux";
    /// 1σ flux error `[W]`; NaN or infinity is missing.
    pub const FLUX_ERROR: &str = "flux_error";
    /// Row-wise upper triangle of the whole flux covariance `[W(W+1)/2]`.
    pub const COVARIANCE: &str = "flux_covariance_triu";
    /// Row-wise upper triangle of the covariance of the leading XP entries `[B(B+1)/2]`.
    pub const XP_COVARIANCE: &str = "xp_covariance_triu";
    /// Metadata: JSON list of wavelengths in nm.
    pub const WAVELENGTHS: &str = "wavelengths";
    /// Metadata: JSON list of names of the entries.
    pub const BANDS: &str = "bands";
    /// Metadata: name and hash of the XP instrument of the leading samples.
    pub const XP_INSTRUMENT: &str = "xp_instrument";
}

/// How a table is turned into observations.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Parameters whose `<name>` and `<name>_error` columns become constraints; absent columns are skipped.
    pub constraints: Vec<String>,
    /// Fractional model error per wavelength added in quadrature to the diagonal; empty for none.
    pub model_error: Vec<f64>,
    /// What replaces eigenvalues of covariances that are not positive-definite.
    pub floor: EigenvalueFloor,
    /// Constants added to constraints, by parameter (a parallax zero-point in mas, say).
    pub offsets: BTreeMap<String, f64>,
}

impl Observations {
    /// Reads an observation table.
    ///
    /// # Errors
    /// When a column or the metadata is missing, has the wrong type or length, or an identifier occurs twice. A star with bad
    /// values is kept and flagged ([`input_flag`]).
    pub fn from_table(mut table: Table, options: &ReadOptions) -> Result<Self> {
        let grid = grid_of(&table)?;
        let w = grid.len();
        let ids = table.column(columns::ID)?.to_i64()?;
        refuse_duplicates(&ids)?;
        let (n, mut input_flags) = (ids.len(), vec![0; ids.len()]);
        let mut flux = table.column(columns::FLUX)?.to_matrix(w)?.mapv(|value| value as f32);
        let mut flux_error = table.column(columns::FLUX_ERROR)?.to_matrix(w)?.mapv(|value| value as f32);
        for (star, flags) in input_flags.iter_mut().enumerate() {
            for (flux, error) in flux.row_mut(star).iter_mut().zip(flux_error.row_mut(star)) {
                let absent = flux.is_nan() || error.is_nan() || *error == f32::INFINITY;
                let impossible = flux.is_infinite() || *error <= 0.0;
                if impossible && !absent {
                    *flags |= input_flag::BAD_FLUX;
                }
                if impossible || absent {
                    (*flux, *error) = (0.0, f32::INFINITY);
                }
            }
        }
        let whitening = whitening(&mut table, &flux, &mut flux_error, options)?;
        for (star, flags) in input_flags.iter_mut().enumerate() {
            if whitening.floored[star] {
                *flags |= input_flag::COVARIANCE_FLOORED;
            }
            if flux_error.row(star).iter().all(|error| error.is_infinite()) {
                *flags |= input_flag::NO_FLUX;
            }
        }
        let mut constraints = BTreeMap::new();
        for name in &options.constraints {
            let error_name = format!("{name}_error");
            if table.get(name).is_none() || table.get(&error_name).is_none() {
                continue;
            }
            let (constraint, bad) = Constraint::new(table.column(name)?.to_f64()?, table.column(&error_name)?.to_f64()?);
            for star in (0..n).filter(|&star| bad[star]) {
                input_flags[star] |= input_flag::BAD_CONSTRAINT;
            }
            constraints.insert(name.clone(), constraint.shifted(options.offsets.get(name).copied().unwrap_or(0.0)));
        }
        for name in [columns::ID, columns::FLUX, columns::FLUX_ERROR] {
            table.take(name);
        }
        Ok(Self { grid, ids, flux, flux_error, whitening, constraints, input_flags, auxiliary: table })
    }
}

impl Grid {
    /// The data vector that the metadata of an observation table describe.
    ///
    /// # Errors
    /// When they are missing or not what they should be.
    pub fn of_table(table: &Table) -> Result<Self> {
        grid_of(table)
    }
}

fn grid_of(table: &Table) -> Result<Grid> {
    let list = |key: &str| {
        table.metadata.get(key).ok_or_else(|| {
            Error::data(format!("metadata '{key}'"))
                .found("none")
                .expected("a JSON list")
                .remedy("Make the observation file with `photosphere prepare` or `photosphere simulate`.")
        })
    };
    let unreadable = |key: &str, error: serde_json::Error| {
        Error::data(format!("metadata '{key}'")).found(error.to_string()).expected("a JSON list")
    };
    let wavelength: Vec<f64> =
        serde_json::from_str(list(columns::WAVELENGTHS)?).map_err(|error| unreadable(columns::WAVELENGTHS, error))?;
    let names: Vec<String> = serde_json::from_str(list(columns::BANDS)?).map_err(|error| unreadable(columns::BANDS, error))?;
    Ok(Grid::new(wavelength, names)?.with_instrument(table.metadata.get(columns::XP_INSTRUMENT).cloned()))
}

fn refuse_duplicates(ids: &[i64]) -> Result<()> {
    let mut seen = HashSet::with_capacity(ids.len());
    let twice: Vec<String> = ids.iter().filter(|id| !seen.insert(**id)).take(5).map(i64::to_string).collect();
    if twice.is_empty() {
        return Ok(());
    }
    Err(Error::data(format!("column '{}'", columns::ID))
        .found(format!("identifiers that occur more than once: {}", twice.join(", ")))
        .expected("every star once")
        .remedy("Remove the repeated rows."))
}

/// Takes the covariance column out of the table and whitens; entries of `flux_error` that the covariance lacks become missing.
fn whitening(table: &mut Table, flux: &Array2<f32>, flux_error: &mut Array2<f32>, options: &ReadOptions) -> Result<Whitening> {
    let (n, w) = flux.dim();
    let model_variance = |star: usize, i: usize| {
        let fraction = options.model_error.get(i).copied().unwrap_or(0.0);
        (fraction * f64::from(flux[[star, i]])).powi(2)
    };
    let column = table.take(columns::COVARIANCE).or_else(|| table.take(columns::XP_COVARIANCE));
    for star in 0..n {
        for i in 0..w {
            flux_error[[star, i]] = (f64::from(flux_error[[star, i]]).powi(2) + model_variance(star, i)).sqrt() as f32;
        }
    }
    let Some(column) = column else {
        return Ok(Whitening::diagonal(flux_error.view()));
    };
    let length = if column.n_rows() == 0 { 0 } else { column.range(0).len() };
    let block = triangle::side(length).filter(|&block| block <= w).ok_or_else(|| {
        Error::data(format!("column '{}'", column.schema.name))
            .found(format!("{length} values"))
            .expected(format!("B(B+1)/2 with B ≤ {w}, the length of the data vector"))
    })?;
    let mut covariance = single_precision(column, length)?;
    for star in 0..n {
        let mut position = 0;
        for i in 0..block {
            // A missing flux has no finite variance, whatever the covariance says; a missing variance has no flux.
            let diagonal = &mut covariance[[star, position]];
            *diagonal += model_variance(star, i) as f32;
            if flux_error[[star, i]].is_infinite() {
                *diagonal = f32::NAN;
            } else if !(diagonal.is_finite() && *diagonal > 0.0) {
                flux_error[[star, i]] = f32::INFINITY;
            }
            position += block - i;
        }
    }
    let tail: ArrayView2<f32> = flux_error.slice(s![.., block..]);
    Whitening::from_covariances(covariance.view(), tail, options.floor)
}

/// A list column as `[rows, length]` in single precision, without a copy where it is that already (covariances are large).
fn single_precision(column: Column, length: usize) -> Result<Array2<f32>> {
    let n = column.n_rows();
    match column {
        Column { values: Values::Float32(values), shape: Shape::Fixed(found), valid: None, schema } if found == length => {
            Array2::from_shape_vec((n, length), values)
                .map_err(|error| Error::data(format!("column '{}'", schema.name)).found(error.to_string()))
        }
        column => Ok(column.to_matrix(length)?.mapv(|value| value as f32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnSchema;

    fn table(flux: Vec<f64>, error: Vec<f64>, ids: Vec<i64>) -> Table {
        let schema = |name: &str| ColumnSchema::new(name, "", "");
        let mut table = Table::new(vec![
            Column::scalar(schema("source_id"), Values::Int64(ids.clone())),
            Column::fixed(schema("flux"), Values::Float64(flux), 2),
            Column::fixed(schema("flux_error"), Values::Float64(error), 2),
            Column::nullable(schema("parallax"), vec![-0.3; ids.len()]),
            Column::nullable(schema("parallax_error"), (0..ids.len()).map(|i| 0.1 * i as f64).collect()),
        ])
        .unwrap();
        table.metadata.insert("wavelengths".into(), "[500.0, 600.0]".into());
        table.metadata.insert("bands".into(), r#"["a", "b"]"#.into());
        table
    }

    fn read(table: Table) -> Result<Observations> {
        Observations::from_table(table, &ReadOptions { constraints: vec!["parallax".into()], ..Default::default() })
    }

    #[test]
    fn bad_values_become_missing_data_and_flags() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let flux = vec![1.0, -2.0, inf, 3.0, nan, nan, 1.0, 1.0];
        let error = vec![0.1, 0.1, 0.1, 0.0, 0.1, 0.1, -1.0, 0.2];
        let observations = read(table(flux, error, vec![1, 2, 3, 4])).unwrap();
        let flags = &observations.input_flags;
        assert_eq!(flags[0], input_flag::BAD_CONSTRAINT, "zero parallax error");
        assert_eq!(flags[1], input_flag::BAD_FLUX | input_flag::NO_FLUX);
        assert_eq!(flags[2], input_flag::NO_FLUX);
        assert_eq!(flags[3], input_flag::BAD_FLUX);
        assert_eq!(observations.flux[[0, 1]], -2.0, "a negative flux is data");
        assert_eq!((observations.n_fluxes(0), observations.n_fluxes(1), observations.n_fluxes(3)), (2, 0, 1));
        assert_eq!(observations.constraint("parallax", 0), None);
        assert_eq!(observations.constraint("parallax", 1), Some((-0.3, 0.1)), "a negative parallax is data");
    }

    #[test]
    fn duplicate_ids_and_wrong_lengths_are_named() {
        let twice = read(table(vec![1.0; 4], vec![0.1; 4], vec![7, 7])).unwrap_err().to_string();
        assert!(twice.contains('7') && twice.contains("more than once"), "{twice}");
        let mut long = table(vec![1.0; 4], vec![0.1; 4], vec![1, 2]);
        long.metadata.insert("wavelengths".into(), "[1.0, 2.0, 3.0]".into());
        long.metadata.insert("bands".into(), r#"["a", "b", "c"]"#.into());
        let error = read(long).unwrap_err().to_string();
        assert!(error.contains("'flux', row 0") && error.contains("2 values"), "{error}");
    }

    #[test]
    fn model_error_widens_the_diagonal() {
        let options = ReadOptions { model_error: vec![0.5, 0.0], ..Default::default() };
        let read = Observations::from_table(table(vec![2.0, 2.0], vec![0.1, 0.1], vec![1]), &options).unwrap();
        assert!((read.flux_error[[0, 0]] - 1.01_f32.sqrt()).abs() < 1e-6);
        assert!((read.whitening.chi_square(0, &[1.0, 1.0]) - (1.0 / 1.01 + 100.0)).abs() < 1e-3);
    }
}
