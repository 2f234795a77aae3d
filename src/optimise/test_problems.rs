//! Problems with known optima for the tests of the optimisers.

use super::{Barrier, Normal, NormalEquations, Problems};
use crate::error::Result;
use ndarray::{Array2, Array3, ArrayView2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Loss, gradient `[P]` and curvature `[P, P]` of one problem at one point.
pub struct Local {
    pub loss: f64,
    pub gradient: Vec<f64>,
    pub curvature: Vec<f64>,
}

/// Sum of squares of residuals, each given with its row of the Jacobian.
pub fn sum_of_squares<const P: usize>(rows: &[(f64, [f64; P])]) -> Local {
    let mut local = Local { loss: 0.0, gradient: vec![0.0; P], curvature: vec![0.0; P * P] };
    for (residual, slope) in rows {
        local.loss += residual * residual;
        for i in 0..P {
            local.gradient[i] += 2.0 * residual * slope[i];
            for j in 0..P {
                local.curvature[i * P + j] += 2.0 * slope[i] * slope[j];
            }
        }
    }
    local
}

/// `n` problems given by a function of the problem's index and coordinates.
pub struct Function<F> {
    pub n: usize,
    pub n_parameters: usize,
    pub at: F,
}

impl<F: Fn(usize, &[f64]) -> Local + Sync> NormalEquations for Function<F> {
    fn n_problems(&self) -> usize {
        self.n
    }

    fn n_parameters(&self) -> usize {
        self.n_parameters
    }

    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal> {
        let (n, p) = (problems.len(), self.n_parameters);
        let mut normal = Normal { loss: vec![0.0; n], gradient: Array2::zeros((n, p)), curvature: Array3::zeros((n, p, p)) };
        for (row, (&problem, x)) in problems.iter().zip(coordinates.rows()).enumerate() {
            let local = (self.at)(problem, &x.to_vec());
            normal.loss[row] = local.loss;
            normal.gradient.row_mut(row).iter_mut().zip(local.gradient).for_each(|(slot, value)| *slot = value);
            let mut curvature = normal.curvature.index_axis_mut(ndarray::Axis(0), row);
            curvature.iter_mut().zip(local.curvature).for_each(|(slot, value)| *slot = value);
        }
        Ok(normal)
    }

    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        Ok(problems.iter().zip(coordinates.rows()).map(|(&problem, x)| (self.at)(problem, &x.to_vec()).loss).collect())
    }
}

impl<F: Fn(usize, &[f64]) -> Local + Sync> Problems for Function<F> {}

/// One problem Σ w_i x_i².
pub fn diagonal<const P: usize>(weights: [f64; P]) -> impl Problems {
    let at = move |_: usize, x: &[f64]| {
        let rows: Vec<(f64, [f64; P])> = (0..P)
            .map(|i| {
                let root = weights[i].sqrt();
                (root * x[i], std::array::from_fn(|j| if i == j { root } else { 0.0 }))
            })
            .collect();
        sum_of_squares(&rows)
    };
    Function { n: 1, n_parameters: P, at }
}

/// `n` times Rosenbrock's function (1 − x)² + 100 (y − x²)².
pub fn rosenbrock(n: usize) -> impl Problems {
    let at =
        |_: usize, x: &[f64]| sum_of_squares(&[(1.0 - x[0], [-1.0, 0.0]), (10.0 * (x[1] - x[0] * x[0]), [-20.0 * x[0], 10.0])]);
    Function { n, n_parameters: 2, at }
}

const N_WAVELENGTHS: usize = 30;

/// Toy stars with the structure of the real problem: coordinates (three labels z, ln E, ln ϖ), flux ϖ²
/// exp(y(z) − E R(λ)) with 1 % errors, 5 % parallaxes, standard normal priors on z and the Jacobians −2 ln E
/// − 2 ln ϖ.
#[derive(Clone)]
pub struct Stars {
    pub flux: Vec<[f64; N_WAVELENGTHS]>,
    pub parallax: Vec<(f64, f64)>,
    /// Whether steps know that E is positive.
    pub barrier: bool,
    /// ln E over its coordinate.
    pub scale: f64,
}

