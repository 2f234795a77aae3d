//! Networks per pixel: training, emulated spectra and fits, on spectra of the simulator's line list.
//!
//! Operations by formula (a multiplication, an addition and an activation count one each), for L labels, H
//! neurons, N spectra, R references and P = H (L + 2) + 1 parameters:
//!
//! | what | operations |
//! |---|---|
//! | flux of a pixel | 2 H (L + 1) + 3 H |
//! | flux and label derivatives | + 2 H L + 3 H |
//! | evaluation in a fit, a pixel | + (L + 1)(L + 2) + L + 1 |
//! | iteration of a training | (N + R) (½ H (H + 1) (L + 1)(L + 2) + 2 H (H + 1)(L + 1) + (H + 1)(H + 2)) + 2 N flux + P³/3 |

use super::machine::Machine;
use crate::cli::outcome::Outcome;
use crate::error::{Error, Result};
use crate::per_pixel::train::{Checkpoint, TrainingOptions, TrainingSet, train};
use crate::per_pixel::{LabelSpace, NetworkEngine, PixelNetworks, SpectrumFitOptions, SpectrumFitter, emulate};
use crate::run::clock::{Clock, Seconds};
use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
use crate::statistics::percentiles;
use crate::tensor::Device;
use crate::validate::number::{aligned, significant};
use ndarray::{Array2, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;
use std::sync::Arc;

/// Spectra and references of the trainings: those of the published sample.
const TRAINING: usize = 3600;
const VALIDATION: usize = 400;
const REFERENCES: usize = 101;
/// Signal-to-noise ratio of the spectra that are fitted.
const RATIO: f64 = 100.0;
const TEMPLATES: usize = 200;

/// What is timed.
pub struct PixelBench<'a> {
    /// Neurons of the networks, one after the other.
    pub hidden: &'a [usize],
    /// Pixels of the spectra that are emulated and fitted.
    pub n_pixels: usize,
    /// Pixels that are trained; the spectra repeat them.
    pub n_trained: usize,
    pub n_stars: usize,
    pub repeats: usize,
    pub seed: u64,
}

/// Times of networks of one size, processor time on one thread; medians of the repeats.
#[derive(Debug, Serialize)]
struct PixelTimes {
    hidden: usize,
    training_seconds_per_pixel: f64,
    training_iterations: f64,
    training_fraction_of_product: f64,
    emulated_spectra_per_second: f64,
    emulation_fraction_of_product: f64,
    fit_milliseconds_per_star: f64,
    fit_evaluations: f64,
    fit_fraction_of_product: f64,
    not_converged: usize,
    /// With a velocity and two terms of a continuum.
    fit_with_velocity_milliseconds: f64,
}

/// The figures, for people and for programs.
#[derive(Debug, Serialize)]
struct PixelBenchReport {
    labels: usize,
    pixels: usize,
    trained_pixels: usize,
    training_spectra: usize,
    references: usize,
    stars: usize,
    machine: Machine,
    networks: Vec<PixelTimes>,
}

