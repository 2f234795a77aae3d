//! Fitting: starts, optimum, Fisher matrix, exact Hessian and flags for all stars of a set of observations.

use super::breadth::Breadth;
use super::degrees::fitted_to_flux;
use super::engine::is_on_device;
use super::estimates::Estimates;
use super::flags;
use super::guide::FitGuide;
use super::importance::Sampler;
use super::modes::Modes;
use super::options::FitOptions;
use super::part::Part;
use super::problem::{Covariances, Problem, Setup};
use super::quality::Quality;
use super::residuals::{ResidualMaker, mark};
use super::sampled::{PosteriorMethod, SampledPosterior};
use super::searches::{Search, Searches};
use super::second_optimum::Separations;
use super::second_star::PairFits;
use super::start::StartGrid;
use crate::catalogue;
use crate::error::{Error, Result};
use crate::model::{Derived, ForwardModel, Parameter, ParameterSpace};
use crate::observations::Observations;
use crate::optimise::dense::smallest_eigenvalue;
use crate::optimise::{Bounds, NormalEquations};
use crate::package::{FitStage, Reached};
use crate::posterior::{Local, LocalParts, Posterior};
use crate::residuals::{Groups, LARGEST, Responses};
use crate::sampling::UNRELIABLE_TAIL;
use crate::train::TrainedModel;
use crate::warning::warn_once;
use ndarray::{Array2, Array3, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use std::sync::Arc;

/// Fits every star; for one set of observations after another, make one [`Fitter`].
///
/// # Errors
/// As [`Fitter::new`] and [`Fitter::fit`].
pub fn fit(trained: &TrainedModel, observations: &Observations, options: &FitOptions) -> Result<Estimates> {
    Fitter::new(trained.clone(), options)?.fit(observations)
}

/// What a model and options need to fit stars, made once; it owns the model.
pub struct Fitter {
    pub(super) setup: Setup,
    /// The same without the Jacobians of the options, where these have them: the density whose integrals are
    /// wanted.
    natural: Option<Setup>,
    /// Fits of two stars, where the options want them.
    pairs: Option<PairFits>,
    starts: StartGrid,
    /// Another model that says where fits start, and its hash.
    pub(super) guide: Option<FitGuide>,
    /// Positions of the parameters of the mixture prior.
    labels: Vec<usize>,
    derived: Vec<DerivedColumn>,
    /// Whose residuals are judged together: fluxes, and the free parameters with measured values.
    groups: Groups,
    judged: Vec<String>,
    /// Whether they are judged at all: some kB a star.
    judges: bool,
}

/// Stars that are fitted together on a thread of the processor, at least.
const LEAST_TOGETHER: usize = 8;

/// A derived quantity with the positions of the parameters that it depends on.
struct DerivedColumn {
    derived: Derived,
    positions: Vec<usize>,
}

impl DerivedColumn {
    fn new(derived: Derived, space: &ParameterSpace) -> Result<Self> {
        let positions = derived.parameters.iter().map(|name| space.position(name)).collect::<Result<_>>()?;
        Ok(Self { derived, positions })
    }

    /// Its value for a star with these model values of all parameters.
    fn value(&self, values: &[f64]) -> f64 {
        self.derived.value(&self.positions.iter().map(|&position| values[position]).collect::<Vec<f64>>())
    }
}

impl Fitter {
    /// For a trained model, which several fitters may share.
    ///
    /// # Errors
    /// When an option names an unknown parameter, every parameter is held, or the model cannot be evaluated.
    pub fn new(trained: impl Into<Arc<TrainedModel>>, options: &FitOptions) -> Result<Self> {
        let setup = Setup::new(trained.into(), options)?;
        let without = FitOptions { jacobians: false, ..options.clone() };
        let natural = options.jacobians.then(|| Setup::new(setup.trained.clone(), &without)).transpose()?;
        let pairs = options.second_star.fit.then(|| PairFits::new(&setup)).transpose()?;
        let trained = &setup.trained;
        let starts =
            StartGrid::new(&setup.model, &trained.prior, (&setup.held, &setup.fixed), (&options.start, options.mixture_prior))?;
        let prior = trained.prior.parameters().iter();
        let labels = prior.map(|name| setup.model.space.position(name)).collect::<Result<_>>()?;
        let derived = setup.model.derived()?.into_iter().map(|derived| DerivedColumn::new(derived, &setup.model.space));
        let derived = derived.collect::<Result<_>>()?;
        let groups = Groups::of(&setup.model.grid);
        let is_known = |(name, offset): &(&String, &f64)| groups.names.contains(name) && offset.abs() <= LARGEST;
        if let Some((name, offset)) = options.zero_points.iter().find(|point| !is_known(point)) {
            return Err(Error::usage("zero_points")
                .found(format!("{name} = {offset}"))
                .expected(format!("at most {LARGEST} mag of {}", groups.names.join(", ")))
                .remedy("Correct the name or the number; `photosphere zero-points` solves for them."));
        }
        let is_free = |name: &&String| setup.model.space.position(name).is_ok_and(|position| !setup.held.contains(&position));
        let judged = setup.constraints.iter().filter(is_free).cloned().collect();
        Ok(Self { setup, natural, pairs, starts, guide: None, labels, derived, groups, judged, judges: false })
    }

    /// With the residuals of all stars as the check of a catalogue wants them.
    pub fn judging(self) -> Self {
        Self { judges: true, ..self }
    }

    /// Whether residuals are judged.
    pub fn judges(&self) -> bool {
        self.judges
    }

    /// The model.
    pub fn trained(&self) -> &TrainedModel {
        &self.setup.trained
    }

    /// The model as the fits move it: its coordinates are those of [`Estimates`]. The trained model may have
    /// other transforms.
    pub fn model(&self) -> &ForwardModel {
        &self.setup.model
    }

    /// The options.
    pub fn options(&self) -> &FitOptions {
        &self.setup.options
    }

    /// Fits every star.
    ///
    /// # Errors
    /// When model and observations have different data vectors, or the engine fails. A star with too few
    /// fluxes is a flagged row of NaN.
    pub fn fit(&self, observations: &Observations) -> Result<Estimates> {
        self.fit_in_stages(observations, &|_| Ok(()))
    }

    /// [`Self::fit`], which says what it has come to: some stars after others go through all stages on one
    /// thread, several at a time on the threads of the current rayon pool.
    ///
    /// # Errors
    /// As [`Self::fit`], and the error of `reached`, which ends the work.
    pub fn fit_in_stages(&self, observations: &Observations, reached: Reached<'_>) -> Result<Estimates> {
        let options = self.options();
        let problem = Problem::new(&self.setup, observations);
        for absent in self.setup.constraints.iter().filter(|name| !problem.constraints.contains(name)) {
            warn_once(format!("no star has a measured '{absent}' (columns '{absent}' and '{absent}_error'): fitted without it"));
        }
        let posterior = problem.posterior()?;
        let bounds = problem.bounds(posterior.free());
        let separations = problem.separations(posterior.free());
        let (bounds, separations) = (&bounds, &separations);
        let n_fluxes: Vec<usize> = (0..observations.len()).map(|star| observations.n_fluxes(star)).collect();
        let fittable: Vec<usize> = (0..observations.len()).filter(|&star| n_fluxes[star] > posterior.free().len()).collect();
        let (problem, posterior, n_fluxes) = (&problem, &posterior, &n_fluxes);
        let other = self.natural.as_ref().map(|setup| Problem::new(setup, observations));
        let other_posterior = other.as_ref().map(Problem::posterior).transpose()?;
        let (natural, natural_posterior) = (other.as_ref().unwrap_or(problem), other_posterior.as_ref().unwrap_or(posterior));
        let mut guided = Vec::new();
        if let Some(guide) = &self.guide {
            reached(FitStage::Begun)?;
            guided = guide.starts(&self.setup.model, observations)?;
            reached(FitStage::Start)?;
        }
        let of_pairs = self.pairs.as_ref().map(|pairs| (pairs, pairs.problem(observations)));
        let posed = of_pairs.as_ref().map(|(pairs, problem)| pairs.posterior(problem).map(|terms| (*pairs, problem, terms)));
        let pairs = posed.transpose()?;
        let sampler = &Sampler::new(natural, natural_posterior, options.posterior, options.start.seed);
        let block = Block {
            problem,
            posterior,
            natural,
            natural_posterior,
            sampler,
            pairs: pairs.as_ref(),
            bounds,
            separations,
            observations,
            n_fluxes,
            guided: &guided,
            fitter: self,
        };
        tracing::debug!("{} stars, {} engine", fittable.len(), posterior.engine_name());
        // A processor's caches hold the data of some stars from stage to stage; an accelerator wants all at
        // once.
        let together = match is_on_device(posterior, options) {
            true => fittable.len().max(1),
            // No thread waits long for the others.
            false => {
                posterior.batch(options.chunk).min(fittable.len().div_ceil(2 * rayon::current_num_threads())).max(LEAST_TOGETHER)
            }
        };
        let parts = fittable.par_chunks(together).map(|stars| block.fit(stars, reached)).collect::<Result<Vec<_>>>()?;
        reached(FitStage::Begun)?;
        let mut estimates = empty(self, posterior, observations, n_fluxes);
        for part in parts.into_iter().flatten() {
            for (i, &star) in part.stars.iter().enumerate() {
                part.put(&mut estimates, i, star);
            }
        }
        for star in 0..observations.len() {
            // A column that the whole file lacks is said once; it is no fault of a star.
            let asked = problem.constraints.iter().filter(|name| !options.hold.contains_key(*name));
            let missing = asked.into_iter().any(|name| observations.constraint(name, star).is_none());
            estimates.flags[star] |= flags::of_input(observations.input_flags[star]);
            estimates.flags[star] |= if missing { flags::MISSING_CONSTRAINT } else { 0 };
            // Δ to a single star that is not at its optimum says nothing.
            let is_pair = estimates.flags[star] & flags::NOT_CONVERGED == 0
                && estimates.second_star.as_ref().is_some_and(|second| second.is_flagged(star));
            estimates.flags[star] |= if is_pair { flags::SECOND_STAR } else { 0 };
            if self.judges {
                estimates.residuals.marks[star] = mark(estimates.flags[star]);
            }
        }
        self.add_confidences(observations, &mut estimates)?;
        reached(FitStage::Description)?;
        Ok(estimates)
    }
}

/// What the fit of some of the stars needs.
struct Block<'a> {
    problem: &'a Problem<'a>,
    posterior: &'a Posterior<'a>,
    /// Without the Jacobians of the options.
    natural: &'a Problem<'a>,
    natural_posterior: &'a Posterior<'a>,
    sampler: &'a Sampler<'a>,
    /// Fits of two stars, where there are any.
    pairs: Option<&'a (&'a PairFits, &'a Problem<'a>, Posterior<'a>)>,
    bounds: &'a Bounds,
    separations: &'a Separations,
    observations: &'a Observations,
    /// Of every star.
    n_fluxes: &'a [usize],
    /// Starts of every star that another model gave one; empty without such a model.
    guided: &'a [Option<Array2<f64>>],
    fitter: &'a Fitter,
}

