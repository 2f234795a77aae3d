//! What stands beside the labels of a spectrum: extinction by star pairs and absolute magnitude by neighbours
//! in label space (Zhang et al. 2024, sec. 4.3; Yuan, Liu & Xiang 2013). Whoever measured the labels, stars
//! of like labels have like intrinsic colours and luminosities: controls tell them, behind little dust or
//! with parallaxes.
//!
//! ```text
//! controls: m, E of a map ──► intrinsic colours ─┐ local linear regression   target: m ─► E(B−V) ─► A
//!           ϖ, m − A ───────► likelihood of M ───┴ at the target's labels  ─────────────► M
//!                                                    log₁₀ d = (m − M + 5 − A)/5, `DistanceEstimator`
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`options`], [`bands`] | what the recipe says; bands and their extinction by T_eff, [Fe/H] and amount of dust |
//! | [`columns`] | labels, magnitudes and reddenings of maps in tables |
//! | [`space`], [`regression`] | nearest controls, whether they surround a star; weighted local linear regression |
//! | [`reddening`], [`luminosity`] | E(B−V) by star pairs; M by the likelihood of the neighbours' parallaxes |
//! | [`estimate`] | controls chosen and kept, estimates of stars |
//! | [`catalogue`], [`flags`] | columns beside those of a catalogue of distances |

pub mod bands;
pub mod catalogue;
pub mod columns;
pub mod estimate;
pub mod flags;
pub mod luminosity;
pub mod options;
pub mod reddening;
pub mod regression;
#[cfg(test)]
mod simulated;
pub mod space;
#[cfg(test)]
mod tests;

pub use columns::LabelledStar;
pub use estimate::{Control, NeighbourEstimate, Neighbours};
pub use options::NeighbourOptions;
