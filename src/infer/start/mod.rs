//! Starting points: draws of the prior scored against the data in ln flux, where dust and distance are
//! linear.
//!
//! The published method evaluates 512 draws × 61 extinctions with the full covariance, about 2 GFLOP a star.
//! Here ln flux of a draw is linear in E and ln ϖ (for any effect: linearised there), so that the best E and
//! ϖ of each draw follow from a small weighted least-squares problem on a dozen pooled wavelengths, for many
//! draws at once. Extinction needs no grid.
//!
//! Good draws that differ as much as can be are moved towards the optima that they lead to, by a Gauss–Newton
//! step of all parameters on the same pooled wavelengths. Draws of one basin come together there; the best is
//! one start, and candidates that end elsewhere, nearly as well, are others (a dwarf for a giant). A star
//! whose candidates agree has one start.
//!
//! | file | concept |
//! |---|---|
//! | `star` | pooled fluxes of a star, and its measured parameters |
//! | `score` | scores of all draws |
//! | `spread` | a few good draws that differ |
//! | `refine` | from them to the optima they lead to |
//! | `choose` | which of them are starts |

mod choose;
mod refine;
mod score;
mod spread;
mod star;

use super::breadth::{Breadth, excess};
use super::options::StartOptions;
use crate::error::Result;
use crate::model::{ForwardModel, ParameterSpace, Transform};
use crate::observations::Observations;
use crate::prior::GaussianMixture;
use crate::tensor::lanes::{Block, LANES, floats, padded};
use crate::tensor::{Order, to_f64};
use choose::{Candidate, choose};
use ndarray::{Array2, ArrayView1, Axis};
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use refine::{Candidates, Surroundings};
use score::{Draws, Scores};
use spread::Spread;
use star::Star;

/// Greatest width of a pool of neighbouring wavelengths by default, Δ ln λ, …
const WIDEST_POOL: f64 = 0.08;
/// … and pools that a spectrum has at least for every parameter that the starts move, however short it is.
const POOLS_PER_PARAMETER: f64 = 2.0;
/// A fit of a logarithm starts from no less than this fraction of the parameter's own start.
const SMALLEST: f64 = 0.1;
/// Labels and linear parameters that the search for starts moves; others stay where the draw, or the
/// reference, has them.
const MOST_PARAMETERS: usize = 16;
/// Linear parameters among them; amounts of dust and the distance are the last to be left out.
const MOST_LINEAR: usize = 8;

/// Scored draws of a model's prior.
pub(super) struct StartGrid {
    options: StartOptions,
    pools: Vec<Vec<usize>>,
    /// Coordinates of all parameters `[D, P]`: labels of the draw, everything else at its reference.
    coordinates: Array2<f64>,
    draws: Draws,
    surroundings: Surroundings,
    /// The parameters in which ln flux is linear: free and no labels.
    linear: Vec<Linear>,
    /// Positions of the free labels.
    labels: Vec<usize>,
}

struct Linear {
    position: usize,
    /// Value at the reference.
    reference: f64,
    /// ln x (of the distance parameter) or x (of all others) is the linear quantity.
    logarithmic: bool,
    /// Whether it cannot be negative.
    is_amount: bool,
    /// Smallest value from which a fit starts, where it is an amount or moved as a logarithm.
    smallest: f64,
}

/// Working memory for one star at a time.
#[derive(Default)]
struct Work {
    star: Star,
    scores: Scores,
    spread: Spread,
    candidates: Candidates,
    rivals: Vec<Candidate>,
    chosen: Vec<usize>,
}

