//! The unit of an observation file's flux, and the factors that bring its columns to the unit that is wanted.

use super::columns;
use crate::error::{Error, Result};
use crate::quantity::{FLUX_UNIT, LARGEST_FLUX};
use crate::table::{ColumnSchema, Table};
use crate::unit::{self, Unit};
use crate::warning::warn_once_about;

/// The unit that a model of flux over a continuum wants: none, which is known.
pub const PURE_NUMBER: &str = "1";

/// The unit of the flux that is made, and what each column is multiplied by.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FluxUnits {
    /// Empty where neither the file nor the user of the flux states one.
    pub(super) unit: String,
    pub(super) flux: f64,
    pub(super) error: f64,
    pub(super) covariance: f64,
}

impl FluxUnits {
    /// Beyond this is no flux, in the unit in which it comes.
    pub(super) fn largest(&self) -> f32 {
        unit::factor(FLUX_UNIT, &self.unit).map_or(LARGEST_FLUX, |factor| factor * LARGEST_FLUX) as f32
    }

    /// For a table, with the unit that a model wants. Without one, flux of stars comes in [`FLUX_UNIT`]
    /// whatever the file has, and other flux (relative, counts) in the file's unit. `place` is the file, for
    /// warnings.
    ///
    /// # Errors
    /// When a column's unit measures something else.
    pub(super) fn of(table: &Table, wanted: Option<&str>, place: &str) -> Result<Self> {
        let schema = |name: &str| table.get(name).map(|column| &column.schema);
        let own = |schema: &ColumnSchema| own(schema, place);
        let stated = schema(columns::FLUX).and_then(|flux| stated(flux, table, place));
        let warn = |text: String| warn_of_first(place, columns::FLUX, &text);
        let target = match (wanted, &stated) {
            (Some(wanted), _) => wanted.to_owned(),
            (None, Some(Stated { text, unit })) => match unit.conversion(&known(FLUX_UNIT)?) {
                Some(_) => FLUX_UNIT.to_owned(),
                None => text.clone(),
            },
            (None, None) => String::new(),
        };
        let covariance_name = [columns::COVARIANCE, columns::XP_COVARIANCE].into_iter().find(|name| table.get(name).is_some());
        let own_error = schema(columns::FLUX_ERROR).and_then(own);
        let own_covariance = covariance_name.and_then(|name| Some((name, schema(name).and_then(own)?)));
        // Errors in a unit of their own can only be brought to a flux whose unit is known.
        let flux_is_known = stated.is_some() || !unit::is_absent(&target);
        if let (false, Some(text)) = (flux_is_known, own_error.as_ref().or(own_covariance.as_ref().map(|(_, of)| of))) {
            return Err(Error::data(format!("column '{}'", columns::FLUX))
                .found(format!("no unit, beside errors in {}", text.text))
                .expected("the unit of the flux")
                .remedy("Give the column its unit, or the file the metadata 'flux_unit'."));
        }
        refuse_ambiguous(table, &stated, own_error.is_none(), covariance_name.filter(|_| own_covariance.is_none()))?;
        if unit::is_absent(&target) {
            match &stated {
                // Flux over a continuum has no unit.
                None if table.metadata_of(columns::CONTINUUM).is_some() || has_no_unit(table) => {}
                None => warn("no unit is stated: it is taken as it is, and a model of it knows none".into()),
                Some(Stated { text, .. }) => {
                    warn(format!("the model knows no unit of its flux: flux in {text} is taken for the same"))
                }
            }
            let Some(of_flux) = &stated else { return Ok(Self { unit: String::new(), flux: 1.0, error: 1.0, covariance: 1.0 }) };
            let (error, covariance) = noise(&of_flux.unit, &of_flux.text, own_error, own_covariance, 1.0)?;
            return Ok(Self { unit: String::new(), flux: 1.0, error, covariance });
        }
        let to = known(&target)?;
        if to.is_one() {
            let of_number = |(name, of): (&str, &Option<Stated>)| match of {
                Some(of) if factor(name, &of.text, &of.unit, &to, "1").is_err() => Err(not_a_ratio(name, &of.text)),
                _ => Ok(()),
            };
            [(columns::FLUX, &stated), (columns::FLUX_ERROR, &own_error)].into_iter().try_for_each(of_number)?;
            let is_said = table.metadata_of(columns::CONTINUUM).is_some() || has_no_unit(table);
            if stated.is_none() && !is_said {
                warn("no unit is stated: it is taken for flux over a continuum, as the model wants it".into());
            }
            let flux = stated.as_ref().map_or(Ok(1.0), |stated| factor(columns::FLUX, &stated.text, &stated.unit, &to, "1"))?;
            let (error, covariance) = noise(&to, "1", own_error, own_covariance, flux)?;
            return Ok(Self { unit: String::new(), flux, error, covariance });
        }
        let Some(stated) = stated else {
            warn(format!("no known unit is stated: taken in {target}, the unit of the model"));
            let (error, covariance) = noise(&to, &target, own_error, own_covariance, 1.0)?;
            return Ok(Self { unit: target, flux: 1.0, error, covariance });
        };
        let flux = factor(columns::FLUX, &stated.text, &stated.unit, &to, &target)?;
        let (error, covariance) = noise(&to, &target, own_error, own_covariance, flux)?;
        Ok(Self { unit: target, flux, error, covariance })
    }
}

