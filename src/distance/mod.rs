//! Distances of stars from parallaxes, magnitudes and predicted luminosities, and the unresolved binaries
//! that these tell apart. Knows nothing of models: whatever predicts an absolute magnitude (a network) or a
//! parallax from flux (a fit) serves.
//!
//! ```text
//! ϖ ── zero_point ──► ϖ corrected ─────────────┐
//! m, A ─► m₀ ─┐                                ├─ measurements ─► posterior (prior) ─► mode, percentiles, log d
//! M ─ error_model ─► M ± σ ─┴─► ln d_spec ─────┤                  combine ─► log d by inverse variance
//!                                              └─ excess, mixture ─► is_binary, P_binary
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`zero_point`] | the zero point of Gaia's parallaxes (Lindegren et al. 2021) |
//! | [`magnitude`] | labels, absolute magnitudes, spectro-photometric parallaxes and their errors |
//! | [`error_model`] | errors of predicted magnitudes, calibrated on stars with good parallaxes |
//! | [`prior`], [`position`] | densities of stars along the line of sight |
//! | [`measurements`], [`posterior`], [`evidence`] | likelihood, posterior on a grid of ln d, integrals over it |
//! | [`combine`] | the combination of Zhang et al. 2024 by inverse variances |
//! | [`excess`], [`mixture`], [`mass_ratio`] | binaries by their parallax excess, by a mixture; how much brighter a pair is |
//! | [`observables`] | the numbers of a catalogue checked, corrected and put together |
//! | [`star`], [`options`], [`flags`] | all of it for one star of a catalogue |
//! | [`columns`], [`catalogue`], [`compatibility`] | columns of files, the catalogue, the papers' names and flags |
//! | [`neighbours`] | extinctions and absolute magnitudes beside labels, by stars of like labels |
//! | [`maximise`], [`sampler`] | maximum likelihood (argmin) and samples of a few parameters |

pub mod catalogue;
pub mod columns;
pub mod combine;
pub mod compatibility;
pub mod error_model;
pub mod evidence;
pub mod excess;
pub mod flags;
pub mod magnitude;
pub mod mass_ratio;
pub mod maximise;
pub mod measurements;
pub mod mixture;
pub mod neighbours;
pub mod observables;
pub mod options;
pub mod position;
pub mod posterior;
pub mod prior;
pub mod recipe;
pub mod sampler;
#[cfg(test)]
mod simulated;
pub mod star;
pub mod zero_point;
mod zero_point_table;

pub use options::DistanceOptions;
pub use recipe::DistanceRecipe;
pub use star::{DistanceEstimator, Estimate, Star};
