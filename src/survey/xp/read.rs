//! Continuous spectra from the columns of the Gaia archive (`xp_continuous_mean_spectrum`).

use super::{Band, Fault, Instrument, Spectrum};
use crate::error::{Error, Result};
use crate::table::{Column, Shape, Table};

/// The spectra of all rows, in order. A row that cannot be used is a [`Fault`]; a band that is null or empty is `None`.
///
/// Columns, with `<band>` for `bp` and `rp`: `source_id`, `<band>_coefficients`, `<band>_coefficient_errors`; where present
/// also `<band>_coefficient_correlations` (strict lower triangle, row by row), `<band>_standard_deviation`,
/// `<band>_n_parameters` and `<band>_basis_function_id` (checked against the instrument). The number of coefficients is the file's.
///
/// # Errors
/// When one of the first three columns is absent or a column has the wrong type.
pub fn spectra_from_table(table: &Table) -> Result<Vec<std::result::Result<Spectrum, Fault>>> {
    let source_id = table.column("source_id")?.to_i64()?;
    let instrument = Instrument::standard()?;
    let ((bp_basis, rp_basis), (n_bp, n_rp)) = (instrument.basis_function_ids(), instrument.n_bases());
    let bp = BandColumns::new(table, "bp", bp_basis, n_bp)?;
    let rp = BandColumns::new(table, "rp", rp_basis, n_rp)?;
    let spectrum = |(row, source_id): (usize, i64)| {
        let spectrum = Spectrum { source_id, bp: bp.band(row)?, rp: rp.band(row)? };
        if spectrum.bp.is_none() && spectrum.rp.is_none() { Err(Fault::NoBand) } else { Ok(spectrum) }
    };
    Ok(source_id.into_iter().enumerate().map(spectrum).collect())
}

/// The columns of one band.
struct BandColumns<'a> {
    name: &'static str,
    /// What the instrument has.
    basis_function_id: i64,
    n_bases: usize,
    coefficients: Lists<'a>,
    errors: Lists<'a>,
    correlations: Lists<'a>,
    standard_deviation: Option<Vec<f64>>,
    n_parameters: Option<Vec<f64>>,
    basis: Option<Vec<f64>>,
}

/// A list column with its flat values; `None` for a column without any value.
struct Lists<'a>(Option<(&'a Column, Vec<f64>)>);

impl<'a> BandColumns<'a> {
    fn new(table: &'a Table, name: &'static str, basis_function_id: i64, n_bases: usize) -> Result<Self> {
        let numbers = |suffix: &str| table.get(&format!("{name}_{suffix}")).map(Column::to_f64).transpose();
        Ok(Self {
            name,
            basis_function_id,
            n_bases,
            coefficients: Lists::new(table.column(&format!("{name}_coefficients"))?)?,
            errors: Lists::new(table.column(&format!("{name}_coefficient_errors"))?)?,
            correlations: match table.get(&format!("{name}_coefficient_correlations")) {
                Some(column) => Lists::new(column)?,
                None => Lists(None),
            },
            standard_deviation: numbers("standard_deviation")?,
            n_parameters: numbers("n_parameters")?,
            basis: numbers("basis_function_id")?,
        })
    }

    fn band(&self, row: usize) -> std::result::Result<Option<Band>, Fault> {
        let Some(coefficients) = self.coefficients.row(row) else { return Ok(None) };
        let number = |values: &Option<Vec<f64>>| values.as_ref().map(|values| values[row]).filter(|value| !value.is_nan());
        if let Some(expected) = number(&self.n_parameters).map(|n| n as usize).filter(|&n| n != coefficients.len()) {
            return Err(Fault::Length { band: self.name, what: "coefficients", found: coefficients.len(), expected });
        }
        if coefficients.len() > self.n_bases {
            return Err(Fault::TooManyCoefficients { band: self.name, found: coefficients.len(), most: self.n_bases });
        }
        if let Some(found) = number(&self.basis).map(|id| id as i64).filter(|&id| id != self.basis_function_id) {
            return Err(Fault::Basis { band: self.name, found, expected: self.basis_function_id });
        }
        let band = Band {
            coefficients,
            errors: self.errors.row(row).unwrap_or_default(),
            correlations: self.correlations.row(row),
            standard_deviation: number(&self.standard_deviation).unwrap_or(f64::NAN),
        };
        band.check(self.name)?;
        Ok(Some(band))
    }
}

