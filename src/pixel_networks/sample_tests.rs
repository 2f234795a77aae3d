//! What a training makes of samples with gaps, of units, and of errors that claim too little.

use super::training::train;
use super::*;
use crate::error::Result;
use crate::learn::CheckpointFile;
use crate::model::Registry;
use crate::observations::Observations;
use crate::package::{Package, Request, Trainable, TrainingContext};
use crate::per_pixel::{PixelPolynomials, PolynomialOptions};
use crate::simulate::line_list::{LABELS, LineList, Population, Synthesis};
use crate::statistics::robust_scatter;
use crate::table::{Column, ColumnSchema, Table, Values};
use crate::tensor::Device;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use std::path::Path;
use std::sync::Arc;

type Recipe = SpectraRecipe<PixelPolynomials>;

fn recipe() -> Recipe {
    Recipe {
        labels: LABELS[..4].iter().map(|(name, _)| (*name).to_owned()).collect(),
        training: PolynomialOptions { core_degree: 2, cross_degree: 1, ..PolynomialOptions::default() },
        ..Recipe::default()
    }
}

fn stars(change: impl Fn(&mut crate::per_pixel::LabelledSpectra)) -> Table {
    let list = LineList { n_pixels: 40, ..LineList::default() };
    let (synthesis, population) = (Synthesis::new(&list), Population::default());
    let mut all = population.observe(&synthesis, population.labels(700).view(), [50.0, 150.0]);
    change(&mut all);
    list.observations(&all, 1, true).unwrap()
}

fn trained(recipe: &Recipe, table: Table) -> Result<super::training::TrainedSpectra<PixelPolynomials>> {
    let (effects, device) = (Registry::standard(), Device::cpu());
    let options = <SpectralPackage<PixelPolynomials> as Trainable>::read_options(recipe, &effects, &table)?;
    let checkpoints = CheckpointFile { path: Path::new("none"), interval: std::time::Duration::from_secs(3600), resume: false };
    let context = TrainingContext { effects: &effects, device: &device, checkpoints, run: "run", report: &|_, _| Ok(()) };
    train(recipe, &Observations::from_table(table, &options)?, None, &context)
}

/// Pixels that few spectra have are no part of a model, of its figures, or of fits.
#[test]
fn pixels_of_few_spectra_are_not_trained_and_not_counted() {
    let gaps = |all: &mut crate::per_pixel::LabelledSpectra| {
        all.inverse_variance.slice_mut(ndarray::s![.., ..8]).fill(0.0);
        all.inverse_variance.slice_mut(ndarray::s![10.., 8..12]).fill(0.0);
    };
    let found = trained(&recipe(), stars(gaps)).unwrap();
    let card = &found.package.core.card;
    assert_eq!(card.untrained, (0..12).collect::<Vec<_>>());
    for (column, metric) in [("chi2_training", "chi-square of training"), ("chi2_validation", "chi-square of validation")] {
        let values = found.pixels.column(column).unwrap().to_f64().unwrap();
        assert!(
            values[..12].iter().all(|value| value.is_nan()) && values[12..].iter().all(|value| value.is_finite()),
            "{column}"
        );
        let mean = values[12..].iter().sum::<f64>() / 28.0;
        assert!((card.metrics[metric] / mean - 1.0).abs() < 1e-12 && mean > 0.5, "{metric}: {mean}");
    }
    let mut few = stars(|all| all.inverse_variance.slice_mut(ndarray::s![8.., ..]).fill(0.0));
    few = few.select(&(0..8).collect::<Vec<_>>());
    let mut without = stars(|all| all.inverse_variance.slice_mut(ndarray::s![3.., 1..]).fill(0.0));
    without = without.select(&(0..40).collect::<Vec<_>>());
    let all = recipe();
    assert!(trained(&Recipe { labels: all.labels[..1].to_vec(), ..all.clone() }, few).is_ok(), "few spectra, all of them whole");
    // The one pixel that is left is trained alone.
    assert_eq!(trained(&all, without).unwrap().package.core.card.untrained.len(), 39);
}