/// Errors or covariances without a unit have that of the flux; but of which flux, where its column and the
/// metadata disagree?
fn refuse_ambiguous(table: &Table, flux: &Option<Stated>, error_is_silent: bool, silent_covariance: Option<&str>) -> Result<()> {
    let silent = [error_is_silent.then_some(columns::FLUX_ERROR), silent_covariance].into_iter().flatten().next();
    let (Some(flux), Some(name), Some(metadata)) = (flux, silent, table.metadata_of(columns::FLUX_UNIT)) else { return Ok(()) };
    let disagrees = |other: Unit| flux.unit.conversion(&other).is_none_or(|way| !way.is_identity());
    if unit::is_absent(metadata) || !unit::parse(metadata).is_ok_and(disagrees) {
        return Ok(());
    }
    Err(Error::data(format!("column '{name}'"))
        .found(format!("no unit, beside flux in {} and metadata that say {metadata}", flux.text))
        .expected("a unit of its own, or a file that says one thing")
        .remedy("Give the column its unit, or correct the metadata 'flux_unit'."))
}

/// What errors and covariances are multiplied by to be in the unit `to`: their own unit decides, or else that
/// of the flux (`flux`).
fn noise(to: &Unit, target: &str, error: Option<Stated>, covariance: Option<(&str, Stated)>, flux: f64) -> Result<(f64, f64)> {
    let error = match error {
        Some(error) => factor(columns::FLUX_ERROR, &error.text, &error.unit, to, target)?,
        None => flux,
    };
    let covariance = match covariance {
        Some((name, Stated { text, unit })) => {
            let squared = to.squared().ok_or_else(|| incompatible(name, &text, target))?;
            factor(name, &text, &unit, &squared, &format!("({target})**2"))?
        }
        None => flux * flux,
    };
    Ok((error, covariance))
}

/// Fails where the rows of another file, `place`, cannot follow those of a first one because their fluxes are
/// in different units, and not all of the columns say so themselves.
///
/// # Errors
/// Names both units.
pub(super) fn require_same_flux_unit(first: &Table, more: &Table, place: &str) -> Result<()> {
    let names = [columns::FLUX, columns::FLUX_ERROR, columns::COVARIANCE, columns::XP_COVARIANCE];
    let says = |table: &Table| names.iter().filter_map(|name| table.get(name)).all(|column| own(&column.schema, place).is_some());
    let text = |table: &Table| table.get(columns::FLUX).and_then(|flux| stated(&flux.schema, table, place));
    let (one, other) = (text(first), text(more));
    let is_same = match (&one, &other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.unit.conversion(&other.unit).is_some_and(|way| way.is_identity()),
        _ => false,
    };
    if is_same || (says(first) && says(more)) {
        return Ok(());
    }
    let words = |unit: Option<Stated>| unit.map_or_else(|| "no unit".to_owned(), |unit| unit.text);
    Err(Error::data(format!("column '{}'", columns::FLUX))
        .found(words(other))
        .expected(format!(
            "{}, as in the first file, or units of all three columns of fluxes, errors and covariances",
            words(one)
        ))
        .remedy("Give every column its unit, or convert the file."))
}

