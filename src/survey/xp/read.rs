//! Continuous spectra from the columns of the Gaia archive (`xp_continuous_mean_spectrum`,
//! `MEAN_SPECTRUM_XP`).

use super::columns::{BAND_COLUMNS, column_of, find_in_band};
use super::covariance::Scale;
use super::lists::Lists;
use super::{Band, BasisKind, Encoding, ErrorConvention, Fault, Instrument, Spectrum};
use crate::error::{Error, Result};
use crate::table::{Column, Table};
use crate::warning::warn_once;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All encodings of a covariance, in the order in which they are preferred.
const ENCODINGS: [Encoding; 4] = [Encoding::Correlations, Encoding::Covariance, Encoding::Factor, Encoding::NormalisedFactor];

/// Whether spectra may have fewer coefficients than the instrument has basis functions. Only Hermite sets are
/// ordered by importance; with B-splines, fewer coefficients are another basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// No.
    #[default]
    None,
    /// Spectra that come with fewer coefficients, and say of which basis (`bp_basis_function_id`), are taken
    /// as truncated.
    Published,
    /// That, and of all others only the first `n_relevant_bases` are used (GaiaXPy's `truncation`). A number
    /// of 0 or 1, or none, says nothing about a spectrum: all are used then.
    RelevantBases,
}

/// How continuous spectra are read.
#[derive(Debug, Clone)]
pub struct SpectrumOptions {
    pub instrument: Arc<Instrument>,
    pub truncation: Truncation,
    /// Which of the encodings in a file is used; `None`: the first that there is, and others must agree with
    /// it.
    pub covariance: Option<Encoding>,
    /// What the errors will be used for.
    pub error_convention: ErrorConvention,
}

impl SpectrumOptions {
    /// The usual ones of an instrument.
    pub fn new(instrument: Arc<Instrument>) -> Self {
        Self { instrument, truncation: Truncation::default(), covariance: None, error_convention: ErrorConvention::default() }
    }

    /// Checks that what is asked for exists.
    ///
    /// # Errors
    /// When spectra of B-splines are to be truncated.
    pub fn validate(&self) -> Result<()> {
        let (bp, rp) = self.instrument.basis_kinds();
        if self.truncation != Truncation::None && (bp, rp) != (BasisKind::Hermite, BasisKind::Hermite) {
            return Err(Error::usage("prepare recipe, xp.truncation")
                .found(format!("truncation with the instrument {}, whose bases are B-splines", self.instrument.name()))
                .expected("truncation = \"none\": of these, no function can be left out")
                .remedy("Remove the key, or name the instrument of the spectra's release."));
        }
        Ok(())
    }
}

/// The spectra of all rows, in order (see [`SpectrumReader`]), with the usual options of the standard
/// instrument.
///
/// # Errors
/// As [`SpectrumReader::new`].
pub fn spectra_from_table(table: &Table) -> Result<Vec<std::result::Result<Spectrum, Fault>>> {
    let options = SpectrumOptions::new(Instrument::built_in(super::DEFAULT_INSTRUMENT)?);
    let reader = SpectrumReader::new(table, &options)?;
    Ok((0..table.n_rows()).map(|row| reader.spectrum(row)).collect())
}

/// A table as continuous spectra, row by row.
///
/// Columns, with `<band>` for `bp` and `rp`: `source_id`, `<band>_coefficients`, and one of the encodings of
/// their covariance (see [`Encoding`]; without any, `<band>_coefficient_errors` alone); where present also
/// `<band>_standard_deviation`, `<band>_degrees_of_freedom`, `<band>_n_parameters`, `<band>_n_relevant_bases`
/// and `<band>_basis_function_id`. Numbers of coefficients and identifiers of bases must be the instrument's.
pub struct SpectrumReader<'a> {
    source_id: Vec<i64>,
    bp: BandColumns<'a>,
    rp: BandColumns<'a>,
}

