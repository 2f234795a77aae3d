//! The wavelength step: a damped Gauss–Newton step of the profile likelihood for the weights that act at one
//! wavelength each (ln R(λ), the emulator's output layer), with the stars' own parameters eliminated.
//!
//! Alternating steps cannot move along directions in which such weights and all stars trade off: the zero
//! point of E against the colour of the emulator, the scale of R against E, a grey part of R against ϖ. With
//! the stars fixed, the flux resists at its own signal-to-noise ratio, hundreds of times more stiffly than
//! the measured reddenings and parallaxes that decide; the alternation then needs thousands of rounds. Here
//! every star's response is eliminated first (Schur complement):
//!
//! H = Σ Dᵀ (C⁻¹ − C⁻¹J A⁻¹ JᵀC⁻¹) D,  g = Σ Dᵀ C⁻¹ (r − J A⁻¹ b),
//!
//! with D = ∂f/∂weight (each row of weights acts at its own wavelength only), J = ∂f/∂star, A and b half the
//! curvature and gradient of the star's own loss, constraints included. One factorisation of a few thousand
//! rows does what Adam's small steps would drift along.
//!
//! The variation ξ of the extinction curve stays where it is: it and s(λ) have a scale in common, of which
//! the profile likelihood wants infinitely much ([`super::variation`]).

use super::recipe::Recipe;
use super::star_step;
use super::state::TrainingState;
use super::variation::Variation;
use crate::error::{Error, Result};
use crate::model::ForwardModel;
use crate::observations::Observations;
use crate::optimise::NormalEquations;
use crate::optimise::dense::{cholesky_in_place, cholesky_solve_in_place};
use crate::posterior::Posterior;
use crate::tensor::{Order, to_f64};
use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use ndarray::{Array1, Array2, Array3, Axis, s};
use rayon::prelude::*;

/// Step of the central differences ∂f/∂weight; ln flux is linear in these weights, and 32-bit fluxes bear no
/// smaller step.
const DIFFERENCE_STEP: f64 = 0.02;
/// Largest change of a weight in one step.
const LARGEST_STEP: f64 = 2.0;
/// Stars per block of the sums.
const BLOCK: usize = 256;
/// Stars that enter H; more change nothing but the time. All enter g.
const STARS_IN_MATRIX: usize = 6000;

/// Most weights of a step, whose matrix is held three times (6 GiB).
const MOST_WEIGHTS: usize = 16_384;
/// Bytes of an element of these matrices together.
const BYTES: f64 = 24.0;

/// One row of weights over the wavelengths: row `row` of a tensor `[rows, W]`, or a tensor `[W]`.
struct WeightRow {
    tensor: String,
    row: usize,
}

/// The state moved by one step of the wavelength weights, with relative damping `damping`; the stars stay.
pub(super) fn step(
    state: &TrainingState,
    observations: &Observations,
    recipe: &Recipe,
    stars: &[usize],
    damping: f64,
) -> Result<ForwardModel> {
    let sums = Sums::of(state, observations, recipe, stars)?;
    let rows = weight_rows(&state.model)?;
    let (k, w) = (rows.len(), state.model.grid.len());
    let change = -sums.factor(damping)?.solve(&sums.gradient_vector());
    let scale = (LARGEST_STEP / change.amax()).min(1.0);
    let mut model = state.model.clone();
    let device = model.device().clone();
    for (index, row) in rows.iter().enumerate() {
        let mut values = model.weights.values(&row.tensor)?;
        for i in 0..w {
            values[row.row * w + i] += scale * change[i * k + index];
        }
        model.weights.set(&row.tensor, &values, &device)?;
    }
    Ok(model)
}

/// Fails where a step of this model's weights would be too large to be held, or there are none.
pub(super) fn require_size(model: &ForwardModel) -> Result<()> {
    let (rows, wavelengths) = (weight_rows(model)?.len(), model.grid.len());
    let weights = rows * wavelengths;
    if weights <= MOST_WEIGHTS {
        return Ok(());
    }
    let bytes = BYTES * (weights as f64).powi(2) / (1_u64 << 30) as f64;
    Err(Error::usage("stage of kind 'solve'")
        .found(format!("{rows} weights at each of {wavelengths} wavelengths, whose step would take {bytes:.0} GiB"))
        .expected(format!("at most {MOST_WEIGHTS} weights"))
        .remedy("Leave the stage out, make the last hidden layer narrower, or take fewer wavelengths."))
}

