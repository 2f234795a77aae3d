//! Steps from a flux to the inputs of a network. What a step has learned from the training stars is stored
//! with the model, so that a prediction repeats what training did.
//!
//! Missing numbers are NaN until a step that knows the mean of the training stars puts it in their place
//! (`standardise`, `pca`), as does the end of the steps.

use super::pca::{Pca, PcaMethod, walk_in_blocks};
use super::rows::TOGETHER;
use crate::error::{Error, Result};
use crate::statistics::median;
use crate::tensor::functions::ln_1p;
use crate::tensor::layers::PackedLinear;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows that are worked on at once.
const BLOCK: usize = 2048;

/// A step of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// x / (median absolute flux of the star's present entries): shapes alone.
    DivideByMedian,
    /// Less the star's mean over its present entries (Li et al. 2025, before eq. 1).
    SubtractMean,
    /// sign(x) ln(1 + |x|) (their eq. 1).
    SignedLogarithm,
    /// x / √Σx² over the star's present entries (their eq. 1).
    UnitNorm,
    /// asinh(x/s) with s the median error of an entry times `errors`: a logarithm where there is signal,
    /// linear in noise.
    Asinh {
        #[serde(default = "one")]
        errors: f64,
    },
    /// What is below the minimum or above the maximum becomes `value` (cosmic rays of normalised spectra).
    ReplaceOutside { minimum: f64, maximum: f64, value: f64 },
    /// Every other entry less the entry of this name: colours, after `asinh`.
    RelativeTo { entry: String },
    /// (x − mean)/deviation of the training stars; missing is the mean.
    Standardise,
    /// Coefficients of the first components; missing is the mean.
    Pca {
        components: usize,
        #[serde(default)]
        method: PcaMethod,
    },
}

fn one() -> f64 {
    1.0
}

/// A step with what it has learned.
#[derive(Debug, Clone)]
pub enum FittedStep {
    DivideByMedian,
    SubtractMean,
    SignedLogarithm,
    UnitNorm,
    /// `[W]`.
    Asinh {
        softening: Vec<f32>,
    },
    ReplaceOutside {
        minimum: f64,
        maximum: f64,
        value: f64,
    },
    RelativeTo {
        position: usize,
    },
    /// `[W]`, `[W]`.
    Standardise {
        mean: Vec<f32>,
        deviation: Vec<f32>,
    },
    /// `[W]`, `[K, W]`.
    Pca {
        centre: Vec<f32>,
        components: Array2<f32>,
        packed: PackedLinear,
    },
}

impl Step {
    /// Learns the step from training rows `[N, W]` as the steps before leave them. `errors [W]` are the
    /// median errors of the fluxes, `names [W]` those of the entries.
    ///
    /// # Errors
    /// When an entry is unknown, there are too few rows, or a step can only be the first.
    pub(super) fn fit(&self, rows: &Array2<f32>, errors: &[f64], names: &[String], seed: u64) -> Result<FittedStep> {
        Ok(match self {
            Self::DivideByMedian => FittedStep::DivideByMedian,
            Self::SubtractMean => FittedStep::SubtractMean,
            Self::SignedLogarithm => FittedStep::SignedLogarithm,
            Self::UnitNorm => FittedStep::UnitNorm,
            Self::Asinh { errors: factor } => {
                let usable = |error: &f64| if *error > 0.0 && error.is_finite() { (factor * error) as f32 } else { 1.0 };
                FittedStep::Asinh { softening: errors.iter().map(usable).collect() }
            }
            Self::ReplaceOutside { minimum, maximum, value } => {
                FittedStep::ReplaceOutside { minimum: *minimum, maximum: *maximum, value: *value }
            }
            Self::RelativeTo { entry } => {
                let position = names.iter().position(|name| name == entry).ok_or_else(|| {
                    Error::usage("inputs, step 'relative_to'")
                        .found(format!("the entry '{entry}'"))
                        .expected(format!("one of {}", names.join(", ")))
                        .remedy("Name an entry of the observation file.")
                })?;
                FittedStep::RelativeTo { position }
            }
            Self::Standardise => {
                let (mean, deviation) = (0..rows.ncols()).into_par_iter().map(|w| mean_and_deviation(rows, w)).unzip();
                FittedStep::Standardise { mean, deviation }
            }
            Self::Pca { components, method } => {
                let means: Vec<f32> = (0..rows.ncols()).into_par_iter().map(|w| mean_and_deviation(rows, w).0).collect();
                // A block at a time: rows of spectra fill the memory as it is.
                let mut walk = |each: &mut dyn FnMut(ArrayView2<'_, f32>)| {
                    walk_in_blocks(rows.view(), BLOCK, &mut |block| {
                        let mut filled = block.to_owned();
                        fill(&mut filled, &means);
                        each(filled.view());
                    })
                };
                let pca = Pca::of_blocks(rows.ncols(), *components, *method, seed, &mut walk)?;
                let centre: Vec<f32> = pca.centre.iter().map(|value| *value as f32).collect();
                FittedStep::of_components(centre, pca.components.mapv(|value| value as f32))
            }
        })
    }

    /// Checks the numbers of the step.
    ///
    /// # Errors
    /// `Usage`, naming what is impossible.
    pub(super) fn validate(&self) -> Result<()> {
        let fault = |found: String, expected: &str| {
            Err(Error::usage("inputs, step").found(found).expected(expected).remedy("Correct the recipe."))
        };
        match self {
            Self::Asinh { errors } if !(*errors > 0.0 && errors.is_finite()) => {
                fault(format!("asinh, errors = {errors}"), "a positive number")
            }
            Self::ReplaceOutside { minimum, maximum, value } if !(minimum < maximum && value.is_finite()) => {
                fault(format!("replace_outside, {minimum} to {maximum} by {value}"), "a minimum below the maximum, and a number")
            }
            Self::Pca { components: 0, .. } => fault("pca, 0 components".into(), "at least one"),
            _ => Ok(()),
        }
    }