impl<'a> SpectrumReader<'a> {
    /// # Errors
    /// When identifiers, coefficients or their errors are absent, or a column has the wrong type.
    pub fn new(table: &'a Table, options: &'a SpectrumOptions) -> Result<Self> {
        let instrument = options.instrument.as_ref();
        let ((bp_id, rp_id), (n_bp, n_rp)) = (instrument.basis_function_ids(), instrument.n_bases());
        Ok(Self {
            source_id: table.column("source_id")?.to_i64()?,
            bp: BandColumns::new(table, "bp", options, (bp_id, n_bp))?,
            rp: BandColumns::new(table, "rp", options, (rp_id, n_rp))?,
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

    /// The numbers of coefficients of all rows' usable bands, each pair once; zero for a band that is missing
    /// or not the instrument's.
    pub fn coefficient_counts(&self) -> BTreeSet<(usize, usize)> {
        (0..self.source_id.len()).map(|row| (self.bp.count(row), self.rp.count(row))).collect()
    }

    /// Whether a least-squares solution of the row's bands has no degrees of freedom left: spectra of one or
    /// two transits.
    pub fn lacks_freedom(&self, row: usize) -> bool {
        self.bp.lacks_freedom(row) || self.rp.lacks_freedom(row)
    }
}

/// The columns of one band.
struct BandColumns<'a> {
    name: &'static str,
    options: &'a SpectrumOptions,
    /// What the instrument has.
    basis_function_id: i64,
    n_bases: usize,
    coefficients: Lists<'a>,
    errors: Lists<'a>,
    formal_errors: Lists<'a>,
    /// The encodings that there are; the first is used.
    encodings: Vec<(Encoding, Lists<'a>)>,
    standard_deviation: Option<Vec<f64>>,
    n_parameters: Option<Vec<f64>>,
    basis: Option<Vec<f64>>,
    degrees_of_freedom: Option<Vec<f64>>,
    n_relevant_bases: Option<Vec<f64>>,
}

impl<'a> BandColumns<'a> {
    fn new(
        table: &'a Table,
        name: &'static str,
        options: &'a SpectrumOptions,
        (basis_function_id, n_bases): (i64, usize),
    ) -> Result<Self> {
        let names: Vec<&str> = table.columns().iter().map(|column| column.schema.name.as_str()).collect();
        let get = |column: &str| find_in_band(name, column, &names).and_then(|found| table.get(found));
        let lists = |column: &str| get(column).map_or(Ok(Lists::ABSENT), Lists::new);
        let numbers = |column: &str| get(column).map(Column::to_f64).transpose();
        let wanted = ENCODINGS.into_iter().filter(|encoding| options.covariance.is_none_or(|wanted| wanted == *encoding));
        let encodings = wanted.map(|encoding| Ok((encoding, lists(column_of(encoding))?))).collect::<Result<Vec<_>>>()?;
        // A file of one band alone has no column of the other.
        let is_there = BAND_COLUMNS.iter().any(|(column, _)| get(column).is_some());
        if !is_there {
            warn_once(format!("no column {name}_coefficients, nor any other of {name}: spectra without that band"));
        }
        let encodings: Vec<(Encoding, Lists)> = encodings.into_iter().filter(|(_, lists)| !lists.is_absent()).collect();
        if let (Some(wanted), true) = (options.covariance, encodings.is_empty() && is_there) {
            warn_once(format!("{name}: no {wanted} in any spectrum (column {name}_{})", column_of(wanted)));
        }
        // Only these two encodings need no errors beside them.
        let needs_errors = !encodings.iter().any(|(encoding, _)| matches!(encoding, Encoding::Covariance | Encoding::Factor));
        let formal_errors = lists("formal_errors")?;
        if is_there && needs_errors && formal_errors.is_absent() {
            table.column(&format!("{name}_coefficient_errors"))?;
        }
        let columns = Self {
            name,
            options,
            basis_function_id,
            n_bases,
            coefficients: match is_there {
                true => Lists::new(table.column(&format!("{name}_coefficients"))?)?,
                false => Lists::ABSENT,
            },
            errors: lists("coefficient_errors")?,
            formal_errors,
            encodings,
            standard_deviation: numbers("standard_deviation")?,
            n_parameters: numbers("n_parameters")?,
            basis: numbers("basis_function_id")?,
            degrees_of_freedom: numbers("degrees_of_freedom")?,
            n_relevant_bases: numbers("n_relevant_bases")?,
        };
        if columns.basis.is_none() && !columns.coefficients.is_absent() {
            let instrument = options.instrument.name();
            warn_once(format!(
                "no column {name}_basis_function_id: spectra of {n_bases} coefficients are taken as those of {instrument}"
            ));
        }
        Ok(columns)
    }

    fn band(&self, row: usize) -> std::result::Result<Option<Band>, Fault> {
        let Some(coefficients) = self.coefficients.row(row) else { return Ok(None) };
        let n = coefficients.len();
        if let Some(expected) = number(&self.n_parameters, row).map(|n| n as usize).filter(|&expected| expected != n) {
            return Err(Fault::Length { band: self.name, what: "coefficients", found: n, expected });
        }
        self.check_basis(row, n)?;
        let standard_deviation = number(&self.standard_deviation, row).unwrap_or(f64::NAN);
        self.check_division(row, standard_deviation)?;
        let mut band = self.with_covariance(row, coefficients, standard_deviation)?;
        band.check(self.name)?;
        let used = self.used(row, n);
        if used < n {
            band.truncate(used);
        }
        Ok(Some(band))
    }

    /// Refuses coefficients of another basis than the instrument's: they would give a finite and wrong flux.
    fn check_basis(&self, row: usize, n: usize) -> std::result::Result<(), Fault> {
        let (band, expected, instrument) = (self.name, self.n_bases, &self.options.instrument);
        let name = || instrument.name().to_owned();
        let Some(found) = number(&self.basis, row).map(|id| id as i64) else {
            return match n == expected {
                true => Ok(()),
                false => Err(Fault::CountWithoutBasis { band, found: n, expected, instrument: name() }),
            };
        };
        if found != self.basis_function_id {
            return Err(Fault::Basis { band, found, expected: self.basis_function_id, instrument: name() });
        }
        if n == expected || n < expected && self.options.truncation != Truncation::None {
            return Ok(());
        }
        let kinds = instrument.basis_kinds();
        let ordered = n < expected && kinds == (BasisKind::Hermite, BasisKind::Hermite);
        let alternative = if ordered { ", or allow fewer with xp.truncation = \"published\"" } else { "" };
        Err(Fault::Count { band, found: n, expected, instrument: name(), alternative })
    }

    /// Refuses to divide by a standard deviation that means nothing.
    fn check_division(&self, row: usize, value: f64) -> std::result::Result<(), Fault> {
        let degrees_of_freedom = number(&self.degrees_of_freedom, row).unwrap_or(f64::NAN);
        let divides = self.options.error_convention == ErrorConvention::DividedByStandardDeviation;
        let means_something = value > 0.0 && value.is_finite() && !self.lacks_freedom(row);
        match divides && !means_something {
            true => Err(Fault::NoStandardDeviation { band: self.name, value, degrees_of_freedom }),
            false => Ok(()),
        }
    }

    fn lacks_freedom(&self, row: usize) -> bool {
        number(&self.degrees_of_freedom, row).is_some_and(|degrees| degrees <= 0.0) && self.coefficients.length(row) > 0
    }

    fn with_covariance(&self, row: usize, coefficients: Vec<f64>, standard_deviation: f64) -> std::result::Result<Band, Fault> {
        let n = coefficients.len();
        let mut packed = self.encodings.iter().filter_map(|(encoding, lists)| Some((*encoding, lists.row(row)?)));
        let errors = self.errors.row(row);
        let formal_errors = self.formal_errors.row(row);
        // Without degrees of freedom s is no estimate of anything.
        let meaningful = standard_deviation > 0.0 && standard_deviation.is_finite() && !self.lacks_freedom(row);
        let factor = if meaningful { standard_deviation } else { 1.0 };
        let scale = Scale { errors: errors.as_deref(), formal_errors: formal_errors.as_deref(), standard_deviation: factor };
        let band = |errors, correlations| Ok(Band { coefficients, errors, correlations, standard_deviation });
        let Some((encoding, mut correlations)) = packed.next() else { return band(stated(errors, formal_errors, factor), None) };
        let mut others = packed.peekable();
        if encoding == Encoding::Correlations && others.peek().is_none() {
            return band(stated(errors, formal_errors, factor), Some(correlations));
        }
        // With several encodings, every one has to say the same.
        let mut unpacked_errors = None;
        if encoding != Encoding::Correlations {
            let unpacked = encoding.unpack(self.name, &correlations, n, scale)?;
            (correlations, unpacked_errors) = (unpacked.correlations, Some(unpacked.errors));
        }
        for (other, values) in others {
            let unpacked = other.unpack(self.name, &values, n, scale)?;
            unpacked.require_same(self.name, [other, encoding], &correlations)?;
            unpacked_errors.get_or_insert(unpacked.errors);
        }
        match unpacked_errors.filter(|_| encoding != Encoding::Correlations || errors.is_none()) {
            Some(unpacked) => band(unpacked, Some(correlations)),
            None => band(stated(errors, formal_errors, factor), Some(correlations)),
        }
    }

    /// How many of `n` coefficients are used.
    fn used(&self, row: usize, n: usize) -> usize {
        let relevant = number(&self.n_relevant_bases, row).filter(|&relevant| relevant >= 2.0).map(|relevant| relevant as usize);
        match self.options.truncation {
            Truncation::RelevantBases => relevant.unwrap_or(n).min(n),
            Truncation::None | Truncation::Published => n,
        }
    }

    /// Number of coefficients that are used; zero for a band that is missing or not the instrument's.
    fn count(&self, row: usize) -> usize {
        let n = self.coefficients.length(row);
        if n > 0 && self.check_basis(row, n).is_ok() { self.used(row, n) } else { 0 }
    }
}

/// The published errors, or the formal ones times the standard deviation.
fn stated(errors: Option<Vec<f64>>, formal: Option<Vec<f64>>, standard_deviation: f64) -> Vec<f64> {
    errors.unwrap_or_else(|| formal.unwrap_or_default().into_iter().map(|error| error * standard_deviation).collect())
}

/// A number that is neither absent nor null.
fn number(values: &Option<Vec<f64>>, row: usize) -> Option<f64> {
    values.as_ref().map(|values| values[row]).filter(|value| !value.is_nan())
}
