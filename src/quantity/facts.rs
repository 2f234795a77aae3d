//! What is known of a quantity by its name: one table for reading, models, catalogues and figures.

use crate::unit;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Numbers beyond this are impossible even for a quantity of which nothing is known.
const LARGEST: f64 = 1e15;

/// Facts of a quantity. A recipe gives unit, factor and description of a label that is not in the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// The unit in which it is used (`dex(cm/s2)`); `None` where nothing is known of it and a file's numbers
    /// are taken as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Value in models per value in that unit: temperatures are kK in models.
    pub model_units_per_file_unit: f64,
    /// One phrase.
    pub description: String,
    /// Unified content descriptor of a fitted value.
    #[serde(skip)]
    pub ucd: String,
    /// How figures write it; empty for its name.
    #[serde(skip)]
    pub symbol: String,
    /// Possible values, in its unit.
    #[serde(skip)]
    pub range: [f64; 2],
    /// Whether a column without a unit is worth a word: logarithms and reddenings often have none.
    #[serde(skip)]
    pub needs_unit: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            unit: None,
            model_units_per_file_unit: 1.0,
            description: String::new(),
            ucd: "stat.fit.param".into(),
            symbol: String::new(),
            range: [-LARGEST, LARGEST],
            needs_unit: false,
        }
    }
}

/// Name, unit, model units per file unit, description, UCD, symbol, range, whether it needs a unit.
type Row = (&'static str, &'static str, f64, &'static str, &'static str, &'static str, [f64; 2], bool);

#[rustfmt::skip]
const TABLE: [Row; 10] = [
    ("teff", "K", 1e-3, "effective temperature", "phys.temperature.effective", "T_{eff}", [100.0, 1e6], true),
    ("logg", "dex(cm/s2)", 1.0, "surface gravity, log10 of cm/s2 (dex)", "phys.gravity", "log g", [-5.0, 15.0], false),
    ("v_mic", "km.s**-1", 1.0, "microturbulent velocity", "phys.veloc.microTurb", "v_{mic}", [0.0, 1e3], false),
    ("feh", "dex", 1.0, "iron abundance [Fe/H] (dex)", "phys.abund.Fe", "[Fe/H]", [-10.0, 3.0], false),
    ("parallax", "mas", 1.0, "parallax", "pos.parallax", "ϖ", [-1e4, 1e4], true),
    ("extinction", "mag", 1.0, "amount of dust", "phys.absorption.gal", "E", [-10.0, 100.0], false),
    ("xi", "", 1.0, "variation of the extinction curve", "stat.fit.param", "ξ", [-LARGEST, LARGEST], false),
    ("r_v", "", 1.0, "ratio of total to selective extinction A(V)/E(B-V)", "phys.absorption;arith.ratio", "R_V", [0.5, 20.0], false),
    ("ra", "deg", 1.0, "right ascension", "pos.eq.ra", "α", [-360.0, 360.0], false),
    ("dec", "deg", 1.0, "declination", "pos.eq.dec", "δ", [-90.0, 90.0], false),
];

/// Ends of the names of abundances, and what these are relative to.
const ABUNDANCES: [(&str, &str); 3] = [("_fe", "Fe"), ("_h", "H"), ("_m", "M")];

impl Facts {
    /// What is known of the quantity in a column of this name.
    pub fn of(name: &str) -> Self {
        if let Some((_, unit, factor, description, ucd, symbol, range, needs_unit)) = TABLE.iter().find(|row| row.0 == name) {
            return Self {
                unit: (!unit.is_empty()).then(|| (*unit).to_owned()),
                model_units_per_file_unit: *factor,
                description: (*description).into(),
                ucd: (*ucd).into(),
                symbol: (*symbol).into(),
                range: *range,
                needs_unit: *needs_unit,
            };
        }
        let abundance = ABUNDANCES.iter().find_map(|(end, of)| Some((name.strip_suffix(end)?, *of)));
        let symbol = match abundance {
            Some(("alpha", of)) => format!("[α/{of}]"),
            Some((element, of)) => format!("[{}/{of}]", capitalised(element)),
            None => String::new(),
        };
        if abundance.is_none() && !matches!(name, "mh" | "alpha") {
            return Self::default();
        }
        let description = if symbol.is_empty() { "abundance (dex)".into() } else { format!("abundance {symbol} (dex)") };
        let [unit, ucd] = ["dex", "phys.abund"].map(String::from);
        Self {
            unit: Some(unit),
            description: description.replace('α', "alpha"),
            ucd,
            symbol,
            range: [-10.0, 10.0],
            ..Self::default()
        }
    }

    /// The unit of columns that are written; none also where it is a logarithm.
    pub fn unit_in_files(&self) -> &str {
        self.unit.as_deref().map_or("", unit_in_files)
    }
}

/// A unit as columns that are written have it: none for logarithms, because neither FITS nor VOUnit has
/// `dex`.
pub(super) fn unit_in_files(unit: &str) -> &str {
    if unit::parse(unit).is_ok_and(|unit| unit.scale == unit::Scale::Decadic) { "" } else { unit }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A quantity's name as figures write it.
pub fn symbol(name: &str) -> Cow<'_, str> {
    if let Some(row) = TABLE.iter().find(|row| row.0 == name) {
        return row.5.into();
    }
    let symbol = Facts::of(name).symbol;
    if symbol.is_empty() { name.into() } else { symbol.into() }
}

/// A quantity's name as text writes it.
pub fn plain_symbol(name: &str) -> String {
    symbol(name).replace(['{', '}'], "")
}

/// The label that tells giants from dwarfs, and the value below which a star is a giant.
pub const GIANTS_BELOW: (&str, f64) = ("logg", 3.5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_one_that_is_understood_and_every_range_one_of_values() {
        for (name, ..) in TABLE {
            let facts = Facts::of(name);
            assert!(facts.unit.as_deref().is_none_or(|unit| unit::parse(unit).is_ok()), "{name}");
            assert!(facts.range[0] < facts.range[1] && !facts.description.is_empty() && !facts.symbol.is_empty(), "{name}");
        }
    }

    #[test]
    fn abundances_are_known_by_their_ends() {
        let alpha = Facts::of("alpha_fe");
        assert_eq!((alpha.symbol.as_str(), alpha.ucd.as_str(), alpha.unit_in_files()), ("[α/Fe]", "phys.abund", ""));
        assert_eq!((symbol("mg_fe"), symbol("si_h"), symbol("vsini")), ("[Mg/Fe]".into(), "[Si/H]".into(), "vsini".into()));
        assert_eq!((plain_symbol("teff"), symbol("teff")), ("T_eff".into(), "T_{eff}".into()));
        assert_eq!(Facts::of("vsini"), Facts::default());
    }
}
