//! Training of all pixels, in parallel.

use super::super::labels::LabelSpace;
use super::super::library::GradientLibrary;
use super::super::network::{Architecture, PixelNetworks};
use super::super::network_engine::NetworkEngine;
use super::super::regularisation::require_known;
use super::super::spectra::LabelledSpectra;
use super::checkpoint::Checkpoint;
use super::committee::{Committee, seed_of_member};
use super::history::{HistoryRow, round_history, thinned};
use super::label_errors::{self, FreedLabels};
use super::levenberg_marquardt::{Iteration, Pixel, Workspace};
use super::loss::PixelTask;
use super::options::{Optimiser, TrainingOptions};
use super::pass::StripTask;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::tensor::row_products::WIDTH;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use std::sync::Arc;

/// What networks are trained on.
#[derive(Debug, Clone)]
pub struct TrainingSet {
    /// The labels and the ranges that are scaled to ±½.
    pub space: LabelSpace,
    /// `[W]`, vacuum Å.
    pub wavelength: Vec<f64>,
    pub spectra: LabelledSpectra,
    /// Spectra that decide when to stop; may be empty.
    pub validation: LabelledSpectra,
    /// Physics, of the same labels and pixels ([`GradientLibrary::for_training`]).
    pub library: Option<GradientLibrary>,
}

/// The parameters of a pixel, and how its training went.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelResult {
    /// Of a network in the order of [`Architecture`], of a polynomial the coefficients; none where all pixels
    /// share a network.
    pub parameters: Vec<f32>,
    /// The iteration that is kept.
    pub kept: Iteration,
    pub n_iterations: usize,
    /// The iterations, some of them where they are many; of a committee the mean of its members'. None of
    /// polynomials, nor where all pixels share a network.
    pub history: Vec<Iteration>,
}

/// A model of all pixels, and how its training went.
#[derive(Debug, Clone)]
pub struct Training<M> {
    pub model: M,
    /// `[W]`.
    pub pixels: Vec<PixelResult>,
    /// Mean losses over the pixels, round by round.
    pub history: Vec<HistoryRow>,
    /// The labels that the model was taught with, where they were freed within their errors.
    pub freed: Option<FreedLabels>,
}

/// A pixel of a round: networks are taught once, and again after every freeing of the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub round: usize,
    pub n_rounds: usize,
    pub pixel: usize,
}

impl TrainingSet {
    /// Checks shapes and numbers.
    ///
    /// # Errors
    /// `Data`.
    pub fn check(&self) -> Result<()> {
        let w = self.wavelength.len();
        self.spectra.check("training spectra", &self.space, w)?;
        self.validation.check("validation spectra", &self.space, w)?;
        if self.spectra.is_empty() || w == 0 {
            return Err(Error::data("training spectra")
                .found(format!("{} spectra of {w} pixels", self.spectra.len()))
                .expected("at least one of each"));
        }
        let Some(library) = &self.library else { return Ok(()) };
        library.check()?;
        if library.names != self.space.names || library.wavelength.len() != w {
            return Err(Error::data(&library.origin)
                .found(format!("{} labels on {} pixels", library.names.len(), library.wavelength.len()))
                .expected(format!("those of the training, {} on {w}", self.space.len())));
        }
        Ok(())
    }
}

impl TrainingSet {
    /// Whether a training spectrum has a pixel.
    pub fn has_spectra(&self, pixel: usize) -> bool {
        self.spectra.inverse_variance.column(pixel).iter().any(|weight| *weight > 0.0)
    }