impl PixelBench<'_> {
    /// Measures, on one thread.
    ///
    /// # Errors
    /// When numbers are impossible or a training fails.
    pub fn run(&self) -> Result<Outcome> {
        for (option, value) in [("--pixels", self.n_pixels), ("--trained-pixels", self.n_trained)] {
            if !(LABELS.len() * 2..=1_000_000).contains(&value) {
                return Err(Error::usage(option).found(value.to_string()).expected(format!("{} to 1000000", LABELS.len() * 2)));
            }
        }
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let one_thread = one_thread.map_err(|error| Error::usage("threads").found(error.to_string()).source(error))?;
        let report = one_thread.install(|| -> Result<PixelBenchReport> {
            let machine = Machine::measure(&Device::cpu());
            Ok(PixelBenchReport {
                labels: LABELS.len(),
                pixels: self.n_pixels,
                trained_pixels: self.n_trained,
                training_spectra: TRAINING,
                references: REFERENCES,
                stars: self.n_stars,
                machine,
                networks: self.hidden.iter().map(|&hidden| self.times(hidden, &machine)).collect::<Result<_>>()?,
            })
        })?;
        let summary = serde_json::to_value(&report)
            .map_err(|error| Error::output("bench as JSON").found(error.to_string()).source(error))?;
        Ok(Outcome::answer(report.text(), summary))
    }

    fn times(&self, hidden: usize, machine: &Machine) -> Result<PixelTimes> {
        let list = LineList { n_pixels: self.n_trained, seed: self.seed, ..LineList::default() };
        let (synthesis, population) = (Synthesis::new(&list), Population { seed: self.seed, ..Population::default() });
        let labels = population.labels(TRAINING + VALIDATION);
        let all = population.observe(&synthesis, labels.view(), [20.0, 120.0]);
        let [names, units] = [LABELS.map(|label| label.0.to_owned()), LABELS.map(|label| label.1.to_owned())];
        let set = TrainingSet {
            space: LabelSpace::covering(&names, &units, all.labels.view())?,
            wavelength: list.wavelength(),
            spectra: all.select(&(0..TRAINING).collect::<Vec<_>>()),
            validation: all.select(&(TRAINING..TRAINING + VALIDATION).collect::<Vec<_>>()),
            library: Some(synthesis.library(population.references(References::Scattered, REFERENCES).view())),
        };
        let options = TrainingOptions { hidden, seed: self.seed, ..TrainingOptions::default() };
        tracing::info!("training {} networks of {hidden} neurons", self.n_trained);
        let mut clock = Clock::start();
        let trained = train(&set, &options, &Checkpoint::default(), &|_, _| Ok(()))?;
        let training = clock.lap().cpu / self.n_trained as f64;
        let iterations = trained.pixels.iter().map(|pixel| pixel.n_iterations as f64).sum::<f64>() / self.n_trained as f64;

        let networks = self.repeated(&trained.networks)?;
        let engine = Arc::new(NetworkEngine::new(&networks));
        let stars = Population { seed: self.seed ^ 0x5eed, ..population }.labels(self.n_stars);
        tracing::info!("emulating and fitting {} spectra of {} pixels", self.n_stars, self.n_pixels);
        let mut emulated = Vec::new();
        let mut flux = Array2::zeros((0, 0));
        for _ in 0..self.repeats {
            clock = Clock::start();
            flux = emulate(engine.as_ref(), stars.view());
            emulated.push(clock.lap());
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        flux.mapv_inplace(|value| {
            let normal: f64 = StandardNormal.sample(&mut random);
            value + (normal / RATIO) as f32
        });
        let weight = Array2::from_elem(flux.dim(), (RATIO * RATIO) as f32);
        let templates = labels.slice(s![..TEMPLATES, ..]);
        let mut evaluations = 0.0;
        let mut not_converged = 0;
        let mut fitted = |options: SpectrumFitOptions| -> Result<f64> {
            let fitter = SpectrumFitter::new(engine.clone(), templates, options)?;
            let mut times = Vec::new();
            for _ in 0..self.repeats {
                let mut clock = Clock::start();
                let fits = fitter.fit(flux.view(), weight.view())?;
                times.push(clock.lap());
                if !options.velocity {
                    let total: usize = fits.n_iterations.iter().map(|n| n + 1).sum();
                    evaluations = total as f64 / self.n_stars as f64;
                    not_converged = fits.endings.iter().filter(|ending| **ending != crate::per_pixel::Ending::Converged).count();
                }
            }
            Ok(middle(&times) / self.n_stars as f64)
        };
        let fit = fitted(SpectrumFitOptions::default())?;
        let with_velocity = fitted(SpectrumFitOptions { velocity: true, continuum_terms: 2, ..SpectrumFitOptions::default() })?;
        let emulation = middle(&emulated) / self.n_stars as f64;
        let (l, h) = (LABELS.len() as f64, hidden as f64);
        let pixels = self.n_pixels as f64;
        let of_flux = 2.0 * h * (l + 1.0) + 3.0 * h;
        let of_fit = of_flux + 2.0 * h * l + 3.0 * h + (l + 1.0) * (l + 2.0) + l + 1.0;
        let n = (TRAINING + REFERENCES) as f64;
        let equations = 0.5 * h * (h + 1.0) * (l + 1.0) * (l + 2.0) + 2.0 * h * (h + 1.0) * (l + 1.0) + (h + 1.0) * (h + 2.0);
        let of_iteration = n * equations + 2.0 * TRAINING as f64 * of_flux + (h * (l + 2.0) + 1.0).powi(3) / 3.0;
        Ok(PixelTimes {
            hidden,
            training_seconds_per_pixel: training,
            training_iterations: iterations,
            training_fraction_of_product: iterations * of_iteration / training / machine.flops,
            emulated_spectra_per_second: 1.0 / emulation,
            emulation_fraction_of_product: pixels * of_flux / emulation / machine.flops,
            fit_milliseconds_per_star: 1e3 * fit,
            fit_evaluations: evaluations,
            fit_fraction_of_product: evaluations * pixels * of_fit / fit / machine.flops,
            not_converged,
            fit_with_velocity_milliseconds: 1e3 * with_velocity,
        })
    }

    /// The trained networks, one after the other and again, for all pixels; on a grid as LAMOST's.
    fn repeated(&self, trained: &PixelNetworks) -> Result<PixelNetworks> {
        let rows: Vec<usize> = (0..self.n_pixels).map(|pixel| pixel % self.n_trained).collect();
        let wavelength = (0..self.n_pixels).map(|i| 10.0_f64.powf(3.6 + 1e-4 * i as f64)).collect();
        let parameters = trained.parameters.select(ndarray::Axis(0), &rows);
        PixelNetworks::new(trained.space.clone(), wavelength, trained.architecture.clone(), parameters)
    }
}

