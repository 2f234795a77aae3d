//! Offsets of XP bands between an instrument and a model that was trained with another.

use crate::observations::{Grid, Observations};
use crate::statistics::{median, robust_scatter};
use ndarray::Array2;

/// Halves of BP and RP, nm.
const HALVES: [(&str, f64, f64); 4] = [
    ("BP, blue half", 0.0, 490.0),
    ("BP, red half", 490.0, 640.0),
    ("RP, blue half", 640.0, 830.0),
    ("RP, red half", 830.0, 2000.0),
];

/// Logs the medians of observed over fitted flux of these stars by halves of the XP bands. A fit takes up
/// part of an offset in its parameters: what is left here is a lower limit. A model that predicts no fluxes
/// has none.
pub fn log(grid: &Grid, instrument: &str, observations: &Observations, fitted: Option<&Array2<f64>>) {
    let Some(fitted) = fitted else { return };
    tracing::warn!(
        "XP samples of {instrument}, a model of {}: observed over fitted flux of the first {} stars, as --other-instrument wants it:",
        grid.instrument_name(),
        observations.len()
    );
    for (name, low, high) in HALVES {
        let samples = (0..grid.n_xp_samples()).filter(|&w| (low..high).contains(&grid.wavelength[w]));
        let ratio = |(star, w): (usize, usize)| {
            let is_there = observations.flux_error[[star, w]].is_finite() && fitted[[star, w]] > 0.0;
            is_there.then(|| f64::from(observations.flux[[star, w]]) / fitted[[star, w]])
        };
        let ratios: Vec<f64> =
            samples.flat_map(|w| (0..observations.len()).map(move |star| (star, w))).filter_map(ratio).collect();
        if !ratios.is_empty() {
            tracing::warn!("  {name}: median {:.4}, scatter {:.4}", median(&ratios), robust_scatter(&ratios));
        }
    }
}
