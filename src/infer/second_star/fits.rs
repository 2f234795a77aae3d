//! The fits: their minimisation, and where they start.

use super::NEXT;
use super::found::{PairOfStar, PairParameter, SecondStars};
use crate::error::{Error, Result};
use crate::infer::breadth::Breadth;
use crate::infer::engine::Engine;
use crate::infer::options::FitOptions;
use crate::infer::part::Part;
use crate::infer::problem::{Problem, Setup};
use crate::infer::searches::Searches;
use crate::model::{ForwardModel, SecondStar};
use crate::observations::{Observations, hash64};
use crate::optimise::NormalEquations;
use crate::optimise::dense::invert_positive_semidefinite;
use crate::posterior::Posterior;
use crate::quantity::Facts;
use crate::train::TrainedModel;
use ndarray::{Array2, ArrayView1, Axis, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Draws of the prior from which second stars are chosen.
const DRAWS: usize = 2048;
/// Makes the seed differ from those of other draws.
const SALT: u64 = 0x7061_6972;

/// What fits of two stars need, whatever the observations.
pub struct PairFits {
    setup: Setup,
    /// The labels that the second star has of its own, with the names of its parameters.
    replaced: Vec<(String, String)>,
    /// Positions of these in the model, of the first star and of the second.
    own: Vec<(usize, usize)>,
    /// Of draws of the prior, coordinates of the labels that both stars share and of the others.
    draws: Vec<(Vec<f64>, Vec<f64>)>,
    /// Positions of the shared ones.
    shared: Vec<usize>,
    /// Whether the two stars may change places: nothing is measured of the labels of one of them, and both
    /// have the same prior and limits.
    is_symmetric: bool,
}

impl PairFits {
    /// For the model and options of the fits of single stars.
    ///
    /// # Errors
    /// When the model has no such labels, or its prior has not.
    pub fn new(single: &Setup) -> Result<Self> {
        let options = &single.options;
        let second = SecondStar::of(&options.second_star.labels);
        let replaced = second.replaced();
        let mut model = single.trained.model.with_second_star(second)?;
        let own: Vec<(usize, usize)> = replaced
            .iter()
            .map(|(label, own)| Ok((model.space.position(label)?, model.space.position(own)?)))
            .collect::<Result<_>>()?;
        let is_told = |(first, _): &(usize, usize)| {
            single.held.contains(first) || single.constraints.contains(&model.space.parameters[*first].name)
        };
        let is_symmetric = !own.iter().any(is_told);
        if is_symmetric {
            // Which of the two becomes the fainter one is not known before: what holds for one holds for
            // both.
            for (first, second) in &own {
                let limits = model.space.parameters[*first].limits();
                let parameter = &mut model.space.parameters[*second];
                parameter.range = Some(limits.map(|u| parameter.model_value(u)));
            }
        }
        let trained = TrainedModel { model, ..single.trained.as_ref().clone() };
        // Second derivatives, and batches on a device, are those of single stars.
        let is_fast = options.engine == Engine::Auto && single.model.device().is_cpu();
        let engine = if is_fast { Engine::Auto } else { Engine::Tensor };
        let setup = Setup::new(Arc::new(trained), &FitOptions { exact_hessian: false, engine, ..options.clone() })?;
        let space = &setup.model.space;
        let is_own = |name: &String| replaced.iter().any(|(label, _)| label == name);
        let prior = &setup.trained.prior;
        let names = prior.parameters();
        let shared: Vec<usize> =
            names.iter().filter(|name| !is_own(name)).map(|name| space.position(name)).collect::<Result<_>>()?;
        let seed = hash64(SALT as i64, options.start.seed);
        let sample = prior.sample(DRAWS, &mut ChaCha8Rng::seed_from_u64(seed));
        let coordinate = |draw: ArrayView1<'_, f64>, position: usize| {
            let parameter = &space.parameters[position];
            names.iter().position(|name| *name == parameter.name).map_or(f64::NAN, |column| parameter.coordinate(draw[column]))
        };
        let is_within = |of_own: &[f64]| {
            own.iter().zip(of_own).all(|((_, second), u)| {
                let [low, high] = space.parameters[*second].limits();
                (low..=high).contains(u)
            })
        };
        let draws = sample.rows().into_iter().map(|draw| {
            let of_own: Vec<f64> = own.iter().map(|(first, _)| coordinate(draw, *first)).collect();
            (shared.iter().map(|&position| coordinate(draw, position)).collect(), of_own)
        });
        let draws = draws.filter(|(_, of_own): &(Vec<f64>, Vec<f64>)| is_within(of_own)).collect();
        Ok(Self { replaced, own, draws, shared, is_symmetric, setup })
    }

    /// The minimisation for some observations.
    pub fn problem<'a>(&'a self, observations: &'a Observations) -> Problem<'a> {
        Problem::new(&self.setup, observations)
    }

    /// −2 ln P of pairs.
    ///
    /// # Errors
    /// When model and observations have different data vectors, or the prior lacks a label of the second
    /// star.
    pub fn posterior<'a>(&'a self, problem: &'a Problem<'_>) -> Result<Posterior<'a>> {
        problem.posterior()?.with_second_star(&self.setup.trained.prior, &self.replaced)
    }

    /// No fits yet, of N stars.
    pub fn empty(&self, n: usize) -> SecondStars {
        let parameters = &self.setup.model.space.parameters;
        let free = (0..parameters.len()).filter(|position| !self.setup.held.contains(position));
        let described = free.map(|position| {
            let parameter = &parameters[position];
            let is_second = self.own.iter().any(|(_, second)| *second == position);
            let quantity = self.own.iter().find(|(_, second)| *second == position).map_or(position, |(first, _)| *first);
            PairParameter {
                column: if is_second { parameter.name.clone() } else { format!("pair_{}", parameter.name) },
                unit: parameter.unit.clone(),
                description: format!("{}, of two stars fitted to one", parameter.description),
                ucd: Facts::of(&parameters[quantity].name).ucd,
            }
        });
        let parameters: Vec<PairParameter> = described.collect();
        let (nan, f) = (|| vec![f64::NAN; n], parameters.len());
        SecondStars {
            delta_loss: nan(),
            chi_square: nan(),
            flux_fraction: nan(),
            has_converged: vec![false; n],
            values: Array2::from_elem((n, f), f64::NAN),
            errors: Array2::from_elem((n, f), f64::NAN),
            flag_above: self.setup.options.second_star.flag_above,
            parameters,
        }
    }

    /// Fits two stars to every star of a part whose single fit came to something; `single` is the model of
    /// one star, `breadth` how widely a star is searched.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn fit(
        &self,
        (problem, posterior): (&Problem<'_>, &Posterior<'_>),
        part: &Part,
        single: &ForwardModel,
        breadth: impl Fn(usize) -> Breadth,
    ) -> Result<Vec<Option<PairOfStar>>> {
        let is_usable = |row: &usize| part.loss[*row].is_finite() && part.coordinates.row(*row).iter().all(|u| u.is_finite());
        let rows: Vec<usize> = (0..part.stars.len()).filter(is_usable).collect();
        let mut pairs: Vec<Option<PairOfStar>> = (0..part.stars.len()).map(|_| None).collect();
        if rows.is_empty() {
            return Ok(pairs);
        }
        let members: Vec<usize> = rows.iter().map(|&row| part.stars[row]).collect();
        let starts = self.starts(&part.coordinates.select(Axis(0), &rows), single)?;
        let breadths: Vec<Breadth> = members.iter().map(|&star| breadth(star)).collect();
        let free = posterior.free();
        let (bounds, separations) = (problem.bounds(free), problem.separations(free));
        let searches = Searches::run(posterior, &members, (&starts, &breadths), (&bounds, &separations), &self.setup.options)?;
        let coordinates = Array2::from_shape_fn((members.len(), free.len()), |(i, p)| searches.best(i).coordinate(p));
        let normal = posterior.normal_equations(&members, coordinates.view())?;
        let chi_square = posterior.flux_chi_square(&members, coordinates.view())?;
        let all = posterior.all_coordinates(&members, coordinates.view());
        let of_both = self.setup.model.predict(all.view())?;
        let of_first = single.predict(all.slice(s![.., ..single.space.len()]))?;
        let values = problem.values(free, coordinates.view());
        for (i, &row) in rows.iter().enumerate() {
            // Behind much dust a flux may be zero in single precision.
            let shares = of_first.row(i).into_iter().zip(of_both.row(i)).map(|(one, both)| 1.0 - one / both);
            let shares: Vec<f64> = shares.filter(|share| share.is_finite()).collect();
            let flux_fraction = shares.iter().sum::<f64>() / shares.len() as f64;
            let mut pair = PairOfStar {
                delta_loss: part.loss[row] - normal.loss[i],
                chi_square: chi_square[i],
                flux_fraction,
                has_converged: searches.best(i).has_converged() && flux_fraction.is_finite(),
                values: values.row(i).to_vec(),
                errors: vec![f64::NAN; free.len()],
            };
            if pair.has_converged {
                let inside = bounds.inside(coordinates.row(i));
                let half: Vec<f64> = inside
                    .iter()
                    .flat_map(|&p| inside.iter().map(move |&q| (p, q)))
                    .map(|(p, q)| 0.5 * normal.curvature[[i, p, q]])
                    .collect();
                if let Some(inverse) = invert_positive_semidefinite(&half, inside.len()) {
                    for (k, &p) in inside.iter().enumerate() {
                        let parameter = &self.setup.model.space.parameters[free[p]];
                        let slope = parameter.model_value_slope(coordinates[[i, p]]) / parameter.model_units_per_file_unit;
                        pair.errors[p] = inverse.matrix[k * inside.len() + k].sqrt() * slope.abs();
                    }
                }
            }
            if self.is_symmetric && pair.flux_fraction > 0.5 {
                self.exchange(&mut pair, free);
            }
            pairs[row] = Some(pair);
        }
        Ok(pairs)
    }

    /// The brighter star is the first one.
    fn exchange(&self, pair: &mut PairOfStar, free: &[usize]) {
        pair.flux_fraction = 1.0 - pair.flux_fraction;
        for (first, second) in &self.own {
            let place = |position: &usize| free.iter().position(|free| free == position);
            if let (Some(a), Some(b)) = (place(first), place(second)) {
                pair.values.swap(a, b);
                pair.errors.swap(a, b);
            }
        }
    }

    /// Starts of stars whose single fits are `coordinates [n, P]`: the star with a second one beside it, at
    /// the distance at which both have the flux of the fit.
    fn starts(&self, coordinates: &Array2<f64>, single: &ForwardModel) -> Result<Vec<Array2<f64>>> {
        let model = &self.setup.model;
        let (p, n) = (model.space.len(), coordinates.nrows());
        let each: Vec<Vec<Vec<f64>>> = coordinates.rows().into_iter().map(|star| self.second_stars(star)).collect();
        let mut flat = Vec::with_capacity(n * self.setup.options.second_star.starts * p);
        for (star, seconds) in coordinates.rows().into_iter().zip(&each) {
            let mut star = star.to_vec();
            for &(first, _) in &self.own {
                let [low, high] = self.setup.model.space.parameters[first].limits();
                star[first] = star[first].clamp(low, high);
            }
            for second in seconds {
                flat.extend(star.iter().chain(second));
            }
        }
        let shape = |error: ndarray::ShapeError| Error::numerical("starts of pairs").source(error);
        let mut starts = Array2::from_shape_vec((flat.len() / p, p), flat).map_err(shape)?;
        let distance = model.space.distance_position().filter(|position| !self.setup.held.contains(position));
        let mut first = 0;
        let mut rows = Vec::with_capacity(n);
        if let Some(position) = distance {
            let (of_one, of_both) = (single.predict(coordinates.view())?, model.predict(starts.view())?);
            let parameter = &model.space.parameters[position];
            let mut row = 0;
            for (star, seconds) in each.iter().enumerate() {
                for _ in seconds {
                    // The factor that makes the sum of (1 − factor · ratio)² least.
                    let ratios = of_both.row(row).into_iter().zip(of_one.row(star)).map(|(both, one)| both / one);
                    let (sum, squares) = ratios.fold((0.0, 0.0), |(sum, squares), ratio| (sum + ratio, squares + ratio * ratio));
                    let moved = parameter.model_value(starts[[row, position]]) * (sum / squares).sqrt();
                    let moved = parameter.coordinate(moved);
                    if moved.is_finite() {
                        starts[[row, position]] = moved;
                    }
                    row += 1;
                }
            }
        }
        for seconds in &each {
            rows.push(starts.slice(s![first..first + seconds.len(), ..]).to_owned());
            first += seconds.len();
        }
        Ok(rows)
    }

    /// Coordinates of the own labels of second stars: a twin's, and those of draws of the prior with about
    /// the shared labels of the star, each as far as can be from those before it.
    fn second_stars(&self, star: ArrayView1<'_, f64>) -> Vec<Vec<f64>> {
        let distance = |(shared, _): &&(Vec<f64>, Vec<f64>)| -> f64 {
            self.shared.iter().zip(shared).map(|(&position, u)| (star[position] - u).powi(2)).sum()
        };
        let mut next: Vec<(f64, &Vec<f64>)> = self.draws.iter().map(|draw| (distance(&draw), &draw.1)).collect();
        if next.len() > NEXT {
            next.select_nth_unstable_by(NEXT, |a, b| a.0.total_cmp(&b.0));
            next.truncate(NEXT);
        }
        // In the order of their labels: which of several at one distance comes first depends on nothing else.
        next.sort_by(|a, b| a.1.partial_cmp(b.1).unwrap_or(std::cmp::Ordering::Equal));
        let twin = self.own.iter().map(|&(first, second)| {
            let [low, high] = self.setup.model.space.parameters[second].limits();
            star[first].clamp(low, high)
        });
        let mut chosen: Vec<Vec<f64>> = vec![twin.collect()];
        let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let mut least: Vec<f64> = next.iter().map(|(_, own)| apart(own, &chosen[0])).collect();
        while chosen.len() < self.setup.options.second_star.starts {
            let farthest = (0..next.len()).max_by(|&a, &b| least[a].total_cmp(&least[b]));
            let Some(farthest) = farthest.filter(|&k| least[k] > 0.0) else { break };
            let own = next[farthest].1.clone();
            least.iter_mut().zip(&next).for_each(|(least, (_, other))| *least = least.min(apart(other, &own)));
            chosen.push(own);
        }
        chosen
    }
}
