//! A column as a file has it, read as a quantity.

use super::standard::{is_declared_sentinel, is_sentinel};
use super::{Notices, Quantity};
use crate::error::{Error, Result};
use crate::statistics::median;
use crate::table::{Column, Shape, Values};
use crate::unit::{self, Conversion, Unit};

/// Which of a quantity's two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Value,
    Error,
}

/// Medians of temperatures in kK; no sample of stars has one of so many K.
const KILOKELVIN: std::ops::RangeInclusive<f64> = 1.0..=60.0;

impl Quantity {
    /// The column in the quantity's unit, one number a row; null where the file has none or the sentinel. A
    /// value that is not possible becomes ∞ and such an error −∞, neither a measurement nor missing: who uses
    /// them flags the star. `partner` is the unit of the values, for errors that state none. The column's
    /// unit becomes the quantity's, except where it has none and needs none.
    ///
    /// # Errors
    /// When the column is no scalar of numbers, or its unit measures something else.
    pub fn read(&self, column: Column, role: Role, partner: Option<&str>, notices: &mut Notices) -> Result<Column> {
        self.read_from(column, role, partner, 0, notices)
    }

    /// As [`Quantity::read`], of a part of a file that begins with its row `first_row`, which errors count.
    ///
    /// # Errors
    /// As [`Quantity::read`].
    pub fn read_from(
        &self,
        mut column: Column,
        role: Role,
        partner: Option<&str>,
        first_row: usize,
        notices: &mut Notices,
    ) -> Result<Column> {
        refuse_text(&column, first_row)?;
        let conversion = self.conversion(&column, role, partner, notices)?;
        let mut values = column.to_f64()?;
        if role == Role::Value {
            self.refuse_kilokelvin(&column.schema.name, values.iter().map(|&value| conversion.value(value)))?;
        }
        let (mut n_beyond, mut example) = (0, f64::NAN);
        for value in &mut values {
            if self.sentinel.is_some_and(|sentinel| is_declared_sentinel(*value, sentinel)) {
                *value = f64::NAN;
            }
            let read = match role {
                Role::Value => conversion.value(*value),
                Role::Error => conversion.factor * *value,
            };
            if self.is_possible(role, *value, read) {
                *value = read;
            } else {
                (n_beyond, example) = (n_beyond + 1, if n_beyond == 0 { *value } else { example });
                *value = if role == Role::Value { f64::INFINITY } else { f64::NEG_INFINITY };
            }
        }
        if n_beyond > 0 {
            let possible = match role {
                Role::Value => self.possible(),
                Role::Error => self.possible_errors(),
            };
            notices.beyond(&column.schema.name, n_beyond, example, possible.trim_end());
        }
        let is_stated = !unit::is_absent(&column.schema.unit);
        if let Some(unit) = self.unit_in_files().filter(|_| is_stated || self.needs_unit) {
            column.schema.unit = unit.to_owned();
        }
        Ok(Column::nullable(column.schema, values))
    }

    /// Refuses temperatures that as a whole are given in kK where K are meant.
    fn refuse_kilokelvin(&self, name: &str, values: impl Iterator<Item = f64>) -> Result<()> {
        if self.unit.as_deref() != Some("K") {
            return Ok(());
        }
        let values: Vec<f64> = values.filter(|value| value.is_finite() && *value > 0.0).collect();
        let middle = median(&values);
        if !KILOKELVIN.contains(&middle) {
            return Ok(());
        }
        Err(Error::data(format!("column '{name}'"))
            .found(format!("a median of {middle} K, which looks like kK"))
            .expected("temperatures of stars")
            .remedy("Convert the column and its errors to K, or give it the unit kK."))
    }

    /// Whether a number of the file, converted, can be: NaN is missing, and errors that are zero, negative or
    /// infinite are the user's to judge.
    fn is_possible(&self, role: Role, raw: f64, read: f64) -> bool {
        match role {
            Role::Value => read.is_nan() || (self.range[0]..=self.range[1]).contains(&read) && !is_sentinel(raw),
            Role::Error => !read.is_finite() || read <= 0.0 || (self.smallest_error()..=self.largest_error()).contains(&read),
        }
    }

