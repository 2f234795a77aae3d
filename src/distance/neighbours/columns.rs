//! Labels, magnitudes and reddenings of a map in tables: columns given or found, in the units that they
//! state.

use super::options::{METALLICITY, NONE, NeighbourOptions, TEMPERATURE};
use crate::error::{Error, Result};
use crate::quantity::{Notices, Quantity, Role};
use crate::statistics::Measured;
use crate::table::Table;

/// What is known of a star beside its astrometry. NaN is missing, ±∞ beyond reason.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledStar {
    /// Labels over their scales, ln T_eff for T_eff, with errors.
    pub coordinates: Vec<Measured>,
    /// K.
    pub teff: f64,
    /// dex; NaN where it is not among the labels.
    pub feh: f64,
    /// In the order of the recipe's bands, the floor in the errors; NaN without.
    pub magnitudes: Vec<Measured>,
    /// E(B−V) of the map, scaled.
    pub map: Measured,
}

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FoundLabels {
    /// Value and error of every label; no error where labels are exact.
    labels: Vec<(String, Option<String>)>,
    /// Value and error of every band that is there.
    bands: Vec<Option<(String, Option<String>)>>,
    map: Option<(String, Option<String>)>,
}

/// How errors of a column are called.
fn error_of(table: &Table, given: &str, value: &str, shortest: Option<&str>) -> Option<String> {
    match given {
        NONE => None,
        "" => {
            let stem = value.strip_suffix("_mean_mag").map(|stem| format!("{stem}_mean_mag_error"));
            let names = [format!("{value}_error"), format!("{value}_err"), format!("e_{value}"), format!("{value}_sigma")];
            let short = shortest.map(|name| format!("{name}_error"));
            names.into_iter().chain(stem).chain(short).find_map(|name| in_any_case(table, &name))
        }
        name => Some(name.to_owned()),
    }
}

fn in_any_case(table: &Table, name: &str) -> Option<String> {
    table.get_in_any_case(name).map(|column| column.schema.name.clone())
}

impl FoundLabels {
    /// Finds the columns. What a recipe names has to be there; bands and the map that it does not name may be
    /// absent.
    ///
    /// # Errors
    /// When a named column or a label is absent, labels have no errors, or there are less than two bands.
    pub fn find(table: &Table, options: &NeighbourOptions) -> Result<Self> {
        let named = |name: &str, key: String| match table.column(name) {
            Ok(column) => Ok(column.schema.name.clone()),
            Err(error) => Err(error.within(key)),
        };
        let mut found = Self::default();
        for label in &options.labels {
            let key = format!("neighbours.labels, {}", label.name);
            let value = match label.column.as_str() {
                "" => in_any_case(table, &label.name).ok_or_else(|| {
                    let remedy = "Name its column in the recipe ([[neighbours.labels]], column = \"…\"), or leave the label out.";
                    Error::usage(&key).found("no such column").expected(format!("'{}'", label.name)).remedy(remedy)
                })?,
                name => named(name, key.clone())?,
            };
            let error = error_of(table, &label.error, &value, Some(&label.name));
            if let Some(error) = &error {
                named(error, key.clone())?;
            } else if label.error != NONE {
                return Err(Error::usage(key)
                    .found(format!("no column of errors of '{value}'"))
                    .expected(format!("'{value}_error'"))
                    .remedy("Name it in the recipe (error = \"…\"), or say error = \"none\" for labels that are exact."));
            }
            found.labels.push((value, error));
        }
        for band in &options.bands {
            let key = format!("neighbours.bands, {}", band.name);
            let value = match band.magnitude.as_str() {
                NONE => None,
                "" => band.candidates().iter().find_map(|name| in_any_case(table, name)),
                name => Some(named(name, key.clone())?),
            };
            let with_error = value.map(|value| {
                let error = error_of(table, &band.magnitude_error, &value, None);
                error.as_ref().map_or(Ok(()), |error| named(error, key.clone()).map(|_| ())).map(|()| (value, error))
            });
            found.bands.push(with_error.transpose()?);
        }
        if found.bands.iter().flatten().count() < 2 {
            let names: Vec<String> = options.bands.iter().flat_map(|band| band.candidates().into_iter().take(2)).collect();
            return Err(Error::usage("neighbours.bands")
                .found("magnitudes of less than two bands")
                .expected(format!("a colour, of two of {}", names.join(", ")))
                .remedy("Name the columns in the recipe ([[neighbours.bands]], magnitude = \"…\")."));
        }
        let map = &options.map;
        let value = match map.column.as_str() {
            NONE => None,
            "" => ["ebv_sfd", "sfd_ebv", "e_bv_sfd", "sfd", "ebv_map", "ebv"].iter().find_map(|name| in_any_case(table, name)),
            name => Some(named(name, "neighbours.map.column".into())?),
        };
        found.map = value
            .map(|value| {
                let error = error_of(table, &map.error, &value, None);
                let check = error.as_ref().map_or(Ok(()), |error| named(error, "neighbours.map.error".into()).map(|_| ()));
                check.map(|()| (value, error))
            })
            .transpose()?;
        Ok(found)
    }