fn weight_rows(model: &ForwardModel) -> Result<Vec<WeightRow>> {
    let mut rows = Vec::new();
    for tensor in model.wavelength_weights() {
        let n_rows = model.weights.shape(&tensor)?.iter().product::<usize>() / model.grid.len();
        rows.extend((0..n_rows).map(|row| WeightRow { tensor: tensor.clone(), row }));
    }
    if rows.is_empty() {
        return Err(Error::usage("stage of kind 'solve'")
            .found("a model whose effects have no weights per wavelength")
            .expected("an emulator or extinction among the effects")
            .remedy("Leave the stage out."));
    }
    Ok(rows)
}

fn shift(model: &ForwardModel, row: &WeightRow, by: f64) -> Result<ForwardModel> {
    let w = model.grid.len();
    let mut shifted = model.clone();
    let mut values = model.weights.values(&row.tensor)?;
    values[row.row * w..(row.row + 1) * w].iter_mut().for_each(|value| *value += by);
    shifted.weights.set(&row.tensor, &values, model.device())?;
    Ok(shifted)
}

/// H and g, wavelength by wavelength: `matrix[i]` is `[K, W·K]`, the rows of H that belong to wavelength `i`.
struct Sums {
    matrix: Vec<Array2<f64>>,
    gradient: Array2<f64>,
    /// Every so many stars enter the matrix.
    every: usize,
}

/// What a star adds: its marginal precision `[W, W]` and its adjusted residual C⁻¹(r − J A⁻¹ b) `[W]`.
struct Marginal {
    precision: Option<Vec<f64>>,
    residual: Vec<f64>,
}

impl Sums {
    /// The sums over the named stars, with the penalties of the recipe.
    fn of(state: &TrainingState, observations: &Observations, recipe: &Recipe, stars: &[usize]) -> Result<Self> {
        let rows = weight_rows(&state.model)?;
        let xi = Variation::of(&state.model)?.map(|variation| state.model.space.parameters[variation.position].name.clone());
        let held: Vec<String> = xi.into_iter().collect();
        let posterior = star_step::posterior_holding(state, observations, recipe, &held)?;
        let shifted = rows
            .iter()
            .map(|row| Ok([shift(&state.model, row, DIFFERENCE_STEP)?, shift(&state.model, row, -DIFFERENCE_STEP)?]))
            .collect::<Result<Vec<[ForwardModel; 2]>>>()?;
        let (k, w) = (rows.len(), state.model.grid.len());
        let every = stars.len().div_ceil(STARS_IN_MATRIX).max(1);
        let mut sums = Self { matrix: vec![Array2::zeros((k, w * k)); w], gradient: Array2::zeros((w, k)), every };
        for block in stars.chunks(BLOCK) {
            sums.add(state, observations, recipe, &posterior, &shifted, block)?;
        }
        sums.add_penalties(&state.model, recipe, &rows, stars.len())?;
        Ok(sums)
    }

    fn gradient_vector(&self) -> DVector<f64> {
        DVector::from_iterator(self.gradient.len(), self.gradient.iter().copied())
    }

