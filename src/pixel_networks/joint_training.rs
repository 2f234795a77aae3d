//! What a joint network learns by. Mean over the pixels of
//!
//! 1/N Σᵢ (f(ℓᵢ) − fᵢ)²/σᵢ² + 1/R Σⱼ Σₖ Dₖ (√(d² + εₖ²) − εₖ), d = ∂f/∂ℓₖ(ℓⱼ) − gⱼₖ
//!
//! the loss of networks per pixel; the label derivatives go forwards through the network as rows beside the
//! spectra, and reverse mode runs through both. A step has a batch of spectra and some of the references.

use super::joint::JointOptions;
use crate::error::{Error, Result};
use crate::learn::{Judged, Learner, LossTerms, Losses, Parts, Turn};
use crate::observations::shuffled;
use crate::per_pixel::train::TrainingSet;
use crate::per_pixel::{Activation, DenseLayer, GradientLibrary, JointNetwork, LabelSpace};
use crate::tensor::{Descent, Device, Tensor, WeightSpecification, Weights, biases_behind_sigmoids, matmul, to_f64};
use ndarray::{Array1, Array2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Spectra, or references, of which a loss is looked at together.
const LOOKED_AT: usize = 1024;
const REFERENCES_LOOKED_AT: usize = 16;
/// References by whose gradient term epochs are judged, at most.
const MOST_REFERENCES: usize = 48;
/// Odd, so that spectra and references are drawn independently.
const OF_REFERENCES: u64 = 0x9E37_79B9_7F4A_7C15;

/// Spectra as a network learns from them.
struct Lessons {
    /// `[N, L]`.
    scaled: Array2<f64>,
    /// `[N, W]`; 0 where missing.
    flux: Array2<f32>,
    /// 1/σ² over the pixel's share of good spectra `[N, W]`.
    weight: Array2<f32>,
}

/// References as a network learns from them.
struct Physics {
    /// `[R, L]`.
    scaled: Array2<f64>,
    /// By the scaled labels `[R, L, W]`.
    gradient: ndarray::Array3<f32>,
    /// Dₖ and εₖ `[L]`.
    strength: Vec<f64>,
    smoothing: Vec<f64>,
}

/// A joint network with its optimiser.
pub(super) struct JointLearner<'a> {
    options: &'a JointOptions,
    training: Lessons,
    validation: Lessons,
    physics: Option<Physics>,
    device: &'a Device,
    weights: Weights,
    descent: Descent,
}

/// Some of `n`, spread evenly: files of references are sorted.
fn spread(n: usize, most: usize) -> Vec<usize> {
    let some = n.min(most);
    (0..some).map(|i| (2 * i + 1) * n / (2 * some)).collect()
}

fn name(part: &str, layer: usize) -> String {
    format!("{part}{layer}")
}

/// Kernels `[inputs, outputs]` and biases; the last bias is the mean flux of the pixels.
fn specifications(set: &TrainingSet, options: &JointOptions) -> Vec<WeightSpecification> {
    let mut found = Vec::new();
    let mut inputs = set.space.len();
    let n_layers = options.hidden.len() + 1;
    let w = set.wavelength.len();
    for (layer, &outputs) in options.hidden.iter().chain([&w]).enumerate() {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        random.set_stream(layer as u64);
        // Scaled labels spread by about a quarter; what sigmoids make of them is nearly constant, and the
        // last layer begins small.
        let gain = match (layer, options.activation) {
            (0, _) => 4.0,
            (last, _) if last + 1 == n_layers => 0.1,
            (_, Activation::Sigmoid) => 4.0,
            (_, Activation::Tanh) => 1.0,
            (_, Activation::LeakyRelu) => 1.4,
        };
        let deviation = gain / (inputs as f64).sqrt();
        let draw = |_| deviation * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut random);
        let initial: Vec<f64> = (0..inputs * outputs).map(draw).collect();
        let bias = match layer + 1 == n_layers {
            true => mean_flux(set),
            false if layer > 0 && options.activation == Activation::Sigmoid => biases_behind_sigmoids(&initial, outputs),
            false => vec![0.0; outputs],
        };
        found.push(WeightSpecification { name: name("kernel", layer), shape: vec![inputs, outputs], initial });
        found.push(WeightSpecification { name: name("bias", layer), shape: vec![outputs], initial: bias });
        inputs = outputs;
    }
    found
}