    /// From the column's unit to the quantity's; from that of the values (`partner`) where an error states
    /// none.
    ///
    /// # Errors
    /// When the column's unit measures something else.
    pub fn conversion(&self, column: &Column, role: Role, partner: Option<&str>, notices: &mut Notices) -> Result<Conversion> {
        let Some(target) = &self.unit else { return Ok(Conversion::IDENTITY) };
        let stated = column.schema.unit.trim();
        let name = &column.schema.name;
        if unit::is_absent(stated) {
            let partner = partner.filter(|partner| unit::parse(partner).is_ok() && !unit::is_absent(partner));
            let is_other = partner.is_some_and(|partner| unit::conversion(partner, target).is_some_and(|way| !way.is_identity()));
            if self.needs_unit || is_other {
                notices.absent(name, partner.unwrap_or(target));
            }
            return Ok(partner.and_then(|partner| unit::conversion(partner, target)).unwrap_or(Conversion::IDENTITY));
        }
        match unit::parse(stated) {
            Err(_) => {
                notices.unknown(name, stated, target);
                Ok(Conversion::IDENTITY)
            }
            Ok(unit) => self.from(&unit, role).ok_or_else(|| {
                let is_logarithm = unit.scale == unit::Scale::Decadic;
                Error::data(format!("column '{name}'"))
                    .found(format!("the unit '{stated}'{}", if is_logarithm { ", a logarithm" } else { "" }))
                    .expected(format!("a unit of the same kind as {target}"))
                    .remedy("Correct the unit in the file, or convert the column.")
            }),
        }
    }

    /// From a known unit to the quantity's. Errors of logarithms are in dex, whatever the logarithm is of.
    fn from(&self, unit: &Unit, role: Role) -> Option<Conversion> {
        let target = unit::parse(self.unit.as_deref()?).ok()?;
        match (unit.conversion(&target), role) {
            // An extinction may be a pure number.
            (None, _) if unit.is_one() && self.name.starts_with("extinction") => Some(Conversion::IDENTITY),
            (found, _) => found,
        }
    }
}

