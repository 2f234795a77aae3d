//! Starting points: draws of the prior scored against the data in ln flux, where dust and distance are linear.
//!
//! The published method evaluates 512 draws × 61 extinctions with the full covariance, about 2 GFLOP a star. Here ln flux of a
//! draw is linear in E and ln ϖ (for any effect: linearised there), so that the best E and ϖ of each draw follow from a small
//! weighted least-squares problem on a dozen pooled wavelengths, for eight draws at once. With the choice among them that takes 21 µs a star
//! (`photosphere bench`). Extinction needs no grid.
//!
//! The best draw is the first start. Other starts are draws nearly as good that stand for another luminosity (a dwarf for a
//! giant) or for other labels; a star whose best draw has no rival has one start.

mod score;

use super::options::StartOptions;
use crate::error::Result;
use crate::model::{ForwardModel, Transform};
use crate::observations::Observations;
use crate::prior::GaussianMixture;
use crate::tensor::lanes::{Block, LANES, padded};
use crate::tensor::{Order, to_f64};
use ndarray::Array2;
use rand::SeedableRng;
use rayon::prelude::*;
use score::{Draws, MOST_LINEAR, Scores, Star};

/// Width of a pool of neighbouring wavelengths, Δ ln λ.
const POOL_WIDTH: f64 = 0.08;
/// Error of ln flux added for the distance of a star to the nearest draw.
const DRAW_SPACING: f64 = 0.05;
/// Pools with a smaller signal-to-noise ratio are left out: their logarithm says nothing.
const MINIMUM_SIGNAL: f64 = 2.0;
/// Distance in standardised labels from which two starts count as different.
const OTHER_LABELS: f64 = 0.8;
/// |Δ ln ϖ| from which two starts count as stars of different luminosity (a factor of two).
const OTHER_LUMINOSITY: f64 = 0.35;
/// Smallest E from which a fit of ln E starts.
const SMALLEST_EXTINCTION: f64 = 0.01;
/// A draw whose score is worse than the best by more than this is no start.
const RIVAL: f32 = 40.0;

/// Scored draws of a model's prior.
pub(super) struct StartGrid {
    pools: Vec<Vec<usize>>,
    /// Coordinates of all parameters `[D, P]`: labels of the draw, everything else at its reference.
    coordinates: Array2<f64>,
    draws: Draws,
    /// The parameters in which ln flux is linear: free and no labels.
    linear: Vec<Linear>,
    /// Positions of the labels.
    labels: Vec<usize>,
    /// Standardised labels of the draws, `[D, labels]`.
    standardised: Vec<f64>,
    runs: usize,
}

struct Linear {
    position: usize,
    /// Value at the reference.
    reference: f64,
    /// ln x (parallax) or x (extinction) is the linear quantity.
    logarithmic: bool,
    /// Whether it cannot be negative.
    is_amount: bool,
}

/// Working memory for one star at a time.
#[derive(Default)]
struct Work {
    star: Star,
    scores: Scores,
    rivals: Vec<Rival>,
    chosen: Vec<usize>,
}

/// A draw nearly as good as the best.
struct Rival {
    draw: usize,
    score: f32,
    ln_parallax: f64,
    /// Whether its luminosity, or its labels, differ from those of all chosen draws.
    other_luminosity: bool,
    other_labels: bool,
}