fn mean_flux(set: &TrainingSet) -> Vec<f64> {
    let of = |w: usize| {
        let weight = set.spectra.inverse_variance.column(w);
        let good = (0..set.spectra.len()).filter(|&i| weight[i] > 0.0).map(|i| f64::from(set.spectra.flux[[i, w]]));
        let (sum, n) = good.fold((0.0, 0_usize), |(sum, n), flux| (sum + flux, n + 1));
        sum / n.max(1) as f64
    };
    (0..set.wavelength.len()).map(of).collect()
}

impl Lessons {
    fn new(space: &LabelSpace, spectra: &crate::per_pixel::LabelledSpectra) -> Self {
        let n = spectra.len();
        let share = |w: usize| {
            let good = spectra.inverse_variance.column(w).iter().filter(|weight| **weight > 0.0).count();
            n as f32 / good.max(1) as f32
        };
        let share: Vec<f32> = (0..spectra.flux.ncols()).map(share).collect();
        let weight = Array2::from_shape_fn(spectra.flux.dim(), |(i, w)| spectra.inverse_variance[[i, w]] * share[w]);
        let flux = Array2::from_shape_fn(spectra.flux.dim(), |at| if weight[at] > 0.0 { spectra.flux[at] } else { 0.0 });
        Self { scaled: space.scale(spectra.labels.view()), flux, weight }
    }

    fn len(&self) -> usize {
        self.scaled.nrows()
    }
}

impl Physics {
    fn new(space: &LabelSpace, library: &GradientLibrary, options: &JointOptions) -> Option<Self> {
        let rms = library.gradient_rms(space);
        let strength = options.gradient_weights().weights(space, &rms);
        let mut gradient = library.gradient.clone();
        for ((_, k, _), value) in gradient.indexed_iter_mut() {
            *value = (f64::from(*value) * space.width(k)) as f32;
        }
        strength.iter().any(|strength| *strength > 0.0).then(|| Self {
            scaled: space.scale(library.labels.view()),
            gradient,
            strength,
            smoothing: rms.iter().map(|rms| (options.smoothing * rms).max(f64::from(f32::MIN_POSITIVE).sqrt())).collect(),
        })
    }
}

/// Rows of an array as a tensor.
fn rows(array: &Array2<f32>, which: &[usize], device: &Device) -> Tensor<2> {
    let values = which.iter().flat_map(|&i| array.row(i).to_vec()).collect();
    device.tensor_f32(values, [which.len(), array.ncols()])
}

fn labels(scaled: &Array2<f64>, which: &[usize], device: &Device) -> Tensor<2> {
    let values: Vec<f64> = which.iter().flat_map(|&i| scaled.row(i).to_vec()).collect();
    device.tensor(&values, [which.len(), scaled.ncols()])
}

/// An activation, and its derivative.
fn activated(activation: Activation, sums: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    match activation {
        Activation::Tanh => {
            let value = sums.tanh();
            (value.clone(), value.powi_scalar(2).neg().add_scalar(1.0))
        }
        Activation::Sigmoid => {
            let value = sums.mul_scalar(0.5).tanh().add_scalar(1.0).mul_scalar(0.5);
            (value.clone(), value.clone() - value.powi_scalar(2))
        }
        Activation::LeakyRelu => {
            // One above zero, 0.01 below.
            let slope = sums.clone().detach().sign().mul_scalar(0.495).add_scalar(0.505);
            (sums * slope.clone(), slope)
        }
    }
}

