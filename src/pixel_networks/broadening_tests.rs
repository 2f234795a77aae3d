//! What catalogues and `inspect` say of a broadening: a star that rotates, one of lines narrower than the
//! model's, one without flux, one with missing pixels, and a pixel that no training spectrum had.

use super::tests::command;
use super::*;
use crate::catalogue::flags::NOT_FITTED;
use crate::model::Registry;
use crate::package::{Kind, Package, Request};
use crate::simulate::line_list::{LABELS, LineList, Population, Synthesis};
use crate::table::{self, Table};
use crate::tensor::Device;
use ndarray::Array2;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PIXELS: usize = 120;
/// No training spectrum has it.
const UNTRAINED: usize = 60;
/// km/s; pixels are 60 km/s.
const ROTATION: f64 = 150.0;
/// Pixels that a rotation of 200 km/s reaches, and eight more.
const REACH: usize = 12;
const OPTIONS: &str = "rotation = true\nlargest_rotation = 200.0\n";
const MASKED: [usize; 3] = [20, 21, 40];

/// A model of four labels, options and four stars.
fn made(folder: &Path) -> Arc<PolynomialPackage> {
    let list = LineList { n_pixels: PIXELS, ..LineList::default() };
    let (synthesis, population) = (Synthesis::new(&list), Population::default());
    let mut training = population.observe(&synthesis, population.labels(500).view(), [100.0, 200.0]);
    training.inverse_variance.column_mut(UNTRAINED).fill(0.0);
    let stars = training.select(&[0, 1, 2, 3]);
    table::write(&list.observations(&training, 1, true).unwrap(), &folder.join("training.parquet"), false).unwrap();
    let recipe = PolynomialRecipe {
        labels: LABELS[..4].iter().map(|(name, _)| (*name).to_owned()).collect(),
        resolution: list.resolution,
        ..PolynomialRecipe::default()
    };
    std::fs::write(folder.join("recipe.toml"), recipe.to_toml().unwrap()).unwrap();
    std::fs::write(folder.join("rotation.toml"), OPTIONS).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let train = format!("train {} {} -o {}", path("recipe.toml"), path("training.parquet"), path("model"));
    assert_eq!(command(&train), 0);
    let package = PolynomialPackage::load(&folder.join("model"), &Registry::standard(), &Device::cpu()).unwrap();
    let package = Arc::new(package);

    let space = package.core.space();
    let middle: Vec<f64> = (0..4).map(|k| 0.5 * (space.minimum[k] + space.maximum[k])).collect();
    let request = Request { config: Some(folder.join("rotation.toml")), ..Request::default() };
    let estimator = package.clone().estimator(&request).unwrap();
    let at = |velocity: f64| {
        let values: Vec<f64> = middle.iter().copied().chain([velocity * velocity]).collect();
        let flux = estimator.flux(Array2::from_shape_vec((1, 5), values).unwrap().view()).unwrap().unwrap();
        // What has no flux takes no part.
        flux.row(0).mapv(|value| if value.is_nan() { 1.0 } else { value as f32 })
    };
    let mut stars = stars;
    stars.inverse_variance.fill(1e4);
    stars.flux.row_mut(0).assign(&at(ROTATION));
    let sharper = 2.0 * at(0.0) - at(60.0);
    stars.flux.row_mut(1).assign(&sharper);
    stars.inverse_variance.row_mut(2).fill(0.0);
    stars.flux.row_mut(3).assign(&at(ROTATION));
    MASKED.iter().for_each(|&pixel| stars.inverse_variance[[3, pixel]] = 0.0);
    table::write(&list.observations(&stars, 7000, false).unwrap(), &folder.join("stars.parquet"), false).unwrap();
    package
}

fn catalogue(folder: &Path, name: &str) -> Table {
    let path = |name: &str| folder.join(name).display().to_string();
    let (model, stars, config, to) = (path("model"), path("stars.parquet"), path("rotation.toml"), path(name));
    assert_eq!(command(&format!("fit {model} {stars} -o {to} --config {config}")), 0);
    table::read(&PathBuf::from(to)).unwrap()
}