impl<'a> Lists<'a> {
    fn new(column: &'a Column) -> Result<Self> {
        if (0..column.n_rows()).all(|row| !column.is_valid(row)) {
            return Ok(Self(None));
        }
        let flat = column.flat_f64()?;
        match column.shape {
            Shape::Scalar if flat.iter().all(|value| value.is_nan()) => Ok(Self(None)),
            Shape::Scalar => Err(Error::data(format!("column '{}'", column.schema.name))
                .found("one number per row")
                .expected("a list of numbers per row")
                .remedy("Use the archive's xp_continuous_mean_spectrum files, whose cells hold arrays.")),
            Shape::Fixed(_) | Shape::Variable(_) => Ok(Self(Some((column, flat)))),
        }
    }

    /// The values of a row; `None` when it is null, empty or all NaN.
    fn row(&self, row: usize) -> Option<Vec<f64>> {
        let (column, flat) = self.0.as_ref()?;
        let values = column.is_valid(row).then(|| &flat[column.range(row)])?;
        values.iter().any(|value| !value.is_nan()).then(|| values.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ColumnSchema, Values};

    fn lists(name: &str, rows: &[Option<&[f64]>]) -> Column {
        let mut offsets = vec![0];
        let mut flat = Vec::new();
        for row in rows {
            flat.extend_from_slice(row.unwrap_or_default());
            offsets.push(flat.len());
        }
        let valid = Some(rows.iter().map(Option::is_some).collect());
        let schema = ColumnSchema::new(name, "", "");
        Column { schema, values: Values::Float64(flat), shape: Shape::Variable(offsets), valid }
    }

    fn table() -> Table {
        let good: &[f64] = &[3.0, 1.0, 0.5];
        let errors: &[f64] = &[0.1, 0.1, 0.1];
        Table::new(vec![
            Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((1..=4).collect())),
            lists("bp_coefficients", &[Some(good), None, None, Some(good)]),
            lists("bp_coefficient_errors", &[Some(errors), None, None, Some(&[0.1, 0.1])]),
            lists("bp_coefficient_correlations", &[Some(&[0.1, 0.2, 0.3]), None, None, None]),
            lists("rp_coefficients", &[Some(good), Some(&[2.0, 1.0]), None, None]),
            lists("rp_coefficient_errors", &[Some(errors), Some(&[0.2, 0.1]), None, None]),
            Column::nullable(ColumnSchema::new("bp_standard_deviation", "", ""), vec![1.2, f64::NAN, f64::NAN, 1.0]),
        ])
        .unwrap()
    }

    #[test]
    fn bands_may_be_missing_and_bad_rows_are_faults() {
        let spectra = spectra_from_table(&table()).unwrap();
        let first = spectra[0].as_ref().unwrap();
        assert_eq!(first.bp.as_ref().map(|band| band.standard_deviation), Some(1.2));
        assert_eq!(first.rp.as_ref().map(|band| band.correlations.is_none()), Some(true));
        let second = spectra[1].as_ref().unwrap();
        assert!(second.bp.is_none() && second.rp.as_ref().is_some_and(|band| band.coefficients == [2.0, 1.0]));
        assert_eq!(spectra[2], Err(Fault::NoBand));
        assert_eq!(spectra[3], Err(Fault::Length { band: "bp", what: "errors", found: 2, expected: 3 }));
    }

    #[test]
    fn other_basis_functions_and_counts_are_faults() {
        let mut other_basis = table();
        other_basis
            .push(Column::scalar(ColumnSchema::new("rp_basis_function_id", "", ""), Values::Int32(vec![57, 99, 57, 57])))
            .unwrap();
        other_basis.push(Column::scalar(ColumnSchema::new("bp_n_parameters", "", ""), Values::Int32(vec![55; 4]))).unwrap();
        let spectra = spectra_from_table(&other_basis).unwrap();
        assert_eq!(spectra[0], Err(Fault::Length { band: "bp", what: "coefficients", found: 3, expected: 55 }));
        assert_eq!(spectra[1], Err(Fault::Basis { band: "rp", found: 99, expected: 57 }));
        let mut larger = table();
        larger.take("rp_coefficients");
        larger.push(lists("rp_coefficients", &[None, Some(&[1.0; 60]), None, None])).unwrap();
        let fault = spectra_from_table(&larger).unwrap().remove(1).unwrap_err();
        assert_eq!(fault.to_string(), "rp: 60 coefficients, the instrument has 55 basis functions");
    }

    #[test]
    fn absent_and_wrongly_typed_columns_are_errors() {
        let mut without = table();
        without.take("rp_coefficients");
        assert!(spectra_from_table(&without).unwrap_err().to_string().contains("'rp_coefficients'"));
        let mut text = table();
        text.take("bp_coefficients");
        text.push(Column::scalar(ColumnSchema::new("bp_coefficients", "", ""), Values::Text(vec!["x".into(); 4]))).unwrap();
        assert!(spectra_from_table(&text).unwrap_err().to_string().contains("found text"));
    }
}
