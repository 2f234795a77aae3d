//! Diagnostics of models of spectra, as sections of a report: how a training went, whether labels come from
//! their own lines, how near labels are to their bounds, and what the abundances of a catalogue look like.
//!
//! | file | concept |
//! |---|---|
//! | `losses` | the history of a training |
//! | `gradients` | label gradients against a synthesis |
//! | `cheat` | the cheat test on spectra without noise |
//! | `stars` | labels and errors of the stars of a catalogue that take part |
//! | `precision` | scatter over the Cramér–Rao bound |
//! | `abundances` | Kiel diagram and abundance planes |

mod abundances;
mod cheat;
mod gradients;
mod losses;
mod precision;
mod stars;
#[cfg(test)]
mod tests;

pub use abundances::{LARGEST_ERROR, sections_of_abundances};
pub use cheat::{CheatInput, CheatTest, section_of_cheat_test};
pub use gradients::{GradientTest, References, section_of_gradients};
pub use losses::section_of_losses;
pub use precision::{Precision, section_of_precision};
pub use stars::AbundanceStars;
