//! Forward models as packages: `fit` makes catalogues with them.

use super::fit::Fitter;
use super::options::FitOptions;
use crate::error::{Error, Result};
use crate::model::{Registry, check_measured};
use crate::observations::{Grid, Observations, ReadOptions};
use crate::package::{Estimated, Estimator, Kind, Package, Reached, Request};
use crate::tensor::Device;
use crate::train::TrainedModel;
use ndarray::{Array2, ArrayView2};
use std::path::Path;
use std::sync::Arc;

impl Package for TrainedModel {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn grid(&self) -> &Grid {
        &self.model.grid
    }

    fn parameters(&self) -> Vec<String> {
        self.model.space.parameters.iter().map(|parameter| parameter.name.clone()).collect()
    }

    fn estimator(self: Arc<Self>, request: &Request) -> Result<Arc<dyn Estimator>> {
        let fitter = Fitter::new(self, &FitOptions::of(request)?)?.judging();
        Ok(Arc::new(match &request.start_from {
            Some(from) => fitter.starting_from(from)?,
            None => fitter,
        }))
    }
}

impl Kind for TrainedModel {
    const KIND: &'static str = "forward_model";

    fn load(directory: &Path, effects: &Registry, device: &Device) -> Result<Self> {
        Self::load(directory, effects, device)
    }
}

impl Estimator for Fitter {
    fn read_options(&self) -> ReadOptions {
        Self::read_options(self)
    }

    fn constraints(&self) -> Vec<String> {
        self.trained().model.space.named(&self.options().constraints)
    }

    fn choices(&self) -> Result<String> {
        let options = toml::to_string(self.options())
            .map_err(|error| Error::usage("fit options").found(error.to_string()).source(error))?;
        Ok(match self.guide_sha256() {
            // A comment: the text is read as options again, by audits.
            Some(sha256) => format!("# start_from = \"{sha256}\"\n{options}"),
            None => options,
        })
    }

    fn deciding_choices(&self) -> Result<String> {
        let usual = FitOptions::default();
        let options = FitOptions {
            posterior: usual.posterior,
            second_star: usual.second_star,
            chunk: usual.chunk,
            device_memory: usual.device_memory,
            zero_points: usual.zero_points,
            ..self.options().clone()
        };
        toml::to_string(&options).map_err(|error| Error::usage("fit options").found(error.to_string()).source(error))
    }

    fn notes(&self) -> Vec<(String, String)> {
        let is_free = |name: &String| !self.options().hold.contains_key(name);
        let constraints: Vec<String> = self.constraints().into_iter().filter(is_free).collect();
        vec![("seed".into(), self.options().start.seed.to_string()), ("constraints".into(), constraints.join(","))]
    }

    fn estimate(&self, observations: &Observations, reached: Reached<'_>) -> Result<Estimated> {
        check_measured(&self.trained().model.space, observations)?;
        let estimates = self.fit_in_stages(observations, reached)?;
        Ok(Estimated {
            table: estimates.to_table(self.trained().id())?,
            flags: estimates.core.flags,
            values: estimates.core.values,
            residuals: self.judges().then_some(estimates.residuals),
        })
    }

    fn flux(&self, values: ArrayView2<'_, f64>) -> Result<Option<Array2<f64>>> {
        let model = self.model();
        let coordinates =
            Array2::from_shape_fn(values.dim(), |(star, p)| model.space.parameters[p].coordinate_from_file(values[[star, p]]));
        model.predict(coordinates.view()).map(Some)
    }

    fn is_on_cpu(&self) -> bool {
        self.trained().model.device().is_cpu()
    }
}
