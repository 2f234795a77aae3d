//! The mean of a spectrum under a Gaussian kernel in wavelength: c(λᵢ) = Σⱼ wⱼ g(λᵢ − λⱼ) fⱼ / Σⱼ wⱼ g(λᵢ −
//! λⱼ), with σ = L = 20 Å (Zhang et al. 2024, eqs. 1–2). The print has no weights, so that a bad pixel
//! would enter: w is the inverse variance, 0 where masked.

use std::ops::Range;

/// Kernel widths after which nothing is added: exp(−12.5) of the centre.
const REACH: f64 = 5.0;
/// Part of the kernel's own weight that good pixels have to bear; beyond that a continuum is an
/// extrapolation.
const LEAST_SUPPORT: f64 = 0.05;

/// The pixels within reach of every pixel.
fn reaches(centres: &[f64], sigma: f64) -> impl Iterator<Item = Range<usize>> {
    let (mut low, mut high) = (0, 0);
    centres.iter().map(move |centre| {
        while centres[low] < centre - REACH * sigma {
            low += 1;
        }
        while high < centres.len() && centres[high] <= centre + REACH * sigma {
            high += 1;
        }
        low..high
    })
}

/// The kernel at every pixel of a grid.
#[derive(Debug, Clone)]
pub struct GaussianKernel {
    /// First pixel, and place of the first weight, of every pixel; the weights end where the next ones begin.
    rows: Vec<(usize, usize)>,
    weights: Vec<f32>,
    /// Sum of the weights of every pixel.
    whole: Vec<f64>,
}

impl GaussianKernel {
    /// Most weights that a kernel may have on a grid: 256 MB. The whole of DESI's 7781 pixels under a kernel
    /// of any width has fewer.
    pub const MOST_WEIGHTS: usize = 1 << 26;

    /// Number of weights on the pixels `centres` (Å, rising): of every pixel, those within reach of the width
    /// σ (Å).
    pub fn n_weights(centres: &[f64], sigma: f64) -> usize {
        reaches(centres, sigma).map(|reach| reach.len()).sum()
    }

    /// On the pixels `centres` (Å, rising), with the width σ in Å.
    pub fn new(centres: &[f64], sigma: f64) -> Self {
        let (mut rows, mut whole) = (Vec::with_capacity(centres.len() + 1), Vec::with_capacity(centres.len()));
        let mut weights = Vec::with_capacity(Self::n_weights(centres, sigma));
        for (centre, reach) in centres.iter().zip(reaches(centres, sigma)) {
            rows.push((reach.start, weights.len()));
            weights.extend(centres[reach].iter().map(|other| (-0.5 * ((other - centre) / sigma).powi(2)).exp() as f32));
            whole.push(weights[rows[rows.len() - 1].1..].iter().copied().map(f64::from).sum());
        }
        rows.push((0, weights.len()));
        Self { rows, weights, whole }
    }

    /// The mean at every pixel; NaN where hardly any good pixel is near.
    pub fn of(&self, flux: &[f64], weight: &[f64]) -> Vec<f64> {
        // Selected beforehand: 0 · NaN is NaN.
        let is_good: Vec<bool> = flux.iter().zip(weight).map(|(flux, &weight)| weight > 0.0 && flux.is_finite()).collect();
        let selected = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..flux.len()).map(|i| if is_good[i] { value(i) } else { 0.0 }).collect()
        };
        let (flux, weight) = (selected(&|i| weight[i] * flux[i]), selected(&|i| weight[i]));
        let good = selected(&|_| 1.0);
        let mean = |i: usize| {
            let ((first, start), end) = (self.rows[i], self.rows[i + 1].1);
            let kernel = &self.weights[start..end];
            let sum = |values: &[f64]| dot(kernel, &values[first..first + kernel.len()]);
            if sum(&good) < LEAST_SUPPORT * self.whole[i] { f64::NAN } else { sum(&flux) / sum(&weight) }
        };
        (0..flux.len()).map(mean).collect()
    }
}

/// Σ kernel · values, in eight sums that run side by side.
fn dot(kernel: &[f32], values: &[f64]) -> f64 {
    let ((kernels, kernel), (chunks, values)) = (kernel.as_chunks::<8>(), values.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (kernel, values) in kernels.iter().zip(chunks) {
        for lane in 0..8 {
            sums[lane] += f64::from(kernel[lane]) * values[lane];
        }
    }
    let rest: f64 = kernel.iter().zip(values).map(|(&kernel, value)| f64::from(kernel) * value).sum();
    sums.iter().sum::<f64>() + rest
}
