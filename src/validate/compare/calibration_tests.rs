use super::super::{CompareOptions, compare};
use super::*;
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;

/// `n` stars whose T_eff scatters by `scatter` of its errors about the truth, and is off by `shift`
/// errors in the hotter half; quantiles as a normal posterior has them.
fn tables(n: usize, scatter: f64, shift: f64) -> (Table, Table) {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut normal = move || -> f64 { random.sample(StandardNormal) };
    let ids = || Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((0..n as i64).collect()));
    let truth: Vec<f64> = (0..n).map(|i| 5000.0 + 1000.0 * (i as f64 / n as f64)).collect();
    let estimate: Vec<f64> =
        truth.iter().map(|truth| truth + 50.0 * (scatter * normal() + if *truth > 5500.0 { shift } else { 0.0 })).collect();
    let logg: Vec<f64> = (0..n).map(|_| 4.0 + normal()).collect();
    let at = [-1.959_964, -0.994_458, 0.0, 0.994_458, 1.959_964];
    let quantiles = estimate.iter().flat_map(|value| at.map(|at| value + 50.0 * at)).collect();
    let number = |name: &str, unit: &str, values: Vec<f64>| Column::nullable(ColumnSchema::new(name, unit, ""), values);
    let catalogue = Table::new(vec![
        ids(),
        number("teff", "K", estimate),
        number("teff_error", "K", vec![50.0; n]),
        number("logg", "", logg),
        Column::fixed(ColumnSchema::new("teff_quantiles", "K", ""), Values::Float64(quantiles), 5),
    ]);
    (catalogue.unwrap(), Table::new(vec![ids(), number("true_teff", "K", truth)]).unwrap())
}

fn calibration(n: usize, scatter: f64, shift: f64) -> Calibration {
    let (catalogue, reference) = tables(n, scatter, shift);
    let comparison = compare(&catalogue, &reference, &CompareOptions::default()).unwrap();
    let options = CalibrationOptions { split: vec!["logg".into(), "absent".into()], cells: ["teff", "logg"].map(String::from) };
    Calibration::of((&catalogue, &reference), (&comparison, &CompareOptions::default()), &options).unwrap()
}

#[test]
fn right_errors_are_right_in_every_way() {
    let calibration = calibration(6400, 1.0, 0.0);
    let all = &calibration.rows[0];
    assert!(all.selection.limits.is_empty() && all.pulls.n == 6400);
    assert!((all.within_50[0] - 0.5).abs() < 4.0 * all.within_50[1]);
    assert!(all.pit_probability > 0.001 && all.rank_probability.unwrap() > 0.001, "{all:?}");
    // 64 groups: the root mean square is known to 9 %.
    let group = all.group_pull.unwrap();
    assert!(group.n_groups == 64 && (group.independent - 1.0).abs() < 0.27 && group.sharing.is_nan(), "{group:?}");
    let quarters: Vec<&CalibrationRow> = calibration.rows.iter().filter(|row| row.selection.limits.len() == 1).collect();
    assert_eq!(quarters.iter().map(|row| row.pulls.n).sum::<usize>(), 6400);
    let cells: Vec<&CalibrationRow> = calibration.rows.iter().filter(|row| row.selection.limits.len() == 2).collect();
    assert!(cells.len() == 64 && cells.iter().all(|row| row.pulls.n == 100));
    let table = calibration.to_table().unwrap();
    assert_eq!((table.n_rows(), table.column("pit").unwrap().range(0).len()), (1 + 4 + 64, 10));
    assert_eq!(calibration.text_rows(false).len(), 5);
    assert!(serde_json::to_string(&calibration).unwrap().contains("\"group_pull\""));
}

/// Quantiles in another unit are converted, and refused where they cannot be.
#[test]
fn quantiles_are_in_the_unit_of_their_values() {
    let (mut catalogue, reference) = tables(400, 1.0, 0.0);
    let own = catalogue.column("teff_quantiles").unwrap().clone();
    let of = |catalogue: &Table| {
        let comparison = compare(catalogue, &reference, &CompareOptions::default())?;
        Calibration::of((catalogue, &reference), (&comparison, &CompareOptions::default()), &CalibrationOptions::default())
    };
    let before = of(&catalogue).unwrap().rows[0].rank_probability;
    assert!(before.is_some());
    let mut with = |unit: &str, factor: f64| {
        let values = own.to_matrix(5).unwrap().iter().map(|value| value * factor).collect();
        let columns = catalogue.columns().iter().filter(|column| column.schema.name != "teff_quantiles").cloned();
        let own = Column::fixed(ColumnSchema::new("teff_quantiles", unit, ""), Values::Float64(values), 5);
        catalogue = Table::new(columns.chain([own]).collect()).unwrap();
        of(&catalogue)
    };
    assert_eq!(with("kK", 1e-3).unwrap().rows[0].rank_probability, before);
    assert_eq!(with("", 1.0).unwrap().rows[0].rank_probability, before);
    let error = with("mag", 1.0).err().unwrap().to_string();
    assert!(error.contains("teff_quantiles") && error.contains("'mag'"), "{error}");
}

