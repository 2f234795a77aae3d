//! Starts of fits from what another model estimates from the same spectra: polynomials for networks, or a
//! direct network, in place of the most similar of some training stars.

use super::package::SpectralCore;
use crate::error::{Error, Result};
use crate::observations::{Observations, ReadOptions};
use crate::package::{Estimated, Guide, StartFrom};
use crate::train::TrainedModel;
use ndarray::Array2;

const REMEDY: &str = "Name a model of spectra, or a direct network, of the same labels and pixels.";

/// A model that says where fits start.
pub(super) struct LabelGuide {
    pub guide: Guide,
    /// Of its parameters, the position of every label.
    columns: Vec<usize>,
    /// Names and units of the labels.
    labels: Vec<(String, String)>,
}

impl LabelGuide {
    /// For fits of a model, which read observations in a way of their `own`.
    ///
    /// # Errors
    /// `Usage` when the guide is a forward model, has other pixels, another flux unit or other errors of
    /// fluxes, or does not estimate a label.
    pub fn new(from: &StartFrom, core: &SpectralCore, own: &ReadOptions) -> Result<Self> {
        from.require_other_than(<TrainedModel as crate::package::Kind>::KIND, REMEDY)?;
        core.card.grid.require_same_pixels(from.0.grid()).map_err(|error| error.within("--start-from"))?;
        let guide = from.guide(own, REMEDY)?;
        // Errors of the model that the guide was trained with would be those of the fit too.
        if let Some(error) = guide.read_options().model_error.into_iter().find(|error| *error != 0.0) {
            return Err(Error::usage("--start-from")
                .found(format!("a model whose fluxes have {error} of themselves as an error more"))
                .expected("the errors of the fit, which are those of the spectra")
                .remedy("Train it with fractional_error = 0."));
        }
        let space = core.space();
        let columns = space.names.iter().map(|name| guide.require_column(name)).collect::<Result<_>>()?;
        let labels = space.names.iter().cloned().zip(space.units.iter().cloned()).collect();
        Ok(Self { guide, columns, labels })
    }

    /// The labels `[N, L]` at which fits start; NaN where nothing is estimated.
    ///
    /// # Errors
    /// When the guide cannot be evaluated, or has other units.
    pub fn starts(&self, observations: &Observations) -> Result<Array2<f64>> {
        let Estimated { table, values, .. } = self.guide.estimate(observations)?;
        self.labels.iter().try_for_each(|(name, unit)| self.guide.require_unit(&table, name, unit))?;
        Ok(Array2::from_shape_fn((observations.len(), self.columns.len()), |(i, k)| values[[i, self.columns[k]]]))
    }
}
