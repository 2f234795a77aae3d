//! What a reader has to say of a file's columns, collected and said once.

use crate::warning::{warn_once, warn_once_about};
use std::collections::BTreeMap;

/// Says that a column, which `place` has, is not the one that is wanted but for its capitals.
pub fn say_other_capitals(place: &str, column: &str, wanted: &str) {
    warn_once(format!(
        "{place}: the column '{column}' is not taken for '{wanted}', since capitals and small letters are told apart: rename it"
    ));
}

/// Rows of a column that hold what is not possible.
#[derive(Debug, Clone, PartialEq)]
struct Beyond {
    n: usize,
    /// One of the numbers, as the file has it.
    example: f64,
    possible: String,
}

/// Columns whose units are absent or unknown, and numbers beyond reason.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notices {
    /// Names of columns without a unit, by the unit that they are taken in.
    absent: BTreeMap<String, Vec<String>>,
    /// Column, its unit, and what it is taken for.
    unknown: Vec<(String, String, String)>,
    beyond: BTreeMap<String, Beyond>,
}

impl Notices {
    /// A column without a unit is taken in `unit`.
    pub fn absent(&mut self, column: &str, unit: &str) {
        let columns = self.absent.entry(unit.to_owned()).or_default();
        if !columns.iter().any(|name| name == column) {
            columns.push(column.to_owned());
        }
    }

    /// A column's unit is not understood; its numbers are taken in `unit`.
    pub fn unknown(&mut self, column: &str, text: &str, unit: &str) {
        let notice = (column.to_owned(), text.to_owned(), unit.to_owned());
        if !self.unknown.contains(&notice) {
            self.unknown.push(notice);
        }
    }

    /// `n` numbers of a column are not possible.
    pub fn beyond(&mut self, column: &str, n: usize, example: f64, possible: &str) {
        let new = || Beyond { n: 0, example, possible: possible.to_owned() };
        self.beyond.entry(column.to_owned()).or_insert_with(new).n += n;
    }

    /// Numbers beyond reason, of all columns.
    pub fn n_beyond(&self) -> usize {
        self.beyond.values().map(|beyond| beyond.n).sum()
    }

    /// Adds what was noticed of another part of the same file.
    pub fn extend(&mut self, other: Self) {
        for (unit, columns) in other.absent {
            columns.iter().for_each(|column| self.absent(column, &unit));
        }
        for (column, text, unit) in other.unknown {
            self.unknown(&column, &text, &unit);
        }
        for (column, beyond) in other.beyond {
            self.beyond(&column, beyond.n, beyond.example, &beyond.possible);
        }
    }

    /// Says it: `place` is the file.
    pub fn say(&self, place: &str) {
        self.say_units(place);
        self.say_beyond(place);
    }

    /// As [`Notices::say`], where many files come one after the other: what is the same of several is said of
    /// the first.
    pub fn say_of_first(&self, place: &str) {
        for text in self.texts(place) {
            warn_once_about(text.strip_prefix(place).unwrap_or(&text), text.as_str());
        }
        for (column, text) in self.beyond_texts(place) {
            warn_once_about(&format!("{column}, beyond reason"), text);
        }
    }

    /// Says what there is to say of units.
    pub fn say_units(&self, place: &str) {
        for text in self.texts(place) {
            warn_once(text);
        }
    }

    /// Says how many numbers are beyond reason: once for a column of a place, with the number of the part at
    /// hand.
    pub fn say_beyond(&self, place: &str) {
        for (column, text) in self.beyond_texts(place) {
            warn_once_about(&format!("{place}, {column}, beyond reason"), text);
        }
    }

    fn texts(&self, place: &str) -> Vec<String> {
        let mut texts = Vec::new();
        if !self.absent.is_empty() {
            let taken = |(unit, columns): (&String, &Vec<String>)| {
                let verb = if columns.len() == 1 { "is" } else { "are" };
                format!("{} {verb} taken in {unit}", columns.join(", "))
            };
            let taken: Vec<String> = self.absent.iter().map(taken).collect();
            texts.push(format!("{place}: no units are stated: {}", taken.join("; ")));
        }
        for (column, text, unit) in &self.unknown {
            texts.push(format!("{place}, column '{column}': the unit '{text}' is not known; its numbers are taken in {unit}"));
        }
        texts
    }

    fn beyond_texts<'a>(&'a self, place: &str) -> Vec<(&'a String, String)> {
        let text = |(column, beyond): (&'a String, &Beyond)| {
            let Beyond { n, example, possible } = beyond;
            let values = if *n == 1 { "1 value is".to_owned() } else { format!("{n} values are") };
            let text =
                format!("{place}, column '{column}': {values} beyond reason ({example}; possible: {possible}) and missing");
            (column, text)
        };
        self.beyond.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_said_together() {
        let mut notices = Notices::default();
        for column in ["parallax", "parallax_error", "parallax"] {
            notices.absent(column, "mas");
        }
        notices.absent("teff", "K");
        notices.unknown("j_mag", "foo", "mag");
        let mut more = Notices::default();
        more.beyond("teff", 2, -9999.0, "100 to 1e6 K");
        more.beyond("teff", 1, 1e20, "100 to 1e6 K");
        notices.extend(more.clone());
        notices.extend(more);
        assert_eq!(
            notices.texts("stars.csv"),
            [
                "stars.csv: no units are stated: teff is taken in K; parallax, parallax_error are taken in mas",
                "stars.csv, column 'j_mag': the unit 'foo' is not known; its numbers are taken in mag",
            ]
        );
        let texts = notices.beyond_texts("stars.csv");
        let expected = "stars.csv, column 'teff': 6 values are beyond reason (-9999; possible: 100 to 1e6 K) and missing";
        assert_eq!(texts[0].1, expected);
        assert_eq!(notices.n_beyond(), 6);
    }
}