    /// Number of entries after the step.
    pub(super) fn width(&self, before: usize) -> usize {
        match self {
            Self::Pca { components, .. } => *components,
            _ => before,
        }
    }
}

impl FittedStep {
    /// Projection onto components `[K, W]` about a centre `[W]`.
    pub(super) fn of_components(centre: Vec<f32>, components: Array2<f32>) -> Self {
        let zero = vec![0.0; components.nrows()];
        let packed = PackedLinear::new(components.ncols(), &zero, |w, k| components[[k, w]]);
        Self::Pca { centre, components, packed }
    }

    /// The rows `[N, W]` after the step. A row's numbers do not depend on the others.
    pub fn apply(&self, mut rows: Array2<f32>) -> Array2<f32> {
        let each = |rows: &mut Array2<f32>, work: &(dyn Fn(ArrayViewMut1<'_, f32>) + Sync)| {
            rows.axis_iter_mut(Axis(0)).into_par_iter().with_min_len(TOGETHER).for_each(work);
        };
        match self {
            Self::DivideByMedian => each(&mut rows, &|mut row| {
                let present: Vec<f64> = row.iter().map(|value| f64::from(value.abs())).collect();
                let scale = median(&present) as f32;
                let scale = if scale > 0.0 { scale } else { f32::NAN };
                row.mapv_inplace(|value| value / scale);
            }),
            Self::SubtractMean => each(&mut rows, &|mut row| {
                let (sum, n) = sums(row.view(), |value| value);
                row.mapv_inplace(|value| value - (sum / n) as f32);
            }),
            Self::SignedLogarithm => each(&mut rows, &|mut row| row.mapv_inplace(|value| ln_1p(value.abs()).copysign(value))),
            Self::UnitNorm => each(&mut rows, &|mut row| {
                let norm = sums(row.view(), |value| value * value).0.sqrt();
                let norm = if norm > 0.0 { norm as f32 } else { f32::NAN };
                row.mapv_inplace(|value| value / norm);
            }),
            Self::Asinh { softening } => each(&mut rows, &|mut row| {
                row.iter_mut().zip(softening).for_each(|(value, scale)| *value = (*value / scale).asinh());
            }),
            Self::ReplaceOutside { minimum, maximum, value } => each(&mut rows, &|mut row| {
                let is_outside = |x: f32| x.is_finite() && !(*minimum..=*maximum).contains(&f64::from(x));
                row.mapv_inplace(|x| if is_outside(x) { *value as f32 } else { x });
            }),
            Self::RelativeTo { position } => each(&mut rows, &|mut row| {
                let reference = row[*position];
                row.mapv_inplace(|value| value - reference);
                row[*position] = reference;
            }),
            Self::Standardise { mean, deviation } => each(&mut rows, &|mut row| {
                for ((value, mean), deviation) in row.iter_mut().zip(mean).zip(deviation) {
                    *value = if value.is_finite() { (*value - mean) / deviation } else { 0.0 };
                }
            }),
            Self::Pca { centre, packed, .. } => {
                each(&mut rows, &|mut row| {
                    for (value, centre) in row.iter_mut().zip(centre) {
                        *value = if value.is_finite() { *value - centre } else { 0.0 };
                    }
                });
                return packed.apply(rows.view());
            }
        }
        rows
    }
}

/// Sum over present entries, and their number, in double precision: eight sums side by side, which depend on
/// the row alone.
fn sums(row: ArrayView1<'_, f32>, of: impl Fn(f64) -> f64) -> (f64, f64) {
    const SUMS: usize = 8;
    let (mut sum, mut n) = ([0.0; SUMS], [0.0; SUMS]);
    let mut add = |k: usize, value: f32| {
        let is_present = value.is_finite();
        sum[k] += if is_present { of(f64::from(value)) } else { 0.0 };
        n[k] += if is_present { 1.0 } else { 0.0 };
    };
    match row.as_slice() {
        Some(values) => {
            let (chunks, rest) = values.as_chunks::<SUMS>();
            chunks.iter().for_each(|chunk| chunk.iter().enumerate().for_each(|(k, value)| add(k, *value)));
            rest.iter().enumerate().for_each(|(k, value)| add(k, *value));
        }
        None => row.iter().enumerate().for_each(|(i, value)| add(i % SUMS, *value)),
    }
    (sum.iter().sum(), n.iter().sum())
}

/// Mean and standard deviation of the present values of an entry; (0, 1) where there are none.
pub(super) fn mean_and_deviation(rows: &Array2<f32>, entry: usize) -> (f32, f32) {
    let (sum, n) = sums(rows.column(entry), |value| value);
    if n == 0.0 {
        return (0.0, 1.0);
    }
    let mean = sum / n;
    let deviation = (sums(rows.column(entry), |value| (value - mean).powi(2)).0 / n).sqrt();
    (mean as f32, if deviation > 0.0 { deviation as f32 } else { 1.0 })
}

/// Puts a number per entry in the place of those that are missing.
pub(super) fn fill(rows: &mut Array2<f32>, means: &[f32]) {
    rows.axis_iter_mut(Axis(0)).into_par_iter().with_min_len(TOGETHER).for_each(|mut row| {
        row.iter_mut().zip(means).filter(|(value, _)| !value.is_finite()).for_each(|(value, mean)| *value = *mean);
    });
}