    /// The same of some pixels, with the labels that were freed, if they were.
    pub fn at_pixels(&self, pixels: &[usize], freed: Option<&FreedLabels>) -> Self {
        let some = |spectra: &LabelledSpectra, labels: Option<&Array2<f64>>| LabelledSpectra {
            labels: labels.unwrap_or(&spectra.labels).clone(),
            label_errors: spectra.label_errors.clone().filter(|_| labels.is_none()),
            flux: spectra.flux.select(Axis(1), pixels),
            inverse_variance: spectra.inverse_variance.select(Axis(1), pixels),
        };
        Self {
            space: self.space.clone(),
            wavelength: pixels.iter().map(|&pixel| self.wavelength[pixel]).collect(),
            spectra: some(&self.spectra, freed.map(|freed| &freed.training)),
            validation: some(&self.validation, freed.map(|freed| &freed.validation)),
            library: self.library.as_ref().map(|library| library.at_pixels(pixels)),
        }
    }
}

/// Trains a network for every pixel that is not among the `finished` ones. `done` is told of every pixel that
/// is, and ends the training by an error; the networks do not depend on threads, nor on interruptions.
///
/// # Errors
/// When the set contradicts itself, an option is impossible, or no pixel could be trained; and whatever
/// `done` returns.
pub fn train(
    set: &TrainingSet,
    options: &TrainingOptions,
    finished: &Checkpoint,
    done: &(dyn Fn(Place, &PixelResult) -> Result<()> + Sync),
) -> Result<Training<PixelNetworks>> {
    options.validate()?;
    set.check()?;
    let n_rounds = label_errors::label_rounds(set, options.label_alternations);
    let mut trained = round(set, options, None, (0, n_rounds), finished, done)?;
    for at in 1..n_rounds {
        tracing::info!("labels of the training stars are freed within their errors, {at} of {} times", n_rounds - 1);
        let freed = label_errors::free_labels(set, Arc::new(NetworkEngine::new(&trained.model)))?;
        trained.freed = Some(freed);
        trained = round(set, options, Some(trained), (at, n_rounds), finished, done)?;
    }
    Ok(trained)
}

/// All pixels, with the labels as they are given or as they were freed under the networks `before`.
fn round(
    set: &TrainingSet,
    options: &TrainingOptions,
    before: Option<Training<PixelNetworks>>,
    (round, n_rounds): (usize, usize),
    finished: &Checkpoint,
    done: &(dyn Fn(Place, &PixelResult) -> Result<()> + Sync),
) -> Result<Training<PixelNetworks>> {
    let freed = before.as_ref().and_then(|before| before.freed.as_ref());
    let trainer = Trainer::with_labels(set, options, freed)?;
    let n_parameters = trainer.architecture.n_parameters();
    let start = |pixel: usize| before.as_ref().map(|before| before.pixels[pixel].parameters.as_slice());
    let pixels: Vec<PixelResult> = (0..set.wavelength.len())
        .into_par_iter()
        .map_init(
            || (trainer.workspace(), trainer.committee()),
            |(work, committee), pixel| {
                let known = finished.pixels.get(&(round, pixel)).filter(|result| result.parameters.len() == n_parameters);
                let result = known.cloned().unwrap_or_else(|| trainer.pixel(pixel, start(pixel), work, committee));
                done(Place { round, n_rounds, pixel }, &result)?;
                Ok(result)
            },
        )
        .collect::<Result<_>>()?;
    let parameters = Array2::from_shape_fn((pixels.len(), n_parameters), |(w, p)| pixels[w].parameters[p]);
    let networks = PixelNetworks::new(set.space.clone(), set.wavelength.clone(), trainer.architecture.clone(), parameters)?;
    let (mut history, freed) = before.map_or_else(Default::default, |before| (before.history, before.freed));
    history.extend(round_history(round, &pixels, |pixel| set.has_spectra(pixel), |place| options.iteration_of(place)));
    Ok(Training { model: networks, pixels, history, freed })
}

/// What is the same for all pixels of a training.
pub(super) struct Trainer<'a> {
    set: &'a TrainingSet,
    options: &'a TrainingOptions,
    pub architecture: Architecture,
    scaled: [Array2<f64>; 3],
    shared: Shared,
    validation: Shared,
    /// Dₖ/R and the root mean square of the scaled gradients `[L]`.
    strength: Vec<f64>,
    rms: Vec<f64>,
    is_ratio: Vec<bool>,
}