/// A unit as a file spells it.
struct Stated {
    text: String,
    unit: Unit,
}

/// Whether the file says that its flux has no unit, by metadata of nothing.
fn has_no_unit(table: &Table) -> bool {
    table.metadata_of(columns::FLUX_UNIT).is_some_and(|unit| unit.trim().is_empty())
}

/// The unit of the flux column, or else the metadata's. Programs that convert the column leave the metadata
/// as they were.
fn stated(flux: &ColumnSchema, table: &Table, place: &str) -> Option<Stated> {
    let metadata = table.metadata_of(columns::FLUX_UNIT);
    let metadata = metadata.map(|text| text.trim()).filter(|text| !unit::is_absent(text));
    let Some(own) = own(flux, place) else {
        let text = metadata?.to_owned();
        return unit::parse(&text).ok().map(|unit| Stated { text, unit });
    };
    if let Some(other) = metadata
        && unit::parse(other).is_ok_and(|other| own.unit.conversion(&other).is_none_or(|way| !way.is_identity()))
    {
        let text = format!("in {}, where the file's metadata say {other}: the column's unit is used", own.text);
        warn_of_first(place, columns::FLUX, &text);
    }
    Some(own)
}

/// The unit of a column, if it is a known one; an unknown one is said once.
fn own(schema: &ColumnSchema, place: &str) -> Option<Stated> {
    let text = schema.unit.trim().to_owned();
    if unit::is_absent(&text) {
        return None;
    }
    match unit::parse(&text) {
        Ok(unit) => Some(Stated { text, unit }),
        Err(error) => {
            warn_of_first(place, &schema.name, &format!("the unit '{text}' is not known ({error}) and taken for none"));
            None
        }
    }
}

/// Warns of a column; what is the same of several files is said of the first.
fn warn_of_first(place: &str, column: &str, text: &str) {
    let text = format!("column '{column}': {text}");
    warn_once_about(&text, format!("{place}, {text}"));
}

/// The unit that is wanted, which the program itself or a model states.
fn known(text: &str) -> Result<Unit> {
    unit::parse(text).map_err(|error| {
        Error::model("flux_unit")
            .found(format!("'{text}' ({error})"))
            .expected(format!("a unit such as {FLUX_UNIT}"))
            .remedy("Correct flux_unit in model.toml.")
    })
}

fn factor(name: &str, text: &str, from: &Unit, to: &Unit, target: &str) -> Result<f64> {
    let conversion = from.conversion(to).filter(|conversion| conversion.offset == 0.0);
    conversion.map(|conversion| conversion.factor).ok_or_else(|| incompatible(name, text, target))
}

/// Flux in a unit, of a model of flux over a continuum.
fn not_a_ratio(name: &str, text: &str) -> Error {
    Error::data(format!("column '{name}'"))
        .found(format!("the unit '{text}'"))
        .expected("flux over a continuum, which has no unit")
        .remedy("Divide flux and errors by a continuum as that of the training was (`photosphere prepare`), or, where they are, take the unit away.")
}

fn incompatible(name: &str, text: &str, target: &str) -> Error {
    Error::data(format!("column '{name}'"))
        .found(format!("the unit '{text}'"))
        .expected(format!("a unit of the same kind as {target}"))
        .remedy("Correct the unit in the file, or convert the column.")
}
