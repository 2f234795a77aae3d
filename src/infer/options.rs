//! How stars are fitted: every choice of a run, with visible defaults.

use super::engine::Engine;
use super::sampled::{PosteriorMethod, PosteriorOptions};
use super::second_optimum::SecondOptimumOptions;
use super::second_star::SecondStarOptions;
use crate::error::{Error, Result};
use crate::model::{ParameterSpace, Role, Transform, check_held};
use crate::optimise::{Method, Minimiser};
use crate::package::Request;
use crate::quantity::Quantity;
use crate::text::first_repeated;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const REMEDY: &str = "Leave the option out for its default; `photosphere recipe fit` prints all of them.";

/// Options of a fit (TOML; unknown keys are errors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitOptions {
    /// Parameters whose measured values constrain the fit, by their names or that of their role (label,
    /// amount, distance, shape); columns that a file lacks are skipped.
    pub constraints: Vec<String>,
    /// Constants added to measured values, by parameter (parallax zero-point, mas).
    pub offsets: BTreeMap<String, f64>,
    /// Magnitudes by which the data of bands are too faint, taken off the fluxes before they are fitted; by
    /// the band's name, or that of a block of XP samples (`photosphere zero-points` solves for them).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub zero_points: BTreeMap<String, f64>,
    /// Whether the mixture prior of the labels enters.
    pub mixture_prior: bool,
    /// Whether the optimum is that in ln ϖ and ln E, the convention of the published catalogue (eq. 19: the
    /// Jacobians −2 ln ϖ − 2 ln E of flat priors). It shifts whole samples of stars with little dust, by
    /// about 1σ in E and what goes with it. By default the optimum is that in ϖ and E themselves, with E ≥ 0,
    /// which has no such shift.
    pub jacobians: bool,
    /// Whether the model's own errors, estimated in training, count: the one per wavelength widens the flux
    /// errors, that of its zero points (its calibration) the covariances of the estimates.
    pub model_error: bool,
    /// Parameters held at a value (file units) instead of fitted.
    pub hold: BTreeMap<String, f64>,
    /// Transforms that differ from the model's (ln E or E), by parameter.
    pub transforms: BTreeMap<String, Transform>,
    pub start: StartOptions,
    /// What counts as a second optimum.
    pub second_optimum: SecondOptimumOptions,
    /// How posteriors are described besides the optimum.
    pub posterior: PosteriorOptions,
    /// Whether, and how, two stars are fitted to every star besides.
    pub second_star: SecondStarOptions,
    pub optimiser: Method,
    /// Whether the exact Hessian's smallest eigenvalue is computed (eq. 20).
    pub exact_hessian: bool,
    /// Stars per chunk of the optimiser on a processor.
    pub chunk: usize,
    /// What carries out the minimisation.
    pub engine: Engine,
    /// Memory of an accelerator that a batch may take, GiB; it decides how many stars a batch has.
    pub device_memory: f64,
}

