//! Two stars in the light of one: every star is fitted again as an unresolved pair, and by how much −2 ln P
//! of that is lower tells whether it is one.
//!
//! ```text
//! f = ϖ² (f_abs(Θ₁) + f_abs(Θ₂)) exp(−E·R)
//! −2 ln P(pair) = χ² + constraints − 2 ln p(Θ₁) − 2 ln [p(Θ₂)/p(labels shared with Θ₁)]
//! Δ = −2 ln P(single) + 2 ln P(pair)
//! ```
//!
//! p is the model's mixture prior: the second star is another draw of the sample among stars of the same
//! composition, which keeps it on the sequences of stars without saying which. Both densities are normalised,
//! in the units of models (per kK and dex), and Δ compares the heights of two optima. Whether a star is
//! rather a pair beforehand is not in it: the threshold of the flag is that of a share of single stars.
//!
//! A pair of two main-sequence stars differs from a star by less than the errors of labels where the mass
//! ratio is near one (its excess of luminosity is all there is to see, so that the parallax decides), and
//! where the second star is too faint.

use super::breadth::Breadth;
use super::engine::Engine;
use super::options::FitOptions;
use super::part::Part;
use super::problem::{Problem, Setup};
use super::searches::Searches;
use crate::error::{Error, Result};
use crate::model::{ForwardModel, SecondStar};
use crate::observations::{Observations, hash64};
use crate::optimise::NormalEquations;
use crate::optimise::dense::invert_positive_semidefinite;
use crate::posterior::Posterior;
use crate::quantity::Facts;
use crate::table::{Column, ColumnSchema};
use crate::text::first_repeated;
use crate::train::TrainedModel;
use ndarray::{Array2, ArrayView1, Axis, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Draws of the prior from which second stars start, and how many of them, next in the labels that both
/// stars share, are looked at for a star.
const DRAWS: usize = 2048;
const NEXT: usize = 64;
/// Makes the seed differ from those of other draws.
const SALT: u64 = 0x7061_6972;

const REMEDY: &str = "Leave the option out for its default; `photosphere recipe fit` prints all of them.";

/// Fits of a second star.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecondStarOptions {
    /// Whether there are any.
    pub fit: bool,
    /// Labels that the second star has of its own; all else is that of both.
    pub labels: Vec<String>,
    /// Δ(−2 ln P) above which a star is flagged (bit 18).
    pub flag_above: f64,
    /// Second stars from which the fits of a star start: a twin, and draws of the prior that differ as much
    /// as can be. All are evaluated, and the optimiser runs from those that promise an optimum of their own.
    pub starts: usize,
}

impl Default for SecondStarOptions {
    fn default() -> Self {
        Self { fit: false, labels: SecondStar::default().labels, flag_above: 6.0, starts: 16 }
    }
}

impl SecondStarOptions {
    /// Checks the options.
    ///
    /// # Errors
    /// `Usage`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        let fault = |option: &str, found: String, expected: &str| {
            Err(Error::usage(format!("fit option second_star.{option}")).found(found).expected(expected).remedy(REMEDY))
        };
        if self.labels.is_empty() {
            return fault("labels", "none".into(), "labels of the model");
        }
        if let Some(label) = first_repeated(self.labels.iter().map(String::as_str)) {
            return fault("labels", format!("'{label}' twice"), "distinct names");
        }
        if !(self.flag_above >= 0.0 && self.flag_above.is_finite()) {
            return fault("flag_above", self.flag_above.to_string(), "zero or a positive number");
        }
        match (1..=NEXT).contains(&self.starts) {
            true => Ok(()),
            false => fault("starts", self.starts.to_string(), &format!("1 to {NEXT}")),
        }
    }
}

/// What fits of two stars need, whatever the observations.
pub(super) struct PairFits {
    setup: Setup,
    /// The labels that the second star has of its own, with the names of its parameters.
    replaced: Vec<(String, String)>,
    /// Positions of these in the model, of the first star and of the second.
    own: Vec<(usize, usize)>,
    /// Of draws of the prior, coordinates of the labels that both stars share and of the others.
    draws: Vec<(Vec<f64>, Vec<f64>)>,
    /// Positions of the shared ones.
    shared: Vec<usize>,
    /// Whether the two stars may change places: nothing is measured of the labels of one of them.
    is_symmetric: bool,
}

