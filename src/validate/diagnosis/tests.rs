//! Precision of catalogues whose scatter is known, and which stars take part.

use super::*;
use crate::observations::Grid;
use crate::per_pixel::{Activation, Architecture, LabelSpace, PixelNetworks};
use crate::pixel_networks::{PixelCard, PixelPackage};
use crate::table::{Column, ColumnSchema, Table, Values};
use ndarray::{Array2, array};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

fn package() -> PixelPackage {
    let words = |words: [&str; 3]| words.map(str::to_owned).to_vec();
    let (names, units) = (words(["teff", "feh", "mg_fe"]), words(["K", "dex", "dex"]));
    let space = LabelSpace::new(names, units, vec![4000.0, -2.0, -0.5], vec![7000.0, 0.5, 0.5]).unwrap();
    let architecture = Architecture::new(3, &[2], Activation::Tanh).unwrap();
    let parameters = Array2::zeros((2, architecture.n_parameters()));
    let networks = PixelNetworks::new(space, vec![5000.0, 5001.0], architecture, parameters).unwrap();
    let grid = Grid::new(vec![500.0, 500.1], vec!["a".into(), "b".into()]).unwrap();
    PixelPackage::new(PixelCard::of_grid::<PixelNetworks>(grid), networks, array![[5000.0, 0.0, 0.0]]).unwrap()
}

const N: usize = 2000;

/// A catalogue with scatter `factor` times its errors, S/N 20 to 100; every tenth star is flagged and far
/// off.
fn catalogue(factor: f64, id: &str) -> (Table, Array2<f64>) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut table = Table::with_rows(N);
    let snr: Vec<f64> = (0..N).map(|i| 20.0 + 80.0 * (i % 97) as f64 / 96.0).collect();
    let is_bad = |i: usize| i % 10 == 3;
    let mut truth = Array2::zeros((N, 3));
    for (k, (name, middle, size)) in [("teff", 5500.0, 3000.0), ("feh", -0.5, 1.5), ("mg_fe", 0.1, 2.0)].into_iter().enumerate() {
        let error: Vec<f64> = snr.iter().map(|ratio| size / ratio).collect();
        let value = |i: usize| {
            truth[[i, k]] = middle;
            let noise: f64 = random.sample(StandardNormal);
            middle + factor * error[i] * noise + if is_bad(i) { 1e3 } else { 0.0 }
        };
        let mut values: Vec<f64> = (0..N).map(value).collect();
        values[0] = f64::NAN;
        table.push(Column::nullable(ColumnSchema::new(name, "", ""), values)).unwrap();
        table.push(Column::nullable(ColumnSchema::new(format!("{name}_error"), "", ""), error)).unwrap();
    }
    table.push(Column::nullable(ColumnSchema::new("snr", "", ""), snr)).unwrap();
    let flags = (0..N).map(|i| if is_bad(i) { 8 } else { 0 }).collect();
    table.push(Column::scalar(ColumnSchema::new("quality_flags", "", ""), Values::Int32(flags))).unwrap();
    table.push(Column::scalar(ColumnSchema::new("model_id", "", ""), Values::Text(vec![id.into(); N]))).unwrap();
    (table, truth)
}

#[test]
fn scatter_over_the_bound_is_what_was_put_in() {
    let package = package();
    for factor in [1.0, 2.0] {
        let (table, truth) = catalogue(factor, package.core.id());
        let stars = AbundanceStars::of(&package.core, &table, 8).unwrap();
        assert_eq!((stars.len(), stars.n_all), (1800, N));
        let found = Precision::against_truth(&stars, truth.view()).unwrap();
        assert_eq!(found.bins.len(), 4);
        let bins = found.bins.iter().chain([&found.all]);
        for of in bins.clone().flat_map(|bin| &bin.labels) {
            assert!((of.ratio - factor).abs() < 3.5 * of.ratio_error && of.ratio_error < 0.08 * factor, "{of:?}");
        }
        // In bins of equal numbers the bound falls as the ratio of signal to noise.
        for bin in &found.bins {
            let middle = 0.5 * (bin.snr[0] + bin.snr[1]);
            assert!((bin.labels[0].bound * middle / 30.0 - 1.0).abs() < 0.1 && bin.labels[0].unit == "100 K", "{bin:?}");
            assert!((bin.labels[0].scatter / bin.labels[0].bound / factor - 1.0).abs() < 0.25, "{bin:?}");
        }
        // Pairs of spectra of the same star know it as well.
        let object: Vec<i64> = (0..N as i64).map(|row| row / 2).collect();
        let repeats = Precision::of_repeats(&stars, &Column::scalar(ColumnSchema::new("object", "", ""), Values::Int64(object)));
        for of in &repeats.unwrap().all.labels {
            assert!((of.ratio - factor).abs() < 3.5 * of.ratio_error && of.ratio_error < 0.08 * factor, "{of:?}");
            assert!((of.scatter / of.bound / factor - 1.0).abs() < 0.35, "{of:?}");
        }
        // Spectra of which no star is named are no repeats of one another.
        let object = Values::Int64((0..N as i64).map(|row| row / 2).collect());
        let valid = Some((0..N).map(|row| row < N / 2).collect());
        let some = Column { valid, ..Column::scalar(ColumnSchema::new("object", "", ""), object) };
        let of_named = Precision::of_repeats(&stars, &some).unwrap().all.labels[0].n;
        assert!(2 * of_named <= N / 2 && of_named > N / 8, "{of_named}");
        let single = Column::scalar(ColumnSchema::new("object", "", ""), Values::Int64((0..N as i64).collect()));
        assert!(Precision::of_repeats(&stars, &single).unwrap_err().to_string().contains("no star twice"));
    }
    // The control: stars that the cut leaves out would decide.
    let (table, truth) = catalogue(1.0, package.core.id());
    let all = AbundanceStars::of(&package.core, &table, i64::MAX).unwrap();
    let ratio = Precision::against_truth(&all, truth.view()).unwrap().all.labels[1].ratio;
    assert!(ratio > 1.1, "{ratio}");
}

#[test]
fn catalogues_of_other_models_and_without_labels_are_refused() {
    let package = package();
    let (mut table, _) = catalogue(1.0, "0123456789abcdef");
    let error = AbundanceStars::of(&package.core, &table, 8).unwrap_err().to_string();
    assert!(error.contains("'0123456789abcdef'") && error.contains(package.core.id()), "{error}");
    table.take("model_id");
    assert_eq!(AbundanceStars::of(&package.core, &table, 8).unwrap().len(), 1800);
    for name in ["teff", "feh"] {
        table.take(name);
    }
    let stars = AbundanceStars::of(&package.core, &table, 8).unwrap();
    assert!(stars.label("teff").is_none() && stars.label("mg_fe").is_some());
    table.take("mg_fe");
    assert!(AbundanceStars::of(&package.core, &table, 8).unwrap_err().to_string().contains("no label of the model"));
}
