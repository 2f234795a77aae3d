//! The quantities that are known by the names of their columns.

use super::facts::{self, Facts};
use crate::unit;

/// A quantity: the unit in which it is used and what is possible for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// Name of the column of values; that of the errors has `_error` appended.
    pub name: String,
    /// The unit in which it is used; `None` where nothing is known of it and the file's numbers are taken as
    /// they are.
    pub unit: Option<String>,
    /// Possible values, in that unit.
    pub range: [f64; 2],
    /// Whether a column without a unit is worth a word: logarithms and reddenings often have none.
    pub needs_unit: bool,
    /// A number that means "missing" in the file's unit.
    pub sentinel: Option<f64>,
}

/// Numbers that stand for "no value" in the catalogues of many surveys; none of them is a measurement to the
/// last digit.
const SENTINELS: [f64; 9] = [-99.0, -99.9, -99.99, -999.0, -999.9, -999.99, -9999.0, -9999.9, -99_999.0];

/// Whether a number as it stands in a file is the one that is said to mean "no value"; files of single
/// precision hold −99.9 as −99.9000015.
pub fn is_declared_sentinel(value: f64, sentinel: f64) -> bool {
    value == sentinel || value == f64::from(sentinel as f32)
}

/// Whether a number as it stands in a file is one of those that mean "no value" in many surveys.
pub fn is_sentinel(value: f64) -> bool {
    SENTINELS.iter().any(|&sentinel| is_declared_sentinel(value, sentinel))
}

impl Quantity {
    /// The quantity that a column of this name holds.
    pub fn of(name: &str) -> Self {
        let Facts { unit, range, needs_unit, .. } = Facts::of(name);
        Self { name: name.to_owned(), unit, range, needs_unit, sentinel: None }
    }

    /// A magnitude, in the column of this name.
    pub fn magnitude(column: &str, sentinel: Option<f64>) -> Self {
        Self { name: column.to_owned(), unit: Some("mag".into()), range: [-30.0, 60.0], needs_unit: true, sentinel }
    }

    /// The same quantity in the unit that its user (a model's parameter) states; an empty one leaves it as it
    /// is.
    pub fn with_unit(mut self, text: &str) -> Self {
        if unit::is_absent(text) || self.unit.as_deref() == Some(text) {
            return self;
        }
        self.range = match self.unit.as_deref().and_then(|own| unit::conversion(own, text)) {
            Some(conversion) => self.range.map(|bound| conversion.value(bound)),
            None => Facts::default().range,
        };
        self.needs_unit = true;
        self.unit = Some(text.to_owned());
        self
    }

    /// The unit of columns that are written, empty where it is a logarithm.
    pub fn unit_in_files(&self) -> Option<&str> {
        self.unit.as_deref().map(facts::unit_in_files)
    }

    /// The greatest error that says anything.
    pub fn largest_error(&self) -> f64 {
        self.range[1] - self.range[0]
    }

    /// The least error that is one: smaller ones are numbers without meaning, whose inverse squares no sum
    /// bears (of a parallax 2 · 10⁻⁶ mas, of a magnitude 10⁻⁸).
    pub fn smallest_error(&self) -> f64 {
        let is_known = self.largest_error() < Facts::default().range[1];
        if is_known { 1e-10 * self.largest_error() } else { 1e-30 }
    }

    /// What is possible, in words.
    pub fn possible(&self) -> String {
        self.between(self.range)
    }

    /// What is possible for errors, in words.
    pub fn possible_errors(&self) -> String {
        self.between([self.smallest_error(), self.largest_error()])
    }

    fn between(&self, [low, high]: [f64; 2]) -> String {
        let unit = self.unit.as_deref().map_or_else(String::new, |unit| format!(" {unit}"));
        let is_plain = |value: f64| value == 0.0 || (1e-3..1e5).contains(&value.abs());
        let number = |value: f64| if is_plain(value) { value.to_string() } else { format!("{value:e}") };
        format!("{} to {}{unit}", number(low), number(high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parse;

    #[test]
    fn every_unit_is_one_that_is_understood() {
        for name in ["parallax", "teff", "logg", "feh", "alpha_fe", "extinction", "ra", "dec"] {
            let quantity = Quantity::of(name);
            assert!(parse(quantity.unit.as_deref().unwrap()).is_ok(), "{name}");
            assert!(quantity.range[0] < quantity.range[1]);
        }
        assert_eq!(Quantity::of("vsini").unit, None);
    }

    #[test]
    fn a_range_follows_its_unit() {
        let teff = Quantity::of("teff").with_unit("kK");
        assert!((teff.range[0] - 0.1).abs() < 1e-12 && (teff.range[1] - 1e3).abs() < 1e-9);
        assert_eq!(teff.possible(), "0.1 to 1000 kK");
        assert_eq!(Quantity::of("logg").with_unit(""), Quantity::of("logg"));
        assert_eq!(Quantity::of("vsini").with_unit("km/s").unit.as_deref(), Some("km/s"));
    }

    #[test]
    fn sentinels_are_numbers_to_the_last_digit() {
        assert!(is_sentinel(-999.0) && is_sentinel(f64::from(-99.9_f32)) && is_sentinel(-9999.0));
        assert!(!is_sentinel(-999.1) && !is_sentinel(0.0) && !is_sentinel(f64::NAN) && !is_sentinel(99.0));
    }
}