impl<'a> Trainer<'a> {
    /// With the labels of the set, or those that were freed.
    pub fn with_labels(set: &'a TrainingSet, options: &'a TrainingOptions, freed: Option<&FreedLabels>) -> Result<Self> {
        let n_labels = set.space.len();
        let widths: Vec<usize> =
            options.widths().into_iter().filter(|width| *width > 0).map(|width| width * options.committee).collect();
        let architecture = Architecture::new(n_labels, &widths, options.activation)?;
        let weights = options.gradient_weights();
        weights.require_known(&set.space)?;
        require_known("windows_of", options.windows_of.keys(), &set.space)?;
        // A label without any window acts nowhere, as is said; one whose windows miss the grid was meant to.
        let misses = |label: &&String| !set.wavelength.iter().any(|&wavelength| options.acts(label, wavelength));
        let windows = options.windows_of.iter().filter(|(_, windows)| !windows.is_empty());
        if let Some(label) = windows.map(|(label, _)| label).find(misses) {
            let (first, last) = (set.wavelength.first(), set.wavelength.last());
            let [first, last] = [first, last].map(|at| at.copied().unwrap_or(f64::NAN));
            return Err(Error::usage(format!("training option windows_of.{label}"))
                .found("windows without a pixel")
                .expected(format!("windows in Å that have pixels, which are from {first:.2} to {last:.2} Å"))
                .remedy("Correct the windows, or leave the label out."));
        }
        // Without physics there are no references.
        let library = set.library.as_ref().filter(|_| set.space.names.iter().any(|name| weights.strength(name) > 0.0));
        let references = library.map_or_else(|| Array2::zeros((0, n_labels)), |library| set.space.scale(library.labels.view()));
        let rms = library.map_or_else(|| vec![1.0; n_labels], |library| library.gradient_rms(&set.space));
        let per_reference = 1.0 / references.nrows().max(1) as f64;
        let labels = freed.map_or([&set.spectra.labels, &set.validation.labels], |freed| [&freed.training, &freed.validation]);
        let [training, validation] = labels.map(|labels| set.space.scale(labels.view()));
        let scaled = [training, validation, references];
        let none = Array2::zeros((0, n_labels));
        Ok(Self {
            architecture,
            shared: match options.optimiser {
                Optimiser::LevenbergMarquardt => Shared::new(scaled[0].view(), scaled[2].view()),
                Optimiser::Adam => Shared::in_sections(scaled[0].view(), scaled[2].view(), options.adam.batch.div_ceil(WIDTH)),
            },
            validation: Shared::new(scaled[1].view(), none.view()),
            scaled,
            strength: weights.weights(&set.space, &rms).into_iter().map(|weight| weight * per_reference).collect(),
            rms,
            is_ratio: set.space.abundance_ratios(),
            set,
            options,
        })
    }

    pub fn workspace(&self) -> Workspace {
        Workspace::new(&self.shared, &self.validation, self.options.widths())
    }

    pub fn committee(&self) -> Committee {
        Committee::new(&self.shared, &self.validation, self.options)
    }

