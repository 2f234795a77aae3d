//! From observations to rows of a catalogue.

use crate::error::Result;
use crate::observations::{Observations, ReadOptions};
use crate::residuals::Responses;
use crate::table::Table;
use ndarray::{Array2, ArrayView2};

/// What the work on some stars has come to, for those who measure time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitStage {
    /// The work on them begins.
    Begun,
    /// Starting points.
    Start,
    /// Optima, by this many evaluations of the normal equations of a star.
    Optimum { n_evaluations: u64 },
    /// Covariances, exact Hessians and flags; of a direct prediction, all of it.
    Description,
    /// Posteriors by weighted draws and fits of two stars, where a fit makes them.
    Posterior,
}

/// What is called when a stage is reached, from any thread; its error ends the work and is its outcome.
pub type Reached<'a> = &'a (dyn Fn(FitStage) -> Result<()> + Send + Sync);

/// Estimates of some stars.
pub struct Estimated {
    /// The catalogue: one row per star, in the order of the observations, with an identifier and
    /// `quality_flags`.
    pub table: Table,
    /// The quality flags `[N]`.
    pub flags: Vec<i32>,
    /// Values of the parameters `[N, P]`, file units.
    pub values: Array2<f64>,
    /// What the residuals of the fluxes say, for the check of the catalogue; `None` where no fluxes are
    /// predicted.
    pub residuals: Option<Responses>,
}

/// Makes catalogues with a model, which it owns, and the choices of a run.
pub trait Estimator: Send + Sync {
    /// How observations have to be read: constraints, units, offsets, errors of the model.
    fn read_options(&self) -> ReadOptions;

    /// Names of the parameters whose measured values enter an estimate.
    fn constraints(&self) -> Vec<String> {
        Vec::new()
    }

    /// All choices that decide the catalogue, as TOML: part of its provenance.
    ///
    /// # Errors
    /// When they cannot be written.
    fn choices(&self) -> Result<String>;

    /// Of these, the ones that decide what is estimated from given data: what was learned from estimates
    /// (zero points, confidences) is for others of the same ones.
    ///
    /// # Errors
    /// When they cannot be written.
    fn deciding_choices(&self) -> Result<String> {
        self.choices()
    }

    /// What else provenance should say, by key; it does not decide the catalogue.
    fn notes(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Estimates every star. A star that cannot be estimated is a flagged row; others do not depend on it,
    /// nor on their company.
    ///
    /// # Errors
    /// When model and observations do not belong together, or the computation fails; and the error of
    /// `reached`.
    fn estimate(&self, observations: &Observations, reached: Reached<'_>) -> Result<Estimated>;

    /// The flux `[N, W]` that the model predicts at parameters `[N, P]` (file units), where it predicts
    /// fluxes.
    ///
    /// # Errors
    /// When the model cannot be evaluated.
    fn flux(&self, _values: ArrayView2<'_, f64>) -> Result<Option<Array2<f64>>> {
        Ok(None)
    }

    /// Whether the work is done on a processor, where small batches of stars are best.
    fn is_on_cpu(&self) -> bool {
        true
    }
}
