//! From the documented observation table to [`Observations`].

use super::flux::Flux;
use super::flux_unit::{FluxUnits, require_same_flux_unit};
use super::{Constraint, Grid, Observations, Stars, input_flag};
use crate::error::{Error, Result};
use crate::noise::EigenvalueFloor;
use crate::quantity::{Notices, Quantity, Role, append, in_unit};
use crate::spectrum::Medium;
use crate::table::{Column, Table, Values};
use crate::unit;
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
    /// Metadata: JSON list of wavelengths, in nm unless [`WAVELENGTH_UNIT`] is there.
    pub const WAVELENGTHS: &str = "wavelengths";
    /// Metadata: unit of the wavelengths.
    pub const WAVELENGTH_UNIT: &str = "wavelength_unit";
    /// Metadata: whether the wavelengths are in `vacuum` or in `air`.
    pub const MEDIUM: &str = "wavelength_medium";
    /// Metadata: the pseudo-continuum that fluxes were divided by.
    pub const CONTINUUM: &str = "flux_continuum";
    /// Metadata: unit of the flux, where its column states none.
    pub const FLUX_UNIT: &str = "flux_unit";
    /// Position, in degrees.
    pub const RA: &str = "ra";
    /// Position, in degrees.
    pub const DEC: &str = "dec";
    /// Metadata: JSON list of names of the entries.
    pub const BANDS: &str = "bands";
    /// What was wrong with a star's input, as `prepare` has seen it: bits.
    pub const NOTES: &str = "input_notes";
    /// The bit of [`NOTES`] for fluxes that are missing because what the survey states of them is impossible.
    pub const IMPOSSIBLE_FLUX: i64 = 1 << 21;
    /// Metadata: name and hash of the XP instrument of the leading samples.
    pub const XP_INSTRUMENT: &str = "xp_instrument";
}

/// How a table is turned into observations.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Parameters whose `<name>` and `<name>_error` columns become constraints; absent columns are skipped.
    pub constraints: Vec<String>,
    /// Those of them whose impossible values flag a star ([`input_flag::BAD_CONSTRAINT`]); all where this
    /// is absent.
    pub flagged: Option<Vec<String>>,
    /// Units of the parameters in files, by name, where they are not those of [`Quantity::of`].
    pub units: BTreeMap<String, String>,
    /// The unit of flux that a model wants; without one, see [`Stars::flux_unit`].
    pub flux_unit: Option<String>,
    /// Fractional model error per wavelength added in quadrature to the diagonal; empty for none.
    pub model_error: Vec<f64>,
    /// What every flux is multiplied with, with its error and covariances `[W]`; empty for nothing. The model
    /// error is a fraction of the result.
    pub flux_factors: Vec<f64>,
    /// What replaces eigenvalues of covariances that are not positive-definite.
    pub floor: EigenvalueFloor,
    /// Constants added to constraints, by parameter (a parallax zero-point in mas, say).
    pub offsets: BTreeMap<String, f64>,
}

impl Observations {
    /// Reads an observation table. Columns in other units than are wanted are converted, each by its own.
    ///
    /// # Errors
    /// When a column or the metadata is missing, has the wrong type or length or a unit of another kind, or
    /// an identifier occurs twice. A star with bad values is kept and flagged ([`input_flag`]).
    pub fn from_table(table: Table, options: &ReadOptions) -> Result<Self> {
        Self::from_table_of("observations", table, options)
    }

    /// As [`Observations::from_table`], of a file whose name (`place`) warnings give; what is the same of
    /// several files is said of the first.
    ///
    /// # Errors
    /// As [`Observations::from_table`].
    pub fn from_table_of(place: &str, mut table: Table, options: &ReadOptions) -> Result<Self> {
        let grid = grid_of(&table)?;
        let ids = table.column(columns::ID)?.to_i64()?;
        refuse_duplicates(&ids)?;
        let mut input_flags = vec![0; ids.len()];
        note_impossible_fluxes(&table, &mut input_flags);
        let units = FluxUnits::of(&table, options.flux_unit.as_deref(), place)?;
        let mut flux = Flux::read(&mut table, grid.len(), &units, &mut input_flags)?;
        let whitening = flux.whiten(&mut table, &grid, &units, options, &mut input_flags)?;
        let Flux { flux, error: flux_error } = flux;
        for (star, flags) in input_flags.iter_mut().enumerate() {
            if whitening.floored[star] {
                *flags |= input_flag::COVARIANCE_FLOORED;
            }
            if flux_error.row(star).iter().all(|error| error.is_infinite()) {
                *flags |= input_flag::NO_FLUX;
            }
        }
        let constraints = constraints(place, &mut table, options, &mut input_flags)?;
        table.take(columns::ID);
        let flux_unit = units.unit;
        let stars = Stars { grid, ids, flux_unit, constraints, input_flags, auxiliary: table };
        Ok(Self { stars, flux, flux_error, whitening }.with_flux_factors(&options.flux_factors))
    }
}