impl StartGrid {
    /// Draws from `prior` evaluated with `model`; parameters in `held` keep the coordinates of `fixed [P]`.
    pub fn new(
        model: &ForwardModel,
        prior: &GaussianMixture,
        held: &[usize],
        fixed: &[f64],
        options: &StartOptions,
    ) -> Result<Self> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(options.seed);
        let mut draws = prior.sample(options.draws, &mut random);
        let space = &model.space;
        let labels: Vec<usize> = prior.parameters().iter().map(|name| space.position(name)).collect::<Result<_>>()?;
        for (k, &position) in labels.iter().enumerate().filter(|(_, position)| held.contains(position)) {
            draws.column_mut(k).fill(space.parameters[position].model_value(fixed[position]));
        }
        let others: Vec<usize> = (0..space.len()).filter(|p| !labels.contains(p) && !held.contains(p)).collect();
        let mut reference = fixed.to_vec();
        for &position in &others {
            let parameter = &space.parameters[position];
            reference[position] = match (parameter.name.as_str(), parameter.transform) {
                ("parallax", _) => parameter.coordinate(1.0),
                (_, Transform::Logarithm) => parameter.coordinate(0.1),
                (_, Transform::Identity) => 0.0,
            };
        }
        let coordinates = Array2::from_shape_fn((options.draws, space.len()), |(draw, position)| {
            match labels.iter().position(|&label| label == position) {
                Some(label) if !held.contains(&position) => space.parameters[position].coordinate(draws[[draw, label]]),
                _ => reference[position],
            }
        });
        let linear: Vec<Linear> = others
            .iter()
            .take(MOST_LINEAR)
            .map(|&position| {
                let parameter = &space.parameters[position];
                let value = parameter.model_value(reference[position]);
                let logarithmic = parameter.name == "parallax";
                let is_amount = parameter.name == "extinction" || (!logarithmic && parameter.transform == Transform::Logarithm);
                Linear { position, reference: if logarithmic { value.ln() } else { value }, logarithmic, is_amount }
            })
            .collect();
        let mut prior_loss: Vec<f64> = draws.rows().into_iter().map(|row| -2.0 * prior.ln_density(&row.to_vec())).collect();
        let least = prior_loss.iter().copied().fold(f64::INFINITY, f64::min);
        prior_loss.iter_mut().for_each(|loss| *loss -= least);
        let pools = pools(&model.grid.wavelength);
        let file_value = |k: usize, value: f64| (value / space.parameters[labels[k]].model_units_per_file_unit) as f32;
        let columns = |k: usize| padded(draws.column(k).iter().map(|&value| file_value(k, value)));
        let mut scored = Draws {
            ln_flux: Vec::new(),
            prior_loss: filled_up(&prior_loss),
            labels: (0..labels.len()).map(columns).collect(),
            slopes: Vec::new(),
        };
        evaluate(model, &coordinates, &pools, &linear, &mut scored)?;
        let standardised = coordinates.select(ndarray::Axis(1), &labels).iter().copied().collect();
        Ok(Self { pools, coordinates, draws: scored, linear, labels, standardised, runs: options.runs })
    }

    /// The starting points `[n, P]` of the named stars, best first: `n` is at most the number of runs asked for.
    pub fn starts(
        &self,
        model: &ForwardModel,
        observations: &Observations,
        constraints: &[String],
        stars: &[usize],
    ) -> Vec<Array2<f64>> {
        stars
            .par_iter()
            .with_min_len(64)
            .map_init(Work::default, |work, &star| self.starts_of(model, observations, constraints, star, work))
            .collect()
    }

    fn starts_of(
        &self,
        model: &ForwardModel,
        data: &Observations,
        constraints: &[String],
        star: usize,
        work: &mut Work,
    ) -> Array2<f64> {
        self.observe(model, data, constraints, star, &mut work.star);
        self.draws.score(&work.star, &self.linear, &mut work.scores);
        self.choose(work);
        let mut starts = self.coordinates.select(ndarray::Axis(0), &work.chosen);
        for (&draw, mut start) in work.chosen.iter().zip(starts.rows_mut()) {
            for (l, linear) in self.linear.iter().enumerate() {
                let parameter = &model.space.parameters[linear.position];
                let value = linear.reference + work.scores.linear(l, draw);
                let value = match linear.logarithmic {
                    true => value.clamp(-12.0, 12.0).exp(),
                    false if parameter.transform == Transform::Logarithm => value.max(SMALLEST_EXTINCTION),
                    false => value,
                };
                start[linear.position] = parameter.coordinate(value);
            }
        }
        starts
    }

    /// The best draw, then alternately the best rival of another luminosity (a dwarf for a giant) and the best of other labels.
    fn choose(&self, work: &mut Work) {
        let scores = &work.scores.scores()[..self.coordinates.nrows()];
        let finite = (0..scores.len()).filter(|&draw| scores[draw].is_finite());
        let best = finite.min_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        let luminosity = self.linear.iter().position(|linear| linear.logarithmic);
        let ln_parallax = |draw: usize| luminosity.map_or(0.0, |l| work.scores.linear(l, draw));
        work.rivals.clear();
        work.rivals.extend((0..scores.len()).filter(|&draw| scores[draw] < scores[best] + RIVAL).map(|draw| Rival {
            draw,
            score: scores[draw],
            ln_parallax: ln_parallax(draw),
            other_luminosity: luminosity.is_some(),
            other_labels: true,
        }));
        work.chosen.clear();
        work.chosen.push(best);
        let mut last = (best, ln_parallax(best));
        for run in 1..self.runs {
            for rival in &mut work.rivals {
                rival.other_luminosity &= (rival.ln_parallax - last.1).abs() > OTHER_LUMINOSITY;
                rival.other_labels = rival.other_labels && self.separation(rival.draw, last.0) > OTHER_LABELS;
            }
            let best_apart = |by_luminosity: bool| {
                let apart =
                    work.rivals.iter().filter(|rival| if by_luminosity { rival.other_luminosity } else { rival.other_labels });
                apart.min_by(|a, b| a.score.total_cmp(&b.score))
            };
            match best_apart(run % 2 == 1).or_else(|| best_apart(run % 2 == 0)) {
                Some(rival) => {
                    last = (rival.draw, rival.ln_parallax);
                    work.chosen.push(rival.draw);
                }
                None => break,
            }
        }
    }

    /// ln of the pooled flux and inverse errors, and what measurements say.
    fn observe(&self, model: &ForwardModel, data: &Observations, constraints: &[String], star: usize, out: &mut Star) {
        let measured = |name: &str| if constraints.iter().any(|c| c == name) { data.constraint(name, star) } else { None };
        out.ln_flux.clear();
        out.inverse_error.clear();
        for pool in &self.pools {
            let (mut flux, mut variance, mut n_missing) = (0.0, 0.0, 0);
            for &i in pool {
                let error = f64::from(data.flux_error[[star, i]]);
                n_missing += usize::from(!error.is_finite());
                flux += f64::from(data.flux[[star, i]]);
                variance += error * error;
            }
            let error = variance.sqrt();
            // A pool with holes would compare different means.
            let usable = n_missing == 0 && flux > MINIMUM_SIGNAL * error;
            let n = pool.len() as f64;
            out.ln_flux.push(if usable { (flux / n).ln() } else { 0.0 });
            out.inverse_error.push(if usable { 1.0 / (error / flux).hypot(DRAW_SPACING) } else { 0.0 });
        }
        out.linear_priors.clear();
        out.linear_priors.extend(self.linear.iter().map(|linear| {
            let parameter = &model.space.parameters[linear.position];
            let (value, error) = measured(&parameter.name)?;
            let (value, error) = (value * parameter.model_units_per_file_unit, error * parameter.model_units_per_file_unit);
            match linear.logarithmic {
                // A parallax near zero or negative says little about its logarithm; the fit itself will use it.
                true => (value > 3.0 * error).then(|| (value.ln() - linear.reference, value / error)),
                false => Some((value - linear.reference, 1.0 / error)),
            }
        }));
        out.labels.clear();
        out.labels.extend(self.labels.iter().enumerate().filter_map(|(k, &position)| {
            let (value, error) = measured(&model.space.parameters[position].name)?;
            Some((k, value, 1.0 / error))
        }));
    }

    /// Distance of two draws in standardised labels.
    fn separation(&self, a: usize, b: usize) -> f64 {
        let label = |draw: usize, k: usize| self.standardised[draw * self.labels.len() + k];
        (0..self.labels.len()).map(|k| (label(a, k) - label(b, k)).powi(2)).sum::<f64>().sqrt()
    }
}

