//! From arguments to fit options.

use super::Arguments;
use super::raw::Preparations;
use crate::cli::settings::Settings;
use crate::error::Result;
use crate::package::{Estimator, Package, Request, StartFrom, read_toml};
use crate::residuals::ZeroPoints;
use crate::warning::warn_once;
use std::path::PathBuf;

/// A parameter and the value at which it is held.
pub fn held(text: &str) -> std::result::Result<(String, f64), String> {
    let parse = || {
        let (name, value) = text.split_once('=')?;
        let value: f64 = value.trim().parse().ok()?;
        (value.is_finite() && !name.trim().is_empty()).then(|| (name.trim().to_owned(), value))
    };
    parse().ok_or_else(|| "expected <parameter>=<number>, as in extinction=0".into())
}

/// What --constraint asks for, where it is given: `none` is nobody's name.
pub(super) fn constraints(given: &[String]) -> Option<Vec<String>> {
    (!given.is_empty()).then(|| given.iter().filter(|name| *name != "none").cloned().collect())
}

impl Arguments {
    /// How raw XP spectra among the inputs are prepared. The columns in `keep` come along.
    ///
    /// # Errors
    /// As [`Preparations::new`].
    pub(super) fn preparations<'a>(
        &'a self,
        keep: &[String],
        package: &'a dyn Package,
        estimator: &dyn Estimator,
    ) -> Result<Preparations<'a>> {
        let parameters = package.parameters().into_iter().flat_map(|name| {
            let error = format!("{name}_error");
            [name, error]
        });
        let beside = ["ra", "dec"].map(String::from).into_iter().chain(keep.iter().cloned());
        let truth = self.keep_truth.then(|| "true_*".to_owned());
        let keep = parameters.chain(beside).chain(truth).collect();
        Preparations::new(&self.raw, package.grid(), estimator.constraints(), keep)
    }

    /// The files that the command reads besides the observations.
    ///
    /// # Errors
    /// When the recipe of `--prepare` cannot be read.
    pub(super) fn other_inputs(&self) -> Result<Vec<PathBuf>> {
        let mut inputs = self.raw.inputs()?;
        inputs.push(self.model.clone());
        inputs.extend(self.config.clone());
        inputs.extend(self.zero_points.clone());
        inputs.extend(self.start_from.clone());
        inputs.extend(self.observations.iter().filter_map(|path| Some(path.to_str()?.strip_prefix('@')?.into())));
        Ok(inputs)
    }

    /// The zero points that are to be taken off.
    ///
    /// # Errors
    /// When their file cannot be read, or is of another model.
    pub(super) fn solved_zero_points(&self, package: &dyn Package) -> Result<Option<ZeroPoints>> {
        let Some(path) = &self.zero_points else { return Ok(None) };
        let solved: ZeroPoints = read_toml(path)?;
        solved.check(path, package.sha256())?;
        Ok(Some(solved))
    }

    /// What the command line asks of the model.
    ///
    /// # Errors
    /// When the model of --start-from cannot be read.
    pub(super) fn request(&self, zero_points: Option<&ZeroPoints>, settings: &Settings) -> Result<Request> {
        let start_from = self.start_from.as_ref().map(|path| settings.package(path)).transpose()?.map(StartFrom);
        Ok(Request {
            config: self.config.clone(),
            likelihood_only: self.likelihood_only,
            constraints: constraints(&self.constraint),
            hold: self.hold.clone(),
            posterior: self.posterior.clone(),
            second_star: self.second_star,
            zero_points: zero_points.map(ZeroPoints::offsets).unwrap_or_default(),
            start_from,
            values_alone: false,
            seed: settings.seed,
        })
    }

    /// Fails where zero points are asked for and the fits take none; warns where other fits solved for them.
    ///
    /// # Errors
    /// `Usage`.
    pub(super) fn require_zero_points(
        &self,
        solved: Option<&ZeroPoints>,
        package: &dyn Package,
        estimator: &dyn Estimator,
    ) -> Result<()> {
        let (Some(path), Some(solved)) = (&self.zero_points, solved) else { return Ok(()) };
        if estimator.read_options().flux_factors.is_empty() {
            return Err(super::zero_points::of_no_use(package, path.display().to_string()));
        }
        let others = solved.other_options(&estimator.deciding_choices()?);
        if !others.is_empty() {
            warn_once(format!(
                "{}: these zero points were solved by fits with other options ({}); solve them with those of this fit",
                path.display(),
                others.join(", ")
            ));
        }
        Ok(())
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
