//! Second optima with known truth: stars drawn from the shipped photometric model, without parallaxes, whose
//! optima an audit from many random starts in double precision knows.

use ndarray::{Array2, ArrayView2};
use photosphere::infer::audit::{Audit, AuditOptions, audit};
use photosphere::infer::{Estimates, FitOptions, fit, flags, read_options};
use photosphere::model::Registry;
use photosphere::observations::Observations;
use photosphere::statistics::median;
use photosphere::table::{Column, ColumnSchema, Table, Values};
use photosphere::tensor::Device;
use photosphere::train::TrainedModel;
use photosphere::validate::audit::AuditSummary;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::path::PathBuf;

const N_STARS: usize = 600;
/// Errors of the fluxes, of their own size.
const NOISE: f64 = 0.02;

fn model() -> TrainedModel {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/photometry-lamost");
    TrainedModel::load(&directory, &Registry::standard(), &Device::cpu()).unwrap()
}

/// Stars with labels of the model's prior, E of 0.1 in the mean, and noise.
fn stars(trained: &TrainedModel, options: &FitOptions) -> Observations {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let space = &trained.model.space;
    let labels = trained.prior.sample(N_STARS, &mut random);
    let mut coordinates = Array2::zeros((N_STARS, space.len()));
    for (mut star, labels) in coordinates.rows_mut().into_iter().zip(labels.rows()) {
        for (p, parameter) in space.parameters.iter().enumerate() {
            let of_prior = trained.prior.parameters().iter().position(|name| *name == parameter.name);
            let value = match (of_prior, parameter.name.as_str()) {
                (Some(label), _) => labels[label],
                (None, "extinction") => -0.1 * (1.0 - random.r#gen::<f64>()).ln(),
                _ => 1.0,
            };
            star[p] = parameter.coordinate(value);
        }
    }
    let flux = trained.model.predict(coordinates.view()).unwrap();
    let noisy = flux.mapv(|flux| flux * (1.0 + NOISE * random.sample::<f64, _>(StandardNormal)));
    let list = |name: &str, values: ArrayView2<'_, f64>| {
        let schema = ColumnSchema::new(name, &trained.model.flux_unit, "");
        Column::fixed(schema, Values::Float64(values.iter().copied().collect()), values.ncols())
    };
    let id = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((1..=N_STARS as i64).collect()));
    let mut table = Table::new(vec![id, list("flux", noisy.view()), list("flux_error", (&flux * NOISE).view())]).unwrap();
    let grid = &trained.model.grid;
    table.metadata.insert("wavelengths".into(), serde_json::to_string(&grid.wavelength).unwrap());
    table.metadata.insert("bands".into(), serde_json::to_string(&grid.names).unwrap());
    Observations::from_table(table, &read_options(trained, options)).unwrap()
}

fn position(estimates: &Estimates, name: &str) -> usize {
    estimates.parameters.iter().position(|parameter| parameter.0 == name).unwrap()
}

struct Fitted {
    estimates: Estimates,
    audited: Audit,
}

fn fitted(options: &FitOptions) -> Fitted {
    let trained = model();
    let observations = stars(&trained, options);
    let estimates = fit(&trained, &observations, options).unwrap();
    let found = (estimates.values.view(), estimates.covariance.view());
    let audited = audit(&trained, &observations, found, options, &AuditOptions { starts: 48, seed: 3 }).unwrap();
    println!("{}", AuditSummary::new(&audited, &estimates.flags));
    Fitted { estimates, audited }
}