impl<'a> JointLearner<'a> {
    /// # Errors
    /// When the set has no pixels.
    pub fn start(set: &'a TrainingSet, options: &'a JointOptions, device: &'a Device) -> Result<Self> {
        Ok(Self {
            training: Lessons::new(&set.space, &set.spectra),
            validation: Lessons::new(&set.space, &set.validation),
            physics: set.library.as_ref().and_then(|library| Physics::new(&set.space, library, options)),
            weights: Weights::new(&specifications(set, options), &device.taped())?,
            descent: Descent::new(&options.optimiser),
            options,
            device,
        })
    }

    /// The network that was learned.
    ///
    /// # Errors
    /// When numbers are absent or not finite.
    pub fn network(set: &TrainingSet, options: &JointOptions, learned: &Parts) -> Result<JointNetwork> {
        let layer = |(layer, outputs): (usize, &usize)| -> Result<DenseLayer> {
            let (kernel, bias) = (learned.numbers_of(&name("kernel", layer))?, learned.numbers_of(&name("bias", layer))?);
            let inputs = if layer == 0 { set.space.len() } else { options.hidden[layer - 1] };
            if kernel.len() != inputs * outputs {
                return Err(Error::data("state of a joint network").found(format!("{} weights", kernel.len())));
            }
            Ok(DenseLayer {
                kernel: Array2::from_shape_fn((*outputs, inputs), |(j, i)| kernel[i * outputs + j] as f32),
                bias: Array1::from_iter(bias.iter().map(|value| *value as f32)),
            })
        };
        let w = set.wavelength.len();
        let layers = options.hidden.iter().chain([&w]).enumerate().map(layer).collect::<Result<_>>()?;
        JointNetwork::new(set.space.clone(), set.wavelength.clone(), options.activation, layers)
    }

    /// Fluxes `[n, W]` at labels `[n, L]`, and with `derivatives` those by the scaled labels `[n · L, W]`.
    fn forward(&self, weights: &Weights, labels: Tensor<2>, derivatives: bool) -> Result<(Tensor<2>, Option<Tensor<2>>)> {
        let [n, l] = labels.dims();
        let mut value = labels;
        let mut slopes: Option<Tensor<2>> = None;
        for layer in 0..=self.options.hidden.len() {
            let (kernel, bias) = (weights.get::<2>(&name("kernel", layer))?, weights.get::<1>(&name("bias", layer))?);
            let sums = matmul(value, kernel.clone()) + bias.unsqueeze();
            let is_last = layer == self.options.hidden.len();
            let outputs = sums.dims()[1];
            let along = match (derivatives, slopes) {
                (false, _) => None,
                (true, None) => Some(kernel.reshape([1, l, outputs]).repeat(&[n, 1, 1])),
                (true, Some(slopes)) => Some(matmul(slopes, kernel).reshape([n, l, outputs])),
            };
            if is_last {
                return Ok((sums, along.map(|along| along.reshape([n * l, outputs]))));
            }
            let (activations, derivative) = activated(self.options.activation, sums);
            value = activations;
            slopes = along.map(|along| (along * derivative.reshape([n, 1, outputs])).reshape([n * l, outputs]));
        }
        Err(Error::model("joint network").found("no layers"))
    }

    /// χ² of some spectra, mean over them and the pixels.
    fn flux_loss(&self, weights: &Weights, lessons: &Lessons, which: &[usize], device: &Device) -> Result<Tensor<1>> {
        let (flux, _) = self.forward(weights, labels(&lessons.scaled, which, device), false)?;
        let difference = flux - rows(&lessons.flux, which, device);
        Ok((difference.powi_scalar(2) * rows(&lessons.weight, which, device)).mean())
    }