/// The search for starting points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StartOptions {
    /// Draws of the prior that are scored for every star.
    pub draws: usize,
    /// Most starting points of a star. All are evaluated; the optimiser runs from the best, and from others
    /// that promise another optimum.
    pub runs: usize,
    /// The same of a star without a measured distance, if it is more; as with all that is said of such stars
    /// here.
    pub runs_without_distance: usize,
    pub candidates_without_distance: usize,
    pub window_without_distance: f64,
    /// ϖ/σ above which a distance counts as measured: it tells the luminosity of a star.
    pub measured_distance: f64,
    /// A star with fewer measured fluxes than this, as from photometry, is searched as widely as one without
    /// a measured distance, and as the options `…_of_few_fluxes` say where that is more: labels and dust
    /// stand for one another along valleys with several optima each.
    pub few_fluxes: usize,
    /// Of models that have no more fluxes.
    pub draws_of_few_fluxes: usize,
    pub runs_of_few_fluxes: usize,
    pub candidates_of_few_fluxes: usize,
    pub window_of_few_fluxes: f64,
    pub start_window_of_few_fluxes: f64,
    pub rival_window_of_few_fluxes: f64,
    /// The same of stars that the model does not fit; windows grow with their −2 ln P as well.
    pub runs_of_poor_fits: usize,
    pub candidates_of_poor_fits: usize,
    pub window_of_poor_fits: f64,
    /// Width in ln λ of the pools of neighbouring wavelengths on which draws are scored. By default 0.08, or
    /// less where a short spectrum would have fewer than two pools for every parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_width: Option<f64>,
    /// Draws that are worse than the best by more than this in −2 ln P are left out, …
    pub window: f64,
    /// … and this many of the others, which differ as much as can be, are moved towards their optima: no star
    /// has more starts.
    pub candidates: usize,
    /// Distance in standardised labels from which two of these are two starts, …
    pub other_labels: f64,
    /// … and the same in ln ϖ: a dwarf for a giant.
    pub other_luminosity: f64,
    /// A candidate that is worse than the best by more than this in −2 ln P is no start.
    pub start_window: f64,
    /// The same of a star without a measured distance, whose optima are far from one another.
    pub start_window_without_distance: f64,
    /// A start is searched from where it promises an optimum that is worse than the first by no more than
    /// this.
    pub rival_window: f64,
    /// The same of a star without a measured distance: local models promise up to 20 too little there.
    pub rival_window_without_distance: f64,
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            constraints: vec![Role::Distance.name().into()],
            offsets: BTreeMap::new(),
            zero_points: BTreeMap::new(),
            mixture_prior: true,
            jacobians: false,
            model_error: true,
            hold: BTreeMap::new(),
            transforms: BTreeMap::new(),
            start: StartOptions::default(),
            second_optimum: SecondOptimumOptions::default(),
            posterior: PosteriorOptions::default(),
            second_star: SecondStarOptions::default(),
            optimiser: Method::default(),
            exact_hessian: true,
            chunk: 512,
            engine: Engine::default(),
            device_memory: 4.0,
        }
    }
}

impl Default for StartOptions {
    fn default() -> Self {
        Self {
            draws: 768,
            runs: 6,
            runs_without_distance: 14,
            candidates_without_distance: 24,
            window_without_distance: 60.0,
            measured_distance: 3.0,
            few_fluxes: 20,
            draws_of_few_fluxes: 4096,
            runs_of_few_fluxes: 32,
            candidates_of_few_fluxes: 64,
            window_of_few_fluxes: 200.0,
            start_window_of_few_fluxes: 100.0,
            rival_window_of_few_fluxes: 100.0,
            runs_of_poor_fits: 16,
            candidates_of_poor_fits: 32,
            window_of_poor_fits: 60.0,
            pool_width: None,
            window: 30.0,
            candidates: 16,
            other_labels: 0.5,
            other_luminosity: 0.35,
            start_window: 16.0,
            start_window_without_distance: 60.0,
            rival_window: 5.0,
            rival_window_without_distance: 30.0,
            seed: 1,
        }
    }
}

impl StartOptions {
    /// Draws that are scored for the stars of a model of `n_fluxes`.
    pub(super) fn draws_of(&self, n_fluxes: usize) -> usize {
        if n_fluxes < self.few_fluxes { self.draws.max(self.draws_of_few_fluxes) } else { self.draws }
    }
}

impl FitOptions {
    /// The options that a request means: those of its file, with its other choices over them.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key, or an option is impossible.
    pub fn of(request: &Request) -> Result<Self> {
        let mut options: Self = request.options()?;
        if request.likelihood_only {
            options = options.likelihood_only();
        }
        if let Some(constraints) = &request.constraints {
            options.constraints.clone_from(constraints);
        }
        if let Some(name) = first_repeated(request.hold.iter().map(|(name, _)| name.as_str())) {
            return Err(Error::usage("--hold")
                .found(format!("'{name}' twice"))
                .expected("every parameter once")
                .remedy("Say one value of it."));
        }
        options.hold.extend(request.hold.iter().cloned());
        options.zero_points.extend(request.zero_points.iter().map(|(name, offset)| (name.clone(), *offset)));
        options.posterior.method = match request.posterior.as_deref() {
            None => options.posterior.method,
            Some("laplace") => PosteriorMethod::Laplace,
            Some("importance") => PosteriorMethod::Importance,
            Some(other) => {
                return Err(Error::usage("--posterior")
                    .found(format!("'{other}'"))
                    .expected("'laplace' or 'importance'")
                    .remedy(REMEDY));
            }
        };
        options.second_star.fit |= request.second_star;
        options.start.seed = request.seed.unwrap_or(options.start.seed);
        options.validate()?;
        Ok(options)
    }