#[test]
fn dwarfs_that_may_be_giants_say_so_with_both_values() {
    let options = FitOptions { constraints: Vec::new(), ..FitOptions::default() };
    let Fitted { estimates, audited } = fitted(&options);
    let logg = position(&estimates, "logg");
    let is_flagged = |star: &usize| estimates.flags[*star] & flags::SECOND_OPTIMUM != 0;
    let of_pairs = |least: f64, most: f64| -> Vec<usize> {
        let is_pair = |star: &usize| {
            let apart = (audited.second[[*star, logg]] - audited.best[[*star, logg]]).abs();
            apart > 1.0 && (least..most).contains(&audited.second_delta_loss[*star]) && audited.gap(*star) < 0.01
        };
        (0..N_STARS).filter(is_pair).collect()
    };
    let (close, far) = (of_pairs(0.0, 4.0), of_pairs(4.0, 18.0));
    // Observed: 29 of 29, and 89 of 89. (Of the model of before 43 of 43, and 55 of 62: what was missed was
    // mostly beyond 12, where no start promises it.)
    for (name, pairs, least) in [("below 4", &close, 0.95), ("4 to 18", &far, 0.9)] {
        let flagged = pairs.iter().filter(|star| is_flagged(star)).count();
        println!("pairs 1 dex apart, −2 ln P worse by {name}: {} of which {flagged} flagged", pairs.len());
        assert!(pairs.len() >= 10 && flagged as f64 >= least * pairs.len() as f64, "{name}");
    }
    // The rule of three σ of the fit would have missed some of them: σ(log g) of one optimum knows nothing of
    // the other.
    let hidden = |star: &&usize| {
        let apart = (audited.second[[**star, logg]] - audited.best[[**star, logg]]).abs();
        apart < 3.0 * estimates.error(**star, logg)
    };
    println!("within 3 sigma of the fit: {}", close.iter().filter(hidden).count());

    // Values and difference are those of the audit's optimum.
    let both: Vec<usize> = close.iter().chain(&far).copied().filter(|star| is_flagged(star)).collect();
    let difference = |star: usize| estimates.second_delta_loss[star] - audited.second_delta_loss[star];
    let as_good = both.iter().filter(|&&star| difference(star) < 0.05).count() as f64 / both.len() as f64;
    println!("a second optimum as good as the audit's, or better: {as_good:.3} of {}", both.len());
    assert!(as_good > 0.9, "{as_good}");
    let same = || both.iter().filter(|&&star| difference(star).abs() < 0.01);
    let values = same().filter(|&&star| (estimates.second[[star, logg]] - audited.second[[star, logg]]).abs() < 0.05).count();
    assert!(values as f64 >= 0.97 * same().count() as f64 && values > 20, "{values} of {}", same().count());
    for star in 0..N_STARS {
        let is_null = estimates.second.row(star).iter().all(|value| value.is_nan());
        assert!(is_flagged(&star) != is_null && is_null == estimates.second_delta_loss[star].is_nan());
        assert!(is_null || (0.0..=20.0).contains(&estimates.second_delta_loss[star]));
    }

    // Narrower, by option.
    let second_optimum = toml::from_str("window = 4.0\nseparations = { logg = 1.0, teff = 5000.0, feh = 9.0 }").unwrap();
    let trained = model();
    let narrow = FitOptions { second_optimum, ..options };
    let narrow = fit(&trained, &stars(&trained, &narrow), &narrow).unwrap();
    for star in (0..N_STARS).filter(|&star| narrow.flags[star] & flags::SECOND_OPTIMUM != 0) {
        let apart = (narrow.second[[star, logg]] - narrow.values[[star, logg]]).abs();
        assert!(apart > 1.0 && narrow.second_delta_loss[star] <= 4.0, "{apart}");
    }
}

#[test]
fn columns_of_the_second_optimum_are_null_where_there_is_none() {
    let options = FitOptions { constraints: Vec::new(), hold: [("feh".to_owned(), 0.0)].into(), ..FitOptions::default() };
    let trained = model();
    let estimates = fit(&trained, &stars(&trained, &options), &options).unwrap();
    let catalogue = estimates.to_table("model").unwrap();
    for name in ["second_teff", "second_logg", "second_extinction", "second_parallax", "second_delta_loss"] {
        let column = catalogue.column(name).unwrap();
        for star in 0..N_STARS {
            assert_eq!(column.is_valid(star), estimates.flags[star] & flags::SECOND_OPTIMUM != 0, "{name}, {star}");
        }
    }
    assert!(catalogue.column("second_feh").is_err(), "a held parameter has no second value");
    let deltas = catalogue.column("second_delta_loss").unwrap().to_f64().unwrap();
    println!("median difference {:.2}", median(&deltas));
    assert_eq!(catalogue.column("second_teff").unwrap().schema.unit, "K");
}