    /// The gradient term of some references, mean over them and the pixels.
    fn gradient_loss(&self, weights: &Weights, physics: &Physics, which: &[usize], device: &Device) -> Result<Tensor<1>> {
        let (l, w) = (physics.strength.len(), physics.gradient.dim().2);
        let (_, slopes) = self.forward(weights, labels(&physics.scaled, which, device), true)?;
        let Some(slopes) = slopes else { return Ok(device.zeros([1])) };
        let truth =
            which.iter().flat_map(|&j| physics.gradient.index_axis(ndarray::Axis(0), j).iter().copied().collect::<Vec<_>>());
        let column = |of: &dyn Fn(usize) -> f64| -> Tensor<2> {
            let values: Vec<f64> = (0..which.len() * l).map(|row| of(row % l)).collect();
            device.tensor(&values, [values.len(), 1])
        };
        // In units of the smoothing, or squares would be lost below the smallest float.
        let inverse = column(&|k| 1.0 / physics.smoothing[k]);
        let scaled = (slopes - device.tensor_f32(truth.collect(), [which.len() * l, w])) * inverse;
        let absolute = scaled.powi_scalar(2).add_scalar(1.0).sqrt().sub_scalar(1.0);
        let strength = column(&|k| physics.strength[k] * physics.smoothing[k]);
        Ok((absolute * strength).mean().mul_scalar(l as f64))
    }

    /// The loss of all validation spectra and of some references, and that of the spectra alone.
    fn look(&self) -> Result<[f64; 2]> {
        let device = self.device.untaped();
        let weights = self.weights.to(&device);
        let lessons = if self.validation.len() > 0 { &self.validation } else { &self.training };
        let all: Vec<usize> = (0..lessons.len()).collect();
        let mut loss = 0.0;
        for which in all.chunks(LOOKED_AT) {
            let part = to_f64(self.flux_loss(&weights, lessons, which, &device)?)[0];
            loss += part * which.len() as f64 / all.len() as f64;
        }
        let flux = loss;
        if let Some(physics) = &self.physics {
            let some = spread(physics.scaled.nrows(), MOST_REFERENCES);
            for which in some.chunks(REFERENCES_LOOKED_AT) {
                let part = to_f64(self.gradient_loss(&weights, physics, which, &device)?)[0];
                loss += part * which.len() as f64 / some.len() as f64;
            }
        }
        Ok([loss, flux])
    }
}

