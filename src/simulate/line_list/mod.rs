//! Blended spectra from a list of lines, with exact label gradients: the honest benchmark of models that
//! could cheat.
//!
//! Hundreds of lines overlap at R = 2500, every abundance ratio follows one bimodal [α/Fe] with a private
//! scatter of 0.03 dex, and the weak elements have few lines: a model that learns from such stars alone can
//! read an element off the lines of others.
//!
//! | file | concept |
//! |---|---|
//! | `lines` | the lines: elements, excitation, strengths |
//! | `synthesis` | flux and label gradients of a star |
//! | `parallaxes` | the same stars at distances, with noisy parallaxes |
//! | `population` | stars, training spectra, reference points |
//! | `solar_like` | dwarfs with five measured labels |
//! | `survey_config` | what a survey of spectra and a gradient library are like (TOML) |
//! | `survey` | such a survey, chunk after chunk, and its library |
//! | `table` | spectra as an observation file |
//!
//! ```
//! use photosphere::simulate::line_list::{LineList, Population, References, Synthesis};
//! let synthesis = Synthesis::new(&LineList::default());
//! let population = Population::default();
//! let labels = population.labels(100);
//! assert_eq!(synthesis.flux(labels.view()).dim(), (100, 300));
//! let library = synthesis.library(population.references(References::Scattered, 101).view());
//! assert_eq!(library.gradient.dim(), (101, 15, 300));
//! ```

mod lines;
mod parallaxes;
mod population;
mod solar_like;
mod survey;
mod survey_config;
mod synthesis;
mod table;
#[cfg(test)]
mod tests;

pub use lines::{ELEMENTS, LABELS, LineList, N_LABELS};
pub use parallaxes::{ParallaxSurvey, absolute_magnitude};
pub use population::{Population, References};
pub use solar_like::{SolarLikeSurvey, is_solar_like};
pub use survey::SpectraSurvey;
pub use survey_config::{LibraryConfig, SpectraConfig};
pub use synthesis::Synthesis;
