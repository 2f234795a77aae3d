//! Are the estimates right, and are their errors? Residuals, pulls and coverage against a truth or a
//! reference catalogue, a nearest-neighbour baseline, figures (SVG and PNG), and an HTML report that holds
//! them.
//!
//! | module | holds |
//! |---|---|
//! | [`normality`] | Kolmogorov–Smirnov test against N(0, 1) |
//! | [`correlation`] | correlation matrices from packed covariances |
//! | [`nearest_neighbours`] | k-NN regression, the baseline |
//! | [`audit`] | re-fits of a catalogue: loss gaps, shifts, covariances |
//! | [`compare`] | a catalogue against a reference table |
//! | [`number`] | numbers as readers want them |
//! | [`figure`] | axes, marks and one file per figure |
//! | [`luminosities`] | the report of luminosities from noisy parallaxes and of their distances |
//! | [`report`] | one self-contained HTML page with figures and tables |
//! | [`diagnosis`] | sections of reports on models of spectra, and their figures |
//! | [`pixel_networks`] | the report of pixel networks: cheat test, gradients, errors |
//! | [`standard`] | the standard report of a trained model, with its negative controls |

pub mod audit;
pub mod compare;
pub mod correlation;
#[cfg(feature = "report")]
pub mod diagnosis;
#[cfg(feature = "report")]
pub mod figure;
#[cfg(feature = "report")]
pub mod luminosities;
#[cfg(feature = "report")]
mod luminosity_figures;
pub mod nearest_neighbours;
pub mod normality;
pub mod number;
#[cfg(feature = "report")]
pub mod pixel_networks;
#[cfg(feature = "report")]
pub mod report;
#[cfg(feature = "report")]
pub mod standard;
