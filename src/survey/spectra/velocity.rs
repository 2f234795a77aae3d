//! Velocities of stars: those of their files, or those of joined tables, found by identifier and read in km/s
//! once.

use super::observed::ObservedSpectrum;
use super::recipe::{VelocityOptions, VelocitySource};
use super::star::Velocity;
use crate::error::{Error, Result};
use crate::quantity::{Notices, Quantity, Role};
use crate::spectrum::{LARGEST_VELOCITY, SPEED_OF_LIGHT};
use crate::survey::prepare::{JoinTable, JoinedSource, Note};
use crate::table::{Column, Shape};
use crate::unit;
use std::sync::Arc;

const KM_S: &str = "km/s";

/// Where the velocity of a spectrum is found.
#[derive(Debug)]
pub(super) enum Velocities {
    OfFiles,
    OfTables(Tables),
}

/// Columns of joined tables; which of the tables, each column decides.
#[derive(Debug)]
pub(super) struct Tables {
    /// km/s; ∞ where beyond reason.
    velocity: Lookup,
    warning: Option<Lookup>,
    /// km/s, and the largest that is taken.
    error: Option<(Lookup, f64)>,
}

/// A number for every star of a joined table.
#[derive(Debug)]
struct Lookup {
    table: Arc<JoinTable>,
    values: Vec<f64>,
}

impl Lookup {
    /// NaN where the star is not in the table, or has no value there.
    fn of(&self, id: i64) -> f64 {
        self.table.row(id).map_or(f64::NAN, |row| self.values[row])
    }
}

impl Velocities {
    /// As the recipe says.
    ///
    /// # Errors
    /// When a column is absent, not of numbers, or of another kind of unit.
    pub fn new(options: &VelocityOptions, tables: &[JoinedSource]) -> Result<Self> {
        let Some(name) = options.column.as_ref().filter(|_| options.source == VelocitySource::Column) else {
            return Ok(Self::OfFiles);
        };
        let mut notices = Notices::default();
        let read = Tables::read(name, options, tables, &mut notices);
        notices.say("prepare recipe, spectra.velocity");
        Ok(Self::OfTables(read.map_err(|error| error.within("prepare recipe, spectra.velocity"))?))
    }

    /// The velocity of a spectrum of the star `id`.
    pub fn of(&self, id: i64, observed: &ObservedSpectrum) -> Velocity {
        match (self, observed.velocity) {
            (Self::OfTables(tables), _) => tables.of(id),
            (Self::OfFiles, Some(_)) if observed.notes & Note::VelocityInvalid.bit() != 0 => Velocity::Unusable,
            (Self::OfFiles, Some(value)) => Velocity::Known(value),
            (Self::OfFiles, None) => Velocity::Missing,
        }
    }
}

impl Tables {
    fn read(name: &str, options: &VelocityOptions, tables: &[JoinedSource], notices: &mut Notices) -> Result<Self> {
        let (table, column) = find(tables, name)?;
        let quantity = if options.redshift { redshift() } else { radial_velocity() };
        let factor = if options.redshift { SPEED_OF_LIGHT } else { 1.0 };
        let stated = column.schema.unit.clone();
        let values = scaled(&quantity.read(column, Role::Value, None, notices)?, factor)?;
        let velocity = Lookup { table, values };
        let warning = options.warning.as_ref().map(|name| {
            let (table, column) = find(tables, name)?;
            let values = if column.shape == Shape::Scalar { column.flat_flags()? } else { column.to_f64()? };
            Ok::<_, Error>(Lookup { table, values })
        });
        let error = options.error.as_ref().zip(options.largest_error).map(|(name, limit)| {
            let (table, column) = find(tables, name)?;
            // Errors of redshifts may be velocities.
            let (quantity, factor) = match unit::conversion(&column.schema.unit, KM_S) {
                Some(_) => (radial_velocity(), 1.0),
                None => (quantity.clone(), factor),
            };
            let values = scaled(&quantity.read(column, Role::Error, Some(&stated), notices)?, factor)?;
            Ok::<_, Error>((Lookup { table, values }, limit))
        });
        Ok(Self { velocity, warning: warning.transpose()?, error: error.transpose()? })
    }

    fn of(&self, id: i64) -> Velocity {
        let value = self.velocity.of(id);
        let warning = self.warning.as_ref().map_or(0.0, |warning| warning.of(id));
        if value.is_nan() {
            // A star that the tables do not know has no warning either.
            return if warning == 0.0 || warning.is_nan() { Velocity::Missing } else { Velocity::Unusable };
        }
        let is_certain = self.error.as_ref().is_none_or(|(error, limit)| {
            let error = error.of(id);
            error > 0.0 && error <= *limit
        });
        if value.is_finite() && warning == 0.0 && is_certain { Velocity::Known(value) } else { Velocity::Unusable }
    }
}

fn radial_velocity() -> Quantity {
    Quantity {
        name: "radial velocity".into(),
        unit: Some(KM_S.into()),
        range: [-LARGEST_VELOCITY, LARGEST_VELOCITY],
        needs_unit: true,
        sentinel: None,
    }
}

/// Without a unit; in the same range, times c.
fn redshift() -> Quantity {
    let range = [-LARGEST_VELOCITY, LARGEST_VELOCITY].map(|velocity| velocity / SPEED_OF_LIGHT);
    Quantity { name: "redshift".into(), unit: Some("1".into()), range, needs_unit: false, sentinel: None }
}

fn scaled(column: &Column, factor: f64) -> Result<Vec<f64>> {
    Ok(column.to_f64()?.into_iter().map(|value| factor * value).collect())
}

/// The first table with a column, and the column.
fn find(tables: &[JoinedSource], name: &str) -> Result<(Arc<JoinTable>, Column)> {
    let found = tables.iter().find_map(|joined| Some((Arc::clone(&joined.table), joined.table.columns().get(name)?.clone())));
    found.ok_or_else(|| {
        let named: Vec<&str> =
            tables.iter().flat_map(|joined| joined.table.columns().columns()).map(|column| column.schema.name.as_str()).collect();
        Error::data(format!("column '{name}'"))
            .found(match tables.is_empty() {
                true => "no joined table".to_owned(),
                false => format!("no such column in the joined tables (there are: {})", named.join(", ")),
            })
            .expected("that column, by its new name")
            .remedy("Join a table that has it ([[tables]]), choose it there (tables.columns), or name another one.")
    })
}
