//! Families of models of spectra: training, emulated spectra and fits, on spectra of the simulator's line
//! list or, with other numbers of labels, of models of random weights, which take as long.
//!
//! Operations by formula (a multiplication, an addition and an activation count one each), for L labels, W
//! pixels, H neurons, N spectra, R references and P = H (L + 2) + 1 parameters:
//!
//! | what | operations |
//! |---|---|
//! | flux of a pixel, networks | 2 H (L + 1) + 3 H |
//! | with label derivatives | + 2 H L + 3 H |
//! | flux of a pixel, polynomials of T terms | 2 T |
//! | with label derivatives | + 2 (terms with each label, summed over the labels) |
//! | flux of all pixels, joint network | 2 (L H₁ + H₁ H₂ + H₂ W) |
//! | with label derivatives | + L times as many |
//! | evaluation in a fit, a pixel | flux and derivatives + (L + 1)(L + 2) + L + 1 |
//! | iteration of a training, networks | (N + R) (½ H (H + 1) (L + 1)(L + 2) + 2 H (H + 1)(L + 1) + (H + 1)(H + 2)) + 2 N flux + P³/3 |

use super::machine::Machine;
use crate::cli::outcome::Outcome;
use crate::error::{Error, Result};
use crate::per_pixel::polynomial::{Terms, train_polynomials};
use crate::per_pixel::train::{Checkpoint, TrainingOptions, TrainingSet, train};
use crate::per_pixel::{
    Activation, Architecture, DenseLayer, JointEngine, JointNetwork, LabelSpace, NetworkEngine, PixelModel, PixelNetworks,
    PixelPolynomials, PolynomialEngine, PolynomialOptions, SpectrumFitOptions, SpectrumFitter, emulate,
};
use crate::run::clock::{Clock, Seconds};
use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
use crate::statistics::percentiles;
use crate::tensor::Device;
use crate::tensor::lanes::Block;
use crate::validate::number::{aligned, significant};
use ndarray::{Array1, Array2, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// Spectra and references of the trainings: those of the published sample.
const TRAINING: usize = 3600;
const VALIDATION: usize = 400;
const REFERENCES: usize = 101;
/// Signal-to-noise ratio of the spectra that are fitted.
const RATIO: f64 = 100.0;
const TEMPLATES: usize = 200;
/// Hidden layers of the joint network: The Payne's.
const JOINT: [usize; 2] = [300, 300];
/// Most neurons of a network of a pixel.
const MOST_NEURONS: usize = 512;
/// Most numbers of a model, or of the fluxes of all stars: two GiB.
const MOST_NUMBERS: usize = 1 << 29;
/// Labels of random models that are no abundance ratios.
const CORE: usize = 4;
/// Scaled labels of random stars stay within this.
const WITHIN: f64 = 0.35;

/// What is timed.
pub struct PixelBench<'a> {
    /// Neurons of the networks, one after the other.
    pub hidden: &'a [usize],
    pub n_labels: usize,
    /// Pixels of the spectra that are emulated and fitted.
    pub n_pixels: usize,
    /// Pixels that are trained; the spectra repeat them.
    pub n_trained: usize,
    pub n_stars: usize,
    pub repeats: usize,
    pub seed: u64,
}

/// A model that is timed.
struct Candidate {
    name: String,
    engine: Arc<dyn PixelModel>,
    training: Option<TrainingTimes>,
    /// Operations of the flux of a spectrum, and of its label derivatives.
    of_flux: f64,
    of_slopes: f64,
}

/// Processor time of the training of a pixel, on one thread.
#[derive(Debug, Clone, Copy, Serialize)]
struct TrainingTimes {
    seconds_per_pixel: f64,
    iterations: f64,
    /// Of networks.
    fraction_of_product: Option<f64>,
}