    fn add(
        &mut self,
        state: &TrainingState,
        observations: &Observations,
        recipe: &Recipe,
        posterior: &Posterior<'_>,
        shifted: &[[ForwardModel; 2]],
        stars: &[usize],
    ) -> Result<()> {
        let free = posterior.free();
        let (n, p, w, k) = (stars.len(), free.len(), state.model.grid.len(), shifted.len());
        let coordinates = state.coordinates.select(Axis(0), stars);
        let normal = posterior.normal_equations(stars, posterior.free_coordinates(coordinates.view()).view())?;
        let flat: Vec<f64> = coordinates.iter().copied().collect();
        let jet = state.model.flux(state.model.device().tensor(&flat, [n, coordinates.ncols()]), free, Order::First)?;
        let flux = to_f64(jet.value.clone());
        let jacobian = jet.jacobian(p).map_or_else(|| vec![0.0; n * p * w], to_f64);
        // Slopes [W, n, K]: for each wavelength a matrix of stars by weight rows.
        let columns = shifted
            .par_iter()
            .map(|[up, down]| Ok((up.predict(coordinates.view())? - down.predict(coordinates.view())?) / (2.0 * DIFFERENCE_STEP)))
            .collect::<Result<Vec<Array2<f64>>>>()?;
        let mut slopes = Array3::zeros((w, n, k));
        for (index, column) in columns.iter().enumerate() {
            slopes.slice_mut(s![.., .., index]).assign(&column.t());
        }
        let marginals: Vec<Marginal> = (0..n)
            .into_par_iter()
            .map(|row| {
                let a = normal.curvature.index_axis(Axis(0), row).iter().map(|value| 0.5 * value).collect();
                let b = normal.gradient.row(row).iter().map(|value| 0.5 * value).collect();
                let flux = &flux[row * w..(row + 1) * w];
                let jacobian = &jacobian[row * p * w..(row + 1) * p * w];
                marginal(observations, recipe, stars[row], flux, jacobian, a, b, row % self.every == 0)
            })
            .collect();
        let scale = n as f64 / n.div_ceil(self.every) as f64;
        self.matrix.par_iter_mut().enumerate().for_each(|(i, rows)| {
            let left = slopes.index_axis(Axis(0), i);
            let mut weighted = Array2::zeros((n, k));
            for j in 0..=i {
                weighted.fill(0.0);
                for (row, marginal) in marginals.iter().enumerate() {
                    if let Some(precision) = &marginal.precision {
                        weighted.row_mut(row).scaled_add(scale * precision[i * w + j], &slopes.slice(s![j, row, ..]));
                    }
                }
                let mut block = rows.slice_mut(s![.., j * k..(j + 1) * k]);
                block += &left.t().dot(&weighted);
            }
        });
        for i in 0..w {
            let residual: Array1<f64> = marginals.iter().map(|marginal| marginal.residual[i]).collect();
            let mut gradient = self.gradient.row_mut(i);
            gradient += &slopes.index_axis(Axis(0), i).t().dot(&residual);
        }
        Ok(())
    }

    /// The penalties of the recipe, which belong to the mean loss of `n_stars`: their exact gradient, and
    /// their Hessian by differences of it (exact for the quadratic ones).
    fn add_penalties(&mut self, model: &ForwardModel, recipe: &Recipe, rows: &[WeightRow], n_stars: usize) -> Result<()> {
        let (w, k) = self.gradient.dim();
        let taped = model.to(&model.device().taped());
        let half = 0.5 * n_stars as f64;
        let strengths = recipe.strengths(n_stars);
        let gradient = |model: &ForwardModel| -> Result<Option<Array2<f64>>> {
            let Some(penalty) = model.penalty(&strengths)? else { return Ok(None) };
            let all = model.weights.host_gradients(penalty);
            let of = |row: &WeightRow| model.weights.names().iter().position(|name| *name == row.tensor).map(|at| &all[at]);
            Ok(Some(Array2::from_shape_fn((w, k), |(i, index)| {
                of(&rows[index]).map_or(0.0, |values| half * values[rows[index].row * w + i])
            })))
        };
        let Some(here) = gradient(&taped)? else { return Ok(()) };
        self.gradient += &here;
        for (index, row) in rows.iter().enumerate() {
            let values = taped.weights.values(&row.tensor)?;
            for i in 0..w {
                let mut shifted = taped.clone();
                let mut moved = values.clone();
                moved[row.row * w + i] += DIFFERENCE_STEP;
                shifted.weights.set(&row.tensor, &moved, taped.device())?;
                let Some(there) = gradient(&shifted)? else { continue };
                for ((j, other), difference) in (there - &here).indexed_iter() {
                    // Only the triangle j ≤ i is read.
                    if j <= i {
                        self.matrix[i][[index, j * k + other]] += difference / DIFFERENCE_STEP;
                    }
                }
            }
        }
        Ok(())
    }