impl StartGrid {
    /// Draws from `prior` evaluated with `model`; parameters in `held` keep the coordinates of `fixed [P]`.
    /// Where the prior `enters` the fit it enters the scores; otherwise nothing speaks against labels where
    /// there are few stars, and half of the draws are spread evenly over the training range.
    ///
    /// # Errors
    /// When the prior has a parameter that the model lacks, or the model cannot be evaluated.
    pub fn new(
        model: &ForwardModel,
        prior: &GaussianMixture,
        (held, fixed): (&[usize], &[f64]),
        (options, enters): (&StartOptions, bool),
    ) -> Result<Self> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(options.seed);
        let n_draws = options.draws_of(model.grid.len());
        let mut draws = prior.sample(n_draws, &mut random);
        let space = &model.space;
        let of_prior: Vec<usize> = prior.parameters().iter().map(|name| space.position(name)).collect::<Result<_>>()?;
        if !enters {
            spread_evenly(&mut draws, &of_prior, space, &mut random);
        }
        for (k, &position) in of_prior.iter().enumerate().filter(|(_, position)| held.contains(position)) {
            draws.column_mut(k).fill(space.parameters[position].model_value(fixed[position]));
        }
        let labels: Vec<usize> =
            of_prior.iter().copied().filter(|position| !held.contains(position)).take(MOST_PARAMETERS - MOST_LINEAR).collect();
        let others = (0..space.len()).filter(|p| !of_prior.contains(p) && !held.contains(p));
        let mut reference = fixed.to_vec();
        let mut linear: Vec<Linear> = others.map(|position| Linear::new(space, position, &mut reference)).collect();
        linear.sort_by_key(|linear| (linear.is_amount, linear.logarithmic));
        linear.drain(..linear.len().saturating_sub(MOST_LINEAR));
        let coordinates = Array2::from_shape_fn((n_draws, space.len()), |(draw, position)| {
            match of_prior.iter().position(|&label| label == position) {
                Some(label) if !held.contains(&position) => space.parameters[position].coordinate(draws[[draw, label]]),
                _ => reference[position],
            }
        });
        let pools = pools(&model.grid.wavelength, options.pool_width, labels.len() + linear.len());
        let mut losses = match enters {
            true => PriorLosses::new(prior, &of_prior, &labels, space, &draws, &coordinates),
            false => PriorLosses::none(n_draws, labels.len()),
        };
        let least = losses.loss.iter().copied().fold(f64::INFINITY, f64::min);
        losses.loss.iter_mut().for_each(|loss| *loss -= least);
        let mut pooled = Pooled::new(model, &coordinates, &pools, &labels, &linear)?;
        let middle: Vec<f64> =
            pooled.ln_flux.columns().into_iter().map(|of_pool| mean_of_finite(of_pool.iter().copied())).collect();
        pooled
            .ln_flux
            .rows_mut()
            .into_iter()
            .for_each(|mut row| row.iter_mut().zip(&middle).for_each(|(x, middle)| *x -= middle));
        let scored = Draws {
            ln_flux: pooled.ln_flux.columns().into_iter().flat_map(|of_pool| filled_up(of_pool, 0.0)).collect(),
            middle,
            prior_loss: filled_up(ArrayView1::from(&losses.loss), f32::INFINITY),
            labels: labels.iter().map(|&position| filled_up(coordinates.column(position), 0.0)).collect(),
            slopes: pooled.linear_slopes,
        };
        let surroundings = Surroundings::new(
            pools.len(),
            labels.len(),
            (0..n_draws).map(|draw| (row(&pooled.ln_flux, draw), row(&pooled.label_slopes, draw), losses.of(draw))),
        );
        Ok(Self { options: *options, pools, coordinates, draws: scored, surroundings, linear, labels })
    }

    /// The starting points `[n, P]` of the named stars, best first, with how widely each is searched.
    pub fn starts(
        &self,
        model: &ForwardModel,
        observations: &Observations,
        constraints: &[String],
        (stars, breadths): (&[usize], &[Breadth]),
    ) -> Vec<Array2<f64>> {
        let start = |work: &mut Work, (&star, &breadth): (&usize, &Breadth)| {
            self.starts_of(model, observations, constraints, (star, breadth), work)
        };
        stars.par_iter().zip(breadths).with_min_len(512).map_init(Work::default, start).collect()
    }

    fn starts_of(
        &self,
        model: &ForwardModel,
        data: &Observations,
        constraints: &[String],
        (star, mut breadth): (usize, Breadth),
        work: &mut Work,
    ) -> Array2<f64> {
        work.star.observe(data, star, &self.pools, &model.space, (&self.linear, &self.labels), constraints);
        self.draws.score(&work.star, &self.linear, &mut work.scores);
        let candidates = &mut work.candidates;
        let luminosity = self.linear.iter().position(|linear| linear.logarithmic);
        let mut gather = |breadth: Breadth, candidates: &mut Candidates| {
            work.scores.best(breadth.draws, &mut candidates.draws);
            work.spread.choose(&self.draws, &work.scores, luminosity, breadth.candidates, &mut candidates.draws);
            self.surroundings.refine(&work.star, &self.draws, &self.linear, &work.scores, candidates);
            candidates.scores().iter().copied().fold(f32::INFINITY, f32::min)
        };
        let best = gather(breadth, candidates);
        // Once more, more widely, for a star that the model does not fit.
        let excess = excess(f64::from(best), work.star.pools.len());
        if excess > 1.0 && excess.is_finite() {
            breadth = breadth.of_poor_fit(excess, &self.options);
            gather(breadth, candidates);
        }
        self.choose(candidates, luminosity, breadth, (&mut work.rivals, &mut work.chosen));
        let n = self.labels.len();
        let mut starts = Array2::zeros((work.chosen.len(), model.space.len()));
        for (&candidate, mut start) in work.chosen.iter().zip(starts.rows_mut()) {
            start.assign(&self.coordinates.row(candidates.draws[candidate]));
            for (k, &position) in self.labels.iter().enumerate() {
                start[position] += f64::from(candidates.position(k, candidate));
            }
            for (l, linear) in self.linear.iter().enumerate() {
                let value = linear.reference + f64::from(candidates.position(n + l, candidate));
                let parameter = &model.space.parameters[linear.position];
                let value = match linear.logarithmic {
                    true => value.clamp(-12.0, 12.0).exp(),
                    false if parameter.transform == Transform::Logarithm => value.max(linear.smallest),
                    false => value,
                };
                start[linear.position] = parameter.coordinate(value);
            }
        }
        starts
    }

    /// Sets `chosen` to the candidates that are starts, best first.
    fn choose(
        &self,
        candidates: &Candidates,
        luminosity: Option<usize>,
        breadth: Breadth,
        (rivals, chosen): (&mut Vec<Candidate>, &mut Vec<usize>),
    ) {
        let n = self.labels.len();
        rivals.clear();
        rivals.extend(candidates.scores().iter().enumerate().map(|(index, &score)| Candidate {
            index,
            score: if score.is_finite() { score } else { f32::INFINITY },
            ln_parallax: luminosity.map_or(0.0, |l| candidates.position(n + l, index)),
        }));
        let label =
            |k: usize, index: usize| floats(&self.draws.labels[k])[candidates.draws[index]] + candidates.position(k, index);
        let separation = |a: usize, b: usize| (0..n).map(|k| (label(k, a) - label(k, b)).powi(2)).sum::<f32>().sqrt();
        choose(rivals, breadth, &self.options, separation, chosen);
    }
}

