//! The columns of joined tables that are used as quantities: read in their units as soon as a table is, while
//! its file is known.

use super::PrepareRecipe;
use crate::error::{Error, Result};
use crate::quantity::{Notices, Quantity, Role};
use crate::survey::photometry::{MagnitudeSystem, PhotometricBand};
use crate::table::{Column, Table, Values};
use crate::unit::{self, ZeroPoint};
use crate::warning::warn_once;
use std::collections::BTreeMap;

const PARALLAX: &str = "parallax";

/// What a column of values is, and where its errors are.
#[derive(Debug, Clone)]
struct Pair {
    quantity: Quantity,
    error: String,
    /// Of magnitudes.
    system: Option<MagnitudeSystem>,
    /// The column of the same table whose unit values without one of their own have.
    like: Option<&'static str>,
}

/// The pairs that a recipe uses, by the names of their columns.
#[derive(Debug, Clone, Default)]
pub(in crate::survey) struct Used(BTreeMap<(String, String), Pair>);

impl Used {
    /// Parallax with what is subtracted from it, extinction, the labels and the magnitudes of the bands.
    pub(in crate::survey) fn new(recipe: &PrepareRecipe, bands: &[PhotometricBand]) -> Self {
        let names = [PARALLAX, "extinction"].into_iter().chain(recipe.labels.iter().map(String::as_str));
        let constraint = |name: &str| {
            let pair = Pair { quantity: Quantity::of(name), error: format!("{name}_error"), system: None, like: None };
            ((name.to_owned(), pair.error.clone()), pair)
        };
        let bias = |name: &String| {
            let quantity = Quantity { name: name.clone(), ..Quantity::of(PARALLAX) };
            let pair = Pair { quantity, error: format!("{name}_error"), system: None, like: Some(PARALLAX) };
            ((name.clone(), pair.error.clone()), pair)
        };
        let magnitude = |band: &PhotometricBand| {
            let quantity = Quantity::magnitude(&band.magnitude_column, band.sentinel);
            let pair = Pair { quantity, error: band.error_column.clone(), system: Some(band.system), like: None };
            ((band.magnitude_column.clone(), pair.error.clone()), pair)
        };
        // A difference of magnitudes, without an error.
        let crowding = |name: &String| {
            let quantity = Quantity { range: [-100.0, 100.0], needs_unit: false, ..Quantity::magnitude(name, None) };
            let pair = Pair { quantity, error: format!("{name}_error"), system: None, like: None };
            ((name.clone(), pair.error.clone()), pair)
        };
        let bias = recipe.parallax_bias_column.iter().map(bias);
        let crowdings = bands.iter().filter_map(|band| Some(&band.crowding.as_ref()?.column)).map(crowding);
        Self(names.map(constraint).chain(bias).chain(crowdings).chain(bands.iter().map(magnitude)).collect())
    }

    /// Reads the used columns of a table in their units. `first_row` is the row of the file with which the
    /// table begins.
    ///
    /// # Errors
    /// When one is not of numbers (the first cell that is none is named), or has a unit of another kind.
    pub(super) fn read(&self, table: &mut Table, notices: &mut Notices, first_row: usize) -> Result<()> {
        // As the file states them, before the columns are read in other units.
        let unit = |table: &Table, name: &str| table.get(name).map(|column| column.schema.unit.clone());
        let like: Vec<_> = self.0.values().map(|pair| pair.like.and_then(|name| unit(table, name))).collect();
        for (((name, error), pair), like) in self.0.iter().zip(like) {
            if let Some(unread) =
                table.unread.iter().find(|unread| [name, error].contains(&&unread.schema.name)).map(|unread| &unread.schema.name)
            {
                table.column(unread)?;
            }
            let Some(value) = table.get(name).cloned() else { continue };
            let stated = value.schema.unit.clone();
            let value = pair.quantity.read_from(value, Role::Value, like.as_deref(), first_row, notices)?;
            table.replace(pair.in_system(value, &stated)?)?;
            if let Some(errors) = table.get(error).cloned() {
                table.replace(pair.quantity.read_from(errors, Role::Error, Some(&stated), first_row, notices)?)?;
            }
        }
        Ok(())
    }
}

impl Pair {
    /// Magnitudes that state their zero-point, in the system of the band.
    fn in_system(&self, mut magnitudes: Column, stated: &str) -> Result<Column> {
        let Some((system, zero_point)) = self.system.zip(unit::parse(stated).ok().and_then(|unit| unit.zero_point())) else {
            return Ok(magnitudes);
        };
        let name = &magnitudes.schema.name;
        let offset = match (zero_point, system) {
            (ZeroPoint::Ab, MagnitudeSystem::Ab) | (ZeroPoint::Vega, MagnitudeSystem::Vega(_)) => 0.0,
            (ZeroPoint::Ab, MagnitudeSystem::Vega(offset)) => -offset,
            (ZeroPoint::Vega, MagnitudeSystem::Ab) => {
                warn_once(format!("column '{name}' is in Vega magnitudes, its band in AB: taken as they are"));
                0.0
            }
            (ZeroPoint::St | ZeroPoint::Other, _) => {
                return Err(Error::data(format!("column '{name}'"))
                    .found(format!("the unit '{stated}'"))
                    .expected("AB or Vega magnitudes")
                    .remedy("Convert the magnitudes."));
            }
        };
        if let Values::Float64(values) = &mut magnitudes.values {
            values.iter_mut().for_each(|value| *value += offset);
        }
        Ok(magnitudes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::photometry::standard_set;
    use crate::table::ColumnSchema;

    fn read(unit: &str, band: &str) -> Result<Table> {
        let column = |name: String, unit: &str, value: f64| Column::nullable(ColumnSchema::new(name, unit, ""), vec![value]);
        let bands = standard_set(if band == "ps_g" { "lamost-overlap" } else { "2mass" }).unwrap();
        let mut table =
            Table::new(vec![column(format!("{band}_mag"), unit, 12.0), column(format!("{band}_mag_error"), "mmag", 20.0)])
                .unwrap();
        Used::new(&PrepareRecipe::default(), &bands).read(&mut table, &mut Notices::default(), 0)?;
        Ok(table)
    }

    #[test]
    fn magnitudes_are_read_in_the_system_of_their_band() {
        for (unit, band, expected) in [
            ("mag", "j", 12.0),
            ("mag(AB)", "j", 12.0 - 0.91),
            ("mag(Vega)", "j", 12.0),
            ("ABmag", "ps_g", 12.0),
            ("", "j", 12.0),
        ] {
            let table = read(unit, band).unwrap();
            let values = |name: &str| table.column(name).unwrap().to_f64().unwrap()[0];
            assert!((values(&format!("{band}_mag")) - expected).abs() < 1e-12, "{unit}, {band}");
            assert_eq!(values(&format!("{band}_mag_error")), 0.02);
        }
        for unit in ["mag(ST)", "mag(ct/s)", "Jy"] {
            let message = read(unit, "j").unwrap_err().to_string();
            assert!(message.contains("column 'j_mag'") && message.contains(unit), "{message}");
        }
    }
}