/// Appends the rows of another observation file, in the units of the first, whose metadata stand for all; of
/// medium and continuum, that of the first which says it.
/// `place` names the other file.
///
/// # Errors
/// When it has another grid, other columns, or units of another kind or of none.
pub fn append_file(whole: &mut Table, more: Table, place: &str) -> Result<()> {
    grid_of(whole)?.require_same(&grid_of(&more)?)?;
    for key in [columns::MEDIUM, columns::CONTINUUM] {
        if let (None, Some(text)) = (whole.metadata.get(key), more.metadata_of(key)) {
            whole.metadata.insert(key.to_owned(), text.clone());
        }
    }
    require_same_flux_unit(whole, &more, place)?;
    append(whole, more, place)
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

/// Flags stars some of whose fluxes `prepare` has left out as impossible: of those the file only has that
/// they are missing.
fn note_impossible_fluxes(table: &Table, flags: &mut [u32]) {
    // Another program's column of that name may hold anything.
    let Some(Ok(notes)) = table.get(columns::NOTES).map(Column::to_i64) else { return };
    let is_noted = notes.into_iter().map(|notes| notes & columns::IMPOSSIBLE_FLUX != 0);
    flags.iter_mut().zip(is_noted).filter(|(_, is)| *is).for_each(|(flags, _)| *flags |= input_flag::BAD_FLUX);
}

/// The constraints that a table has, in the units of their parameters. Their columns stay in the table, in
/// these units.
fn constraints(place: &str, table: &mut Table, options: &ReadOptions, flags: &mut [u32]) -> Result<BTreeMap<String, Constraint>> {
    let mut constraints = BTreeMap::new();
    let mut notices = Notices::default();
    for name in &options.constraints {
        let error_name = format!("{name}_error");
        let columns = (table.column_if_any(name)?, table.column_if_any(&error_name)?);
        let (Some(value), Some(error)) = columns else { continue };
        let partner = value.schema.unit.clone();
        let mut quantity = Quantity::of(name).with_unit(options.units.get(name).map_or("", String::as_str));
        if quantity.unit.is_none() && unit::parse(&partner).is_ok() {
            // Of what the program does not know, the errors are to be in the unit of the values.
            quantity = Quantity { needs_unit: false, ..quantity.with_unit(&partner) };
        }
        let value = quantity.read(value.clone(), Role::Value, None, &mut notices)?;
        let error = quantity.read(error.clone(), Role::Error, Some(&partner), &mut notices)?;
        let (constraint, bad) = Constraint::new(value.to_f64()?, error.to_f64()?);
        if options.flagged.as_ref().is_none_or(|flagged| flagged.contains(name)) {
            flags.iter_mut().zip(bad).filter(|(_, bad)| *bad).for_each(|(flags, _)| *flags |= input_flag::BAD_CONSTRAINT);
        }
        constraints.insert(name.clone(), constraint.shifted(options.offsets.get(name).copied().unwrap_or(0.0)));
        for column in [value, error] {
            table.replace(without_infinity(column))?;
        }
    }
    for name in [columns::RA, columns::DEC] {
        // Positions are carried on in degrees; a text or an hour angle of another kind stays what it says
        // it is.
        let target = table.get(name).filter(|column| !unit::is_absent(&column.schema.unit));
        if let Some(column) = target.and_then(|column| in_unit(column, "deg").ok()) {
            table.replace(column)?;
        }
    }
    notices.say_of_first(place);
    Ok(constraints)
}

/// A column of numbers with null where they were beyond reason: what is carried on must not look like a
/// measurement.
fn without_infinity(mut column: Column) -> Column {
    if let Values::Float64(values) = &column.values {
        let values = values.iter().map(|&value| if value.is_infinite() { f64::NAN } else { value }).collect();
        column = Column::nullable(column.schema, values);
    }
    column
}

/// The data vector that the table's metadata describe.
fn grid_of(table: &Table) -> Result<Grid> {
    let list = |key: &str| {
        table.metadata_of(key).ok_or_else(|| {
            Error::data(format!("metadata '{key}'")).found("none").expected("a JSON list").remedy(
                "Make the observation file with `photosphere prepare` or `photosphere simulate`, as .parquet, \
                     .fits or .ecsv. CSV keeps no metadata, and neither do some writers: TOPCAT and STILTS keep them as VOTable or \
                     fits-plus, not as fits-basic or CSV.",
            )
        })
    };
    let unreadable = |key: &str, error: serde_json::Error| {
        Error::data(format!("metadata '{key}'")).found(error.to_string()).expected("a JSON list")
    };
    let wavelength: Vec<f64> =
        serde_json::from_str(list(columns::WAVELENGTHS)?).map_err(|error| unreadable(columns::WAVELENGTHS, error))?;
    let names: Vec<String> = serde_json::from_str(list(columns::BANDS)?).map_err(|error| unreadable(columns::BANDS, error))?;
    let to_nm = match table.metadata_of(columns::WAVELENGTH_UNIT) {
        Some(text) => unit::factor(text, "nm").ok_or_else(|| {
            Error::data(format!("metadata '{}'", columns::WAVELENGTH_UNIT))
                .found(format!("'{text}'"))
                .expected("a unit of length, such as nm or Angstrom")
                .remedy("Correct the unit, or leave it out for nm.")
        })?,
        None => 1.0,
    };
    let wavelength = wavelength.into_iter().map(|value| to_nm * value).collect();
    let medium = match table.metadata_of(columns::MEDIUM) {
        Some(text) => Some(Medium::parse(text).ok_or_else(|| {
            Error::data(format!("metadata '{}'", columns::MEDIUM))
                .found(format!("'{text}'"))
                .expected("vacuum or air")
                .remedy("Correct the metadata.")
        })?),
        None => None,
    };
    let instrument = table.metadata_of(columns::XP_INSTRUMENT).cloned();
    let continuum = table.metadata_of(columns::CONTINUUM).cloned();
    Ok(Grid::new(wavelength, names)?.with_instrument(instrument).with_medium(medium).with_continuum(continuum))
}

pub(super) fn refuse_duplicates(ids: &[i64]) -> Result<()> {
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

    /// Flux over a continuum is a pure number: a unit with dimensions is refused, by whichever column has it.
    #[test]
    fn a_model_of_pure_numbers_takes_no_flux_in_units() {
        let options = ReadOptions { flux_unit: Some(super::super::PURE_NUMBER.into()), ..Default::default() };
        let with = |name: &str, unit: &str| {
            let mut table = table(vec![50.0, 100.0], vec![1.0, 2.0], vec![1]);
            let mut column = table.column(name).unwrap().clone();
            column.schema.unit = unit.into();
            table.replace(column).unwrap();
            Observations::from_table(table, &options)
        };
        for unit in ["adu", "W.m**-2.nm**-1", "10**-18 W.m**-2.nm**-1", "mag"] {
            for name in ["flux", "flux_error"] {
                let error = with(name, unit).unwrap_err().to_string();
                assert!(error.contains(&format!("column '{name}'")) && error.contains(unit), "{error}");
            }
        }
        let percent = with("flux", "%").unwrap();
        let numbers = [percent.flux[[0, 0]], percent.flux[[0, 1]], percent.flux_error[[0, 1]]];
        assert!(numbers.iter().zip([0.5, 1.0, 0.02]).all(|(found, expected): (&f32, f32)| (found - expected).abs() < 1e-6));
        assert_eq!((with("flux", "").unwrap().flux[[0, 0]], percent.flux_unit.as_str()), (50.0, ""));
        let mut metadata = table(vec![1.0; 2], vec![0.1; 2], vec![1]);
        metadata.metadata.insert("flux_unit".into(), "adu".into());
        assert!(Observations::from_table(metadata, &options).unwrap_err().to_string().contains("adu"));
    }
}