#[test]
fn wrong_errors_and_biases_that_hide_in_them_are_told() {
    let narrow = calibration(2000, 1.5, 0.0);
    let all = &narrow.rows[0];
    assert!(all.pit_probability < 1e-6 && all.rank_probability.unwrap() < 1e-6 && (all.pulls.scatter.value - 1.5).abs() < 0.1);
    // A third of an error is nothing for one star, and three errors for the mean of a hundred.
    let biased = calibration(6400, 1.0, 0.35);
    let all = &biased.rows[0];
    assert!((all.pulls.scatter.value - 1.0).abs() < 0.06 && all.group_pull.unwrap().independent > 2.0, "{all:?}");
    let hot = biased.rows.iter().filter(|row| row.selection.limits.first().is_some_and(|(_, [low, _])| *low > 5600.0));
    let hot: Vec<f64> = hot.filter(|row| row.selection.limits.len() == 2).map(|row| row.mean_pull).collect();
    assert!(hot.len() > 16 && median(&hot) > 2.5, "{hot:?}");
}

/// A field of 0.35 errors over T_eff, which the catalogue says or does not.
#[test]
fn means_are_right_where_the_catalogue_says_what_stars_share() {
    let of = |shared: Option<f64>| {
        let (mut catalogue, reference) = tables(6400, 1.0, 0.0);
        let truth = reference.column("true_teff").unwrap().to_f64().unwrap();
        let field = |truth: &f64| 50.0 * 0.35 * std::f64::consts::SQRT_2 * (truth * 0.006).sin();
        let estimate = catalogue.column("teff").unwrap().to_f64().unwrap();
        let shifted = estimate.iter().zip(&truth).map(|(estimate, truth)| estimate + field(truth)).collect();
        let number = |name: &str, values: Vec<f64>| Column::nullable(ColumnSchema::new(name, "K", ""), values);
        catalogue.replace(number("teff", shifted)).unwrap();
        catalogue.replace(number("teff_error", vec![50.0 * 0.35_f64.hypot(1.0); 6400])).unwrap();
        catalogue.push(number("teff_shared_error", vec![50.0 * shared.unwrap_or(f64::NAN); 6400])).unwrap();
        let comparison = compare(&catalogue, &reference, &CompareOptions::default()).unwrap();
        let options = CalibrationOptions { split: Vec::new(), cells: ["teff", "logg"].map(String::from) };
        let calibration = Calibration::of((&catalogue, &reference), (&comparison, &CompareOptions::default()), &options).unwrap();
        calibration.rows[0].group_pull.unwrap()
    };
    let (said, unsaid, too_small) = (of(Some(0.35)), of(None), of(Some(0.1)));
    assert!(said.independent > 2.5 && (said.sharing - 1.0).abs() < 0.27, "{said:?}");
    assert!(unsaid.sharing.is_nan() && unsaid.independent == said.independent);
    assert!(too_small.sharing > 1.7, "{too_small:?}");
}

#[test]
fn where_both_are_measured_cells_are_those_of_the_mean_by_errors() {
    let number = |name: &str, values: &[f64]| Column::nullable(ColumnSchema::new(name, "K", ""), values.to_vec());
    let ids = || Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![1, 2]));
    let catalogue = Table::new(vec![ids(), number("teff", &[5000.0, 6000.0]), number("teff_error", &[50.0, 50.0])]).unwrap();
    let reference =
        Table::new(vec![ids(), number("teff", &[5100.0, f64::NAN]), number("teff_error", &[100.0, f64::NAN])]).unwrap();
    let values = Pairs::join(&catalogue, &reference).unwrap().telling("teff").unwrap();
    assert!((values[0] - 5020.0).abs() < 1e-9 && values[1] == 6000.0, "{values:?}");
}