impl Block<'_> {
    fn fit(&self, stars: &[usize], reached: Reached<'_>) -> Result<Vec<Part>> {
        reached(FitStage::Begun)?;
        let options = self.fitter.options();
        let breadth = |&star: &usize| Breadth::new(self.distance_signal(star), self.n_fluxes[star], &options.start);
        let breadths: Vec<Breadth> = stars.iter().map(breadth).collect();
        let (model, constraints) = (self.problem.model, &self.problem.constraints);
        let drawn = |stars: &[usize], breadths: &[Breadth]| {
            self.fitter.starts.starts(model, self.observations, constraints, (stars, breadths))
        };
        let starts = match self.guided {
            [] => drawn(stars, &breadths),
            guided => {
                let each = stars.iter().zip(&breadths).map(|(&star, &breadth)| match &guided[star] {
                    Some(start) => start.clone(),
                    None => drawn(&[star], &[breadth]).swap_remove(0),
                });
                each.collect()
            }
        };
        reached(FitStage::Start)?;
        let searches = Searches::run(self.posterior, stars, (&starts, &breadths), (self.bounds, self.separations), options)?;
        reached(FitStage::Optimum { n_evaluations: searches.n_evaluations() })?;
        // After a search on an accelerator, still only so many stars at a time.
        let together = self.posterior.batch(self.fitter.options().chunk);
        let parts = stars.chunks(together).enumerate().map(|(k, stars)| self.describe(stars, k * together, &searches));
        let mut parts = parts.collect::<Result<Vec<_>>>()?;
        reached(FitStage::Description)?;
        if options.posterior.method == PosteriorMethod::Importance {
            parts.iter_mut().try_for_each(|part| self.sample(part))?;
            reached(FitStage::Posterior)?;
        }
        if let Some((pairs, problem, posterior)) = self.pairs {
            let model = self.problem.model;
            for part in &mut parts {
                part.pairs = pairs.fit((problem, posterior), part, model, |star| breadth(&star))?;
            }
            reached(FitStage::Posterior)?;
        }
        Ok(parts)
    }

    /// Posteriors by weighted draws.
    fn sample(&self, part: &mut Part) -> Result<()> {
        let least = self.fitter.options().posterior.least_effective;
        let derived = &self.fitter.derived;
        let derive = |index: usize, values: &[f64]| derived[index].value(values);
        let mut slices = self.sampler.slices()?;
        for (i, &star) in part.stars.iter().enumerate() {
            let widening: Vec<f64> = part.widening.index_axis(Axis(0), i).iter().copied().collect();
            let found = match &part.modes[i] {
                Some(modes) => Some(self.sampler.star(&mut slices, star, modes, &widening, (derived.len(), &derive))?),
                None => None,
            };
            let is_poor = found.as_ref().is_none_or(|found| {
                found.effective_size < least || found.effective_size.is_nan() || found.tail_shape > UNRELIABLE_TAIL
            });
            part.flags[i] |= if is_poor { flags::POOR_SAMPLE } else { 0 };
            part.sampled.push(found);
        }
        Ok(())
    }

    /// The modes of the stars of a part, where they are told: those with several, and all where posteriors
    /// are sampled.
    fn modes(&self, stars: &[usize], optima: &[Vec<Search<'_>>]) -> Result<Vec<Option<Modes>>> {
        let samples = self.fitter.options().posterior.method == PosteriorMethod::Importance;
        let is_told = |optima: &[Search<'_>]| (samples || optima.len() > 1) && optima.iter().all(|o| o.loss().is_finite());
        let f = self.posterior.free().len();
        let (mut members, mut flat) = (Vec::new(), Vec::new());
        for (&star, optima) in stars.iter().zip(optima).filter(|(_, optima)| is_told(optima)) {
            for optimum in optima {
                members.push(star);
                flat.extend(self.posterior.free().iter().enumerate().map(|(p, &position)| {
                    let value = self.problem.model.space.parameters[position].model_value(optimum.coordinate(p));
                    self.natural.model.space.parameters[position].coordinate(value)
                }));
            }
        }
        let shape = |error: ndarray::ShapeError| Error::numerical("modes of stars").source(error);
        let coordinates = Array2::from_shape_vec((members.len(), f), flat).map_err(shape)?;
        let mut found = Modes::of(self.natural, self.natural_posterior, &members, coordinates.view())?.into_iter();
        Ok(optima.iter().map(|optima| if is_told(optima) { found.next() } else { None }).collect())
    }

    /// ϖ/σ of a star as far as it enters, infinite where the distance is held or plays no role.
    fn distance_signal(&self, star: usize) -> f64 {
        let space = &self.problem.model.space;
        let position = space.distance_position().filter(|position| self.posterior.free().contains(position));
        let Some(position) = position else { return f64::INFINITY };
        let name = &space.parameters[position].name;
        let measured = self.observations.constraint(name, star).filter(|_| self.problem.constraints.contains(name));
        measured.map_or(0.0, |(value, error)| value / error)
    }

    /// Covariances, exact Hessians and flags at the best optima; the searches of the `stars` stand from row
    /// `first` on.
    fn describe(&self, stars: &[usize], first: usize, searches: &Searches) -> Result<Part> {
        let Self { problem, posterior, observations, fitter, .. } = *self;
        let (model, trained, options) = (problem.model, fitter.trained(), fitter.options());
        let (n, f) = (stars.len(), posterior.free().len());
        let best: Vec<Search<'_>> = (0..n).map(|i| searches.best(first + i)).collect();
        let free = Array2::from_shape_fn((n, f), |(i, p)| best[i].coordinate(p));
        let all = posterior.all_coordinates(stars, free.view());
        let file_factor: Vec<f64> = model.space.parameters.iter().map(|p| p.model_units_per_file_unit).collect();
        let values = problem.values(&(0..model.space.len()).collect::<Vec<_>>(), all.view());
        let local =
            posterior.local(stars, free.view(), LocalParts { hessian: options.exact_hessian, whitened: fitter.judges })?;
        let degrees_of_freedom = self.degrees_of_freedom(stars, &best, &free, &local)?;
        let Local { chi_square, information, hessian, whitened, .. } = local;
        let Covariances { information, covariance, shared, widening } =
            problem.covariances(posterior, stars, free.view(), information)?;
        let eigenvalue = match hessian {
            None => vec![f64::NAN; n],
            Some(hessian) => (0..n).map(|i| smallest_inside(hessian.index_axis(Axis(0), i), free.row(i), self.bounds)).collect(),
        };
        let ln_prior = (0..n)
            .map(|i| {
                trained.prior.ln_density(&fitter.labels.iter().map(|&p| values[[i, p]] * file_factor[p]).collect::<Vec<_>>())
            })
            .collect();
        let optima: Vec<Vec<Search<'_>>> = (0..n).map(|i| searches.modes(first + i, best[i], self.separations)).collect();
        let modes = self.modes(stars, &optima)?;
        let second: Vec<Option<Search<'_>>> = optima.iter().map(|optima| optima.get(1).copied()).collect();
        let second_weight =
            modes.iter().map(|modes| modes.as_ref().and_then(|m| m.weights().get(1).copied()).unwrap_or(f64::NAN));
        let second_delta_loss =
            second.iter().zip(&best).map(|(second, best)| second.map_or(f64::NAN, |s| s.loss() - best.loss()));
        let second_coordinates =
            Array2::from_shape_fn((n, f), |(i, p)| second[i].map_or(f64::NAN, |second| second.coordinate(p)));
        let mut part = Part {
            derived: (0..n)
                .map(|i| {
                    let of_model: Vec<f64> =
                        values.row(i).iter().zip(&file_factor).map(|(value, factor)| value * factor).collect();
                    fitter.derived.iter().map(|column| column.value(&of_model)).collect()
                })
                .collect(),
            loss: best.iter().map(Search::loss).collect(),
            n_iterations: best.iter().map(Search::n_iterations).collect(),
            flags: vec![0; n],
            stars: stars.to_vec(),
            second: problem.values(posterior.free(), second_coordinates.view()),
            second_delta_loss: second_delta_loss.collect(),
            second_weight: second_weight.collect(),
            modes,
            shared,
            widening,
            sampled: Vec::new(),
            pairs: Vec::new(),
            residuals: Responses::none(0, &fitter.groups, &fitter.judged),
            degrees_of_freedom,
            values,
            coordinates: all,
            covariance,
            information,
            chi_square,
            ln_prior,
            eigenvalue,
        };
        let quality = Quality {
            model,
            trained,
            observations,
            free: posterior.free(),
            constraints: &problem.constraints,
            amounts: &fitter.setup.amounts,
            bounds: self.bounds,
        };
        for (i, best) in best.iter().enumerate() {
            part.flags[i] = quality.flags(&part, i, best.status());
        }
        if let Some((flux, normal)) = &whitened {
            let (groups, constraints) = (&fitter.groups, &fitter.judged);
            part.residuals =
                ResidualMaker { problem, posterior, observations, groups, constraints }.of(&part, free.view(), (flux, normal));
        }
        Ok(part)
    }

    /// Finite fluxes of the stars less the number of parameters fitted to them at the `best` optima, whose
    /// `free` coordinates are `[n, F]`.
    fn degrees_of_freedom(&self, stars: &[usize], best: &[Search<'_>], free: &Array2<f64>, local: &Local) -> Result<Vec<f64>> {
        let left_behind: Option<Vec<ArrayView2<'_, f64>>> = best.iter().map(Search::curvature).collect();
        let evaluated = match left_behind {
            Some(_) => None,
            None => Some(self.posterior.normal_equations(stars, free.view())?.curvature),
        };
        let of_star = |(i, &star): (usize, &usize)| {
            let total = match (&left_behind, &evaluated) {
                (Some(curvatures), _) => curvatures[i],
                (None, Some(curvatures)) => curvatures.index_axis(Axis(0), i),
                (None, None) => local.flux_curvature.index_axis(Axis(0), i),
            };
            let moving = self.bounds.inside(free.row(i));
            let fitted = fitted_to_flux(local.flux_curvature.index_axis(Axis(0), i), total, &moving);
            self.n_fluxes[star] as f64 - fitted
        };
        Ok(stars.iter().enumerate().map(of_star).collect())
    }
}

/// The smallest eigenvalue of a Hessian `[F, F]` over the coordinates that are not on a bound, where an
/// optimum need not be flat; infinite where all are.
fn smallest_inside(hessian: ArrayView2<'_, f64>, coordinates: ArrayView1<'_, f64>, bounds: &Bounds) -> f64 {
    let inside = bounds.inside(coordinates);
    let elements: Vec<f64> = inside.iter().flat_map(|&p| inside.iter().map(move |&q| hessian[[p, q]])).collect();
    if inside.is_empty() { f64::INFINITY } else { smallest_eigenvalue(&elements, inside.len()) }
}

/// Rows of NaN, for stars that cannot be fitted.
fn empty(fitter: &Fitter, posterior: &Posterior<'_>, observations: &Observations, n_fluxes: &[usize]) -> Estimates {
    let model = &fitter.setup.model;
    let (n, p, f) = (observations.len(), model.space.len(), posterior.free().len());
    let nan = || vec![f64::NAN; n];
    let describe = |parameter: &Parameter| (parameter.name.clone(), parameter.unit.clone(), parameter.description.clone());
    let core = catalogue::Estimates {
        ids: observations.ids.clone(),
        parameters: model.space.parameters.iter().map(describe).collect(),
        fitted: posterior.free().to_vec(),
        values: Array2::from_elem((n, p), f64::NAN),
        covariance: Array3::from_elem((n, f, f), f64::NAN),
        flags: vec![flags::NOT_FITTED; n],
    };
    Estimates {
        core,
        coordinates: Array2::from_elem((n, p), f64::NAN),
        information: Array3::from_elem((n, f, f), f64::NAN),
        shared: (fitter.options().model_error && model.calibration.is_some()).then(|| Array3::from_elem((n, f, f), f64::NAN)),
        chi_square: nan(),
        n_fluxes: n_fluxes.iter().map(|&n| n as i32).collect(),
        degrees_of_freedom: nan(),
        ln_prior: nan(),
        ln_posterior: nan(),
        smallest_eigenvalue: nan(),
        n_iterations: vec![0; n],
        derived: fitter.derived.iter().map(|column| (column.derived.clone(), nan())).collect(),
        second: Array2::from_elem((n, f), f64::NAN),
        second_delta_loss: nan(),
        second_weight: nan(),
        confidence: Vec::new(),
        posterior: (fitter.options().posterior.method == PosteriorMethod::Importance)
            .then(|| SampledPosterior::empty(n, f, fitter.derived.len())),
        second_star: fitter.pairs.as_ref().map(|pairs| pairs.empty(n)),
        residuals: Responses::none(if fitter.judges { n } else { 0 }, &fitter.groups, &fitter.judged),
    }
}
