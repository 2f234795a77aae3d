//! How spectra are fitted: every choice, with visible defaults.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most terms of a continuum.
const MOST_TERMS: usize = 20;

/// Where fits are computed, as options name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpectrumEngine {
    /// `device` on an accelerator, `processor` elsewhere.
    #[default]
    Auto,
    /// [`super::SpectrumFitter`], on all threads.
    Processor,
    /// Tensors on the device of `--device`, for networks per pixel and fits of labels alone.
    Device,
}

/// How spectra are fitted (TOML; unknown keys are errors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpectrumFitOptions {
    /// Most iterations.
    pub iterations: usize,
    /// A fit has converged when the next step would lower χ² by less than this.
    pub tolerance: f64,
    /// Labels may leave the range of the training by this part of its width.
    pub margin: f64,
    /// Fewest pixels for a fit, relative to the number of fitted parameters.
    pub pixels_per_label: f64,
    /// Fit a velocity beyond that which the spectra were freed of.
    pub velocity: bool,
    /// Largest such velocity, km/s.
    pub largest_velocity: f64,
    /// Terms of a continuum 1 + Σ cₘ Tₘ (Chebyshev polynomials over the grid) that is fitted; 0: none, 1: a
    /// factor, 2: a slope too.
    pub continuum_terms: usize,
    /// Fit the projected rotational velocity v sin i.
    pub rotation: bool,
    /// Largest v sin i, km/s. The more, the more pixels at the ends take no part.
    pub largest_rotation: f64,
    /// Coefficient ε of the linear limb darkening of the rotating star, 1 − ε + ε cos θ.
    pub limb_darkening: f64,
    /// Fit a Gaussian that broadens the model's lines, as an instrument of lower resolution or
    /// macroturbulence do.
    pub broadening: bool,
    /// Largest standard deviation of it, km/s.
    pub largest_broadening: f64,
    /// Where they are fitted. A [`super::SpectrumFitter`] is the processor's, whatever this is.
    pub engine: SpectrumEngine,
    /// Memory, in GiB, that a batch of spectra on an accelerator may take.
    pub device_memory: f64,
    /// Windows (Å) of labels that are measured from these alone, by label; outside of them such a label is
    /// another parameter. Others are measured from all pixels. Written only where there are some.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub windows_of: BTreeMap<String, Vec<[f64; 2]>>,
}

impl Default for SpectrumFitOptions {
    fn default() -> Self {
        Self {
            iterations: 60,
            tolerance: 1e-3,
            margin: 0.3,
            pixels_per_label: 2.0,
            velocity: false,
            largest_velocity: 100.0,
            continuum_terms: 0,
            rotation: false,
            largest_rotation: 200.0,
            limb_darkening: 0.6,
            broadening: false,
            largest_broadening: 100.0,
            engine: SpectrumEngine::Auto,
            device_memory: 4.0,
            windows_of: BTreeMap::new(),
        }
    }
}

impl SpectrumFitOptions {
    /// The broadening that is fitted, by its option, and its largest velocity.
    pub(super) fn broadened(&self) -> Option<(&'static str, f64)> {
        match (self.rotation, self.broadening) {
            (true, _) => Some(("rotation", self.largest_rotation)),
            (_, true) => Some(("broadening", self.largest_broadening)),
            _ => None,
        }
    }

    /// Checks every option.
    ///
    /// # Errors
    /// `Usage`, naming the option and its range.
    pub fn validate(&self) -> Result<()> {
        let fault = |option: &str, found: String, expected: &str| {
            Err(Error::usage(format!("fit option {option}")).found(found).expected(expected))
        };
        if !(1..=100_000).contains(&self.iterations) {
            return fault("iterations", self.iterations.to_string(), "1 to 100000");
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return fault("tolerance", self.tolerance.to_string(), "a number between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.margin) {
            return fault("margin", self.margin.to_string(), "a number from 0 to 1");
        }
        if !(self.largest_velocity > 0.0 && self.largest_velocity <= 1000.0) {
            return fault("largest_velocity", self.largest_velocity.to_string(), "above 0, 1000 km/s at most");
        }
        for (option, largest) in [("largest_rotation", self.largest_rotation), ("largest_broadening", self.largest_broadening)] {
            if !(largest > 0.0 && largest <= 1000.0) {
                return fault(option, largest.to_string(), "above 0, 1000 km/s at most");
            }
        }
        if !(0.0..=1.0).contains(&self.limb_darkening) {
            return fault("limb_darkening", self.limb_darkening.to_string(), "a number from 0 to 1");
        }
        if self.rotation && self.broadening {
            let expected = "one of them: narrow ones change a spectrum in the same way";
            return fault("rotation", "it with the option broadening".into(), expected);
        }
        if self.continuum_terms > MOST_TERMS {
            return fault("continuum_terms", self.continuum_terms.to_string(), &format!("0 to {MOST_TERMS}"));
        }
        if !(self.device_memory > 0.0 && self.device_memory <= 1e6) {
            return fault("device_memory", self.device_memory.to_string(), "a positive number of GiB");
        }
        for (label, windows) in &self.windows_of {
            let option = format!("windows_of.{label}");
            let is_impossible = |window: &&[f64; 2]| !(window[0] < window[1] && window[0] > 0.0 && window[1].is_finite());
            match windows.iter().find(is_impossible) {
                Some([from, to]) => return fault(&option, format!("[{from}, {to}]"), "wavelengths in Å, the second larger"),
                None if windows.is_empty() => return fault(&option, "no window".into(), "one at least, or no such key"),
                None => {}
            }
        }
        match self.pixels_per_label >= 1.0 && self.pixels_per_label.is_finite() {
            true => Ok(()),
            false => fault("pixels_per_label", self.pixels_per_label.to_string(), "1 or more"),
        }
    }
}