    /// The options for a likelihood-only fit: mixture prior and Jacobians off.
    pub fn likelihood_only(self) -> Self {
        Self { mixture_prior: false, jacobians: false, ..self }
    }

    /// Checks every option.
    ///
    /// # Errors
    /// `Usage`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        let fault = |option: &str, found: String, expected: &str| {
            Err(Error::usage(format!("fit option {option}")).found(found).expected(expected).remedy(REMEDY))
        };
        for (option, value, most) in [
            ("start.draws", self.start.draws, 200_000),
            ("start.draws_of_few_fluxes", self.start.draws_of_few_fluxes, 200_000),
            ("start.runs", self.start.runs, 10_000),
            ("start.runs_without_distance", self.start.runs_without_distance, 10_000),
            ("start.candidates", self.start.candidates, 10_000),
            ("start.candidates_without_distance", self.start.candidates_without_distance, 10_000),
            ("start.runs_of_few_fluxes", self.start.runs_of_few_fluxes, 10_000),
            ("start.candidates_of_few_fluxes", self.start.candidates_of_few_fluxes, 10_000),
            ("start.runs_of_poor_fits", self.start.runs_of_poor_fits, 10_000),
            ("start.candidates_of_poor_fits", self.start.candidates_of_poor_fits, 10_000),
            ("chunk", self.chunk, 1 << 20),
            ("posterior.draws", self.posterior.draws, 100_000),
        ] {
            if !(1..=most).contains(&value) {
                return fault(option, value.to_string(), &format!("1 to {most}"));
            }
        }
        for (option, value) in [
            ("measured_distance", self.start.measured_distance),
            ("pool_width", self.start.pool_width.unwrap_or(1.0)),
            ("window", self.start.window),
            ("window_without_distance", self.start.window_without_distance),
            ("window_of_few_fluxes", self.start.window_of_few_fluxes),
            ("start_window_of_few_fluxes", self.start.start_window_of_few_fluxes),
            ("rival_window_of_few_fluxes", self.start.rival_window_of_few_fluxes),
            ("window_of_poor_fits", self.start.window_of_poor_fits),
            ("other_labels", self.start.other_labels),
            ("other_luminosity", self.start.other_luminosity),
            ("start_window", self.start.start_window),
            ("start_window_without_distance", self.start.start_window_without_distance),
            ("rival_window", self.start.rival_window),
            ("rival_window_without_distance", self.start.rival_window_without_distance),
        ] {
            if !(value > 0.0 && value <= 1e6) {
                return fault(&format!("start.{option}"), value.to_string(), "a positive number up to 1e6");
            }
        }
        if !(self.device_memory > 0.0 && self.device_memory <= 1e6) {
            return fault("device_memory", self.device_memory.to_string(), "a positive number of GiB");
        }
        if !(self.posterior.least_effective >= 0.0 && self.posterior.least_effective.is_finite()) {
            return fault("posterior.least_effective", self.posterior.least_effective.to_string(), "zero or a positive number");
        }
        self.engine.validate(&self.optimiser)?;
        self.second_optimum.validate()?;
        self.second_star.validate()?;
        if self.second_star.fit && !self.mixture_prior {
            return Err(Error::usage("fits of a second star (--second-star, second_star.fit)")
                .found("them without the mixture prior of the labels (--likelihood-only, mixture_prior = false)")
                .expected("a prior of both stars: fluxes alone hardly tell two stars' labels from one another's")
                .remedy("Leave out one of the two."));
        }
        for (option, numbers) in [("hold", &self.hold), ("offsets", &self.offsets)] {
            if let Some((name, value)) = numbers.iter().find(|(_, value)| !value.is_finite()) {
                return fault(&format!("{option}.{name}"), value.to_string(), "a finite number");
            }
        }
        for (name, value) in &self.offsets {
            let [low, high] = Quantity::of(name).range;
            if value.abs() > high - low {
                return fault(&format!("offsets.{name}"), value.to_string(), "an offset within the range of what is possible");
            }
        }
        if let Some(name) = first_repeated(self.constraints.iter().map(String::as_str)) {
            return fault("constraints", format!("'{name}' twice"), "distinct names");
        }
        self.optimiser.validate().map_err(|error| error.within("fit option optimiser").or_remedy(REMEDY))
    }

    /// Checks every option, and that a model with these parameters can be fitted with them.
    ///
    /// # Errors
    /// As [`FitOptions::validate`]; also when an option names a parameter that the model does not have, all
    /// are held, or one at a value that it cannot have.
    pub fn validate_for(&self, space: &ParameterSpace) -> Result<()> {
        self.validate()?;
        let names: Vec<&str> = space.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let constraints = space.named(&self.constraints);
        let lists = [
            ("constraints", constraints.iter().collect::<Vec<_>>()),
            ("hold", self.hold.keys().collect()),
            ("offsets", self.offsets.keys().collect()),
            ("transforms", self.transforms.keys().collect()),
            ("second_optimum.separations", self.second_optimum.separations.keys().collect()),
        ];
        for (option, used) in lists {
            if let Some(unknown) = used.into_iter().find(|name| !names.contains(&name.as_str())) {
                return Err(Error::usage(format!("fit option {option}"))
                    .found(format!("'{unknown}'"))
                    .expected(format!("parameters of the model ({})", names.join(", ")))
                    .remedy("`photosphere inspect MODEL` lists them."));
            }
        }
        if self.hold.len() == names.len() {
            return Err(Error::usage("fit option hold")
                .found("every parameter of the model")
                .expected("one left to be fitted")
                .remedy("Hold fewer of them."));
        }
        for (name, &value) in &self.hold {
            let parameter = space.get(name)?;
            let transform = self.transforms.get(name).copied().unwrap_or(parameter.transform);
            check_held(&format!("fit option hold.{name}"), parameter, value, transform)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GaussianPrior, Parameter};

    #[test]
    fn what_no_fit_can_do_is_refused_by_name() {
        let space = ParameterSpace { parameters: ["teff", "logg", "parallax"].map(Parameter::label).to_vec() };
        let held = |values: &[(&str, f64)]| {
            let hold = values.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            FitOptions { hold, ..FitOptions::default() }.validate_for(&space)
        };
        assert!(held(&[("teff", 5000.0), ("logg", 4.0)]).is_ok());
        let all = held(&[("teff", 5000.0), ("logg", 4.0), ("parallax", 1.0)]).unwrap_err();
        assert!(all.to_string().contains("every parameter"), "{all}");
        for bad in [f64::NAN, f64::INFINITY] {
            let message = held(&[("teff", bad)]).unwrap_err().to_string();
            assert!(message.contains("hold.teff") && message.contains("finite"), "{message}");
        }
        let prior = Some(GaussianPrior { mean: 0.0, standard_deviation: 1.0 });
        let shape =
            ParameterSpace { parameters: vec![Parameter { prior, ..Parameter::new("xi", "", "") }, Parameter::label("teff")] };
        let of_shape = |value: f64| FitOptions { hold: [("xi".to_owned(), value)].into(), ..FitOptions::default() };
        of_shape(-9.0).validate_for(&shape).unwrap();
        let message = of_shape(1e6).validate_for(&shape).unwrap_err().to_string();
        assert!(
            message.contains("hold.xi: found 1000000, expected a value within 100") && message.contains("0 ± 1"),
            "{message}"
        );
        let unknown = held(&[("feh", 0.0)]).unwrap_err();
        assert!(unknown.to_string().contains("'feh'") && unknown.exit_code() == 2, "{unknown}");
        let labels = ParameterSpace { parameters: ["teff", "logg"].map(Parameter::label).to_vec() };
        FitOptions::default().validate_for(&labels).unwrap();
        let asked = FitOptions { constraints: vec!["parallax".into(), "teff".into()], ..FitOptions::default() };
        assert!(asked.validate_for(&labels).unwrap_err().to_string().contains("'parallax'"));
        let offsets = FitOptions { offsets: [("parallax".to_owned(), f64::NAN)].into(), ..FitOptions::default() };
        assert!(offsets.validate().is_err());
    }
}