impl Learner for JointLearner<'_> {
    fn epoch(&mut self, turn: &Turn) -> Result<Losses> {
        let device = self.device.taped();
        let epoch = u64::from(turn.epoch);
        let all: Vec<usize> = (0..self.training.len()).collect();
        let order = shuffled(&all, self.options.seed, epoch);
        let n_references = self.physics.as_ref().map_or(0, |physics| physics.scaled.nrows());
        let all_references: Vec<usize> = (0..n_references).collect();
        let (mut references, mut rounds) = (Vec::new(), 0);
        let (mut sum, mut of_fluxes, mut count) = (0.0, 0.0, 0.0);
        for batch in order.chunks(self.options.batch) {
            let flux = self.flux_loss(&self.weights, &self.training, batch, &device)?;
            let mut loss = flux.clone();
            if let Some(physics) = &self.physics {
                let n = self.options.references.min(n_references);
                // Every reference once, before any comes again.
                while references.len() < n {
                    let stream = (epoch << 20) + rounds;
                    references.extend(shuffled(&all_references, self.options.seed ^ OF_REFERENCES, stream));
                    rounds += 1;
                }
                let some: Vec<usize> = references.drain(..n).collect();
                loss = loss + self.gradient_loss(&self.weights, physics, &some, &device)?;
            }
            // Read from the device together.
            let values = to_f64(Tensor::cat(vec![loss.clone().inner(), flux.inner()], 0));
            sum += values[0] * batch.len() as f64;
            of_fluxes += values[1] * batch.len() as f64;
            count += batch.len() as f64;
            self.descent.step(&mut self.weights, loss, turn.learning_rate, None);
        }
        let [judged, of_validation] = self.look()?;
        let count = f64::max(count, 1.0);
        let has_validation = self.validation.len() > 0;
        let terms = LossTerms {
            flux: of_fluxes / count,
            gradient: (sum - of_fluxes) / count,
            validation: if has_validation { of_validation } else { 0.0 },
        };
        Ok(Losses { training: sum / count, validation: Judged::of(judged), terms: Some(terms) })
    }

    fn learned(&self) -> Result<Parts> {
        Parts::of_weights(&self.weights)
    }

    fn restore(&mut self, learned: &Parts) -> Result<()> {
        learned.restore_weights(&mut self.weights, &self.device.taped())
    }

    fn momentum(&self) -> Result<Vec<u8>> {
        self.descent.to_bytes()
    }

    fn restore_momentum(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.descent = Descent::from_bytes(&self.options.optimiser, bytes, self.device)?;
        Ok(())
    }

    fn forget_momentum(&mut self) {
        self.descent = Descent::new(&self.options.optimiser);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::per_pixel::{JointEngine, LabelledSpectra, PixelModel};
    use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
    use crate::tensor::Precision;

    fn set() -> TrainingSet {
        let list = LineList { n_pixels: 6, ..LineList::default() };
        let (synthesis, population) = (Synthesis::new(&list), Population::default());
        let mut all = population.observe(&synthesis, population.labels(30).view(), [20.0, 120.0]);
        all.inverse_variance[[2, 3]] = 0.0;
        all.flux[[2, 3]] = f32::NAN;
        let [names, units] = [LABELS.map(|label| label.0.to_owned()), LABELS.map(|label| label.1.to_owned())];
        let part = |range: std::ops::Range<usize>| -> LabelledSpectra { all.select(&range.collect::<Vec<_>>()) };
        TrainingSet {
            space: LabelSpace::covering(&names, &units, all.labels.view()).unwrap(),
            wavelength: list.wavelength(),
            spectra: part(0..20),
            validation: part(20..30),
            library: Some(synthesis.library(population.references(References::Scattered, 5).view())),
        }
    }

    /// The full loss, flux and gradient term, in double precision: reverse mode through the label derivatives
    /// against central differences of the same loss, for one and two hidden layers.
    #[test]
    fn the_gradient_of_the_full_loss_is_that_of_central_differences() {
        let set = set();
        for (hidden, activation) in
            [(vec![4], Activation::Tanh), (vec![4, 3], Activation::Sigmoid), (vec![3, 4], Activation::LeakyRelu)]
        {
            // Smooth enough for differences.
            let options = JointOptions { hidden, activation, smoothing: 1.0, ..JointOptions::default() };
            let device = Device::cpu().with_precision(Precision::Double);
            let mut learner = JointLearner::start(&set, &options, &device).unwrap();
            let taped = device.taped();
            let all: Vec<usize> = (0..20).collect();
            let loss = |learner: &JointLearner, device: &Device| {
                let weights = learner.weights.to(device);
                let flux = learner.flux_loss(&weights, &learner.training, &all, device).unwrap();
                let physics = learner.physics.as_ref().unwrap();
                (flux + learner.gradient_loss(&weights, physics, &[0, 1, 2, 3, 4], device).unwrap(), weights)
            };
            let (taken, weights) = loss(&learner, &taped);
            let gradients = weights.host_gradients(taken);
            let names = learner.weights.names().to_vec();
            for (name, gradient) in names.iter().zip(&gradients) {
                let before = learner.weights.values(name).unwrap();
                let scale = gradients.iter().flatten().fold(1.0_f64, |largest, value| largest.max(value.abs()));
                for at in (0..before.len()).step_by(before.len().div_ceil(7)) {
                    let mut of = |x: &[f64]| {
                        let mut moved = before.clone();
                        moved[at] = x[0];
                        learner.weights.set(name, &moved, &taped).unwrap();
                        to_f64(loss(&learner, &device).0)[0]
                    };
                    let difference = central_difference_of(&mut of, before[at]);
                    assert!((gradient[at] - difference).abs() < 1e-7 * scale, "{name} {at}: {} {difference}", gradient[at]);
                }
                learner.weights.set(name, &before, &taped).unwrap();
            }
        }
    }

    /// Richardson's of central differences with small steps: weak labels' terms bend within 10⁻³.
    fn central_difference_of(of: &mut dyn FnMut(&[f64]) -> f64, at: f64) -> f64 {
        let mut slope = |step: f64| (of(&[at + step]) - of(&[at - step])) / (2.0 * step);
        let (wide, narrow) = (slope(2e-5), slope(1e-5));
        (4.0 * narrow - wide) / 3.0
    }

    #[test]
    fn epochs_are_judged_by_references_from_the_whole_file() {
        assert_eq!(spread(5, 48), [0, 1, 2, 3, 4]);
        let some = spread(101, 48);
        assert!(some.len() == 48 && some.windows(2).all(|pair| (2..=3).contains(&(pair[1] - pair[0]))));
        assert!(some[0] == 1 && some[47] == 99 && spread(0, 48).is_empty());
    }

    /// What is learned by is what the card says: χ² and the gradient term, means over the pixels, of other
    /// code in single precision. A pixel is missing, widths of labels differ, one label has a weight of its
    /// own.
    #[test]
    fn the_loss_has_the_value_of_the_figures_of_a_training() {
        let set = set();
        let widths: Vec<f64> = (0..set.space.len()).map(|k| set.space.width(k)).collect();
        assert!(widths.iter().any(|width| *width > 100.0) && widths.iter().any(|width| *width < 1.0));
        let of = [(set.space.names[2].clone(), 3.0)].into();
        let options = JointOptions { hidden: vec![5, 4], smoothing: 1e-6, regularisation_of: of, ..JointOptions::default() };
        let device = Device::cpu().with_precision(Precision::Double);
        let learner = JointLearner::start(&set, &options, &device).unwrap();
        let engine = JointEngine::new(&JointLearner::network(&set, &options, &learner.learned().unwrap()).unwrap());
        let weights = learner.weights.to(&device);
        let all: Vec<usize> = (0..20).collect();
        let flux = to_f64(learner.flux_loss(&weights, &learner.training, &all, &device).unwrap())[0];
        let physics = learner.physics.as_ref().unwrap();
        let gradient = to_f64(learner.gradient_loss(&weights, physics, &[0, 1, 2, 3, 4], &device).unwrap())[0];
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let chi_square = mean(super::super::joint::chi_squares(&engine, &set.spectra));
        let term =
            |options: &JointOptions| mean(super::super::joint::gradient_terms(&engine, set.library.as_ref().unwrap(), options));
        assert!((flux / chi_square - 1.0).abs() < 1e-4, "{flux} {chi_square}");
        assert!((gradient / term(&options) - 1.0).abs() < 1e-4, "{gradient} {}", term(&options));
        // The control: the weight of the label matters.
        assert!((gradient / term(&JointOptions::default()) - 1.0).abs() > 1e-2);
    }

    #[test]
    fn tensors_and_engine_are_the_same_network() {
        let set = set();
        let options = JointOptions { hidden: vec![5, 4], activation: Activation::LeakyRelu, ..JointOptions::default() };
        let device = Device::cpu();
        let learner = JointLearner::start(&set, &options, &device).unwrap();
        let model = JointLearner::network(&set, &options, &learner.learned().unwrap()).unwrap();
        let engine = JointEngine::new(&model);
        let own = crate::per_pixel::evaluate_all(&engine, set.spectra.labels.view());
        let weights = learner.weights.to(&device);
        let inputs = labels(&learner.training.scaled, &[3, 7], &device);
        let (flux, slopes) = learner.forward(&weights, inputs, true).unwrap();
        let (flux, slopes) = (to_f64(flux), to_f64(slopes.unwrap()));
        let (l, w) = (set.space.len(), engine.n_pixels());
        for (at, star) in [3, 7].into_iter().enumerate() {
            for pixel in 0..w {
                assert!((flux[at * w + pixel] - f64::from(own[[star, 0, pixel]])).abs() < 1e-5);
                for k in 0..l {
                    let slope = slopes[(at * l + k) * w + pixel];
                    assert!((slope - f64::from(own[[star, 1 + k, pixel]])).abs() < 1e-5);
                }
            }
        }
    }
}