#[test]
fn a_catalogue_tells_velocities_limits_and_what_was_not_fitted() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path());
    for name in ["catalogue.fits", "catalogue.parquet"] {
        let found = catalogue(folder.path(), name);
        let column = |name: &str| found.column(name).unwrap().to_f64().unwrap();
        let [value, error, upper] = ["", "_error", "_upper"].map(|ending| column(&format!("rotation{ending}")));
        let (square, square_error) = (column("rotation_squared"), column("rotation_squared_error"));
        let at_zero = found.column("rotation_at_zero").unwrap();
        let flags = found.column("quality_flags").unwrap().to_i64().unwrap();
        println!("{name}: {value:.3?} {error:.3?} {upper:.3?} {square:.1?} {square_error:.1?} {flags:?}");
        for star in [0, 3] {
            assert!((value[star] - ROTATION).abs() < 0.5, "{}", value[star]);
            let root = |errors: f64| (square[star] + errors * square_error[star]).max(0.0).sqrt();
            let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
            close(value[star], square[star].sqrt());
            close(error[star], 0.5 * (root(1.0) - root(-1.0)));
            close(upper[star], root(1.645));
            assert!(error[star] > 0.1 && error[star] < 30.0 && flags[star] & (1 << 16 | NOT_FITTED as i64) == 0);
        }
        // At zero the half of the interval that is possible.
        assert_eq!((value[1], square[1]), (0.0, 0.0));
        assert!((error[1] / (0.5 * square_error[1].sqrt()) - 1.0).abs() < 1e-9, "{}", error[1]);
        assert!((upper[1] / (1.645 * square_error[1]).sqrt() - 1.0).abs() < 1e-9 && upper[1] > 1.0, "{}", upper[1]);
        // Without flux nothing is known, not that there is no rotation.
        for values in [&value, &error, &upper, &square, &square_error] {
            assert!(values[2].is_nan());
        }
        assert!(flags[2] & i64::from(NOT_FITTED) != 0);
        let table::Values::Int32(values) = &at_zero.values else { panic!("{:?}", at_zero.values) };
        let said: Vec<Option<i32>> = (0..4).map(|i| at_zero.is_valid(i).then(|| values[i])).collect();
        assert_eq!(said, [Some(0), Some(1), None, Some(0)]);
        // Around an untrained pixel as many are left out as a profile reaches, around a masked one none.
        let n_flux = found.column("n_flux").unwrap().to_i64().unwrap();
        let n_used = (PIXELS - 2 * REACH - (2 * REACH + 1)) as i64;
        assert_eq!(n_flux, [n_used, n_used, 0, n_used - MASKED.len() as i64]);
        for (name, unit, ucd) in [
            ("rotation", "km.s**-1", "phys.veloc.rotat"),
            ("rotation_error", "km.s**-1", "stat.error;phys.veloc.rotat"),
            ("rotation_upper", "km.s**-1", "phys.veloc.rotat;stat.max"),
            ("rotation_at_zero", "", "meta.code"),
            ("rotation_squared", "km**2.s**-2", "stat.fit.param"),
            ("rotation_squared_error", "km**2.s**-2", "stat.error;stat.fit.param"),
        ] {
            let schema = &found.column(name).unwrap().schema;
            assert_eq!((schema.unit.as_str(), schema.ucd.as_str()), (unit, ucd), "{name}");
            assert!(!schema.description.is_empty());
        }
    }
}

#[test]
fn inspect_draws_the_fit_with_its_broadening() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (model, stars) = (path("model"), path("stars.parquet"));
    let inspect = |rest: &str| command(&format!("inspect {model} --star 7000 --data {stars} {rest}"));
    assert_eq!(inspect(&format!("--config {} -o {} --mark feh", path("rotation.toml"), path("star.svg"))), 0);
    assert_eq!(inspect(&format!("-o {}", path("plain.svg"))), 0);
    let drawn = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let with = drawn("star.svg");
    assert!(with.contains("rotation = 150") && with.contains("lines of feh") && !with.contains("rotation_squared"));
    assert!(!drawn("plain.svg").contains("rotation"));
    assert_eq!(inspect("--mark xi -o none.svg"), 2, "no such label");
    assert_eq!(command(&format!("inspect {model} --star 7002 --data {stars} --config {}", path("rotation.toml"))), 0, "no flux");
}

#[test]
fn labels_with_the_names_of_columns_are_refused_before_any_fit() {
    let folder = tempfile::tempdir().unwrap();
    let package = made(folder.path());
    for (label, options, option) in [
        ("rotation", "rotation = true", Some("rotation")),
        ("rotation_upper", "rotation = true", Some("rotation")),
        ("rotation_squared", "rotation = true", Some("rotation")),
        ("broadening", "broadening = true", Some("broadening")),
        ("velocity_shift", "velocity = true", Some("velocity")),
        ("continuum_1", "continuum_terms = 2", Some("continuum_terms")),
        ("continuum_1", "continuum_terms = 1", None),
        ("rotation", "broadening = true", None),
        ("rotation", "", None),
    ] {
        let mut model = package.model.clone();
        model.space.names[3] = label.into();
        let renamed = PolynomialPackage::new(package.core.card.clone(), model, package.core.templates.clone()).unwrap();
        assert_eq!(renamed.core.engine.space().names[3], label);
        let config = folder.path().join("options.toml");
        std::fs::write(&config, options).unwrap();
        let found = Arc::new(renamed).estimator(&Request { config: Some(config), ..Request::default() });
        match (found, option) {
            (Ok(_), None) => {}
            (Err(error), Some(option)) => {
                let error = error.to_string();
                assert!(error.starts_with(&format!("fit option {option}")) && error.contains(&format!("'{label}'")), "{error}");
            }
            (found, _) => panic!("{label} with {options}: {:?}", found.err().map(|error| error.to_string())),
        }
    }
}