/// Times of a model, processor time on one thread; medians of the repeats.
#[derive(Debug, Serialize)]
struct PixelTimes {
    model: String,
    training: Option<TrainingTimes>,
    emulated_spectra_per_second: f64,
    emulation_fraction_of_product: f64,
    fit_milliseconds_per_star: f64,
    fit_evaluations: f64,
    fit_fraction_of_product: f64,
    not_converged: usize,
    /// With a velocity and two terms of a continuum.
    fit_with_velocity_milliseconds: f64,
    /// With v sin i, on the logarithmic grid, and as if the pixels were even in λ.
    fit_with_rotation_milliseconds: f64,
    fit_with_rotation_linear_milliseconds: f64,
}

/// A model with the wavelengths of a grid even in λ.
struct OnLinearGrid {
    model: Arc<dyn PixelModel>,
    wavelength: Vec<f64>,
}

impl OnLinearGrid {
    fn new(model: Arc<dyn PixelModel>) -> Self {
        let wavelength = model.wavelength();
        let n = wavelength.len();
        let step = (wavelength[n - 1] - wavelength[0]) / (n - 1) as f64;
        let wavelength = (0..n).map(|i| wavelength[0] + step * i as f64).collect();
        Self { model, wavelength }
    }
}

impl PixelModel for OnLinearGrid {
    fn space(&self) -> &LabelSpace {
        self.model.space()
    }

    fn n_pixels(&self) -> usize {
        self.model.n_pixels()
    }

    fn wavelength(&self) -> &[f64] {
        &self.wavelength
    }

    fn shared(&self, scaled: &[f32], derivatives: bool) -> Vec<f32> {
        self.model.shared(scaled, derivatives)
    }

    fn evaluate(&self, blocks: Range<usize>, shared: &[f32], derivatives: bool, out: &mut [Block]) {
        self.model.evaluate(blocks, shared, derivatives, out);
    }
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
    models: Vec<PixelTimes>,
}

