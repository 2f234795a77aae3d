//! A catalogue of estimates against a truth or a reference table: joined on `source_id`, quantity by
//! quantity.

mod calibration;
mod columns;
#[cfg(feature = "report")]
mod figures;
mod groups;
mod pairs;
mod present;

pub use calibration::{Calibration, CalibrationOptions, CalibrationRow, Selection};
pub use columns::needed_columns;
#[cfg(feature = "report")]
pub use figures::QuantityMap;
pub use groups::GroupPull;

use super::normality::KolmogorovSmirnov;
use crate::error::{Error, Result};
use crate::statistics::PullStatistics;
use crate::table::Table;
use pairs::{Pairs, common_quantities};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is compared, and for which stars. The default compares everything that it can for all stars in both
/// tables.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// Names of catalogue columns; empty means every scalar column of numbers that has an error
    /// (`<name>_error`) in the catalogue or a truth (`true_<name>`) in the reference, and a counterpart in
    /// the reference.
    pub quantities: Vec<String>,
    /// For a quantity, the least ratio of its reference value to the catalogue's error ("true E > 3 σ_E").
    pub minimum_signal: BTreeMap<String, f64>,
    /// For a quantity, the closed interval of its reference value (the training domain).
    pub ranges: BTreeMap<String, (f64, f64)>,
    /// Boolean or integer columns of either table that must be false, zero or null (`true_binary`, …).
    pub exclude: Vec<String>,
    /// Rows with `quality_flags` at or above this, or null, are left out (8 is the basic cut).
    pub quality_flags_below: Option<i64>,
}

/// The result of [`compare`].
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Rows of the catalogue and of the reference.
    pub n_catalogue: usize,
    pub n_reference: usize,
    /// Stars in both.
    pub n_matched: usize,
    /// Stars that pass the selection.
    pub n_selected: usize,
    pub quantities: Vec<QuantityComparison>,
}

/// Residuals and pulls of one quantity over the selected stars.
#[derive(Debug, Clone, Serialize)]
pub struct QuantityComparison {
    pub name: String,
    /// Column of the reference that it was compared with.
    pub reference_column: String,
    pub unit: String,
    /// Whether measured values of it were among the constraints of the fit that made the catalogue, as that
    /// says itself: it is then no test of the fit against the same measurements, and its pulls against others
    /// are not those of the fluxes alone.
    pub was_constraint: bool,
    /// Stars with both values.
    pub n: usize,
    /// Median of estimate − reference.
    pub median: f64,
    /// 1.4826·MAD of estimate − reference.
    pub scatter: f64,
    /// 16th and 84th percentiles of estimate − reference.
    pub interval_68: [f64; 2],
    /// Of (estimate − reference)/σ; `None` without an error column. σ holds the reference's error too, where
    /// it has one.
    pub pulls: Option<PullStatistics>,
    /// Of the pulls against N(0, 1).
    pub kolmogorov_smirnov: Option<KolmogorovSmirnov>,
    /// Estimate, reference and pull of each selected star, NaN where missing; for figures.
    #[serde(skip)]
    pub values: ComparedValues,
}

/// The numbers behind a [`QuantityComparison`], one entry per selected star.
#[derive(Debug, Clone, Default)]
pub struct ComparedValues {
    pub estimate: Vec<f64>,
    pub reference: Vec<f64>,
    /// NaN also where there is no valid error.
    pub pull: Vec<f64>,
    /// The part of that error which like stars share (`<name>_shared_error`), over the whole; `None` where
    /// the catalogue does not know it.
    pub shared: Option<Vec<f64>>,
}