    /// The column of the map.
    pub fn map(&self) -> Option<&str> {
        self.map.as_ref().map(|(name, _)| name.as_str())
    }

    /// Which bands are there, in the order of the recipe.
    pub fn has_bands(&self) -> Vec<bool> {
        self.bands.iter().map(Option::is_some).collect()
    }

    /// Bands without a column of errors, by their columns.
    pub fn without_errors(&self) -> impl Iterator<Item = &str> {
        self.bands.iter().flatten().filter(|(_, error)| error.is_none()).map(|(name, _)| name.as_str())
    }

    /// The stars of a part of the file that begins with its row `first`.
    ///
    /// # Errors
    /// When a column is no scalar of numbers, or its unit measures something else.
    pub fn stars(
        &self,
        table: &Table,
        options: &NeighbourOptions,
        first: usize,
        notices: &mut Notices,
    ) -> Result<Vec<LabelledStar>> {
        let mut pair = |quantity: &Quantity, value: &str, error: Option<&str>| -> Result<Vec<Measured>> {
            let column = table.column(value)?.clone();
            let partner = column.schema.unit.clone();
            let values = quantity.read_from(column, Role::Value, None, first, notices)?.to_f64()?;
            let errors = match error {
                None => vec![f64::NAN; values.len()],
                Some(name) => {
                    let column = table.column(name)?.clone();
                    quantity.read_from(column, Role::Error, Some(&partner), first, notices)?.to_f64()?
                }
            };
            Ok(values.into_iter().zip(errors).map(|(value, error)| Measured { value, error }).collect())
        };
        let mut stars = vec![LabelledStar::none(options); table.n_rows()];
        for (label, (value, error)) in options.labels.iter().zip(&self.labels) {
            let numbers = pair(&Quantity::of(&label.name), value, error.as_deref())?;
            for (star, number) in stars.iter_mut().zip(numbers) {
                star.push_label(&label.name, label.scale, number, error.is_none());
            }
        }
        for (position, columns) in self.bands.iter().enumerate() {
            let Some((value, error)) = columns else { continue };
            let numbers = pair(&Quantity::magnitude(value, None), value, error.as_deref())?;
            for (star, number) in stars.iter_mut().zip(numbers) {
                // Without a column of errors the floor is the error; with one, a missing error is a missing
                // magnitude.
                let own = if error.is_none() { 0.0 } else { number.error };
                let is_good = number.value.is_finite() && own.is_finite() && own >= 0.0;
                if is_good {
                    star.magnitudes[position] = Measured { value: number.value, error: own.hypot(options.magnitude_error_floor) };
                }
            }
        }
        if let Some((value, error)) = &self.map {
            let quantity = Quantity { name: value.clone(), ..Quantity::of("extinction") };
            let map = &options.map;
            for (star, number) in stars.iter_mut().zip(pair(&quantity, value, error.as_deref())?) {
                let reddening = map.scale * number.value;
                let of_column = map.scale * number.error;
                let stated = if error.is_some() { of_column } else { map.relative_error * reddening };
                star.map = Measured { value: reddening, error: stated.hypot(map.absolute_error) };
            }
        }
        Ok(stars)
    }
}

impl LabelledStar {
    fn none(options: &NeighbourOptions) -> Self {
        let nothing = Measured { value: f64::NAN, error: f64::NAN };
        Self {
            coordinates: Vec::with_capacity(options.labels.len()),
            teff: f64::NAN,
            feh: f64::NAN,
            magnitudes: vec![nothing; options.bands.len()],
            map: nothing,
        }
    }

