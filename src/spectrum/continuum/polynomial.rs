//! Polynomials between splits, by weighted least squares in a Chebyshev basis over each piece, with pixels
//! clipped that lie far below (lines) or above (cosmics). A polynomial and a Chebyshev series of the same
//! degree are the same curve; the basis only keeps the equations well conditioned.

use super::ContinuumOptions;
use nalgebra::{DMatrix, DVector};

/// Polynomials on a grid.
#[derive(Debug, Clone)]
pub struct PiecewisePolynomial {
    degree: usize,
    clip: [f64; 2],
    iterations: usize,
    pieces: Vec<Piece>,
}

/// The pixels from `start` on, with their Chebyshev polynomials `[n, degree + 1]`.
#[derive(Debug, Clone)]
struct Piece {
    start: usize,
    basis: Vec<f64>,
}

impl PiecewisePolynomial {
    /// Highest degree that is fitted.
    pub const MOST_DEGREE: usize = 30;

    /// On the pixels `centres` (Å, rising).
    pub fn new(centres: &[f64], options: &ContinuumOptions) -> Self {
        let mut bounds: Vec<usize> =
            options.splits.iter().map(|&split| centres.partition_point(|&centre| centre < split)).collect();
        bounds.insert(0, 0);
        bounds.push(centres.len());
        let pieces = bounds.windows(2).filter(|pair| pair[0] < pair[1]);
        let pieces = pieces.map(|pair| Piece::new(&centres[pair[0]..pair[1]], pair[0], options.degree)).collect();
        Self { degree: options.degree, clip: options.clip, iterations: options.iterations, pieces }
    }

    /// The curve at every pixel; NaN throughout a piece with too few good pixels.
    pub fn of(&self, flux: &[f64], weight: &[f64]) -> Vec<f64> {
        let mut curve = vec![f64::NAN; flux.len()];
        for piece in &self.pieces {
            let n = piece.basis.len() / (self.degree + 1);
            let range = piece.start..piece.start + n;
            if let Some(values) = self.fit(piece, &flux[range.clone()], &weight[range.clone()]) {
                curve[range].copy_from_slice(&values);
            }
        }
        curve
    }

    fn fit(&self, piece: &Piece, flux: &[f64], weight: &[f64]) -> Option<Vec<f64>> {
        let k = self.degree + 1;
        let mut used: Vec<bool> = flux.iter().zip(weight).map(|(flux, weight)| flux.is_finite() && *weight > 0.0).collect();
        let mut curve = None;
        for _ in 0..self.iterations {
            let n_used = used.iter().filter(|&&used| used).count();
            if n_used <= k {
                return curve;
            }
            let (mut normal, mut right) = (DMatrix::<f64>::zeros(k, k), DVector::<f64>::zeros(k));
            for i in (0..flux.len()).filter(|&i| used[i]) {
                let row = &piece.basis[i * k..(i + 1) * k];
                for a in 0..k {
                    right[a] += weight[i] * row[a] * flux[i];
                    for b in 0..=a {
                        normal[(a, b)] += weight[i] * row[a] * row[b];
                    }
                }
            }
            normal.fill_upper_triangle_with_lower_triangle();
            let coefficients = normal.cholesky()?.solve(&right);
            let values: Vec<f64> =
                piece.basis.chunks(k).map(|row| row.iter().zip(coefficients.iter()).map(|(b, c)| b * c).sum()).collect();
            let residuals: Vec<f64> = (0..flux.len()).map(|i| flux[i] - values[i]).collect();
            let squares: f64 = (0..flux.len()).filter(|&i| used[i]).map(|i| residuals[i].powi(2)).sum();
            let sigma = (squares / n_used as f64).sqrt();
            let stays = |i: usize| residuals[i] >= -self.clip[0] * sigma && residuals[i] <= self.clip[1] * sigma;
            let next: Vec<bool> = (0..flux.len()).map(|i| used[i] && stays(i)).collect();
            curve = Some(values);
            if next == used {
                break;
            }
            used = next;
        }
        curve
    }
}

impl Piece {
    fn new(centres: &[f64], start: usize, degree: usize) -> Self {
        let (low, high) = (centres[0], centres[centres.len() - 1]);
        let scaled = |centre: f64| if high > low { 2.0 * (centre - low) / (high - low) - 1.0 } else { 0.0 };
        let mut basis = Vec::with_capacity(centres.len() * (degree + 1));
        for &centre in centres {
            let x = scaled(centre);
            let (mut before, mut now) = (1.0, x);
            for _ in 0..=degree {
                basis.push(before);
                (before, now) = (now, 2.0 * x * now - before);
            }
        }
        Self { start, basis }
    }
}