    /// Factor of H + damping·diag H, in the order of `i·K + k`.
    fn factor(&self, damping: f64) -> Result<Cholesky<f64, Dyn>> {
        let (w, k) = self.gradient.dim();
        let mut matrix = DMatrix::zeros(w * k, w * k);
        for (i, rows) in self.matrix.iter().enumerate() {
            for ((row, column), &value) in rows.indexed_iter().filter(|((_, column), _)| *column < (i + 1) * k) {
                matrix[(i * k + row, column)] = value;
                matrix[(column, i * k + row)] = value;
            }
        }
        let mean = matrix.diagonal().mean();
        // Rounding of the 32-bit fluxes can leave slightly negative eigenvalues, which more damping covers.
        let mut damping = damping;
        while damping < 1.0 {
            let mut damped = matrix.clone();
            for i in 0..w * k {
                // The second term keeps weights without any data where they are.
                damped[(i, i)] += damping * (matrix[(i, i)] + 1e-2 * mean);
            }
            if let Some(factor) = damped.cholesky() {
                return Ok(factor);
            }
            damping *= 10.0;
        }
        Err(Error::numerical("wavelength step")
            .found("a matrix that is not positive-definite")
            .remedy("Constrain extinction and parallax in the recipe."))
    }
}

/// The marginal precision and residual of a star, zero where its loss is not finite.
#[allow(clippy::too_many_arguments)]
fn marginal(
    observations: &Observations,
    recipe: &Recipe,
    star: usize,
    flux: &[f64],
    jacobian: &[f64],
    mut a: Vec<f64>,
    mut b: Vec<f64>,
    in_matrix: bool,
) -> Marginal {
    let (w, p) = (flux.len(), b.len());
    // The residual and every column of J, whitened, then times Lᵀ.
    let mut vectors: Vec<f64> = flux.iter().zip(observations.flux.row(star)).map(|(f, &o)| f - f64::from(o)).collect();
    vectors.extend_from_slice(jacobian);
    let mut whitened = vec![0.0; vectors.len()];
    observations.whitening.whiten(star, &vectors, &mut whitened);
    let mut precise = vec![0.0; vectors.len()];
    for (from, to) in whitened.chunks_exact(w).zip(precise.chunks_exact_mut(w)) {
        observations.whitening.transpose_whiten(star, from, to);
    }
    let chi_square: f64 = whitened[..w].iter().map(|value| value * value).sum();
    if !chi_square.is_finite() || !cholesky_in_place(&mut a, p) {
        return Marginal { precision: None, residual: vec![0.0; w] };
    }
    let weight = recipe.loss.robust_slope(chi_square);
    cholesky_solve_in_place(&a, p, &mut b);
    let column = |i: usize| (0..p).map(move |q| (1 + q) * w + i);
    let residual = (0..w)
        .map(|i| weight * (precise[i] - column(i).zip(&b).map(|(at, response)| precise[at] * response).sum::<f64>()))
        .collect();
    let precision = in_matrix.then(|| {
        let mut precision = observations.whitening.inverse_covariance(star);
        for j in 0..w {
            let mut solved: Vec<f64> = column(j).map(|at| precise[at]).collect();
            cholesky_solve_in_place(&a, p, &mut solved);
            for i in 0..w {
                let shared: f64 = column(i).zip(&solved).map(|(at, solved)| precise[at] * solved).sum();
                precision[i * w + j] = weight * (precision[i * w + j] - shared);
            }
        }
        precision
    });
    Marginal { precision, residual }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Registry;
    use crate::observations::Grid;
    use crate::tensor::Device;

    #[test]
    fn a_step_that_could_not_be_held_is_refused_with_its_size() {
        let recipe = "description = 'test'\n[[effect]]\nkind = 'emulator'\nhidden = [32]\n[[effect]]\nkind = 'extinction'\n\
                      [[stage]]\nkind = 'solve'\nname = 'solve'\nsteps = 1\n";
        let recipe = Recipe::parse(recipe, "test").unwrap();
        let of = |w: usize| {
            let wavelength = (0..w).map(|i| 400.0 + 0.1 * i as f64).collect();
            let grid = Grid::new(wavelength, (0..w).map(|i| format!("p{i}")).collect()).unwrap();
            require_size(&ForwardModel::new(&Registry::standard(), &recipe.effects, grid, 1, &Device::cpu()).unwrap())
        };
        assert!(of(400).is_ok());
        let message = of(5500).unwrap_err().to_string();
        assert!(message.contains("34 weights at each of 5500 wavelengths, whose step would take 782 GiB"), "{message}");
    }
}
