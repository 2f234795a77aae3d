//! Reddening by star pairs (Yuan, Liu & Xiang 2013, MNRAS 430, 2188): the colours of a star less the
//! intrinsic ones that its neighbours in label space have.
//!
//! ```text
//! controls   c₀ = c − ΔA(E_map; T_eff, [Fe/H])          local linear regression ─► ĉ₀, slopes G, residuals R
//! target     c − ĉ₀ = ΔA(E) + noise,   C = C_photometric + S + R Σlᵢ² + Gᵀ Σ_labels G
//! E          generalised least squares, Gauss–Newton in E;  σ_E = (κᵀ C⁻¹ κ)^(−1/2), κ = ∂ΔA/∂E
//! ```
//!
//! S is the scatter of intrinsic colours at given labels: the residuals' covariance less what photometry, map
//! and errors of the controls' labels put into it. Colours that share a band are correlated, which C knows.

use super::bands::Band;
use super::columns::LabelledStar;
use super::regression::{LocalFit, not_negative};
use super::space::{LabelSpace, Neighbourhood};
use crate::statistics::{Measured, chi_square_tail, median};
use nalgebra::{DMatrix, DVector};

/// Residuals beyond this many robust deviations are left out, and the regression is made again.
const OUTLIERS: f64 = 4.0;
/// How often.
const ROUNDS: usize = 3;
/// Gauss–Newton steps for E.
const STEPS: usize = 8;

/// A star whose intrinsic colours are known.
#[derive(Debug, Clone)]
struct ColourControl {
    /// Magnitudes without extinction less that of the first band, of the other bands.
    relative: Vec<f64>,
    /// Squares of the errors of the magnitudes of all bands.
    photometric: Vec<f64>,
    /// ∂(A − A of the first band)/∂E of the other bands.
    per_reddening: Vec<f64>,
    /// Square of the error of the map.
    map: f64,
    /// Squares of the errors of the coordinates.
    labels: Vec<f64>,
}

/// Controls of intrinsic colours.
#[derive(Debug)]
pub struct ColourControls {
    space: LabelSpace,
    controls: Vec<ColourControl>,
    /// Bands used, by their place in the recipe.
    used: Vec<usize>,
}

/// A reddening by star pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct PairReddening {
    /// E(B−V), mag.
    pub reddening: Measured,
    pub chi_square: f64,
    /// Colours less one.
    pub n_dof: usize,
    /// Probability of a larger χ²; NaN of one colour.
    pub probability: f64,
    /// Controls that were used.
    pub n_controls: usize,
    /// ∂E/∂coordinate.
    pub per_label: Vec<f64>,
    /// Distance of the nearest control, and whether they surround the star.
    pub nearest: f64,
    pub is_surrounded: bool,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReddening {
    FewControls,
    NoColour,
}