impl Linear {
    /// The smallest amount, relative to the reference.
    fn limit(&self) -> f64 {
        self.smallest - self.reference
    }

    /// The linear parameter at `position`, whose reference coordinate is set.
    fn new(space: &ParameterSpace, position: usize, reference: &mut [f64]) -> Self {
        let parameter = &space.parameters[position];
        let (logarithmic, is_amount) = (parameter.is_distance(), parameter.is_amount());
        // ln flux is linear in an amount that is moved as itself, from zero on.
        let is_from_zero = is_amount && parameter.transform == Transform::Identity;
        reference[position] = if is_from_zero { parameter.coordinate(0.0) } else { parameter.start_coordinate() };
        let value = parameter.model_value(reference[position]);
        let reference = if logarithmic { value.ln() } else { value };
        Self { position, reference, logarithmic, is_amount, smallest: SMALLEST * parameter.start }
    }
}

/// −2 ln p of every draw with gradient `[D, n]` and curvature `[D, n · n]` in the coordinates of the labels.
struct PriorLosses {
    loss: Vec<f64>,
    gradient: Array2<f64>,
    curvature: Array2<f64>,
}

impl PriorLosses {
    /// Of a prior that does not enter.
    fn none(n_draws: usize, n: usize) -> Self {
        Self { loss: vec![0.0; n_draws], gradient: Array2::zeros((n_draws, n)), curvature: Array2::zeros((n_draws, n * n)) }
    }

