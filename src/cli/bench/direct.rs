//! Direct networks and distances: predictions with errors, components of many spectra, the posterior of a
//! distance.
//!
//! Operations are two for every multiply-add of the products of networks and components; logarithms, noise,
//! sums and activations are not counted.
//!
//! | what | operations |
//! |---|---|
//! | a layer from i to o numbers at w places | 2 i o w |
//! | K coefficients of W pixels | 2 W K |
//! | K components of N spectra, K' = K + 10, three iterations | N (14 W K' + 2 K'²) |

use super::machine::Machine;
use crate::cli::built_in::TrainingRecipe;
use crate::cli::outcome::Outcome;
use crate::distance::zero_point::Astrometry;
use crate::distance::{DistanceEstimator, DistanceOptions, Star};
use crate::error::{Error, Result};
use crate::observations::{Grid, Observations};
use crate::package::{Package, Request, Trainable};
use crate::regress::{BaselinesRecipe, Pca, PcaMethod, RegressionModel, RegressionRecipe, train};
use crate::run::clock::{Clock, peak_memory};
use crate::statistics::{Measured, percentiles};
use crate::table::{Column, ColumnSchema};
use crate::tensor::layers::{Layer, Network, Predictor};
use crate::tensor::{Device, Weights};
use crate::validate::number::{aligned, significant};
use ndarray::{Array2, ArrayView2, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Spectra that are predicted, from which the timed networks have learned (what they learned decides nothing
/// of their speed); and those that the convolutional network predicts.
const PREDICTED: usize = 600;
const CONVOLVED: usize = 16;
const COMPONENTS: usize = 100;
/// Directions of the subspace beyond the components, and products of two matrices that find it.
const OVERSAMPLING: usize = 10;
const PRODUCTS: usize = 7;
const BLOCK: usize = 2048;
/// Stars of the small network and of the distances.
const MANY: usize = 20_000;

/// What is timed.
pub struct DirectBench {
    /// Spectra whose components are found.
    pub n_spectra: usize,
    pub n_pixels: usize,
    pub repeats: usize,
    pub seed: u64,
}

/// Processor time on one thread.
#[derive(Debug, Serialize)]
struct Timed {
    what: String,
    stars: usize,
    /// Smallest, median and largest of the repeats.
    microseconds_per_star: [f64; 3],
    operations_per_star: Option<f64>,
    fraction_of_product: Option<f64>,
}

/// The figures, for people and for programs.
#[derive(Debug, Serialize)]
struct DirectReport {
    machine: Machine,
    pixels: usize,
    spectra: usize,
    timed: Vec<Timed>,
    /// Largest resident memory when the components had been found, the spectra in it.
    peak_memory_bytes: Option<u64>,
}

impl DirectBench {
    /// Measures, on one thread.
    ///
    /// # Errors
    /// When numbers are impossible or a training fails.
    pub fn run(&self) -> Result<Outcome> {
        for (option, value, least) in
            [("--pixels", self.n_pixels, COMPONENTS + OVERSAMPLING + 1), ("--stars", self.n_spectra, COMPONENTS + 1)]
        {
            if !(least..=10_000_000).contains(&value) {
                return Err(Error::usage(option).found(value.to_string()).expected(format!("{least} to 10000000")));
            }
        }
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let one_thread = one_thread.map_err(|error| Error::usage("threads").found(error.to_string()).source(error))?;
        let report = one_thread.install(|| -> Result<DirectReport> {
            let machine = Machine::measure(&Device::cpu());
            let mut timed = Vec::new();
            tracing::info!("{COMPONENTS} components of {} spectra of {} pixels", self.n_spectra, self.n_pixels);
            timed.push(self.components(&machine)?);
            let peak_memory_bytes = peak_memory();
            tracing::info!("predictions");
            timed.extend(self.predictions(&machine)?);
            timed.push(self.convolutional(&machine)?);
            timed.push(self.small(&machine)?);
            timed.push(self.distances()?);
            Ok(DirectReport { machine, pixels: self.n_pixels, spectra: self.n_spectra, timed, peak_memory_bytes })
        })?;
        let summary = serde_json::to_value(&report)
            .map_err(|error| Error::output("bench as JSON").found(error.to_string()).source(error))?;
        Ok(Outcome::answer(report.text(), summary))
    }

    fn timed(
        &self,
        what: impl Into<String>,
        stars: usize,
        operations: Option<f64>,
        machine: &Machine,
        mut work: impl FnMut() -> Result<()>,
    ) -> Result<Timed> {
        let mut clock = Clock::start();
        let times = (0..self.repeats).map(|_| {
            work()?;
            Ok(1e6 * clock.lap().cpu / stars as f64)
        });
        let microseconds = percentiles(&times.collect::<Result<Vec<f64>>>()?, [0.0, 50.0, 100.0]);
        Ok(Timed {
            what: what.into(),
            stars,
            microseconds_per_star: microseconds,
            operations_per_star: operations,
            fraction_of_product: operations.map(|operations| 1e6 * operations / microseconds[1] / machine.flops),
        })
    }

    /// Rows of a few directions with noise, about two.
    fn spectra(&self, n: usize) -> Array2<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let directions = Array2::from_shape_simple_fn((8, self.n_pixels), || random.r#gen::<f32>() - 0.5);
        let mut rows = Array2::from_shape_simple_fn((n, self.n_pixels), || 2.0 + 0.1 * (random.r#gen::<f32>() - 0.5));
        for mut row in rows.rows_mut() {
            for direction in directions.rows() {
                row.scaled_add(random.r#gen::<f32>(), &direction);
            }
        }
        rows
    }

    fn components(&self, machine: &Machine) -> Result<Timed> {
        let rows = self.spectra(self.n_spectra);
        let (w, k) = (self.n_pixels as f64, (COMPONENTS + OVERSAMPLING) as f64);
        let operations = 2.0 * PRODUCTS as f64 * w * k + 2.0 * k * k;
        // Once: it takes a minute at full size.
        let once = Self { repeats: 1, ..*self };
        once.timed(format!("{COMPONENTS} components"), self.n_spectra, Some(operations), machine, || {
            let mut walk = |each: &mut dyn FnMut(ArrayView2<'_, f32>)| -> Result<()> {
                rows.axis_chunks_iter(Axis(0), BLOCK).for_each(each);
                Ok(())
            };
            Pca::of_blocks(self.n_pixels, COMPONENTS, PcaMethod::Randomised, self.seed, &mut walk).map(|_| ())
        })
    }

    /// The recipe `specdis` on simulated spectra: preprocessing, components and networks, with and without
    /// copies.
    fn predictions(&self, machine: &Machine) -> Result<Vec<Timed>> {
        let named = TrainingRecipe::named("specdis")?;
        let mut recipe = RegressionModel::recipe(&named.text, &named.place, Path::new(""), Some(self.seed))?;
        recipe.training.plan.epochs = 1;
        recipe.baselines = BaselinesRecipe { linear: false, nearest_neighbours: 0, boosting: false, ..Default::default() };
        let n = PREDICTED;
        let observations = self.observations(n)?;
        let (model, _) = train(&recipe, &observations, &Device::cpu(), None, &mut |_, _| Ok(()))?;
        let products = self.n_pixels * COMPONENTS;
        let mut found = Vec::new();
        for (copies, members) in [(0, 1), (0, 5), (20, 1), (20, 5)] {
            let predictors: Vec<Predictor> = model.predictors.iter().take(members).cloned().collect();
            let operations = 2.0 * (1 + copies) as f64 * (products + predictors.len() * model.network.n_products()?) as f64;
            let model = Arc::new(RegressionModel { copies: copies as u32, predictors, ..model.clone() });
            let estimator = model.estimator(&Request { values_alone: copies == 0, ..Request::default() })?;
            let what = format!("SpecDis, {copies} copies, {members} network{}", if members == 1 { "" } else { "s" });
            found.push(
                self.timed(what, n, Some(operations), machine, || estimator.estimate(&observations, &|_| Ok(())).map(|_| ()))?,
            );
        }
        Ok(found)
    }

    fn observations(&self, n: usize) -> Result<Observations> {
        let w = self.n_pixels;
        let names = (0..w).map(|pixel| format!("pixel_{pixel}")).collect();
        let grid = Grid::new((0..w).map(|pixel| 370.0 + 0.1 * pixel as f64).collect(), names)?;
        let flux_error = Array2::from_elem((n, w), 0.05);
        let observations = Observations::new(grid, (0..n as i64).collect(), self.spectra(n), flux_error)?;
        let parallax = (0..n).map(|star| 0.2 + 0.01 * (star % 50) as f64).collect();
        let mut observations = observations.with_constraint("parallax", parallax, vec![0.02; n])?;
        for (name, value) in [("phot_g_mean_mag", 17.0), ("a_g", 0.1)] {
            observations.auxiliary.push(Column::nullable(ColumnSchema::new(name, "mag", ""), vec![value; n]))?;
        }
        Ok(observations)
    }

    /// The network of the recipe `solardis` with weights before any training.
    fn convolutional(&self, machine: &Machine) -> Result<Timed> {
        const PIXELS: usize = 4875;
        let named = TrainingRecipe::named("solardis")?;
        let network = RegressionRecipe::parse(&named.text, &named.place)?.network(PIXELS)?;
        self.network("SolarDis' network", network, CONVOLVED, machine)
    }

    fn small(&self, machine: &Machine) -> Result<Timed> {
        let hidden = |outputs| [Layer::Linear { outputs }, Layer::Relu];
        let mut layers = [100, 100].map(hidden).concat();
        layers.push(Layer::Linear { outputs: 4 });
        let network = Network { name: "network".into(), inputs: 66, layers };
        self.network("66 inputs, 2 × 100, 4 outputs", network, MANY, machine)
    }

    fn network(&self, what: &str, network: Network, n: usize, machine: &Machine) -> Result<Timed> {
        let weights = Weights::new(&network.specifications(self.seed)?, &Device::cpu())?;
        let predictor = Predictor::new(&network, &weights)?;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let rows = Array2::from_shape_simple_fn((n, network.inputs), || random.r#gen::<f32>());
        self.timed(what, n, Some(2.0 * network.n_products()? as f64), machine, || {
            std::hint::black_box(predictor.predict(rows.view()));
            Ok(())
        })
    }

    /// Everything that `distance` finds of a star, for stars of 0.1 to 20 kpc with a parallax and a
    /// luminosity.
    fn distances(&self) -> Result<Timed> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut star = || {
            let distance = 0.1 * 200f64.powf(random.r#gen::<f64>());
            let mut normal = || -> f64 { random.sample(StandardNormal) };
            let absolute = 1.0 + 1.5 * normal();
            let magnitude = absolute + 5.0 * distance.log10() + 10.3;
            let error = 0.015 + 0.02 * ((magnitude - 15.0) * 0.46).exp();
            Star {
                astrometry: Astrometry {
                    params_solved: 31.0,
                    g_magnitude: magnitude.clamp(6.0, 21.0),
                    effective_wavenumber: 1.5,
                    pseudocolour: f64::NAN,
                    ecliptic_latitude: 30.0,
                },
                parallax: Measured { value: distance.recip() + error * normal(), error },
                ruwe: 1.0,
                position: [120.0, 20.0],
                magnitude: Measured { value: magnitude, error: 0.02 },
                extinction: Measured { value: 0.3, error: 0.05 },
                absolute_magnitude: Measured { value: absolute + 0.2 * normal(), error: 0.2 },
                ..Star::MISSING
            }
        };
        let stars: Vec<Star> = (0..MANY).map(|_| star()).collect();
        let mut estimator = DistanceEstimator::new(DistanceOptions::default())?;
        let machine = Machine { flops: f64::NAN, copied_bytes: f64::NAN };
        self.timed("distance, tests of binarity", MANY, None, &machine, || {
            stars.iter().for_each(|star| {
                std::hint::black_box(estimator.estimate(star));
            });
            Ok(())
        })
    }
}

impl DirectReport {
    fn text(&self) -> String {
        let head = ["what", "stars", "µs/star", "spread", "kFLOP/star", "% of product"].map(str::to_owned).to_vec();
        let number = |value: Option<f64>, scale: f64| value.map_or("–".into(), |value| significant(scale * value, 3));
        let row = |timed: &Timed| {
            let [low, middle, high] = timed.microseconds_per_star.map(|time| significant(time, 3));
            vec![
                timed.what.clone(),
                timed.stars.to_string(),
                middle,
                format!("{low} to {high}"),
                number(timed.operations_per_star, 1e-3),
                number(timed.fraction_of_product, 100.0),
            ]
        };
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(self.timed.iter().map(row)).collect();
        let (gflop, gbytes) = (significant(1e-9 * self.machine.flops, 3), significant(1e-9 * self.machine.copied_bytes, 3));
        let memory = self.peak_memory_bytes.map_or("–".into(), |bytes| significant(1e-9 * bytes as f64, 3));
        format!(
            "direct networks: spectra of {} pixels; processor time on one thread\n\
             peaks: {gflop} GFLOP/s in a matrix product (f32), {gbytes} GB/s in a copy, one thread\n\n{}\n\
             memory with all {} spectra and their components: {memory} GB\n",
            self.pixels,
            aligned(&rows),
            self.spectra
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_time_and_what_is_counted_a_share() {
        let bench = DirectBench { n_spectra: 200, n_pixels: 120, repeats: 1, seed: 1 };
        let found = bench.run().unwrap();
        let text = found.text;
        assert!(
            ["components", "20 copies, 5 networks", "SolarDis' network", "distance"].iter().all(|what| text.contains(what)),
            "{text}"
        );
        let refused = DirectBench { n_pixels: 50, ..bench }.run().unwrap_err();
        assert!(refused.to_string().starts_with("--pixels"), "{refused}");
    }
}