impl Stars {
    pub fn simulate(n: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f64 { rng.sample(StandardNormal) };
        let (mut flux, mut parallax) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let mut truth: [f64; 5] = std::array::from_fn(|_| 0.8 * normal());
            truth[3] -= 1.5;
            flux.push(std::array::from_fn(|w| model(&truth, w).0 * (1.0 + 0.01 * normal())));
            let error = 0.05 * truth[4].exp();
            parallax.push((truth[4].exp() + error * normal(), error));
        }
        Self { flux, parallax, barrier: true, scale: 1.0 }
    }

    /// The same stars in another order, or some of them.
    pub fn permuted(&self, order: &[usize]) -> Self {
        let of = |i: &usize| (self.flux[*i], self.parallax[*i]);
        let (flux, parallax) = order.iter().map(of).unzip();
        Self { flux, parallax, ..*self }
    }

    /// Mean labels, E = 0.2 and the parallax that the mean flux suggests.
    pub fn start(&self) -> Array2<f64> {
        Array2::from_shape_fn((self.flux.len(), 5), |(i, j)| match j {
            3 => 0.2_f64.ln() / self.scale,
            4 => 0.5 * (self.flux[i].iter().sum::<f64>() / N_WAVELENGTHS as f64).ln(),
            _ => 0.0,
        })
    }

    /// The problem as a function.
    pub fn at(&self, star: usize, x: &[f64]) -> Local {
        let x = &[x[0], x[1], x[2], self.scale * x[3], x[4]];
        let mut rows: Vec<(f64, [f64; 5])> = (0..N_WAVELENGTHS)
            .map(|w| {
                let (flux, slope) = model(x, w);
                let error = 0.01 * self.flux[star][w];
                ((flux - self.flux[star][w]) / error, slope.map(|derivative| derivative * flux / error))
            })
            .collect();
        rows.extend((0..3).map(|j| (x[j], std::array::from_fn(|k| if j == k { 1.0 } else { 0.0 }))));
        let (parallax, error) = self.parallax[star];
        rows.push(((x[4].exp() - parallax) / error, [0.0, 0.0, 0.0, 0.0, x[4].exp() / error]));
        let mut local = sum_of_squares(&rows);
        // The Jacobian terms, with the curvature that the data have along them at the optimum (see
        // prior::positivity).
        local.curvature[18] += 2.0;
        local.curvature[24] += 2.0;
        local.loss -= 2.0 * (x[3] + x[4]);
        local.gradient[3] -= 2.0;
        local.gradient[4] -= 2.0;
        local.gradient[3] *= self.scale;
        for i in 0..5 {
            local.curvature[15 + i] *= self.scale;
            local.curvature[5 * i + 3] *= self.scale;
        }
        local
    }

    fn function(&self) -> Function<impl Fn(usize, &[f64]) -> Local + Sync> {
        Function { n: self.flux.len(), n_parameters: 5, at: |star, x: &[f64]| self.at(star, x) }
    }
}

impl NormalEquations for Stars {
    fn n_problems(&self) -> usize {
        self.flux.len()
    }

    fn n_parameters(&self) -> usize {
        5
    }

    fn normal_equations(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Normal> {
        self.function().normal_equations(problems, coordinates)
    }

    fn loss(&self, problems: &[usize], coordinates: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
        self.function().loss(problems, coordinates)
    }
}

impl Problems for Stars {
    fn barriers(&self) -> Vec<Barrier> {
        self.barrier.then_some(Barrier { position: 3, scale: self.scale }).into_iter().collect()
    }
}

/// Flux and ∂ ln flux / ∂ coordinate at one wavelength.
fn model(x: &[f64], w: usize) -> (f64, [f64; 5]) {
    let s = w as f64 / (N_WAVELENGTHS - 1) as f64;
    let (tanh, line, wave) = ((x[0] * (1.0 - s)).tanh(), 0.15 * (6.0 * s).sin(), 0.1 * (4.0 * s).cos());
    let gravity = 0.1 * (9.0 * s).cos() - 1.0 + x[0] * wave;
    let y = 1.5 * tanh + 0.5 * x[0] + line * x[1] * (1.0 + 0.3 * x[0]) + x[2] * gravity;
    let dust = x[3].exp() * (0.2 + 1.5 * (1.0 - s));
    let slope = [
        1.5 * (1.0 - s) * (1.0 - tanh * tanh) + 0.5 + 0.3 * line * x[1] + x[2] * wave,
        line * (1.0 + 0.3 * x[0]),
        gravity,
        -dust,
        2.0,
    ];
    ((2.0 * x[4] + y - dust).exp(), slope)
}