/// Spectra that were trained on are no measure of a fit.
#[test]
fn without_validation_no_chi_square_of_good_spectra_is_known() {
    let with = trained(&recipe(), stars(|_| ())).unwrap();
    assert!(!with.package.core.card.goodness.is_none());
    let without = trained(&Recipe { validation_fraction: 0.0, ..recipe() }, stars(|_| ())).unwrap();
    assert!(without.package.core.card.goodness.is_none());
    assert!(!without.package.core.card.metrics.contains_key("chi-square of validation"));
}

fn renamed(table: &Table, from: &str, to: &str, unit: &str, factor: f64) -> Table {
    let mut found = Table::with_rows(table.n_rows());
    found.metadata.clone_from(&table.metadata);
    for column in table.columns() {
        let name = column.schema.name.as_str();
        let ending = if name == from { Some("") } else { name.strip_prefix(from).filter(|ending| *ending == "_error") };
        match ending {
            Some(ending) => {
                let values = column.to_f64().unwrap().into_iter().map(|value| value * factor).collect();
                found.push(Column::nullable(ColumnSchema::new(format!("{to}{ending}"), unit, ""), values)).unwrap();
            }
            None => found.push(column.clone()).unwrap(),
        }
    }
    found
}

/// A label that the program does not know has the unit of its column, and one that it knows by another
/// spelling that of its quantity, whatever the file has.
#[test]
fn labels_keep_their_units() {
    let table = renamed(&renamed(&stars(|_| ()), "teff", "TEFF", "kK", 1e-3), "feh", "age", "Gyr", 1.0);
    let names = ["TEFF", "logg", "v_mic", "age"].map(String::from);
    let found = trained(&Recipe { labels: names.into(), ..recipe() }, table).unwrap();
    let space = found.package.core.space().clone();
    assert_eq!(space.units, ["K", "", "km.s**-1", "Gyr"]);
    assert!(space.minimum[0] > 1000.0, "{}", space.minimum[0]);
    let unit = |table: &Table, name: &str| table.column(name).unwrap().schema.unit.clone();
    assert_eq!([unit(&found.stars, "TEFF"), unit(&found.stars, "age")], ["K", "Gyr"]);
    let estimator = Arc::new(found.package).estimator(&Request::default()).unwrap();
    let new = Observations::from_table(stars(|_| ()).select(&[0, 1]), &estimator.read_options()).unwrap();
    let catalogue = estimator.estimate(&new, &|_| Ok(())).unwrap().table;
    assert_eq!([unit(&catalogue, "TEFF"), unit(&catalogue, "age"), unit(&catalogue, "age_error")], ["K", "Gyr", "Gyr"]);
}

/// Errors a tenth of what they are weaken no lines by what they claim, and are found out all the same.
#[test]
fn errors_of_labels_that_claim_too_little_are_found_out() {
    let noisy = |claimed: f64| {
        let mut table = stars(|_| ());
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for (name, _) in &LABELS[..4] {
            let mut values = table.column(name).unwrap().to_f64().unwrap();
            let error = 0.3 * robust_scatter(&values);
            for value in &mut values {
                let normal: f64 = StandardNormal.sample(&mut random);
                *value += error * normal;
            }
            let errors = vec![claimed * error; values.len()];
            for (name, values) in [((*name).to_owned(), values), (format!("{name}_error"), errors)] {
                let schema = table.column(&name).unwrap().schema.clone();
                table.replace(Column::scalar(schema, Values::Float64(values))).unwrap();
            }
        }
        let recipe = Recipe { labels: LABELS.iter().map(|(name, _)| (*name).to_owned()).collect(), ..recipe() };
        trained(&recipe, table).unwrap().package.core.card.label_errors.clone()
    };
    let ratio = |claimed: f64| noisy(claimed).iter().find(|errors| errors.label == "feh").unwrap().ratio;
    let (right, small) = (ratio(1.0), ratio(0.2));
    println!("ratios of [Fe/H]: {right:?}, claimed a fifth {small:?}");
    assert!(small.unwrap() > 1.5 * right.unwrap(), "{right:?} {small:?}");
}

#[test]
fn labels_with_names_of_other_columns_are_refused_before_a_training() {
    for name in ["snr", "chi2", "quality_flags", "flux", "model_id"] {
        let labels = vec!["teff".to_owned(), name.to_owned()];
        let error = Recipe { labels, ..recipe() }.validate().unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("another name"), "{error}");
    }
}