impl PixelBench<'_> {
    /// Measures, on one thread.
    ///
    /// # Errors
    /// When numbers are impossible or a training fails.
    pub fn run(&self) -> Result<Outcome> {
        if !(2..=100).contains(&self.n_labels) {
            return Err(Error::usage("--labels").found(self.n_labels.to_string()).expected("2 to 100"));
        }
        let is_trained = self.n_labels == LABELS.len();
        let trained = Some(("--trained-pixels", self.n_trained)).filter(|_| is_trained);
        for (option, value) in [("--pixels", self.n_pixels)].into_iter().chain(trained) {
            let least = self.n_labels * 2;
            if !(least..=1_000_000).contains(&value) {
                return Err(Error::usage(option).found(value.to_string()).expected(format!("{least} to 1000000")));
            }
        }
        self.check_sizes()?;
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let one_thread = one_thread.map_err(|error| Error::usage("threads").found(error.to_string()).source(error))?;
        let report = one_thread.install(|| -> Result<PixelBenchReport> {
            let machine = Machine::measure(&Device::cpu());
            let mut models = Vec::new();
            let taught = if is_trained { Some(self.training_set()?) } else { None };
            for &hidden in self.hidden {
                models.push(self.times(self.networks(hidden, taught.as_ref(), &machine)?, &machine)?);
            }
            models.push(self.times(self.polynomials(taught.as_ref())?, &machine)?);
            models.push(self.times(self.joint()?, &machine)?);
            Ok(PixelBenchReport {
                labels: self.n_labels,
                pixels: self.n_pixels,
                trained_pixels: if is_trained { self.n_trained } else { 0 },
                training_spectra: TRAINING,
                references: REFERENCES,
                stars: self.n_stars,
                machine,
                models,
            })
        })?;
        let summary = serde_json::to_value(&report)
            .map_err(|error| Error::output("bench as JSON").found(error.to_string()).source(error))?;
        Ok(Outcome::answer(report.text(), summary))
    }

    /// Refuses models, and spectra, that no memory holds.
    fn check_sizes(&self) -> Result<()> {
        for &hidden in self.hidden {
            if !(1..=MOST_NEURONS).contains(&hidden) {
                return Err(Error::usage("--pixel-networks").found(hidden.to_string()).expected(format!("1 to {MOST_NEURONS}")));
            }
        }
        let widest = self.hidden.iter().copied().max().unwrap_or(1);
        let of_joint = JOINT[JOINT.len() - 1] + 1;
        let of_network = widest * (self.n_labels + 2) + 1;
        let of_polynomial = PolynomialOptions::default().terms(&self.random_space()?.names)?.len();
        let of_pixel = of_network.max(of_polynomial).max(of_joint);
        let n_trained = if self.n_labels == LABELS.len() { self.n_trained } else { 0 };
        for (option, n_pixels, what, of_pixel) in [
            ("--pixels", self.n_pixels, "parameters", of_pixel),
            ("--pixels", self.n_pixels, "fluxes of all stars", self.n_stars.max(TEMPLATES)),
            ("--trained-pixels", n_trained, "fluxes of the training spectra", TRAINING + VALIDATION),
        ] {
            let n = n_pixels.saturating_mul(of_pixel);
            if n > MOST_NUMBERS {
                return Err(Error::usage(option)
                    .found(format!("{n_pixels} pixels, {n} {what}"))
                    .expected(format!("{MOST_NUMBERS} at most"))
                    .remedy("Give fewer pixels, neurons or stars."));
            }
        }
        Ok(())
    }

    fn training_set(&self) -> Result<TrainingSet> {
        let list = LineList { n_pixels: self.n_trained, seed: self.seed, ..LineList::default() };
        let (synthesis, population) = (Synthesis::new(&list), Population { seed: self.seed, ..Population::default() });
        let labels = population.labels(TRAINING + VALIDATION);
        let all = population.observe(&synthesis, labels.view(), [20.0, 120.0]);
        let [names, units] = [LABELS.map(|label| label.0.to_owned()), LABELS.map(|label| label.1.to_owned())];
        Ok(TrainingSet {
            space: LabelSpace::covering(&names, &units, all.labels.view())?,
            wavelength: list.wavelength(),
            spectra: all.select(&(0..TRAINING).collect::<Vec<_>>()),
            validation: all.select(&(TRAINING..TRAINING + VALIDATION).collect::<Vec<_>>()),
            library: Some(synthesis.library(population.references(References::Scattered, REFERENCES).view())),
        })
    }

    /// Labels of models of random weights: some core labels, then abundance ratios.
    fn random_space(&self) -> Result<LabelSpace> {
        let name = |k: usize| if k < CORE { format!("core_{k}_label") } else { format!("x{}_fe", k - CORE) };
        let n = self.n_labels;
        LabelSpace::new((0..n).map(name).collect(), vec!["dex".into(); n], vec![-0.5; n], vec![0.5; n])
    }

    /// On a grid as LAMOST's.
    fn wavelength(&self) -> Vec<f64> {
        (0..self.n_pixels).map(|i| 10.0_f64.powf(3.6 + 1e-4 * i as f64)).collect()
    }

    /// The parameters of trained pixels, one after the other and again, for all pixels.
    fn repeated(&self, trained: &Array2<f32>) -> Array2<f32> {
        trained.select(Axis(0), &(0..self.n_pixels).map(|pixel| pixel % self.n_trained).collect::<Vec<_>>())
    }

    fn networks(&self, hidden: usize, taught: Option<&TrainingSet>, machine: &Machine) -> Result<Candidate> {
        let (l, h, pixels) = (self.n_labels as f64, hidden as f64, self.n_pixels as f64);
        let of_flux = 2.0 * h * (l + 1.0) + 3.0 * h;
        let (networks, training) = match taught {
            Some(set) => {
                let options = TrainingOptions { hidden, seed: self.seed, ..TrainingOptions::default() };
                tracing::info!("training {} networks of {hidden} neurons", self.n_trained);
                let mut clock = Clock::start();
                let trained = train(set, &options, &Checkpoint::default(), &|_, _| Ok(()))?;
                let seconds = clock.lap().cpu / self.n_trained as f64;
                let iterations =
                    trained.pixels.iter().map(|pixel| pixel.n_iterations as f64).sum::<f64>() / self.n_trained as f64;
                let n = (TRAINING + REFERENCES) as f64;
                let pairs = 0.5 * h * (h + 1.0) * (l + 1.0) * (l + 2.0);
                let equations = pairs + 2.0 * h * (h + 1.0) * (l + 1.0) + (h + 1.0) * (h + 2.0);
                let of_iteration = n * equations + 2.0 * TRAINING as f64 * of_flux + (h * (l + 2.0) + 1.0).powi(3) / 3.0;
                let fraction_of_product = Some(iterations * of_iteration / seconds / machine.flops);
                let model = trained.model;
                let parameters = self.repeated(&model.parameters);
                let networks = PixelNetworks::new(model.space, self.wavelength(), model.architecture, parameters)?;
                (networks, Some(TrainingTimes { seconds_per_pixel: seconds, iterations, fraction_of_product }))
            }
            None => {
                let architecture = Architecture::new(self.n_labels, &[hidden], Activation::Tanh)?;
                let mut random = ChaCha8Rng::seed_from_u64(self.seed);
                let [weights, bias] = [architecture.place(1).0, architecture.place(1).1];
                let parameters = Array2::from_shape_fn((self.n_pixels, architecture.n_parameters()), |(_, p)| match p {
                    p if p == bias.start => 1.0,
                    p if weights.contains(&p) => random.gen_range(-0.1..0.1_f32),
                    _ => random.gen_range(-1.0..1.0_f32),
                });
                (PixelNetworks::new(self.random_space()?, self.wavelength(), architecture, parameters)?, None)
            }
        };
        let of_slopes = pixels * (2.0 * h * l + 3.0 * h);
        let engine = Arc::new(NetworkEngine::new(&networks));
        Ok(Candidate { name: format!("networks, {hidden} neurons"), engine, training, of_flux: pixels * of_flux, of_slopes })
    }

    fn polynomials(&self, taught: Option<&TrainingSet>) -> Result<Candidate> {
        let (polynomials, training) = match taught {
            Some(set) => {
                tracing::info!("training {} polynomials", self.n_trained);
                let mut clock = Clock::start();
                let model = train_polynomials(set, &PolynomialOptions::default(), &Checkpoint::default(), &|_, _| Ok(()))?.model;
                let seconds_per_pixel = clock.lap().cpu / self.n_trained as f64;
                let coefficients = self.repeated(&model.coefficients);
                let polynomials = PixelPolynomials::new(model.space, self.wavelength(), model.terms, coefficients)?;
                (polynomials, Some(TrainingTimes { seconds_per_pixel, iterations: 1.0, fraction_of_product: None }))
            }
            None => {
                let space = self.random_space()?;
                let terms = PolynomialOptions::default().terms(&space.names)?;
                let mut random = ChaCha8Rng::seed_from_u64(self.seed);
                let coefficients = Array2::from_shape_fn((self.n_pixels, terms.len()), |(_, t)| match terms.degree(t) {
                    0 => 1.0,
                    1 => random.gen_range(-0.1..0.1_f32),
                    _ => random.gen_range(-0.02..0.02_f32),
                });
                (PixelPolynomials::new(space, self.wavelength(), terms, coefficients)?, None)
            }
        };
        let acting = |terms: &Terms| (0..self.n_labels).map(|k| terms.acting(k).len()).sum::<usize>();
        let twice = 2.0 * self.n_pixels as f64;
        Ok(Candidate {
            name: format!("polynomials, {} terms", polynomials.terms.len()),
            engine: Arc::new(PolynomialEngine::new(&polynomials)),
            training,
            of_flux: twice * polynomials.terms.len() as f64,
            of_slopes: twice * acting(&polynomials.terms) as f64,
        })
    }

    /// Of random weights, whatever the labels.
    fn joint(&self) -> Result<Candidate> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut inputs = self.n_labels;
        let mut layers = Vec::new();
        let mut products = 0.0;
        for (index, outputs) in JOINT.into_iter().chain([self.n_pixels]).enumerate() {
            let (scale, bias) = if index < JOINT.len() { (3.0, 0.0) } else { (0.5, 1.0) };
            let scale = scale / (inputs as f32).sqrt();
            products += inputs as f64 * outputs as f64;
            let kernel = Array2::from_shape_fn((outputs, inputs), |_| scale * random.gen_range(-1.0..1.0_f32));
            layers.push(DenseLayer { kernel, bias: Array1::from_elem(outputs, bias) });
            inputs = outputs;
        }
        let network = JointNetwork::new(self.random_space()?, self.wavelength(), Activation::Sigmoid, layers)?;
        Ok(Candidate {
            name: format!("joint network, {JOINT:?}"),
            engine: Arc::new(JointEngine::new(&network)),
            training: None,
            of_flux: 2.0 * products,
            of_slopes: 2.0 * products * self.n_labels as f64,
        })
    }

    fn times(&self, candidate: Candidate, machine: &Machine) -> Result<PixelTimes> {
        let engine = candidate.engine;
        let space = engine.space();
        let is_simulated = space.names.iter().map(String::as_str).eq(LABELS.iter().map(|label| label.0));
        let drawn = |n: usize, seed: u64| match is_simulated {
            true => Population { seed, ..Population::default() }.labels(n),
            false => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                Array2::from_shape_fn((n, self.n_labels), |_| random.gen_range(-WITHIN..WITHIN))
            }
        };
        let (stars, templates) = (drawn(self.n_stars, self.seed ^ 0x5eed), drawn(TEMPLATES, self.seed));
        tracing::info!("{}: emulating and fitting {} spectra of {} pixels", candidate.name, self.n_stars, self.n_pixels);
        let mut emulated = Vec::new();
        let mut flux = Array2::zeros((0, 0));
        for _ in 0..self.repeats {
            let mut clock = Clock::start();
            flux = emulate(engine.as_ref(), stars.view());
            emulated.push(clock.lap());
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        flux.mapv_inplace(|value| {
            let normal: f64 = StandardNormal.sample(&mut random);
            value + (normal / RATIO) as f32
        });
        let weight = Array2::from_elem(flux.dim(), (RATIO * RATIO) as f32);
        let mut evaluations = 0.0;
        let mut not_converged = 0;
        let mut fitted = |model: Arc<dyn PixelModel>, options: SpectrumFitOptions| -> Result<f64> {
            let fitter = SpectrumFitter::new(model, templates.view(), options.clone())?;
            let mut times = Vec::new();
            for _ in 0..self.repeats {
                let mut clock = Clock::start();
                let fits = fitter.fit(flux.view(), weight.view())?;
                times.push(clock.lap());
                if !options.velocity && !options.rotation {
                    let total: usize = fits.n_iterations.iter().map(|n| n + 1).sum();
                    evaluations = total as f64 / self.n_stars as f64;
                    not_converged = fits.endings.iter().filter(|ending| **ending != crate::per_pixel::Ending::Converged).count();
                }
            }
            Ok(middle(&times) / self.n_stars as f64)
        };
        let fit = fitted(engine.clone(), SpectrumFitOptions::default())?;
        let velocity = SpectrumFitOptions { velocity: true, continuum_terms: 2, ..SpectrumFitOptions::default() };
        let with_velocity = fitted(engine.clone(), velocity)?;
        let rotation = SpectrumFitOptions { rotation: true, ..SpectrumFitOptions::default() };
        let with_rotation = fitted(engine.clone(), rotation.clone())?;
        let on_linear_grid = fitted(Arc::new(OnLinearGrid::new(engine)), rotation)?;
        let emulation = middle(&emulated) / self.n_stars as f64;
        let l = self.n_labels as f64;
        let of_matrix = self.n_pixels as f64 * ((l + 1.0) * (l + 2.0) + l + 1.0);
        let of_fit = candidate.of_flux + candidate.of_slopes + of_matrix;
        Ok(PixelTimes {
            model: candidate.name,
            training: candidate.training,
            emulated_spectra_per_second: 1.0 / emulation,
            emulation_fraction_of_product: candidate.of_flux / emulation / machine.flops,
            fit_milliseconds_per_star: 1e3 * fit,
            fit_evaluations: evaluations,
            fit_fraction_of_product: evaluations * of_fit / fit / machine.flops,
            not_converged,
            fit_with_velocity_milliseconds: 1e3 * with_velocity,
            fit_with_rotation_milliseconds: 1e3 * with_rotation,
            fit_with_rotation_linear_milliseconds: 1e3 * on_linear_grid,
        })
    }
}

