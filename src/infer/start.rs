//! Starting points: draws of the prior scored against the data in ln flux, where dust and distance are linear.
//!
//! The published method evaluates 512 draws × 61 extinctions with the full covariance, about 2 GFLOP a star. Here ln flux of a
//! draw is linear in E and ln ϖ (for any effect: linearised there), so that the best E and ϖ of each draw follow from a small
//! weighted least-squares problem on a dozen pooled wavelengths: about 50 kFLOP a star. Extinction needs no grid.

use super::options::StartOptions;
use crate::error::Result;
use crate::model::{ForwardModel, Transform};
use crate::observations::Observations;
use crate::optimise::dense::{cholesky_in_place, cholesky_solve_in_place};
use crate::prior::GaussianMixture;
use crate::tensor::{Order, to_f64};
use ndarray::Array2;
use rand::SeedableRng;
use rayon::prelude::*;

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

/// Scored draws of a model's prior.
pub(super) struct StartGrid {
    pools: Vec<Vec<usize>>,
    /// Coordinates of all parameters `[D, P]`: labels of the draw, everything else at its reference.
    coordinates: Array2<f64>,
    /// −2 ln p of each draw, relative to the likeliest.
    prior_loss: Vec<f64>,
    /// ln of the mean flux of every pool `[D, G]`.
    ln_flux: Array2<f64>,
    /// ∂ ln flux/∂(linear parameter) `[D, L, G]`, flattened.
    slopes: Vec<f64>,
    /// The parameters in which ln flux is linear: free and no labels.
    linear: Vec<Linear>,
    runs: usize,
}

struct Linear {
    position: usize,
    /// Value at the reference.
    reference: f64,
    /// ln x (parallax) or x (extinction) is the linear quantity.
    logarithmic: bool,
}