/// The fit of two stars to one star, in file units.
pub(super) struct PairOfStar {
    delta_loss: f64,
    chi_square: f64,
    flux_fraction: f64,
    values: Vec<f64>,
    errors: Vec<f64>,
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
        let trained = TrainedModel { model: single.trained.model.with_second_star(second)?, ..single.trained.as_ref().clone() };
        // Second derivatives, and batches on a device, are those of single stars.
        let is_fast = options.engine == Engine::Auto && single.model.device().is_cpu();
        let engine = if is_fast { Engine::Auto } else { Engine::Tensor };
        let setup = Setup::new(Arc::new(trained), &FitOptions { exact_hessian: false, engine, ..options.clone() })?;
        let space = &setup.model.space;
        let own: Vec<(usize, usize)> =
            replaced.iter().map(|(label, own)| Ok((space.position(label)?, space.position(own)?))).collect::<Result<_>>()?;
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
        let is_told = |position: usize| {
            let name = &space.parameters[position].name;
            setup.held.contains(&position) || setup.constraints.contains(name)
        };
        let is_symmetric = own.iter().all(|(first, second)| !is_told(*first) && !is_told(*second));
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
            let share = of_first.row(i).iter().zip(of_both.row(i)).map(|(one, both)| 1.0 - one / both).sum::<f64>();
            let mut pair = PairOfStar {
                delta_loss: part.loss[row] - normal.loss[i],
                chi_square: chi_square[i],
                flux_fraction: share / of_both.ncols() as f64,
                values: values.row(i).to_vec(),
                errors: vec![f64::NAN; free.len()],
            };
            if searches.best(i).has_converged() {
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

/// A parameter of two stars, as a catalogue has it.
#[derive(Debug, Clone)]
struct PairParameter {
    column: String,
    unit: String,
    description: String,
    ucd: String,
}

/// Fits of two stars to each of N stars, in file units; NaN where there is none.
#[derive(Debug, Clone)]
pub struct SecondStars {
    /// −2 ln P of the star less that of the pair: positive where two stars are better than one.
    pub delta_loss: Vec<f64>,
    /// χ² of the flux of the pair.
    pub chi_square: Vec<f64>,
    /// Mean over the wavelengths of the second star's part of the flux.
    pub flux_fraction: Vec<f64>,
    /// Parameters `[N, F]` of the model of two stars, in its order: those of the first star and of both, then
    /// the second star's own labels.
    pub values: Array2<f64>,
    /// Their errors by the curvature of −2 ln P, priors included; NaN at a limit, and where the fit did not
    /// converge.
    pub errors: Array2<f64>,
    /// Δ above which a star is flagged.
    flag_above: f64,
    parameters: Vec<PairParameter>,
}

impl SecondStars {
    pub(super) fn put(&mut self, star: usize, pair: &PairOfStar) {
        self.delta_loss[star] = pair.delta_loss;
        self.chi_square[star] = pair.chi_square;
        self.flux_fraction[star] = pair.flux_fraction;
        self.values.row_mut(star).iter_mut().zip(&pair.values).for_each(|(to, from)| *to = *from);
        self.errors.row_mut(star).iter_mut().zip(&pair.errors).for_each(|(to, from)| *to = *from);
    }

    /// Names of the columns of the parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| parameter.column.as_str())
    }

    /// Of a star: name, unit, value and error of every parameter.
    pub fn parameters(&self, star: usize) -> impl Iterator<Item = (&str, &str, f64, f64)> {
        self.parameters.iter().enumerate().map(move |(index, parameter)| {
            let (value, error) = (self.values[[star, index]], self.errors[[star, index]]);
            (parameter.column.as_str(), parameter.unit.as_str(), value, error)
        })
    }

    /// Whether two stars are better than one, by more than the options say.
    pub fn is_flagged(&self, star: usize) -> bool {
        self.delta_loss[star] > self.flag_above
    }

    /// The columns.
    pub(super) fn columns(&self) -> Vec<Column> {
        let scalar = |name: &str, description: &str, ucd: &str, values: &[f64]| {
            Column::nullable(ColumnSchema::new(name, "", description).with_ucd(ucd), values.to_vec())
        };
        let delta = format!(
            "-2 ln posterior of one star less that of two of the same shared labels, dust and distance, positive where two are better; \
             both have the normalised mixture prior (teff in kK), that of the second star given the shared labels; flagged (bit 18) \
             above {}",
            self.flag_above
        );
        let fraction = "mean over the wavelengths of the second star's part of the flux of two stars fitted to one";
        let mut columns = vec![
            scalar("pair_delta_loss", &delta, "stat.probability;arith.diff", &self.delta_loss),
            scalar("pair_chi2", "chi-square of the flux of two stars fitted to one", "stat.fit.chi2", &self.chi_square),
            scalar("companion_flux_fraction", fraction, "phot.flux;arith.ratio", &self.flux_fraction),
        ];
        for (index, PairParameter { column, unit, description, ucd }) in self.parameters.iter().enumerate() {
            let schema = ColumnSchema::new(column, unit, description).with_ucd(ucd);
            columns.push(Column::nullable(schema, self.values.column(index).to_vec()));
            let description = format!("1-sigma error of {column} (curvature of -2 ln posterior, priors included)");
            let schema = ColumnSchema::new(format!("{column}_error"), unit, description).with_ucd(format!("stat.error;{ucd}"));
            columns.push(Column::nullable(schema, self.errors.column(index).to_vec()));
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Registry, Transform};
    use crate::optimise::Problems;
    use crate::simulate::{SurveyConfig, simulate};
    use crate::tensor::{Device, Precision};

    fn trained(device: &Device) -> TrainedModel {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
        TrainedModel::load(&folder, &Registry::standard(), device).unwrap()
    }

    fn options() -> FitOptions {
        FitOptions { second_star: SecondStarOptions { fit: true, ..SecondStarOptions::default() }, ..FitOptions::default() }
    }

    fn observed(n_stars: usize, trained: &TrainedModel) -> Observations {
        let config = SurveyConfig { n_stars, first_star: 7_000_000, labelled_fraction: 0.0, ..SurveyConfig::default() };
        Observations::from_table(simulate(&config).unwrap(), &super::super::read_options(trained, &options())).unwrap()
    }

    /// Gradient and exact Hessian of −2 ln P of two stars, the conditional prior included, against central
    /// differences in f64; and the prior itself against densities by hand.
    #[test]
    fn derivatives_of_the_posterior_of_pairs_are_those_of_differences() {
        let trained = trained(&Device::cpu().with_precision(Precision::Double));
        let observations = observed(4, &trained);
        let options = FitOptions { transforms: [("extinction".to_owned(), Transform::Logarithm)].into(), ..options() };
        let pairs = PairFits::new(&Setup::new(Arc::new(trained.clone()), &options).unwrap()).unwrap();
        let problem = pairs.problem(&observations);
        let posterior = pairs.posterior(&problem).unwrap();
        assert_eq!(posterior.engine_name(), "tensor");
        let f = posterior.free().len();
        let point = |star: usize, p: usize| 0.3 * ((star + 3 * p) as f64).sin() - if p == 4 { 1.0 } else { 0.0 };
        let here = Array2::from_shape_fn((4, f), |(star, p)| point(star, p));
        let stars = [0, 1, 2, 3];
        let (normal, hessian) =
            (posterior.normal_equations(&stars, here.view()).unwrap(), posterior.hessian(&stars, here.view()).unwrap());
        let h = 1e-4;
        let moved = |p: usize, by: f64| {
            let mut there = here.clone();
            there.column_mut(p).iter_mut().for_each(|u| *u += by);
            there
        };
        for p in 0..f {
            let [plus, minus, far_plus, far_minus] =
                [h, -h, 2.0 * h, -2.0 * h].map(|by| posterior.normal_equations(&stars, moved(p, by).view()).unwrap());
            for star in 0..4 {
                let scale = normal.curvature[[star, p, p]];
                let of = |values: [f64; 4]| (8.0 * (values[0] - values[1]) - (values[2] - values[3])) / (12.0 * h);
                let slope = of([plus.loss[star], minus.loss[star], far_plus.loss[star], far_minus.loss[star]]);
                let found = normal.gradient[[star, p]];
                assert!((found - slope).abs() < 1e-6 * (scale + found.abs()), "star {star}, {p}: {found} {slope}");
                for q in 0..f {
                    let bend = of([&plus, &minus, &far_plus, &far_minus].map(|normal| normal.gradient[[star, q]]));
                    let found = hessian[[star, p, q]];
                    let scale = (scale * normal.curvature[[star, q, q]]).sqrt();
                    assert!((found - bend).abs() < 1e-6 * (scale + found.abs()), "star {star}, {p} {q}: {found} {bend}");
                }
            }
        }
        // What the second star adds to the prior: −2 ln p(T₂, [Fe/H], log g₂) + 2 ln p([Fe/H]).
        let space = &problem.model.space;
        let value = |name: &str| {
            let position = space.position(name).unwrap();
            let column = posterior.free().iter().position(|free| *free == position).unwrap();
            space.parameters[position].model_value(here[[0, column]])
        };
        let prior = &trained.prior;
        let of_feh = prior.marginal(&["feh".to_owned()]).unwrap().unwrap().ln_density(&[value("feh")]);
        let density = |names: [&str; 3]| {
            let order = prior.parameters().iter().map(|name| {
                let which = names.iter().position(|own| own.trim_start_matches("companion_") == name).unwrap();
                value(names[which])
            });
            prior.ln_density(&order.collect::<Vec<f64>>())
        };
        let second = -2.0 * (density(["companion_teff", "feh", "companion_logg"]) - of_feh);
        let without = problem.posterior().unwrap();
        let first = here.slice(s![..1, ..]);
        let added = posterior.prior_loss(&[0], first)[0] - without.prior_loss(&[0], first)[0];
        assert!((added - second).abs() < 1e-9 * (1.0 + second.abs()), "{added} {second}");
    }

    /// Either engine finds the same pairs; a star has the same fit in any company; nothing is said without
    /// the option.
    #[test]
    fn stars_are_fitted_as_pairs_on_demand() {
        let trained = trained(&Device::cpu());
        let observations = observed(60, &trained);
        let fit = |options: &FitOptions, observations: &Observations| super::super::fit(&trained, observations, options).unwrap();
        let both = fit(&options(), &observations);
        let alone = fit(&FitOptions::default(), &observations);
        assert!(
            alone.second_star.is_none() && alone.values.iter().map(|v| v.to_bits()).eq(both.values.iter().map(|v| v.to_bits()))
        );
        let pairs = both.second_star.as_ref().unwrap();
        let names: Vec<&str> = pairs.names().collect();
        let expected =
            ["pair_teff", "pair_feh", "pair_logg", "pair_extinction", "pair_parallax", "companion_teff", "companion_logg"];
        assert_eq!(names, expected);
        for star in 0..60 {
            assert!((0.0..=0.5).contains(&pairs.flux_fraction[star]), "{star}: {}", pairs.flux_fraction[star]);
            let is_flagged = both.flags[star] & super::super::flags::SECOND_STAR != 0;
            assert_eq!(is_flagged, pairs.delta_loss[star] > options().second_star.flag_above);
        }
        let some = observations.select(&[3, 17, 41]);
        let few = fit(&options(), &some).second_star.unwrap();
        for (row, star) in [3, 17, 41].into_iter().enumerate() {
            assert_eq!(few.delta_loss[row].to_bits(), pairs.delta_loss[star].to_bits(), "{star}");
        }
        let tensors = fit(&FitOptions { engine: Engine::Tensor, ..options() }, &some).second_star.unwrap();
        for row in 0..3 {
            assert!(
                (tensors.delta_loss[row] - few.delta_loss[row]).abs() < 0.05,
                "{:?} {:?}",
                tensors.delta_loss,
                few.delta_loss
            );
        }
        let unknown = SecondStarOptions { labels: vec!["vsini".into()], ..options().second_star };
        let message =
            super::super::fit(&trained, &some, &FitOptions { second_star: unknown, ..options() }).unwrap_err().to_string();
        assert!(message.contains("'vsini'") && message.contains("teff"), "{message}");
        let none = SecondStarOptions { labels: Vec::new(), ..SecondStarOptions::default() };
        assert!(none.validate().unwrap_err().to_string().contains("second_star.labels"));
    }
}