fn middle(times: &[Seconds]) -> f64 {
    percentiles(&times.iter().map(|time| time.cpu).collect::<Vec<_>>(), [50.0])[0]
}

impl PixelBenchReport {
    fn text(&self) -> String {
        let head = [
            "model",
            "training, s/pixel",
            "iterations",
            "% of product",
            "emulated spectra/s",
            "% of product",
            "fit, ms/star",
            "evaluations",
            "% of product",
            "with velocity, continuum",
            "with rotation",
            "on a linear grid",
            "not converged",
        ];
        let row = |times: &PixelTimes| -> Vec<String> {
            let of_training = |value: &dyn Fn(&TrainingTimes) -> Option<f64>| {
                times.training.as_ref().and_then(value).map_or_else(|| "-".to_owned(), |value| significant(value, 3))
            };
            let others = [
                times.emulated_spectra_per_second,
                100.0 * times.emulation_fraction_of_product,
                times.fit_milliseconds_per_star,
                times.fit_evaluations,
                100.0 * times.fit_fraction_of_product,
                times.fit_with_velocity_milliseconds,
                times.fit_with_rotation_milliseconds,
                times.fit_with_rotation_linear_milliseconds,
            ];
            let mut row = vec![
                times.model.clone(),
                of_training(&|times| Some(times.seconds_per_pixel)),
                of_training(&|times| Some(times.iterations)),
                of_training(&|times| Some(100.0 * times.fraction_of_product?)),
            ];
            row.extend(others.map(|value| significant(value, 3)));
            row.push(times.not_converged.to_string());
            row
        };
        let rows: Vec<Vec<String>> =
            std::iter::once(head.map(str::to_owned).to_vec()).chain(self.models.iter().map(row)).collect();
        let (gflop, gbytes) = (significant(1e-9 * self.machine.flops, 3), significant(1e-9 * self.machine.copied_bytes, 3));
        let trained = match self.trained_pixels {
            0 => "random weights".to_owned(),
            n => format!(
                "{n} trained, repeated, on {} spectra and {} references; the joint network of random weights",
                self.training_spectra, self.references
            ),
        };
        format!(
            "models of spectra: {} labels, {} pixels ({trained}), {} stars fitted\n\
             peaks: {gflop} GFLOP/s in a matrix product (f32), {gbytes} GB/s in a copy, one thread; processor time on one thread\n\n{}",
            self.labels,
            self.pixels,
            self.stars,
            aligned(&rows)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_sizes_are_refused_before_anything_is_made() {
        let fault = |hidden: usize, n_labels: usize, n_pixels: usize, n_trained: usize, n_stars: usize| {
            let bench = PixelBench { hidden: &[hidden], n_labels, n_pixels, n_trained, n_stars, repeats: 1, seed: 1 };
            bench.run().unwrap_err().to_string()
        };
        let huge = usize::MAX;
        assert!(fault(huge, 25, 500, 64, 10).contains("--pixel-networks"));
        assert!(fault(0, 25, 500, 64, 10).contains("--pixel-networks"));
        assert!(fault(20, huge, 500, 64, 10).contains("--labels"));
        assert!(fault(20, 0, 500, 64, 10).contains("--labels"));
        assert!(fault(512, 100, 1_000_000, 64, 10).contains("parameters"));
        assert!(fault(20, 25, 5000, 64, 10_000_000).contains("fluxes of all stars"));
        assert!(fault(20, 15, 5000, 1_000_000, 10).contains("--trained-pixels"));
        assert!(fault(20, 25, huge, 64, 10).contains("--pixels"));
    }
}