    /// What the network of a pixel is to learn, at the last smoothing.
    pub fn task(&self, pixel: usize) -> PixelTask<'_> {
        self.task_of(&self.set.spectra, self.scaled[0].view(), pixel)
    }

    fn task_of<'b>(&'b self, spectra: &LabelledSpectra, scaled: ArrayView2<'b, f64>, pixel: usize) -> PixelTask<'b> {
        let weight: Vec<f64> = spectra.inverse_variance.column(pixel).iter().map(|value| f64::from(*value)).collect();
        let n = weight.iter().filter(|weight| **weight > 0.0).count().max(1) as f64;
        let references = self.scaled[2].view();
        let gradient = |(j, k): (usize, usize)| {
            let library = self.set.library.as_ref();
            library.map_or(0.0, |library| f64::from(library.gradient[[j, k, pixel]]) * self.set.space.width(k))
        };
        PixelTask {
            scaled,
            flux: spectra.flux.column(pixel).iter().map(|value| f64::from(*value)).collect(),
            weight: weight.into_iter().map(|weight| weight / n).collect(),
            gradient: Array2::from_shape_fn(references.dim(), gradient),
            references,
            // The physics of a label that may not act is no matter of this pixel.
            strength: self.strength.iter().zip(self.acting(pixel)).map(|(d, acts)| if acts { *d } else { 0.0 }).collect(),
            smoothing: self.rms.iter().map(|rms| rms * self.options.smoothing.last().unwrap_or(&1.0)).collect(),
            decay: self.options.weight_decay / n,
        }
    }

    /// Weights and biases of a member's hidden layers among those of all.
    fn hidden_of(&self, parameters: &[f32], member: usize) -> Vec<f64> {
        let last = self.architecture.widths.len() - 1;
        let mut hidden = Vec::new();
        for (index, (inputs, outputs)) in self.architecture.layers().enumerate().take(last) {
            let (kernel, bias) = self.architecture.place(index);
            let n_outputs = outputs / self.options.committee;
            let own = member * n_outputs..(member + 1) * n_outputs;
            // Labels are the inputs of all members.
            let n_inputs = if index == 0 { inputs } else { inputs / self.options.committee };
            let from = if index == 0 { 0 } else { member * n_inputs };
            for row in parameters[kernel].chunks_exact(inputs).skip(own.start).take(n_outputs) {
                hidden.extend(row[from..from + n_inputs].iter().map(|value| f64::from(*value)));
            }
            hidden.extend(parameters[bias][own].iter().map(|value| f64::from(*value)));
        }
        hidden
    }

    /// Which labels may act on a pixel `[L]`.
    fn acting(&self, pixel: usize) -> Vec<bool> {
        let at = self.set.wavelength[pixel];
        self.set.space.names.iter().map(|name| self.options.acts(name, at)).collect()
    }

    /// Trains a pixel, from random networks or from those `before` of all members.
    pub fn pixel(&self, pixel: usize, before: Option<&[f32]>, work: &mut Workspace, committee: &mut Committee) -> PixelResult {
        let strips =
            |task: &PixelTask, shared: &Shared| StripTask::new(task, shared, self.options.activation, self.options.widths());
        let task = self.task(pixel);
        let validation = self.task_of(&self.set.validation, self.scaled[1].view(), pixel);
        let smoothing = |stage: &f64| self.rms.iter().map(|rms| stage * rms).collect();
        // Networks that were at the end of the stages begin there.
        let stages = &self.options.smoothing[if before.is_some() { self.options.smoothing.len() - 1 } else { 0 }..];
        let hidden = |member: usize| before.map(|before| self.hidden_of(before, member));
        let seed = self.options.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(pixel as u64);
        let acts = self.acting(pixel);
        let mut pixel = Pixel {
            shared: &self.shared,
            task: strips(&task, &self.shared),
            validation: (&self.validation, strips(&validation, &self.validation)),
            smoothing: stages.iter().map(smoothing).collect(),
            hidden: hidden(0),
            is_ratio: &self.is_ratio,
            acts,
            seed,
        };
        let mut one = |pixel: &mut Pixel| match self.options.optimiser {
            Optimiser::LevenbergMarquardt => pixel.train(self.options, work),
            Optimiser::Adam => pixel.train_with_adam(self.options, work),
        };
        let first = one(&mut pixel);
        let trained = match self.options.committee {
            1 => first,
            n => {
                let mut members = vec![first];
                for member in 1..n {
                    pixel.seed = seed_of_member(seed, member);
                    pixel.hidden = hidden(member);
                    members.push(one(&mut pixel));
                }
                committee.mean(&pixel, &members)
            }
        };
        let parameters = trained.parameters.iter().map(|value| *value as f32).collect();
        let history = thinned(&trained.history, self.options.history_stride());
        PixelResult { parameters, kept: trained.kept, n_iterations: trained.n_iterations, history }
    }
}
