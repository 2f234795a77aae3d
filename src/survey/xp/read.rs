//! Continuous spectra from the columns of the Gaia archive (`xp_continuous_mean_spectrum`).

use super::{Band, Fault, Instrument, Spectrum};
use crate::error::{Error, Result};
use crate::table::{Column, ColumnSchema, Shape, Table, Values};
use std::collections::BTreeSet;

/// What follows `bp_` and `rp_` in the names of the columns that matter.
const COLUMNS: [&str; 6] =
    ["coefficients", "coefficient_errors", "coefficient_correlations", "standard_deviation", "n_parameters", "basis_function_id"];

/// The columns of a file of continuous spectra from which [`spectra_from_table`] makes spectra; `None` when the file has no
/// coefficients and holds something else.
pub fn spectrum_columns(schemas: &[ColumnSchema]) -> Option<Vec<&str>> {
    let band =
        |name: &'_ str| name.strip_prefix("bp_").or_else(|| name.strip_prefix("rp_")).is_some_and(|name| COLUMNS.contains(&name));
    let names: Vec<&str> = schemas.iter().map(|schema| schema.name.as_str()).collect();
    let has_coefficients = names.iter().any(|name| ["bp_coefficients", "rp_coefficients"].contains(name));
    has_coefficients.then(|| names.into_iter().filter(|name| *name == "source_id" || band(name)).collect())
}

/// The spectra of all rows, in order (see [`SpectrumReader`]).
///
/// # Errors
/// As [`SpectrumReader::new`].
pub fn spectra_from_table(table: &Table) -> Result<Vec<std::result::Result<Spectrum, Fault>>> {
    let reader = SpectrumReader::new(table)?;
    Ok((0..table.n_rows()).map(|row| reader.spectrum(row)).collect())
}

/// A table as continuous spectra, row by row.
///
/// Columns, with `<band>` for `bp` and `rp`: `source_id`, `<band>_coefficients`, `<band>_coefficient_errors`; where present
/// also `<band>_coefficient_correlations` (strict lower triangle, row by row), `<band>_standard_deviation`,
/// `<band>_n_parameters` and `<band>_basis_function_id` (checked against the instrument). The number of coefficients is the file's.
pub struct SpectrumReader<'a> {
    source_id: Vec<i64>,
    bp: BandColumns<'a>,
    rp: BandColumns<'a>,
}

impl<'a> SpectrumReader<'a> {
    /// # Errors
    /// When one of the first three columns is absent or a column has the wrong type.
    pub fn new(table: &'a Table) -> Result<Self> {
        let instrument = Instrument::standard()?;
        let ((bp_basis, rp_basis), (n_bp, n_rp)) = (instrument.basis_function_ids(), instrument.n_bases());
        Ok(Self {
            source_id: table.column("source_id")?.to_i64()?,
            bp: BandColumns::new(table, "bp", bp_basis, n_bp)?,
            rp: BandColumns::new(table, "rp", rp_basis, n_rp)?,
        })
    }

    /// The spectrum of a row; a band that is null or empty is `None`.
    ///
    /// # Errors
    /// Why the row cannot be used.
    pub fn spectrum(&self, row: usize) -> std::result::Result<Spectrum, Fault> {
        let spectrum = Spectrum { source_id: self.source_id[row], bp: self.bp.band(row)?, rp: self.rp.band(row)? };
        if spectrum.bp.is_none() && spectrum.rp.is_none() { Err(Fault::NoBand) } else { Ok(spectrum) }
    }

    /// The numbers of coefficients of all rows' bands, each pair once; zero for a missing band.
    pub fn coefficient_counts(&self) -> BTreeSet<(usize, usize)> {
        (0..self.source_id.len()).map(|row| (self.bp.coefficients.length(row), self.rp.coefficients.length(row))).collect()
    }
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

/// A list column of numbers; `None` for a column without any value.
struct Lists<'a>(Option<&'a Column>);

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
        match (&column.shape, &column.values) {
            (_, Values::Text(_) | Values::Bool(_)) => column.flat_f64().map(|_| Self(None)),
            (Shape::Scalar, _) if column.flat_f64()?.iter().all(|value| value.is_nan()) => Ok(Self(None)),
            (Shape::Scalar, _) => Err(Error::data(format!("column '{}'", column.schema.name))
                .found("one number per row")
                .expected("a list of numbers per row")
                .remedy("Use the archive's xp_continuous_mean_spectrum files, whose cells hold arrays.")),
            (Shape::Fixed(_) | Shape::Variable(_), _) => Ok(Self(Some(column))),
        }
    }

    /// The values of a row; `None` when it is null, empty or all NaN.
    fn row(&self, row: usize) -> Option<Vec<f64>> {
        let column = self.0.filter(|column| column.is_valid(row))?;
        let range = column.range(row);
        let values: Vec<f64> = match &column.values {
            Values::Float32(values) => values[range].iter().map(|&value| value.into()).collect(),
            Values::Float64(values) => values[range].to_vec(),
            Values::Int32(values) => values[range].iter().map(|&value| value.into()).collect(),
            Values::Int64(values) => values[range].iter().map(|&value| value as f64).collect(),
            Values::Bool(_) | Values::Text(_) => return None,
        };
        values.iter().any(|value| !value.is_nan()).then_some(values)
    }

    /// Number of values of a row; zero when there are none.
    fn length(&self, row: usize) -> usize {
        let is_present = |column: &&Column| match &column.values {
            Values::Float32(values) => values[column.range(row)].iter().any(|value| !value.is_nan()),
            Values::Float64(values) => values[column.range(row)].iter().any(|value| !value.is_nan()),
            _ => true,
        };
        self.0.filter(|column| column.is_valid(row)).filter(is_present).map_or(0, |column| column.range(row).len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
