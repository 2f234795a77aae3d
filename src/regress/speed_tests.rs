//! Measurements: `cargo test --release --lib regress::speed -- --ignored --nocapture`.

use super::tests::recipe;
use super::*;
use crate::observations::{Grid, Observations};
use crate::package::{Package, Request};
use crate::table::{Column, ColumnSchema};
use crate::tensor::Device;
use ndarray::{Array2, ArrayView2, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::time::Instant;

/// Peak memory of the process, GiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or(f64::NAN) / (1 << 20) as f64
}

fn one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(work)
}

/// Rows of a few directions and noise.
fn spectra(n: usize, width: usize) -> Array2<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let directions = Array2::from_shape_simple_fn((8, width), || random.r#gen::<f32>() - 0.5);
    let mut rows = Array2::from_shape_simple_fn((n, width), || 0.1 * (random.r#gen::<f32>() - 0.5));
    for mut row in rows.rows_mut() {
        for direction in directions.rows() {
            row.scaled_add(random.r#gen::<f32>(), &direction);
        }
    }
    rows
}

#[test]
#[ignore = "a measurement of a minute and three GiB"]
fn components_of_a_hundred_thousand_spectra() {
    let n: usize = std::env::var("SPECTRA").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let rows = spectra(n, 5500);
    let mut walk = |each: &mut dyn FnMut(ArrayView2<'_, f32>)| pca::walk_in_blocks(rows.view(), 2048, each);
    let start = Instant::now();
    let found = Pca::of_blocks(5500, 100, PcaMethod::Automatic, 1, &mut walk).unwrap();
    println!("{n} x 5500 to 100: {:.1} s, peak {:.2} GiB, with the rows", start.elapsed().as_secs_f64(), peak());
    println!("variances {:?}", &found.variances[..10]);
}

#[test]
#[ignore = "a measurement"]
fn predictions_of_specdis() {
    let text = include_str!("../../models/regression/specdis.toml").replace("epochs = 60", "epochs = 1");
    let recipe = RegressionRecipe {
        baselines: BaselinesRecipe { linear: false, nearest_neighbours: 0, boosting: false },
        ..recipe(&text)
    };
    let (n, width) = (600, 5500);
    let flux = spectra(n, width).mapv(|value| value + 2.0);
    let grid =
        Grid::new((0..width).map(|w| 380.0 + 0.1 * w as f64).collect(), (0..width).map(|w| format!("p{w}")).collect()).unwrap();
    let observations = Observations::new(grid, (0..n as i64).collect(), flux, Array2::from_elem((n, width), 0.05)).unwrap();
    let parallax = (0..n).map(|star| 0.2 + 0.01 * (star % 50) as f64).collect();
    let mut observations = observations.with_constraint("parallax", parallax, vec![0.02; n]).unwrap();
    for (name, value) in [("phot_g_mean_mag", 17.0), ("a_g", 0.1)] {
        observations.auxiliary.push(Column::nullable(ColumnSchema::new(name, "mag", ""), vec![value; n])).unwrap();
    }
    let (model, _) = train(&recipe, &observations, &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
    for (copies, members) in [(0, 1), (0, 5), (20, 1), (20, 5)] {
        let model = RegressionModel { copies, predictors: model.predictors[..members].to_vec(), ..model.clone() };
        let estimator = Arc::new(model).estimator(&Request::default()).unwrap();
        let best = (0..3)
            .map(|_| {
                let start = Instant::now();
                one_thread(|| estimator.estimate(&observations, &|_| Ok(()))).unwrap();
                start.elapsed().as_secs_f64()
            })
            .fold(f64::MAX, f64::min);
        println!("{copies} copies, {members} networks: {:.3} ms per spectrum", 1e3 * best / n as f64);
    }
    let start = Instant::now();
    let rows = observations.flux.clone();
    for step in &model.inputs.steps {
        let start = Instant::now();
        one_thread(|| step.apply(rows.select(Axis(0), &(0..100).collect::<Vec<_>>())));
        println!("{}: {:.3} ms", format!("{step:?}").chars().take(20).collect::<String>(), 10.0 * start.elapsed().as_secs_f64());
        if step.apply(rows.select(Axis(0), &[0])).ncols() != rows.ncols() {
            break;
        }
    }
    println!("{:.1} s", start.elapsed().as_secs_f64());
}