/// Pooled ln flux of every draw, and the mean slopes of the linear parameters.
fn evaluate(
    model: &ForwardModel,
    coordinates: &Array2<f64>,
    pools: &[Vec<usize>],
    linear: &[Linear],
    draws: &mut Draws,
) -> Result<()> {
    let (n, w) = (coordinates.nrows(), model.grid.len());
    let free: Vec<usize> = linear.iter().map(|linear| linear.position).collect();
    let flat: Vec<f64> = coordinates.iter().copied().collect();
    let jet = model.flux(model.device().tensor(&flat, [n, model.space.len()]), &free, Order::First)?;
    let flux = to_f64(jet.value.clone());
    let tangents = jet.jacobian(free.len()).map_or_else(Vec::new, to_f64);
    let mean = |values: &[f64], pool: &[usize]| pool.iter().map(|&i| values[i]).sum::<f64>() / pool.len() as f64;
    let pooled = |draw: usize, pool: &[usize]| mean(&flux[draw * w..(draw + 1) * w], pool);
    draws.ln_flux = pools.iter().map(|pool| padded((0..n).map(|draw| pooled(draw, pool).ln() as f32))).collect();
    draws.slopes = linear
        .iter()
        .enumerate()
        .map(|(l, linear)| {
            let parameter = &model.space.parameters[linear.position];
            let scale = if linear.logarithmic { linear.reference.exp() } else { 1.0 };
            let slope = |draw: usize, pool: &[usize]| {
                let start = (draw * free.len() + l) * w;
                let per_coordinate = mean(&tangents[start..start + w], pool) / pooled(draw, pool);
                per_coordinate * scale / parameter.model_value_slope(coordinates[[draw, linear.position]])
            };
            pools.iter().map(|pool| (0..n).map(|draw| slope(draw, pool)).sum::<f64>() / n as f64).collect()
        })
        .collect();
    Ok(())
}

/// Blocks of losses, the last one filled up with what no draw can be.
fn filled_up(losses: &[f64]) -> Vec<Block> {
    let mut blocks = padded(losses.iter().map(|&loss| loss as f32));
    if let (Some(last), rest @ 1..) = (blocks.last_mut(), losses.len() % LANES) {
        last.0[rest..].fill(f32::INFINITY);
    }
    blocks
}

/// Neighbouring wavelengths within [`POOL_WIDTH`], in order of wavelength.
fn pools(wavelength: &[f64]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..wavelength.len()).collect();
    order.sort_by(|&a, &b| wavelength[a].total_cmp(&wavelength[b]));
    let mut pools: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match pools.last_mut() {
            Some(pool) if (wavelength[i] / wavelength[pool[0]]).ln() < POOL_WIDTH => pool.push(i),
            _ => pools.push(vec![i]),
        }
    }
    pools
}
