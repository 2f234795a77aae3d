//! Do labels come from their own lines? Gradients against the truth, and the cheat test.

use super::engine::{PixelModel, evaluate_all};
use super::labels::LabelSpace;
use nalgebra::{DMatrix, DVector};
use ndarray::{ArrayView2, ArrayView3};

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
    let space = model.space();
    let own = evaluate_all(model, labels);
    let of_label = |k: usize| {
        let (mut products, mut squares, mut of_truth) = (0.0, 0.0, 0.0);
        for i in 0..labels.nrows() {
            for w in 0..model.n_pixels() {
                let (a, b) = (f64::from(own[[i, 1 + k, w]]), gradient[[i, k, w]] * space.width(k));
                products += a * b;
                squares += a * a;
                of_truth += b * b;
            }
        }
        Fidelity {
            label: space.names[k].clone(),
            correlation: products / (squares * of_truth).sqrt(),
            amplitude: products / of_truth,
        }
    };
    (0..space.len()).map(of_label).collect()
}

/// Response of the estimates of a label: estimate = a + b · truth + c · (what the other labels predict).
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub label: String,
    /// b: 1 where the label is measured.
    pub own: f64,
    /// c: 0 where it is not inferred from the other labels.
    pub predicted: f64,
    /// Standard deviation of the prediction, in the label's unit; where it is small, c says nothing.
    pub spread: f64,
}

/// The cheat test: `estimates` and `truth [N, L]` of stars whose abundance ratios are not correlated as those
/// of `natural [M, L]`, the stars of the training. What the others predict of a label is the linear
/// regression over the natural stars.
pub fn responses(
    space: &LabelSpace,
    estimates: ArrayView2<f64>,
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
        let predicted = design(&scaled) * coefficients;
        let regressors = DMatrix::from_fn(scaled.nrows(), 3, |i, j| match j {
            0 => 1.0,
            1 => scaled[[i, k]],
            _ => predicted[i],
        });
        let estimates = DVector::from_fn(scaled.nrows(), |i, _| (estimates[[i, k]] - space.minimum[k]) / space.width(k) - 0.5);
        let found = least_squares(regressors, estimates);
        let mean = predicted.mean();
        let spread = (predicted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / predicted.len() as f64).sqrt();
        Response { label: space.names[k].clone(), own: found[1], predicted: found[2], spread: spread * space.width(k) }
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