fn middle(times: &[Seconds]) -> f64 {
    percentiles(&times.iter().map(|time| time.cpu).collect::<Vec<_>>(), [50.0])[0]
}

impl PixelBenchReport {
    fn text(&self) -> String {
        let head = [
            "neurons",
            "training, s/pixel",
            "iterations",
            "% of product",
            "emulated spectra/s",
            "% of product",
            "fit, ms/star",
            "evaluations",
            "% of product",
            "with velocity, continuum",
        ];
        let row = |times: &PixelTimes| {
            [
                times.hidden as f64,
                times.training_seconds_per_pixel,
                times.training_iterations,
                100.0 * times.training_fraction_of_product,
                times.emulated_spectra_per_second,
                100.0 * times.emulation_fraction_of_product,
                times.fit_milliseconds_per_star,
                times.fit_evaluations,
                100.0 * times.fit_fraction_of_product,
                times.fit_with_velocity_milliseconds,
            ]
            .map(|value| significant(value, 3))
            .to_vec()
        };
        let rows: Vec<Vec<String>> =
            std::iter::once(head.map(str::to_owned).to_vec()).chain(self.networks.iter().map(row)).collect();
        let (gflop, gbytes) = (significant(1e-9 * self.machine.flops, 3), significant(1e-9 * self.machine.copied_bytes, 3));
        format!(
            "networks per pixel: {} labels, {} pixels ({} trained, repeated), {} spectra and {} references to train on, {} stars fitted\n\
             peaks: {gflop} GFLOP/s in a matrix product (f32), {gbytes} GB/s in a copy, one thread; processor time on one thread\n\n{}",
            self.labels,
            self.pixels,
            self.trained_pixels,
            self.training_spectra,
            self.references,
            self.stars,
            aligned(&rows)
        )
    }
}
