//! Do labels come from their own lines? Gradients against the truth, and the cheat test.

use super::engine::{PixelModel, evaluate_all};
use super::labels::LabelSpace;
use nalgebra::{DMatrix, DVector};
use ndarray::{ArrayView2, ArrayView3, Axis, s};

/// How well a model's gradients by a label agree with the truth, over spectra and pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Fidelity {
    pub label: String,
    /// Σ ab / √(Σ a² Σ b²).
    pub correlation: f64,
    /// Σ ab / Σ b² with b the truth: 1 where the model's lines are as strong.
    pub amplitude: f64,
}

/// Gradients of a model at `labels [N, L]` against those of a synthesis, `gradient [N, L, W]` per unit of the
/// label.
pub fn gradient_fidelity(model: &dyn PixelModel, labels: ArrayView2<f64>, gradient: ArrayView3<f64>) -> Vec<Fidelity> {
    gradient_fidelity_of(model, labels, gradient, &[])
}

/// Stars whose gradients are looked at together.
const TOGETHER: usize = 64;

/// The same of gradients in any precision, with some pixels left out that a model was not trained on.
pub fn gradient_fidelity_of<T: Copy + Into<f64>>(
    model: &dyn PixelModel,
    labels: ArrayView2<f64>,
    gradient: ArrayView3<T>,
    left_out: &[usize],
) -> Vec<Fidelity> {
    let space = model.space();
    let mut takes_part = vec![true; model.n_pixels()];
    left_out.iter().for_each(|&pixel| takes_part[pixel] = false);
    // Products, squares, squares of the truth.
    let mut sums = vec![[0.0; 3]; space.len()];
    for first in (0..labels.nrows()).step_by(TOGETHER) {
        let stars = first..(first + TOGETHER).min(labels.nrows());
        let own = evaluate_all(model, labels.slice(s![stars.clone(), ..]));
        for (k, sums) in sums.iter_mut().enumerate() {
            for i in stars.clone() {
                for w in (0..model.n_pixels()).filter(|&w| takes_part[w]) {
                    let truth: f64 = gradient[[i, k, w]].into();
                    let (a, b) = (f64::from(own[[i - first, 1 + k, w]]), truth * space.width(k));
                    *sums = [sums[0] + a * b, sums[1] + a * a, sums[2] + b * b];
                }
            }
        }
    }
    let of_label = |(label, [products, squares, of_truth]): (&String, [f64; 3])| Fidelity {
        label: label.clone(),
        correlation: products / (squares * of_truth).sqrt(),
        amplitude: products / of_truth,
    };
    space.names.iter().zip(sums).map(of_label).collect()
}

/// Response of the estimates of a label: estimate = a + b · truth + c · (what the other labels predict).
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub label: String,
    /// Number of the stars whose spectra tell the label ([`largest_error`]), which alone are judged.
    pub n_stars: usize,
    /// b: 1 where the label is measured. NaN where fewer than twice as many stars tell it as there are
    /// labels.
    pub own: f64,
    /// c: 0 where it is not inferred from the other labels; NaN as b.
    pub predicted: f64,
    /// Standard deviation of the prediction, in the label's unit; where it is small, c says nothing.
    pub spread: f64,
}

/// Cramér–Rao bound up to which the spectrum of a star is said to tell a label, in the label's unit: 100 K,
/// 0.1 dex or km/s, and a tenth of the range of the training for other units. An error of the model's flux
/// moves a label in proportion to its bound, so that a hot, metal-poor star, which says nothing of nitrogen,
/// would decide what is found of all.
pub fn largest_error(space: &LabelSpace, label: usize) -> f64 {
    match space.units[label].as_str() {
        "K" => 100.0,
        "dex" | "km.s**-1" => 0.1,
        _ => 0.1 * space.width(label),
    }
}

/// The cheat test: `estimates` and `truth [N, L]` of stars whose abundance ratios are not correlated as those
/// of `natural [M, L]`, the stars of the training. `errors [N, L]` are the bounds at the signal-to-noise
/// ratio at which the labels are to be judged: of every label the stars below [`largest_error`] take part.
/// What the others predict of a label is the linear regression over the natural stars.
pub fn responses(
    space: &LabelSpace,
    estimates: ArrayView2<f64>,
    errors: ArrayView2<f64>,
    truth: ArrayView2<f64>,
    natural: ArrayView2<f64>,
) -> Vec<Response> {
    let (natural, scaled) = (space.scale(natural), space.scale(truth));
    let of_label = |k: usize| {
        let others: Vec<usize> = (0..space.len()).filter(|other| *other != k).collect();
        let design = |labels: &ndarray::Array2<f64>| {
            DMatrix::from_fn(labels.nrows(), space.len(), |i, j| others.get(j).map_or(1.0, |&other| labels[[i, other]]))
        };
        let coefficients =
            least_squares(design(&natural), DVector::from_iterator(natural.nrows(), natural.column(k).iter().copied()));
        let stars: Vec<usize> = (0..truth.nrows()).filter(|&star| errors[[star, k]] < largest_error(space, k)).collect();
        let label = space.names[k].clone();
        if stars.len() < 2 * space.len() {
            return Response { label, n_stars: stars.len(), own: f64::NAN, predicted: f64::NAN, spread: f64::NAN };
        }
        let scaled = scaled.select(Axis(0), &stars);
        let predicted = design(&scaled) * coefficients;
        let regressors = DMatrix::from_fn(scaled.nrows(), 3, |i, j| match j {
            0 => 1.0,
            1 => scaled[[i, k]],
            _ => predicted[i],
        });
        let scaled_estimate = |i: usize, _| (estimates[[stars[i], k]] - space.minimum[k]) / space.width(k) - 0.5;
        let found = least_squares(regressors, DVector::from_fn(stars.len(), scaled_estimate));
        let mean = predicted.mean();
        let spread = (predicted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / predicted.len() as f64).sqrt();
        Response { label, n_stars: stars.len(), own: found[1], predicted: found[2], spread: spread * space.width(k) }
    };
    (0..space.len()).map(of_label).collect()
}

/// By normal equations with a ridge far below rounding's reach; NaN where there is no solution.
fn least_squares(design: DMatrix<f64>, target: DVector<f64>) -> DVector<f64> {
    let n = design.ncols();
    let normal = design.tr_mul(&design);
    let ridge = DMatrix::identity(n, n) * (1e-12 * normal.trace());
    let right = design.tr_mul(&target);
    (normal + ridge).cholesky().map_or_else(|| DVector::from_element(n, f64::NAN), |factor| factor.solve(&right))
}
