//! What importance sampling says of every star, and its columns.

use crate::quantity::Facts;
use crate::sampling::UNRELIABLE_TAIL;
use crate::table::{Column, ColumnSchema, Values};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// Probabilities of the quantiles.
pub const QUANTILES: [f64; 5] = [0.025, 0.16, 0.5, 0.84, 0.975];
/// Probabilities of the joint regions.
pub const REGIONS: [f64; 2] = [0.68, 0.95];

/// How posteriors are described besides the optimum and its covariance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PosteriorMethod {
    /// By nothing else.
    #[default]
    Laplace,
    /// By weighted draws around the optima: means, covariances, quantiles, joint regions.
    Importance,
}

/// The description of posteriors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PosteriorOptions {
    pub method: PosteriorMethod,
    /// Draws of a star.
    pub draws: usize,
    /// Effective size below which half as many draws are added, up to twice, and below which a star is
    /// flagged in the end (bit 17).
    pub least_effective: f64,
}

impl Default for PosteriorOptions {
    fn default() -> Self {
        Self { method: PosteriorMethod::default(), draws: 128, least_effective: 40.0 }
    }
}

/// The posterior of one star by its draws, in file units.
#[derive(Debug, Clone)]
pub(super) struct StarPosterior {
    /// `[F]`.
    pub mean: Vec<f64>,
    /// `[F, F]`, row-major.
    pub covariance: Vec<f64>,
    /// Of the fitted parameters, then of the derived quantities `[F + D]`.
    pub quantiles: Vec<[f64; 5]>,
    /// −2 ln P that bounds the joint regions, less that of the estimate.
    pub regions: [f64; 2],
    pub effective_size: f64,
    pub tail_shape: f64,
    /// Share of the second optimum; NaN where there is none.
    pub second_share: f64,
}

/// The posteriors of N stars by importance sampling, in file units; NaN where there is none.
#[derive(Debug, Clone)]
pub struct SampledPosterior {
    /// `[N, F]`.
    pub mean: Array2<f64>,
    /// `[N, F, F]`.
    pub covariance: Array3<f64>,
    /// At 2.5, 16, 50, 84 and 97.5 %, of the fitted parameters and then of the derived quantities: `[N, F +
    /// D, 5]`.
    pub quantiles: Array3<f64>,
    /// −2 ln P (with flat priors of amounts and of the distance parameter) at the bounds of the joint
    /// regions (68 and 95 %) of highest density, less that of the estimate `[N, 2]`.
    pub regions: Array2<f64>,
    /// (Σ w)²/Σ w² of the weights.
    pub effective_size: Vec<f64>,
    /// k̂ of the tail of the weights.
    pub tail_shape: Vec<f64>,
    /// Share of the second optimum in the posterior; NaN where there is none.
    pub second_share: Vec<f64>,
}

impl SampledPosterior {
    /// Of N stars with `f` fitted parameters and `d` derived quantities, all NaN.
    pub(super) fn empty(n: usize, f: usize, d: usize) -> Self {
        let nan = || vec![f64::NAN; n];
        Self {
            mean: Array2::from_elem((n, f), f64::NAN),
            covariance: Array3::from_elem((n, f, f), f64::NAN),
            quantiles: Array3::from_elem((n, f + d, QUANTILES.len()), f64::NAN),
            regions: Array2::from_elem((n, REGIONS.len()), f64::NAN),
            effective_size: nan(),
            tail_shape: nan(),
            second_share: nan(),
        }
    }

    pub(super) fn put(&mut self, star: usize, found: &StarPosterior) {
        self.mean.row_mut(star).iter_mut().zip(&found.mean).for_each(|(to, from)| *to = *from);
        self.covariance.index_axis_mut(Axis(0), star).iter_mut().zip(&found.covariance).for_each(|(to, from)| *to = *from);
        let quantiles = found.quantiles.iter().flatten();
        self.quantiles.index_axis_mut(Axis(0), star).iter_mut().zip(quantiles).for_each(|(to, from)| *to = *from);
        self.regions.row_mut(star).iter_mut().zip(&found.regions).for_each(|(to, from)| *to = *from);
        self.effective_size[star] = found.effective_size;
        self.tail_shape[star] = found.tail_shape;
        self.second_share[star] = found.second_share;
    }

    /// The columns: `fitted` and `derived` are names and units.
    pub(super) fn columns(&self, fitted: &[(&str, &str)], derived: &[(&str, &str)]) -> Vec<Column> {
        let mut columns = Vec::new();
        for (index, (name, unit)) in fitted.iter().enumerate() {
            let schema =
                ColumnSchema::new(format!("{name}_mean"), *unit, format!("mean of {name} over the posterior, by weighted draws"));
            columns.push(Column::nullable(schema.with_ucd(&Facts::of(name).ucd), self.mean.column(index).to_vec()));
        }
        for (index, (name, unit)) in fitted.iter().chain(derived).enumerate() {
            let description = format!("quantiles of {name} over the posterior at 2.5, 16, 50, 84 and 97.5 %, by weighted draws");
            let schema = ColumnSchema::new(format!("{name}_quantiles"), *unit, description);
            let of_column = self.quantiles.index_axis(Axis(1), index);
            columns.push(Column::fixed(schema, Values::Float64(of_column.iter().copied().collect()), QUANTILES.len()));
        }
        let order: Vec<&str> = fitted.iter().map(|(name, _)| *name).collect();
        let description = format!(
            "covariance over the posterior, by weighted draws, row-wise upper triangle in the order {} and the units of these columns",
            order.join(", ")
        );
        let schema = ColumnSchema::new("posterior_covariance_triu", "", description).with_ucd("stat.covariance");
        let f = fitted.len();
        let packed = |matrix: ArrayView2<'_, f64>| {
            (0..f).flat_map(|i| (i..f).map(move |j| (i, j))).map(|at| matrix[at]).collect::<Vec<f64>>()
        };
        let packed: Vec<f64> = self.covariance.axis_iter(Axis(0)).flat_map(packed).collect();
        columns.push(Column::fixed(schema, Values::Float64(packed), f * (f + 1) / 2));
        let description = "-2 ln posterior, with priors flat in the amount of dust and in the distance parameter themselves, at the bounds of the joint \
                           regions of all fitted parameters that hold 68 and 95 %, less that of the estimate";
        let schema = ColumnSchema::new("joint_delta_loss", "", description).with_ucd("stat.probability;arith.diff");
        columns.push(Column::fixed(schema, Values::Float64(self.regions.iter().copied().collect()), REGIONS.len()));
        let scalar = |name: &str, description: &str, ucd: &str, values: &[f64]| {
            Column::nullable(ColumnSchema::new(name, "", description).with_ucd(ucd), values.to_vec())
        };
        let shape = format!("shape of the tail of the weights (k-hat; unreliable above {UNRELIABLE_TAIL})");
        columns.push(scalar("posterior_ess", "effective number of the weighted draws", "meta.number", &self.effective_size));
        columns.push(scalar("posterior_tail_shape", &shape, "stat.param", &self.tail_shape));
        let share = "share of the second optimum in the posterior, by weighted draws";
        columns.push(scalar("posterior_second_weight", share, "stat.probability", &self.second_share));
        columns
    }
}