/// A draw with its score for a star (χ² + prior, smaller is better) and its best linear parameters.
struct Scored {
    score: f64,
    draw: usize,
    linear: Vec<f64>,
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
        let draws = prior.sample(options.draws, &mut random);
        let space = &model.space;
        let labels: Vec<usize> = prior.parameters().iter().map(|name| space.position(name)).collect::<Result<_>>()?;
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
            .map(|&position| {
                let parameter = &space.parameters[position];
                let value = parameter.model_value(reference[position]);
                let logarithmic = parameter.name == "parallax";
                Linear { position, reference: if logarithmic { value.ln() } else { value }, logarithmic }
            })
            .collect();
        let pools = pools(&model.grid.wavelength);
        let mut prior_loss: Vec<f64> = draws.rows().into_iter().map(|row| -2.0 * prior.ln_density(&row.to_vec())).collect();
        let least = prior_loss.iter().copied().fold(f64::INFINITY, f64::min);
        prior_loss.iter_mut().for_each(|loss| *loss -= least);
        let mut grid = Self {
            ln_flux: Array2::zeros((options.draws, pools.len())),
            slopes: vec![0.0; options.draws * linear.len() * pools.len()],
            pools,
            coordinates,
            prior_loss,
            linear,
            runs: options.runs,
        };
        grid.evaluate(model, &others)?;
        Ok(grid)
    }

    fn evaluate(&mut self, model: &ForwardModel, free: &[usize]) -> Result<()> {
        let (n, w, n_pools) = (self.coordinates.nrows(), model.grid.len(), self.pools.len());
        let flat: Vec<f64> = self.coordinates.iter().copied().collect();
        let jet = model.flux(model.device().tensor(&flat, [n, model.space.len()]), free, Order::First)?;
        let flux = to_f64(jet.value.clone());
        let tangents = jet.jacobian(free.len()).map_or_else(Vec::new, to_f64);
        for draw in 0..n {
            for (g, pool) in self.pools.iter().enumerate() {
                let mean = pool.iter().map(|&i| flux[draw * w + i]).sum::<f64>() / pool.len() as f64;
                self.ln_flux[[draw, g]] = mean.ln();
                for (l, linear) in self.linear.iter().enumerate() {
                    let tangent = |i: usize| tangents[(draw * free.len() + l) * w + i];
                    let slope = pool.iter().map(|&i| tangent(i)).sum::<f64>() / pool.len() as f64 / mean;
                    let parameter = &model.space.parameters[linear.position];
                    let coordinate = self.coordinates[[draw, linear.position]];
                    let per_value = slope / parameter.model_value_slope(coordinate);
                    let scale = if linear.logarithmic { linear.reference.exp() } else { 1.0 };
                    self.slopes[(draw * self.linear.len() + l) * n_pools + g] = per_value * scale;
                }
            }
        }
        Ok(())
    }

    /// The starting points of every star: `runs` times coordinates `[N, P]`, best first. With fewer separate draws than runs
    /// the best is repeated.
    pub fn starts(&self, model: &ForwardModel, observations: &Observations, constraints: &[String]) -> Vec<Array2<f64>> {
        let per_star: Vec<Vec<Vec<f64>>> = (0..observations.len())
            .into_par_iter()
            .with_min_len(32)
            .map(|star| self.starts_of(model, observations, constraints, star))
            .collect();
        (0..self.runs)
            .map(|run| Array2::from_shape_fn((per_star.len(), model.space.len()), |(star, p)| per_star[star][run][p]))
            .collect()
    }

    fn starts_of(&self, model: &ForwardModel, data: &Observations, constraints: &[String], star: usize) -> Vec<Vec<f64>> {
        let measured = |name: &str| if constraints.iter().any(|c| c == name) { data.constraint(name, star) } else { None };
        let (ln_flux, weight) = self.pool(data, star);
        let priors: Vec<Option<(f64, f64)>> = self
            .linear
            .iter()
            .map(|linear| {
                let parameter = &model.space.parameters[linear.position];
                let (value, error) = measured(&parameter.name)?;
                let (value, error) = (value * parameter.model_units_per_file_unit, error * parameter.model_units_per_file_unit);
                match linear.logarithmic {
                    // A parallax near zero or negative says little about its logarithm; the fit itself will use it.
                    true => (value > 3.0 * error).then(|| (value.ln(), value / error)),
                    false => Some((value, 1.0 / error)),
                }
            })
            .collect();
        let mut scored: Vec<Scored> = (0..self.coordinates.nrows())
            .map(|draw| {
                let (chi_square, solution) = self.solve(draw, &ln_flux, &weight, &priors);
                let mut score = chi_square + self.prior_loss[draw];
                for (position, parameter) in model.space.parameters.iter().enumerate().filter(|(_, p)| p.is_label) {
                    if let Some((value, error)) = measured(&parameter.name) {
                        let label =
                            parameter.model_value(self.coordinates[[draw, position]]) / parameter.model_units_per_file_unit;
                        score += ((label - value) / error).powi(2);
                    }
                }
                Scored { score: if score.is_finite() { score } else { f64::INFINITY }, draw, linear: solution }
            })
            .collect();
        scored.sort_by(|a, b| a.score.total_cmp(&b.score));
        // The best, then alternately the best of another luminosity (a dwarf for a giant) and the best of other labels.
        let mut chosen: Vec<&Scored> = vec![&scored[0]];
        for run in 1..self.runs {
            let other_labels = |a: &Scored, b: &Scored| self.separation(model, a.draw, b.draw) > OTHER_LABELS;
            let other_luminosity = |a: &Scored, b: &Scored| self.luminosity_ratio(a, b) > OTHER_LUMINOSITY;
            let apart = |candidate: &&Scored, luminosity: bool| {
                let is_apart = |other: &&Scored| match luminosity {
                    true => other_luminosity(candidate, other),
                    false => other_labels(candidate, other),
                };
                chosen.iter().all(is_apart)
            };
            let next = scored.iter().find(|candidate| apart(candidate, run % 2 == 1));
            match next.or_else(|| scored.iter().find(|candidate| apart(candidate, run % 2 == 0))) {
                Some(candidate) => chosen.push(candidate),
                None => break,
            }
        }
        (0..self.runs).map(|run| self.assemble(model, chosen.get(run).unwrap_or(&chosen[0]))).collect()
    }

    /// |Δ ln ϖ| of two scored draws: with the flux given, half the ratio of their luminosities.
    fn luminosity_ratio(&self, a: &Scored, b: &Scored) -> f64 {
        let position = self.linear.iter().position(|linear| linear.logarithmic);
        position.map_or(0.0, |l| (a.linear[l] - b.linear[l]).abs())
    }

    /// ln of the pooled flux and inverse errors (zero where a pool is missing or too faint).
    fn pool(&self, data: &Observations, star: usize) -> (Vec<f64>, Vec<f64>) {
        self.pools
            .iter()
            .map(|pool| {
                let present: Vec<usize> = pool.iter().copied().filter(|&i| data.flux_error[[star, i]].is_finite()).collect();
                let n = present.len() as f64;
                let flux = present.iter().map(|&i| f64::from(data.flux[[star, i]])).sum::<f64>() / n;
                let error = present.iter().map(|&i| f64::from(data.flux_error[[star, i]]).powi(2)).sum::<f64>().sqrt() / n;
                // A pool with holes would compare different means.
                let usable = present.len() == pool.len() && flux > MINIMUM_SIGNAL * error;
                if usable { (flux.ln(), 1.0 / (error / flux).hypot(DRAW_SPACING)) } else { (0.0, 0.0) }
            })
            .unzip()
    }

    /// χ² of a draw at the best linear parameters, and these.
    fn solve(&self, draw: usize, ln_flux: &[f64], weight: &[f64], priors: &[Option<(f64, f64)>]) -> (f64, Vec<f64>) {
        let n_linear = self.linear.len();
        let slopes = |l: usize| {
            let start = (draw * n_linear + l) * self.pools.len();
            &self.slopes[start..start + self.pools.len()]
        };
        let model = self.ln_flux.row(draw);
        let mut fixed: Vec<Option<f64>> = vec![None; n_linear];
        loop {
            let mut normal = vec![0.0; n_linear * n_linear];
            let mut shift = vec![0.0; n_linear];
            for a in 0..n_linear {
                if let Some(value) = fixed[a] {
                    (normal[a * n_linear + a], shift[a]) = (1.0, value - self.linear[a].reference);
                    continue;
                }
                for g in 0..weight.len() {
                    let mut residual = ln_flux[g] - model[g];
                    for b in 0..n_linear {
                        match fixed[b] {
                            Some(value) => residual -= slopes(b)[g] * (value - self.linear[b].reference),
                            None => normal[a * n_linear + b] += slopes(a)[g] * slopes(b)[g] * weight[g] * weight[g],
                        }
                    }
                    shift[a] += slopes(a)[g] * residual * weight[g] * weight[g];
                }
                if let Some((value, inverse_error)) = priors[a] {
                    normal[a * n_linear + a] += inverse_error * inverse_error;
                    shift[a] += (value - self.linear[a].reference) * inverse_error * inverse_error;
                }
                // A direction without data stays at the reference.
                normal[a * n_linear + a] += 1e-6;
            }
            if cholesky_in_place(&mut normal, n_linear) {
                cholesky_solve_in_place(&normal, n_linear, &mut shift);
            } else {
                shift.fill(0.0);
            }
            let values: Vec<f64> = shift.iter().zip(&self.linear).map(|(shift, linear)| linear.reference + shift).collect();
            // Negative amounts of dust go to nearly none, and the others are solved again.
            let negative = (0..n_linear)
                .find(|&l| !self.linear[l].logarithmic && fixed[l].is_none() && values[l] < 0.0 && self.is_amount(l));
            if let Some(l) = negative {
                fixed[l] = Some(SMALLEST_EXTINCTION);
                continue;
            }
            let mut chi_square = 0.0;
            for g in 0..weight.len() {
                let predicted: f64 = model[g] + (0..n_linear).map(|l| slopes(l)[g] * shift[l]).sum::<f64>();
                chi_square += ((ln_flux[g] - predicted) * weight[g]).powi(2);
            }
            for (value, prior) in values.iter().zip(priors) {
                chi_square += prior.map_or(0.0, |(mean, inverse_error)| ((value - mean) * inverse_error).powi(2));
            }
            return (chi_square, values);
        }
    }

    /// Whether a linear parameter is an amount that cannot be negative (its slope dims the star).
    fn is_amount(&self, l: usize) -> bool {
        self.linear[l].reference > 0.0
    }

    /// Distance of two draws in standardised labels.
    fn separation(&self, model: &ForwardModel, a: usize, b: usize) -> f64 {
        let labels = model.space.label_positions();
        labels.iter().map(|&p| (self.coordinates[[a, p]] - self.coordinates[[b, p]]).powi(2)).sum::<f64>().sqrt()
    }

    fn assemble(&self, model: &ForwardModel, scored: &Scored) -> Vec<f64> {
        let mut coordinates = self.coordinates.row(scored.draw).to_vec();
        for (linear, &value) in self.linear.iter().zip(&scored.linear) {
            let parameter = &model.space.parameters[linear.position];
            let value = if linear.logarithmic { value.clamp(-12.0, 12.0).exp() } else { value };
            let smallest = if parameter.transform == Transform::Logarithm { SMALLEST_EXTINCTION } else { f64::NEG_INFINITY };
            let value = if linear.logarithmic { value } else { value.max(smallest) };
            coordinates[linear.position] = parameter.coordinate(value);
        }
        coordinates
    }
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
