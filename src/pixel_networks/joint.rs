//! One network for all pixels as a family of models of spectra: trained by epochs of gradient descent.

use super::joint_training::JointLearner;
use super::spectral_model::{SpectralModel, TrainingChoices};
use crate::error::{Error, Result};
use crate::learn::{Checkpoints, EpochRecord, Plan, Schedule, ensemble};
use crate::package::TrainingContext;
use crate::per_pixel::train::{HistoryRow, Iteration, PixelResult, Training, TrainingSet, round_history, weakened};
use crate::per_pixel::{
    Activation, GradientLibrary, JointEngine, JointNetwork, LabelledSpectra, PixelModel, Regularisation, emulate, evaluate_all,
};
use crate::tensor::DescentMethod;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Most weights and biases: with gradients and moments some GiB.
const MOST_WEIGHTS: usize = 100_000_000;

/// How a joint network is trained (TOML; unknown keys are errors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointOptions {
    /// Neurons of the hidden layers.
    pub hidden: Vec<usize>,
    pub activation: Activation,
    /// D′: weight of the gradient term of every label, in units of the label's own gradients. 0: no physics.
    pub regularisation: f64,
    /// Whether weights are in these units; otherwise they are Dₖ itself, of gradients by labels scaled to ±½.
    pub relative_regularisation: bool,
    /// ε of the absolute values √(d² + ε²) − ε, in units of the label's own gradients.
    pub smoothing: f64,
    /// Spectra of a step.
    pub batch: usize,
    /// References of a step, others in every one.
    pub references: usize,
    pub seed: u64,
    /// The same for single labels.
    pub regularisation_of: BTreeMap<String, f64>,
    pub optimiser: DescentMethod,
    pub plan: Plan,
}

impl Default for JointOptions {
    fn default() -> Self {
        Self {
            hidden: vec![300, 300],
            activation: Activation::Sigmoid,
            regularisation: 1.0,
            relative_regularisation: true,
            smoothing: 0.03,
            batch: 128,
            references: 8,
            seed: 1,
            regularisation_of: BTreeMap::new(),
            optimiser: DescentMethod::default(),
            plan: Plan {
                epochs: 800,
                learning_rate: 2e-3,
                schedule: Schedule::Cosine { end_fraction: 0.01 },
                patience: Some(200),
                ..Plan::default()
            },
        }
    }
}

impl JointOptions {
    /// D′ of the labels.
    pub fn gradient_weights(&self) -> Regularisation<'_> {
        Regularisation { usual: self.regularisation, of: &self.regularisation_of, is_relative: self.relative_regularisation }
    }

    /// Weights and biases of a network from `n_labels` to `n_pixels`.
    pub(super) fn n_weights(&self, n_labels: usize, n_pixels: usize) -> usize {
        let mut inputs = n_labels;
        let layer = |&outputs: &usize| std::mem::replace(&mut inputs, outputs).saturating_add(1).saturating_mul(outputs);
        self.hidden.iter().chain([&n_pixels]).map(layer).fold(0, usize::saturating_add)
    }

    /// Refuses networks that no memory holds.
    pub(super) fn check_size(&self, n_labels: usize, n_pixels: usize) -> Result<()> {
        match self.n_weights(n_labels, n_pixels) {
            n if n <= MOST_WEIGHTS => Ok(()),
            n => Err(Error::usage("training option hidden")
                .found(format!("{:?}, {n} weights with {n_labels} labels and {n_pixels} pixels", self.hidden))
                .expected(format!("{MOST_WEIGHTS} weights at most"))
                .remedy("Give fewer neurons in the recipe, or fewer pixels.")),
        }
    }
}

impl TrainingChoices for JointOptions {
    fn validate(&self) -> Result<()> {
        let fault = |option: &str, found: String, expected: &str| {
            Err(Error::usage(format!("training option {option}")).found(found).expected(expected).remedy("Correct the recipe."))
        };
        if !(1..=8).contains(&self.hidden.len()) || self.hidden.iter().any(|width| !(1..=8192).contains(width)) {
            return fault("hidden", format!("{:?}", self.hidden), "one to eight widths from 1 to 8192, as in [300, 300]");
        }
        self.gradient_weights().validate()?;
        if !(self.smoothing > 0.0 && self.smoothing.is_finite()) {
            return fault("smoothing", self.smoothing.to_string(), "a positive number");
        }
        for (option, value) in [("batch", self.batch), ("references", self.references)] {
            if !(1..=1_000_000).contains(&value) {
                return fault(option, value.to_string(), "1 to 1000000");
            }
        }
        self.optimiser.validate("training.optimiser")?;
        self.plan.validate()
    }

    fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Hidden layers are fixed by all pixels together.
    fn n_parameters(&self, _labels: &[String]) -> usize {
        self.hidden.last().map_or(0, |width| width + 1)
    }
}

impl SpectralModel for JointNetwork {
    const KIND: &'static str = "joint_network";
    const NAME: &'static str = "joint network";
    const FILE: &'static str = "network.safetensors";

    type Choices = JointOptions;

    fn engine(&self) -> Arc<dyn PixelModel> {
        Arc::new(JointEngine::new(self))
    }

    fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        self.write(path, overwrite)
    }

    fn read(path: &Path) -> Result<Self> {
        Self::read(path)
    }

    fn digest(&self, hash: &mut Sha256) {
        hash.update(format!("{:?} {:?} {:?}", self.activation, self.space, self.wavelength));
        for layer in &self.layers {
            hash.update(format!("{:?}", layer.kernel.dim()));
            layer.kernel.iter().chain(&layer.bias).for_each(|value| hash.update(value.to_le_bytes()));
        }
    }

    fn shape(&self) -> (&'static str, String) {
        ("network of all pixels", format!("{:?} neurons, {}", self.hidden(), self.activation.name()))
    }

    fn summary(&self) -> Map<String, Value> {
        let activation = json!(self.activation.name());
        Map::from_iter([("hidden".into(), json!(self.hidden())), ("activation".into(), activation)])
    }

    /// Labels are taken for exact.
    fn doubts(set: &TrainingSet) -> Vec<String> {
        let doubt = |(label, left): (&str, f64)| {
            format!(
                "errors of {label} leave {left:.2} of its lines: a joint network takes labels for exact, \
                 networks and polynomials per pixel free them"
            )
        };
        weakened(set).into_iter().map(doubt).collect()
    }

    fn train(set: &TrainingSet, choices: &JointOptions, context: &TrainingContext<'_>) -> Result<Training<Self>> {
        choices.validate()?;
        set.check()?;
        choices.check_size(set.space.len(), set.wavelength.len())?;
        choices.gradient_weights().require_known(&set.space)?;
        let checkpoints = Checkpoints { file: context.checkpoints, run: context.run };
        let start = |_| JointLearner::start(set, choices, context.device);
        let report = &mut |done: f64, text: &str| (context.report)(done, text);
        let learned = ensemble(1, &choices.plan, Some(checkpoints), start, report)?;
        let Some(learned) = learned.into_iter().next() else {
            return Err(Error::numerical("joint network").found("nothing learned"));
        };
        let model = JointLearner::network(set, choices, &learned.learned)?;
        let engine = JointEngine::new(&model);
        let (training, validation) = (chi_squares(&engine, &set.spectra), chi_squares(&engine, &set.validation));
        let library = set.library.as_ref();
        let gradient = library.map_or_else(|| vec![0.0; model.n_pixels()], |library| gradient_terms(&engine, library, choices));
        let result = |w: usize| PixelResult {
            parameters: Vec::new(),
            kept: Iteration { stage: 0, flux: training[w], gradient: gradient[w], validation: validation[w] },
            n_iterations: learned.history.len(),
            history: Vec::new(),
        };
        let pixels: Vec<PixelResult> = (0..model.n_pixels()).map(result).collect();
        let history = history_of(&learned.history, &pixels, set);
        Ok(Training { pixels, history, model, freed: None })
    }
}

/// The epochs, and what is kept. Losses of epochs are those of the steps, while weights change: means over
/// the batches, and over the references that these draw, whose gradient terms are smoothed.
fn history_of(epochs: &[EpochRecord], pixels: &[PixelResult], set: &TrainingSet) -> Vec<HistoryRow> {
    let n_trained = (0..pixels.len()).filter(|&pixel| set.has_spectra(pixel)).count();
    // Fluxes of pixels without spectra are zeros in the mean over all.
    let share = pixels.len() as f64 / n_trained.max(1) as f64;
    let row = |(at, terms): (usize, crate::learn::LossTerms)| HistoryRow {
        round: 0,
        stage: 0,
        iteration: at + 1,
        n_training: n_trained,
        is_kept: false,
        flux: share * terms.flux,
        gradient: terms.gradient,
        validation: share * terms.validation,
    };
    let known = epochs.iter().enumerate().filter_map(|(at, epoch)| Some((at, epoch.terms?)));
    let kept = round_history(0, pixels, |pixel| set.has_spectra(pixel), |_| 0).into_iter();
    let kept = kept.map(|kept| HistoryRow { iteration: epochs.len(), ..kept });
    known.map(row).chain(kept).collect()
}

/// χ² per spectrum of every pixel `[W]`.
pub(super) fn chi_squares(engine: &JointEngine, spectra: &LabelledSpectra) -> Vec<f64> {
    let flux = emulate(engine, spectra.labels.view());
    let of = |w: usize| {
        let weight = spectra.inverse_variance.column(w);
        let good = (0..spectra.len()).filter(|&i| weight[i] > 0.0);
        let square = |i: usize| f64::from(weight[i]) * (f64::from(flux[[i, w]]) - f64::from(spectra.flux[[i, w]])).powi(2);
        let (sum, n) = good.fold((0.0, 0_usize), |(sum, n), i| (sum + square(i), n + 1));
        sum / n.max(1) as f64
    };
    (0..engine.n_pixels()).map(of).collect()
}

/// The gradient term of every pixel `[W]`, without smoothing.
pub(super) fn gradient_terms(engine: &JointEngine, library: &GradientLibrary, choices: &JointOptions) -> Vec<f64> {
    let space = engine.space();
    let (own, rms) = (evaluate_all(engine, library.labels.view()), library.gradient_rms(space));
    let (n, weights) = (library.labels.nrows(), choices.gradient_weights().weights(space, &rms));
    let of = |w: usize| {
        let label = |k: usize| {
            let missed =
                |j: usize| (f64::from(own[[j, 1 + k, w]]) - f64::from(library.gradient[[j, k, w]]) * space.width(k)).abs();
            weights[k] / n as f64 * (0..n).map(missed).sum::<f64>()
        };
        (0..space.len()).map(label).sum()
    };
    (0..engine.n_pixels()).map(of).collect()
}