    fn push_label(&mut self, name: &str, scale: f64, number: Measured, is_exact: bool) {
        let error = if is_exact { 0.0 } else { number.error };
        let coordinate = match name {
            TEMPERATURE => {
                self.teff = number.value;
                let relative = error / number.value;
                Measured { value: number.value.ln() / scale, error: relative / scale }
            }
            _ => Measured { value: number.value / scale, error: error / scale },
        };
        if name == METALLICITY {
            self.feh = number.value;
        }
        self.coordinates.push(coordinate);
    }

    /// Whether all labels and their errors are possible.
    pub fn has_labels(&self) -> bool {
        let is_good = |label: &Measured| label.value.is_finite() && label.error.is_finite() && label.error >= 0.0;
        !self.coordinates.is_empty() && self.coordinates.iter().all(is_good)
    }

    /// Coordinates without errors.
    pub fn point(&self) -> Vec<f64> {
        self.coordinates.iter().map(|label| label.value).collect()
    }

    /// Squares of the errors of the coordinates.
    pub fn variances(&self) -> Vec<f64> {
        self.coordinates.iter().map(|label| label.error * label.error).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, ColumnSchema};

    fn column(name: &str, unit: &str, values: &[f64]) -> Column {
        Column::nullable(ColumnSchema::new(name, unit, ""), values.to_vec())
    }

    fn table() -> Table {
        Table::new(vec![
            column("TEFF", "K", &[5800.0, f64::NAN]),
            column("teff_error", "K", &[58.0, 50.0]),
            column("logg", "", &[4.4, 4.0]),
            column("e_logg", "", &[0.1, 0.1]),
            column("feh", "dex", &[-0.5, 0.0]),
            column("feh_error", "dex", &[0.1, -1.0]),
            column("phot_bp_mean_mag", "mag", &[14.0, 13.0]),
            column("phot_rp_mean_mag", "mmag", &[13_200.0, 12_100.0]),
            column("phot_rp_mean_mag_error", "mmag", &[10.0, f64::NAN]),
            column("ebv_sfd", "mag", &[0.1, 0.2]),
        ])
        .unwrap()
    }

    #[test]
    fn columns_are_found_and_read_in_their_units() {
        let (table, options) = (table(), NeighbourOptions::default());
        let found = FoundLabels::find(&table, &options).unwrap();
        assert_eq!(found.has_bands(), [true, false, true, false, false, false]);
        assert_eq!(found.without_errors().collect::<Vec<_>>(), ["phot_bp_mean_mag"]);
        let mut notices = Notices::default();
        let stars = found.stars(&table, &options, 0, &mut notices).unwrap();
        let [first, second] = stars.as_slice() else { panic!("two stars") };
        assert!((first.coordinates[0].value - 5800f64.ln() / 0.02).abs() < 1e-9);
        assert!((first.coordinates[0].error - 0.5).abs() < 1e-12 && (first.coordinates[1].error - 0.5).abs() < 1e-12);
        assert_eq!((first.teff, first.feh, first.has_labels()), (5800.0, -0.5, true));
        assert_eq!(first.magnitudes[0], Measured { value: 14.0, error: 0.01 });
        assert!((first.magnitudes[2].value - 13.2).abs() < 1e-12);
        assert!((first.magnitudes[2].error - 0.01 * 2f64.sqrt()).abs() < 1e-12);
        assert!(first.magnitudes[1].value.is_nan());
        assert!(
            (first.map.value - 0.086).abs() < 1e-12 && (first.map.error - 0.086f64.mul_add(0.16, 0.0).hypot(0.005)).abs() < 1e-12
        );
        assert!(!second.has_labels() && second.magnitudes[2].value.is_nan());
    }

    #[test]
    fn what_is_missing_is_said() {
        let options = NeighbourOptions::default();
        let without = |name: &str| {
            let columns = table().columns().iter().filter(|column| column.schema.name != name).cloned().collect();
            FoundLabels::find(&Table::new(columns).unwrap(), &options).unwrap_err().to_string()
        };
        assert!(without("logg").contains("neighbours.labels, logg"));
        assert!(without("e_logg").contains("error = \"none\""));
        assert!(without("phot_bp_mean_mag").contains("less than two bands"));
        let named: NeighbourOptions = toml::from_str("map = { column = \"absent\" }").unwrap();
        assert!(FoundLabels::find(&table(), &named).unwrap_err().to_string().contains("neighbours.map.column"));
    }
}
