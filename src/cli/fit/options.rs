//! From arguments to fit options.

use super::Arguments;
use super::raw::Preparations;
use crate::cli::settings::Settings;
use crate::cli::simulate::read_toml;
use crate::error::Result;
use crate::infer::FitOptions;
use crate::train::TrainedModel;
use std::path::PathBuf;

/// A parameter and the value at which it is held.
pub(super) fn held(text: &str) -> std::result::Result<(String, f64), String> {
    let parse = || {
        let (name, value) = text.split_once('=')?;
        let value: f64 = value.trim().parse().ok()?;
        (value.is_finite() && !name.trim().is_empty()).then(|| (name.trim().to_owned(), value))
    };
    parse().ok_or_else(|| "expected <parameter>=<number>, as in extinction=0".into())
}

impl Arguments {
    /// How raw XP spectra among the inputs are prepared. The columns in `keep` come along.
    ///
    /// # Errors
    /// As [`Preparations::new`].
    pub(super) fn preparations<'a>(
        &'a self,
        keep: &[String],
        trained: &'a TrainedModel,
        options: &FitOptions,
    ) -> Result<Preparations<'a>> {
        let parameters = trained.model.space.parameters.iter().flat_map(|parameter| {
            let name = parameter.name.as_str();
            [name.to_owned(), format!("{name}_error")]
        });
        let beside = ["ra", "dec"].map(String::from).into_iter().chain(keep.iter().cloned());
        let truth = self.keep_truth.then(|| "true_*".to_owned());
        let keep = parameters.chain(beside).chain(truth).collect();
        let constraints = trained.model.space.named(&options.constraints);
        Preparations::new(&self.raw, &trained.model.grid, constraints, keep)
    }

    /// The files that the command reads besides the observations.
    ///
    /// # Errors
    /// When the recipe of `--prepare` cannot be read.
    pub(super) fn other_inputs(&self) -> Result<Vec<PathBuf>> {
        let mut inputs = self.raw.inputs()?;
        inputs.push(self.model.clone());
        inputs.extend(self.config.clone());
        inputs.extend(self.observations.iter().filter_map(|path| Some(path.to_str()?.strip_prefix('@')?.into())));
        Ok(inputs)
    }

    /// The options of `--config` with those of the command line over them.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key, or an option is impossible.
    pub(super) fn options(&self, settings: &Settings) -> Result<FitOptions> {
        let mut options: FitOptions = match &self.config {
            Some(path) => read_toml(path)?,
            None => FitOptions::default(),
        };
        if self.likelihood_only {
            options = options.likelihood_only();
        }
        if !self.constraint.is_empty() {
            options.constraints = self.constraint.iter().filter(|name| *name != "none").cloned().collect();
        }
        options.hold.extend(self.hold.iter().cloned());
        options.start.seed = settings.seed.unwrap_or(options.start.seed);
        options.validate()?;
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_parameters_are_names_with_numbers() {
        assert_eq!(held("extinction=0"), Ok(("extinction".into(), 0.0)));
        for bad in ["extinction", "=1", "a=b", "a=nan"] {
            assert!(held(bad).is_err(), "{bad}");
        }
    }
}