    /// At `draws [D, parameters of the prior]`, with the `coordinates [D, P]` of all parameters.
    fn new(
        prior: &GaussianMixture,
        of_prior: &[usize],
        labels: &[usize],
        space: &ParameterSpace,
        draws: &Array2<f64>,
        coordinates: &Array2<f64>,
    ) -> Self {
        let (m, n) = (of_prior.len(), labels.len());
        let place = |position: &usize| of_prior.iter().position(|other| other == position).unwrap_or_default();
        let places: Vec<usize> = labels.iter().map(place).collect();
        let (mut loss, mut work) = (Vec::with_capacity(draws.nrows()), prior.work());
        let (mut gradients, mut curvatures) = (Array2::zeros((draws.nrows(), n)), Array2::zeros((draws.nrows(), n * n)));
        for (draw, values) in draws.rows().into_iter().enumerate() {
            let (mut gradient, mut curvature) = (vec![0.0; m], vec![0.0; m * m]);
            loss.push(prior.add_loss(&values.to_vec(), &mut gradient, &mut curvature, &mut work));
            let slope = |k: usize| space.parameters[labels[k]].model_value_slope(coordinates[[draw, labels[k]]]);
            for i in 0..n {
                gradients[[draw, i]] = gradient[places[i]] * slope(i);
                for j in 0..n {
                    curvatures[[draw, i * n + j]] = curvature[places[i] * m + places[j]] * slope(i) * slope(j);
                }
            }
        }
        Self { loss, gradient: gradients, curvature: curvatures }
    }

    fn of(&self, draw: usize) -> (f64, &[f64], &[f64]) {
        (self.loss[draw], row(&self.gradient, draw), row(&self.curvature, draw))
    }
}

/// ln of the pooled flux of every draw `[D, G]`, its slopes in the labels `[D, n · G]`, and in the linear
/// parameters, the mean over draws `[L][G]`.
struct Pooled {
    ln_flux: Array2<f64>,
    label_slopes: Array2<f64>,
    linear_slopes: Vec<Vec<f64>>,
}

impl Pooled {
    fn new(
        model: &ForwardModel,
        coordinates: &Array2<f64>,
        pools: &[Vec<usize>],
        labels: &[usize],
        linear: &[Linear],
    ) -> Result<Self> {
        let (n_draws, w, g, n) = (coordinates.nrows(), model.grid.len(), pools.len(), labels.len());
        let free: Vec<usize> = labels.iter().copied().chain(linear.iter().map(|linear| linear.position)).collect();
        let flat: Vec<f64> = coordinates.iter().copied().collect();
        let jet = model.flux(model.device().tensor(&flat, [n_draws, model.space.len()]), &free, Order::First)?;
        let flux = to_f64(jet.value.clone());
        let tangents = jet.jacobian(free.len()).map_or_else(Vec::new, to_f64);
        let mean = |values: &[f64], pool: &[usize]| pool.iter().map(|&i| values[i]).sum::<f64>() / pool.len() as f64;
        let pooled = |draw: usize, pool: usize| mean(&flux[draw * w..(draw + 1) * w], &pools[pool]);
        let slope = |draw: usize, f: usize, pool: usize| {
            let start = (draw * free.len() + f) * w;
            mean(&tangents[start..start + w], &pools[pool]) / pooled(draw, pool)
        };
        let linear_slope = |l: usize, draw: usize, pool: usize| {
            let Linear { position, reference, logarithmic, .. } = linear[l];
            let scale = if logarithmic { reference.exp() } else { 1.0 };
            slope(draw, n + l, pool) * scale / model.space.parameters[position].model_value_slope(coordinates[[draw, position]])
        };
        let mean_slope = |l: usize, pool: usize| mean_of_finite((0..n_draws).map(|draw| linear_slope(l, draw, pool)));
        Ok(Self {
            ln_flux: Array2::from_shape_fn((n_draws, g), |(draw, pool)| pooled(draw, pool).ln()),
            label_slopes: Array2::from_shape_fn((n_draws, n * g), |(draw, i)| slope(draw, i / g, i % g)),
            linear_slopes: (0..linear.len()).map(|l| (0..g).map(|pool| mean_slope(l, pool)).collect()).collect(),
        })
    }
}