impl ColourControls {
    /// Of stars with labels, a map, and magnitudes in all `used` bands; others are passed by.
    pub fn new(stars: &[(i64, &LabelledStar)], bands: &[Band], used: Vec<usize>, r_v: f64) -> Self {
        let has_all = |star: &LabelledStar| used.iter().all(|&band| star.magnitudes[band].value.is_finite());
        let good: Vec<&(i64, &LabelledStar)> =
            stars.iter().filter(|(_, star)| star.has_labels() && has_all(star) && star.map.value.is_finite()).collect();
        let control = |star: &LabelledStar| {
            let extinctions: Vec<_> =
                used.iter().map(|&band| bands[band].extinction_at(star.teff, star.feh, star.map.value, r_v)).collect();
            let dereddened: Vec<f64> =
                used.iter().zip(&extinctions).map(|(&band, extinction)| star.magnitudes[band].value - extinction.value).collect();
            ColourControl {
                relative: dereddened[1..].iter().map(|magnitude| magnitude - dereddened[0]).collect(),
                photometric: used.iter().map(|&band| star.magnitudes[band].error.powi(2)).collect(),
                per_reddening: extinctions[1..].iter().map(|of| of.per_reddening - extinctions[0].per_reddening).collect(),
                map: star.map.error.powi(2),
                labels: star.variances(),
            }
        };
        let dimensions = good.first().map_or(1, |(_, star)| star.coordinates.len());
        Self {
            space: LabelSpace::new(
                dimensions,
                good.iter().map(|(_, star)| star.point()).collect(),
                good.iter().map(|(id, _)| *id).collect(),
            ),
            controls: good.iter().map(|(_, star)| control(star)).collect(),
            used,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.controls.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.controls.is_empty()
    }

    /// The reddening of a star with labels, by at most `count` and at least `least` controls.
    ///
    /// # Errors
    /// The reason when there is none.
    pub fn reddening(
        &self,
        (id, star): (i64, &LabelledStar),
        (count, least): (usize, usize),
        (bands, r_v): (&[Band], f64),
    ) -> Result<PairReddening, NoReddening> {
        let there: Vec<usize> = (0..self.used.len()).filter(|&k| star.magnitudes[self.used[k]].value.is_finite()).collect();
        if there.len() < 2 {
            return Err(NoReddening::NoColour);
        }
        let around = self.space.around(&star.point(), count, id);
        let intrinsic = self.intrinsic(&around, least).ok_or(NoReddening::FewControls)?;
        let colours = self.differences(&there);
        // Covariance of the colours.
        let mut covariance = &colours * &intrinsic.covariance * colours.transpose();
        let slopes = &intrinsic.slopes * colours.transpose();
        for (axis, variance) in star.variances().into_iter().enumerate() {
            let slope = slopes.row(axis).transpose();
            covariance.ger(variance, &slope, &slope, 1.0);
        }
        let magnitude = |k: usize| star.magnitudes[self.used[there[k]]];
        for k in 0..colours.nrows() {
            covariance[(k, k)] += magnitude(k).error.powi(2) + magnitude(k + 1).error.powi(2);
            if k > 0 {
                let shared = magnitude(k).error.powi(2);
                covariance[(k, k - 1)] -= shared;
                covariance[(k - 1, k)] -= shared;
            }
        }
        let excess =
            DVector::from_fn(colours.nrows(), |k, _| magnitude(k).value - magnitude(k + 1).value) - &colours * &intrinsic.at_star;
        let inverse = covariance.cholesky().ok_or(NoReddening::FewControls)?.inverse();
        let mut reddening = 0.0;
        let model = |reddening: f64| {
            let of: Vec<_> =
                there.iter().map(|&k| bands[self.used[k]].extinction_at(star.teff, star.feh, reddening, r_v)).collect();
            let difference = |value: &dyn Fn(usize) -> f64| DVector::from_fn(of.len() - 1, |k, _| value(k) - value(k + 1));
            (difference(&|k| of[k].value), difference(&|k| of[k].per_reddening))
        };
        for _ in 0..STEPS {
            let (values, kappa) = model(reddening);
            let weighted = &inverse * &kappa;
            let step = weighted.dot(&(&excess - values)) / weighted.dot(&kappa);
            reddening += if step.is_finite() { step } else { return Err(NoReddening::NoColour) };
            if step.abs() < 1e-9 {
                break;
            }
        }
        let (values, kappa) = model(reddening);
        let residual = &excess - values;
        let weighted = &inverse * &kappa;
        let precision = weighted.dot(&kappa);
        let (chi_square, n_dof) = (residual.dot(&(&inverse * &residual)), there.len() - 2);
        let error = precision.sqrt().recip();
        if !(reddening.is_finite() && error.is_finite()) {
            return Err(NoReddening::NoColour);
        }
        Ok(PairReddening {
            reddening: Measured { value: reddening, error },
            chi_square,
            n_dof,
            probability: if n_dof == 0 { f64::NAN } else { chi_square_tail(chi_square, n_dof as f64) },
            n_controls: intrinsic.n_controls,
            per_label: (0..slopes.nrows()).map(|axis| -weighted.dot(&slopes.row(axis).transpose()) / precision).collect(),
            nearest: around.nearest,
            is_surrounded: around.surrounds(),
        })
    }

    /// The matrix that makes colours, each band less the next that is there, of relative magnitudes.
    fn differences(&self, there: &[usize]) -> DMatrix<f64> {
        let mut colours = DMatrix::zeros(there.len() - 1, self.used.len() - 1);
        for (row, pair) in there.windows(2).enumerate() {
            if pair[0] > 0 {
                colours[(row, pair[0] - 1)] = 1.0;
            }
            colours[(row, pair[1] - 1)] = -1.0;
        }
        colours
    }

    /// Relative magnitudes at the centre of a neighbourhood.
    fn intrinsic(&self, around: &Neighbourhood, least: usize) -> Option<Intrinsic> {
        if around.rows.len() < least {
            return None;
        }
        let outputs = DMatrix::from_fn(around.rows.len(), self.used.len() - 1, |i, k| self.controls[around.rows[i]].relative[k]);
        let mut weights = around.kernel.clone();
        let mut fit = LocalFit::of(&around.offsets, &weights, &outputs)?;
        for _ in 0..ROUNDS {
            let residuals = DMatrix::from_fn(outputs.nrows(), outputs.ncols(), |i, k| {
                let slope: f64 = around.offsets[i].iter().zip(fit.slopes.column(k).iter()).map(|(x, slope)| x * slope).sum();
                outputs[(i, k)] - fit.at_star[k] - slope
            });
            let scatter: Vec<f64> = (0..outputs.ncols())
                .map(|k| {
                    let absolute: Vec<f64> = residuals.column(k).iter().map(|residual| residual.abs()).collect();
                    OUTLIERS * crate::statistics::MAD_TO_SIGMA * median(&absolute)
                })
                .collect();
            let is_outlier = |i: usize| (0..outputs.ncols()).any(|k| residuals[(i, k)].abs() > scatter[k].max(1e-6));
            let next: Vec<f64> = (0..weights.len()).map(|i| if is_outlier(i) { 0.0 } else { around.kernel[i] }).collect();
            if next == weights {
                break;
            }
            weights = next;
            fit = LocalFit::of(&around.offsets, &weights, &outputs)?;
        }
        let n_controls = weights.iter().filter(|weight| **weight > 0.0).count();
        // The farthest has no weight.
        if n_controls + 1 < least {
            return None;
        }
        let noise = self.noise(around, &weights, &fit.slopes);
        let scatter = not_negative(&fit.residuals - noise);
        Some(Intrinsic {
            covariance: scatter + &fit.residuals * fit.leverage,
            at_star: fit.at_star,
            slopes: fit.slopes,
            n_controls,
        })
    }

    /// Mean covariance that errors of photometry, map and labels put into the residuals of the controls.
    fn noise(&self, around: &Neighbourhood, weights: &[f64], slopes: &DMatrix<f64>) -> DMatrix<f64> {
        let k = self.used.len() - 1;
        let mut noise = DMatrix::<f64>::zeros(k, k);
        let mut labels = vec![0.0; slopes.nrows()];
        let whole: f64 = weights.iter().sum();
        for (&row, &weight) in around.rows.iter().zip(weights).filter(|(_, weight)| **weight > 0.0) {
            let control = &self.controls[row];
            let part = weight / whole;
            noise.add_scalar_mut(part * control.photometric[0]);
            (0..k).for_each(|band| noise[(band, band)] += part * control.photometric[band + 1]);
            for (a, of_a) in control.per_reddening.iter().enumerate() {
                let of_a = part * control.map * of_a;
                control.per_reddening.iter().enumerate().for_each(|(b, of_b)| noise[(a, b)] += of_a * of_b);
            }
            labels.iter_mut().zip(&control.labels).for_each(|(sum, variance)| *sum += part * variance);
        }
        for (axis, variance) in labels.into_iter().enumerate() {
            let slope = slopes.row(axis).transpose();
            noise.ger(variance, &slope, &slope, 1.0);
        }
        noise
    }
}

/// What controls say of a place in label space.
struct Intrinsic {
    /// Magnitudes less that of the first band.
    at_star: DVector<f64>,
    /// Their changes by coordinates `[L, K]`.
    slopes: DMatrix<f64>,
    /// How stars of these very labels scatter about them, and how well they are known.
    covariance: DMatrix<f64>,
    n_controls: usize,
}