/// Text where numbers are needed: the error names the first cell that is none.
fn refuse_text(column: &Column, first_row: usize) -> Result<()> {
    let name = &column.schema.name;
    let Values::Text(cells) = &column.values else { return Ok(()) };
    if column.shape != Shape::Scalar {
        return Ok(());
    }
    if column.schema.odd_cell.is_some() {
        // The reader knows the line.
        return column.to_f64().map(|_| ());
    }
    let is_no_number = |(row, cell): &(usize, &String)| column.is_valid(*row) && cell.trim().parse::<f64>().is_err();
    let error = match cells.iter().enumerate().find(is_no_number) {
        Some((row, cell)) => {
            let shown: String = cell.chars().take(40).collect();
            Error::data(format!("column '{name}', row {}", first_row + row)).found(format!("the text {shown:?}"))
        }
        None => Error::data(format!("column '{name}'")).found("text"),
    };
    Err(error.expected("a number").remedy("Make the column one of numbers, with empty cells where there is none."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnSchema;

    fn column(name: &str, unit: &str, values: &[f64]) -> Column {
        Column::nullable(ColumnSchema::new(name, unit, ""), values.to_vec())
    }

    fn read(quantity: &Quantity, column: Column, role: Role) -> (Vec<f64>, String, Notices) {
        let mut notices = Notices::default();
        let column = quantity.read(column, role, None, &mut notices).unwrap();
        (column.to_f64().unwrap(), column.schema.unit.clone(), notices)
    }

    #[test]
    fn a_value_and_its_error_are_converted_each_by_its_own_unit() {
        let parallax = Quantity::of("parallax");
        let (values, unit, notices) = read(&parallax, column("parallax", "arcsec", &[0.002, -0.001]), Role::Value);
        assert_eq!((values, unit.as_str(), notices), (vec![2.0, -1.0], "mas", Notices::default()));
        assert_eq!(read(&parallax, column("parallax_error", "uas", &[20.0]), Role::Error).0, [0.02]);
        let logg = Quantity::of("logg");
        assert_eq!(read(&logg, column("logg", "[m/s2]", &[2.5]), Role::Value).0, [4.5]);
        assert_eq!(read(&logg, column("logg_error", "dex(m/s2)", &[0.1]), Role::Error).0, [0.1], "an error has no offset");
        assert_eq!(read(&Quantity::of("teff"), column("teff", "kK", &[5.8]), Role::Value).0, [5800.0]);
        let teff = Quantity::of("teff");
        assert!((read(&teff, column("teff", "deg_C", &[5500.0]), Role::Value).0[0] - 5773.15).abs() < 1e-9);
        assert_eq!(read(&teff, column("teff_error", "deg_C", &[50.0]), Role::Error).0, [50.0], "an error has no zero");
        let magnitude = Quantity::magnitude("j_mag", None);
        assert_eq!(read(&magnitude, column("j_mag", "mmag", &[12_500.0]), Role::Value).0, [12.5]);
        assert_eq!(read(&Quantity::of("extinction"), column("extinction", "mmag", &[150.0]), Role::Value).0, [0.15]);
    }

    #[test]
    fn absent_units_follow_the_values_and_unknown_ones_are_said() {
        let parallax = Quantity::of("parallax");
        let mut notices = Notices::default();
        let error = parallax.read(column("parallax_error", "", &[2e-5]), Role::Error, Some("arcsec"), &mut notices).unwrap();
        assert!((error.to_f64().unwrap()[0] - 0.02).abs() < 1e-15);
        let mut expected = Notices::default();
        expected.absent("parallax_error", "arcsec");
        assert_eq!(notices, expected);
        let (values, unit, notices) = read(&parallax, column("parallax", "foo", &[1.0]), Role::Value);
        let mut expected = Notices::default();
        expected.unknown("parallax", "foo", "mas");
        assert_eq!((values, unit.as_str(), notices), (vec![1.0], "mas", expected));
        assert_eq!(read(&Quantity::of("feh"), column("feh", "", &[-1.0]), Role::Value).2, Notices::default());
    }

    #[test]
    fn units_of_another_kind_and_text_are_refused_by_name() {
        let message = |quantity: &Quantity, column: Column| {
            quantity.read(column, Role::Value, None, &mut Notices::default()).unwrap_err().to_string()
        };
        let parallax = Quantity::of("parallax");
        for unit in ["arcmin2", "K", "mas/yr", "dex"] {
            let message = message(&parallax, column("parallax", unit, &[1.0]));
            assert!(message.contains("column 'parallax'") && message.contains(unit) && message.contains("mas"), "{message}");
        }
        let found = message(&Quantity::of("teff"), column("teff", "[K]", &[3.7]));
        assert!(found.contains("'[K]', a logarithm"), "{found}");
        assert!(message(&Quantity::of("logg"), column("logg", "cm/s2", &[1e4])).contains("'cm/s2'"));
        let cells = Values::Text(["1.5", "NA"].map(String::from).into());
        let found = message(&parallax, Column::scalar(ColumnSchema::new("parallax", "mas", ""), cells));
        assert!(found.contains("column 'parallax', row 1: found the text \"NA\""), "{found}");
    }

    #[test]
    fn what_is_beyond_reason_is_neither_a_value_nor_missing() {
        let bad = [1e20, -9999.0, 9.97e36, -999.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5800.0];
        let (values, _, notices) = read(&Quantity::of("teff"), column("teff", "K", &bad), Role::Value);
        assert!(values[..7].iter().all(|value| value.is_infinite()) && values[7].is_nan() && values[8] == 5800.0);
        assert_eq!(notices.n_beyond(), 7);
        // −9999 stays what it means, whatever the unit makes of it.
        let (values, _, _) = read(&Quantity::of("parallax"), column("parallax", "uas", &[-9999.0, -9998.0]), Role::Value);
        assert!(values[0].is_infinite() && (values[1] + 9.998).abs() < 1e-12);
        let (errors, _, _) = read(&Quantity::of("feh"), column("feh_error", "dex", &[1e20, 0.1, -1.0, f64::NAN]), Role::Error);
        assert!(errors[0] == f64::NEG_INFINITY && errors[1] == 0.1 && errors[2] == -1.0 && errors[3].is_nan());
        for (name, good) in [("parallax", 1e-5), ("unheard_of", 1e-20)] {
            let column = column(&format!("{name}_error"), "", &[1e-300, good, 0.0]);
            let (errors, _, notices) = read(&Quantity::of(name), column, Role::Error);
            assert!(errors[0] == f64::NEG_INFINITY && errors[1..] == [good, 0.0] && notices.n_beyond() == 1, "{errors:?}");
        }
        let magnitude = Quantity::magnitude("j_mag", Some(99.0));
        let (values, _, notices) = read(&magnitude, column("j_mag", "mag", &[99.0, 98.0, 12.0]), Role::Value);
        assert!(values[0].is_nan() && values[1].is_infinite() && values[2] == 12.0 && notices.n_beyond() == 1);
        let single = Column::scalar(ColumnSchema::new("j_mag", "mmag", ""), Values::Float32(vec![99.9, 12_500.0]));
        let (values, ..) = read(&Quantity::magnitude("j_mag", Some(99.9)), single, Role::Value);
        assert!(values[0].is_nan() && values[1] == 12.5, "a declared sentinel in single precision");
    }
}