/// The mean of the finite values; zero without any.
fn mean_of_finite(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.filter(|value| value.is_finite()).fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    if n > 0 { sum / f64::from(n) } else { 0.0 }
}

/// A row of an array that is laid out row by row.
fn row(array: &Array2<f64>, index: usize) -> &[f64] {
    array.index_axis(Axis(0), index).to_slice().unwrap_or_default()
}

/// An even number of blocks, filled up with `filling` beyond the last draw.
fn filled_up(of_draws: ArrayView1<'_, f64>, filling: f32) -> Vec<Block> {
    let n = of_draws.len().next_multiple_of(2 * LANES);
    padded(of_draws.iter().map(|&x| x as f32).chain(std::iter::repeat(filling)).take(n))
}

/// Every other of the `draws [D, parameters of the prior]` anywhere in the training range, where a label has
/// one.
fn spread_evenly(draws: &mut Array2<f64>, of_prior: &[usize], space: &ParameterSpace, random: &mut impl Rng) {
    for mut draw in draws.rows_mut().into_iter().skip(1).step_by(2) {
        for (x, &position) in draw.iter_mut().zip(of_prior) {
            if let Some([low, high]) = space.parameters[position].training_range.filter(|[low, high]| low < high) {
                *x = random.gen_range(low..high);
            }
        }
    }
}

/// Neighbouring wavelengths within a width in ln λ, in order of wavelength; by default so wide that a
/// spectrum moves `n_parameters`.
fn pools(wavelength: &[f64], width: Option<f64>, n_parameters: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..wavelength.len()).collect();
    order.sort_by(|&a, &b| wavelength[a].total_cmp(&wavelength[b]));
    let span = order.first().zip(order.last()).map_or(0.0, |(&first, &last)| (wavelength[last] / wavelength[first]).ln());
    let width = width.unwrap_or_else(|| WIDEST_POOL.min(span / (POOLS_PER_PARAMETER * n_parameters.max(1) as f64)));
    let mut pools: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match pools.last_mut() {
            Some(pool) if (wavelength[i] / wavelength[pool[0]]).ln() < width => pool.push(i),
            _ => pools.push(vec![i]),
        }
    }
    pools
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Parameter;

    #[test]
    fn short_spectra_have_pools_enough() {
        let grid = |low: f64, high: f64, n: usize| -> Vec<f64> {
            (0..n).map(|i| low + (high - low) * i as f64 / (n - 1) as f64).collect()
        };
        let n = |wavelength: &[f64], width| pools(wavelength, width, 5).len();
        let xp = grid(392.0, 992.0, 61);
        assert_eq!(n(&xp, None), n(&xp, Some(0.08)), "a long one has the widest");
        let calcium = grid(846.0, 870.0, 600);
        assert_eq!((n(&calcium, Some(0.08)), n(&calcium, None)), (1, 10));
        assert_eq!((n(&[500.0], None), n(&[], None)), (1, 0));
    }

    #[test]
    fn draws_without_the_prior_go_where_it_would_not() {
        let label = |name: &str, range| Parameter { training_range: range, ..Parameter::label(name) };
        let space = ParameterSpace { parameters: vec![label("teff", Some([4.0, 8.0])), label("feh", None)] };
        let mut draws = Array2::from_elem((400, 2), -7.0);
        spread_evenly(&mut draws, &[0, 1], &space, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
        assert!(draws.column(1).iter().all(|&feh| feh == -7.0), "a label without a range has the prior's draws");
        let (even, odd): (Vec<f64>, Vec<f64>) = (0..200).map(|i| (draws[[2 * i, 0]], draws[[2 * i + 1, 0]])).unzip();
        assert!(even.iter().all(|&teff| teff == -7.0), "half are the prior's");
        let quarter = |k: usize| odd.iter().filter(|&&teff| (teff - 4.0).floor() as usize == k).count();
        assert!((0..4).all(|k| (25..80).contains(&quarter(k))), "{odd:?}");
    }
}