/// Compares a catalogue with a reference table, star by star, in the catalogue's units. Numbers beyond reason
/// count as missing.
///
/// # Errors
/// When an id column is missing or not of integers, an id appears twice, no star is in both tables, a named
/// quantity or column does not exist, or a unit of the reference measures something else than the
/// catalogue's.
pub fn compare(catalogue: &Table, reference: &Table, options: &CompareOptions) -> Result<Comparison> {
    let matched = Pairs::join(catalogue, reference)?;
    let pairs = matched.selected(options)?;
    let names = if options.quantities.is_empty() { common_quantities(catalogue, reference) } else { options.quantities.clone() };
    if names.is_empty() {
        return Err(Error::data("comparison")
            .found("no quantity with an error or a truth in both tables")
            .expected("columns such as 'teff', with 'teff_error', beside 'teff' or 'true_teff' in the reference")
            .remedy("Rename columns, or name the quantities to compare."));
    }
    let quantities = names.iter().map(|name| pairs.quantity(name)).collect::<Result<Vec<_>>>()?;
    Ok(Comparison {
        n_catalogue: catalogue.n_rows(),
        n_reference: reference.n_rows(),
        n_matched: matched.rows.len(),
        n_selected: pairs.rows.len(),
        quantities,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, ColumnSchema, Values};

    fn ids(ids: &[i64]) -> Column {
        Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(ids.to_vec()))
    }

    fn numbers(name: &str, unit: &str, values: &[f64]) -> Column {
        Column::nullable(ColumnSchema::new(name, unit, ""), values.to_vec())
    }

    fn table(columns: Vec<Column>) -> Table {
        Table::new(columns).unwrap()
    }

    /// Six stars; star 6 is not in the reference, star 5 has no estimate, star 4 an impossible error, star 2
    /// is a binary.
    fn catalogue() -> Table {
        table(vec![
            ids(&[4, 2, 1, 3, 5, 6]),
            numbers("teff", "K", &[5400.0, 5300.0, 5100.0, 4900.0, f64::NAN, 9000.0]),
            numbers("teff_error", "K", &[0.0, 50.0, 50.0, 100.0, 50.0, 50.0]),
            numbers("chi2", "", &[1.0; 6]),
            numbers("extinction", "", &[0.2, 0.3, 0.1, 0.5, 0.1, 0.1]),
        ])
    }

    fn reference() -> Table {
        table(vec![
            ids(&[1, 2, 3, 4, 5, 7]),
            numbers("true_teff", "K", &[5000.0, 5000.0, 5000.0, 5000.0, 5000.0, 5000.0]),
            numbers("extinction", "", &[0.1; 6]),
            numbers("chi2", "", &[1.0; 6]),
            Column::scalar(ColumnSchema::new("true_binary", "", ""), Values::Bool(vec![false, true, false, false, false, false])),
        ])
    }

    #[test]
    fn tiny_table_has_the_answer_worked_out_by_hand() {
        let options = CompareOptions { exclude: vec!["true_binary".into()], ..Default::default() };
        let comparison = compare(&catalogue(), &reference(), &options).unwrap();
        assert_eq!((comparison.n_matched, comparison.n_selected), (5, 4));
        // chi2 has neither error nor truth, extinction neither: only teff is a quantity
        assert_eq!(comparison.quantities.len(), 1);
        let teff = &comparison.quantities[0];
        // residuals of stars 4, 1, 3: 400, 100, −100; pulls: none, 2, −1
        assert_eq!((teff.n, teff.median, teff.unit.as_str()), (3, 100.0, "K"));
        assert!((teff.scatter - 200.0 * 1.482_602_218_505_602).abs() < 1e-9);
        let pulls = teff.pulls.unwrap();
        assert_eq!((pulls.n, pulls.median.value, pulls.within_68.value), (2, 0.5, 0.5));
        assert_eq!(teff.values.pull.iter().filter(|pull| pull.is_nan()).count(), 2);
    }

    /// 2 mas in a catalogue in µas against a reference that states no unit.
    #[test]
    fn a_reference_without_a_unit_is_in_that_of_the_quantity() {
        for (unit, factor) in [("mas", 1.0), ("uas", 1e3), ("arcsec", 1e-3)] {
            let parallax = [2.0 * factor, 1.0 * factor];
            let catalogue = table(vec![
                ids(&[1, 2]),
                numbers("parallax", unit, &parallax),
                numbers("parallax_error", unit, &[0.1 * factor; 2]),
            ]);
            for of_reference in ["parallax", "true_parallax"] {
                let columns = vec![
                    ids(&[1, 2]),
                    numbers(of_reference, "", &[1.9, 0.9]),
                    numbers(&format!("{of_reference}_error"), "", &[0.1; 2]),
                ];
                let comparison = compare(&catalogue, &table(columns), &CompareOptions::default()).unwrap();
                let quantity = &comparison.quantities[0];
                assert!((quantity.median / factor - 0.1).abs() < 1e-9, "{unit}: {}", quantity.median);
                assert!((quantity.pulls.unwrap().median.value - 0.5_f64.sqrt()).abs() < 1e-9, "{unit}");
            }
        }
    }

    #[test]
    fn tables_without_rows_are_refused_as_such() {
        let empty = table(vec![numbers("source_id", "", &[]), numbers("teff", "K", &[])]);
        let message = compare(&catalogue(), &empty, &CompareOptions::default()).unwrap_err().to_string();
        assert!(message.contains("reference: found no rows"), "{message}");
    }

    #[test]
    fn what_constrained_the_fit_is_said() {
        let catalogue =
            || table(vec![ids(&[1, 2]), numbers("parallax", "mas", &[2.0, 1.0]), numbers("parallax_error", "mas", &[0.1; 2])]);
        let reference = table(vec![ids(&[1, 2]), numbers("parallax", "mas", &[2.1, 1.1])]);
        let said_by = |key: &str, text: &str| {
            let mut catalogue = catalogue();
            catalogue.metadata.insert(key.into(), text.into());
            let comparison = compare(&catalogue, &reference, &CompareOptions::default()).unwrap();
            let was_constraint = comparison.quantities[0].was_constraint;
            assert_eq!(comparison.to_string().contains("parallax was a constraint of the fit"), was_constraint);
            was_constraint
        };
        assert!(said_by("constraints", "teff,parallax") && !said_by("constraints", "teff") && !said_by("constraints", ""));
        let said = |options: &str| said_by("options", options);
        assert!(said("constraints = ['parallax']") && said("constraints = ['distance']"));
        assert!(said(&crate::text::on_one_line("draws = 3\nconstraints = ['parallax']")));
        assert!(!said("constraints = []") && !said("constraints = ['parallax']\nhold = { parallax = 1.0 }"));
        assert!(!said("constraints = 3"), "what cannot be read says nothing");
        assert!(!compare(&catalogue(), &reference, &CompareOptions::default()).unwrap().quantities[0].was_constraint);
    }

    #[test]
    fn reference_errors_add_in_quadrature() {
        let catalogue = table(vec![ids(&[1]), numbers("feh", "", &[0.5]), numbers("feh_error", "", &[0.3])]);
        let reference = table(vec![ids(&[1]), numbers("feh", "", &[0.0]), numbers("feh_error", "", &[0.4])]);
        let comparison = compare(&catalogue, &reference, &CompareOptions::default()).unwrap();
        assert!((comparison.quantities[0].values.pull[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_reference_is_brought_to_the_units_of_the_catalogue() {
        let catalogue = |unit: &str| {
            table(vec![
                ids(&[1, 2, 3]),
                numbers("parallax", unit, &[2.0, 1.0, 0.5]),
                numbers("parallax_error", "uas", &[300.0, 100.0, 100.0]),
            ])
        };
        let reference = |unit: &str, scale: f64| {
            table(vec![
                ids(&[1, 2, 3]),
                numbers("parallax", unit, &[1.0 * scale, 1.0 * scale, -9999.0]),
                numbers("parallax_error", "mas", &[0.4, 0.0, 0.0]),
            ])
        };
        // A catalogue without units is taken in those of its quantities.
        for (of_catalogue, of_reference, scale) in
            [("mas", "arcsec", 1e-3), ("", "arcsec", 1e-3), ("mas", "uas", 1e3), ("mas", "", 1.0)]
        {
            let (catalogue, reference) = (catalogue(of_catalogue), reference(of_reference, scale));
            let comparison = compare(&catalogue, &reference, &CompareOptions::default()).unwrap();
            let parallax = &comparison.quantities[0];
            assert_eq!(parallax.n, 2, "-9999 is no parallax");
            assert!((parallax.values.estimate[0] - parallax.values.reference[0] - 1.0).abs() < 1e-12);
            assert!((parallax.values.pull[0] - 2.0).abs() < 1e-12, "errors of 0.3 and 0.4 mas");
        }
        let message = compare(&catalogue("mas"), &reference("K", 1.0), &CompareOptions::default()).unwrap_err().to_string();
        assert!(message.contains("reference, column 'parallax': found the unit 'K'"), "{message}");
    }

    #[test]
    fn selection_by_signal_range_and_flags() {
        let catalogue = table(vec![
            ids(&[1, 2, 3, 4]),
            numbers("extinction", "", &[0.1, 0.2, 0.3, 0.4]),
            numbers("extinction_error", "", &[0.05, 0.05, 0.05, 0.05]),
            Column::scalar(ColumnSchema::new("quality_flags", "", ""), Values::Int32(vec![0, 0, 8, 1])),
        ]);
        let reference = table(vec![ids(&[1, 2, 3, 4]), numbers("true_extinction", "", &[0.1, 0.2, 0.3, 0.4])]);
        let named = |value| BTreeMap::from([("extinction".to_owned(), value)]);
        let count = |options: CompareOptions| compare(&catalogue, &reference, &options).unwrap().n_selected;
        assert_eq!(count(CompareOptions { minimum_signal: named(3.0), ..Default::default() }), 3);
        assert_eq!(
            count(CompareOptions { ranges: BTreeMap::from([("extinction".to_owned(), (0.2, 0.3))]), ..Default::default() }),
            2
        );
        assert_eq!(count(CompareOptions { quality_flags_below: Some(8), ..Default::default() }), 3);
        assert_eq!(count(CompareOptions { exclude: vec!["quality_flags".into()], ..Default::default() }), 2);
    }

    #[test]
    fn bad_tables_are_errors_that_name_the_place() {
        let twice = table(vec![ids(&[1, 2, 1]), numbers("teff", "K", &[1.0; 3])]);
        let message = compare(&twice, &reference(), &CompareOptions::default()).unwrap_err().to_string();
        assert!(message.contains("catalogue") && message.contains("rows 0 and 2") && message.contains("id 1"), "{message}");
        let strangers = table(vec![ids(&[100]), numbers("teff", "K", &[1.0])]);
        assert!(compare(&strangers, &reference(), &CompareOptions::default()).is_err());
        let nameless = table(vec![ids(&[1]), numbers("vsini", "km/s", &[1.0])]);
        assert!(compare(&nameless, &reference(), &CompareOptions::default()).is_err());
        let options = CompareOptions { exclude: vec!["absent".into()], ..Default::default() };
        assert!(compare(&catalogue(), &reference(), &options).unwrap_err().to_string().contains("absent"));
        assert!(compare(&table(vec![numbers("teff", "K", &[1.0])]), &reference(), &CompareOptions::default()).is_err());
    }

    #[test]
    fn prints_as_text_table_and_json() {
        let comparison = compare(&catalogue(), &reference(), &CompareOptions::default()).unwrap();
        let text = comparison.to_string();
        assert!(text.lines().count() == 3 && text.contains("teff (K)") && text.contains("5 in both"), "{text}");
        let table = comparison.to_table().unwrap();
        assert_eq!((table.n_rows(), table.column("n").unwrap().to_i64().unwrap()), (1, vec![4]));
        assert!(serde_json::to_string(&comparison).unwrap().contains("\"within_68\""));
    }
}
